"""Objects of a contact that only its tenant's key opens.

A contact has one data key, wrapped by the tenant's key (`connectors/sealing.py`); destroying the wrapped key makes all
of the contact's objects unreadable, copies included. An object is

    byte 0        1, the version of this layout
    12            nonce
    rest          ciphertext of AES-256-GCM and its tag of 16 bytes; `tenant|contact|name` is its associated data

The nonce is the head of HMAC-SHA256 over name and content, under a key of its own that HKDF derives from the data
key: the same content under the same name is the same bytes, so that storing it again changes nothing, and one key
meets a nonce twice with different contents only where 96 bits of the MAC collide (for 2^32 objects of a contact with
probability 2^-33). docs/decisions/0017-archive.md says why it is not counted or drawn.
"""

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.sealing import KEY_BYTES, NONCE_BYTES
from pipeline.errors import RecordRefused

VERSION: Final = b"\x01"


class Envelope:
    """Seals and opens the objects of one contact."""

    def __init__(self, key: bytes, belonging: str) -> None:
        """Use a contact's open data key.

        Args:
            key: 32 bytes.
            belonging: `tenant|contact`, which an object cannot leave.
        """
        self._cipher = AESGCM(_derived(key, b"content"))
        self._nonce_key = _derived(key, b"nonce")
        self._belonging = belonging

    def seal(self, name: str, content: bytes) -> bytes:
        """Encrypt one object; the same name and content give the same bytes."""
        belonging = self._belonging_of(name)
        digest = hmac.digest(self._nonce_key, hashlib.sha256(belonging).digest() + content, "sha256")
        nonce = digest[:NONCE_BYTES]
        return VERSION + nonce + self._cipher.encrypt(nonce, content, belonging)

    def open(self, name: str, sealed: bytes) -> bytes:
        """Decrypt one object.

        Raises:
            RecordRefused: it is no sealed object, another's, or was changed.
        """
        head = len(VERSION)
        if sealed[:head] != VERSION:
            raise RecordRefused("the object is of another version, or not sealed")
        nonce, rest = sealed[head : head + NONCE_BYTES], sealed[head + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, self._belonging_of(name))
        except (InvalidTag, ValueError):
            raise RecordRefused("the object was sealed under another name or key, or changed") from None

    def _belonging_of(self, name: str) -> bytes:
        return f"{self._belonging}|{name}".encode()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, b"trunkline archive " + purpose).derive(key)
