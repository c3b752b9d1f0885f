"""`trunkline kvs read`: one contact of a stream as two WAV files and a journal of what happened.

Owns the files and the form of `events.jsonl`; reading is `connectors/kvs/reading.py`'s. Docs: `docs/cli.md`.
"""

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.kvs import service
from connectors.kvs.account import Account
from connectors.kvs.contact import Contact
from connectors.kvs.facts import (
    Broken,
    Ended,
    Fact,
    Failed,
    FragmentDone,
    Gap,
    Piece,
    Reconnected,
    Retracted,
    ServiceError,
)
from connectors.kvs.reading import Patience, Reading
from pipeline.errors import PeerUnavailable
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, TRACKS, Track

_EVENTS: Final = "events.jsonl"
_HEADER_BYTES: Final = 44
_SAMPLE_BYTES: Final = 2
# Of the time without sound after which the contact is over: a dead connection must leave time for another one.
_DEAD_SHARE: Final = 0.6

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """What is captured.

    Attributes:
        stream: its name.
        contact_id: Connect's.
        start_ms: epoch milliseconds of the contact's start.
        out: folder of the files.
        idle_s: without new sound for so long, the contact is over.
    """

    stream: str
    contact_id: str
    start_ms: int
    out: Path
    idle_s: float


@dataclass(frozen=True, slots=True)
class Captured:
    """What has been read.

    Attributes:
        samples: of each track.
        fragments: complete ones.
        gaps: samples that neither stream nor archive had.
        reason: why it is over.
        failure: the last thing that went wrong; empty if nothing did.
    """

    samples: dict[Track, int]
    fragments: int
    gaps: tuple[Gap, ...]
    reason: str
    failure: str

    @property
    def is_heard(self) -> bool:
        """Whether there was any sound."""
        return any(self.samples.values())

    def report(self, out: Path) -> str:
        """Return one line for the terminal."""
        tracks = ", ".join(f"{track} {self.samples[track] / SAMPLE_RATE_HZ:.3f} s" for track in TRACKS)
        return f"{tracks}, {self.fragments} fragments, {len(self.gaps)} gaps, over: {self.reason}; files in {out}"

    def gap_lines(self) -> list[str]:
        """Return one line for each gap."""
        return [
            f"gap on the {gap.track}'s track from {gap.first_sample / SAMPLE_RATE_HZ:.3f} s "
            f"to {gap.end_sample / SAMPLE_RATE_HZ:.3f} s: zeros"
            for gap in self.gaps
        ]


async def run(request: Request, account: Account) -> Captured:
    """Read a contact to its end and put the files in place; cancelled, there are none.

    Raises:
        PeerUnavailable: the stream does not exist, AWS refuses who asks, or a file cannot be written.
    """
    capture = _Capture(request.out)
    try:
        try:
            await _read(request, account, capture)
        except PeerUnavailable as failed:
            capture.fail(str(failed))
            raise
        finally:
            capture.leave()
    except OSError as error:
        raise PeerUnavailable(f"cannot write to {request.out}: {error.strerror}") from None
    return capture.captured()


async def _read(request: Request, account: Account, capture: "_Capture") -> None:
    patience = Patience(idle_s=request.idle_s)
    dead_s = min(service.DEAD_S, request.idle_s * _DEAD_SHARE)
    async with service.session() as http:
        stream = service.Service(http, account, request.stream, dead_s)
        await Reading(stream, Contact(request.contact_id), request.start_ms, capture.take, patience).run()


class _Capture:
    """Writes what is told, under temporary names until the end."""

    def __init__(self, out: Path) -> None:
        """Open the files.

        Raises:
            OSError: one cannot be opened.
        """
        self._out = out
        self._tracks = {track: _Track(_partial(out, _wav(track))) for track in TRACKS}
        self._events = _partial(out, _EVENTS).open("w", encoding="utf-8")
        self._fragments = 0
        self._gaps: list[Gap] = []
        self._failure = ""
        self._reason = ""

    async def take(self, facts: Sequence[Fact]) -> None:
        """Take what reading tells."""
        for fact in facts:
            if type(fact) is Piece:
                self._tracks[fact.track].write(fact.first_sample, fact.pcm)
            else:
                self._note(fact)

    def fail(self, reason: str) -> None:
        """End early; what has been heard is kept."""
        if self._at_ms:
            self._end(reason, tuple(self._tracks[track].end for track in TRACKS))

    def captured(self) -> Captured:
        """Tell what is in the files."""
        samples = {track: file.end for track, file in self._tracks.items()}
        return Captured(samples, self._fragments, tuple(self._gaps), self._reason, self._failure)

    def leave(self) -> None:
        """Close everything; without an end, nothing stays."""
        names = [*map(_wav, TRACKS), _EVENTS]
        for file in (*(track.file for track in self._tracks.values()), self._events):
            file.close()
        for name in names:
            if self._reason:
                _partial(self._out, name).replace(self._out / name)
            else:
                _partial(self._out, name).unlink(missing_ok=True)

    @property
    def _at_ms(self) -> int:
        return max(track.end for track in self._tracks.values()) // SAMPLES_PER_MS

    def _note(self, fact: Fact) -> None:
        """Write what is no sound; what leads to nothing that a user could see is left out."""
        match fact:
            case FragmentDone():
                self._fragments += 1
                self._write(
                    "fragment",
                    fact.at_ms,
                    {
                        "number": fact.number,
                        "end_ms": fact.end_ms,
                        "blocks": fact.blocks,
                        "behind_now_ms": fact.behind_now_ms,
                    },
                )
            case Gap(track, first, end):
                self._gaps.append(fact)
                self._tracks[track].reach(end)
                detail = {"end_ms": end // SAMPLES_PER_MS, "first_sample": first, "end_sample": end}
                self._write("gap", first // SAMPLES_PER_MS, detail, track)
            case Reconnected(at_ms, reason, after):
                self._write("reconnect", at_ms, {"reason": reason, "after": after})
            case Failed(at_ms, kind, reason):
                self._failure = reason
                self._write("error", at_ms, {"kind": kind, "reason": reason})
            case ServiceError(error_id, code, action):
                self._failure = f"the service said error {error_id}"
                self._write("error", self._at_ms, {"kind": "service", "reason": error_id or code, "action": action})
            case Broken(reason):
                self._write("error", self._at_ms, {"kind": "damage", "reason": reason})
            case Retracted(track, first):
                self._tracks[track].cut(first)
                self._write("error", first // SAMPLES_PER_MS, {"kind": "retracted", "reason": "other contact"}, track)
            case Ended():
                self._end(fact.reason, (fact.customer_end, fact.agent_end))

    def _end(self, reason: str, ends: tuple[int, ...]) -> None:
        for track, end in zip(TRACKS, ends, strict=True):
            self._tracks[track].finish(end)
        detail = {"reason": reason, "customer_samples": ends[0], "agent_samples": ends[1]}
        self._write("end", self._at_ms, detail)
        self._events.flush()
        os.fsync(self._events.fileno())
        self._reason = reason

    def _write(self, kind: str, at_ms: int, detail: Row, track: Track | None = None) -> None:
        row: Row = {"type": kind, "at_ms": at_ms, "track": track, "detail": detail}
        self._events.write(json.dumps(row) + "\n")


class _Track:
    """One WAV; what is never written is zeros."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.end = 0  # samples
        self._at = 0  # of the file, in bytes: to seek would flush what is buffered

    def write(self, first: int, pcm: bytes) -> None:
        place = _HEADER_BYTES + first * _SAMPLE_BYTES
        if place != self._at:
            self.file.seek(place)
        self.file.write(pcm)
        self._at = place + len(pcm)
        self.end = max(self.end, first + len(pcm) // _SAMPLE_BYTES)

    def reach(self, end: int) -> None:
        self.end = max(self.end, end)

    def cut(self, end: int) -> None:
        self.file.truncate(_HEADER_BYTES + end * _SAMPLE_BYTES)
        self.end = end

    def finish(self, end: int) -> None:
        self.cut(end)
        size = end * _SAMPLE_BYTES
        self.file.seek(0)
        self.file.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt ")
        self.file.write(struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, _SAMPLE_BYTES, 16))
        self.file.write(b"data" + struct.pack("<I", size))
        self.file.flush()
        os.fsync(self.file.fileno())


def _wav(track: Track) -> str:
    return f"{track}.wav"


def _partial(out: Path, name: str) -> Path:
    return out / f".{name}.partial"
