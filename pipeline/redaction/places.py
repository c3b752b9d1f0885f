"""Find street addresses in simple forms: a number, the name and a street word; or a street word, words, a number."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.redaction.digits import Run
from pipeline.redaction.reading import Piece, Reading
from pipeline.redaction.words import decode, sounds_like_number

MAX_STREET_WORDS: Final = 3
MAX_CORRECTED_DIGITS: Final = 10  # of a house number that was said twice
MAX_OPENED_WORDS: Final = 6  # between a word that opens a street and the house number
MAX_STREET_DIGITS: Final = 5
MAX_UNIT_FILLERS: Final = 2  # between "apartment" and its number
MAX_TOWN_WORDS: Final = 12  # "west palm beach florida three three four oh one"
TOWN_MS: Final = 8_000
ANSWER_MS: Final = 20_000  # from a question for an address to the begin of the last part of the answer
MAX_REPLIES: Final = 6
Mark = tuple[int, int, int]  # turn, first word, last word


def find_addresses(readings: Sequence[Reading], runs: Sequence[Run]) -> Iterator[Mark]:
    """Find street addresses that start with one of the runs."""
    for run in runs:
        turn, piece = run.pieces[-1]
        digits = _digits(readings[turn], piece)
        if digits <= MAX_CORRECTED_DIGITS:
            first, at = piece.words[0], piece.words[-1]
            if digits > MAX_STREET_DIGITS and not _is_corrected(piece):
                continue
            last, opener = _street_end(readings[turn], at), _street_start(readings[turn], first)
            if last is not None or opener is not None:
                end = _with_town(readings[turn], _with_unit(readings[turn], at if last is None else last))
                yield turn, first if opener is None else opener, end
                yield from _continued(readings, turn, end)
            elif piece.is_tail:
                yield from _street_behind(readings, turn)
    for turn, reading in enumerate(readings):
        if reading.asks_place:
            yield from _answers(readings, turn)
        if reading.towns is None:
            reading.towns = tuple(_towns(reading))
        for first, last in reading.towns:
            yield turn, first, last


def _is_corrected(piece: Piece) -> bool:
    """Say whether talk stands within a number: "one four three no wait seven"."""
    return piece.words[-1] - piece.words[0] >= len(piece.words)


def _digits(reading: Reading, piece: Piece) -> int:
    return len(decode([atom for at in piece.words for atom in reading.words[at].atoms]))


def _answers(readings: Sequence[Reading], turn: int) -> Iterator[Mark]:
    """Find what is told of an address, in any number of turns, by the side that was asked or has begun to tell it."""
    asking, replies, is_begun = readings[turn], 0, False
    goes_on = bool(asking.pieces) and asking.pieces[-1].is_tail
    for following in range(turn + 1, len(readings)):
        reading = readings[following]
        if reading.start_ms - asking.end_ms > ANSWER_MS or replies == MAX_REPLIES:
            return
        if reading.track == asking.track and not goes_on:
            if reading.asks_mail is not None or reading.asks_name or any(label.kind for label in reading.labels):
                return
        elif (reading.track == asking.track) == goes_on and (reading.content or reading.pieces):
            found = _told(reading, is_begun=is_begun)
            if found is not None:
                yield following, *found
            is_begun = is_begun or found is not None
            replies += 1


def _told(reading: Reading, *, is_begun: bool) -> tuple[int, int] | None:
    """Find the words of an address at the begin of an answer: a number and a name, or nothing but parts of one."""
    language, first = reading.language, 0
    while first < len(reading.norms) and not reading.words[first].atoms and _is_lead(reading, first):
        first += 1
    at = first
    while at < len(reading.norms) and (_is_place(reading, at) or reading.norms[at] in language.streets):
        at += 1
    told = range(first, at)
    numbers = [piece for piece in reading.pieces if piece.words[0] in told]
    if not told or any(_digits(reading, piece) > MAX_STREET_DIGITS for piece in numbers):
        return None
    has_name = any(not reading.words[place].atoms for place in told)
    is_street = any(reading.norms[place] in language.streets for place in told[1:])
    is_all = at == len(reading.norms)
    is_address = numbers and has_name and numbers[0].words[0] == first or is_all and (numbers or is_street or is_begun)
    return (first, at - 1) if is_address else None


def _is_lead(reading: Reading, at: int) -> bool:
    return reading.words[at].kind == "filler" or reading.norms[at] in reading.language.lead_ins


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
    is_known = word.norm in language.ordinary and word.norm not in language.place_words
    is_name = word.kind == "word" and word.norm.isalpha() and not is_known
    if word.norm in language.address_units and at + 1 < len(reading.words):
        return _unit_end(reading, at) > at
    if at and _unit_end(reading, at - 1) >= at or at > 1 and _unit_end(reading, at - 2) >= at:
        return True
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


def _street_behind(readings: Sequence[Reading], turn: int) -> Iterator[Mark]:
    """Find a street in the speaker's next turn behind a turn that ends with a number."""
    own = readings[turn]
    following = next((at for at in range(turn + 1, len(readings)) if readings[at].track == own.track), None)
    if following is not None and readings[following].start_ms - own.end_ms <= TOWN_MS:
        reading = readings[following]
        last = _street_end(reading, -1)
        end = -1 if last is None else _with_town(reading, _with_unit(reading, last))
        if end == len(reading.norms) - 1:
            yield turn, own.pieces[-1].words[0], len(own.norms) - 1
            yield following, 0, end
            yield from _continued(readings, following, end)


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
    at = last + 1
    while at < len(reading.norms) and reading.words[at].kind in ("digits", "filler"):
        last = at if reading.words[at].kind == "digits" else last
        at += 1
    return last


def _with_unit(reading: Reading, last: int) -> int:
    """Take in "apartment four b" behind the street."""
    end = _unit_end(reading, last + 1)
    return end if end > last + 1 else last


def _unit_end(reading: Reading, at: int) -> int:
    """Return the last word of "apartment four b", "unit uh thirty" or "suite b"; the place itself where none begins."""
    norms, words = reading.norms, reading.words
    if at >= len(norms) or norms[at] not in reading.language.address_units:
        return at
    place = at + 1
    while place < len(words) and words[place].kind == "filler" and place - at <= MAX_UNIT_FILLERS:
        place += 1
    end, near = place - 1, place
    while (
        near < len(words) and (words[near].atoms or words[near].kind == "filler") and near - end <= MAX_UNIT_FILLERS + 1
    ):
        end = near if words[near].atoms else end
        near += 1
    if end < place and sounds_like_number(norms[place - 1], reading.language):
        return place - 1
    if end + 1 < len(norms) and len(norms[end + 1]) == 1:
        end += 1
    return end if end >= place else at
