"""Which samples of a track a connection has been sent, and where they lie in its time.

Owns the map between the two. The service counts what it has received on the connection, from 0; what is sent between
segments or left out makes its time another than the track's.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# A segment is a piece, or a few: words of older ones are not asked for any more. Each question looks through all.
_KEPT_PIECES: Final = 64


@dataclass(slots=True)
class Piece:
    """A stretch of the connection that is a stretch of the track, sample by sample.

    Attributes:
        start: first sample of the connection.
        first_sample: the sample of the track that it is; None for what belongs to nothing.
        length: in samples.
    """

    start: int
    first_sample: int | None
    length: int

    @property
    def end(self) -> int:
        """Sample of the connection after the last."""
        return self.start + self.length

    def overlap(self, first_sample: int, end_sample: int) -> tuple[int, int]:
        """Return the samples of the track that are in the piece and between two samples; empty if start >= end."""
        if self.first_sample is None:
            return 0, 0
        return max(first_sample, self.first_sample), min(end_sample, self.first_sample + self.length)


class Sent:
    """The samples of one connection.

    Attributes:
        samples: how many.
        track_end: sample of the track after the latest that was sent.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.track_end = 0
        self._pieces: deque[Piece] = deque(maxlen=_KEPT_PIECES)

    def add(self, first_sample: int | None, length: int) -> None:
        """Note that samples follow; with `first_sample` None they are of no track."""
        last = self._pieces[-1] if self._pieces else None
        follows = None if last is None or last.first_sample is None else last.first_sample + last.length
        if last is not None and (first_sample == follows is not None or first_sample is last.first_sample is None):
            last.length += length
        else:
            self._pieces.append(Piece(self.samples, first_sample, length))
        self.samples += length
        self.track_end = max(self.track_end, length + first_sample if first_sample is not None else 0)

    def missing(self, first_sample: int, end_sample: int) -> Iterator[tuple[int, int]]:
        """Yield what was not sent between two samples of the track, in order, half-open."""
        had = (piece.overlap(first_sample, end_sample) for piece in self._pieces)
        for start, end in sorted(span for span in had if span[0] < span[1]):
            if first_sample < start:
                yield first_sample, start
            first_sample = max(first_sample, end)
        if first_sample < end_sample:
            yield first_sample, end_sample

    def place_of(self, first_sample: int, end_sample: int) -> int:
        """Return the sample of the connection by which all that was sent of a stretch of the track is over."""
        place = 0
        for piece in self._pieces:
            start, end = piece.overlap(first_sample, end_sample)
            if start < end and piece.first_sample is not None:
                place = max(place, piece.start + end - piece.first_sample)
        return place

    def sample_of(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the samples of the track between two samples of the connection, the middle's stretch alone.

        None where the middle is of no track.
        """
        middle = (start + end) // 2
        index = bisect_right(self._pieces, middle, key=lambda piece: piece.start) - 1
        if index < 0:
            return None
        piece = self._pieces[index]
        if piece.first_sample is None or middle >= piece.end:
            return None
        offset = piece.first_sample - piece.start
        return max(start, piece.start) + offset, min(max(end, start + 1), piece.end) + offset
