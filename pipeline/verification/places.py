"""Addresses that are left in published turns: of people, and of their mail.

Owns what makes a place of words: a house and a street, a town and its state, a site behind an at sign.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.verification.people import Mark
from pipeline.verification.talk import Talk
from pipeline.verification.words import EVERYDAY, UNCOMMON, UNKNOWN, is_name, is_state, is_street, times_said

_NEAR_MS: Final = 12_000
_ANSWER_WORDS: Final = 10
_FLATS: Final = frozenset("apartment apt unit suite flat apartamento".split())
_BEFORE_SITES: Final = frozenset("site page website us online store look help go visit".split())
_AT: Final = frozenset(("at", "arroba"))
_DOTS: Final = frozenset(("dot", "punto", "point", "period"))
_JOINTS: Final = frozenset("dot underscore dash hyphen period punto guion".split())
# IANA's root zone: what call centres hear most.
_ENDINGS: Final = frozenset("com org net edu gov io co uk us es mx ca au de fr info biz me tv".split())
_MAIL_SITES: Final = re.compile(
    r"g ?mail|hotmail|yahoo|outlook|icloud|aol|proton ?mail|comcast|verizon|\w+mail|live|msn|at ?t"
)
_LOCAL_WORDS: Final = 16  # a spelled address is long


def find_places(talk: Talk) -> Iterator[Mark]:
    """Yield addresses, streets, towns and e-mail addresses."""
    for turn, words in enumerate(talk.texts):
        if not words:
            continue
        start_ms, end_ms = talk.turns[turn].words[0].start_ms, talk.turns[turn].words[-1].end_ms
        is_asked = talk.asked(("ADDRESS",), turn) or talk.is_near(("ADDRESS",), start_ms, end_ms, _NEAR_MS)
        yield from ((turn, first, last, "ADDRESS") for first, last in _towns(words, is_asked))
        if is_asked:
            yield from ((turn, first, last, "ADDRESS") for first, last in _streets(words))
        mails = talk.asked(("EMAIL",), turn) or talk.is_near(("EMAIL",), start_ms, end_ms, _NEAR_MS)
        yield from ((turn, first, last, "EMAIL") for first, last in _mails(words, mails))


def _towns(words: Sequence[str], is_asked: bool) -> Iterator[tuple[int, int]]:
    """Yield a state with the town before it; without one where an address is told."""
    for at, word in enumerate(words):
        size = next(
            (size for size in (2, 1) if at + size <= len(words) and is_state(" ".join(words[at : at + size]))), 0
        )
        if not size or at and is_state(" ".join(words[at - 1 : at + 1])):
            continue
        has_town = at > 0 and words[at - 1].isalpha() and times_said(words[at - 1]) < UNCOMMON
        if has_town or is_asked and times_said(word) < EVERYDAY:
            yield at - has_town, at + size - 1


def _streets(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield names of streets where an address is told."""
    for at, word in enumerate(words[1:], 1):
        if is_street(word) and len(words) <= _ANSWER_WORDS and _is_place(words[at - 1]):
            yield at - 1, at


def _is_place(word: str) -> bool:
    return word.isalpha() and len(word) > 2 and times_said(word) < (EVERYDAY / 2 if is_name(word) else UNCOMMON * 3)


def _mails(words: Sequence[str], is_asked: bool) -> Iterator[tuple[int, int]]:
    for at, word in enumerate(words):
        if "@" in word:
            yield at, at
        elif word in _DOTS and _ends_site(words, at + 1):
            said = next((n for n in range(at - 1, max(at - _LOCAL_WORDS, -1), -1) if words[n] in _AT), None)
            if said is not None and (is_asked or words[max(0, said - 1)] not in _BEFORE_SITES):
                yield _local_part(words, said), min(at + 2, len(words) - 1)
            elif is_asked and not _BEFORE_SITES & set(words[:at]):
                yield max(0, at - 3), min(at + 2, len(words) - 1)
        elif is_asked and (word == "underscore" or word in _AT and _is_mail_site(words, at + 1)):
            yield max(0, at - 1), min(at + 1, len(words) - 1)


def _ends_site(words: Sequence[str], at: int) -> bool:
    return any("".join(words[at : at + size]) in _ENDINGS for size in (1, 2, 3) if at + size <= len(words))


def _is_mail_site(words: Sequence[str], at: int) -> bool:
    return (
        at < len(words)
        and words[at].isalpha()
        and bool(_MAIL_SITES.fullmatch(words[at]) or times_said(words[at]) < UNKNOWN)
    )


def _local_part(words: Sequence[str], at: int) -> int:
    """Return where the part before the at sign begins: "jane dot miller", "j m i l l e r"."""
    first = max(0, at - 1)
    while first >= 1 and (words[first - 1] in _JOINTS or words[first] in _JOINTS or len(words[first - 1]) == 1):
        first -= 1
    return first
