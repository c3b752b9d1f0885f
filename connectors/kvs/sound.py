"""The sound of one contact: where each block lies, and which of it is new.

Pure. Owns the contact's start, both timelines and doubt about blocks of a damaged fragment. Whose fragment it is has
been decided before (`contact.py`). A block is placed by its time, never by the bytes before it: short blocks occur,
and the next one is on its 64 ms again.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from connectors.kvs.events import Block
from connectors.kvs.facts import Checkpoint, GapFound, Piece, Retracted
from connectors.kvs.timeline import TOLERANCE_SAMPLES, Timeline
from topics.records import SAMPLES_PER_MS, TRACKS, Track

_SAMPLE_BYTES: Final = 2
_DOUBTED_KEPT: Final = 512  # blocks, a bound of memory: some 15 fragments

_Key = tuple[Track, int]  # of a block: its track and time


class Sound:
    """Both tracks from the contact's start on.

    What a fragment gave is doubted until it has been whole once: damage may have made noise of its last blocks.
    Checksums of them are kept. Read again, a block that is the same is silent and one that differs is a late piece.
    """

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.start_ms = checkpoint.start_ms if checkpoint else None
        ends = (checkpoint.customer_end, checkpoint.agent_end) if checkpoint else (0, 0)
        self._lines = {track: Timeline(end) for track, end in zip(TRACKS, ends, strict=True)}
        self._before: dict[Track, int] = {}  # where the tracks ended when the fragment at hand began
        self._given: dict[_Key, int] = {}  # checksums of the blocks of the fragment at hand
        self._doubted: dict[_Key, int] = {}

    def end(self, track: Track) -> int:
        """Return how many samples of a track have been reached."""
        return self._lines[track].end

    @property
    def length_ms(self) -> int:
        """How much of the longer track has been reached."""
        return max(line.end for line in self._lines.values()) // SAMPLES_PER_MS

    def begin_fragment(self) -> None:
        """Remember where the tracks end."""
        self._before = {track: line.end for track, line in self._lines.items()}
        self._given = {}

    def settle(self, blocks: Iterable[Block]) -> None:
        """Let the contact start with the earliest of its first blocks."""
        self.start_ms = min(block.time_ms for block in blocks)

    def place(self, block: Block) -> list[Piece | GapFound]:
        """Return what is new of a block; the start is settled."""
        track, first, pcm = self._located(block)
        if track is None:
            return []
        line, key, checksum = self._lines[track], (track, block.time_ms), zlib.crc32(pcm)
        self._given[key] = checksum
        known, end = line.end, first + len(pcm) // _SAMPLE_BYTES
        fresh = line.place(first, end)
        if key in self._doubted:
            was, self._doubted[key] = self._doubted[key], checksum
            return [] if was == checksum else [Piece(track, first, pcm, is_late=True)]
        pieces = [_part(track, first, pcm, start, stop, known) for start, stop in fresh]
        if first - known > TOLERANCE_SAMPLES and fresh:
            return [*pieces, GapFound(track, known, first)]
        return [*pieces]

    def fill(self, block: Block) -> list[Piece]:
        """Return what of a block lies in holes."""
        track, first, pcm = self._located(block)
        if track is None:
            return []
        line = self._lines[track]
        fresh = line.fill(first, first + len(pcm) // _SAMPLE_BYTES)
        return [_part(track, first, pcm, start, stop, line.end) for start, stop in fresh]

    def missing(self, gap: GapFound) -> list[tuple[int, int]]:
        """Return what of a gap is still not there."""
        return self._lines[gap.track].missing(gap.first_sample, gap.end_sample)

    def give_up(self, gap: GapFound) -> list[tuple[int, int]]:
        """Count what is missing as given, and return it."""
        return self._lines[gap.track].fill(gap.first_sample, gap.end_sample)

    def retract(self) -> list[Retracted]:
        """Take back what the fragment at hand gave; read again, it is as if it had not been there."""
        self._forget_doubts()
        self._given = {}
        return [Retracted(track, end) for track, end in self._before.items() if self._lines[track].cut(end)]

    def doubt(self, *, is_damaged: bool) -> None:
        """Expect the fragment at hand again; when it is damaged, times may be noise too, and its samples count anew."""
        self._doubted = dict([*self._doubted.items(), *self._given.items()][-_DOUBTED_KEPT:])
        if is_damaged:
            for track, end in self._before.items():
                self._lines[track].cut(end)

    def trust(self) -> None:
        """The fragment at hand is whole."""
        self._forget_doubts()

    def _forget_doubts(self) -> None:
        if self._doubted:
            self._doubted = {key: checksum for key, checksum in self._doubted.items() if key not in self._given}

    def _located(self, block: Block) -> tuple[Track | None, int, bytes]:
        """Return whose a block is, its first sample and its whole samples, without what lies before the start."""
        assert self.start_ms is not None
        first = (block.time_ms - self.start_ms) * SAMPLES_PER_MS
        pcm = block.payload if len(block.payload) % _SAMPLE_BYTES == 0 else block.payload[:-1]
        if first < 0:
            pcm, first = pcm[-first * _SAMPLE_BYTES :], 0
        return block.track if pcm else None, first, pcm


def _part(track: Track, first: int, pcm: bytes, start: int, stop: int, known: int) -> Piece:
    is_whole = start == first and (stop - start) * _SAMPLE_BYTES == len(pcm)
    part = pcm if is_whole else pcm[(start - first) * _SAMPLE_BYTES : (stop - first) * _SAMPLE_BYTES]
    return Piece(track, start, part, is_late=start < known)
