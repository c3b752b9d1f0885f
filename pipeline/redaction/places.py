"""Find street addresses in simple forms: a number, the name and a street word; or a street word, words, a number."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.redaction.digits import Run
from pipeline.redaction.reading import Reading

MAX_STREET_WORDS: Final = 3
MAX_OPENED_WORDS: Final = 6  # between a word that opens a street and the house number
MAX_STREET_DIGITS: Final = 5
Mark = tuple[int, int, int]  # turn, first word, last word


def find_addresses(readings: Sequence[Reading], runs: Sequence[Run]) -> Iterator[Mark]:
    """Find street addresses that start with one of the runs."""
    for run in runs:
        if len(run.text) <= MAX_STREET_DIGITS:
            turn, at = run.places[-1]
            first = min(word for place, word in run.places if place == turn)
            last, opener = _street_end(readings[turn], at), _street_start(readings[turn], first)
            if last is not None or opener is not None:
                end = at if last is None else last
                yield turn, first if opener is None else opener, _with_unit(readings[turn], end)


def _street_end(reading: Reading, at: int) -> int | None:
    """Find the street word behind a house number; words between may be ordinary only before a plain street word."""
    language = reading.language
    middle: list[str] = []
    for place in range(at + 1, min(at + 2 + MAX_STREET_WORDS, len(reading.norms))):
        norm = reading.norms[place]
        if norm in language.streets and middle:
            return place
        if norm in language.no_street_words or reading.words[place].kind not in ("word", "ordinal", "month", "digits"):
            return None
        if (
            norm in language.ordinary
            and norm not in language.directions
            and reading.words[place].kind == "word"
            and middle
        ):
            return None
        middle.append(norm)
    return None


def _street_start(reading: Reading, at: int) -> int | None:
    """Find the word before a house number that opens a street: "calle", "avenida"."""
    for place in range(at - 1, max(at - 2 - MAX_OPENED_WORDS, -1), -1):
        if reading.norms[place] in reading.language.street_openers:
            return place
        if reading.words[place].ends_sentence or reading.norms[place] in reading.language.no_street_words:
            return None
    return None


def _with_unit(reading: Reading, last: int) -> int:
    """Take in "apartment four b" behind the street."""
    if (
        last + 2 < len(reading.norms)
        and reading.norms[last + 1] in reading.language.address_units
        and reading.words[last + 2].atoms
    ):
        has_letter = last + 3 < len(reading.norms) and len(reading.norms[last + 3]) == 1
        return last + 3 if has_letter else last + 2
    return last
