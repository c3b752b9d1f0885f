"""A recorded call as a source: a pair of WAV files becomes the records that a live connector would send.

Reads mono 8 kHz WAV (16-bit PCM, G.711 mu-law or A-law) and cuts it into audio records of 192 ms. It paces nothing
and sends nothing: `frames` says when each record is due, `pipeline/play.py` keeps the time.
"""

import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.audio import pcm
from pipeline.errors import InputError
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, AudioFrame, ContactEvent, Record, Watermark

FRAME_SAMPLES = 1_536  # 192 ms: three KVS blocks of 64 ms
_WAVE_FORMAT_EXTENSIBLE = 0xFFFE
_DECODERS: dict[tuple[int, int], Callable[[bytes], pcm.Samples]] = {
    (1, 16): pcm.samples,
    (6, 8): pcm.decode_a_law,
    (7, 8): pcm.decode_mu_law,
}
_CONTACTS = uuid.UUID("6f1c9dc6-5a0e-5d2b-9a52-7c1f3a0a6d55")  # namespace of contact ids made from audio


@dataclass(frozen=True, slots=True)
class Call:
    """Two tracks of one recorded call, int16 samples of shape (n,), as long as their files."""

    customer: pcm.Samples
    agent: pcm.Samples

    @property
    def contact_id(self) -> str:
        """A UUIDv5 of both tracks' samples: the same recording is the same contact."""
        return str(uuid.uuid5(_CONTACTS, f"{self.customer.tobytes().hex()}|{self.agent.tobytes().hex()}"))

    @property
    def samples(self) -> int:
        """The length of the longer track."""
        return max(len(self.customer), len(self.agent))

    @property
    def duration_ms(self) -> int:
        """The length of the longer track."""
        return -(-self.samples // SAMPLES_PER_MS)


@dataclass(frozen=True, slots=True)
class Due:
    """One record, its topic and when it is due, in audio time."""

    topic: str
    record: Record
    due_ms: float


def read_call(customer: Path, agent: Path) -> Call:
    """Read both tracks.

    Raises:
        InputError: a file is missing, unreadable or not mono 8 kHz WAV of a known encoding.
    """
    return Call(read_wav(customer), read_wav(agent))


def read_wav(path: Path) -> pcm.Samples:
    """Read one track as int16 of shape (n,).

    Raises:
        InputError: see `read_call`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    header, body = _chunks(path, data)
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if tag == _WAVE_FORMAT_EXTENSIBLE and len(header) >= 26:
        (tag,) = struct.unpack_from("<H", header, 24)
    if channels != 1:
        raise InputError(f"{path} has {channels} channels; a track is mono")
    if rate_hz != SAMPLE_RATE_HZ:
        raise InputError(f"{path} is sampled at {rate_hz} Hz; telephone audio is {SAMPLE_RATE_HZ} Hz")
    decode = _DECODERS.get((tag, bits))
    if decode is None:
        raise InputError(f"{path} has {bits} bits of format {tag}; 16-bit PCM and G.711 are read")
    return decode(body[: len(body) // (bits // 8) * (bits // 8)])


def frames(call: Call, tenant: str, contact_id: str, agent: str = "") -> Iterator[Due]:
    """Yield a call's records: started, audio of both tracks, the end; the shorter track ends in silence."""
    yield Due("contact.events", ContactEvent(tenant, contact_id, 1, "started", 0, agent), 0)
    customer, agent_track = (_padded(track, call.samples) for track in (call.customer, call.agent))
    for first in range(0, call.samples, FRAME_SAMPLES):
        end = min(first + FRAME_SAMPLES, call.samples)
        frame = AudioFrame(
            tenant, contact_id, 1, first, customer[first:end].tobytes(), first, agent_track[first:end].tobytes()
        )
        yield Due("audio.frames", frame, end / SAMPLES_PER_MS)
    yield Due("audio.frames", Watermark(tenant, contact_id, 1, call.duration_ms, True), call.duration_ms)
    yield Due("contact.events", ContactEvent(tenant, contact_id, 1, "ended", call.duration_ms, agent), call.duration_ms)


def _padded(track: pcm.Samples, samples: int) -> pcm.Samples:
    return np.pad(track, (0, samples - len(track))) if len(track) < samples else track


def _chunks(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """Return the bodies of the `fmt ` and `data` chunks."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InputError(f"{path} is not a WAV file")
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        found.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if len(found.get(b"fmt ", b"")) < 16 or b"data" not in found:
        raise InputError(f"{path} is not a whole WAV file")
    return found[b"fmt "], found[b"data"]
