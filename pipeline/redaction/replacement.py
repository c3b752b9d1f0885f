"""Write what stands for masked words: `[TYPE]`, the last four digits of a card, or a pseudonym.

Owns the tokens and nothing of what is masked. A security code, and what is undecided and may be one, is the plain token
whatever is asked: PCI DSS 4.0.1, 3.3.1, forbids to keep it in any form.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline.redaction.checks import find_card
from pipeline.redaction.languages import Language
from pipeline.redaction.words import Lexeme, decode, read

Way = Literal["token", "last4", "pseudonym"]
PLAIN: Final = frozenset(("CVV", "PII"))
KEY_BYTES: Final = 16  # the least length of a key
PSEUDONYM_DIGITS: Final = 8  # hexadecimal: 10,000 values of one tenant collide with a chance of about one in a hundred
_WORDY: Final = frozenset(("NAME", "ADDRESS", "DOB"))


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a tenant wants masked words written; the types that are not named are plain tokens.

    Attributes:
        last4: types whose token shows the last four digits of a whole card number.
        pseudonyms: types whose token is the same for the same value.
        key: of the pseudonyms, the tenant's own.
    """

    last4: frozenset[str] = frozenset()
    pseudonyms: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)

    def of_tenant(self, tenant: str) -> "Replacement":
        """Return the same with the tenant's own key, so that no two tenants share a pseudonym."""
        return Replacement(self.last4, self.pseudonyms, _hmac(self.key, tenant) if self.key else b"")


def token(kind: str, texts: Sequence[str], replacement: Replacement, language: Language) -> str:
    """Write the token of a masked run.

    Args:
        kind: its type.
        texts: its words as they were said.
        replacement: how the tenant wants it written.
        language: what the words are read in.
    """
    if kind in PLAIN or kind not in replacement.last4 | replacement.pseudonyms:
        return f"[{kind}]"
    words = [read(text, language) for text in texts]
    if kind in replacement.pseudonyms:
        value = f"{kind} {_value(kind, words, language)}"
        return f"[{kind} {_hmac(replacement.key, value).hex()[:PSEUDONYM_DIGITS]}]"
    digits = _digits(words)
    return f"[{kind} {digits[-4:]}]" if find_card(digits) == (0, len(digits)) else f"[{kind}]"


def parts(text: str, replacement: Replacement) -> list[str]:
    """Split written text at its spaces, but not inside a token that the replacement writes."""
    last4 = "|".join(sorted(replacement.last4 - PLAIN))
    pseudonyms = "|".join(sorted(replacement.pseudonyms - PLAIN))
    forms = [rf"(?:{last4}) \d{{4}}"] if last4 else []
    forms += [rf"(?:{pseudonyms}) [0-9a-f]{{{PSEUDONYM_DIGITS}}}"] if pseudonyms else []
    return re.findall("".join(rf"\[(?:{form})\]\S*|" for form in forms) + r"\S+", text)


def _value(kind: str, words: Sequence[Lexeme], language: Language) -> str:
    """Write a value so that it is the same however it was said."""
    if kind == "EMAIL":
        return "".join(_sign(word, language) for word in words)
    digits = _digits(words)
    if digits and kind not in _WORDY:
        return digits
    return " ".join(
        (*(language.plain(word.norm) for word in words if not word.atoms and word.kind != "filler"), digits)
    )


def _sign(word: Lexeme, language: Language) -> str:
    if word.norm in language.at_words or word.norm in language.sure_at_words:
        return "@"
    if word.norm in language.domain_dots:
        return "."
    return _digits([word]) or ("" if word.kind == "filler" else word.norm)


def _digits(words: Sequence[Lexeme]) -> str:
    return "".join(digit for digit, _ in decode([atom for word in words for atom in word.atoms]))


def _hmac(key: bytes, value: str) -> bytes:
    return hmac.new(key, value.encode(), hashlib.sha256).digest()
