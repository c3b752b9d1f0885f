"""Messages as AWS documents them, and changed copies of them."""

import json
from collections.abc import Iterable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.contact_events import agents, contact_event, contact_record, started
from connectors.contact_events.facts import Fact, Owner

Json = dict[str, Any]  # a message of AWS

CONTACT = "5ca32fbd-8f92-46af-92a5-6b0f970f0efe"
LATER = "0b6a2b5e-9d5a-4c43-8e83-3a7e2ac8f6d1"
INSTANCE = "arn:aws:connect:eu-central-1:111122223333:instance/9308c2a1-9bc6-4cea-8290-6c0b4a6d38fa"
OTHER_INSTANCE = "arn:aws:connect:eu-central-1:444455556666:instance/7d1c0a52-5f0e-4b5c-8f2e-21d9a9a4c0aa"
STREAM = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/demo-connect-acme-contact-0f3c/1780000000000"
FRAGMENT = "91343852333181432392682062622220590765191907586"
LAST_FRAGMENT = "91343852333181432402586180401512034612904571345"
OWNER = Owner("acme", INSTANCE)
BASE_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z

_FOLDER = Path(__file__).parent / "messages"
READERS = {
    "flow_event": started.read,
    "agent_event": agents.read,
    "contact_record": contact_record.read,
    "contact_event": contact_event.read,
}


def message(name: str, **changes: object) -> Json:
    """Return a message; `changes` go by path, with `__` between names."""
    found: Json = json.loads((_FOLDER / f"{name}.json").read_text())
    return changed(found, **changes)


def changed(content: Json, **changes: object) -> Json:
    """Return a copy with some fields different; `...` takes a field away."""
    copy = deepcopy(content)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = copy
        for step in way:
            place = place[step]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return copy


def facts(name: str, **changes: object) -> tuple[Fact, ...]:
    """Read a changed message."""
    return READERS[name](OWNER, message(name, **changes))


def said(found: Iterable[Fact]) -> set[object]:
    """Return identities with their content: what a store can end up with."""
    return {(one.root, one.record.identity, one.record) for one in found}


def iso(time_ms: int) -> str:
    """Write a time as Amazon Connect does."""
    moment = datetime.fromtimestamp(time_ms // 1_000, UTC).replace(microsecond=time_ms % 1_000 * 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
