"""Which words are names, and how ordinary a word is: lists of published packages, none of them the detector's.

Owns no list of its own. Names are Faker's, of people in many countries; how often a word is said in lower case, names
aside, is pyspellchecker's, counted in the subtitles of films.
"""

import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from spellchecker import SpellChecker

from pipeline.verification.spoken import Language

_NAMED_IN: Final = """
en_US en_GB en_IN es_CO es_ES es_MX
""".split()
# Of 1,646,569,324 words said.
UNKNOWN: Final = 1_000  # fewer: a brand, a foreign word or a name
RARE: Final = 3_000  # "smith" 1,006, "reed" 1,813
UNCOMMON: Final = 9_000  # "john" 6,920; "rose" 27,460, "mark" 50,334
EVERYDAY: Final = 250_000  # "number" 322,208, "thanks" 402,981


def times_said(word: str, language: Language = "en") -> int:
    """Return how often an ordinary word is said; 0 for a word that no list has."""
    return _counts(language).get(word.replace("’", "'"), 0)


def is_given_name(word: str) -> bool:
    """Whether people are called so, whatever else it means."""
    return word.removesuffix("'s") in _names()[0]


def is_name(word: str) -> bool:
    """Whether it is a given name or a surname, whatever else it means."""
    plain = word.removesuffix("'s")
    return plain in _names()[0] or plain in _names()[1]


def is_state(words: str) -> bool:
    """Whether it is a state of the United States, in lower case."""
    return words in _states()


def is_street(word: str) -> bool:
    """Whether streets are called so, in full or in short: "avenue", "ave"."""
    return word in _streets()


@cache
def _counts(language: Language) -> Mapping[str, int]:
    words: Mapping[str, int] = SpellChecker(language=language, distance=1).word_frequency.dictionary
    return words


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """Return given names and surnames in lower case, without accents."""
    given, family = set[str](), set[str]()
    for place in _NAMED_IN:
        people = import_module(f"faker.providers.person.{place}").Provider
        for kind in ("first_names", "first_names_male", "first_names_female"):
            given.update(map(_plain, getattr(people, kind, ())))
        family.update(map(_plain, people.last_names))
    return frozenset(filter(_is_word, given)), frozenset(filter(_is_word, family))


def _is_word(name: str) -> bool:
    return len(name) > 1 and name.replace("'", "").replace("-", "").isalpha()


def _plain(name: str) -> str:
    parts = unicodedata.normalize("NFKD", name.lower())
    return "".join(part for part in parts if not unicodedata.combining(part))


@cache
def _states() -> frozenset[str]:
    return frozenset(state.lower() for state in _american("states"))


@cache
def _streets() -> frozenset[str]:
    return frozenset(suffix.lower() for suffix in _american("street_suffixes")) | frozenset(_SHORT)


# USPS Publication 28, Appendix C1: the short forms of what most streets are called.
_SHORT: Final = "ave blvd cir ct dr hwy ln pkwy pl rd st ter trl".split()


def _american(kind: str) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(import_module("faker.providers.address.en_US").Provider, kind)
    return found
