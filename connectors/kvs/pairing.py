"""Audio records of one contact: up to 192 ms of both tracks, as soon as both are there.

Pieces of a track come in the order of their samples. A record ends where a multiple of 192 ms ends, counted from the
contact's start. It waits `WAIT_S` for the slower track and then leaves with what there is. What comes late leaves with
the record behind it, or at once where it is a record's length, so a track falls behind for no longer than it is late.
Nothing is filled in: a hole is where the next piece begins. No clock: time comes with the calls.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from connectors.files import FRAME_SAMPLES
from pipeline.audio import pcm
from topics.records import TRACKS, AudioFrame, Track

WAIT_S: Final = 0.064  # a block


class _Voice:
    """One track: what has come and has not left."""

    def __init__(self, first_sample: int) -> None:
        self.heard_until = first_sample
        self.sent_until = first_sample
        self._runs: deque[tuple[int, bytearray]] = deque()  # first sample and PCM, with a hole before each
        self._heard: deque[tuple[int, float]] = deque()  # how far, and since when

    @property
    def first_sample(self) -> int | None:
        """The first sample that has not left."""
        return self._runs[0][0] if self._runs else None

    def add(self, first_sample: int, block: bytes, now_s: float) -> None:
        hole, fresh = pcm.unheard(self.heard_until, first_sample, block)
        if not fresh:
            return
        if hole or not self._runs:
            self._runs.append((self.heard_until + hole, bytearray()))
        self._runs[-1][1].extend(fresh)
        self.heard_until += hole + len(fresh) // pcm.BYTES_PER_SAMPLE
        self._heard.append((self.heard_until, now_s))

    def cut(self, end_sample: int) -> None:
        """Forget what has come from a sample on and has not left."""
        while self._runs and self._runs[-1][0] >= end_sample:
            self._runs.pop()
        if self._runs:
            first_sample, run = self._runs[-1]
            del run[(end_sample - first_sample) * pcm.BYTES_PER_SAMPLE :]
        self.heard_until = max(min(self.heard_until, end_sample), self.sent_until)

    def heard_s(self, sample: int) -> float | None:
        """Since when everything up to a sample has been heard; None if it has not."""
        return next((at_s for until, at_s in self._heard if until >= sample), None)

    def take(self, end_sample: int) -> tuple[int, bytes]:
        """Return the next samples before `end_sample`, up to a hole or a record's length, and where they begin."""
        if not self._runs or self._runs[0][0] >= end_sample:
            return self.sent_until, b""
        first_sample, run = self._runs.popleft()
        size = min(end_sample - first_sample, FRAME_SAMPLES) * pcm.BYTES_PER_SAMPLE
        taken, left = bytes(run[:size]), run[size:]
        self.sent_until = first_sample + len(taken) // pcm.BYTES_PER_SAMPLE
        if left:
            self._runs.appendleft((self.sent_until, left))
        while self._heard and self._heard[0][0] <= self.sent_until:
            self._heard.popleft()
        return first_sample, taken


class Pairing:
    """See the module; `records` is to be asked after each piece and at `due_s`."""

    def __init__(self, tenant: str, contact_id: str, leg: int, firsts: tuple[int, int] = (0, 0)) -> None:
        """Begin at a sample of the customer's and one of the agent's track."""
        self._whose = tenant, contact_id, leg
        self._voices: dict[Track, _Voice] = {track: _Voice(first) for track, first in zip(TRACKS, firsts, strict=True)}
        self._sent_until = 0

    @property
    def due_s(self) -> float | None:
        """When a record leaves though its other track is missing; None while nothing waits."""
        end_sample = self._end_sample()
        heard_s = [] if end_sample is None else [voice.heard_s(end_sample) for voice in self._voices.values()]
        return min((at_s + WAIT_S for at_s in heard_s if at_s is not None), default=None)

    def add(self, track: Track, first_sample: int, block: bytes, now_s: float) -> None:
        """Take a piece; what has been heard already is skipped.

        Args:
            track: whose voice.
            first_sample: from the contact's start.
            block: int16 little-endian, mono, 8 kHz.
            now_s: on any clock that only goes forward.
        """
        self._voices[track].add(first_sample, block, now_s)

    def cut(self, track: Track, end_sample: int) -> None:
        """Forget what has come of a track from a sample on and has not left."""
        self._voices[track].cut(end_sample)

    @property
    def waiting(self) -> int:
        """How many samples of the fuller track have come and have not left."""
        return max(voice.heard_until - voice.sent_until for voice in self._voices.values())

    def records(self, now_s: float) -> Iterator[AudioFrame]:
        """Yield what is whole, and what has waited long enough."""
        while (end_sample := self._end_sample()) is not None:
            heard_s = [voice.heard_s(end_sample) for voice in self._voices.values()]
            if None in heard_s and not any(at_s is not None and now_s >= at_s + WAIT_S for at_s in heard_s):
                break
            yield from self._cut(end_sample)
        if self._is_far_behind():
            yield from self._cut(self._sent_until)

    def rest(self) -> Iterator[AudioFrame]:
        """Yield everything that has come: nothing will follow."""
        while (end_sample := self._end_sample()) is not None:
            yield from self._cut(end_sample)

    def _is_far_behind(self) -> bool:
        """Tell whether a track has a record's length that the other has left behind."""
        firsts = (voice.first_sample for voice in self._voices.values())
        return any(first is not None and first + FRAME_SAMPLES <= self._sent_until for first in firsts)

    def _end_sample(self) -> int | None:
        """Where the next record ends; None while there is nothing to send."""
        firsts = [voice.first_sample for voice in self._voices.values() if voice.first_sample is not None]
        if not firsts:
            return None
        return (max(min(firsts), self._sent_until) // FRAME_SAMPLES + 1) * FRAME_SAMPLES

    def _cut(self, end_sample: int) -> Iterator[AudioFrame]:
        customer, agent = (self._voices[track] for track in TRACKS)
        self._sent_until = end_sample
        while True:
            (customer_first, customer_pcm), (agent_first, agent_pcm) = customer.take(end_sample), agent.take(end_sample)
            if not customer_pcm and not agent_pcm:
                return
            yield AudioFrame(*self._whose, customer_first, customer_pcm, agent_first, agent_pcm)
