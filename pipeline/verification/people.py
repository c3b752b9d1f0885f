"""Names that are left in published turns: where they are said, by their spelling, and where they are again.

Owns which positions of a sentence make a word a name. What a word is otherwise is counted in `words`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.verification.talk import MONTHS, Talk
from pipeline.verification.words import EVERYDAY, RARE, UNCOMMON, UNKNOWN, is_given_name, is_name, times_said

Mark = tuple[int, int, int, str]  # turn, first and last word, type
_ANSWER_MS: Final = 15_000
_ANSWER_WORDS: Final = 8
# A name follows, whatever else the word means.
_SURE: Final = re.compile(
    r"\b(?:(?:first |last |full |sur|middle )?name(?:'s| is|)|me llamo|mi nombre es|soy|mister|mr|mrs|ms|miss"
    r"|señor|señora|speaking (?:with|to)|called) "
)
# A name may follow.
_UNSURE: Final = re.compile(
    r"\b(?:this is|that's|it's|i'm|i am|hi|hello|hey|dear|thank you|thanks|okay|ok|alright|sure|yes|yeah|sorry|bye|no"
    r"|right|well|great|perfect|about that|account for|gracias|hola|habla) "
)
_BEHIND: Final = frozenset("here speaking calling habla".split())
_NOT_NAMED: Final = frozenset(
    """a an the is and on of or to in it my your not no um uh for el la es y de monday tuesday wednesday thursday friday
    saturday sunday lunes martes miércoles jueves viernes sábado domingo""".split()
)
_FILLERS: Final = frozenset("is it's its uh um yes yeah sure okay the a".split())
_DETERMINERS: Final = frozenset(
    "a an the my your his her our their this that these those any new last next paper".split()
)
_EXPLAINS: Final = frozenset(("as", "like", "for", "is", "in"))
_REPEATS: Final = frozenset(("double", "triple", "doble"))
_TELEPHONY: Final = frozenset(  # ICAO Annex 10, volume II, 5.2.1.3, as recognisers write it
    """alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa
    quebec romeo sierra tango uniform victor whiskey whisky x-ray xray yankee zulu""".split()
)
_ABBREVIATIONS: Final = frozenset("cvv cvc csc dob ssn aba www pin tvs usa atm pdf vip faq".split())


def find_people(talk: Talk) -> Iterator[Mark]:
    """Yield the names of a contact."""
    marks = [(turn, *mark) for turn, words in enumerate(talk.texts) for mark in _of_turn(talk, turn, words)]
    found = {talk.texts[turn][at] for turn, first, last, _ in marks for at in range(first, last + 1)}
    again = {word for word in found if len(word) > 2 and times_said(word) < UNCOMMON}
    for turn, words in enumerate(talk.texts):
        marks += [(turn, at, at, "NAME") for at, word in enumerate(words) if word in again]
    yield from marks


def _of_turn(talk: Talk, turn: int, words: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    yield from _spelled(words, 2 if talk.asked(("SPELLING",), turn, _ANSWER_MS) else 3)
    named = {*_introduced(words), *(at for at, word in enumerate(words) if _is_always(word))}
    named |= {at for at in range(len(words)) if _is_beside(words, at) and _is_likely(words[at])}
    if talk.asked(("NAME", "SPELLING"), turn, _ANSWER_MS) and len(words) <= _ANSWER_WORDS:
        named |= {at for at in range(len(words)) if _is_answer(words, at)}
    for at in sorted(named - talk.told(turn)):
        goes_on = at + 1 < len(words) and at + 1 not in named and is_given_name(words[at]) and _is_family(words, at + 1)
        yield at, at + goes_on, "NAME"


def _introduced(words: Sequence[str]) -> Iterator[int]:
    text = " ".join(word.replace(" ", "") for word in words) + " "
    for found in _SURE.finditer(text):
        at = text.count(" ", 0, found.end())
        while at < len(words) and words[at] in _FILLERS:
            at += 1
        if at < len(words) and _is_word(words[at]) and (_is_likely(words[at]) or times_said(words[at]) < 10 * RARE):
            yield at
    for found in _UNSURE.finditer(text):
        at = text.count(" ", 0, found.end())
        if at < len(words) and _is_likely(words[at]):
            yield at
    for at, word in enumerate(words[1:], 1):
        if word in _BEHIND and _is_likely(words[at - 1]) and not _is_determined(words, at - 1):
            yield at - 1


def _is_word(word: str) -> bool:
    is_short_form = "'" in word.removesuffix("'s")[2:]  # "you're", but not "o'brien"
    is_spelled = word.replace("'", "").replace("-", "").isalpha()
    return len(word) > 1 and is_spelled and not is_short_form and word not in _NOT_NAMED and word not in MONTHS


def _is_always(word: str) -> bool:
    """Whether a word is hardly anything but a name."""
    said = times_said(word.removesuffix("'s"))
    return _is_word(word) and (is_given_name(word) and said < UNCOMMON or is_name(word) and said < RARE / 2)


def _is_likely(word: str) -> bool:
    """Whether a word is a name where one may stand: people are called so, or it is no ordinary word."""
    said = times_said(word)
    if not _is_word(word) or not set(word) & set("aeiouyáéíóú"):
        return False
    return (
        is_given_name(word)
        and said < EVERYDAY / 4
        or is_name(word)
        and said < UNCOMMON
        or said < UNKNOWN
        and len(word) > 2
    )


def _is_family(words: Sequence[str], at: int) -> bool:
    """Whether a word behind a given name is a surname."""
    return _is_word(words[at]) and (
        is_name(words[at]) and times_said(words[at]) < 2 * EVERYDAY or _is_likely(words[at])
    )


def _is_answer(words: Sequence[str], at: int) -> bool:
    """Whether a word may be the name that was asked for; "mark my words" is not."""
    goes_on = at + 1 < len(words) and times_said(words[at + 1]) >= EVERYDAY and times_said(words[at]) >= RARE
    return _is_likely(words[at]) and not _is_determined(words, at) and not goes_on


def _is_determined(words: Sequence[str], at: int) -> bool:
    return at > 0 and words[at - 1] in _DETERMINERS


def _is_beside(words: Sequence[str], at: int) -> bool:
    return any(0 <= one < len(words) and words[one].startswith("[name") for one in (at - 1, at + 1))


def _spelled(words: Sequence[str], least: int) -> Iterator[tuple[int, int, str]]:
    """Yield runs of letters: bare, doubled, explained by a word ("m as in mary"), or words of the alphabet."""
    at = 0
    while at < len(words):
        first, letters, said = at, 0, ""
        while size := _letter(words, at, letters):
            letters, said, at = letters + 1, said + words[at], at + size
        if letters >= least and said not in _ABBREVIATIONS and not set(said) <= set("iao"):
            yield first, at - 1, "NAME"
        at = max(at, first + 1)


def _letter(words: Sequence[str], at: int, letters: int) -> int:
    """Return how many words say one letter from `at` on; 0 for none."""
    if at >= len(words):
        return 0
    if words[at] in _REPEATS and at + 1 < len(words) and _is_letter(words[at + 1]):
        return 2
    if words[at] in _TELEPHONY:
        return 1
    if not _is_letter(words[at]):
        return 0
    size = 1
    while at + size < len(words) and size < 3 and words[at + size] in _EXPLAINS:
        size += 1
    is_explained = size > 1 and at + size < len(words) and words[at + size].startswith(words[at])
    return size + 1 if is_explained else 1


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isalpha()
