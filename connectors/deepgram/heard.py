"""What a connection has said about the track: words in audio time, and how far they are final.

Owns which words belong to a segment: those whose middle lies in it. So audio that is sent again on another connection
never doubles a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.deepgram.sent import Sent
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Word

_KEPT_WORDS: Final = 256  # more than a segment has; nobody asks for older ones

# A result may end a few samples before what was sent: times on the wire are rounded to 10 ms.
TOLERANCE_SAMPLES: Final = 20 * SAMPLES_PER_MS


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word in seconds of its connection."""

    text: str
    start_s: float
    end_s: float
    confidence: float
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One message about audio.

    Attributes:
        words: from the end of what is final on; they replace those of the message before that was not final.
        until_s: end of the audio that the message is about, in seconds of the connection.
        is_final: these words stay.
        is_forced: it is the answer to what `Dialect.finalize` sends.
    """

    words: tuple[Spoken, ...]
    until_s: float
    is_final: bool
    is_forced: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A word on the track, in samples."""

    text: str
    start: int
    end: int
    confidence: float
    is_estimated: bool

    @property
    def middle(self) -> int:
        """The sample that says to which segment it belongs."""
        return (self.start + self.end) // 2


@dataclass(slots=True)
class Heard:
    """The words of one connection.

    Attributes:
        sent: its samples.
        said_until: sample of the connection up to which something was said.
        final_until: up to which it is final.
    """

    sent: Sent
    said_until: int = 0
    final_until: int = 0
    _final: list[Placed] = field(default_factory=list)
    _open: list[Placed] = field(default_factory=list)
    _forced: list[int] = field(default_factory=list)
    _settled_until: int = 0

    def force(self) -> None:
        """Note that the service is asked to make everything final."""
        self._forced.append(self.sent.samples)
        self._reach(self.final_until)

    def is_forced(self, place: int) -> bool:
        """Whether an answer is due that makes everything final up to a sample of the connection."""
        return bool(self._forced) and self._forced[-1] >= place

    def take(self, said: Said) -> None:
        """Take what was said."""
        until = max(0, round(said.until_s * SAMPLE_RATE_HZ))
        self.said_until = max(self.said_until, until)
        placed = [word for spoken in said.words if (word := self._place(spoken))]
        if not said.is_final:
            self._open = placed
            return
        self._final = [*self._final, *placed][-_KEPT_WORDS:]
        self._open = []
        if said.is_forced:
            self._take_answer(until)
        self._reach(until)

    def is_complete(self, place: int) -> bool:
        """Whether everything up to a sample of the connection is final."""
        return self.final_until + TOLERANCE_SAMPLES >= place

    def words(self, first_sample: int, end_sample: int, *, is_final: bool) -> list[Placed]:
        """Return the words between two samples of the track, in order; those that are final alone, or all."""
        known = self._final if is_final else [*self._final, *self._open]
        return sorted(
            (word for word in known if first_sample <= word.middle < end_sample), key=lambda word: word.middle
        )

    def _place(self, spoken: Spoken) -> Placed | None:
        start, end = round(spoken.start_s * SAMPLE_RATE_HZ), round(spoken.end_s * SAMPLE_RATE_HZ)
        span = self.sent.sample_of(start, max(end, start + 1))
        return None if span is None else Placed(spoken.text, *span, spoken.confidence, spoken.is_estimated)

    def _take_answer(self, until: int) -> None:
        """Take the answer to `force`: it may end where a word was being heard, before the place of the question.

        The service answers in order, and perhaps not at all where little was left to be made final. So an answer that
        brings nothing beyond what was settled belongs to a question that is off the list.
        """
        if self._forced and until > self._settled_until + TOLERANCE_SAMPLES:
            self._reach(self._forced[0])

    def _reach(self, until: int) -> None:
        """Take the questions off the list that are answered when everything is final up to a sample."""
        self.final_until = max(self.final_until, until)
        while self._forced and self.is_complete(self._forced[0]):
            self._settled_until = self._forced.pop(0)


def in_time(words: Sequence[Placed], end_sample: int) -> tuple[Word, ...]:
    """Return words in milliseconds, none over another or past the end of its segment."""
    timed: list[Word] = []
    end_ms = end_sample // SAMPLES_PER_MS
    for word in words:
        start = max(word.start // SAMPLES_PER_MS, timed[-1].end_ms if timed else 0)
        end = max(start + 1, min(-(-word.end // SAMPLES_PER_MS), end_ms))
        timed.append(Word(word.text, start, end, is_estimated=word.is_estimated))
    return tuple(timed)


def confidence(words: Sequence[Placed]) -> float | None:
    """Return the mean confidence of words; None without any."""
    return sum(word.confidence for word in words) / len(words) if words else None
