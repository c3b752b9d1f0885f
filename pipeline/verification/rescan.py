"""Look through the published text of a whole contact for what should not be there.

Owns what counts as a finding: it may be wrong, since a benign word that is masked costs less than a number that is
not. Numbers are judged by their length, their check digit, what is measured behind them, and what was asked in the half
minute before, on either track.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.verification.spoken import MEASURES, Language, Number, Token, numbers
from topics.records import TRACKS, RedactedTurn

ASKED_MS: Final = 30_000
ANSWER_MS: Final = 8_000  # a value may go on so long after a part of it
LABEL_WORDS: Final = 8  # between "your order number" and its digits
_CARD: Final = range(13, 20)
_MOST_OF_A_LABEL: Final = 12

# What a number is when one of these was said; the latest counts. An empty type stays.
_TOPICS: Final[tuple[tuple[str, str], ...]] = (
    ("CVV", r"security code|cvv|cvc|back of (?:the|your|my) card|three digits?|código de seguridad"),
    ("SSN", r"social|ssn|tax(?:payer)? id|seguro social"),
    ("ROUTING", r"routing|aba|sort code"),
    ("EXPIRY", r"expir\w*|valid (?:until|thru|through)|vence|caduca\w*|vencimiento"),
    ("DOB", r"birth\w*|born|dob|nacimiento|nací"),
    ("BANKACCOUNT", r"account|checking|savings|iban|cuenta"),
    ("PHONE", r"phone|mobile|cell|call (?:you|me)|reach (?:you|me)|text (?:you|me)|teléfono|celular|móvil"),
    ("PII", r"pin|pass ?code|password|passport|licen[cs]e|member|policy number|verification"),
    ("", r"order|ticket|reference|confirmation|case|tracking|invoice|model|serial|flight|extension|claim|pedido"),
    ("CREDITCARD", r"card|visa|master ?card|amex|american express|discover|tarjeta"),
)
_TOPIC: Final = re.compile("|".join(rf"(?P<t{at}>\b(?:{words})\b)" for at, (_, words) in enumerate(_TOPICS)))
_MONTHS: Final = frozenset(
    """january february march april may june july august september october november december enero febrero marzo abril
    mayo junio julio agosto septiembre octubre noviembre diciembre""".split()
)
_NAMED: Final = re.compile(
    r"\b(?:name(?:'s| is)|me llamo|mi nombre es|surname is|first name|last name|mister|mr|mrs|miss|speaking with) "
)
_NO_NAMES: Final = frozenset(
    """a an the is and on of or to in it for please not with as so that your you my i uh um again first last correct
    no yes here there what going calling el la es y de por please thank thanks a your""".split()
)
_BEFORE_SITES: Final = frozenset("site page website us online store look help".split())
_JOINTS: Final = frozenset("dot underscore dash hyphen punto guion".split())
_ENDINGS: Final = frozenset("com org net edu gov io co uk us es mx".split())
_STREETS: Final = frozenset(
    "street avenue road drive lane boulevard court way place trail circle terrace st ave rd dr blvd".split()
)
_ABBREVIATIONS: Final = frozenset(("c v v", "c v c", "d o b", "s s n", "a b a", "w w w", "p i n", "t v s", "u s a"))


@dataclass(frozen=True, slots=True)
class Finding:
    """Words of one turn that should have been masked, `first` to `last`."""

    turn_id: str
    first: int
    last: int
    type: str


@dataclass(frozen=True, slots=True)
class _Topic:
    at_ms: int
    turn: int
    end: int  # the turn's word behind it
    type: str
    is_answer: bool = False  # a masked value


def rescan(turns: Sequence[RedactedTurn], language: Language = "en") -> list[Finding]:
    """Find what is left in the final turns of a contact, in the order of their start."""
    texts = [[word.text.lower().strip(".,?!;:\"'") for word in turn.words] for turn in turns]
    topics = sorted(_topics(turns, texts), key=lambda topic: topic.at_ms)
    marks = [
        mark
        for track in TRACKS
        for mark in _of_track(
            [n for n, turn in enumerate(turns) if turn.track == track], turns, texts, topics, language
        )
    ]
    for turn, words in enumerate(texts):
        marks += [(turn, *mark) for mark in (*_mails(words), *_names(words), *_spelled(words))]
    return [Finding(turns[turn].turn_id, first, last, kind) for turn, first, last, kind in dict.fromkeys(sorted(marks))]


_Mark = tuple[int, int, int, str]  # turn, first and last word, type


def _topics(turns: Sequence[RedactedTurn], texts: list[list[str]]) -> Iterator[_Topic]:
    for turn, words in enumerate(texts):
        for at, word in enumerate(words):
            if word.startswith("["):
                yield _Topic(
                    turns[turn].words[at].end_ms, turn, at + 1, word.strip("[]").split()[0].upper(), is_answer=True
                )
        text = " ".join(words)
        for found in _TOPIC.finditer(text):
            kind = _TOPICS[int((found.lastgroup or "t0")[1:])][0]
            end = len(text[: found.end()].split())
            yield _Topic(turns[turn].words[end - 1].end_ms, turn, end, kind)


def _of_track(
    own: list[int], turns: Sequence[RedactedTurn], texts: list[list[str]], topics: list[_Topic], language: Language
) -> Iterator[_Mark]:
    tokens = [
        Token(texts[turn][at], turn, at, word.start_ms, word.end_ms)
        for turn in own
        for at, word in enumerate(turns[turn].words)
    ]
    for number in numbers(tokens, language):
        kind = _kind(number, tokens, topics)
        if kind:
            yield from _marks(number, tokens, kind)


def _marks(number: Number, tokens: Sequence[Token], kind: str) -> Iterator[_Mark]:
    """Yield the words of a number, turn by turn."""
    spans: dict[int, list[int]] = {}
    for token in tokens[number.first : number.last + 1]:
        spans.setdefault(token.turn, []).append(token.at)
    for turn, places in spans.items():
        yield turn, places[0], places[-1], kind


def _kind(number: Number, tokens: Sequence[Token], topics: list[_Topic]) -> str:
    """Return what a number is; empty where it may stay."""
    digits = number.digits
    if _holds_card(digits):
        return "CREDITCARD"
    if _is_left_over(number, tokens):
        return "PII"
    if _is_street(number, tokens):
        return "ADDRESS"
    if _is_measured(number, tokens):
        return ""
    first = tokens[number.first]
    topic = _open_topic(first, topics)
    if topic is not None and topic.type == "":
        is_its_own = topic.turn != first.turn or first.at - topic.end <= LABEL_WORDS
        return "" if is_its_own and len(digits) <= _MOST_OF_A_LABEL else "PII"
    return _by_length(number, tokens, topic.type if topic else "")


def _open_topic(first: Token, topics: list[_Topic]) -> _Topic | None:
    """Return what the number answers: the latest topic, unless a masked value of its type has answered that."""
    said = [one for one in topics if first.start_ms - ASKED_MS <= one.at_ms <= first.start_ms]
    asked = [one for one in said if not one.is_answer]
    if not asked:
        return None
    answers = [
        one.at_ms for one in said if one.is_answer and one.type == asked[-1].type and one.at_ms > asked[-1].at_ms
    ]
    return None if answers and answers[-1] < first.start_ms - ANSWER_MS else asked[-1]


def _by_length(number: Number, tokens: Sequence[Token], asked: str) -> str:
    digits, words = number.digits, tokens[max(0, number.first - 2) : number.last + 2]
    has_month = any(word.said in _MONTHS for word in words)
    if asked in ("DOB", "EXPIRY"):
        return asked if has_month or _is_date(digits) else ""
    least = {"CVV": 3, "PII": 3, "CREDITCARD": 4, "SSN": 4, "PHONE": 7}.get(asked, 5)
    if asked and len(digits) >= least and not has_month:
        return asked
    if len(digits) >= 7 and not has_month:
        return {9: "SSN", 10: "PHONE", 11: "PHONE"}.get(len(digits), "PII")
    return ""


def _is_date(digits: str) -> bool:
    """Whether digits begin with a month or end with a year."""
    if len(digits) == 4 and 1900 <= int(digits) <= 2099:
        return True
    return 3 <= len(digits) <= 8 and (
        1 <= int(digits[:2]) <= 12 or 1 <= int(digits[0]) <= 9 and len(digits) in (3, 5, 7)
    )


def _is_measured(number: Number, tokens: Sequence[Token]) -> bool:
    """Whether a measure follows, or it is a time of day or a year."""
    before, after = _around(number, tokens)
    behind = [token.said for token in tokens[number.last + 1 : number.last + 3]]
    if after in MEASURES or behind in (["a", "m"], ["p", "m"]):
        return True
    is_time = 3 <= len(number.digits) <= 4 and int(number.digits[-2:]) < 60 and int(number.digits[:-2]) <= 12
    is_year = len(number.digits) == 4 and 1900 <= int(number.digits) <= 2099
    return is_time and before in ("at", "by", "until", "to", "a") or is_year and before in ("in", "of", "since", "from")


def _around(number: Number, tokens: Sequence[Token]) -> tuple[str, str]:
    before = tokens[number.first - 1].said if number.first else ""
    after = tokens[number.last + 1].said if number.last + 1 < len(tokens) else ""
    return before, after


def _is_left_over(number: Number, tokens: Sequence[Token]) -> bool:
    """Whether it stands beside a masked number in one breath: two digits or more, or one between two."""
    before, after = _around(number, tokens)
    masked = [word.startswith("[") and not word.startswith(("[name", "[email", "[address")) for word in (before, after)]
    return all(masked) or any(masked) and len(number.digits) >= 2 and not _is_measured(number, tokens)


def _is_street(number: Number, tokens: Sequence[Token]) -> bool:
    """Whether a street follows: a number, one to three words, and what streets are called."""
    following = [token.said for token in tokens[number.last + 1 : number.last + 5]]
    at = next((at for at, word in enumerate(following) if word in _STREETS), 0)
    return len(number.digits) <= 5 and at > 0 and all(word.isalpha() and len(word) > 3 for word in following[:at])


def _holds_card(digits: str) -> bool:
    return any(
        _passes_luhn(digits[at : at + length])
        for length in _CARD
        for at in range(len(digits) - length + 1)
        if len(set(digits[at : at + length])) > 1
    )


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 Annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


def _mails(words: list[str]) -> Iterator[tuple[int, int, str]]:
    for at, word in enumerate(words):
        if "@" in word:
            yield at, at, "EMAIL"
        ending = (
            "".join(words[at + 1 : at + 3]) if len("".join(words[at + 1 : at + 2])) == 1 else words[at + 1 : at + 2]
        )
        if word in ("dot", "punto") and "".join(ending) in _ENDINGS:
            said = next((n for n in range(at - 1, max(at - 7, -1), -1) if words[n] in ("at", "arroba")), None)
            if said is not None and words[max(0, said - 1)] not in _BEFORE_SITES:
                yield _local_part(words, said), min(at + 2, len(words) - 1), "EMAIL"


def _local_part(words: list[str], at: int) -> int:
    """Return where the part before the at sign begins: "jane dot miller"."""
    first = max(0, at - 1)
    while first >= 2 and words[first - 1] in _JOINTS:
        first -= 2
    return first


def _names(words: list[str]) -> Iterator[tuple[int, int, str]]:
    text = " ".join(words) + " "
    for found in _NAMED.finditer(text):
        at = len(text[: found.end()].split())
        while at < len(words) and words[at] in ("is", "uh", "um"):
            at += 1
        if at < len(words) and words[at].isalpha() and words[at] not in _NO_NAMES:
            has_surname = at + 2 == len(words) and words[at + 1].isalpha() and words[at + 1] not in _NO_NAMES
            yield at, at + has_surname, "NAME"


def _spelled(words: list[str]) -> Iterator[tuple[int, int, str]]:
    """Three letters in a row spell something."""
    first = None
    for at, word in enumerate([*words, ""]):
        if len(word) == 1 and word.isalpha():
            first = at if first is None else first
        else:
            if first is not None and at - first >= 3 and " ".join(words[first:at]) not in _ABBREVIATIONS:
                yield first, at - 1, "NAME"
            first = None
