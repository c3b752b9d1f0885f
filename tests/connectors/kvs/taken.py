"""Audio records as whoever reads them has them: each track put together by sample numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from topics.records import TRACKS, AudioFrame, Track


@dataclass
class Taken:
    """Both tracks; a sample that comes twice must be the same.

    Attributes:
        repeated: samples that came again.
    """

    _tracks: dict[Track, bytearray] = field(default_factory=lambda: {track: bytearray() for track in TRACKS})
    _ranges: dict[Track, list[tuple[int, int]]] = field(default_factory=lambda: {track: [] for track in TRACKS})
    repeated: int = 0

    @classmethod
    def of(cls, frames: Iterable[AudioFrame]) -> "Taken":
        """Put records together."""
        taken = cls()
        taken.take(frames)
        return taken

    def take(self, frames: Iterable[AudioFrame]) -> None:
        """Take more records."""
        for frame in frames:
            for track in TRACKS:
                first, pcm = frame.track(track)
                if pcm:
                    self._place(track, first, pcm)

    @property
    def pcm(self) -> dict[Track, bytes]:
        """Each track from sample 0; zeros where nothing came."""
        return {track: bytes(pcm) for track, pcm in self._tracks.items()}

    @property
    def ends(self) -> tuple[int, int]:
        """Where the customer's and the agent's track end."""
        customer, agent = (len(self._tracks[track]) // 2 for track in TRACKS)
        return customer, agent

    def ranges(self, track: Track) -> Sequence[tuple[int, int]]:
        """Which samples came, joined where they meet, in the order of their coming."""
        return self._ranges[track]

    def _place(self, track: Track, first: int, pcm: bytes) -> None:
        into, ranges, end = self._tracks[track], self._ranges[track], first + len(pcm) // 2
        known = max(len(into) // 2 - first, 0)
        if known:
            assert into[2 * first : 2 * end] == pcm[: 2 * known]
            self.repeated += min(known, end - first)
        into.extend(bytes(max(2 * first - len(into), 0)))
        into[2 * first : 2 * end] = pcm if 2 * end >= len(into) else into[2 * first : 2 * end]
        if ranges and ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((first, end))
