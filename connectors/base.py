"""What the sink engine asks of a store.

A sink is one outside system that keeps what some topics say. `pipeline/engines/sink.py` owns the loop:
batches, offsets, backoff, dead letters. A connector owns one idempotent write and tells the two ways in which
it can fail apart: the store is away (`PeerUnavailable`, the same batch comes again) or a record is poison
(`RecordRefused`, the engine finds it by halving the batch).
"""

from collections.abc import Sequence
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
