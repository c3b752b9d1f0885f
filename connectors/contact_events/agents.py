"""Agent events: the agent's snapshots before and after a change become facts about contacts.

The stream is documented in "Agent event streams data model" of Amazon Connect's administrator guide. An event carries
both snapshots, so no state is kept and each event means the same in any order and however often it comes. A fact's
time is the one that the snapshot tells, so two events that tell the same fact tell one identity.

A contact that ends stays in the snapshot (ENDED, while the agent works after it); one that vanishes from it without
having ended has left the agent at the time of the event. A heart beat (every 120 s) reports no change.
"""

from collections.abc import Iterator
from typing import Literal

from connectors.contact_events import fields
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.fields import Json
from pipeline.errors import RecordRefused
from topics.records import ContactEvent

Kind = Literal["agent_joined", "hold_began", "hold_ended", "agent_left"]

_HEART_BEAT = "HEART_BEAT"
_CHANGES = ("STATE_CHANGE", "LOGIN", "LOGOUT")
_HELD = "CONNECTED_ONHOLD"
_CONNECTED = ("CONNECTED", _HELD, "PAUSED")  # PAUSED is of tasks
_OVER = ("ENDED", "MISSED", "REJECTED", "ERROR")
_LISTENING = "MONITOR"  # a supervisor listens in: not the contact's agent


def read(owner: Owner, content: Json) -> tuple[Fact, ...]:
    """Return what became different between the two snapshots.

    Raises:
        RecordRefused: the message is malformed, or not the owner's.
    """
    owner.check(fields.needed(content, "InstanceARN"))
    kind = fields.needed(content, "EventType")
    if kind == _HEART_BEAT:
        return ()
    if kind not in _CHANGES:
        raise RecordRefused("the agent event is of an unknown type")
    event_ms = fields.needed_ms(content, "EventTimestamp")
    current = fields.part(content, "CurrentAgentSnapshot")
    previous = fields.part(content, "PreviousAgentSnapshot")
    agent = _agent(current) or _agent(previous) or fields.needed(content, "AgentARN").rpartition("/")[2]
    before, after = _contacts(previous), _contacts(current)
    return tuple(
        _fact(owner, agent, contact, kind, time_ms)
        for contact_id in before | after
        for contact, kind, time_ms in _changes(before.get(contact_id, {}), after.get(contact_id, {}), event_ms)
    )


def _changes(before: Json, after: Json, event_ms: int) -> Iterator[tuple[Json, Kind, int]]:
    """Compare one contact in both snapshots; an empty one is not there."""
    was, state = (fields.text(one, "State") for one in (before, after))
    since_ms = _since_ms(before, after, event_ms)
    joined_ms = fields.time_ms(after, "ConnectedToAgentTimestamp")
    contact = after or before
    is_connected, was_connected = state in _CONNECTED, was in _CONNECTED
    is_missed = state in _OVER and was not in _OVER and joined_ms is not None  # it came and went between two snapshots
    has_joined = not was_connected and (is_connected or is_missed)
    if has_joined:
        yield contact, "agent_joined", since_ms if joined_ms is None else joined_ms
    if was == _HELD and state != _HELD:
        yield contact, "hold_ended", since_ms
    if state == _HELD and was != _HELD:
        yield contact, "hold_began", since_ms
    if (was_connected or has_joined) and not is_connected:
        yield contact, "agent_left", since_ms


def _since_ms(before: Json, after: Json, event_ms: int) -> int:
    """Return when the contact entered its state.

    The event's time stands in where the snapshot tells none: for a contact that is gone, and where the time has stayed
    that of the state before, as another view of the same states documents it of a hold (AgentContactReference of the
    API).
    """
    if not after:
        return event_ms
    since_ms = fields.needed_ms(after, "StateStartTimestamp")
    stayed_ms = fields.time_ms(before, "StateStartTimestamp") or fields.time_ms(after, "ConnectedToAgentTimestamp")
    is_stale = since_ms == stayed_ms and fields.text(after, "State") != fields.text(before, "State")
    return event_ms if is_stale else since_ms


def _fact(owner: Owner, agent: str, contact: Json, kind: Kind, time_ms: int) -> Fact:
    contact_id = fields.contact(contact, "ContactId")
    event = ContactEvent(
        *(owner.tenant, contact_id, 0, kind, 0, agent, time_ms),
        queue=fields.text(fields.part(contact, "Queue"), "Name"),
        channel=fields.text(contact, "Channel").upper(),
    )
    return Fact(fields.other_contact(contact, "InitialContactId", contact_id) or contact_id, event)


def _agent(snapshot: Json) -> str:
    return fields.text(fields.part(snapshot, "Configuration"), "Username")


def _contacts(snapshot: Json) -> dict[str, Json]:
    """Return the agent's contacts by id."""
    contacts = {fields.contact(one, "ContactId"): one for one in fields.parts(snapshot, "Contacts")}
    return {key: one for key, one in contacts.items() if fields.text(one, "InitiationMethod") != _LISTENING}
