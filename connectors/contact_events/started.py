"""Flow events: what the Lambda function of `flow/` was told when a contact flow called it.

A message is `{"time_ms": when the function ran, "contact": ContactData}`; ContactData is documented in "Invoke Lambda
functions" of Amazon Connect's administrator guide. The flow calls the function behind *Start media streaming*, so it
names the stream; a flow without that block still tells that the contact started.
"""

from connectors.contact_events import fields
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.fields import Json
from pipeline.errors import RecordRefused
from topics.records import ContactEvent, MediaStarted


def read(owner: Owner, content: Json) -> tuple[Fact, ...]:
    """Return the start of the contact, and that of its media if it flows.

    Raises:
        RecordRefused: the message is malformed, or not the owner's.
    """
    told = fields.part(content, "contact")
    owner.check(fields.needed(told, "InstanceARN"))
    contact_id = fields.contact(told, "ContactId")
    initial = fields.other_contact(told, "InitialContactId", contact_id)
    root = initial or contact_id
    media = _media(owner, contact_id, _audio(told))
    time_ms = media.start_ms if media else fields.count(content, "time_ms")
    # Of a later leg the conversation's start is not known.
    started_ms = None if initial else time_ms
    event = ContactEvent(
        *(owner.tenant, contact_id, 0, "started", 0, "", time_ms),
        previous_contact_id=fields.other_contact(told, "PreviousContactId", contact_id),
        queue=fields.text(fields.part(told, "Queue"), "Name"),
        channel=fields.text(told, "Channel").upper(),
    )
    private = fields.private(told, "CustomerEndpoint", "SystemEndpoint", "Attributes")
    began = Fact(root, event, private, started_ms)
    return (began, Fact(root, media, started_ms=started_ms)) if media else (began,)


def _audio(told: Json) -> Json:
    customer = fields.part(fields.part(told, "MediaStreams"), "Customer")
    return fields.part(customer, "Audio")


def _media(owner: Owner, contact_id: str, audio: Json) -> MediaStarted | None:
    if not audio:
        return None
    stream = fields.needed(audio, "StreamARN")
    owner.check_stream(stream)
    return MediaStarted(owner.tenant, contact_id, stream, _start_ms(audio), fields.text(audio, "StartFragmentNumber"))


def _start_ms(audio: Json) -> int:
    """Read StartTimestamp: ms since 1970, as text."""
    found = fields.needed(audio, "StartTimestamp")
    if not (found.isascii() and found.isdigit() and len(found) < 16):
        raise RecordRefused("field StartTimestamp is not a number of milliseconds")
    return int(found)
