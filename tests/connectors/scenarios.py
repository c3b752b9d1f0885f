"""Golden scenarios of conversations: `tests/golden/conversations/*.yaml`, read into records.

A file says what Amazon Connect, the streams and the recogniser tell, in the order of a quiet day, and behind
`expected:` what a person then reads. Times are seconds: of events and contact records since the day's start, of what
is said and of audio since the contact's first sample.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.simulation.world import Event
from topics.keys import contact_key
from topics.records import (
    SAMPLE_RATE_HZ,
    AudioCoverage,
    AudioStored,
    ContactEvent,
    ContactRecord,
    MediaStarted,
    MissingAudio,
    Record,
    Recording,
    SegmentWords,
    Watermark,
    Word,
)

FOLDER = Path(__file__).parents[1] / "golden" / "conversations"
DIVIDER = "\nexpected:\n"
LONG_AGO_MS = 1_790_000_000_000

Given = Mapping[str, Any]  # a mapping of YAML


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file.

    Attributes:
        day_ms: where its seconds count from, ms since 1970.
        events: records with their places.
        text: of the file up to `expected:`.
        expected: rows by table.
    """

    day_ms: int
    events: tuple[Event, ...]
    text: str
    expected: Mapping[str, list[Mapping[str, object]]]


def names() -> list[str]:
    """Name the scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Scenario:
    """Read a scenario; one of today begins now."""
    text, _, expected = (FOLDER / f"{name}.yaml").read_text().partition(DIVIDER)
    given = yaml.safe_load(text)
    day_ms = time.time_ns() // 1_000_000 if given.get("is_today") else LONG_AGO_MS
    events = tuple(event for told in given["told"] for event in _events(day_ms, told))
    return Scenario(day_ms, events, text, yaml.safe_load(expected) or {})


def write(name: str, rows: Mapping[str, list[Mapping[str, object]]]) -> None:
    """Replace what a scenario expects."""
    lines = [
        f"  {table}:{'' if found else ' []'}\n" + "".join(f"    - {_flow(row)}" for row in found)
        for table, found in rows.items()
    ]
    path = FOLDER / f"{name}.yaml"
    path.write_text(path.read_text().partition(DIVIDER)[0] + DIVIDER + "".join(lines))


def _flow(row: Mapping[str, object]) -> str:
    return str(yaml.safe_dump(dict(row), default_flow_style=True, sort_keys=False, width=1_000))


def _events(day_ms: int, told: Given) -> Iterator[Event]:
    """Read one line; `root` names the first leg where the line is about a later one."""
    ((kind, given),) = told.items()
    tenant, contact_id = given.get("tenant", "acme"), given["contact"]
    key = contact_key(tenant, given.get("root", contact_id))
    for topic, record in _READERS[kind](day_ms, tenant, contact_id, given):
        yield Event(topic, key, record)


Told = Iterator[tuple[str, Record]]


def _ms(day_ms: int, given: Given, name: str) -> int | None:
    return day_ms + round(given[name] * 1_000) if name in given else None


def _event(day_ms: int, tenant: str, contact_id: str, given: Given) -> Told:
    time_ms = 0 if given.get("is_of_file") else day_ms + round(given["at"] * 1_000)
    yield (
        "contact.events",
        ContactEvent(
            *(tenant, contact_id, 0, given["kind"], 0, given.get("agent", ""), time_ms),
            previous_contact_id=given.get("previous", ""),
            queue=given.get("queue", ""),
            channel=given.get("channel", "VOICE"),
            initial_contact_id=given.get("root", ""),
        ),
    )


def _media(day_ms: int, tenant: str, contact_id: str, given: Given) -> Told:
    start_ms = day_ms + round(given["at"] * 1_000)
    media = MediaStarted(tenant, contact_id, f"arn:{contact_id}", start_ms, "91", given.get("root", ""))
    yield "contact.events", media


def _audio(day_ms: int, tenant: str, contact_id: str, given: Given) -> Told:
    customer = _sample(given["until"])
    missing = tuple(MissingAudio(track, _sample(start), _sample(end)) for track, start, end in given.get("missing", ()))
    yield (
        "audio.coverage",
        AudioCoverage(
            *(tenant, contact_id, given.get("leg", 0), day_ms + round(given["at"] * 1_000)),
            *(customer, _sample(given.get("agent_until", given["until"])), missing),
            is_end="over" in given,
            reason=given.get("over", ""),
            rev=given["rev"],
        ),
    )


def _said(_: int, tenant: str, contact_id: str, given: Given) -> Told:
    texts = given.get("text", "").split()
    start_ms, end_ms = round(given["from"] * 1_000), round(given["to"] * 1_000)
    step_ms = (end_ms - start_ms) // max(len(texts), 1)
    words = tuple(Word(text, start_ms + n * step_ms, start_ms + (n + 1) * step_ms) for n, text in enumerate(texts))
    place = (given.get("leg", 0), given["track"], _sample(given["from"]), _sample(given["to"]))
    yield (
        "transcript.words",
        SegmentWords(tenant, contact_id, *place, True, words, given.get("asr", "script"), None, round(given["to"])),
    )


def _heard(_: int, tenant: str, contact_id: str, given: Given) -> Told:
    """Everything up to here has been heard; with `is_end` nothing follows."""
    mark = Watermark(tenant, contact_id, given.get("leg", 0), round(given["until"] * 1_000), given.get("is_end", False))
    yield "transcript.words", mark


def _stored(_: int, tenant: str, contact_id: str, given: Given) -> Told:
    until = _sample(given["until"])
    is_complete = given.get("is_complete", True)
    yield "audio.stored", AudioStored(tenant, contact_id, until, until, is_complete, rev=given.get("rev", 1))


def _record(day_ms: int, tenant: str, contact_id: str, given: Given) -> Told:
    recorded = [
        Recording("", "AUDIO", "KINESIS_VIDEO_STREAM", f"arn:{contact_id}", "1", "9", *_span(day_ms, span))
        for span in given.get("recorded", ())
    ]
    yield (
        "contact.records",
        ContactRecord(
            *(tenant, contact_id, day_ms + round(given["updated"] * 1_000), given.get("hash", "aa")),
            initial_contact_id=given.get("root", ""),
            previous_contact_id=given.get("previous", ""),
            next_contact_id=given.get("next", ""),
            related_contact_id=given.get("related", ""),
            channel=given.get("channel", "VOICE"),
            initiation_method=given.get("method", "INBOUND"),
            disconnect_reason=given.get("reason", "CUSTOMER_DISCONNECT"),
            initiated_ms=_ms(day_ms, given, "started"),
            connected_to_system_ms=None,
            disconnected_ms=_ms(day_ms, given, "ended"),
            transferred_ms=None,
            queue=given.get("queue", ""),
            enqueued_ms=None,
            dequeued_ms=None,
            agent=given.get("agent", ""),
            agent_connected_ms=_ms(day_ms, given, "joined"),
            after_work_start_ms=None,
            after_work_end_ms=None,
            hold_s=given.get("hold_s", 0),
            holds=given.get("holds", 0),
            agent_states=(),
            recordings=tuple(recorded),
            sealed=given.get("sealed", "").encode(),
        ),
    )


def _span(day_ms: int, span: tuple[float, float]) -> tuple[int, int]:
    start, end = span
    return day_ms + round(start * 1_000), day_ms + round(end * 1_000)


def _sample(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


_READERS = {
    "event": _event,
    "media": _media,
    "audio": _audio,
    "said": _said,
    "heard": _heard,
    "stored": _stored,
    "record": _record,
}
