"""The worker's transactional producer: states and offsets become durable together, or neither does.

The transactional id is the static member id, so a restarted worker aborts its own open transaction at once, and a
stale owner's commit is refused by the broker.
"""

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from pipeline.errors import Fenced, PeerUnavailable

_OPEN_S = 30.0
_COMMIT_S = 20.0

_FENCED = {
    KafkaError._FENCED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}


class CommitRefused(PeerUnavailable):
    """This transaction was aborted (a rebalance was under way, a broker was away); a later one may pass."""


class Committer:
    """See the module."""

    def __init__(self, producer: Producer) -> None:
        """Wrap a transactional producer; `open` before the first commit."""
        self._producer = producer

    def open(self) -> None:
        """Register the transactional id; aborts what its last owner left open.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        self._call(self._producer.init_transactions, _OPEN_S)

    def commit(
        self,
        changelog: str,
        rows: Sequence[tuple[int, bytes, bytes]],
        offsets: list[TopicPartition],
        group: Any,  # confluent-kafka's opaque ConsumerGroupMetadata
    ) -> None:
        """Write `(partition, row, value)` copies and the offsets, whose metadata carries the epoch.

        Raises:
            CommitRefused: nothing was written; try again with newer copies.
            Fenced: this worker has been replaced.
        """
        try:
            self._call(self._producer.begin_transaction)
            for partition, row, value in rows:
                self._produce(changelog, partition, row, value)
            self._call(self._producer.send_offsets_to_transaction, offsets, group, _COMMIT_S)
            self._call(self._producer.commit_transaction, _COMMIT_S)
        except PeerUnavailable as fault:
            if not isinstance(fault, Fenced):
                self._call(self._producer.abort_transaction, _COMMIT_S)
            raise

    def _produce(self, changelog: str, partition: int, row: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(changelog, value, row, partition)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def _call(self, step: Callable[..., object], *arguments: object) -> None:
        try:
            step(*arguments)
        except KafkaException as failure:
            error = failure.args[0]
            if error.code() in _FENCED:
                raise Fenced("another worker holds this member id") from None
            if error.fatal():
                raise PeerUnavailable(f"the transactional producer failed: {error.name()}") from None
            raise CommitRefused(f"a checkpoint was refused: {error.name()}") from None
