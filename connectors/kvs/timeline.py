"""Which samples of one track have been given: what is read twice counts once, what is not there is a hole.

Pure. Owns coverage and nothing else: it holds no sound, and does not know why a hole is there or who fills it.
"""

from typing import Final

Range = tuple[int, int]  # samples, half-open

# A short block leaves less than 64 ms; facts of the field say that 128 ms are no gap yet.
TOLERANCE_SAMPLES: Final = 1_024
_HOLES_KEPT: Final = 64  # a bound of memory: older ones can no longer be filled


class Timeline:
    """Everything up to `end` but the holes has been given."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self._holes: list[Range] = []

    def place(self, first: int, end: int) -> list[Range]:
        """Count a range as given; return what of it was not before, oldest first."""
        known = self.end
        if end <= first:
            return []
        if first == known:  # the next block of a track that flows
            self.end = end
            return [(first, end)]
        fresh = self.fill(first, end)
        if end > known:
            if first > known:
                self._holes = [*self._holes, (known, first)][-_HOLES_KEPT:]
            fresh.append((max(first, known), end))
            self.end = end
        return fresh

    def fill(self, first: int, end: int) -> list[Range]:
        """Count what of a range lies in holes as given, and return it."""
        fresh = self.missing(first, end)
        if fresh:
            self._holes = [part for hole in self._holes for part in _without(hole, first, end)]
        return fresh

    def missing(self, first: int, end: int) -> list[Range]:
        """Return the holes within a range."""
        clipped = ((max(first, start), min(end, stop)) for start, stop in self._holes)
        return [(start, stop) for start, stop in clipped if start < stop]

    def cut(self, end: int) -> bool:
        """Forget what was given from `end` on; tell whether anything was."""
        if self.end <= end:
            return False
        self.end = end
        self._holes = [(start, min(stop, end)) for start, stop in self._holes if start < end]
        return True


def _without(hole: Range, first: int, end: int) -> list[Range]:
    start, stop = hole
    if end <= start or stop <= first:
        return [hole]
    return [(one, other) for one, other in ((start, first), (end, stop)) if one < other]
