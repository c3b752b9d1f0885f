"""Read single words: their plain form and the digits that they may stand for.

Owns the reading of one word. What a row of words means is for `digits`, `contexts`, `names` and `emails`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final, Literal, NamedTuple, cast

from pipeline.redaction.languages import ENGLISH, Language

AtomKind = Literal[
    "unit", "teen", "tens", "hundred", "scale", "multiplier", "plural", "numeral", "range", "misheard", "part"
]
DOUBTFUL: Final = ("range", "misheard")  # words that an ASR writes for a digit
# `digits` always counts; `maybe` counts beside digits; `amount`, `date`, `ordinal` and `month` explain digits.
WordKind = Literal["word", "filler", "digits", "maybe", "amount", "date", "ordinal", "month"]


class Atom(NamedTuple):
    """A part of a spoken or written number; `value` is its digits, or how often a multiplier repeats.

    A `part` is the first half of a word that an ASR has cut: it has no digits, its other half has them.
    """

    kind: AtomKind
    value: str


@dataclass(frozen=True, slots=True)
class Lexeme:
    """One word as read: `norm` is lower case without punctuation around it."""

    norm: str
    kind: WordKind
    atoms: tuple[Atom, ...] = ()
    ends_sentence: bool = False


_PUNCTUATION: Final = " .,?!;:\"'()[]{}<>…*#“”‘’¿¡«»"
_DATE: Final = re.compile(r"\d{1,2}[/-]\d{1,2}[/-](\d{2}|\d{4})|\d{4}-\d{2}-\d{2}|(0?[1-9]|1[0-2])/(\d{2}|\d{4})")
_LEAST_NEAR: Final = 4  # letters of a word that may be a misheard number
_LEAST_SOUND: Final = 2  # letters of a part of a number word
_LEAST_NEAR_SOUND: Final = 3  # sounds of a word of which one may be another
_REMEMBERED: Final = 16_384  # readings of words that no table has
_NUMERAL: Final = re.compile(r"\+?[\d][\d,.\-/()+_ ]*")


class _Known(NamedTuple):
    """What a language's tables say of words: inside a sentence and at its end."""

    inside: dict[str, Lexeme]
    ending: dict[str, Lexeme]
    number_parts: frozenset[str]
    shapes: tuple[tuple[WordKind, re.Pattern[str]], ...]
    digits: tuple[tuple[str, str], ...]  # words of one number and its digits
    halves: Mapping[tuple[str, str], Lexeme]  # a number word cut in two, and its reading


@cache
def _known(language: Language) -> _Known:
    inside = _table(language)
    return _Known(
        inside,
        {word: replace(lexeme, ends_sentence=True) for word, lexeme in inside.items()},
        frozenset(
            (
                *language.units,
                *language.teens,
                *language.tens,
                *language.hundreds,
                *language.hundred_words,
                *language.weak_zeros,
            )
        ),
        (("amount", language.amount_pattern), ("date", _DATE), ("ordinal", language.ordinal_pattern)),
        (
            *language.units.items(),
            *language.teens.items(),
            *((word, value + "0") for word, value in language.tens.items()),
        ),
        _halves(inside, (*language.units, *language.teens, *language.tens)),
    )


def _table(language: Language) -> dict[str, Lexeme]:
    """Build the reading of every word that the tables know; later rows win."""
    known: dict[str, Lexeme] = {}
    for words, kind in ((language.fillers, "filler"), (language.ordinals, "ordinal"), (language.months, "month")):
        known |= {word: Lexeme(word, cast("WordKind", kind)) for word in words}
    for word, digit in language.substitutes.items():
        known[word] = Lexeme(word, "maybe", (Atom("range" if word in language.range_words else "misheard", digit),))
    known |= _row("maybe", "scale", {word: zeros for word, zeros in language.scales.items() if zeros[0] == "0"})
    known |= _row("digits", "scale", {word: value for word, value in language.scales.items() if value[0] != "0"})
    known |= _row("maybe", "multiplier", language.multipliers)
    known |= _row("maybe", "plural", language.plurals)
    known |= _row("digits", "unit", language.units)
    known |= _row("maybe", "unit", dict.fromkeys(language.weak_zeros, "0"))
    known |= _row("digits", "teen", language.teens)
    known |= _row("digits", "tens", language.tens)
    known |= _row("maybe", "hundred", dict.fromkeys(language.hundred_words, "00"))
    for word, digit in language.hundreds.items():
        known[word] = Lexeme(word, "digits", (Atom("unit", digit), Atom("hundred", "00")))
    return known


def _row(kind: WordKind, atom: AtomKind, values: Mapping[str, str]) -> dict[str, Lexeme]:
    return {word: Lexeme(word, kind, (Atom(atom, value),)) for word, value in values.items()}


def read(text: str, language: Language = ENGLISH) -> Lexeme:
    """Read one word as an ASR wrote it, in any case and with its punctuation."""
    return word_reader(language)(text)


@cache
def word_reader(language: Language) -> Callable[[str], Lexeme]:
    """Return what reads one word of a language; see `read`."""
    tables = _known(language)

    def read_word(text: str) -> Lexeme:
        known = tables.inside.get(text)
        if known is not None:
            return known
        norm = language.fold(text.lower().strip(_PUNCTUATION))
        ends = text.endswith((".", "?", "!"))
        known = (tables.ending if ends else tables.inside).get(norm)
        if known is not None:
            return known
        if not text.isalpha() and any(char.isdigit() for char in text):
            return _read_numeral(text.lower().strip(" .,?!;:\"'"), norm, ends, tables)
        return _read_compound(norm, ends, language)

    return read_word


def _read_numeral(text: str, norm: str, ends: bool, tables: _Known) -> Lexeme:
    """Read a word that holds a digit character."""
    for kind, pattern in tables.shapes:
        if pattern.fullmatch(text):
            return Lexeme(norm, kind, (Atom("numeral", _digits(text)),) if kind == "date" else (), ends)
    digits = _digits(text)
    if "@" in text or not (_NUMERAL.fullmatch(text.lstrip("(*x#-")) or len(digits) >= 4):
        return Lexeme(norm, "word", (), ends)
    return Lexeme(norm, "digits", (Atom("numeral", digits),), ends)


@lru_cache(_REMEMBERED)
def _read_compound(norm: str, ends: bool, language: Language) -> Lexeme:
    """Read `twenty-one`, `four-one-one`, an entry that holds several words, or a word that is nearly a number."""
    tables = _known(language)
    parts = re.split(r"[-\s]+", norm) if "-" in norm or " " in norm else _joined(norm, tables)
    if parts and all(part in tables.number_parts for part in parts):
        return Lexeme(norm, "digits", tuple(atom for part in parts for atom in tables.inside[part].atoms), ends)
    near = "" if norm in language.ordinary or norm in language.given_names else _near(norm, tables)
    if near:
        return Lexeme(norm, "maybe", (Atom("misheard", near),), ends)
    return Lexeme(norm, "word", (), ends)


def _joined(norm: str, tables: _Known) -> Sequence[str]:
    """Take two number words apart that an ASR has written as one: `thirtythree`."""
    for at in range(3, len(norm) - 2):
        if norm[:at] in tables.number_parts and norm[at:] in tables.number_parts:
            return norm[:at], norm[at:]
    return ()


def mend(words: list[Lexeme], language: Language) -> None:
    """Read a number word that an ASR has cut in two: `eigh ty`, `seven teen`; changes the list."""
    parts = _known(language).halves
    for at, word in enumerate(words[:-1]):
        following = words[at + 1]
        whole = parts.get((word.norm, following.norm))
        if whole is not None and word.kind != "filler":
            words[at] = replace(word, kind="digits", atoms=(Atom("part", ""),))
            words[at + 1] = replace(following, kind="digits", atoms=whole.atoms)


def _halves(inside: Mapping[str, Lexeme], words: Iterable[str]) -> dict[tuple[str, str], Lexeme]:
    """Return every way to cut a number word into two of at least two letters."""
    return {(word[:at], word[at:]): inside[word] for word in words for at in range(2, len(word) - 1)}


def _near(norm: str, tables: _Known) -> str:
    """Return the digits of the number word that a word differs from by one letter, such as `hive`; empty for others.

    They count beside digits alone, as those of other words that an ASR writes for a digit.
    """
    if len(norm) < _LEAST_NEAR or not norm.isalpha():
        return ""
    return next((digits for word, digits in tables.digits if is_one_letter_off(norm, word)), "")


@lru_cache(_REMEMBERED)
def is_nearly_number(norm: str, language: Language) -> bool:
    """Say whether a word differs from a number word by two letters at most: `dirty`, `plenty`, `heaven`."""
    if len(norm) < _LEAST_NEAR or not norm.isalpha():
        return False
    shorter = {norm, *(norm[:at] + norm[at + 1 :] for at in range(len(norm)))}
    return any(
        len(word) >= _LEAST_NEAR
        and any(is_one_letter_off(one, word) for one in shorter)
        or len(word) == len(norm)
        and sum(a != b for a, b in zip(word, norm, strict=True)) <= 2
        for word, _ in _known(language).digits
    )


@lru_cache(_REMEMBERED)
def sounds_like_number(norm: str, language: Language) -> bool:
    """Say whether a word sounds almost like a number word, or is the begin or the end of one.

    That holds of many everyday words (`then`, `line`): it counts only where nothing but digits can stand.
    """
    if len(norm) < _LEAST_SOUND or not norm.isalpha():
        return False
    sound, is_part = _sound(norm, language), norm not in language.ordinary
    return is_nearly_number(norm, language) or any(
        _is_one_sound_off(sound, _sound(word, language)) or is_part and (word.startswith(norm) or word.endswith(norm))
        for word, _ in _known(language).digits
    )


def _is_one_sound_off(one: str, other: str) -> bool:
    return one == other or min(len(one), len(other)) >= _LEAST_NEAR_SOUND and is_one_letter_off(one, other)


@lru_cache(_REMEMBERED)
def _sound(norm: str, language: Language) -> str:
    """Write a word roughly as it is said; each letter of the result is one sound."""
    for pattern, sound in language.sounds.items():
        norm = re.sub(pattern, sound, norm)
    return norm


def is_one_letter_off(one: str, other: str) -> bool:
    """Say whether one letter is changed, missing or too many."""
    if len(one) == len(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 1
    short, long = sorted((one, other), key=len)
    return len(long) - len(short) == 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


def _digits(text: str) -> str:
    return "".join(char for char in text if "0" <= char <= "9")


def decode(atoms: Sequence[Atom]) -> list[tuple[str, int]]:
    """Turn parts of numbers into digits.

    Returns:
        Each digit with the index of the atom that it starts at; a pending multiplier gives nothing.
    """
    out: list[tuple[str, int]] = []
    at = 0
    while at < len(atoms):
        digits, after = _number(atoms, at)
        out.extend((digit, at) for digit in digits)
        at = after
    return out


def _number(atoms: Sequence[Atom], at: int) -> tuple[str, int]:
    """Read the number that starts at an atom: its digits and the index behind it."""
    kind, value = atoms[at]
    if kind == "scale" and value[0] != "0":
        return _with_thousands(atoms, value[0], at)
    if kind == "multiplier":
        return _repeated(atoms, at, int(value))
    digits, after = _below_hundred(atoms, at)
    following = atoms[after].kind if after < len(atoms) else None
    if following == "plural" and len(digits) == 1:
        return atoms[after].value * int(digits), after + 1
    if following == "hundred" and len(digits) <= 2:
        digits, after = _with_hundreds(atoms, digits, after + 1)
    if after < len(atoms) and atoms[after].kind == "scale" and len(digits) <= 3:
        return _with_thousands(atoms, digits, after)
    return digits, after


def _repeated(atoms: Sequence[Atom], at: int, times: int) -> tuple[str, int]:
    if at + 1 >= len(atoms) or atoms[at + 1].kind == "multiplier":
        return "", at + 1
    digits, after = _below_hundred(atoms, at + 1)
    return digits * times, after


def _below_hundred(atoms: Sequence[Atom], at: int) -> tuple[str, int]:
    kind, value = atoms[at]
    if kind != "tens":
        return value, at + 1
    following = atoms[at + 1] if at + 1 < len(atoms) else None
    if following is not None and following.kind in ("unit", *DOUBTFUL) and following.value != "0":
        return value + following.value, at + 2
    return value + "0", at + 1


def _with_hundreds(atoms: Sequence[Atom], digits: str, at: int) -> tuple[str, int]:
    """Read what follows `hundred`: a number below hundred belongs to it unless more single digits follow."""
    if at < len(atoms) and atoms[at].kind in ("tens", "teen"):
        rest, after = _below_hundred(atoms, at)
        return digits + rest, after
    is_last_unit = at < len(atoms) and atoms[at].kind == "unit" and (at + 1 == len(atoms))
    if is_last_unit:
        return f"{digits}0{atoms[at].value}", at + 1
    return digits + "00", at


def _with_thousands(atoms: Sequence[Atom], digits: str, at: int) -> tuple[str, int]:
    zeros = atoms[at].value.lstrip("1")
    if zeros != "000" or at + 1 >= len(atoms):
        return digits + zeros, at + 1
    rest, after = _number(atoms, at + 1)
    if len(rest) > 3 or atoms[at + 1].kind in ("multiplier", "numeral"):
        return digits + zeros, at + 1
    return digits + rest.zfill(3), after
