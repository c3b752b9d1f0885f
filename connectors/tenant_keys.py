"""The tenants' keys: a file that names them, or one key for everybody in a file that is made at the first use.

[keys]                                   # of each tenant; "*" of those that are not named
acme = "arn:aws:kms:eu-central-1:111122223333:key/…"      # or "file:acme.key", beside this file
"""

import base64
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from connectors.contact_events.feeds import keys_of, tenant_key
from connectors.sealing import KEY_BYTES, FileKey
from pipeline.durable import write_once
from pipeline.errors import InputError
from pipeline.tenant_key import TenantKey

_EVERYBODY: Final = "*"
_Key = TypeVar("_Key")


def names(path: Path) -> dict[str, str]:
    """Read which key each tenant has.

    Raises:
        InputError: the file is missing or malformed.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    if set(content) != {"keys"}:
        raise InputError(f"{path}: there is [keys] and nothing else")
    return keys_of(path, content["keys"])


def load(path: Path) -> dict[str, TenantKey]:
    """Return the keys that a file names.

    Raises:
        InputError: the file or a key is missing or malformed, or there are no AWS credentials.
    """
    return {tenant: tenant_key(path.parent, name) for tenant, name in names(path).items()}


def made_at(path: Path) -> dict[str, TenantKey]:
    """Return one key for everybody, in a file of its own: of several processes that make it, the first one's counts.

    Raises:
        InputError: the file cannot be made or read, or holds no key.
    """
    if not path.exists():
        try:
            write_once(path, base64.b64encode(os.urandom(KEY_BYTES)), mode=0o600)
        except OSError as error:
            raise InputError(f"cannot make the key file {path}: {error.strerror}") from None
    return {_EVERYBODY: FileKey(path)}


def find(keys: Mapping[str, _Key], tenant: str) -> _Key | None:
    """Return a tenant's key, else everybody's, if there is one."""
    return keys.get(tenant, keys.get(_EVERYBODY))
