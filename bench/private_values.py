"""Sensitive values of made-up people, and the words in which they are said: groups of words, a pause between groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

from bench.private_numbers import MONTHS, Manner, cardinal, joined, ordinal, parted, said, year

TALK = Path(__file__).parent / "private_talk"
# Prefix and length by network: ISO/IEC 7812 issuer ranges as the networks publish them; 2221 to 2720 is Mastercard's.
NETWORKS: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = (
    (("4",), (13, 16, 16, 16, 16, 19)),
    (("51", "52", "53", "54", "55"), (16,)),
    (("2221", "2300", "2550", "2699", "2720"), (16,)),
    (("34", "37"), (15,)),
    (("6011", "644", "649", "65"), (16, 16, 19)),
    (("300", "305", "36", "38"), (14,)),
    (("3528", "3589"), (16, 19)),
    (("62",), (16, 17, 18, 19)),
    (("50", "5612", "67"), (13, 16, 18, 19)),
)
GROUPS: Mapping[int, Sequence[int]] = {13: (4, 3, 3, 3), 14: (4, 6, 4), 15: (4, 6, 5), 19: (4, 4, 4, 4, 3)}
PARTED = (4, 4, 4, 4, 4)  # 16 to 18 digits

Groups = list[list[str]]


def listed(name: str) -> dict[str, list[str]]:
    """Read a file of `[HEADING]` parts: the lines of each."""
    parts: dict[str, list[str]] = {}
    for line in (TALK / name).read_text().splitlines():
        if line.startswith("["):
            lines = parts.setdefault(line.strip("[]"), [])
        else:
            lines.append(line)
    return parts


NAMES = {heading: " ".join(lines).split() for heading, lines in listed("names.txt").items()}
NATO = {word[0]: word for word in NAMES["ALPHABET"]}


@dataclass(frozen=True, slots=True)
class Person:
    """Whose call it is."""

    first: str
    last: str
    domain: str
    how: Manner


def luhn(digits: str) -> int:
    """The check digit of ISO/IEC 7812-1 annex B for digits that lack it."""
    doubled = (int(digit) * (2 - at % 2) for at, digit in enumerate(reversed(digits)))
    return -sum(divmod(one, 10)[0] + one % 10 for one in doubled) % 10


def card(random: Random) -> str:
    """A number of some network, 13 to 19 digits, that passes Luhn."""
    prefixes, lengths = random.choice(NETWORKS)
    digits = random.choice(prefixes)
    size = random.choice(lengths)
    while len(digits) < size - 1:
        repeats = random.random() < 0.25  # test numbers and many real ones repeat digits
        digits += digits[-1] if repeats else str(random.randrange(10))
    return digits + str(luhn(digits))


def routing(random: Random) -> str:
    """Nine digits with the checksum of the ABA: 3 7 1 weights, a multiple of 10."""
    digits = f"{random.randint(1, 12):02}" + _digits(random, 6)
    weighed = sum(int(digit) * weight for digit, weight in zip(digits, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return digits + str(-weighed % 10)


def social(random: Random) -> str:
    """Nine digits that the SSA could have issued: no area 000, 666 or 900 and above, no group 00, no serial 0000."""
    area = random.choice([one for one in range(1, 900) if one != 666])
    return f"{area:03}{random.randint(1, 99):02}{random.randint(1, 9999):04}"


def card_said(digits: str, how: Manner, random: Random) -> Groups:
    """A card number in its usual groups."""
    return _grouped(parted(digits, GROUPS.get(len(digits), PARTED), random), how, random)


def number_said(digits: str, sizes: Sequence[int], how: Manner, random: Random) -> Groups:
    """Some other number."""
    return _grouped(parted(digits, sizes, random), how, random)


def phone_said(random: Random, how: Manner) -> Groups:
    """A North American number, at times with the country's 1; 555 numbers only."""
    area, rest = f"{random.randint(201, 989)}", f"555{_digits(random, 4)}"
    groups = [area, rest[:3], rest[3:]]
    if how.numerals and random.random() < 0.4:
        return [[random.choice((f"({area})", f"{area}")), f"{rest[:3]}-{rest[3:]}"]]
    lead = [["~plus", "one"]] if not how.numerals and random.random() < 0.08 else []
    return [*lead, *_grouped(groups, how, random)]


def expiry_said(random: Random, how: Manner) -> Groups:
    """Month and year of a card that is valid."""
    month, late = random.randint(1, 12), random.randint(26, 34)
    if how.numerals:
        return [[random.choice((f"{month:02}/{late}", f"{month}/{late}", f"{month:02}/20{late}", f"{month:02}{late}"))]]
    figures = f"{how.zero} {cardinal(month)}" if month < 10 and random.random() < 0.7 else cardinal(month)
    named = random.random() < 0.3
    between = random.choice(("", "", "~slash ", "~of " if named else "~slash "))
    told = random.choice((cardinal(late), year(2000 + late, random)))
    return [f"{MONTHS[month - 1] if named else figures} {between}{told}".split()]


def birth_said(random: Random, how: Manner) -> Groups:
    """A day between 1935 and 2006."""
    day = date(1935, 1, 1) + timedelta(days=random.randrange(26_000))
    month, told = MONTHS[day.month - 1], year(day.year, random)
    if how.numerals:
        written = (
            f"{day:%m/%d/%Y}",
            f"{day.month}/{day.day}/{day:%y}",
            f"{day:%m-%d-%Y}",
            f"{month} {day.day} {day.year}",
        )
        return [random.choice(written).split()]
    if random.random() < 0.3 and day.year < 2000:
        told = cardinal(day.year % 100) if day.year % 100 > 9 else told
    figures = f"{_two(day.month, how)} {_two(day.day, how)} {told}"
    ways = (
        f"{month} {ordinal(day.day)} {told}",
        f"{month} ~the {ordinal(day.day)} {told}",
        f"{month} {cardinal(day.day)} {told}",
        f"~the {ordinal(day.day)} ~of {month} {told}",
        figures,
        figures.replace(" ", " ~slash ", 1) if " " in figures else figures,
    )
    return [random.choice(ways).split()]


def email_said(random: Random, person: Person) -> Groups:
    """An address said in words, spelled in part, or written by the recogniser."""
    first, last = _plain(person.first), _plain(person.last)
    tail = random.choice(("", "", _digits(random, 2), _digits(random, 4)))
    parts, mark = random.choice(
        (([first, last], "."), ([first, last], "_"), ([first[0], last], ""), ([first, last], "-"))
    )
    where = [person.domain, random.choice(NAMES["TLD"])]
    if person.how.numerals and random.random() < 0.7:
        return [[f"{mark.join(parts)}{tail}@{'.'.join(where)}"]]
    between = {".": ["~dot"], "_": ["~underscore"], "-": [random.choice(("~dash", "~hyphen"))], "": []}[mark]
    spelled = random.choice((False, False, True))
    local = [*_said_or_spelled(parts[0], spelled and len(parts[0]) < 9, random), *between]
    local += _said_or_spelled(parts[1], random.random() < 0.3, random)
    numbers = said(tail, person.how, random) if tail else []
    ending = where[1].replace(".", " ~dot ").split()
    ending = list(ending[0]) if ending in (["io"], ["us"]) else ending
    return [[*local, *numbers, "~at", *_said_or_spelled(where[0], random.random() < 0.15, random), "~dot", *ending]]


def address_said(random: Random, how: Manner) -> Groups:
    """A house, its street and mostly the place, at times with a flat and a zip code."""
    house = str(random.choice((random.randint(1, 99), random.randint(100, 999), random.randint(1000, 19999))))
    street = f"{random.choice(NAMES['STREET'])} {random.choice(NAMES['SUFFIX'])}"
    groups = [[*said(house, how, random), *street.split()]]
    if random.random() < 0.25:
        groups.append(
            [random.choice(("~apartment", "~unit", "~suite")), *said(str(random.randint(1, 40)), how, random)]
        )
    if random.random() < 0.75:
        groups.append(random.choice(NAMES["CITY"]).replace(",", " ").replace("_", " ").split())
        if random.random() < 0.7:
            groups.append(said(f"{random.randint(10_000, 99_999)}", how, random))
    return groups


def spelled(word: str, random: Random) -> list[str]:
    """Letters of a name: bare, with "as in", or in the NATO alphabet."""
    way = random.choice(("bare", "bare", "as in", "nato", "doubles"))
    letters = list(_plain(word))
    if way == "nato":
        return [NATO[letter] for letter in letters]
    if way == "doubles":
        return _doubled(letters)
    told: list[str] = []
    for letter in letters:
        known = [one for one in NAMES["AS_IN"] if one.startswith(letter)]
        explained = way == "as in" and known and random.random() < 0.5
        told += (
            [letter, *random.choice(("~as ~in", "~like", "~for")).split(), random.choice(known)]
            if explained
            else [letter]
        )
    return told


def _doubled(letters: list[str]) -> list[str]:
    told: list[str] = []
    while letters:
        size = 2 if letters[:1] == letters[1:2] else 1
        told += [*(["double"] if size == 2 else []), letters[0]]
        letters = letters[size:]
    return told


def _said_or_spelled(word: str, is_spelled: bool, random: Random) -> list[str]:
    return spelled(word, random) if is_spelled else [word]


def _grouped(groups: Sequence[str], how: Manner, random: Random) -> Groups:
    return joined([said(group, how, random) for group in groups], how)


def _two(number: int, how: Manner) -> str:
    return f"{how.zero} {cardinal(number)}" if number < 10 and how.doubles else cardinal(number)


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isalpha())


def _digits(random: Random, size: int) -> str:
    return "".join(str(random.randrange(10)) for _ in range(size))
