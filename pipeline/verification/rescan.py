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
_NAMED: Final = re.compile(r"\b(?:name(?:'s| is)|call me|me llamo|mi nombre es|surname is|first name|last name) ")
_NO_NAMES: Final = frozenset(
    """a an the is and on of or to in it for please not with as so that your you my i uh um again first last correct
    no yes here there what going calling el la es y de por""".split()
)
_JOINTS: Final = frozenset("dot underscore dash hyphen punto guion".split())
_ENDINGS: Final = frozenset("com org net edu gov io co uk es mx".split())
_STREETS: Final = frozenset("street avenue road drive lane boulevard court way place st ave rd dr blvd".split())


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
    before, after = _around(number, tokens)
    if after in MEASURES or before in ("$", "£", "€"):
        return ""
    first = tokens[number.first]
    said = [topic for topic in topics if first.start_ms - ASKED_MS <= topic.at_ms <= first.start_ms]
    topic = said[-1] if said else None
    if _is_left_over(number, tokens) and len(digits) >= 2:
        return "PII"
    if after in _STREETS or _is_street(number, tokens):
        return "ADDRESS"
    if topic is not None and topic.type == "":
        is_its_own = topic.turn != first.turn or first.at - topic.end <= LABEL_WORDS
        return "" if is_its_own and len(digits) <= _MOST_OF_A_LABEL else "PII"
    return _by_length(digits, topic.type if topic else "", tokens[number.first : number.last + 1], before)


def _by_length(digits: str, asked: str, words: Sequence[Token], before: str) -> str:
    least = {"CVV": 3, "EXPIRY": 3, "DOB": 3, "PII": 3, "CREDITCARD": 4, "SSN": 4, "PHONE": 7}.get(asked, 5)
    is_date = before in _MONTHS or any(word.said in _MONTHS for word in words)
    if asked and len(digits) >= least and not (is_date and asked not in ("DOB", "EXPIRY")):
        return asked
    if len(digits) >= 7 and not is_date:
        return {9: "SSN", 10: "PHONE", 11: "PHONE"}.get(len(digits), "PII")
    return ""


def _around(number: Number, tokens: Sequence[Token]) -> tuple[str, str]:
    before = tokens[number.first - 1].said if number.first else ""
    after = tokens[number.last + 1].said if number.last + 1 < len(tokens) else ""
    return before, after


def _is_left_over(number: Number, tokens: Sequence[Token]) -> bool:
    """Whether a masked number ends just before or begins just after."""
    near = (*tokens[max(0, number.first - 2) : number.first], *tokens[number.last + 1 : number.last + 3])
    return any(token.said.startswith("[") and "name" not in token.said and "email" not in token.said for token in near)


def _is_street(number: Number, tokens: Sequence[Token]) -> bool:
    following = [token.said for token in tokens[number.last + 1 : number.last + 4]]
    return len(number.digits) <= 5 and any(word in _STREETS for word in following[1:])


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
        if word in ("dot", "punto") and at + 1 < len(words) and words[at + 1] in _ENDINGS:
            said = next((n for n in range(at - 1, max(at - 7, -1), -1) if words[n] in ("at", "arroba")), None)
            if said is not None:
                yield _local_part(words, said), at + 1, "EMAIL"


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
            if first is not None and at - first >= 3:
                yield first, at - 1, "NAME"
            first = None
