"""Where the archive's objects lie, as the settings say, and whose key seals them.

    [keys]                                   # of each tenant; "*" of those that are not named
    acme = "arn:aws:kms:eu-central-1:111122223333:key/…"      # or, for a folder, "file:acme.key", beside this file

A folder without such a file is sealed by a key that is made beside it.
"""

import base64
import os
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from connectors.bucket import Bucket
from connectors.contact_events.feeds import client, keys_of, tenant_key
from connectors.folder import Folder
from connectors.sealing import KEY_BYTES, FileKey
from pipeline.durable import write_once
from pipeline.errors import InputError, PeerUnavailable

S3_SCHEME: Final = "s3://"
_EVERYBODY: Final = "*"
_Key = TypeVar("_Key")


def folder(root: Path, keys: Path | None) -> Folder:
    """Return a folder whose objects are sealed under the keys of a file, or under one that lies beside the folder.

    Raises:
        InputError: the file or a key is missing or malformed, or there are no AWS credentials.
    """
    if keys is not None:
        return Folder(root, _finder({tenant: tenant_key(keys.parent, name) for tenant, name in _load(keys).items()}))
    path = root.with_name(f"{root.name}.key")
    if not path.exists():
        write_once(path, base64.b64encode(os.urandom(KEY_BYTES)), mode=0o600)
    return Folder(root, _finder({_EVERYBODY: FileKey(path)}))


def bucket(url: str, region: str | None, keys: Path | None) -> Bucket:
    """Return a bucket whose objects S3 encrypts under the keys of a file.

    Raises:
        InputError: the file is missing or malformed, names other keys than those of KMS, or the bucket cannot be used.
    """
    if keys is None:
        raise InputError("setting archive_keys is missing: it names the KMS key of each tenant")
    names = _load(keys)
    if any(name.startswith("file:") for name in names.values()):
        raise InputError(f"{keys}: a bucket needs keys of KMS")
    name, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
    prefix = prefix.strip("/")
    return Bucket(client("s3", region), name, f"{prefix}/" if prefix else "", _finder(names))


def _load(path: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    if set(content) != {"keys"}:
        raise InputError(f"{path}: there is [keys] and nothing else")
    return keys_of(path, content["keys"])


def _finder(keys: Mapping[str, _Key]) -> Callable[[str], _Key]:
    return partial(_find, keys)


def _find(keys: Mapping[str, _Key], tenant: str) -> _Key:
    key = keys.get(tenant, keys.get(_EVERYBODY))
    if key is None:
        raise PeerUnavailable("the tenant has no key")
    return key
