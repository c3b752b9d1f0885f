"""Find street addresses in their simple North American form: number, one to three words, street word, unit."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.redaction.digits import Run
from pipeline.redaction.ordinary_en import ORDINARY
from pipeline.redaction.reading import Reading

MAX_STREET_WORDS: Final = 3
MAX_STREET_DIGITS: Final = 5
Mark = tuple[int, int, int]  # turn, first word, last word

_STREETS: Final = frozenset(
    """street st avenue ave road rd drive dr lane ln boulevard blvd court ct place pl circle terrace parkway pkwy
    highway hwy way square trail loop alley crescent""".split()
)
_UNITS: Final = frozenset("apartment apt unit suite number floor".split())
_DIRECTIONS: Final = frozenset("north south east west northeast northwest southeast southwest n s e w".split())
_WEAK_MIDDLES: Final = frozenset(
    """of the to and or a in on at by for is was more my your this that way days down up other same out only no any
    it one big long small""".split()
)


def find_addresses(readings: Sequence[Reading], runs: Sequence[Run]) -> Iterator[Mark]:
    """Find street addresses that start with one of the runs."""
    for run in runs:
        turn, at = run.places[-1]
        if len(run.text) <= MAX_STREET_DIGITS:
            last = _street_end(readings[turn], at)
            if last is not None:
                first = min(word for place, word in run.places if place == turn)
                yield turn, first, _with_unit(readings[turn], last)


def _street_end(reading: Reading, at: int) -> int | None:
    """Find the street word behind a house number; words between may be ordinary only before a plain street word."""
    middle: list[str] = []
    for place in range(at + 1, min(at + 2 + MAX_STREET_WORDS, len(reading.norms))):
        norm = reading.norms[place]
        if norm in _STREETS and middle:
            return place
        if norm in _WEAK_MIDDLES or reading.words[place].kind not in ("word", "ordinal", "month", "digits"):
            return None
        if norm in ORDINARY and norm not in _DIRECTIONS and reading.words[place].kind == "word" and middle:
            return None
        middle.append(norm)
    return None


def _with_unit(reading: Reading, last: int) -> int:
    """Take in "apartment four b" behind the street."""
    if last + 2 < len(reading.norms) and reading.norms[last + 1] in _UNITS and reading.words[last + 2].atoms:
        has_letter = last + 3 < len(reading.norms) and len(reading.norms[last + 3]) == 1
        return last + 3 if has_letter else last + 2
    return last
