"""What the sink engine asks of a store, and the source engine of an inlet.

A sink is one outside system that keeps what some topics say. `pipeline/engines/sink.py` owns the loop:
batches, offsets, backoff, dead letters. A connector owns one idempotent write and tells the two ways in which
it can fail apart: the store is away (`PeerUnavailable`, the same batch comes again) or a record is poison
(`RecordRefused`, the engine finds it by halving the batch).

An inlet is one stream or queue of an outside system whose messages become records. `pipeline/engines/source.py` owns
the loop: positions, dead letters, backoff. A connector owns how messages are asked for and let go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from topics.records import Record


@dataclass(frozen=True, slots=True)
class Delivered:
    """One record with its place in Kafka; the same place may be delivered more than once.

    Attributes:
        topic: without prefix.
        partition: of the topic.
        offset: in the partition.
        key: `tenant|root`.
        record: one of the types that the catalogue allows on the topic.
        timestamp_ms: the broker's time of arrival, epoch milliseconds.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    record: Record
    timestamp_ms: int


class Sink(Protocol):
    """One store. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """The consumer group, without prefix; the catalogue names it as a consumer."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What it reads, without prefix."""

    @property
    def linger_ms(self) -> int:
        """How long a batch that is not full may wait for more; 0 for a store whose readers wait."""

    def prepare(self) -> None:
        """Make the store ready for writes; doing so twice changes nothing.

        Raises:
            PeerUnavailable: the store is away or not ready.
        """

    def write(self, batch: Sequence[Delivered]) -> None:
        """Write a batch, all or nothing; the outcome does not depend on order, repetition or how it is cut.

        Raises:
            PeerUnavailable: the store is away; the same batch comes again.
            RecordRefused: at least one record can never be written.
        """

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message.

    Attributes:
        data: as it came.
        part: of the inlet that it came by, such as a shard; empty where there is one.
        position: of the message in that part.
    """

    data: bytes
    part: str
    position: str


@dataclass(frozen=True, slots=True)
class Addressed:
    """A record with its place in Kafka.

    Attributes:
        key: `tenant|root`.
        record: its topic follows from its type.
        started_ms: when its conversation started, ms since 1970; None where the message does not say.
    """

    key: bytes
    record: Record
    started_ms: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that came together.

    Attributes:
        arrived: the messages; possibly none.
        positions: by part, the position that everything up to has come by; kept once Kafka has the records.
    """

    arrived: tuple[Arrived, ...]
    positions: Mapping[str, str]


class Inlet(Protocol):
    """One stream or queue. Used by one thread."""

    def resume(self, positions: Mapping[str, str]) -> None:
        """Begin behind these positions; the parts that they lack begin with the oldest message."""

    def pull(self) -> Batch:
        """Return what has come, in no more than about two seconds.

        Raises:
            PeerUnavailable: the outside system does not answer.
        """

    def settle(self, batch: Batch) -> None:
        """Let go of a batch that Kafka has.

        Raises:
            PeerUnavailable: the outside system does not answer; the batch may come again.
        """
