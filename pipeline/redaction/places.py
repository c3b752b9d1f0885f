"""Find street addresses in simple forms: a number, the name and a street word; or a street word, words, a number."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.redaction.digits import Run
from pipeline.redaction.reading import Reading

MAX_STREET_WORDS: Final = 3
MAX_OPENED_WORDS: Final = 6  # between a word that opens a street and the house number
MAX_STREET_DIGITS: Final = 5
MAX_TOWN_WORDS: Final = 12  # "west palm beach florida three three four oh one"
TOWN_MS: Final = 8_000
Mark = tuple[int, int, int]  # turn, first word, last word


def find_addresses(readings: Sequence[Reading], runs: Sequence[Run]) -> Iterator[Mark]:
    """Find street addresses that start with one of the runs."""
    for run in runs:
        if len(run.text) <= MAX_STREET_DIGITS:
            turn, at = run.places[-1]
            first = min(word for place, word in run.places if place == turn)
            last, opener = _street_end(readings[turn], at), _street_start(readings[turn], first)
            if last is not None or opener is not None:
                end = _with_town(readings[turn], _with_unit(readings[turn], at if last is None else last))
                yield turn, first if opener is None else opener, end
                yield from _continued(readings, turn, end)
    for turn, reading in enumerate(readings):
        if reading.towns is None:
            reading.towns = tuple(_towns(reading))
        for first, last in reading.towns:
            yield turn, first, last


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


def _with_town(reading: Reading, last: int) -> int:
    """Take in town, region and postal code behind the street."""
    at = last + 1
    while at < len(reading.norms) and at - last <= MAX_TOWN_WORDS and _is_place(reading, at):
        at += 1
    return at - 1


def _is_place(reading: Reading, at: int) -> bool:
    """Say whether a word may be one of a town, a region or a postal code."""
    word, language = reading.words[at], reading.language
    if word.atoms:
        return True
    is_name = word.kind == "word" and word.norm.isalpha() and word.norm not in language.ordinary
    return is_name or word.norm in language.directions or _region_words(reading, at) > 0


def _continued(readings: Sequence[Reading], turn: int, last: int) -> Iterator[Mark]:
    """Find the town in the next turn of a speaker who stopped behind the street."""
    own = readings[turn]
    if last + 1 < len(own.norms):
        return
    for following in range(turn + 1, len(readings)):
        reading = readings[following]
        if reading.track == own.track and reading.norms:
            end = _with_town(reading, -1)
            if end == len(reading.norms) - 1 and reading.start_ms - own.end_ms <= TOWN_MS:
                yield following, 0, end
            return


def _towns(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find a town before the name of its region: "salem oregon"."""
    for at in range(1, len(reading.norms)):
        words = _region_words(reading, at)
        if words and _is_place(reading, at - 1) and not reading.words[at - 1].atoms:
            first = at - 2 if at > 1 and _is_place(reading, at - 2) and not reading.words[at - 2].atoms else at - 1
            yield first, _with_code(reading, at + words - 1)


def _region_words(reading: Reading, at: int) -> int:
    """Count the words of the region that starts at a word, or of which it is the second; 0 where none is."""
    regions, norms = reading.language.regions, reading.norms
    if norms[at] in regions:
        return 1
    if " ".join(norms[at : at + 2]) in regions:
        return 2
    return int(at > 0 and " ".join(norms[at - 1 : at + 1]) in regions)


def _with_code(reading: Reading, last: int) -> int:
    while last + 1 < len(reading.norms) and reading.words[last + 1].kind == "digits":
        last += 1
    return last


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
