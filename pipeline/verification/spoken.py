"""Numbers in the words of one track, by `text2num`: it shares nothing with `pipeline.redaction`.

Owns which words make one number: those that are neighbours but for a few others, over turns.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import text_to_num

Language = Literal["en", "es"]

GAP_WORDS: Final = 2  # other words within a number: "and then"
GAP_MS: Final = 12_000
# What is counted ends a number: "twenty dollars and forty cents".
MEASURES: Final = frozenset(
    """am años bags buck bucks cent centavos cents céntimos day days dias dolares dollar dollars días euro euros
    feet gig gigabytes gigs grand horas hour hours inch inches items mbps megabits meses mile miles minute
    minutes minutos moment month months nights o'clock oclock people percent peso pesos pieces pm por pound
    pounds degree degrees digit digits second seconds semanas tickets times week weeks year years""".split()
)
# Written amounts, times of day and shares say what they are.
_MEASURED: Final = re.compile(r"[$£€].*|\d+[.,]\d\d|\d{1,2}:\d\d.*|\d+(?:%|mbps|gb|am|pm)")
_REPEATS: Final = {"double": 2, "doble": 2, "triple": 3, "treble": 3, "quadruple": 4}
_FILLERS: Final = frozenset("uh um and then okay yes so eh y".split())  # between parts of a number in two turns
_BEFORE_PRONOUNS: Final = frozenset("the this that which other another any no each every".split())
_ZEROS: Final = frozenset(("oh", "o", "nil", "owe"))
# How a recogniser may write a digit; believed between two numbers alone.
_SOUNDS_LIKE: Final = {
    "to": "2",
    "too": "2",
    "for": "4",
    "fore": "4",
    "ate": "8",
    "won": "1",
    "tree": "3",
    "free": "3",
    "sex": "6",
    "sicks": "6",
    "nein": "9",
    "hate": "8",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word and where it stands; `turn` and `at` count in the contact and in the turn.

    The methods are those of `text_to_num.Token`, which has no types to inherit.
    """

    said: str  # lower case, without punctuation around it
    turn: int
    at: int
    start_ms: int
    end_ms: int

    def text(self) -> str:
        """Return the word."""
        return self.said

    def nt_separated(self, previous: "Token") -> bool:
        """Whether something parts it from the word before."""
        return self.start_ms - previous.end_ms > GAP_MS

    def not_a_number_part(self) -> bool:
        """Whether it is known to be no number."""
        return False


@dataclass(slots=True)
class Number:
    """Words that make one number; `first` and `last` count the tokens of the track."""

    first: int
    last: int
    digits: str


def numbers(tokens: Sequence[Token], language: Language) -> list[Number]:
    """Find the numbers of a track, oldest first."""
    found: list[Number] = []
    for piece in _pieces(tokens, language):
        if _is_pronoun(tokens, piece):
            continue
        last = found[-1] if found else None
        if last is not None and _continues(tokens, last, piece):
            last.digits += piece.digits
            last.last = piece.last
        else:
            found.append(piece)
    return [number for number in found if not _is_sigh(tokens, number)]


def _is_pronoun(tokens: Sequence[Token], piece: Number) -> bool:
    """Whether "one" stands for something: "the one"."""
    is_one = piece.first == piece.last and tokens[piece.first].said == "one"
    return is_one and tokens[piece.first].at > 0 and tokens[piece.first - 1].said in _BEFORE_PRONOUNS


def _is_sigh(tokens: Sequence[Token], number: Number) -> bool:
    """Whether a lone "oh" is no zero."""
    return number.first == number.last and tokens[number.first].said in _ZEROS


def _continues(tokens: Sequence[Token], number: Number, piece: Number) -> bool:
    gap = [token.said for token in tokens[number.last + 1 : piece.first]]
    is_near = len(gap) <= GAP_WORDS and tokens[piece.first].start_ms - tokens[number.last].end_ms <= GAP_MS
    if not is_near or any(word.startswith("[") or word in MEASURES for word in gap):
        return False
    if gap and piece.last + 1 < len(tokens) and tokens[piece.last + 1].said in MEASURES:
        return False
    return tokens[number.last].turn == tokens[piece.first].turn or all(word in _FILLERS for word in gap)


def _pieces(tokens: Sequence[Token], language: Language) -> Iterator[Number]:
    """Yield each number word, or group of them that is one number, with repeats and zeros as digits."""
    values = _values(tokens, language)
    at, times, since = 0, 1, -1
    while at < len(tokens):
        word = tokens[at].said
        if word in _REPEATS:
            times, since = _REPEATS[word], at
            at += 1
            continue
        digits, after = values.get(at) or (_alone(tokens, values, at), at + 1)
        if digits:
            yield Number(since if since >= 0 else at, after - 1, digits[0] * (times - 1) + digits)
        if digits or at - since > 2:
            times, since = 1, -1
        at = after


def _values(tokens: Sequence[Token], language: Language) -> dict[int, tuple[str, int]]:
    """Return what the library reads: by first token the digits and the token after the last."""
    read = text_to_num.find_numbers(list(tokens), language, threshold=0)
    return {
        one.start: ("".join(filter(str.isdigit, one.text)), one.end)
        for one in read
        if not _MEASURED.fullmatch(tokens[one.start].said) and not _is_moment(tokens, one.start)
    }


def _is_moment(tokens: Sequence[Token], at: int) -> bool:
    """Whether "second" counts time and no order: "one second"."""
    return tokens[at].said == "second" and at > 0 and tokens[at - 1].said in ("one", "a", "just", "every", "per")


def _alone(tokens: Sequence[Token], values: dict[int, tuple[str, int]], at: int) -> str:
    """Read what the library does not: numerals, a spoken zero, a digit that was heard as another word."""
    word = tokens[at].said
    digits = "" if _MEASURED.fullmatch(word) else "".join(filter(str.isdigit, word))
    if digits and sum(map(str.isalpha, word)) <= 1:
        return digits
    if word in _ZEROS:
        return "0"
    if len(word) > 5 and word.isalpha() and (joined := _joined(word)):
        return joined
    is_between = at - 1 in {end - 1 for _, end in values.values()} and at + 1 in values
    return _SOUNDS_LIKE.get(word, "") if is_between else ""


@lru_cache(maxsize=4_096)
def _joined(word: str) -> str:
    """Read two number words that were written as one: "thirtythree"."""
    for at in range(3, len(word) - 2):
        try:
            values = [text_to_num.text2num(part, "en") for part in (word[:at], word[at:])]
        except ValueError:
            continue
        return str(sum(values)) if values[0] % 10 == 0 and values[0] > 10 > values[1] else "".join(map(str, values))
    return ""
