"""Who may review: a file that names people, their tenants, and whether they may see unredacted words.

Owns the file's form and the comparison of tokens. A token is random and long (`openssl rand -hex 32`), so its SHA-256
is all that the file needs to hold.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from connectors import yaml_file
from pipeline.errors import InputError

_HASH_DIGITS = 64


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token_sha256: str
    tenants: tuple[str, ...]
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """One reviewer.

    Attributes:
        name: stands in every decision and every access.
        tenants: whose contacts they may see.
        may_reveal: may ask for the unredacted words of a turn.
        token_sha256: of what they log in with, hexadecimal.
    """

    name: str
    tenants: frozenset[str]
    may_reveal: bool
    token_sha256: str


def load(path: Path) -> tuple[Person, ...]:
    """Read the file; docs/operating.md describes it.

    Raises:
        InputError: it cannot be read or has a mistake; the message names file and reason.
    """
    with yaml_file.told(path):
        given = yaml.safe_load(path.read_bytes())
    try:
        rows = msgspec.convert(given, dict[str, _Row])
    except msgspec.ValidationError as failure:
        raise InputError(f"{path}: {failure}") from None
    if not rows:
        raise InputError(f"{path}: nobody is named")
    hashes = [row.token_sha256 for row in rows.values()]
    if not all(_is_hash(one) for one in hashes) or len(set(hashes)) < len(hashes):
        raise InputError(f"{path}: each person needs a token_sha256 of their own, 64 small hexadecimal digits")
    return tuple(Person(name, frozenset(row.tenants), row.break_glass, row.token_sha256) for name, row in rows.items())


def find(people: tuple[Person, ...], token: str) -> Person | None:
    """Return whose token it is, in a time that does not depend on how much of it is right."""
    digest = hashlib.sha256(token.encode(errors="replace")).hexdigest()
    found = [person for person in people if hmac.compare_digest(person.token_sha256, digest)]
    return found[0] if found else None


def _is_hash(text: str) -> bool:
    return len(text) == _HASH_DIGITS and set(text) <= set("0123456789abcdef")
