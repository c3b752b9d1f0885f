"""Contact events: what Amazon EventBridge delivers of a contact, best effort and in any order.

Documented in "Amazon Connect contact events" of the administrator guide. They are hints: the end of a contact, for
which the contact record stands in, and the queue. They name agents and queues by ARN alone.
"""

from dataclasses import replace
from typing import Literal

from connectors.contact_events import fields
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.fields import Json
from pipeline.errors import RecordRefused
from topics.records import ContactEvent

_DETAIL_TYPE = "Amazon Connect Contact Event"


def read(owner: Owner, content: Json) -> tuple[Fact, ...]:
    """Return what the event tells; nothing for a type that tells nothing that anybody here asks for.

    Raises:
        RecordRefused: the message is malformed, or not the owner's.
    """
    if fields.needed(content, "source") != "aws.connect" or fields.needed(content, "detail-type") != _DETAIL_TYPE:
        raise RecordRefused("the message is not a contact event of Amazon Connect")
    detail = fields.part(content, "detail")
    owner.check(fields.needed(detail, "instanceArn"))
    contact_id = fields.contact(detail, "contactId")
    initial = fields.other_contact(detail, "initialContactId", contact_id)
    began_ms = fields.time_ms(detail, "initiationTimestamp")
    event = _event(owner, contact_id, detail, fields.needed_ms(content, "time"))
    if event is None:
        return ()
    return (Fact(initial or contact_id, event, started_ms=None if initial else began_ms),)


def _event(owner: Owner, contact_id: str, detail: Json, sent_ms: int) -> ContactEvent | None:
    queue, agent = fields.part(detail, "queueInfo"), fields.part(detail, "agentInfo")
    event = ContactEvent(
        *(owner.tenant, contact_id, 0, "started", 0, "", sent_ms),
        previous_contact_id=fields.other_contact(detail, "previousContactId", contact_id),
        queue=fields.text(queue, "queueArn"),
        channel=fields.text(detail, "channel").upper(),  # documented in both cases
    )
    match fields.needed(detail, "eventType"):
        case "INITIATED":
            return _at(event, "started", fields.time_ms(detail, "initiationTimestamp"))
        case "QUEUED":
            return _at(event, "queued", fields.time_ms(queue, "enqueueTimestamp"))
        case "CONNECTED_TO_AGENT":
            return _at(event, "agent_joined", fields.time_ms(agent, "connectedToAgentTimestamp"))
        case "DISCONNECTED":
            return _at(event, "ended", fields.time_ms(detail, "disconnectTimestamp"))
        case _:
            return None


def _at(
    event: ContactEvent, kind: Literal["started", "queued", "agent_joined", "ended"], time_ms: int | None
) -> ContactEvent:
    """Say what happened, and when; the time of sending stands in for one that is not told."""
    return replace(event, kind=kind, time_ms=event.time_ms if time_ms is None else time_ms)
