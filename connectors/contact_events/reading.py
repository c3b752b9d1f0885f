"""From a feed's bytes to records for Kafka: what the message says, with endpoints and attributes sealed."""

from dataclasses import replace

from connectors.base import Addressed, Inlet
from connectors.contact_events.facts import Fact
from connectors.contact_events.feeds import Feed, client
from connectors.contact_events.kinesis import KinesisInlet
from connectors.contact_events.sqs import SqsInlet
from connectors.sealing import Sealer
from topics.keys import contact_key
from topics.records import ContactRecord, MediaStarted


def inlet(feed: Feed) -> Inlet:
    """Make what brings a feed's messages.

    Raises:
        InputError: there are no AWS credentials, or AWS's configuration is wrong.
    """
    if feed.is_queue:
        return SqsInlet(client("sqs", feed.region), feed.place)
    return KinesisInlet(client("kinesis", feed.region), feed.place)


def read(feed: Feed, sealer: Sealer, data: bytes) -> tuple[Addressed, ...]:
    """Say what one message means.

    Raises:
        PeerUnavailable: the tenant's key cannot be used now.
        RecordRefused: the message is malformed, of a kind that this version does not know, or another instance's.
    """
    return tuple(_addressed(sealer, fact) for fact in feed.read(data))


def _addressed(sealer: Sealer, fact: Fact) -> Addressed:
    record = fact.record
    if not isinstance(record, ContactRecord) and record.contact_id != fact.root:
        record = replace(record, initial_contact_id=fact.root)
    if fact.private and not isinstance(record, MediaStarted):  # it has nothing to seal
        record = replace(record, sealed=sealer.seal(record.tenant, fact.root, record.schema, fact.private))
    return Addressed(contact_key(record.tenant, fact.root), record, fact.started_ms)
