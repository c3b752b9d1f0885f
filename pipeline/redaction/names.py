"""Find people's names: after carrier phrases, after a question for them, and wherever a known name recurs.

Owns names in words. It knows no dictionary of surnames: after a strong carrier every word that is not ordinary is a
name; after a weak one ("this is") the word must be a given name or be followed like one.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Final

from pipeline.redaction.reading import Reading

LETTERS: Final = 3  # of a spelling alphabet that make a name
ANSWER_MS: Final = 12_000  # from the question to the begin of the answer
Mark = tuple[int, int, int]  # turn, first word, last word


def find_names(readings: Sequence[Reading], known: Set[str]) -> Iterator[Mark]:
    """Find the names of a window of turns; `known` are name words of earlier turns, lower case."""
    for turn, reading in enumerate(readings):
        for last, strength in reading.carriers:
            yield from _after_carrier(readings, turn, last, strength)
        if reading.asks_name:
            yield from _answer(readings, turn)
        for first, last in _alone(reading):
            yield turn, first, last
        if not known.isdisjoint(reading.said):
            yield from _known(reading, turn, known)


def name_words(readings: Sequence[Reading], marks: Sequence[Mark]) -> list[str]:
    """List the words of names that are worth recognising again: no ordinary words, no single letters."""
    return [
        word
        for turn, first, last in marks
        for word in map(readings[turn].language.plain, readings[turn].norms[first : last + 1])
        if len(word) > 1 and word not in readings[turn].language.ordinary
    ]


def _after_carrier(readings: Sequence[Reading], turn: int, last: int, strength: str) -> Iterator[Mark]:
    reading = readings[turn]
    at = last + 1
    while at < len(reading.norms) and reading.norms[at] in reading.language.carrier_gaps:
        at += 1
    if at < len(reading.norms):
        first, count = at, _length(reading, at)
        if count and (strength == "strong" or _is_likely(reading, last, first, count)):
            yield turn, first, _with_spelling(reading, first + count) - 1
        elif strength == "strong":
            yield from _spelled(reading, turn, at)
        return
    if strength == "strong" and reading.norms[last] in reading.language.open_ends:
        following = _next_turn(readings, turn, reading.track)
        if following is not None:
            yield from _at_head(readings[following], following)


def _answer(readings: Sequence[Reading], turn: int) -> Iterator[Mark]:
    other: Final = "agent" if readings[turn].track == "customer" else "customer"
    following = _next_turn(readings, turn, other)
    if following is not None:
        yield from _at_head(readings[following], following)


def _alone(reading: Reading) -> Sequence[tuple[int, int]]:
    """Find the names that a turn tells without any other."""
    if reading.names is None:
        reading.names = (*_introduced(reading), *_full(reading), *_letters(reading))
    return reading.names


def _introduced(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find the name before "speaking": "thanks for calling brudro speaking"."""
    for at, norm in enumerate(reading.norms):
        if at and norm in reading.language.name_closers:
            first = next((n for n in range(max(0, at - 2), at) if n + _length(reading, n) >= at), None)
            if first is not None:
                yield first, at - 1


def _full(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find a given name, with the words behind it that are not ordinary."""
    language = reading.language
    for at, norm in enumerate(reading.norms):
        if norm in language.given_names and norm not in language.ordinary:
            yield at, at + max(_length(reading, at), 1) - 1


def _letters(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find three letters of a spelling alphabet in a row."""
    alphabet, first = reading.language.spelling_alphabet, None
    for at, norm in enumerate([*reading.norms, ""]):
        if norm in alphabet:
            first = at if first is None else first
        else:
            if first is not None and at - first >= LETTERS:
                yield first, at - 1
            first = None


def _next_turn(readings: Sequence[Reading], turn: int, track: str) -> int | None:
    """Find the next turn of a track that says more than a filler."""
    limit_ms = readings[turn].end_ms + ANSWER_MS
    for following in range(turn + 1, len(readings)):
        reading = readings[following]
        if reading.track == track and (reading.content or reading.pieces) and reading.start_ms <= limit_ms:
            return following
    return None


def _at_head(reading: Reading, turn: int) -> Iterator[Mark]:
    """Find a name at the begin of an answer, behind words such as "sure, it's"."""
    at = 0
    while at < len(reading.norms) and reading.norms[at] in reading.language.lead_ins:
        at += 1
    count = _length(reading, at)
    if count:
        yield turn, at, _with_spelling(reading, at + count) - 1
    else:
        yield from _spelled(reading, turn, at)


def _length(reading: Reading, at: int) -> int:
    """Count the words of the name that starts at a word; 0 where none does."""
    language = reading.language
    count = 0
    for word in reading.words[at : at + language.max_name_words]:
        if count and word.norm in language.name_particles:
            count += 1
            continue
        name = language.plain(word.norm)
        is_name = word.kind in ("word", "month") and (
            name not in language.ordinary or name in language.given_names and not count
        )
        if not is_name or len(name) < 2 or not name.replace("-", "").replace("'", "").replace(".", "").isalpha():
            break
        count += 1
        if word.ends_sentence:
            break
    while count and reading.norms[at + count - 1] in language.name_particles:
        count -= 1
    return count


def _is_likely(reading: Reading, carrier: int, at: int, count: int) -> bool:
    """Decide about a word behind a weak carrier."""
    language = reading.language
    if language.plain(reading.norms[at]) in language.given_names:
        return True
    if reading.norms[carrier] in language.social_words or language.is_no_name(reading.norms[at]):
        return False
    after = reading.norms[at + count] if at + count < len(reading.norms) else None
    return (
        reading.norms[carrier] in language.naming_words
        or after is None
        or after in language.name_followers
        or reading.norms[carrier] in language.titles
        or reading.words[at].ends_sentence
    )


def _with_spelling(reading: Reading, at: int) -> int:
    """Move past letters that spell the name just said."""
    spelled = list(_spelled(reading, 0, at))
    return spelled[0][2] + 1 if spelled else at


def _spelled(reading: Reading, turn: int, at: int) -> Iterator[Mark]:
    """Find single letters that start within three words, also "m as in mary"."""
    is_letter = reading.language.is_letter
    first = next((i for i in range(at, min(at + 4, len(reading.norms))) if is_letter(reading.norms[i])), None)
    if first is None:
        return
    last = at = first
    while at < len(reading.norms) and at - last <= 3:
        if is_letter(reading.norms[at]):
            last = at
        elif reading.norms[at] in reading.language.spelled_as and at + 1 < len(reading.norms):
            last = at = at + 1
        at += 1
    if last > first:
        yield turn, first, last


def _known(reading: Reading, turn: int, known: Set[str]) -> Iterator[Mark]:
    for at, norm in enumerate(reading.norms):
        if norm in known or reading.language.plain(norm) in known:
            yield turn, at, at
