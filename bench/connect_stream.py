"""A GetMedia response as Amazon Connect's look, made of a recorded call: load for the parser's benchmark.

Owns the bytes alone. The layout is that of a dump of a real response: one document a fragment, Segment and Cluster of
unknown size, 16 blocks of 64 ms of each track in turns, identity and service tags as Tags elements of their own, the
continuation token last.
"""

import uuid
from collections.abc import Iterator

from connectors.files import Call
from pipeline.audio.pcm import Samples
from topics.records import SAMPLES_PER_MS

BLOCK_MS = 64
BLOCK_BYTES = 2 * SAMPLES_PER_MS * BLOCK_MS
FRAGMENT_MS = 16 * BLOCK_MS
FRAGMENT_SAMPLES = SAMPLES_PER_MS * FRAGMENT_MS
FRAGMENT_BYTES = 2 * FRAGMENT_SAMPLES  # of one track
CONTACT_ID = "7c1f3a0a-5a0e-4d2b-9a52-6f1c9dc66d55"
_START_MS = 1_726_677_688_724
_FIRST_NUMBER = 91_343_852_333_181_531_502_161_607_852_955_530_730_504_675_150
_SEGMENT_UID = uuid.uuid5(uuid.NAMESPACE_OID, CONTACT_ID).bytes
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_IDENTITY = {
    "ContactId": CONTACT_ID,
    "InstanceId": str(uuid.uuid5(uuid.NAMESPACE_OID, "instance")),
    "MimeType": "audio/L16;rate=8000;channels=1;",
    "AUDIO_FROM_CUSTOMER": "1",
    "AUDIO_TO_CUSTOMER": "2",
    "Events": "[]",
}


def fragments(call: Call, repeats: int = 1) -> Iterator[bytes]:
    """Yield the fragments of a call that is played several times in a row, without the rest that fills no fragment."""
    whole = min(len(call.customer), len(call.agent)) // FRAGMENT_SAMPLES
    tracks = [sound(track, whole * repeats) for track in (call.customer, call.agent)]
    for index in range(whole * repeats):
        part = slice(index * FRAGMENT_BYTES, (index + 1) * FRAGMENT_BYTES)
        yield _fragment(index, [track[part] for track in tracks])


def sound(track: Samples, count: int) -> bytes:
    """Return what so many fragments say on one track."""
    once = track[: len(track) // FRAGMENT_SAMPLES * FRAGMENT_SAMPLES].astype("<i2").tobytes()
    return (once * (count * FRAGMENT_BYTES // len(once) + 1))[: count * FRAGMENT_BYTES]


def _fragment(index: int, tracks: list[bytes]) -> bytes:
    start_ms = _START_MS + index * FRAGMENT_MS
    number = str(_FIRST_NUMBER + 4_951_760_157_141_521_099_596_496_895 * index)
    service = "AWS_KINESISVIDEO_"
    before = {
        f"{service}FRAGMENT_NUMBER": number,
        f"{service}SERVER_TIMESTAMP": _seconds(start_ms + 1_250),
        f"{service}PRODUCER_TIMESTAMP": _seconds(start_ms),
    }
    after = {f"{service}MILLIS_BEHIND_NOW": "0", f"{service}CONTINUATION_TOKEN": number}
    blocks = (
        _element(0xA3, bytes([0x80 | track]) + (at // BLOCK_BYTES * BLOCK_MS).to_bytes(2, "big") + b"\0" + pcm)
        for at in range(0, len(tracks[0]), BLOCK_BYTES)
        for track, pcm in enumerate((one[at : at + BLOCK_BYTES] for one in tracks), 1)
    )
    return b"".join(
        (
            _element(0x1A45DFA3, _element(0x4286, b"\1"), _element(0x4282, b"matroska"), _element(0x4287, b"\2")),
            b"\x18\x53\x80\x67" + _UNKNOWN_SIZE,
            _element(0x1549A966, _element(0x73A4, _SEGMENT_UID), _element(0x2AD7B1, (1_000_000).to_bytes(3, "big"))),
            _element(0x1654AE6B, _track(1, b"AUDIO_FROM_CUSTOMER"), _track(2, b"AUDIO_TO_CUSTOMER")),
            _tags(before),
            b"\x1f\x43\xb6\x75" + _UNKNOWN_SIZE,
            _element(0xE7, start_ms.to_bytes(6, "big")),
            *blocks,
            *(_tags({name: text}) for name, text in _IDENTITY.items()),
            _tags(after),
        )
    )


def _element(identity: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = bytes([0x80 | len(content)]) if len(content) < 0x7F else (0x4000 | len(content)).to_bytes(2, "big")
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + size + content


def _track(number: int, name: bytes) -> bytes:
    fields = {0xD7: bytes([number]), 0x73C5: bytes([number]), 0x83: b"\2", 0x536E: name, 0x86: b"A_AAC"}
    return _element(0xAE, *(_element(*one) for one in fields.items()), _element(0x63A2, b"\x11\x90"))


def _tags(texts: dict[str, str]) -> bytes:
    pairs = ((_element(0x45A3, name.encode()), _element(0x4487, text.encode())) for name, text in texts.items())
    return _element(0x1254C367, _element(0x7373, *(_element(0x67C8, *pair) for pair in pairs)))


def _seconds(time_ms: int) -> str:
    return f"{time_ms // 1_000}.{time_ms % 1_000:03}"
