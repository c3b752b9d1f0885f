"""Decide what each number is: by its label, its shape, its check digit, and what stands around it.

Owns the order of evidence. A number of three digits or more that nothing explains is `PII`: it fails closed, but for
three behind a designator ("boeing 747") while no card waits for its code.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.redaction.checks import (
    find_card,
    is_birth_date,
    is_month_year,
    is_routing,
    is_social_security,
    is_telephone,
    may_start_card,
)
from pipeline.redaction.digits import Run
from pipeline.redaction.explain import (
    is_charged,
    is_counting,
    is_designator,
    is_everyday,
    is_lettered,
    is_measured,
    is_pronoun,
    is_saying,
)
from pipeline.redaction.reading import Date, Label, Reading, labels_across
from topics.records import Track

LABEL_MS: Final = 30_000  # how long a question stays open
UNEXPLAINED: Final = 3  # digits from which a number without explanation is masked
NEUTRAL_WORDS: Final = 6  # words between "order number" and its number where the speaker labels it himself
MAX_NEUTRAL: Final = 12  # digits of an order number
HELD_NEUTRAL: Final = 5  # digits from which an answer that may start a card waits for the horizon
SHOWN: Final = 4  # digits of an order number in a partial, behind which it may turn out to be a card
DATE_TURNS: Final = 4  # turns after the question in which date words answer it
CARD_LIKE: Final = 12  # digits of a masked number that a card may be of which one was not heard
MOVED_ON: Final = 24  # words of talk after a question behind which a short number does not answer it
ADJACENT: Final = 4  # words of talk between a question and an answer that stands in a sentence
ANNOUNCED: Final = 2  # words behind a label with which its speaker announces a number of the next turn
OVERLAP_MS: Final = 1_000  # an answer may begin before its question has ended
TRAILING_WORDS: Final = 6  # "... is my card number"


@dataclass(frozen=True, slots=True)
class Placed:
    """A label with its place in time."""

    at_ms: int
    turn: int
    label: Label


@dataclass(slots=True)
class Judged:
    """A run with its decision.

    Attributes:
        types: a type for each atom, `` where it stays.
        is_held: masked only until the horizon shows that nothing follows.
    """

    run: Run
    types: list[str]
    is_held: bool = False

    @property
    def type(self) -> str:
        """Return the first type that one of its digits has; `` where all stay."""
        return next((kind for kind in self.types if kind), "")


class Numbers:
    """The numbers of a window and what has been decided about them; one pass, oldest first."""

    def __init__(self, readings: Sequence[Reading], now_ms: int, horizon_ms: int) -> None:
        """Collect the labels of both tracks.

        Args:
            readings: the turns of the window by start.
            now_ms: the contact's watermark; a number that ended `horizon_ms` before it gets no more digits.
            horizon_ms: the release horizon.
        """
        self._readings = readings
        self._released_ms = now_ms - horizon_ms
        self.labels = list(_labels_of(readings))
        placed = (
            Placed(readings[turn].ends[label.last], turn, label)
            for turn, labels in enumerate(self.labels)
            for label in labels
        )
        self._labels = sorted(placed, key=lambda row: (row.at_ms, row.turn, row.label.first))
        self._times = [row.at_ms for row in self._labels]
        self.judged: list[Judged] = []

    def judge(self, runs: Sequence[Run]) -> list[Judged]:
        """Decide about every run."""
        for run in runs:
            self.judged.append(self._judge(run))
        self._join_cards()
        return self.judged

    def date_kind(self, turn: int, date: Date) -> str:
        """Say whether date words answer a question for a date of birth or an expiry; `` where they stay."""
        reading = self._readings[turn]
        start_ms = reading.starts[date.first]
        for row in reversed(self._labels[: bisect_right(self._times, start_ms + OVERLAP_MS)]):
            if row.at_ms < start_ms - LABEL_MS or turn - row.turn > DATE_TURNS:
                break
            if row.turn == turn and row.label.first > date.first:
                continue
            if _is_doubtful(row.label) and not self.has_card_talk():
                continue
            if row.label.kind in ("DOB", "EXPIRY"):
                is_whole = date.is_expiry if row.label.kind == "EXPIRY" else date.is_birth
                is_near = date.is_open or row.turn == turn or self._distance(row, turn) <= ADJACENT
                return row.label.kind if is_near or is_whole else ""
            if row.label.kind and not (row.label.kind == "CREDITCARD" and row.label.is_weak):
                break
        if date.is_birth:
            return "DOB"
        is_of_card = date.is_open and date.is_expiry and self.has_card_talk()
        return "EXPIRY" if is_of_card else ""

    def _is_told(self, row: Placed, run: Run) -> bool:
        """Say whether a number stands directly behind its label: "expires two thousand thirty one"."""
        turn, at = run.places[0]
        return row.turn == turn and 0 < at - row.label.last <= 2

    def _distance(self, row: Placed, turn: int) -> int:
        """Count the words of talk between a label and a later turn."""
        between = sum(reading.content for reading in self._readings[row.turn + 1 : turn])
        return max(0, between + len(self._readings[row.turn].norms) - 1 - row.label.last)

    def _judge(self, run: Run) -> Judged:
        card = find_card(run.text)
        if card is not None:
            return Judged(run, _around_card(run, card))
        kind, is_held = self._kind(run)
        return Judged(run, [kind] * len(run.atoms), is_held)

    def _kind(self, run: Run) -> tuple[str, bool]:
        """Return the type of a run that holds no card, and whether it is only held."""
        placed = self._label_of(run)
        is_answer = placed is not None and self._is_answer(placed, run)
        is_firm = is_answer and placed is not None and placed.label.kind != "" and not placed.label.is_weak
        echo = self._echo(run)
        if is_pronoun(run, self._readings) or is_measured(run, self._readings, is_answer=is_firm or bool(echo)):
            return "", False
        if placed is not None and placed.label.kind == "":
            return self._neutral(run, placed)
        if echo and (placed is None or placed.label.is_weak):
            return echo, False
        if placed is None:
            return self._unlabelled(run), False
        if not is_answer and not self._unlabelled(run):
            return "", False
        is_weak = placed.label.is_weak and not (_is_doubtful(placed.label) and self._is_told(placed, run))
        if run.certain < (UNEXPLAINED if is_weak else 2) and not run.is_tail:
            return echo, False
        is_date = is_answer and placed.label.kind in _DATES and _DATES[placed.label.kind](run.text)
        is_told = is_date or self._begins_card(placed, run)
        if is_weak and not is_told and run.certain >= UNEXPLAINED and is_everyday(run, self._readings):
            return "", False
        return self._refined(run, placed.label.kind), False

    def _begins_card(self, row: Placed, run: Run) -> bool:
        """Say whether a turn that names a card ends with what may be its first digits: "the card i used was 6700"."""
        turn, at = run.places[0]
        is_named = row.label.kind == "CREDITCARD" and row.turn == turn and run.is_tail and may_start_card(run.text)
        between = self._readings[turn].norms[row.label.last + 1 : at]
        return is_named and self._readings[turn].language.amount_words.isdisjoint(between)

    def _is_answer(self, row: Placed, run: Run) -> bool:
        """Say whether a number stands where the value that a label names is said.

        That is behind the label in its own turn, or at once behind it; later only where nothing but a lead-in stands
        before the number and the talk has not moved on.
        """
        turn, at = run.places[0]
        if row.turn == turn:
            return run.is_open or at - row.label.last <= NEUTRAL_WORDS
        asking = self._readings[row.turn]
        if asking.track == self._readings[turn].track and len(asking.norms) - 1 - row.label.last > ANNOUNCED:
            return False
        distance = self._distance(row, turn)
        is_adjacent = not row.label.is_weak and distance <= ADJACENT and not self._is_used(row, run)
        return is_adjacent or run.is_open and distance <= MOVED_ON

    def is_cold(self, judged: Judged) -> bool:
        """Say whether a number at the end of a partial is part of ordinary talk, whatever follows."""
        run = judged.run
        if judged.type:
            return False
        if self._is_announced(run):
            return len(run.text) <= SHOWN or not may_start_card(run.text[:6])
        return not run.is_open and (is_charged(run, self._readings) or not self._follows_secret(run))

    def _is_announced(self, run: Run) -> bool:
        """Say whether the speaker has just named a number that stays: "order number"."""
        row = self._label_of(run)
        turn, at = run.places[0]
        is_own = row is not None and row.turn == turn and at - row.label.last <= NEUTRAL_WORDS
        return is_own and row is not None and row.label.kind == ""

    def _unlabelled(self, run: Run) -> str:
        if run.certain < UNEXPLAINED or is_designator(run, self._readings) and not self._awaits_code():
            return ""
        trailing = self._trailing(run)
        if trailing:
            return trailing
        if is_counting(run) or is_lettered(run, self._readings) and not run.pieces[0][1].is_head:
            return ""
        if (is_saying(run, self._readings) or is_everyday(run, self._readings)) and not (
            run.is_open and self._follows_secret(run)
        ):
            return ""
        if self._is_telephone(run):
            return "PHONE"
        return "SSN" if is_social_security(run.text) else "PII"

    def _neutral(self, run: Run, placed: Placed) -> tuple[str, bool]:
        """An order number stays; an answer to a question that may be a card waits for the horizon."""
        if run.certain > MAX_NEUTRAL or placed.label.is_weak and is_routing(run.text):
            return "PII", False
        turn, at = run.places[0]
        is_own = placed.turn == turn and at - placed.label.last <= NEUTRAL_WORDS
        may_be_card = run.certain >= HELD_NEUTRAL and may_start_card(run.text[:6])
        if not is_own and may_be_card and run.end_ms > self._released_ms:
            return "PII", True
        return "", False

    def _label_of(self, run: Run) -> Placed | None:
        """Find the nearest label before a run, on either track, that is still open."""
        for row in reversed(self._labels[: bisect_right(self._times, run.start_ms)]):
            if row.at_ms < run.start_ms - LABEL_MS:
                return None
            if self._applies(row, run):
                return None if self._is_answered(row, run) else row
        return None

    def _applies(self, row: Placed, run: Run) -> bool:
        turn, at = run.places[0]
        if row.label.kind == "":
            is_own = row.turn == turn and 0 < at - row.label.last <= NEUTRAL_WORDS
            return is_own or (not row.label.is_weak and not self._is_used(row, run))
        return not _is_doubtful(row.label) or self.has_card_talk()

    def _is_used(self, row: Placed, run: Run) -> bool:
        """Say whether another number has followed the label: one order number is all that it explains."""
        return any(
            judged.run.start_ms >= row.at_ms and judged.run.text != run.text and judged.run.certain > 1
            for judged in self.judged
        )

    def has_card_talk(self) -> bool:
        """Say whether a card was spoken of: a contract expires too."""
        return any(row.label.kind in ("CREDITCARD", "CVV") for row in self._labels) or any(
            judged.type == "CREDITCARD" or judged.type and len(judged.run.text) >= CARD_LIKE for judged in self.judged
        )

    def _awaits_code(self) -> bool:
        """Say whether a card was given whose security code was not, so that three digits may be it."""
        kinds = [judged.type for judged in self.judged]
        return "CREDITCARD" in kinds and "CVV" not in kinds[kinds.index("CREDITCARD") :]

    def _is_answered(self, row: Placed, run: Run) -> bool:
        """Say whether a complete number of the label's type has been given since; its echo is found otherwise."""
        complete = _COMPLETE.get(row.label.kind)
        return complete is not None and any(
            judged.type == row.label.kind
            and len(judged.run.text) >= complete
            and judged.run.start_ms >= row.at_ms
            and run.start_ms > judged.run.end_ms
            for judged in self.judged
        )

    def _refined(self, run: Run, kind: str) -> str:
        if kind == "PHONE" and not self._is_telephone(run) and is_social_security(run.text):
            return "SSN"
        return kind

    def _is_telephone(self, run: Run) -> bool:
        others = self._readings[run.turn].language.telephone_pattern
        return is_telephone(run.text) or others.fullmatch(run.text) is not None

    def _trailing(self, run: Run) -> str:
        """Find `... is my card number` behind a run."""
        turn, at = run.places[-1]
        language = self._readings[turn].language
        for label in self._readings[turn].labels:
            before = self._readings[turn].norms[max(0, label.first - 3) : label.first]
            is_told = not language.telling_words.isdisjoint(before) or not language.owning_words.isdisjoint(before[-1:])
            if 0 < label.first - at <= TRAILING_WORDS and is_told and label.kind:
                return label.kind
        return ""

    def _echo(self, run: Run) -> str:
        """Find the secret that a short run repeats or continues: at least two digits, soon after the other side."""
        if run.certain < 2 or run.certain <= UNEXPLAINED and not run.is_open:
            return ""
        for judged in reversed(self.judged):
            if run.start_ms - judged.run.end_ms > LABEL_MS // 2:
                break
            if judged.type and (run.text in judged.run.text or run.spelling in judged.run.spelling):
                return judged.type
        return ""

    def _follows_secret(self, run: Run) -> bool:
        """Say whether an unexplained number ended just before, so that `2024` may be its next group."""
        track = self._readings[run.turn].track
        return any(
            judged.type and self._readings[judged.run.turn].track == track and run.start_ms - judged.run.end_ms < 8_000
            for judged in self.judged[-4:]
        )

    def _join_cards(self) -> None:
        """Find a card whose groups are runs of their own, with talk between them."""
        for track in ("customer", "agent"):
            rows = [row for row in self.judged if self._readings[row.run.turn].track == track and self._joins(row)]
            for first, row in enumerate(rows):
                self._join_from(rows[first:], row.run.start_ms)

    def _joins(self, row: Judged) -> bool:
        return len(row.run.text) < 13 and (bool(row.type) or row.run.certain >= 2 and row.run.is_open)

    def _join_from(self, rows: list[Judged], start_ms: int) -> None:
        text = ""
        for count, row in enumerate(rows, start=1):
            text += row.run.text
            if len(text) > 19 or row.run.end_ms - start_ms > 2 * LABEL_MS:
                return
            if count > 1 and find_card(text) == (0, len(text)) and any(part.type for part in rows[:count]):
                for part in rows[:count]:
                    part.types = ["CREDITCARD"] * len(part.types)
                    part.is_held = False


def _labels_of(readings: Sequence[Reading]) -> Iterator[Sequence[Label]]:
    """List the labels of each turn, with those that begin in the turn before of the same track."""
    before: dict[Track, Reading] = {}
    for reading in readings:
        last = before.get(reading.track)
        across = labels_across(last, reading) if last is not None and reading.words else ()
        yield [*across, *reading.labels] if across else reading.labels
        if reading.words:
            before[reading.track] = reading


# Types whose values are dates, which are everyday numbers otherwise.
_DATES: Final = {"DOB": is_birth_date, "EXPIRY": is_month_year}

# Digits from which a value is whole; shorter ones may go on in the next turn.
_COMPLETE: Final = {"CREDITCARD": 13, "SSN": 9, "ROUTING": 9, "PHONE": 10, "CVV": 3, "EXPIRY": 3, "DOB": 4}


def _is_doubtful(label: Label) -> bool:
    """Say whether something else than a card may be meant: "valid until", "on the back"."""
    return label.kind in ("CVV", "EXPIRY") and label.is_weak


def _around_card(run: Run, card: tuple[int, int]) -> list[str]:
    """Type the atoms of a run that holds a card: expiry and security code often follow in the same breath."""
    first, after = run.origins[card[0]], run.origins[card[1]] if card[1] < len(run.text) else len(run.atoms)
    types = ["PII"] * first + ["CREDITCARD"] * (after - first)
    rest = run.text[card[1] :]
    types += ["PII"] * (len(run.atoms) - after)
    if len(rest) in (3, 4) and not (len(rest) == 4 and is_month_year(rest)):
        types[after:] = ["CVV"] * (len(run.atoms) - after)
    elif is_month_year(rest[:4]) and len(rest) in (4, 7, 8):
        split = run.origins[card[1] + 4] if len(rest) > 4 else len(run.atoms)
        types[after:] = ["EXPIRY"] * (split - after) + ["CVV"] * (len(run.atoms) - split)
    return types
