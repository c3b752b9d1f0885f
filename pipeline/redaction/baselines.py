"""What a redactor without a memory finds in one record: patterns over plainly written digits. For comparison only."""

import re
from collections.abc import Sequence
from typing import Final

_ONES: Final = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen".split()
    )
} | {"oh": "0"}
_TENS: Final = dict(
    zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), "2 3 4 5 6 7 8 9".split(), strict=True)
)
_PATTERNS: Final = (  # digits may be parted by single spaces or dashes, as they are when they were said one by one
    ("CREDITCARD", re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)")),
    ("SSN", re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){8}(?![ -]?\d)")),
    ("PHONE", re.compile(r"(?<!\d)(?<!\d[ -])\(?\d(?:[ )-]{0,2}\d){9}(?![ -]?\d)")),
    ("EMAIL", re.compile(r"\S+@\S+\.\w+|\w+(?: (?:dot|underscore|dash) \w+)* at \w+ dot \w+")),
)


def by_pattern(texts: Sequence[str]) -> list[str]:
    """Find cards of 13 to 19 digits, SSNs, phone numbers and e-mail addresses in the words of one record."""
    written = _written([text.lower().strip(".,?!") for text in texts])
    starts = [sum(len(word) + 1 for word in written[:at]) for at in range(len(written))]
    line = " ".join(written)
    masks = [""] * len(written)
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(line):
            for at, start in enumerate(starts):
                if start < match.end() and match.start() < start + len(written[at]) and not masks[at]:
                    masks[at] = kind
    return masks


def _written(texts: Sequence[str]) -> list[str]:
    """Write number words as figures, each in its place."""
    following = [*texts[1:], ""]
    return [
        _ONES.get(text) or (_tens(text, after) if text in _TENS else text)
        for text, after in zip(texts, following, strict=True)
    ]


def _tens(text: str, after: str) -> str:
    return _TENS[text] + ("" if len(_ONES.get(after, "00")) == 1 and after not in ("zero", "oh") else "0")
