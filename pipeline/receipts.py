"""Receipts: what a redacted record was made of, by which rules, and that redaction and nobody else wrote it.

The record carries its proof, so that a gate needs no other topic; the whole receipt goes to `redaction.receipts`.
Everything here follows from the record, its source and the key: a replay gives the same receipt. The engine's revision
is in none of it, because another owner of the partition stamps another one.

What a record was made of is hashed with the key, because whoever can guess six digits can hash them too.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from pipeline.redaction.version import DETECTOR
from topics.records import Guidance, Proof, Receipt, RedactedTurn, TextSpan

KEY_BYTES: Final = 32

Proven = RedactedTurn | Guidance
P = TypeVar("P", bound=RedactedTurn | Guidance)

_encode = msgspec.msgpack.Encoder().encode


class Receipts:
    """Makes and checks receipts with one key of the deployment."""

    def __init__(self, key: bytes) -> None:
        """Derive a key for each use, so that what is said with one says nothing with another."""
        self._source_key = derived(key, b"source")
        self._mac_key = derived(key, b"receipt")

    def source(self, content: object) -> str:
        """Hash what a record was made of: plain values in an order that does not change."""
        return hmac.digest(self._source_key, _encode(content), "sha256").hex()

    def issue(self, record: P, source: str, source_rev: int, profile: str) -> tuple[Receipt, P]:
        """Return the receipt of a record, and the record with its proof."""
        said = _said(record, source, source_rev, DETECTOR, profile)
        mac = self._mac(said)
        return _RECEIPT(*said, mac), _with_proof(record, Proof(source, source_rev, DETECTOR, profile, mac))

    def is_valid(self, record: Proven | Receipt) -> bool:
        """Whether a receipt, or the proof in a record, was made with this key for just this content."""
        if isinstance(record, Receipt):
            return _is_same(self._mac(_SAID(record)), record.mac)
        proof = record.proof
        said = _said(record, proof.source, proof.source_rev, proof.detector, proof.profile)
        return _is_same(self._mac(said), proof.mac)

    def _mac(self, said: Sequence[object]) -> str:
        return hmac.digest(self._mac_key, _encode(said), "sha256").hex()


def _is_same(made: str, given: str) -> bool:
    return hmac.compare_digest(made.encode(), given.encode())  # of text it takes ASCII alone


def derived(key: bytes, use: bytes) -> bytes:
    """Return the key for one use."""
    return hmac.digest(key, use, "sha256")


def profile_version(profile: object) -> str:
    """Name a profile by its values."""
    return hashlib.sha256(msgspec.json.encode(profile, order="deterministic")).hexdigest()[:12]


def _said(record: Proven, source: str, source_rev: int, detector: str, profile: str) -> tuple[Any, ...]:
    """Return the fields of a record's receipt in their order, less the mac."""
    subject, redaction_rev, spans = _about(record)
    output = hashlib.sha256(_encode(_CONTENT[type(record)](record))).hexdigest()
    about = (record.tenant, record.contact_id, record.leg, record.schema, subject, redaction_rev)
    return *about, source, source_rev, output, detector, profile, spans


def _about(record: Proven) -> tuple[str, int, tuple[TextSpan, ...]]:
    if isinstance(record, RedactedTurn):
        return record.turn_id, record.redaction_rev, record.spans
    return record.cause_id, 0, ()


def _with_proof(record: P, proof: Proof) -> P:
    """Return a copy of a record, made as `revisions.stamp` makes its own."""
    made: P = object.__new__(type(record))
    for put, value in zip(_SETTERS[type(record)], _VALUES[type(record)](record), strict=True):
        put(made, value)
    object.__setattr__(made, "proof", proof)
    return made


def _names(kind: type[Any], *left_out: str) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if one.name not in left_out)


_RECEIPT: Final[Callable[..., Receipt]] = Receipt  # by position, in the order of `_said`
_KINDS: Final[tuple[type[Any], ...]] = (RedactedTurn, Guidance)
_CONTENT = {kind: attrgetter(*_names(kind, "rev", "proof")) for kind in _KINDS}
_VALUES = {kind: attrgetter(*_names(kind, "proof")) for kind in _KINDS}
_SETTERS = {kind: tuple(getattr(kind, name).__set__ for name in _names(kind, "proof")) for kind in _KINDS}
_SAID = attrgetter(*_names(Receipt, "mac"))
