"""Words with what they hide, and what a recogniser does to them: mishearings, losses, wrong limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from bench.private_numbers import MONTHS, TEENS, TENS, UNITS

OPTIONAL = "OPTIONAL"  # may be masked or not: a filler within a number
# Pairs that recognisers confuse in narrow-band speech. Own list; spoken digits first.
HEARD = {
    "four": ("for", "fore"), "two": ("to", "too"), "eight": ("ate", "hate"), "one": ("won", "wan"), "oh": ("o", "owe"),
    "three": ("tree", "free"), "six": ("sex", "sticks"), "nine": ("night", "mine"), "five": ("fife", "hive"),
    "seven": ("heaven",), "zero": ("hero",), "o": ("oh",), "ten": ("then",), "forty": ("fourteen", "for tea"),
    "fifty": ("fifteen",), "thirty": ("thirteen", "dirty"), "sixty": ("sixteen",), "eighty": ("eighteen", "a tea"),
    "twenty": ("plenty",), "double": ("doubled",), "dot": ("got", "dop"), "at": ("that", "add"), "b": ("be", "d"),
    "c": ("see",), "r": ("are",), "u": ("you",), "y": ("why",), "m": ("n",), "n": ("m",), "s": ("f",), "card": ("car",),
    "security": ("secure it he",), "routing": ("rooting", "route in"), "social": ("so shall",), "number": ("numbers",),
    "expires": ("expired",), "cvv": ("cbb",), "address": ("a dress",), "birthday": ("birth day",),
}  # fmt: skip
NUMBERS = {*UNITS, *TEENS, *TENS[2:]}
CAPITAL = {*MONTHS, "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "i"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word as heard.

    Attributes:
        text: without spaces.
        kind: what it is part of, `OPTIONAL`, or "" for a word that must stay.
    """

    text: str
    kind: str = ""


def words_of(text: str, kind: str = "") -> list[Word]:
    """Split a text; what starts with `~` is optional."""
    return [Word(one[1:], OPTIONAL) if one[0] == "~" else Word(one, kind) for one in text.split()]


def misheard(text: str, random: Random) -> str:
    """One word heard otherwise: like-sounding, or cut short."""
    return random.choice(HEARD[text]).split()[0] if text in HEARD else text[: max(1, len(text) // 2)]


def noisy(words: Sequence[Word], rate: float, random: Random) -> list[Word]:
    """Mishear words that have a like-sounding one, and lose, join or cut a third as many."""
    heard: list[Word] = []
    for word in words:
        if random.random() < rate and word.text in HEARD:
            heard += [replace(word, text=one) for one in random.choice(HEARD[word.text]).split()]
        elif random.random() < rate / 3:
            continue
        elif random.random() < rate / 3 and heard and {word.text, heard[-1].text} <= NUMBERS:
            heard[-1] = replace(heard[-1], text=heard[-1].text + word.text)
        elif random.random() < rate / 3 and word.text in NUMBERS and len(word.text) > 5:
            heard += [replace(word, text=word.text[:-2]), replace(word, text=word.text[-2:])]
        else:
            heard.append(word)
    return heard


def cased(words: Sequence[Word]) -> list[Word]:
    """Write a turn as a recogniser with punctuation does: capitals of names, commas, a full stop."""
    told = [replace(word, text=_capital(word)) for word in words]
    told[0] = replace(told[0], text=told[0].text[:1].upper() + told[0].text[1:])
    for at, (word, after) in enumerate(pairwise(told)):
        told[at] = replace(word, text=word.text + ",") if after.kind == OPTIONAL != word.kind else word
    return [*told[:-1], replace(told[-1], text=told[-1].text + ".")]


def _capital(word: Word) -> str:
    is_name = word.kind in ("NAME", "ADDRESS") and word.text not in NUMBERS
    return word.text.capitalize() if is_name or word.text in CAPITAL else word.text
