"""Say why a number may stay: an amount, a duration, a year, a time, a date, a saying, a quantity.

Owns the harmless readings of a number. They hold only where no context says that the number is sensitive; `numbers`
asks in that order.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.redaction.digits import Run
from pipeline.redaction.languages import Language
from pipeline.redaction.reading import Reading
from pipeline.redaction.words import sounds_like_number

MAX_AMOUNT_DIGITS: Final = 7
MAX_DESIGNATOR: Final = 4  # digits of a model behind a letter; of others fewer
CENTS: Final = 2  # digits of them
UNSPLIT_DIGITS: Final = 2  # of an amount whose unit stands in the next turn
MAX_LETTERED: Final = 12  # digits behind the letters of a ticket
MAX_BEFORE: Final = 4  # words back to "pay" or "at"
YEARS: Final = (1900, 2099)


def words_before(run: Run, readings: Sequence[Reading]) -> list[str]:
    """Return up to `MAX_BEFORE` words that stand before the number in its first turn, nearest first."""
    turn, at = run.places[0]
    norms = readings[turn].norms
    return norms[max(0, at - MAX_BEFORE) : at][::-1]


def words_after(run: Run, readings: Sequence[Reading]) -> list[str]:
    """Return up to two words that follow the number: in its last turn, or in the track's next turn after a tail."""
    turn, at = run.places[-1]
    found = readings[turn].norms[at + 1 : at + 3]
    if not found:
        track = readings[turn].track
        following = next((r for r in readings[turn + 1 :] if r.track == track), None)
        found = following.norms[:2] if following is not None else []
    return found


def is_measured(run: Run, readings: Sequence[Reading], *, is_answer: bool) -> bool:
    """Say whether a unit follows: dollars, minutes, percent, months; `night` in an answer may be a nine."""
    after = words_after(run, readings)
    if not after or run.certain > MAX_AMOUNT_DIGITS:
        return False
    language = readings[run.turn].language
    is_split = run.is_tail and readings[run.places[-1][0]].norms[run.places[-1][1] + 1 :] == []
    is_heard = is_answer or run.turn != run.last_turn  # a number over turns is no amount
    if is_heard and (is_split or sounds_like_number(after[0], language)) or is_split and run.certain > UNSPLIT_DIGITS:
        return False
    return after[0] in language.measures or (
        after[0] in language.per_words and after[1:] != [] and after[1] in language.per_units
    )


def is_pronoun(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether a single `one` stands for a thing."""
    before = words_before(run, readings)
    return len(run.text) == 1 and bool(before) and before[0] in readings[run.turn].language.before_pronouns


def is_designator(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether a short number is part of the talk that it stands in, as in "the boeing 747"."""
    if run.is_open or run.certain > MAX_DESIGNATOR:
        return False
    turn, at = run.places[0]
    before, language = readings[turn].norms[at - 1], readings[turn].language
    is_lettered = at > 0 and language.is_letter(before)
    if before in language.number_verbs:
        return False
    return run.certain < MAX_DESIGNATOR or is_lettered and not run.is_tail


def is_lettered(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether letters stand before the number, as in a ticket's: "t k nine five nine two"."""
    turn, at = run.places[0]
    language = readings[turn].language
    return at > 0 and language.is_letter(readings[turn].norms[at - 1]) and run.certain <= MAX_LETTERED


def is_counting(run: Run) -> bool:
    """Say whether somebody counts: "one two three four five"."""
    values = [atom.value for atom in run.atoms]
    return len(values) > MAX_DESIGNATOR and values == [str(at) for at in range(1, len(values) + 1)]


def is_saying(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether the digits are a saying such as 24/7; "four one one" after "visa" is none, so labels go first."""
    return run.text in readings[run.turn].language.idioms


def is_everyday(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether the number reads as an amount, a year, a time, a date or a quantity."""
    before = words_before(run, readings)
    if not before and not _is_quantity(run):
        return _is_year(run)
    return (
        _is_year(run)
        or _is_time(run, readings[run.turn].language, before)
        or _is_dated(run, readings, before)
        or _is_quantity(run)
        or _is_price(run, readings[run.turn].language, before)
    )


def is_charged(run: Run, readings: Sequence[Reading]) -> bool:
    """Say whether the number stands behind `pay` or `costs`."""
    return not readings[run.turn].language.amount_words.isdisjoint(words_before(run, readings))


def _is_year(run: Run) -> bool:
    kinds = {atom.kind for atom in run.atoms}
    spoken = len(run.atoms) <= 4 and kinds <= {"teen", "tens", "unit", "scale", "hundred"} and bool(kinds - {"unit"})
    written = len(run.atoms) == 1 and kinds == {"numeral"}
    return len(run.text) == 4 and (spoken or written) and YEARS[0] <= int(run.text) <= YEARS[1]


def _is_time(run: Run, language: Language, before: list[str]) -> bool:
    """Ten thirty, four forty five, twelve oh five; after `at`, `by`, `until`."""
    if not (3 <= len(run.text) <= 4) or not any(word in language.time_words for word in before[:2]):
        return False
    hour, minute = int(run.text[:-2]), int(run.text[-2:])
    return 1 <= hour <= language.last_hour and minute < 60 and len(run.atoms) <= 3 and run.atoms[-1].kind != "numeral"


def _is_dated(run: Run, readings: Sequence[Reading], before: list[str]) -> bool:
    turn, at = run.places[0]
    words = readings[turn].words
    near = [word.kind for word in words[max(0, at - 3) : at]]
    return len(run.text) <= 6 and bool(before) and ("month" in near or "date" in near)


def _is_quantity(run: Run) -> bool:
    """Two hundred and fifty, fifteen hundred, two thousand: nothing but one such number."""
    scales = sum(1 for atom in run.atoms if atom.kind in ("hundred", "scale"))
    digits_after = (
        len(run.atoms)
        - 1
        - max((at for at, atom in enumerate(run.atoms) if atom.kind in ("hundred", "scale")), default=0)
    )
    return 1 <= scales <= 2 and len(run.atoms) <= 6 and digits_after <= 2


def _is_price(run: Run, language: Language, before: list[str]) -> bool:
    """Forty nine ninety nine, after `pay` or `costs`, or within talk where the cents are usual ones."""
    kinds = [atom.kind for atom in run.atoms]
    if kinds[-1] != "numeral" and "hundred" in kinds[1:2] and len(run.text) == CENTS + 3 and not run.is_open:
        return True  # one hundred fifty, ninety nine
    is_spoken = len(run.text) <= 4 and kinds[0] in ("tens", "teen") and len(kinds) <= 4
    is_usual = not run.is_open and len(run.text) == 4 and kinds[-1] != "numeral" and run.text[-1] in "059"
    return is_spoken and (is_usual or any(word in language.amount_words for word in before))
