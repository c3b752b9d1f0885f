"""Arithmetic of numbers: what makes a digit string a card, a routing number, a telephone number.

Owns check digits and number ranges, given plain digit strings. Sources: ISO/IEC 7812-1 (Luhn, Annex B, and the length
of 13 to 19 in use), the schemes' public IIN ranges (Mastercard's 2-series is 222100-272099), ABA Key to Routing
Numbers (checksum 3-7-1), the North American Numbering Plan (no area or exchange code starts with 0 or 1), SSA (no
area 000, 666 or 9xx).
"""

from operator import mul
from typing import Final

CARD_LENGTHS: Final = (16, 15, 14, 19, 18, 17, 13)
_CARD_PREFIXES: Final = (
    "4",
    "51",
    "52",
    "53",
    "54",
    "55",
    "34",
    "37",
    "36",
    "38",
    "39",
    "300",
    "301",
    "302",
    "303",
    "304",
    "305",
    "309",
    "35",
    "50",
    "56",
    "57",
    "58",
    "60",
    "62",
    "63",
    "64",
    "65",
    "67",
    "81",
    "9792",
    "2200",
    "2201",
    "2202",
    "2203",
    "2204",
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def passes_luhn(digits: str) -> bool:
    """Check the last digit (ISO/IEC 7812-1 Annex B)."""
    values = [ord(digit) - 48 for digit in digits]
    return (sum(values[-1::-2]) + sum(_DOUBLED[value] for value in values[-2::-2])) % 10 == 0


def may_start_card(digits: str) -> bool:
    """Say whether a card number may begin with these digits."""
    if digits.startswith("2") and len(digits) >= 4:
        return 2200 <= int(digits[:4]) <= 2204 or 2221 <= int(digits[:4]) <= 2720
    return digits[:2] in ("2", "22", "23", "24", "25", "26", "27") or any(
        digits.startswith(prefix) or prefix.startswith(digits) for prefix in _CARD_PREFIXES
    )


def find_card(digits: str) -> tuple[int, int] | None:
    """Find the first window that is a card number, longest usual length first; half-open."""
    for first in range(len(digits) - 12):
        if may_start_card(digits[first : first + 6]):
            for length in CARD_LENGTHS:
                window = digits[first : first + length]
                if len(window) == length and passes_luhn(window) and len(set(window)) > 1:
                    return first, first + length
    return None


def is_telephone(digits: str) -> bool:
    """Say whether this is a North American number of ten digits, or eleven with the leading 1."""
    local = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    return len(local) == 10 and local[0] not in "01" and local[3] not in "01"


def is_social_security(digits: str) -> bool:
    """Say whether this may be a social security number."""
    return len(digits) == 9 and digits[:3] not in ("000", "666") and digits[0] != "9" and digits[5:] != "0000"


def is_routing(digits: str) -> bool:
    """Say whether this is a routing number (ABA checksum 3-7-1; the first two digits are a Federal Reserve district)."""
    values = [ord(digit) - 48 for digit in digits]
    is_district = 1 <= int(digits[:2] or 0) <= 32
    return len(values) == 9 and is_district and sum(map(mul, values, (3, 7, 1) * 3)) % 10 == 0


def is_month_year(digits: str) -> bool:
    """Say whether this reads as MMYY or MMYYYY."""
    return len(digits) in (3, 4, 6) and 1 <= int(digits[: 1 if len(digits) == 3 else 2]) <= 12


def is_birth_date(digits: str) -> bool:
    """Say whether this reads as month, day and year, in either order of the first two; months may have one digit."""
    year, rest = digits[-4:], digits[:-4]
    is_year = len(digits) > 4 and digits[-4:-2] in ("19", "20")
    if not is_year:
        year, rest = digits[-2:], digits[:-2]
    splits = [(rest[:at], rest[at:]) for at in (1, 2) if 1 <= len(rest) - at <= 2]
    return len(year) >= 2 and any(
        1 <= int(one) <= 31 and 1 <= int(other) <= 31 and min(int(one), int(other)) <= 12 for one, other in splits
    )
