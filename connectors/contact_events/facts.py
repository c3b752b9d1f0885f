"""What the modules of the feeds return, and whom a message must be about."""

from dataclasses import dataclass

from pipeline.errors import RecordRefused
from topics.records import ContactEvent, ContactRecord, MediaStarted


@dataclass(frozen=True, slots=True)
class Fact:
    """One record on its way to Kafka.

    Attributes:
        root: the conversation's first contact: InitialContactId, or ContactId where that is null.
        record: with nothing sealed yet.
        private: what has to be sealed into the record, as JSON; empty where there is nothing.
        started_ms: when the conversation started, ms since 1970; None where the message does not say.
    """

    root: str
    record: ContactEvent | MediaStarted | ContactRecord
    private: bytes = b""
    started_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose messages a feed brings.

    Attributes:
        tenant: of every record.
        instance: ARN of the tenant's Amazon Connect instance.
    """

    tenant: str
    instance: str

    def check(self, instance: str) -> None:
        """Refuse a message of another instance.

        Raises:
            RecordRefused: it is one.
        """
        if instance != self.instance:
            raise RecordRefused("the message is of another Amazon Connect instance than its feed")

    def check_stream(self, arn: str) -> None:
        """Refuse a stream of another account: our credentials must not fetch for one customer what is another's.

        Raises:
            RecordRefused: the ARN is of no stream of Kinesis Video Streams, or of another account than the instance.
        """
        parts = arn.split(":")
        if len(parts) < 6 or parts[2] != "kinesisvideo":
            raise RecordRefused("the media is in no stream of Kinesis Video Streams")
        if parts[4] != self.instance.split(":")[4]:
            raise RecordRefused("the stream belongs to another account than the instance")
