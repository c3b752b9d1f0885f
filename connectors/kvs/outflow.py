"""What leaves of a contact that is being read: audio records in the order of each track, and the place behind them.

A track waits where a hole is found until the archive has filled it or has it not: seconds, while the other track goes
on. So nobody behind has to take audio that is late. A place is told once everything before it has left; what was
waiting is read again from there.

Pure. Reading is `reading.py`'s, which pieces make a record `pairing.py`'s.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence
from operator import attrgetter

from connectors.kvs.facts import Checkpoint, Fact, FragmentDone, Gap, GapFound, Piece, Retracted, Settled
from connectors.kvs.pairing import Pairing
from connectors.kvs.timeline import Range
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, MissingAudio, Track


class _Lane:
    """One track: pieces that wait behind holes, and the holes that somebody looks for."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []  # by first sample
        self.holes: list[Range] = []  # oldest first

    def add(self, piece: Piece) -> None:
        end = piece.first_sample + len(piece.pcm) // 2
        self.settle(piece.first_sample, end)
        insort(self.pieces, piece, key=attrgetter("first_sample"))

    def settle(self, first: int, end: int) -> None:
        """Look no more for a part of the holes."""
        if self.holes:
            self.holes = [
                part
                for start, stop in self.holes
                for part in ((start, min(stop, first)), (max(start, end), stop))
                if part[0] < part[1]
            ]

    def cut(self, end: int) -> None:
        self.pieces = [piece for piece in self.pieces if piece.first_sample < end]
        self.holes = [(start, min(stop, end)) for start, stop in self.holes if start < end]

    def ready(self) -> list[Piece]:
        """Take the pieces before the first hole."""
        if not self.pieces:
            return self.pieces
        count = len(self.pieces)
        if self.holes:
            count = sum(piece.first_sample < self.holes[0][0] for piece in self.pieces)
        taken, self.pieces = self.pieces[:count], self.pieces[count:]
        return taken


class Outflow:
    """See the module."""

    def __init__(
        self, tenant: str, contact_id: str, leg: int, checkpoint: Checkpoint | None, firsts: tuple[int, int] = (0, 0)
    ) -> None:
        """Begin at a checkpoint, and let go the samples from `firsts` on, customer's and agent's."""
        self._pairing = Pairing(tenant, contact_id, leg, firsts)
        self._lanes: dict[Track, _Lane] = {track: _Lane() for track in TRACKS}
        self._coming: deque[Checkpoint] = deque()
        self._checkpoint = checkpoint
        self._missing: list[MissingAudio] = []

    @property
    def due_s(self) -> float | None:
        """When a record leaves without its other track; None while nothing waits."""
        return self._pairing.due_s

    @property
    def waiting_ms(self) -> int:
        """How much of the fuller track has come and has not left."""
        held = sum(len(piece.pcm) for lane in self._lanes.values() for piece in lane.pieces) // 2
        return (self._pairing.waiting + held) // SAMPLES_PER_MS

    def take(self, facts: Sequence[Fact], now_s: float) -> None:
        """Take what reading tells; time as in `Pairing.add`."""
        for fact in facts:  # a hole is told behind the piece that showed it
            if type(fact) is GapFound:
                self._lanes[fact.track].holes.append((fact.first_sample, fact.end_sample))
        for fact in facts:
            if type(fact) is Piece:
                self._lanes[fact.track].add(fact)
            else:
                self._note(fact)
        for track, lane in self._lanes.items():
            for piece in lane.ready():
                self._pairing.add(track, piece.first_sample, piece.pcm, now_s)

    def frames(self, now_s: float) -> Iterator[AudioFrame]:
        """Let the records go that are whole, or have waited long enough."""
        return self._pairing.records(now_s)

    def rest(self) -> Iterator[AudioFrame]:
        """Let go what waits for the rest of its record."""
        return self._pairing.rest()

    def missing(self) -> tuple[MissingAudio, ...]:
        """Tell, once, what has turned out to be missing."""
        told, self._missing = tuple(self._missing), []
        return told

    def checkpoint(self, customer: int, agent: int) -> Checkpoint | None:
        """Return the last one that lies before a sample of the customer's and one of the agent's track."""
        while self._coming and self._coming[0].customer_end <= customer and self._coming[0].agent_end <= agent:
            self._checkpoint = self._coming.popleft()
        return self._checkpoint

    def _note(self, fact: Fact) -> None:
        match fact:
            case FragmentDone():
                self._coming.append(fact.checkpoint)
            case Gap(track, first, end):
                self._lanes[track].settle(first, end)
                self._missing.append(MissingAudio(track, first, end))
            case Settled(track, first, end):
                self._lanes[track].settle(first, end)
            case Retracted(track, first):
                self._lanes[track].cut(first)
                self._pairing.cut(track, first)
