"""Turn masks into what is published: tokens for words, spans for text, sample ranges for audio.

Owns the arithmetic of spans. Text spans are exact word limits; padding exists in audio alone and never reaches into a
word that stays.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline.redaction.detect import Profile, groups
from pipeline.redaction.languages import pick
from pipeline.redaction.numbers import LABEL_MS
from pipeline.redaction.replacement import token
from topics.records import SAMPLES_PER_MS, TRACKS, AudioSpan, Speaker, TextSpan, Track, Word

SEGMENT_LEAD_SAMPLES: Final = 2_400  # 300 ms of pre-roll that the ASR also hears
FAILED_ASR: Final = "none"
CARD_KINDS: Final = frozenset(("CREDITCARD", "CVV"))


@dataclass(slots=True)
class Heard:
    """One turn with its masks; lists have one entry a word, times are milliseconds of the contact.

    A window of them is most of a contact's memory: words are shared with other turns, times are packed.
    """

    contact_id: str
    leg: int
    turn_id: str
    track: Track
    speaker: Speaker
    first_sample: int
    end_sample: int
    is_final: bool
    asr: str
    confidence: float | None
    rev: int
    texts: tuple[str, ...]
    times: bytes  # int32: where each word starts, then where each ends
    estimated: list[int]  # indexes of words whose times are estimated
    masks: tuple[str, ...] = ()
    spans: tuple[TextSpan, ...] = ()
    audio: tuple[AudioSpan, ...] = ()
    redaction_rev: int = 0
    gap: str = ""
    stable_words: int = 0
    is_backchannel: bool = False

    @property
    def starts(self) -> Sequence[int]:
        """Where each word starts."""
        return memoryview(self.times).cast("i")[: len(self.texts)]

    @property
    def ends(self) -> Sequence[int]:
        """Where each word ends."""
        return memoryview(self.times).cast("i")[len(self.texts) :]

    @property
    def start_ms(self) -> int:
        """When the first word starts, or the segment where it has none."""
        first_ms = self.first_sample // SAMPLES_PER_MS
        return min(self.starts[0], first_ms) if self.texts else first_ms

    @property
    def end_ms(self) -> int:
        """When the last word ends, or the segment where it has none."""
        return max(max(self.ends, default=0), self.end_sample // SAMPLES_PER_MS)


def beginning(turn: Heard, words: int) -> Heard:
    """Return a turn as if no more than its first words had been said."""
    times = memoryview(turn.times).cast("i")
    kept = [*times[:words], *times[len(turn.texts) : len(turn.texts) + words]]
    return replace(turn, texts=turn.texts[:words], times=array("i", kept).tobytes(), masks=turn.masks[:words])


def tokens(turn: Heard, profile: Profile) -> tuple[Word, ...]:
    """Write the words of a turn with one token for each masked run."""
    language = pick(profile.languages)
    estimated, starts, ends = set(turn.estimated), turn.starts, turn.ends
    return tuple(
        Word(
            token(kind, turn.texts[first : last + 1], profile.replacement, language) if kind else turn.texts[first],
            starts[first],
            ends[last],
            any(at in estimated for at in range(first, last + 1)),
        )
        for first, last, kind in groups(turn.masks)
    )


def text_spans(turn: Heard, lines: dict[Track, "Line"]) -> tuple[TextSpan, ...]:
    """List the masked runs of a turn; the other track is named where it says something secret meanwhile."""
    return tuple(
        TextSpan(
            turn.starts[first],
            turn.ends[last],
            kind,
            _tracks(turn, turn.starts[first], turn.ends[last], lines),
        )
        for first, last, kind in groups(turn.masks)
        if kind
    )


def _tracks(turn: Heard, start_ms: int, end_ms: int, lines: dict[Track, "Line"]) -> tuple[Track, ...]:
    return tuple(track for track in TRACKS if track == turn.track or lines[track].is_secret(start_ms, end_ms))


@dataclass(slots=True)
class Line:
    """All words of one track in a window, by start: (start, end, is masked).

    Attributes:
        cards: when a card is asked for or given, on either track.
    """

    words: list[tuple[int, int, bool]]
    cards: Sequence[tuple[int, int]] = ()

    def is_secret(self, start_ms: int, end_ms: int) -> bool:
        """Say whether a masked word overlaps a range."""
        return any(masked and start < end_ms and end > start_ms for start, end, masked in self.words)

    def is_card_open(self, start_ms: int, end_ms: int) -> bool:
        """Say whether a card number or its code may be said in a range: one was asked for or given not long before."""
        return any(first < end_ms and last + LABEL_MS > start_ms for first, last in self.cards)

    def padded(self, start_ms: int, end_ms: int, profile: Profile) -> tuple[int, int]:
        """Widen a range by the padding, at most to the neighbouring words that stay."""
        before = next((word for word in reversed(self.words) if word[0] < start_ms), None)
        after = next((word for word in self.words if word[1] > end_ms and word[0] >= start_ms), None)
        first = start_ms - profile.pad_before_ms
        last = end_ms + profile.pad_after_ms
        if before is not None and not before[2]:
            first = max(first, min(before[1], start_ms))
        if after is not None and not after[2]:
            last = min(last, max(after[0], end_ms))
        return max(first, 0), last


def lines_of(turns: Sequence[Heard], asked: Sequence[tuple[int, int]] = ()) -> dict[Track, Line]:
    """Lay out the words of a window per track.

    Args:
        turns: the window.
        asked: when a card is asked for.
    """
    lines: dict[Track, list[tuple[int, int, bool]]] = {track: [] for track in TRACKS}
    for turn in turns:
        lines[turn.track].extend(zip(turn.starts, turn.ends, map(bool, turn.masks), strict=True))
    given = [
        (turn.starts[at], turn.ends[at]) for turn in turns for at, kind in enumerate(turn.masks) if kind in CARD_KINDS
    ]
    return {track: Line(sorted(words), (*asked, *given)) for track, words in lines.items()}


def audio_spans(turn: Heard, lines: dict[Track, Line], profile: Profile) -> tuple[AudioSpan, ...]:
    """List the samples that a final turn asks to cover.

    A segment is covered whole if its recogniser failed (`asr` is none), if it has estimated times and a masked word,
    or if nothing was recognised in it while a card is open: a drop-out must not leak what the words would have masked.
    """
    kind = _kind_of_all(turn, lines[turn.track], profile)
    if kind:
        start = max(0, turn.first_sample - SEGMENT_LEAD_SAMPLES)
        return (AudioSpan(turn.track, start, turn.end_sample, kind),)
    return tuple(_audio_span(track, span, lines, profile) for span in turn.spans for track in span.tracks)


def _kind_of_all(turn: Heard, line: Line, profile: Profile) -> str:
    """Return as what a turn is covered whole; `` where its spans say what is."""
    if turn.asr == FAILED_ASR:
        return "PII"
    if turn.texts:
        return next((kind for kind in turn.masks if kind), "") if turn.estimated else ""
    is_open = line.is_card_open(turn.first_sample // SAMPLES_PER_MS, turn.end_sample // SAMPLES_PER_MS)
    return "PII" if is_open and profile.types.intersection(CARD_KINDS) else ""


def _audio_span(track: Track, span: TextSpan, lines: dict[Track, Line], profile: Profile) -> AudioSpan:
    start_ms, end_ms = lines[track].padded(span.start_ms, span.end_ms, profile)
    return AudioSpan(track, start_ms * SAMPLES_PER_MS, end_ms * SAMPLES_PER_MS, span.type)
