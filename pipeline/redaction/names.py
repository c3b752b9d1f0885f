"""Find people's names: after carrier phrases, after a question for them, and wherever a known name recurs.

Owns names in words. It knows no dictionary of surnames: after a strong carrier every word that is not ordinary is a
name; after a weak one ("this is") the word must be a given name or be followed like one.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Final

from pipeline.redaction.ordinary_en import ORDINARY
from pipeline.redaction.reading import Reading, plain
from pipeline.redaction.tables_en import (
    GIVEN_NAMES,
    LEAD_INS,
    NAME_FOLLOWERS,
    TITLES,
)

MAX_NAME_WORDS: Final = 3
ANSWER_MS: Final = 12_000  # from the question to the begin of the answer
Mark = tuple[int, int, int]  # turn, first word, last word

_SOCIAL: Final = frozenset(("i'm", "am", "you", "thanks", "hello", "hi", "it's"))
_NO_NAME_ENDINGS: Final = (
    "able",
    "ible",
    "ing",
    "ed",
    "ous",
    "ful",
    "less",
    "ly",
    "ive",
    "ane",
    "tion",
    "ment",
    "ness",
    "est",
)
_OPEN_ENDS: Final = frozenset(("is", "name's", "me", "of"))


def find_names(readings: Sequence[Reading], known: Set[str]) -> Iterator[Mark]:
    """Find the names of a window of turns; `known` are name words of earlier turns, lower case."""
    for turn, reading in enumerate(readings):
        for last, strength in reading.carriers:
            yield from _after_carrier(readings, turn, last, strength)
        if reading.asks_name:
            yield from _answer(readings, turn)
        if not known.isdisjoint(reading.said):
            yield from _known(reading, turn, known)


def name_words(readings: Sequence[Reading], marks: Sequence[Mark]) -> list[str]:
    """List the words of names that are worth recognising again: no ordinary words, no single letters."""
    return [
        word
        for turn, first, last in marks
        for word in map(plain, readings[turn].norms[first : last + 1])
        if len(word) > 1 and word not in ORDINARY
    ]


def _after_carrier(readings: Sequence[Reading], turn: int, last: int, strength: str) -> Iterator[Mark]:
    reading = readings[turn]
    at = last + 1
    while at < len(reading.norms) and reading.norms[at] in ("is", "uh", "um", "it's"):
        at += 1
    if at < len(reading.norms):
        first, count = at, _length(reading, at)
        if count and (strength == "strong" or _is_likely(reading, last, first, count)):
            yield turn, first, _with_spelling(reading, first + count) - 1
        elif strength == "strong":
            yield from _spelled(reading, turn, at)
        return
    if strength == "strong" and reading.norms[last] in _OPEN_ENDS:
        following = _next_turn(readings, turn, reading.track)
        if following is not None:
            yield from _at_head(readings[following], following)


def _answer(readings: Sequence[Reading], turn: int) -> Iterator[Mark]:
    other: Final = "agent" if readings[turn].track == "customer" else "customer"
    following = _next_turn(readings, turn, other)
    if following is not None:
        yield from _at_head(readings[following], following)


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
    while at < len(reading.norms) and reading.norms[at] in LEAD_INS:
        at += 1
    count = _length(reading, at)
    if count:
        yield turn, at, _with_spelling(reading, at + count) - 1
    else:
        yield from _spelled(reading, turn, at)


def _length(reading: Reading, at: int) -> int:
    """Count the words of the name that starts at a word; 0 where none does."""
    count = 0
    for word in reading.words[at : at + MAX_NAME_WORDS]:
        name = plain(word.norm)
        is_name = word.kind in ("word", "month") and (name not in ORDINARY or name in GIVEN_NAMES and not count)
        if not is_name or len(name) < 2 or not name.replace("-", "").replace("'", "").replace(".", "").isalpha():
            break
        count += 1
        if word.ends_sentence:
            break
    return count


def _is_likely(reading: Reading, carrier: int, at: int, count: int) -> bool:
    """Decide about a word behind a weak carrier."""
    if plain(reading.norms[at]) in GIVEN_NAMES:
        return True
    if reading.norms[carrier] in _SOCIAL or reading.norms[at].endswith(_NO_NAME_ENDINGS):
        return False
    after = reading.norms[at + count] if at + count < len(reading.norms) else None
    return (
        after is None or after in NAME_FOLLOWERS or reading.norms[carrier] in TITLES or reading.words[at].ends_sentence
    )


def _with_spelling(reading: Reading, at: int) -> int:
    """Move past letters that spell the name just said."""
    spelled = list(_spelled(reading, 0, at))
    return spelled[0][2] + 1 if spelled else at


def _spelled(reading: Reading, turn: int, at: int) -> Iterator[Mark]:
    """Find single letters that start within three words, also "m as in mary"."""
    first = next((i for i in range(at, min(at + 4, len(reading.norms))) if _is_letter(reading.norms[i])), None)
    if first is None:
        return
    last = at = first
    while at < len(reading.norms) and at - last <= 3:
        if _is_letter(reading.norms[at]):
            last = at
        elif reading.norms[at] in ("in", "like", "for") and at + 1 < len(reading.norms):
            last = at = at + 1
        at += 1
    if last > first:
        yield turn, first, last


def _known(reading: Reading, turn: int, known: Set[str]) -> Iterator[Mark]:
    for at, norm in enumerate(reading.norms):
        if norm in known or plain(norm) in known:
            yield turn, at, at


def _is_letter(norm: str) -> bool:
    return len(norm) == 1 and norm.isalpha() and norm not in "ai" or norm in ("a.", "i.")
