"""Which feeds there are: a TOML file, checked whole before anything starts.

    [keys]                                   # what seals each tenant's endpoints and attributes
    acme = "arn:aws:kms:eu-central-1:111122223333:key/…"      # or "file:acme.key", beside this file

    [[feeds]]
    says = "starts"                          # starts, agents, records (Kinesis) or events (SQS)
    stream = "arn:aws:kinesis:eu-central-1:111122223333:stream/starts"       # or queue = "https://sqs.…"
    tenant = "acme"
    instance = "arn:aws:connect:eu-central-1:111122223333:instance/…"

The tenant of a record is that of its feed; the message must name the feed's instance. Regions are those of the ARNs,
credentials are botocore's.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from connectors.contact_events import agents, contact_event, contact_record, fields, started
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.fields import Json
from connectors.sealing import FileKey, KmsKey, Sealer
from pipeline.errors import InputError
from pipeline.tenant_key import TenantKey

READERS: Final[dict[str, Callable[[Owner, Json], tuple[Fact, ...]]]] = {
    "starts": started.read,
    "agents": agents.read,
    "records": contact_record.read,
    "events": contact_event.read,
}
_FIELDS: Final = {"says", "stream", "queue", "tenant", "instance"}
# Of one request. The loop that asks retries by itself, so that a stop is noticed and a failure is said.
_CLIENT: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1})

AwsClient = Any  # botocore makes its clients at run time


@dataclass(frozen=True, slots=True)
class Feed:
    """One stream or queue.

    Attributes:
        says: what its messages are; one of `READERS`.
        place: ARN of the Kinesis stream, or URL of the SQS queue.
        owner: whose messages it brings.
    """

    says: str
    place: str
    owner: Owner

    @property
    def is_queue(self) -> bool:
        """Whether it is a queue of SQS."""
        return self.place.startswith("http")

    @property
    def region(self) -> str:
        """Where it is; a queue is where its instance is, because EventBridge delivers there."""
        return (self.owner.instance if self.is_queue else self.place).split(":")[3]

    def read(self, data: bytes) -> tuple[Fact, ...]:
        """Say what one message means.

        Raises:
            RecordRefused: it is malformed, of a kind that this version does not know, or another instance's.
        """
        return READERS[self.says](self.owner, fields.parse(data))


@dataclass(frozen=True, slots=True)
class Feeds:
    """The file's content."""

    feeds: tuple[Feed, ...]
    keys: Mapping[str, str]
    folder: Path

    def sealer(self) -> Sealer:
        """Make what seals for every tenant.

        Raises:
            InputError: a key file is missing or malformed, or there are no AWS credentials.
        """
        return Sealer({tenant: tenant_key(self.folder, name) for tenant, name in self.keys.items()})


def load(path: Path) -> Feeds:
    """Read and check the file.

    Raises:
        InputError: it is missing or malformed, names an unknown key, or lacks one that it needs.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    _refuse_unknown(path, content, {"feeds", "keys"})
    feeds = tuple(_feed(path, one) for one in _list(path, content))
    keys = keys_of(path, content.get("keys", {}))
    for feed in feeds:
        if feed.owner.tenant not in keys:
            raise InputError(f"{path}: tenant {feed.owner.tenant} has no key under [keys]")
    places = [feed.place for feed in feeds]
    if len(set(places)) < len(places):
        raise InputError(f"{path}: two feeds read one stream or queue")
    return Feeds(feeds, keys, path.parent)


def tenant_key(folder: Path, name: str) -> TenantKey:
    """Make a tenant's key of what stands under `[keys]`; files lie in `folder`.

    Raises:
        InputError: the key file is missing or malformed, or there are no AWS credentials.
    """
    if name.startswith("file:"):
        return FileKey(folder / name.removeprefix("file:"))
    return KmsKey(client("kms", name.split(":")[3]), name)


def client(service: str, region: str | None) -> AwsClient:
    """Make a client of AWS; `AWS_ENDPOINT_URL` and its like are obeyed.

    Raises:
        InputError: there are no credentials, or AWS's configuration is wrong.
    """
    session = botocore.session.Session()
    try:
        if session.get_credentials() is None:
            raise InputError("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role")
        return session.create_client(service, region_name=region, config=_CLIENT)
    except BotoCoreError as error:
        raise InputError(f"AWS configuration: {type(error).__name__}") from None


def _list(path: Path, content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    feeds = content.get("feeds")
    if not isinstance(feeds, list) or not feeds or not all(isinstance(one, dict) for one in feeds):
        raise InputError(f"{path}: there is no [[feeds]]")
    return feeds


def _feed(path: Path, content: Mapping[str, Any]) -> Feed:
    _refuse_unknown(path, content, _FIELDS)
    if ("stream" in content) == ("queue" in content):
        raise InputError(f"{path}: a feed has either a stream or a queue")
    place_field = "stream" if "stream" in content else "queue"
    says, place, tenant, instance = (_text(path, content, name) for name in ("says", place_field, "tenant", "instance"))
    if says not in READERS:
        raise InputError(f"{path}: a feed says one of {', '.join(READERS)}, not {says}")
    if "|" in tenant or "/" in tenant:
        raise InputError(f"{path}: a tenant holds no | and no /")
    _check_arn(path, instance, "connect")
    if place_field == "stream":
        _check_arn(path, place, "kinesis")
    elif not place.startswith(("https://", "http://")):
        raise InputError(f"{path}: a queue is given by its URL")
    return Feed(says, place, Owner(tenant, instance))


def keys_of(path: Path, content: object) -> dict[str, str]:
    """Return what seals for each tenant: the ARN of a key in KMS, or `file:` and a path.

    Raises:
        InputError: it is no table, or a name is no such thing.
    """
    if not isinstance(content, dict):
        raise InputError(f"{path}: [keys] is a table")
    keys = {tenant: _text(path, content, tenant) for tenant in content}
    for name in keys.values():
        if not name.startswith("file:"):
            _check_arn(path, name, "kms")
    return keys


def _text(path: Path, content: Mapping[str, Any], name: str) -> str:
    found = content.get(name)
    if not isinstance(found, str) or not found:
        raise InputError(f"{path}: {name} is missing or no text")
    return found


def _check_arn(path: Path, arn: str, service: str) -> None:
    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or parts[2] != service or not (parts[3] and parts[4]):
        raise InputError(f"{path}: {arn} is no ARN of {service}")


def _refuse_unknown(path: Path, content: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(content.keys() - known)
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]}")
