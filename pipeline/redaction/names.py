"""Find people's names: after carrier phrases, after a question for them, and wherever a known name recurs.

Owns names in words. It knows no dictionary of surnames: after a strong carrier every word that is not ordinary is a
name; after a weak one ("this is") the word must be a given name or be followed like one.
"""

import re
from collections.abc import Iterator, Sequence, Set
from typing import Final

from pipeline.redaction.languages import Language
from pipeline.redaction.reading import Reading
from pipeline.redaction.spelling import spelt

_LETTERS_JOINED: Final = re.compile(r"[a-z](-[a-z]){2,}")
MAX_BESIDE: Final = 2  # words on either side of a name that belong to it
LETTERS: Final = 3  # in a row that make a name without a question for it
ANSWER_MS: Final = 15_000  # from the question to the begin of the last answer
MAX_REPLIES: Final = 4  # "hang on", "found it", then the name
BRIEF: Final = 2  # words of the asker that do not end the answer: "thank you"
MAX_BEFORE_LETTERS: Final = 3  # words between a name, or what announces it, and its letters
LABEL_WORDS: Final = 8  # how far what names a number reaches to letters
Mark = tuple[int, int, int]  # turn, first word, last word


def find_names(readings: Sequence[Reading], known: Set[str]) -> Iterator[Mark]:
    """Find the names of a window of turns; `known` are name words of earlier turns, lower case."""
    for turn, first, last in _found(readings, known):
        yield turn, *_widened(readings[turn], first, last)


def _found(readings: Sequence[Reading], known: Set[str]) -> Iterator[Mark]:
    for turn, reading in enumerate(readings):
        for last, strength in reading.carriers:
            yield from _after_carrier(readings, turn, last, strength)
        asks_spelling = not reading.language.spelling_words.isdisjoint(reading.said)
        if reading.asks_name or asks_spelling:
            yield from _answers(readings, turn, asks_spelling=asks_spelling)
        for first, last in _alone(reading):
            yield turn, first, last
        if not known.isdisjoint(reading.said):
            yield from _known(reading, turn, known)


def _widened(reading: Reading, first: int, last: int) -> tuple[int, int]:
    """Take in the words beside a name that are no talk, and its title: "missus um bergstrom", "brigid begaye"."""
    language, words = reading.language, reading.words
    for _ in range(MAX_BESIDE):
        if first and _is_unusual(reading, first - 1) and not words[first - 1].ends_sentence:
            first -= 1
        if last + 1 < len(words) and _is_unusual(reading, last + 1) and not words[last].ends_sentence:
            last += 1
    for at in (first - 1, first - 2):
        if at >= 0 and reading.norms[at] in language.titles - language.social_words:
            return at, last
        if at < 0 or words[at].kind != "filler":
            break
    return first, last


def _is_unusual(reading: Reading, at: int) -> bool:
    """Say whether a word is neither talk nor an abbreviation nor of an e-mail address."""
    language, word = reading.language, reading.words[at]
    norm = language.plain(word.norm)
    is_known = not _may_be_name(language, norm) or norm in language.abbreviations or norm in language.mail_providers
    is_word = word.kind == "word" and len(norm) > 2 and norm.replace("-", "").replace("'", "").isalpha()
    return is_word and not is_known and not language.is_no_name(norm)


def name_words(readings: Sequence[Reading], marks: Sequence[Mark]) -> list[str]:
    """List the words of names that are worth recognising again: no ordinary words, no single letters.

    A name that was spelled counts as if it had been said.
    """
    words = [
        word
        for turn, first, last in marks
        for word in map(readings[turn].language.plain, readings[turn].norms[first : last + 1])
        if len(word) > 1
        and (_may_be_name(readings[turn].language, word) or word in readings[turn].language.given_names)
    ]
    spelled = [
        one.text
        for turn, first, last in marks
        for one in spelt(readings[turn])
        if first <= one.first and one.last <= last and one.letters >= LETTERS
        if one.text and one.text not in readings[turn].language.ordinary
    ]
    return words + spelled


def _may_be_name(language: Language, word: str) -> bool:
    return not (
        word in language.ordinary
        or word in language.mail_connectors
        or word in language.spelling_alphabet
        and word not in language.given_names
    )


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
    if reading.norms[last] in reading.language.open_ends:
        following = _next_turn(readings, turn, reading.track)
        if following is not None:
            yield from _at_head(readings[following], following, is_first=strength == "strong")


def _answers(readings: Sequence[Reading], turn: int, *, asks_spelling: bool) -> Iterator[Mark]:
    """Find the name in the next few turns of the side that was asked; it may come in parts."""
    asker, replies, is_found = readings[turn], 0, False
    for following in range(turn + 1, len(readings)):
        reading = readings[following]
        if reading.start_ms > asker.end_ms + ANSWER_MS or replies == MAX_REPLIES:
            return
        if reading.track == asker.track:
            if reading.labels or reading.asks_mail is not None or is_found and reading.content > BRIEF:
                return
        elif reading.content or reading.pieces:
            spelled = [(following, one.first, one.last) for one in spelt(reading)] if asks_spelling else []
            found = [*_at_head(reading, following, is_first=replies == 0), *spelled, *_pairs(reading, following)]
            yield from found
            is_found = is_found or bool(found)
            replies += 1


def _pairs(reading: Reading, turn: int) -> Iterator[Mark]:
    """Find two words in a row that are no talk: the name in "i've got it in front of me now nguyet hussain"."""
    for at in range(len(reading.norms) - 1):
        if _is_unusual(reading, at) and _is_unusual(reading, at + 1) and not reading.words[at].ends_sentence:
            yield turn, at, at + 1


def _alone(reading: Reading) -> Sequence[tuple[int, int]]:
    """Find the names that a turn tells without any other."""
    if reading.names is None:
        reading.names = (*_introduced(reading), *_full(reading), *_letters(reading))
    return reading.names


def _introduced(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find the name before "speaking": "thanks for calling brudro speaking"; before "calling" at the begin alone."""
    language = reading.language
    for at, norm in enumerate(reading.norms):
        if at and norm in language.name_closers:
            first = next((n for n in range(max(0, at - 2), at) if n + _length(reading, n) >= at), None)
            if first is not None:
                yield first, at - 1
        elif at and norm in language.agent_closers and reading.track == "agent":
            after = reading.norms[at + 1 : at + 2]
            is_end = not after or after[0] in language.question_words
            if is_end and _is_unusual(reading, at - 1) and (at == 1 or reading.norms[at - 2] not in language.articles):
                yield at - 1, at - 1
        elif _LETTERS_JOINED.fullmatch(norm) and norm.replace("-", "") not in language.abbreviations:
            yield at, at
        elif norm in language.head_closers:
            first, after = _head(reading), reading.norms[at + 1 : at + 2]
            if first < at <= first + _length(reading, first) and not language.after_verbs.issuperset(after or ["me"]):
                yield first, at - 1


def _full(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find a given name, with the words behind it that are not ordinary."""
    language = reading.language
    for at, norm in enumerate(reading.norms):
        if norm in language.given_names and norm not in language.ordinary:
            yield at, at + max(_length(reading, at), 1) - 1


def _letters(reading: Reading) -> Iterator[tuple[int, int]]:
    """Find three letters in a row that are no abbreviation and no part of a number."""
    language = reading.language
    for one in spelt(reading):
        first, text = one.first, one.text
        behind = text + "".join(reading.norms[one.last + 1 : one.last + 2])  # "w i f i", whose last letter may be talk
        if behind in language.abbreviations or text[:1] in language.letter_words and text[1:] in language.abbreviations:
            continue
        beside = [at for at in (first - 1, one.last + 1) if 0 <= at < len(reading.words)]
        is_number = any(reading.words[at].kind == "digits" for at in beside) or any(
            not label.kind and 0 < first - label.last <= LABEL_WORDS for label in reading.labels
        )
        if one.letters >= LETTERS and text not in language.abbreviations and not is_number:
            yield first, one.last


def _next_turn(readings: Sequence[Reading], turn: int, track: str) -> int | None:
    """Find the next turn of a track that says more than a filler."""
    limit_ms = readings[turn].end_ms + ANSWER_MS
    for following in range(turn + 1, len(readings)):
        reading = readings[following]
        if reading.track == track and (reading.content or reading.pieces) and reading.start_ms <= limit_ms:
            return following
    return None


def _head(reading: Reading) -> int:
    """Return the first word behind words such as "sure, it's"."""
    at = 0
    while at < len(reading.norms) and reading.norms[at] in reading.language.lead_ins:
        at += 1
    return at


def _at_head(reading: Reading, turn: int, *, is_first: bool) -> Iterator[Mark]:
    """Find a name at the begin of an answer; one that is not the first to a question holds nothing else."""
    at, language = _head(reading), reading.language
    count = _length(reading, at)
    if not count:
        yield from _spelled(reading, turn, at)
        return
    end = _with_spelling(reading, at + count)
    after = reading.norms[end : end + 1]
    is_alone = not after or reading.words[end - 1].ends_sentence
    is_likely = reading.norms[at] in language.given_names or is_alone and not language.is_no_name(reading.norms[at])
    if is_likely or is_first and (is_alone or after[0] not in language.after_verbs):
        yield turn, at, end - 1


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
            _may_be_name(language, name) or name in language.given_names and not count
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
    after = reading.norms[at + count] if at + count < len(reading.norms) else None
    if count > 1 and reading.norms[carrier] in language.social_words | language.relatives:
        return not language.is_no_name(reading.norms[at])
    if reading.norms[carrier] in language.social_words or language.is_no_name(reading.norms[at]):
        return carrier == 0 and after in language.name_followers
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
    """Find letters that start within three words."""
    for one in spelt(reading):
        if at <= one.first <= at + MAX_BEFORE_LETTERS:
            yield turn, one.first, one.last
            return


def _known(reading: Reading, turn: int, known: Set[str]) -> Iterator[Mark]:
    language, last = reading.language, len(reading.norms) - 1
    for at, norm in enumerate(reading.norms):
        is_called = at in (last, 0) or at == 1 and reading.norms[0] in language.lead_ins
        if (norm in known or language.plain(norm) in known) and (is_called or norm not in language.ordinary):
            yield turn, at, at
