"""Ways in which people say numbers: words of digits, years, amounts and dates.

The tables are the bench's own; the detector's are never read here, so that one mistake cannot hide another. A word that
starts with `~` is said among the digits and gives none of them away: a filler, a correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = (
    *("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
NUMERALS = ("units", "groups", "whole", "pairs", "dashes")  # how a recogniser that writes figures parts them
FILLERS = ("~uh", "~um", "~and", "~then", "~uh ~let ~me ~see")


@dataclass(frozen=True, slots=True)
class Manner:
    """How one speaker says digits, and whether the recogniser writes them as figures.

    Attributes:
        numerals: one of `NUMERALS`, or "" for words.
        zero: what the speaker calls 0.
        pairs, doubles, hundreds: chances of "forty two", "double four" and "four hundred" where they apply.
        fillers, corrections: chances in each group of a filler and of a digit said wrong at first.
    """

    numerals: str
    zero: str
    pairs: float
    doubles: float
    hundreds: float
    fillers: float
    corrections: float


def manner(random: Random, numerals: float = 0.25) -> Manner:
    """Draw a speaker."""
    return Manner(
        numerals=random.choice(NUMERALS) if random.random() < numerals else "",
        zero=random.choice(("oh", "oh", "zero", "zero", "o")),
        pairs=random.choice((0.0, 0.0, 0.2, 0.6, 1.0)),
        doubles=random.choice((0.0, 0.0, 0.4, 0.9)),
        hundreds=random.choice((0.0, 0.0, 0.7)),
        fillers=random.choice((0.0, 0.0, 0.15)),
        corrections=random.choice((0.0, 0.0, 0.0, 0.08)),
    )


def said(digits: str, how: Manner, random: Random) -> list[str]:
    """Words of one group of digits."""
    if how.numerals:
        words = _figures(digits, how.numerals)
    elif random.random() < how.hundreds and digits[-2:] == "00" and len(digits) in (3, 4):
        words = _hundreds(digits)
    elif random.random() < how.pairs:
        words = _in_pairs(digits, how)
    else:
        words = _one_by_one(digits, how, random)
    return _hesitant(words, how, random)


def parted(digits: str, sizes: Sequence[int], random: Random) -> list[str]:
    """Cut digits into the usual groups, or into groups of 2 to 5."""
    if random.random() < 0.25:
        sizes = [random.randint(2, 5) for _ in digits]
    groups: list[str] = []
    for size in sizes:
        groups, digits = [*groups, digits[:size]], digits[size:]
    return [group for group in [*groups, digits] if group]


def cardinal(number: int) -> str:
    """Words of 0 to 999,999."""
    if number < 20:
        return (UNITS + TEENS)[number]
    if number < 100:
        return " ".join([TENS[number // 10], *([UNITS[number % 10]] if number % 10 else [])])
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = [cardinal(number % unit)] if number % unit else []
    return " ".join([cardinal(number // unit), name, *rest])


def ordinal(number: int) -> str:
    """Words of 1st to 31st."""
    if number < 20:
        return ORDINALS[number]
    if number % 10 == 0:
        return "twentieth" if number == 20 else "thirtieth"
    return f"{TENS[number // 10]} {ORDINALS[number % 10]}"


def year(number: int, random: Random) -> str:
    """Words of 1900 to 2099."""
    high, low = divmod(number, 100)
    if high == 20 and (low < 10 or random.random() < 0.3):
        return " ".join(["two thousand", *([cardinal(low)] if low else [])])
    if low < 10:
        return f"{cardinal(high)} {'hundred' if low == 0 else 'oh ' + UNITS[low]}"
    return f"{cardinal(high)} {cardinal(low)}"


def _figures(digits: str, numerals: str) -> list[str]:
    if numerals == "units":
        return list(digits)
    if numerals == "pairs":
        return [digits[at : at + 2] for at in range(0, len(digits), 2)]
    return [digits]  # "whole" and "dashes" join the groups: `joined`


def joined(groups: Sequence[Sequence[str]], how: Manner) -> list[list[str]]:
    """Join the groups of a recogniser that writes a number as one word, with or without dashes."""
    if how.numerals not in ("whole", "dashes") or any(len(group) != 1 for group in groups):
        return [list(group) for group in groups]
    return [["-".join(group[0] for group in groups) if how.numerals == "dashes" else "".join(g[0] for g in groups)]]


def _one_by_one(digits: str, how: Manner, random: Random) -> list[str]:
    words: list[str] = []
    while digits:
        run = len(digits) - len(digits.lstrip(digits[0]))
        times = min(run, 3) if run > 1 and random.random() < how.doubles else 1
        words += [("", "double", "triple")[times - 1], how.zero if digits[0] == "0" else UNITS[int(digits[0])]]
        digits = digits[times:]
    return [word for word in words if word]


def _in_pairs(digits: str, how: Manner) -> list[str]:
    words: list[str] = []
    for at in range(0, len(digits), 2):
        pair = digits[at : at + 2]
        is_lone = len(digits) == at + 3 and pair[1] == "0"  # 209 is no "twenty nine"
        if len(pair) == 2 and pair[0] != "0" and not is_lone:
            words += cardinal(int(pair)).split()
        elif pair == "00" and how.doubles:
            words += ["double", how.zero]
        else:
            words += [how.zero if digit == "0" else UNITS[int(digit)] for digit in pair]
    return words


def _hundreds(digits: str) -> list[str]:
    if digits == "0" * len(digits) or digits[0] == "0":
        return [UNITS[int(digit)] for digit in digits]
    if digits[1:] == "000":
        return [UNITS[int(digits[0])], "thousand"]
    return [*cardinal(int(digits[:-2])).split(), "hundred"]


def _hesitant(words: list[str], how: Manner, random: Random) -> list[str]:
    if random.random() < how.corrections and not how.numerals and words[-1] in UNITS:
        wrong = random.choice([unit for unit in UNITS if unit != words[-1]])
        mend = random.choice(("~no ~wait", "~sorry", "~no ~sorry", "~i ~mean", "~wait ~no"))
        words = [*words[:-1], wrong, *mend.split(), words[-1]]
    if random.random() < how.fillers:
        words = [*random.choice(FILLERS).split(), *words]
    return words
