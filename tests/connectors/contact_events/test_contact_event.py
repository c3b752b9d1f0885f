"""Contact events of EventBridge: hints, with the time that each tells."""

import pytest

from pipeline.errors import RecordRefused
from tests.connectors.contact_events.documents import BASE_MS, CONTACT, INSTANCE, LATER, OTHER_INSTANCE, facts
from topics.records import ContactEvent

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("told", "kind", "time_ms"),
    [
        ("INITIATED", "started", BASE_MS - 683),
        ("QUEUED", "queued", BASE_MS + 9_005),
        ("CONNECTED_TO_AGENT", "agent_joined", BASE_MS + 31_310),
        ("DISCONNECTED", "ended", BASE_MS + 284_090),
    ],
)
def test_event_tells_what_happened_and_when(told: str, kind: str, time_ms: int) -> None:
    (fact,) = facts("contact_event", detail__eventType=told, detail__channel="Voice")
    queue = f"{INSTANCE}/queue/5cba7cbf"
    assert ContactEvent("acme", CONTACT, 0, kind, 0, "", time_ms, "", queue, "VOICE") == fact.record  # type: ignore[arg-type]
    assert (CONTACT, BASE_MS - 683) == (fact.root, fact.started_ms)


@pytest.mark.parametrize("told", ["CONNECTED_TO_SYSTEM", "CONTACT_DATA_UPDATED", "PAUSED", "A_TYPE_OF_TOMORROW"])
def test_event_that_nobody_asks_for_says_nothing(told: str) -> None:
    assert () == facts("contact_event", detail__eventType=told)


def test_time_of_sending_stands_in_for_one_that_is_not_told() -> None:
    (fact,) = facts("contact_event", detail__disconnectTimestamp=None)
    assert BASE_MS + 285_000 == fact.record.time_ms  # type: ignore[union-attr]


def test_transferred_leg_belongs_to_its_conversation() -> None:
    (fact,) = facts("contact_event", detail__contactId=LATER)
    assert (CONTACT, LATER, CONTACT, None) == (
        fact.root,
        fact.record.contact_id,
        fact.record.previous_contact_id,  # type: ignore[union-attr]
        fact.started_ms,
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source": "aws.s3"}, "not a contact event"),
        ({"detail-type": "Amazon Connect Something"}, "not a contact event"),
        ({"detail": None}, "instanceArn is missing"),
        ({"detail__instanceArn": OTHER_INSTANCE}, "another Amazon Connect instance"),
        ({"detail__eventType": None}, "eventType is missing"),
        ({"time": ...}, "time is missing"),
    ],
)
def test_message_that_is_malformed_or_somebody_else_s_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RecordRefused, match=why):
        facts("contact_event", **changes)
