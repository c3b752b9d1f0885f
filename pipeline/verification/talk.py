"""The talk of a contact as it was published: its words, what each part of it is about, and what is masked in it.

Owns the phrases that say which value comes, and for how long they are believed. Both tracks count: one side asks, the
other answers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.verification.words import EVERYDAY, times_said
from topics.records import RedactedTurn

ASKED_MS: Final = 30_000
ANSWER_MS: Final = 8_000  # a value may go on so long after a part of it
LABEL_WORDS: Final = 8  # between "your order number" and its digits
STAYS: Final = ""  # the type of what may be said
MONTHS: Final = frozenset(
    """january february march april may june july august september october november december enero febrero marzo abril
    mayo junio julio agosto septiembre octubre noviembre diciembre""".split()
)

# What a value is when one of these was said.
_CUES: Final[tuple[tuple[str, str], ...]] = (
    (
        "CVV",
        r"(?:security|verification|card) (?:code|value|numbers?|digits?)|\bc ?v ?[vc]\b|\bc ?s ?c\b|\bc ?i ?d\b"
        r"|(?:on|from|at) the (?:back|reverse)|back of|reverse|signature|(?:three|four) digits?|código de seguridad",
    ),
    ("SSN", r"\bsocial\b(?! media)|s ?s ?n\b|tax(?:payer)? id|seguro social"),
    ("ROUTING", r"routing|transit|\ba ?b ?a\b|sort code"),
    (
        "EXPIRY",
        r"\bexp\b|expir\w*|(?:valid|good)(?: date)? (?:until|till|thru|through|to)|until when"
        r"|month and year|vence|caduca\w*|vencimiento",
    ),
    ("DOB", r"birth\w*|\bborn\b|\bd ?o ?b\b|nacimiento|nací|how old"),
    ("BANKACCOUNT", r"account|checking|savings|iban|cuenta"),
    (
        "PHONE",
        r"phone|mobile|\bcell|call ?back|(?:call|reach|text|ring) (?:you|me)|contact number|calling from"
        r"|(?:my|your|best|good) number|area code|disconnected|cut off|teléfono|celular|móvil",
    ),
    ("PII", r"\bpin\b|pass ?code|password|passport|licen[cs]e|member|policy number|verification"),
    (
        STAYS,
        r"order|ticket|reference|confirmation|\bcase\b|tracking|invoice|model|serial|flight|extension|claim|version"
        r"|error|part number|firmware|pedido|channel|referencia|room|gate|form|highway|interstate"
        r"|\bfees?\b|price|\bcosts?\b|balance|total|refund|shipping|deposit|discount|\brate\b|\bpaid\b|plan\b",
    ),
    (
        "CREDITCARD",
        r"\bcards?\b|\bvisa\b|master ?card|\bamex\b|american express|discover\b|tarjeta|long number"
        r"|(?:ends|ending) (?:in|with)|last four|final four",
    ),
    (
        "ADDRESS",
        r"address|\bi live\b|you live|zip|postal|postcode|street name|moved to|ship(?:ped)? (?:it )?to|we're at",
    ),
    ("EMAIL", r"e ?-?mail|correo"),
    ("SPELLING", r"spell\w*|letter by letter|deletre\w*"),
    (
        "NAME",
        r"names?\b|who am i|who do i|who is this|who's (?:calling|this|there)|whom|speaking (?:with|to)|and you are"
        r"|call you|cardholder|account holder|nombre|apellido|me llamo|con quién",
    ),
)
_CUE: Final = re.compile("|".join(rf"(?P<c{at}>{words})" for at, (_, words) in enumerate(_CUES)))


@dataclass(frozen=True, slots=True)
class Cue:
    """What says which value comes, or a value that is masked.

    Attributes:
        at_ms: end of its last word.
        turn: of the contact.
        first: the turn's first word of it.
        end: the turn's word behind it.
        type: of the value.
        is_mask: a masked value.
    """

    at_ms: int
    turn: int
    first: int
    end: int
    type: str
    is_mask: bool = False


class Talk:
    """The final turns of a contact, in the order of their start.

    Attributes:
        turns: as published.
        texts: their words, in lower case and without punctuation around them.
        cues: by time, of both tracks.
    """

    def __init__(self, turns: Sequence[RedactedTurn]) -> None:
        """Read what was said."""
        self.turns = turns
        self.texts = [[_plain(word.text) for word in turn.words] for turn in turns]
        self.cues = sorted((*self._masks(), *self._phrases()), key=lambda cue: cue.at_ms)

    def asked(self, types: Sequence[str], turn: int, within_ms: int = ASKED_MS) -> bool:
        """Say whether a turn may answer one of some types: it was named there or before, and has no value since."""
        start_ms = self.turns[turn].words[0].start_ms
        end_ms = self.turns[turn].words[-1].end_ms
        return any(
            cue.type in types and start_ms - within_ms <= cue.at_ms <= end_ms and not self.is_answered(cue, start_ms)
            for cue in self.cues
            if not cue.is_mask
        )

    def is_answered(self, cue: Cue, start_ms: int) -> bool:
        """Say whether a value of a cue's type was masked behind it, and too long ago to go on."""
        masks = [
            one.at_ms for one in self.cues if one.is_mask and one.type == cue.type and cue.at_ms < one.at_ms <= start_ms
        ]
        return bool(masks) and masks[-1] < start_ms - ANSWER_MS

    def is_near(self, types: Sequence[str], start_ms: int, end_ms: int, within_ms: int) -> bool:
        """Say whether a value of some type is masked nearby, on either track."""
        return any(
            cue.is_mask and cue.type in types and start_ms - within_ms <= cue.at_ms <= end_ms + within_ms
            for cue in self.cues
        )

    def content(self, turn: int, first: int, last: int) -> int:
        """Count the words of a turn that are not everyday ones, nor masked, nor a cue, nor between two."""
        told = self.told(turn)
        return sum(
            at not in told and not first <= at <= last and times_said(word) < EVERYDAY
            for at, word in enumerate(self.texts[turn])
        )

    def told(self, turn: int) -> set[int]:
        """Return the words of a turn that say which value comes, or are one that is masked."""
        return {at for cue in self.cues if cue.turn == turn for at in range(cue.first, cue.end)}

    def _masks(self) -> Iterator[Cue]:
        for turn, words in enumerate(self.texts):
            for at, word in enumerate(words):
                if is_masked(word):
                    kind = word.strip("[]").split()[0].upper()
                    yield Cue(self.turns[turn].words[at].end_ms, turn, at, at + 1, kind, is_mask=True)

    def _phrases(self) -> Iterator[Cue]:
        for turn, words in enumerate(self.texts):
            text = " ".join(word.replace(" ", "") for word in words)
            for found in _CUE.finditer(text):
                kind = _CUES[int((found.lastgroup or "c0")[1:])][0]
                first = text.count(" ", 0, found.start())
                end = text.count(" ", 0, found.end()) + 1
                if not is_masked(words[end - 1]):
                    yield Cue(self.turns[turn].words[end - 1].end_ms, turn, first, end, kind)


def is_masked(word: str) -> bool:
    """Whether a word of a published turn stands for a value."""
    return word.startswith("[") and word.endswith("]")


def _plain(text: str) -> str:
    return text.lower().strip(".,?!;:\"'")
