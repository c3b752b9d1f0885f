"""Contact records (contact trace records): what the platform has on record about a contact, the last word on it.

Documented in "Data model for contact records" of Amazon Connect's administrator guide. A record comes after the work
after the contact, at least once, and again after each later change, up to 24 months: `updated_ms` orders the versions
and the highest is valid. Fields that are not read here may come and go; another format version is refused.

What was lost on the way is made up for while anybody could still know the contact (`BACKFILL_MS`): a recording in
Kinesis Video Streams says that media started, and the record that the contact has ended.
"""

from dataclasses import replace
from hashlib import sha256

from connectors.contact_events import fields
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.fields import Json
from pipeline.errors import RecordRefused
from topics.catalogue import TOPICS
from topics.codec import encode
from topics.records import AgentSpan, ContactEvent, ContactRecord, MediaStarted, Recording

FORMAT = "2017-03-10"  # AWSContactTraceRecordFormatVersion
# Between the end of a contact and a version of its record. Behind it, no topic and no state knows the contact.
BACKFILL_MS = TOPICS["contact.events"].retention_ms
_STREAM = "KINESIS_VIDEO_STREAM"
_LISTENING = "MONITOR"  # a supervisor's leg: its audio is the monitored contact's


def read(owner: Owner, content: Json) -> tuple[Fact, ...]:
    """Return the record, and what a lost message would have said.

    Raises:
        RecordRefused: the message is malformed, of another format version, or not the owner's.
    """
    if fields.needed(content, "AWSContactTraceRecordFormatVersion") != FORMAT:
        raise RecordRefused("the contact record is of a format version that this reader does not know")
    owner.check(fields.needed(content, "InstanceARN"))
    record = _record(owner, content)
    record = replace(record, content_hash=sha256(encode(record)).hexdigest())
    root = record.initial_contact_id or record.contact_id
    private = fields.private(content, "CustomerEndpoint", "SystemEndpoint", "TransferredToEndpoint", "Attributes")
    started_ms = None if record.initial_contact_id else record.initiated_ms
    made_up = _made_up(owner, record)
    return (Fact(root, record, private, started_ms), *(Fact(root, one, b"", started_ms) for one in made_up))


def _record(owner: Owner, content: Json) -> ContactRecord:
    contact_id = fields.contact(content, "ContactId")
    queue, agent = fields.part(content, "Queue"), fields.part(content, "Agent")
    return ContactRecord(
        tenant=owner.tenant,
        contact_id=contact_id,
        updated_ms=fields.needed_ms(content, "LastUpdateTimestamp"),
        content_hash="",
        initial_contact_id=fields.other_contact(content, "InitialContactId", contact_id),
        previous_contact_id=fields.other_contact(content, "PreviousContactId", contact_id),
        next_contact_id=fields.other_contact(content, "NextContactId", contact_id),
        related_contact_id=fields.other_contact(content, "RelatedContactId", contact_id),
        channel=fields.text(content, "Channel").upper(),
        initiation_method=fields.text(content, "InitiationMethod"),
        disconnect_reason=fields.text(content, "DisconnectReason"),
        initiated_ms=fields.time_ms(content, "InitiationTimestamp"),
        connected_to_system_ms=fields.time_ms(content, "ConnectedToSystemTimestamp"),
        disconnected_ms=fields.time_ms(content, "DisconnectTimestamp"),
        transferred_ms=fields.time_ms(content, "TransferCompletedTimestamp"),
        queue=fields.text(queue, "Name"),
        enqueued_ms=fields.time_ms(queue, "EnqueueTimestamp"),
        dequeued_ms=fields.time_ms(queue, "DequeueTimestamp"),
        agent=fields.text(agent, "Username"),
        agent_connected_ms=fields.time_ms(agent, "ConnectedToAgentTimestamp"),
        after_work_start_ms=fields.time_ms(agent, "AfterContactWorkStartTimestamp"),
        after_work_end_ms=fields.time_ms(agent, "AfterContactWorkEndTimestamp"),
        hold_s=fields.count(agent, "CustomerHoldDuration"),
        holds=fields.count(agent, "NumberOfHolds"),
        agent_states=tuple(_span(one) for one in fields.parts(agent, "StateTransitions")),
        recordings=tuple(_recording(owner, one) for one in fields.parts(content, "Recordings")),
    )


def _span(content: Json) -> AgentSpan:
    start_ms = fields.needed_ms(content, "StateStartTimestamp")
    return AgentSpan(fields.needed(content, "State"), start_ms, fields.time_ms(content, "StateEndTimestamp"))


def _recording(owner: Owner, content: Json) -> Recording:
    recording = Recording(
        participant=fields.text(content, "ParticipantType"),
        media=fields.text(content, "MediaStreamType"),
        storage=fields.text(content, "StorageType"),
        location=fields.text(content, "Location"),
        first_fragment=fields.text(content, "FragmentStartNumber"),
        last_fragment=fields.text(content, "FragmentStopNumber"),
        start_ms=fields.time_ms(content, "StartTimestamp"),
        end_ms=fields.time_ms(content, "StopTimestamp"),
    )
    if recording.storage == _STREAM and recording.location:
        owner.check_stream(recording.location)
    return recording


def _made_up(owner: Owner, record: ContactRecord) -> list[ContactEvent | MediaStarted]:
    """Say again what other feeds should have said."""
    ended_ms = record.disconnected_ms
    is_forgotten = ended_ms is not None and record.updated_ms - ended_ms > BACKFILL_MS
    if is_forgotten or record.initiation_method == _LISTENING:
        return []
    said: list[ContactEvent | MediaStarted] = [
        MediaStarted(owner.tenant, record.contact_id, one.location, one.start_ms, one.first_fragment)
        for one in record.recordings
        if one.storage == _STREAM and one.location and one.start_ms is not None
    ]
    if ended_ms is not None:
        ended = ContactEvent(owner.tenant, record.contact_id, 0, "ended", 0, record.agent, ended_ms)
        said.append(replace(ended, queue=record.queue, channel=record.channel))
    return said
