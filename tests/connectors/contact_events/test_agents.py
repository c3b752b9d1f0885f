"""Agent events: snapshots become facts, whatever order and however often they come."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contact_events import agents
from pipeline.errors import RecordRefused
from tests.connectors.contact_events.documents import (
    BASE_MS,
    CONTACT,
    INSTANCE,
    LATER,
    OTHER_INSTANCE,
    OWNER,
    Json,
    facts,
    iso,
    message,
    said,
)
from topics.records import ContactEvent

pytestmark = pytest.mark.unit

JOINED_MS = BASE_MS + 31_310


@dataclass(frozen=True, slots=True)
class Held:
    """One contact in a snapshot."""

    state: str
    since_ms: int
    joined_ms: int | None = None
    contact_id: str = CONTACT
    method: str = "INBOUND"

    def json(self) -> Json:
        return {
            "Channel": "VOICE",
            "ConnectedToAgentTimestamp": None if self.joined_ms is None else iso(self.joined_ms),
            "ContactId": self.contact_id,
            "InitialContactId": None if self.contact_id == CONTACT else CONTACT,
            "InitiationMethod": self.method,
            "Queue": {"Name": None},
            "State": self.state,
            "StateStartTimestamp": iso(self.since_ms),
        }


def event(before: Sequence[Held] | None, after: Sequence[Held] | None, at_ms: int, kind: str = "STATE_CHANGE") -> Json:
    def snapshot(contacts: Sequence[Held] | None) -> Json | None:
        configuration = {"Username": "maria", "AgentHierarchyGroups": None}
        return None if contacts is None else {"Configuration": configuration, "Contacts": [c.json() for c in contacts]}

    return {
        "AgentARN": f"{INSTANCE}/agent/0cb3",
        "CurrentAgentSnapshot": snapshot(after),
        "EventTimestamp": iso(at_ms),
        "EventType": kind,
        "InstanceARN": INSTANCE,
        "PreviousAgentSnapshot": snapshot(before),
    }


def told(before: Sequence[Held] | None, after: Sequence[Held] | None, at_ms: int = BASE_MS) -> list[tuple[str, int]]:
    return [(fact.record.kind, fact.record.time_ms) for fact in agents.read(OWNER, event(before, after, at_ms))]  # type: ignore[union-attr]


RINGING = Held("CONNECTING", JOINED_MS - 5_000)
TALKING = Held("CONNECTED", JOINED_MS, JOINED_MS)
ON_HOLD = Held("CONNECTED_ONHOLD", JOINED_MS + 40_000, JOINED_MS)
BACK = Held("CONNECTED", JOINED_MS + 71_000, JOINED_MS)
OVER = Held("ENDED", JOINED_MS + 90_000, JOINED_MS)
MISSED = Held("MISSED", JOINED_MS + 3_000)


def test_hold_of_the_documented_message() -> None:
    (fact,) = facts("agent_event")
    expected = ContactEvent("acme", CONTACT, 0, "hold_began", 0, "maria", BASE_MS + 71_007, "", "Billing", "VOICE")
    assert (CONTACT, expected) == (fact.root, fact.record)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((), (RINGING,), []),
        ((RINGING,), (TALKING,), [("agent_joined", JOINED_MS)]),
        ((TALKING,), (ON_HOLD,), [("hold_began", ON_HOLD.since_ms)]),
        ((ON_HOLD,), (BACK,), [("hold_ended", BACK.since_ms)]),
        ((BACK,), (OVER,), [("agent_left", OVER.since_ms)]),
        ((ON_HOLD,), (OVER,), [("hold_ended", OVER.since_ms), ("agent_left", OVER.since_ms)]),
        ((OVER,), (), []),
        ((RINGING,), (MISSED,), []),
        ((MISSED,), (), []),
        ((TALKING,), (TALKING,), []),
        ((OVER,), (OVER,), []),
    ],
)
def test_change_of_state_is_told(
    before: Sequence[Held], after: Sequence[Held], expected: list[tuple[str, int]]
) -> None:
    assert expected == told(before, after)


def test_contact_that_vanishes_has_left_at_the_time_of_the_event() -> None:
    assert [("agent_left", BASE_MS + 99_000)] == told((TALKING,), (), BASE_MS + 99_000)
    assert [("hold_ended", BASE_MS), ("agent_left", BASE_MS)] == told((ON_HOLD,), ())


def test_without_a_previous_snapshot_the_current_one_tells_what_holds() -> None:
    assert [("agent_joined", JOINED_MS), ("hold_began", ON_HOLD.since_ms)] == told(None, (ON_HOLD,))


def test_two_holds_whose_snapshots_keep_the_time_of_the_connection_are_two() -> None:
    held = Held("CONNECTED_ONHOLD", JOINED_MS, JOINED_MS)
    seen = [told((TALKING,), (held,), BASE_MS + 50_000), told((held,), (TALKING,), BASE_MS + 60_000)]
    seen.append(told((TALKING,), (held,), BASE_MS + 70_000))
    expected = [("hold_began", 50_000), ("hold_ended", 60_000), ("hold_began", 70_000)]
    assert [(kind, BASE_MS + after_ms) for kind, after_ms in expected] == [one for step in seen for one in step]
    assert [("agent_joined", JOINED_MS), ("hold_began", BASE_MS + 50_000)] == told((), (held,), BASE_MS + 50_000)


def test_contact_that_came_and_went_between_two_snapshots_is_told_whole() -> None:
    assert [("agent_joined", JOINED_MS), ("agent_left", OVER.since_ms)] == told((RINGING,), (OVER,))


def test_logout_ends_every_contact_of_the_agent() -> None:
    second = Held("CONNECTED", JOINED_MS, JOINED_MS, LATER)
    found = agents.read(OWNER, event((TALKING, second), (), BASE_MS, "LOGOUT"))
    assert {(CONTACT, CONTACT), (CONTACT, LATER)} == {(fact.root, fact.record.contact_id) for fact in found}
    assert {"agent_left"} == {fact.record.kind for fact in found}  # type: ignore[union-attr]


def test_heart_beat_says_nothing_whatever_its_snapshots_are() -> None:
    assert () == agents.read(OWNER, event((), (TALKING,), BASE_MS, "HEART_BEAT"))


def test_supervisor_who_listens_is_not_the_contact_s_agent() -> None:
    assert [] == told((), (Held("CONNECTED", JOINED_MS, JOINED_MS, method="MONITOR"),))


def test_agent_without_a_user_name_goes_by_the_id() -> None:
    found = event((), (TALKING,), BASE_MS)
    found["CurrentAgentSnapshot"]["Configuration"] = found["PreviousAgentSnapshot"]["Configuration"] = None
    (fact,) = agents.read(OWNER, found)
    assert "0cb3" == fact.record.agent  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"InstanceARN": OTHER_INSTANCE}, "another Amazon Connect instance"),
        ({"EventType": "REORGANISED"}, "unknown type"),
        ({"EventType": None}, "EventType is missing"),
        ({"EventTimestamp": None}, "EventTimestamp is missing"),
        ({"CurrentAgentSnapshot__Contacts": {}}, "Contacts is of another type"),
        ({"CurrentAgentSnapshot": "x"}, "CurrentAgentSnapshot is of another type"),
    ],
)
def test_message_that_is_malformed_or_somebody_else_s_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RecordRefused, match=why):
        agents.read(OWNER, message("agent_event", **changes))


Step = tuple[str, str, int]  # contact, kind, time


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Json], set[Step]]:
    """Draw an agent's day: the events as they happen, and what happened, worked out without the differ."""
    now_ms, snapshot, happened = BASE_MS, dict[str, Held](), set[Step]()
    events: list[Json] = []

    def change(contact: str, held: Held | None) -> None:
        nonlocal now_ms, snapshot
        before = list(snapshot.values())
        snapshot = {key: one for key, one in snapshot.items() if key != contact} | ({contact: held} if held else {})
        # The event is sent a moment after what it tells, but for a contact that vanishes.
        events.append(event(before, list(snapshot.values()), now_ms + (7 if held else 0)))
        if draw(st.integers(0, 3)) == 0:
            events.append(event(before, list(snapshot.values()), now_ms + 9, "HEART_BEAT"))

    for number in range(draw(st.integers(1, 3))):
        contact = f"contact-{number}"
        joined_ms: int | None = None
        is_held = False
        for step in draw(st.lists(st.sampled_from(["ring", "answer", "hold", "resume"]), max_size=8)):
            now_ms += draw(st.integers(10, 60_000))
            if step == "ring" and joined_ms is None:
                change(contact, Held("CONNECTING", now_ms, None, contact))
            elif step == "answer" and joined_ms is None:
                joined_ms = now_ms
                happened.add((contact, "agent_joined", now_ms))
                change(contact, Held("CONNECTED", now_ms, joined_ms, contact))
            elif step in ("hold", "resume") and joined_ms is not None and is_held != (step == "hold"):
                is_held = not is_held
                happened.add((contact, "hold_began" if is_held else "hold_ended", now_ms))
                change(contact, Held("CONNECTED_ONHOLD" if is_held else "CONNECTED", now_ms, joined_ms, contact))
        now_ms += draw(st.integers(10, 60_000))
        if joined_ms is not None:
            happened |= {(contact, "agent_left", now_ms)} | ({(contact, "hold_ended", now_ms)} if is_held else set())
            if draw(st.booleans()):
                change(contact, Held("ENDED", now_ms, joined_ms, contact))
                now_ms += draw(st.integers(10, 60_000))
        change(contact, None)
    return events, happened


@given(day=days(), draws=st.data())
def test_any_order_and_any_repetition_of_a_day_tells_the_same_facts(
    day: tuple[list[Json], set[Step]], draws: st.DataObject
) -> None:
    events, happened = day
    in_order = [fact for one in events for fact in agents.read(OWNER, one)]
    noisy = draws.draw(st.permutations(events + draws.draw(st.lists(st.sampled_from(events), max_size=5))))
    assert said(in_order) == said(fact for one in noisy for fact in agents.read(OWNER, one))
    found = {(one.contact_id, one.kind, one.time_ms) for one in (fact.record for fact in in_order)}  # type: ignore[union-attr]
    assert happened == found
    assert len(found) == len(in_order)
