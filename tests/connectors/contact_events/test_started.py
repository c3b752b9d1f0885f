"""Flow events: who called, where the media flows, and whose it is."""

import json

import pytest

from connectors.contact_events.facts import Fact
from pipeline.errors import RecordRefused
from tests.connectors.contact_events.documents import (
    BASE_MS,
    CONTACT,
    FRAGMENT,
    LATER,
    OTHER_INSTANCE,
    STREAM,
    facts,
)
from topics.records import ContactEvent, MediaStarted

pytestmark = pytest.mark.unit

AUDIO = "contact__MediaStreams__Customer__Audio"


def test_start_tells_the_contact_and_its_media() -> None:
    event, media = facts("flow_event")
    expected = ContactEvent("acme", CONTACT, 0, "started", 0, "", BASE_MS + 3_640, queue="Billing", channel="VOICE")
    assert expected == event.record
    assert (
        Fact(CONTACT, MediaStarted("acme", CONTACT, STREAM, BASE_MS + 3_640, FRAGMENT), b"", BASE_MS + 3_640) == media
    )


def test_endpoints_and_attributes_are_private_and_nowhere_else() -> None:
    event, media = facts("flow_event")
    expected = {
        "Attributes": {"account": "4711-0815", "language": "de"},
        "CustomerEndpoint": {"Address": "+4915112345678", "Type": "TELEPHONE_NUMBER"},
        "SystemEndpoint": {"Address": "+498987654321", "Type": "TELEPHONE_NUMBER"},
    }
    assert expected == json.loads(event.private)
    assert b"" == media.private
    assert not {"4711", "+49"} & {found for found in ("4711", "+49") if found in f"{event.record}{media}"}


def test_transferred_leg_keeps_the_conversation_and_does_not_know_its_start() -> None:
    event, media = facts("flow_event", contact__ContactId=LATER)
    assert (CONTACT, CONTACT) == (event.root, media.root)
    assert (LATER, CONTACT) == (event.record.contact_id, event.record.previous_contact_id)  # type: ignore[union-attr]
    assert (None, None) == (event.started_ms, media.started_ms)


def test_first_leg_without_an_initial_contact_is_its_own_root() -> None:
    event, _ = facts("flow_event", contact__InitialContactId=None, contact__PreviousContactId=None)
    assert CONTACT == event.root


@pytest.mark.parametrize(
    "media", [None, {}, {"Customer": None}, {"Customer": {"Audio": None}}, {"Customer": {"Audio": {}}}]
)
def test_contact_without_media_has_only_started(media: object) -> None:
    (event,) = facts("flow_event", contact__MediaStreams=media)
    assert isinstance(event.record, ContactEvent)
    assert BASE_MS + 3_900 == event.record.time_ms


def test_contact_without_queue_and_endpoints_has_nothing_to_seal() -> None:
    nothing = {f"contact__{name}": None for name in ("Queue", "CustomerEndpoint", "SystemEndpoint")}
    event, _ = facts("flow_event", **nothing, contact__Attributes={})
    assert (b"", "") == (event.private, event.record.queue)  # type: ignore[union-attr]


def test_function_called_twice_says_one_start() -> None:
    assert facts("flow_event") == facts("flow_event", time_ms=BASE_MS + 9_000)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"contact__InstanceARN": OTHER_INSTANCE}, "another Amazon Connect instance"),
        ({"contact__InstanceARN": None}, "InstanceARN is missing"),
        ({"contact": None}, "InstanceARN is missing"),
        ({"contact": []}, "field contact is of another type"),
        ({"contact__ContactId": ...}, "ContactId is missing"),
        ({"contact__ContactId": "acme|other"}, "ContactId is not a contact id"),
        ({"contact__InitialContactId": "a/b"}, "InitialContactId is not a contact id"),
        ({"contact__ContactId": 7}, "ContactId is of another type"),
        ({f"{AUDIO}__StreamARN": STREAM.replace("1111", "9999")}, "another account"),
        ({f"{AUDIO}__StreamARN": "arn:aws:s3:::bucket"}, "no stream of Kinesis Video Streams"),
        ({f"{AUDIO}__StreamARN": ...}, "StreamARN is missing"),
        ({f"{AUDIO}__StartTimestamp": "yesterday"}, "StartTimestamp is not a number"),
        ({f"{AUDIO}__StartTimestamp": "1" * 30}, "StartTimestamp is not a number"),
    ],
)
def test_message_that_is_malformed_or_somebody_else_s_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RecordRefused, match=why):
        facts("flow_event", **changes)
