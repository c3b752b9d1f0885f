"""Judge the numbers that are left in published turns.

Owns what makes a number one that may not stay: its length, its check digit, what stands around it, what was asked, and
what is masked nearby.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.verification.people import Mark
from pipeline.verification.spoken import MEASURES, Language, Number, Token, numbers
from pipeline.verification.talk import ASKED_MS, LABEL_WORDS, MONTHS, STAYS, Cue, Talk, is_masked
from pipeline.verification.words import EVERYDAY, is_street, times_said
from topics.records import TRACKS

_NEAR_MS: Final = 15_000  # a value that is masked explains a number so far away
_CARD: Final = range(13, 20)
_MOST_OF_A_LABEL: Final = 13
_STREETS: Final = frozenset(
    "street avenue road drive lane boulevard court way place trail circle terrace parkway st ave rd dr blvd".split()
)
_ORDINALS: Final = frozenset(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth".split()
)
_COUNTS: Final = frozenset("hundred thousand million cien mil".split())
_RANGES: Final = frozenset("to for by in or of out a".split())
_NAMES_NUMBERS: Final = frozenset("number numbers code digits ending slash dash the".split())
_BEFORE_TIMES: Final = frozenset("at by until to a around after before about for".split())
_BEFORE_YEARS: Final = frozenset("in of since from back".split())
_EACH: Final = frozenset("a an per each every business calendar".split())
_SURELY_A_VALUE: Final = 7  # digits; more than what is counted in talk
_NUMERIC: Final = ("CREDITCARD", "CVV", "EXPIRY", "SSN", "ROUTING", "BANKACCOUNT", "PHONE", "DOB", "PII")
# The fewest digits of a value, and those of one that is all that somebody says.
_LEAST: Final = {"CVV": 3, "PII": 3, "CREDITCARD": 4, "SSN": 4, "PHONE": 6, "ROUTING": 4, "BANKACCOUNT": 4}


def find_numbers(talk: Talk, language: Language) -> Iterator[Mark]:
    """Yield the numbers of a contact that may not stay, word for word of each turn."""
    kinds: list[tuple[Number, list[Token], str]] = []
    for track in TRACKS:
        tokens = [
            Token(talk.texts[turn][at], turn, at, word.start_ms, word.end_ms)
            for turn, one in enumerate(talk.turns)
            if one.track == track
            for at, word in enumerate(one.words)
        ]
        kinds += [(number, tokens, _Judged(number, tokens, talk).kind()) for number in numbers(tokens, language)]
    known = {number.digits: kind for number, _, kind in kinds if kind and len(number.digits) >= 4}
    for number, tokens, kind in kinds:
        if kind or number.digits in known:
            yield from _marks(number, tokens, kind or known[number.digits])


def _marks(number: Number, tokens: Sequence[Token], kind: str) -> Iterator[Mark]:
    """Yield the words of a number, turn by turn."""
    spans: dict[int, list[int]] = {}
    for token in tokens[number.first : number.last + 1]:
        spans.setdefault(token.turn, []).append(token.at)
    for turn, places in spans.items():
        yield turn, places[0], places[-1], kind


class _Judged:
    """One number and what stands around it on its track; it says what the number is."""

    def __init__(self, number: Number, tokens: Sequence[Token], talk: Talk) -> None:
        self.digits = number.digits
        self.talk = talk
        self.words = [token.said for token in tokens[number.first : number.last + 1]]
        self.start, self.end = tokens[number.first], tokens[number.last]
        self.before = [token.said for token in tokens[max(0, number.first - 2) : number.first]]
        self.after = [token.said for token in tokens[number.last + 1 : number.last + 5]]
        around = tokens[number.last + 1 : number.last + 2]
        self.ends_turn = not around or around[0].turn != self.end.turn
        self.begins_turn = self.start.at == 0
        self.has_month = any(word in MONTHS for word in (*self.before, *self.words, *self.after[:2]))
        places = [token.at for token in tokens[number.first : number.last + 1] if token.turn == self.start.turn]
        self.is_alone = len(places) == len(talk.texts[self.start.turn])
        self.is_bare = talk.content(self.start.turn, places[0], places[-1]) <= 1

    def kind(self) -> str:
        """Return what a number is; empty where it may stay."""
        label = self._label()
        if self._holds_card() and not (label and len(self.digits) <= _MOST_OF_A_LABEL):
            return "CREDITCARD"
        if label:
            return STAYS if len(self.digits) <= _MOST_OF_A_LABEL else "PII"
        near = (self.start.start_ms, self.end.end_ms, _NEAR_MS)
        if self._is_street() or self._is_flat() and self.talk.is_near(("ADDRESS",), *near):
            return "ADDRESS"
        if len(self.words) == 1 and self.words[0] in _ORDINALS:
            return self._asked() if self.has_month else STAYS
        if self._is_left_over():
            return "PII"
        if self._is_measured():
            return STAYS
        return self._asked() or self._unasked()

    def _label(self) -> bool:
        """Whether it is named as something that may stay, in the same breath or by the question."""
        cue = next(self._cues(), None)
        if cue is None or cue.type != STAYS:
            return False
        if cue.turn == self.start.turn:
            return self.start.at - cue.end <= LABEL_WORDS
        return self.is_bare

    def _cues(self) -> Iterator[Cue]:
        """Yield the phrases before it, latest first."""
        for cue in reversed(self.talk.cues):
            if not cue.is_mask and self.start.start_ms - ASKED_MS <= cue.at_ms <= self.start.start_ms:
                yield cue

    def _asked(self) -> str:
        """Return the latest type that was named, has no value yet, and may look like this."""
        for cue in self._cues():
            if cue.type == STAYS or self.talk.is_answered(cue, self.start.start_ms):
                continue
            if self._is_told(cue) or self._is_reply(cue) or self._fits(cue.type) and self._is_meant(cue):
                return cue.type if cue.type not in ("NAME", "SPELLING") else "PII"
        return ""

    def _is_reply(self, cue: Cue) -> bool:
        """Whether somebody says hardly more than this to a question of the other side."""
        is_question = self.talk.turns[cue.turn].track != self.talk.turns[self.start.turn].track
        if not is_question or cue.type in ("NAME", "SPELLING", "EMAIL"):
            return False
        return self.is_alone or self.is_bare and len(self.digits) >= 2

    def _is_meant(self, cue: Cue) -> bool:
        """Whether a few digits are not of something else that is talked about meanwhile."""
        is_few = len(self.digits) <= 4 and not self.has_month
        return cue.turn == self.start.turn or not is_few or self.is_bare and not self._is_named()

    def _is_told(self, cue: Cue) -> bool:
        """Whether it follows what it is called in one breath: "the code is forty four"."""
        is_next = cue.turn == self.start.turn and self.start.at - cue.end <= 2 and cue.type in _NUMERIC
        return is_next and (len(self.digits) >= 2 or self.ends_turn)

    def _fits(self, kind: str) -> bool:
        digits = len(self.digits)
        match kind:
            case "DOB" | "EXPIRY":
                return self.has_month or self._is_date()
            case "CVV":
                return digits in (3, 4) and not self.has_month
            case "ADDRESS":
                return digits == 5 or self.after[:1] != [] and is_street(self.after[0]) or self._is_flat()
            case "NAME" | "SPELLING" | "EMAIL":
                return False
        return digits >= _LEAST[kind] and not self.has_month

    def _unasked(self) -> str:
        digits = len(self.digits)
        if self.digits == "247" or "million" in self.words:
            return ""
        if digits >= _SURELY_A_VALUE and not self.has_month:
            return {9: "SSN", 10: "PHONE", 11: "PHONE"}.get(digits, "PII")
        if self.has_month and self._is_birth():
            return "DOB"
        if self._is_named() or self._is_spoken_of():
            return ""
        near = self.talk.is_near(_NUMERIC, self.start.start_ms, self.end.end_ms, _NEAR_MS)
        if near and (digits >= 3 or digits == 2 and self.is_alone):
            return "EXPIRY" if self.has_month else "PII"
        return "PII" if digits >= 4 and self.is_bare and not self.has_month else ""

    def _is_date(self) -> bool:
        """Whether digits begin with a month or end with a year."""
        digits = self.digits
        if len(digits) == 4 and 1900 <= int(digits) <= 2099:
            return True
        return 3 <= len(digits) <= 8 and (
            1 <= int(digits[:2]) <= 12 or 1 <= int(digits[0]) <= 9 and len(digits) in (3, 5, 7)
        )

    def _is_birth(self) -> bool:
        """Whether a date ends with a year of somebody who may be asked."""
        return len(self.digits) >= 5 and 1900 <= int(self.digits[-4:]) <= 2012

    def _is_measured(self) -> bool:
        """Whether a measure follows, or it is a time of day or a year."""
        after, before = (self.after or [""])[0], (self.before or [""])[-1]
        if len(self.digits) >= _SURELY_A_VALUE:
            return False
        is_shared = after in _EACH and self.after[1:2] != [] and self.after[1] in MEASURES
        if (
            after in MEASURES
            or is_shared
            or self._is_counting(after)
            or self.after[:2] in (["a", "m"], ["p", "m"], ["in", "the"])
        ):
            return True
        digits = self.digits
        is_time = 3 <= len(digits) <= 4 and int(digits[-2:]) < 60 and int(digits[:-2]) <= 12
        is_year = len(digits) == 4 and 1900 <= int(digits) <= 2099
        return is_time and before in _BEFORE_TIMES or is_year and before in _BEFORE_YEARS and not self.has_month

    def _is_counting(self, after: str) -> bool:
        """Whether several of something follow, as far as the language shows it: "eleven devices"."""
        is_plural = after.isalpha() and after.endswith("s") and not after.endswith("ss") and len(after) > 3
        return is_plural and len(self.digits) <= 3 and not self.ends_turn and times_said(after) < EVERYDAY

    def _is_left_over(self) -> bool:
        """Whether it stands beside a masked number in one breath: two digits or more, or one between two."""
        before, after = (self.before or [""])[-1], (self.after or [""])[0]
        masked = [is_masked(word) and not word.startswith(("[name", "[email")) for word in (before, after)]
        if all(masked):
            return True
        is_inside = masked[0] and not self.begins_turn or masked[1] and not self.ends_turn
        return any(masked) and (len(self.digits) >= 2 or self.is_alone or is_inside) and not self._is_measured()

    def _is_street(self) -> bool:
        """Whether a street follows: a number, one to three uncommon words, and what streets are called."""
        at = next((at for at, word in enumerate(self.after) if word in _STREETS), 0)
        named = all(word.isalpha() and len(word) > 2 and times_said(word) < EVERYDAY for word in self.after[:at])
        return len(self.digits) <= 5 and at > 0 and named

    def _is_flat(self) -> bool:
        return bool(self.before) and self.before[-1] in ("apartment", "apt", "unit", "suite", "apartamento")

    def _is_named(self) -> bool:
        """Whether an uncommon word before it says what it is: "windows eleven", "page forty"."""
        if self.begins_turn or not self.before:
            return False
        word = self.before[-1]
        return not is_masked(word) and word not in _NAMES_NUMBERS and times_said(word) < 2 * EVERYDAY

    def _is_spoken_of(self) -> bool:
        """Whether it is a count, a range or a year that somebody talks about."""
        is_year = len(self.digits) == 4 and 1900 <= int(self.digits) <= 2099
        return any(word in _COUNTS or word in _RANGES for word in self.words) or is_year and not self.is_alone

    def _holds_card(self) -> bool:
        digits = self.digits
        return any(
            _passes_luhn(digits[at : at + length])
            for length in _CARD
            for at in range(len(digits) - length + 1)
            if len(set(digits[at : at + length])) > 1
        )


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 Annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0
