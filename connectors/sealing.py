"""Fields that only the tenant's key opens: endpoints and attributes of contacts.

A sealed field is self-contained: a version, the name of the key that wraps, the wrapped data key, a nonce, and the
content under AES-256-GCM, with what the field belongs to (`tenant|root|schema`) as associated data, so that a field
that was moved to another contact does not open. A contact has a data key of its own, which the tenant's key wraps:
whoever may not use the tenant's key opens nothing, and rotating that key touches no record.

    byte 0        1, the version of this layout
    1 + n         length and name of the tenant's key, UTF-8
    2 + n         length (big-endian) and bytes of the wrapped data key
    12            nonce
    rest          ciphertext and its tag of 16 bytes

The tenant's key is one of AWS KMS, or a file for development.
"""

import base64
import os
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from pipeline.errors import InputError, PeerUnavailable, RecordRefused
from pipeline.tenant_key import DataKey, TenantKey

VERSION: Final = b"\x01"
KEY_BYTES: Final = 32  # AES-256
NONCE_BYTES: Final = 12  # of GCM (NIST SP 800-38D); random, so 2^32 fields a data key are safe
CONTACTS: Final = 4_096  # whose data keys are kept at hand, 1 kB each

Kms = Any  # botocore makes its clients at run time


class FileKey:
    """A tenant's key in a file: 32 bytes in base64. For development: whoever reads the file reads everything."""

    def __init__(self, path: Path) -> None:
        """Read the key.

        Raises:
            InputError: there is no such file, or it holds no key.
        """
        try:
            self._key = base64.b64decode(path.read_text().strip(), validate=True)
        except OSError as error:
            raise InputError(f"cannot read the key file {path}: {error.strerror}") from None
        except ValueError:
            raise InputError(f"the key file {path} does not hold base64") from None
        if len(self._key) != KEY_BYTES:
            raise InputError(f"the key file {path} does not hold {KEY_BYTES} bytes")
        self.name = "file"

    def make(self, context: str) -> DataKey:
        """See `TenantKey`."""
        plain = os.urandom(KEY_BYTES)
        return DataKey(plain, aes_key_wrap(self._key, plain))

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """See `TenantKey`."""
        try:
            return aes_key_unwrap(self._key, wrapped)
        except (InvalidUnwrap, ValueError):
            raise RecordRefused("another key has sealed the field") from None


class KmsKey:
    """A tenant's key in AWS KMS; the tenant and the contact are its encryption context, which KMS logs."""

    def __init__(self, client: Kms, name: str) -> None:
        """Use a key.

        Args:
            client: botocore's of KMS.
            name: ARN of the key.
        """
        self._client = client
        self.name = name

    def make(self, context: str) -> DataKey:
        """See `TenantKey`."""
        try:
            made = self._client.generate_data_key(
                KeyId=self.name, KeySpec="AES_256", EncryptionContext=_kms_context(context)
            )
        except (BotoCoreError, ClientError) as error:
            raise PeerUnavailable(f"KMS makes no data key: {reason(error)}") from None
        return DataKey(made["Plaintext"], made["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """See `TenantKey`."""
        try:
            opened = self._client.decrypt(
                KeyId=self.name, CiphertextBlob=wrapped, EncryptionContext=_kms_context(context)
            )
        except (BotoCoreError, ClientError) as error:
            if reason(error) in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise RecordRefused("another key has sealed the field") from None
            raise PeerUnavailable(f"KMS opens no data key: {reason(error)}") from None
        plain: bytes = opened["Plaintext"]
        return plain


class Sealer:
    """Seals and opens fields of several tenants. Threads may share it."""

    def __init__(self, keys: Mapping[str, TenantKey]) -> None:
        """Use the tenants' keys."""
        self._keys = keys
        self._at_hand: OrderedDict[str, DataKey] = OrderedDict()
        self._turn = Lock()

    def seal(self, tenant: str, root: str, schema: str, content: bytes) -> bytes:
        """Encrypt one field.

        Args:
            tenant: whose key wraps.
            root: the conversation, whose data key encrypts.
            schema: of the record that will hold the field.
            content: any bytes.

        Raises:
            PeerUnavailable: the tenant's key cannot be used now.
        """
        key, name = self._data_key(tenant, root), self._keys[tenant].name.encode()
        nonce = os.urandom(NONCE_BYTES)
        head = VERSION + struct.pack(">B", len(name)) + name + struct.pack(">H", len(key.wrapped)) + key.wrapped
        return head + nonce + AESGCM(key.plain).encrypt(nonce, content, _belonging(tenant, root, schema))

    def open(self, tenant: str, root: str, schema: str, sealed: bytes) -> bytes:
        """Decrypt one field.

        Raises:
            PeerUnavailable: the tenant's key cannot be used now.
            RecordRefused: it is no sealed field, was sealed for another record or by another key, or was changed.
        """
        name, wrapped, rest = _taken_apart(sealed)
        key = self._keys.get(tenant)
        if key is None or key.name != name:
            raise RecordRefused("there is no key for the field")
        plain = key.unwrap(wrapped, f"{tenant}|{root}")
        try:
            return AESGCM(plain).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _belonging(tenant, root, schema))
        except (InvalidTag, ValueError):
            raise RecordRefused("the field was sealed for another record, or changed") from None

    def _data_key(self, tenant: str, root: str) -> DataKey:
        """Return the contact's data key; one that has left the shelf is replaced, since fields are self-contained."""
        context = f"{tenant}|{root}"
        with self._turn:
            if context in self._at_hand:
                self._at_hand.move_to_end(context)
                return self._at_hand[context]
        made = self._keys[tenant].make(context)  # while this tenant's key is away the others do not wait
        with self._turn:
            key = self._at_hand.setdefault(context, made)
            if len(self._at_hand) > CONTACTS:
                self._at_hand.popitem(last=False)
            return key


def reason(error: Exception) -> str:
    """Name a failure of AWS without its text, which may quote what was sent."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def _taken_apart(sealed: bytes) -> tuple[str, bytes, bytes]:
    try:
        if sealed[:1] != VERSION:
            raise RecordRefused("the field is of another version, or not sealed")
        name, at = _counted(sealed, 1, ">B")
        wrapped, at = _counted(sealed, at, ">H")
        return name.decode(), wrapped, sealed[at:]
    except (struct.error, UnicodeDecodeError):
        raise RecordRefused("the sealed field is cut") from None


def _counted(data: bytes, at: int, size: str) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(size, data, at)
    begin = at + struct.calcsize(size)
    return data[begin : begin + length], begin + length


def _belonging(tenant: str, root: str, schema: str) -> bytes:
    return f"{tenant}|{root}|{schema}".encode()


def _kms_context(context: str) -> dict[str, str]:
    return {"contact": context}
