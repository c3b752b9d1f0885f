"""Where the archive's objects lie, as the settings say, and whose key seals them (`connectors/tenant_keys.py`).

A folder without a file of keys is sealed by a key that is made beside it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from connectors import tenant_keys
from connectors.bucket import Bucket
from connectors.contact_events.feeds import client
from connectors.folder import Folder
from pipeline.errors import InputError, PeerUnavailable

S3_SCHEME: Final = "s3://"
_Key = TypeVar("_Key")


def folder(root: Path, keys: Path | None) -> Folder:
    """Return a folder whose objects are sealed under the keys of a file, or under one that lies beside the folder.

    Raises:
        InputError: the file or a key is missing or malformed, or there are no AWS credentials.
    """
    if keys is not None:
        return Folder(root, _finder(tenant_keys.load(keys)))
    return Folder(root, _finder(tenant_keys.made_at(root.with_name(f"{root.name}.key"))))


def bucket(url: str, region: str | None, keys: Path | None) -> Bucket:
    """Return a bucket whose objects S3 encrypts under the keys of a file.

    Raises:
        InputError: the file is missing or malformed, names other keys than those of KMS, or the bucket cannot be used.
    """
    if keys is None:
        raise InputError("setting archive_keys is missing: it names the KMS key of each tenant")
    names = tenant_keys.names(keys)
    if any(name.startswith("file:") for name in names.values()):
        raise InputError(f"{keys}: a bucket needs keys of KMS")
    name, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
    prefix = prefix.strip("/")
    return Bucket(client("s3", region), name, f"{prefix}/" if prefix else "", _finder(names))


def _finder(keys: Mapping[str, _Key]) -> Callable[[str], _Key]:
    return partial(_find, keys)


def _find(keys: Mapping[str, _Key], tenant: str) -> _Key:
    key = tenant_keys.find(keys, tenant)
    if key is None:
        raise PeerUnavailable("the tenant has no key")
    return key
