"""What redaction masked and left, against labels: figures for `trunkline redact --report` and the benchmark.

Owns the counting; `figures.py` holds the counts and writes them. It knows no detector: it reads
turns, published lines and labels in the forms of `docs/cli.md`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from pipeline.errors import InputError
from pipeline.redaction import lines as redaction_lines
from pipeline.redaction.detect import Profile
from pipeline.redaction.figures import EXPOSED, Fault, Figures, GivenWord, Shown

OPTIONAL: Final = "OPTIONAL"  # a labelled word that counts neither way: a filler within a number
_WORTH: Final = {  # digits that a word gives away; every other labelled word counts as one
    **dict.fromkeys(("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"), 2),
    **dict.fromkeys(("eighteen", "nineteen", "triple", "hundred"), 2),
    "thousand": 3,
}
_TENS: Final = frozenset(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))
_UNITS: Final = frozenset(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
Detect = Callable[[Sequence[str]], Sequence[str]]
"""A baseline: words of one record to the type of each, "" for one that stays."""


class Span(msgspec.Struct, frozen=True):
    """A labelled or masked stretch of a turn, half-open; `type` as in `docs/cli.md`."""

    start_ms: int
    end_ms: int
    type: str


class Label(msgspec.Struct, frozen=True):
    """One line of the labels."""

    contact_id: str
    turn_id: str
    spans: list[Span]


class GivenTurn(msgspec.Struct, frozen=True):
    """A turn that goes in."""

    contact_id: str
    turn_id: str
    rev: int
    is_final: bool
    words: list[GivenWord]


class PublishedLine(msgspec.Struct, frozen=True):
    """A line that comes out."""

    turn_id: str
    rev: int
    is_final: bool
    text: str
    spans: list[Span]


def labels_of(lines: Iterable[str]) -> dict[str, Sequence[Span]]:
    """Read labels: the spans of each turn.

    Raises:
        InputError: a line is no label; the text names its number only.
    """
    decode = msgspec.json.Decoder(Label).decode
    labels: dict[str, Sequence[Span]] = {}
    for number, text in enumerate(lines, start=1):
        if text.strip():
            try:
                label = decode(text)
            except (msgspec.DecodeError, UnicodeError):
                raise InputError(f"labels, line {number}: no JSON object with turn_id and spans") from None
            labels[label.turn_id] = [*labels.get(label.turn_id, []), *label.spans]
    return labels


class Measure:
    """Counts the published lines of one redactor as they come."""

    def __init__(self, labels: Mapping[str, Sequence[Span]]) -> None:
        self._labels = labels
        self._last: dict[str, Shown] = {}
        self._shown: dict[str, dict[tuple[str, str, int], int]] = {}
        self._figures = Figures()

    def add(self, line: Shown) -> None:
        """Count one published line."""
        figures, kinds = self._figures, self._kinds(line)
        figures.lines += 1
        self._last[line.turn_id] = line
        if not line.is_final:
            masks = [mask for mask, kind in zip(line.masks, kinds, strict=True) if not kind]
            figures.benign_partial.update(masks)
        for what in self._exposed(line, kinds):
            figures.exposing[what] += 1
            figures.faults.append(Fault(f"exposes {what}", line))

    def astray(self, line: Shown) -> None:
        """Count a published line whose text is not what its spans say."""
        self._figures.astray += 1
        self._figures.faults.append(Fault("text and spans differ", line))

    def figures(self) -> Figures:
        """Count the last state of each turn; call it once, at the end."""
        figures = self._figures
        labelled: set[str] = set()
        unclean: set[str] = set()
        for line in self._last.values():
            visible = self._last_state(line, self._kinds(line))
            if visible is not None:
                labelled.add(line.contact_id)
                unclean |= {line.contact_id} if visible else set()
        figures.contacts, figures.clean = len(labelled), len(labelled - unclean)
        figures.together = sum(_too_much(shown) for shown in self._shown.values())
        figures.unheard = sum(turn_id not in self._last for turn_id in self._labels)
        return figures

    def _kinds(self, line: Shown) -> list[str]:
        """The labelled type of each word: of the span that holds its middle."""
        spans = self._labels.get(line.turn_id, ())
        middles = [(word.start_ms + word.end_ms) / 2 for word in line.words]
        return [next((one.type for one in spans if one.start_ms <= at <= one.end_ms), "") for at in middles]

    def _last_state(self, line: Shown, kinds: Sequence[str]) -> bool | None:
        """Count a turn; returns whether a labelled word is visible, None where none is labelled."""
        figures, is_visible = self._figures, None
        for mask, kind in zip(line.masks, kinds, strict=True):
            if not kind:
                figures.benign[mask] += 1
            elif kind != OPTIONAL:
                figures.found.setdefault(kind, Counter())[mask] += 1
                is_visible = is_visible or not mask
        for kind in {
            kind for mask, kind in zip(line.masks, kinds, strict=True) if not mask and kind not in ("", OPTIONAL)
        }:
            figures.faults.append(Fault(f"shows {kind}", line))
        for mask in {mask for mask, kind in zip(line.masks, kinds, strict=True) if mask and not kind}:
            figures.faults.append(Fault(f"masks benign words as {mask}", line))
        return is_visible

    def _exposed(self, line: Shown, kinds: Sequence[str]) -> list[str]:
        if not any(kind and not mask for kind, mask in zip(kinds, line.masks, strict=True)):
            return []
        totals: Counter[str] = Counter()
        shown = self._shown.setdefault(line.contact_id, {})
        following = [word.text for word in [*line.words[1:], GivenWord("", 0, 0)]]
        for word, after, mask, kind in zip(line.words, following, line.masks, kinds, strict=True):
            if kind and not mask:
                worth = digits_in(word.text, after)
                totals[kind] += worth
                key = (kind, line.turn_id, word.start_ms)
                shown[key] = max(shown.get(key, 0), worth)
        exposed = [kind for kind, most in EXPOSED.items() if totals[kind] >= most]
        return [*exposed, *(["EMAIL"] if _is_email(line, kinds) else [])]


def digits_in(text: str, after: str) -> int:
    """How many digits a word of a number gives away, given the word that follows; at least one."""
    text, after = _bare(text), _bare(after)
    figures = sum(letter.isdigit() for letter in text)
    if text in _TENS:
        return 1 if after in _UNITS else 2
    return figures or _WORTH.get(text, 1)


def _bare(text: str) -> str:
    return text.lower().strip(".,?!")


def _too_much(shown: Mapping[tuple[str, str, int], int]) -> bool:
    totals: Counter[str] = Counter()
    for (kind, _, _), worth in shown.items():
        totals[kind] += worth
    return any(totals[kind] >= most for kind, most in EXPOSED.items())


def _is_email(line: Shown, kinds: Sequence[str]) -> bool:
    """Whether no word of an address is masked, and both sides of its at sign are there."""
    parts = [at for at, kind in enumerate(kinds) if kind == "EMAIL"]
    if not parts or any(line.masks[at] for at in parts):
        return False
    texts = [_bare(word.text) for word in line.words]
    signs = [at for at in range(parts[0], parts[-1]) if texts[at] in ("at", "@")]
    return bool(signs) or any("@" in texts[at] for at in parts)


class Comparison:
    """Pairs what goes into a redactor with what comes out, and lets baselines redact the same turns."""

    def __init__(self, labels: Mapping[str, Sequence[Span]], baselines: Mapping[str, Detect]) -> None:
        self._measure = Measure(labels)
        self._baselines = {name: (detect, Measure(labels)) for name, detect in baselines.items()}
        self._words: dict[str, dict[int, GivenTurn]] = {}

    def heard(self, turn: GivenTurn) -> None:
        """Take a turn that goes in."""
        self._words.setdefault(turn.turn_id, {})[turn.rev] = turn
        for detect, measure in self._baselines.values():
            masks = detect([word.text for word in turn.words])
            measure.add(Shown(turn.contact_id, turn.turn_id, turn.rev, turn.is_final, turn.words, masks))

    def published(self, out: PublishedLine) -> None:
        """Take a line that came out."""
        turn = self._words[out.turn_id][out.rev]
        masks = [_mask(word, out.spans) for word in turn.words]
        line = Shown(turn.contact_id, turn.turn_id, turn.rev, out.is_final, turn.words, masks)
        self._measure.add(line)
        if out.text.split() != _masked(line):
            self._measure.astray(line)

    def run(self, lines: Iterable[str], profile: Profile | None = None) -> Iterator[str | redaction_lines.BadLine]:
        """Redact as `lines.run` does, and count what goes in and comes out."""
        decode = msgspec.json.Decoder(PublishedLine).decode
        for line in redaction_lines.run(self._taken(lines), profile):
            if isinstance(line, str):
                self.published(decode(line))
            yield line

    def _taken(self, lines: Iterable[str]) -> Iterator[str]:
        decode = msgspec.json.Decoder(GivenTurn).decode
        for line in lines:
            with suppress(msgspec.DecodeError, UnicodeError):  # a bad line is told by what redacts it
                self.heard(decode(line))
            yield line

    def figures(self) -> dict[str, Figures]:
        """Figures of the redactor, under "trunkline", and of each baseline; call it once."""
        return {"trunkline": self._measure.figures()} | {
            name: measure.figures() for name, (_, measure) in self._baselines.items()
        }


def _mask(word: GivenWord, spans: Sequence[Span]) -> str:
    return next((span.type for span in spans if span.start_ms <= word.start_ms and word.end_ms <= span.end_ms), "")


def _masked(line: Shown) -> list[str]:
    """The text that the spans of a line promise, as words: one token for each run of one type."""
    told: list[str] = []
    before = ""
    for word, mask in zip(line.words, line.masks, strict=True):
        if not mask:
            told += word.text.split()
        elif mask != before:
            told.append(f"[{mask}]")
        before = mask
    return told
