"""Whole conversations from all feeds: shuffled and repeated messages leave the same facts and the same records."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contact_events.facts import Fact, Owner
from tests.connectors.contact_events.documents import (
    BASE_MS,
    INSTANCE,
    OTHER_INSTANCE,
    OWNER,
    READERS,
    Json,
    iso,
    message,
    said,
)
from topics.records import ContactEvent, ContactRecord, MediaStarted

pytestmark = pytest.mark.unit

OTHER = Owner("other", OTHER_INSTANCE)


@dataclass(frozen=True, slots=True)
class Told:
    """One message of one owner's feed."""

    name: str
    content: Json
    owner: Owner = OWNER


def record(contact: str, root: str, *, at_s: int, updated_s: int = 60, **changes: object) -> Told:
    """Return a leg's contact record: it ends at `at_s` and is updated `updated_s` later."""
    times = {
        "InitiationTimestamp": iso(BASE_MS + at_s * 1_000 - 90_000),
        "DisconnectTimestamp": iso(BASE_MS + at_s * 1_000),
        "LastUpdateTimestamp": iso(BASE_MS + (at_s + updated_s) * 1_000),
    }
    ids = {"ContactId": contact, "InitialContactId": None if contact == root else root, "NextContactId": None}
    return Told("contact_record", message("contact_record", **times, **ids, **changes))


def elsewhere(told: Told) -> Told:
    """Return the same message of another tenant's instance and account."""
    text = json.dumps(told.content).replace(INSTANCE, OTHER_INSTANCE).replace("111122223333", "444455556666")
    return Told(told.name, json.loads(text), OTHER)


FLOW = Told("flow_event", message("flow_event"))
ROOT = str(FLOW.content["contact"]["ContactId"])
HOLD = Told("agent_event", message("agent_event"))
ENDED = Told("contact_event", message("contact_event"))
FIRST = record(ROOT, ROOT, at_s=284)

SCENARIOS: dict[str, tuple[Told, ...]] = {
    "agent to agent to queue": (
        FLOW,
        HOLD,
        FIRST,
        record("leg-2", ROOT, at_s=400, InitiationMethod="TRANSFER", PreviousContactId=ROOT),
        record("leg-3", ROOT, at_s=500, InitiationMethod="QUEUE_TRANSFER", PreviousContactId="leg-2"),
        ENDED,
    ),
    "callback": (record("c-1", "c-1", at_s=300, InitiationMethod="CALLBACK", Recordings=[]),),
    "outbound by API": (record("c-1", "c-1", at_s=300, InitiationMethod="API", Queue=None),),
    "supervisor listens": (FLOW, FIRST, record("m-1", ROOT, at_s=290, InitiationMethod="MONITOR")),
    "abandoned": (ENDED, record(ROOT, ROOT, at_s=284, Agent=None, Recordings=[])),
    "record alone": (FIRST,),
    "record before the last word": (FIRST, ENDED, HOLD, FLOW),
    "record in three versions": (
        FIRST,
        record(ROOT, ROOT, at_s=284, updated_s=600, Attributes={"later": "x"}),
        record(ROOT, ROOT, at_s=284, updated_s=25 * 3_600, DisconnectReason="OTHER"),
    ),
    "months later": (FIRST, record(ROOT, ROOT, at_s=284, updated_s=90 * 86_400, DisconnectReason="OTHER")),
    "two instances with one id": (FLOW, FIRST, elsewhere(FLOW), elsewhere(record(ROOT, ROOT, at_s=284, Agent=None))),
}


def read(messages: Iterable[Told]) -> list[Fact]:
    return [fact for told in messages for fact in READERS[told.name](told.owner, told.content)]


def table(found: Iterable[Fact]) -> dict[tuple[str, str], ContactRecord]:
    """Return the valid record of each contact, as a store keeps it."""
    newest: dict[tuple[str, str], ContactRecord] = {}
    for fact in found:
        one = fact.record
        if isinstance(one, ContactRecord):
            before = newest.get((one.tenant, one.contact_id))
            if before is None or (before.updated_ms, before.content_hash) < (one.updated_ms, one.content_hash):
                newest[one.tenant, one.contact_id] = one
    return newest


def of_kind(found: Iterable[Fact], kind: str) -> set[tuple[str, str]]:
    records = [fact.record for fact in found]
    return {(one.tenant, one.contact_id) for one in records if isinstance(one, ContactEvent) and one.kind == kind}


def media(found: Iterable[Fact]) -> set[MediaStarted]:
    return {fact.record for fact in found if isinstance(fact.record, MediaStarted)}


@pytest.mark.parametrize("name", SCENARIOS)
@given(draws=st.data())
def test_shuffled_and_repeated_messages_say_the_same(name: str, draws: st.DataObject) -> None:
    once: Sequence[Told] = SCENARIOS[name]
    noisy = draws.draw(st.permutations([*once, *draws.draw(st.lists(st.sampled_from(once), max_size=4))]))
    assert (said(read(once)), table(read(once))) == (said(read(noisy)), table(read(noisy)))


def test_transferred_conversation_is_three_records_under_one_key() -> None:
    found = read(SCENARIOS["agent to agent to queue"])
    assert {ROOT} == {fact.root for fact in found}
    assert {("acme", ROOT), ("acme", "leg-2"), ("acme", "leg-3")} == set(table(found)) == of_kind(found, "ended")


def test_supervisor_s_leg_doubles_nothing() -> None:
    found = read(SCENARIOS["supervisor listens"])
    assert {("acme", ROOT), ("acme", "m-1")} == set(table(found))
    assert {("acme", ROOT)} == of_kind(found, "ended")
    assert {ROOT} == {one.contact_id for one in media(found)}


def test_record_alone_tells_of_the_media_and_of_the_end() -> None:
    found = read(SCENARIOS["record alone"])
    assert (1, {("acme", ROOT)}) == (len(media(found)), of_kind(found, "ended"))


def test_newest_version_is_valid_and_media_is_told_once() -> None:
    found = read(SCENARIOS["record in three versions"])
    (valid,) = table(found).values()
    assert ("OTHER", BASE_MS + (284 + 25 * 3_600) * 1_000) == (valid.disconnect_reason, valid.updated_ms)
    assert 1 == len(media(found))


def test_update_months_later_is_a_record_and_nothing_else() -> None:
    _, later = SCENARIOS["months later"]
    assert ["contact_record"] == [fact.record.schema for fact in read([later])]


def test_one_id_in_two_instances_is_two_contacts() -> None:
    found = read(SCENARIOS["two instances with one id"])
    assert {("acme", ROOT), ("other", ROOT)} == set(table(found))
    assert ("maria", "") == tuple(table(found)[tenant, ROOT].agent for tenant in ("acme", "other"))
