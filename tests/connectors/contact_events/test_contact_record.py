"""Contact records: versions, what they make up for, and what is sealed."""

import json
from dataclasses import replace

import pytest

from connectors.contact_events import contact_record
from connectors.contact_events.facts import Fact
from pipeline.errors import RecordRefused
from tests.connectors.contact_events.documents import (
    BASE_MS,
    CONTACT,
    FRAGMENT,
    LAST_FRAGMENT,
    LATER,
    OTHER_INSTANCE,
    OWNER,
    STREAM,
    changed,
    facts,
    iso,
    message,
)
from topics.records import AgentSpan, ContactEvent, ContactRecord, MediaStarted, Recording

pytestmark = pytest.mark.unit

S3 = "acme-recordings/CallRecordings/2026/09/21/5ca32fbd.wav"


def record_of(found: tuple[Fact, ...]) -> ContactRecord:
    record = found[0].record
    assert isinstance(record, ContactRecord)
    return record


def kinds(found: tuple[Fact, ...]) -> list[str]:
    return [fact.record.schema for fact in found]


def test_record_holds_what_is_asked_of_it() -> None:
    record = record_of(facts("contact_record"))
    expected = ContactRecord(
        *("acme", CONTACT, BASE_MS + 307_000, record.content_hash, "", "", LATER, "", "VOICE", "INBOUND"),
        disconnect_reason="CUSTOMER_DISCONNECT",
        initiated_ms=BASE_MS - 1_000,
        connected_to_system_ms=BASE_MS,
        disconnected_ms=BASE_MS + 284_000,
        transferred_ms=None,
        queue="Billing",
        enqueued_ms=BASE_MS + 9_000,
        dequeued_ms=BASE_MS + 31_000,
        agent="maria",
        agent_connected_ms=BASE_MS + 31_000,
        after_work_start_ms=BASE_MS + 284_000,
        after_work_end_ms=BASE_MS + 305_000,
        hold_s=31,
        holds=2,
        agent_states=(AgentSpan("CONNECTED", BASE_MS + 31_000, BASE_MS + 284_000),),
        recordings=(
            Recording("", "AUDIO", "S3", S3, "", "", None, None),
            Recording(
                *("CUSTOMER", "AUDIO", "KINESIS_VIDEO_STREAM", STREAM, FRAGMENT, LAST_FRAGMENT),
                start_ms=BASE_MS + 3_640,
                end_ms=BASE_MS + 284_102,
            ),
        ),
    )
    assert expected == record


def test_record_makes_up_for_a_lost_start_of_media_and_a_lost_end() -> None:
    _, media, ended = facts("contact_record")
    assert MediaStarted("acme", CONTACT, STREAM, BASE_MS + 3_640, FRAGMENT) == media.record
    expected = ContactEvent("acme", CONTACT, 0, "ended", 0, "maria", BASE_MS + 284_000, "", "Billing", "VOICE")
    assert expected == ended.record


def test_start_of_media_made_up_for_is_the_one_that_the_flow_tells() -> None:
    _, told = facts("flow_event")
    _, made_up, _ = facts("contact_record")
    assert told.record == made_up.record


def test_record_that_is_updated_when_nobody_knows_the_contact_says_nothing_but_itself() -> None:
    end_ms = BASE_MS + 284_000
    updates = (end_ms + contact_record.BACKFILL_MS, end_ms + contact_record.BACKFILL_MS + 1)
    late, later = (facts("contact_record", LastUpdateTimestamp=iso(one)) for one in updates)
    assert (["contact_record", "media_started", "contact_event"], ["contact_record"]) == (kinds(late), kinds(later))


def test_supervisor_s_leg_starts_no_media_and_ends_no_contact() -> None:
    assert ["contact_record"] == kinds(facts("contact_record", InitiationMethod="MONITOR"))


def test_abandoned_contact_has_no_agent_and_no_media() -> None:
    found = facts("contact_record", Agent=None, Recordings=[], Recording=None)
    record = record_of(found)
    assert ("", None, 0, ()) == (record.agent, record.agent_connected_ms, record.holds, record.recordings)
    assert ["contact_record", "contact_event"] == kinds(found)


def test_recording_that_is_not_there_yet_starts_no_media() -> None:
    found = message("contact_record")
    found["Recordings"][1] |= {"Location": None, "Status": "UNAVAILABLE"}
    assert ["contact_record", "contact_event"] == kinds(contact_record.read(OWNER, found))


def test_transferred_legs_share_the_conversation() -> None:
    found = facts("contact_record", ContactId=LATER, InitialContactId=CONTACT, PreviousContactId=CONTACT)
    assert {CONTACT} == {fact.root for fact in found}
    assert {None} == {fact.started_ms for fact in found}
    record = record_of(found)
    assert (CONTACT, CONTACT, "") == (record.initial_contact_id, record.previous_contact_id, record.next_contact_id)


def test_fields_that_are_not_read_change_nothing() -> None:
    unknown = changed(message("contact_record"), ContactEvaluations={"e": 1}, Campaign=None, Tags={"new": "tag"})
    assert facts("contact_record") == contact_record.read(OWNER, unknown)


def test_hash_tells_versions_of_one_time_apart() -> None:
    first, again, other = (
        record_of(facts("contact_record", **change)) for change in ({}, {}, {"DisconnectReason": "AGENT_DISCONNECT"})
    )
    assert first.content_hash == again.content_hash != other.content_hash
    assert replace(other, content_hash="", disconnect_reason="") == replace(
        first, content_hash="", disconnect_reason=""
    )


def test_hash_says_nothing_of_what_is_sealed() -> None:
    # A hash over a telephone number can be searched through; versions that differ in it differ in their time.
    private: dict[str, object] = {"CustomerEndpoint": None, "Attributes": {}, "SystemEndpoint": None}
    assert record_of(facts("contact_record")) == record_of(facts("contact_record", **private))


def test_changed_attributes_are_a_newer_version() -> None:
    before = facts("contact_record")
    after = facts("contact_record", Attributes={"new": "x"}, LastUpdateTimestamp="2026-09-22T10:00:00Z")
    assert record_of(before).updated_ms < record_of(after).updated_ms
    assert {"new": "x"} == json.loads(after[0].private)["Attributes"]


def test_endpoints_and_attributes_are_private_and_nowhere_else() -> None:
    found = facts("contact_record", TransferredToEndpoint={"Address": "+4911122233", "Type": "TELEPHONE_NUMBER"})
    names = {"Attributes", "CustomerEndpoint", "SystemEndpoint", "TransferredToEndpoint"}
    assert names == set(json.loads(found[0].private))
    assert [b"", b""] == [fact.private for fact in found[1:]]
    assert [] == [text for text in ("+49", "4711") if text in str([fact.record for fact in found])]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"AWSContactTraceRecordFormatVersion": "2031-01-01"}, "format version"),
        ({"AWSContactTraceRecordFormatVersion": ...}, "FormatVersion is missing"),
        ({"InstanceARN": OTHER_INSTANCE}, "another Amazon Connect instance"),
        ({"LastUpdateTimestamp": None}, "LastUpdateTimestamp is missing"),
        ({"LastUpdateTimestamp": "later"}, "LastUpdateTimestamp is not a time"),
        ({"Recordings": ["a.wav"]}, "Recordings holds something else"),
        ({"Agent__NumberOfHolds": "two"}, "NumberOfHolds is of another type"),
        ({"Queue": []}, "Queue is of another type"),
        ({"ContactId": "a|b"}, "ContactId is not a contact id"),
    ],
)
def test_message_that_is_malformed_or_somebody_else_s_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RecordRefused, match=why):
        facts("contact_record", **changes)


def test_stream_of_another_account_is_refused() -> None:
    found = message("contact_record")
    found["Recordings"][1]["Location"] = STREAM.replace("111122223333", "444455556666")
    with pytest.raises(RecordRefused, match="another account"):
        contact_record.read(OWNER, found)
