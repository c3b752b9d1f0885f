"""Fields of the JSON that Amazon Connect sends, read once at the edge.

Null, missing and empty are one thing; a field of another type than documented refuses the message; fields that nobody
asks for are ignored. The text of a refusal names the field, never its value.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pipeline.errors import RecordRefused

T = TypeVar("T")
Json = Mapping[str, Any]  # what a JSON object holds

# A contact id is a UUID; the quota of the API is 256 characters. `|` and `/` would break keys and identities.
_ID = re.compile(r"[\w-]{1,256}", re.ASCII)


def parse(data: bytes) -> Json:
    """Read one JSON object.

    Raises:
        RecordRefused: the bytes are none.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise RecordRefused("the message is not JSON") from None
    if not isinstance(content, dict):
        raise RecordRefused("the message is not a JSON object")
    return content


def part(content: Json, name: str) -> Json:
    """Return an object; an empty one for null.

    Raises:
        RecordRefused: it is something else.
    """
    return _typed(content, name, dict) or {}


def parts(content: Json, name: str) -> list[Json]:
    """Return a list of objects; an empty one for null.

    Raises:
        RecordRefused: it is something else.
    """
    found: list[Json] = _typed(content, name, list) or []
    if not all(isinstance(one, dict) for one in found):
        raise RecordRefused(f"field {name} holds something else than objects")
    return found


def text(content: Json, name: str) -> str:
    """Return a string; an empty one for null.

    Raises:
        RecordRefused: it is something else.
    """
    return _typed(content, name, str) or ""


def needed(content: Json, name: str) -> str:
    """Return a string that is not empty.

    Raises:
        RecordRefused: it is.
    """
    found = text(content, name)
    if not found:
        raise RecordRefused(f"field {name} is missing")
    return found


def contact(content: Json, name: str) -> str:
    """Return a contact id.

    Raises:
        RecordRefused: it is missing, or could not stand in a key.
    """
    found = needed(content, name)
    if not _ID.fullmatch(found):
        raise RecordRefused(f"field {name} is not a contact id")
    return found


def other_contact(content: Json, name: str, own: str) -> str:
    """Return the id of another contact; empty for null, and where it is the contact's own id."""
    found = contact(content, name) if text(content, name) else ""
    return "" if found == own else found


def count(content: Json, name: str) -> int:
    """Return a whole number; 0 for null.

    Raises:
        RecordRefused: it is something else.
    """
    return _typed(content, name, int) or 0


def time_ms(content: Json, name: str) -> int | None:
    """Return an ISO 8601 time as ms since 1970; None for null.

    Raises:
        RecordRefused: it is something else, or tells no time zone.
    """
    found = text(content, name)
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(found)
    except ValueError:
        raise RecordRefused(f"field {name} is not a time") from None
    if moment.tzinfo is None:
        raise RecordRefused(f"field {name} is a time without a zone")
    # Not `timestamp()`, whose float is off by a millisecond here and there.
    since = moment - datetime.fromtimestamp(0, moment.tzinfo)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def needed_ms(content: Json, name: str) -> int:
    """Return an ISO 8601 time as ms since 1970.

    Raises:
        RecordRefused: it is missing, or something else.
    """
    found = time_ms(content, name)
    if found is None:
        raise RecordRefused(f"field {name} is missing")
    return found


def private(content: Json, *names: str) -> bytes:
    """Return some fields as one JSON object, the same bytes for the same content; empty if all are null or empty."""
    found = {name: content[name] for name in names if content.get(name)}
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode() if found else b""


def _typed(content: Json, name: str, kind: type[T]) -> T | None:
    found = content.get(name)
    if found is None or (isinstance(found, kind) and not isinstance(found, bool)):
        return found
    raise RecordRefused(f"field {name} is of another type than documented")
