"""The worker's transactional producer: states and offsets become durable together, or neither does.

The transactional id is the static member id, so a restarted worker aborts its own open transaction at once, and a
stale owner's commit is refused by the broker. A refusal is never proof of another worker: the broker also fences a
transaction that took too long, and a member that joined again after the copies were made. Only the consumer can tell.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from pipeline.errors import PeerUnavailable

_CALL_S = 5.0  # one attempt; the same call goes on where the last one stopped
_PATIENCE_S = 30.0  # a transaction whose end is not known after this is left to `open` of the next process


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
        try:
            self._persist(self._producer.init_transactions)
        except KafkaException as failure:
            raise _translate(failure) from None

    def commit(
        self,
        changelog: str,
        rows: Sequence[tuple[int, bytes, bytes | None]],
        offsets: list[TopicPartition],
        group: Any,  # noqa: ANN401 - confluent-kafka's opaque ConsumerGroupMetadata
    ) -> None:
        """Write `(partition, row, value)` copies and the offsets, whose metadata carries epoch and name.

        Raises:
            CommitRefused: nothing was written; try again with newer copies.
            PeerUnavailable: this producer is of no use any more, or the outcome stays unknown.
        """
        try:
            self._producer.begin_transaction()
            for partition, row, value in rows:
                self._produce(changelog, partition, row, value)
            self._persist(self._producer.send_offsets_to_transaction, offsets, group)
            self._persist(self._producer.commit_transaction)
        except KafkaException as failure:
            self._give_up(failure)

    def _give_up(self, failure: KafkaException) -> None:
        """Abort where that is possible; what remains open or undecided ends with this process."""
        error = failure.args[0]
        if error.fatal() or _is_passing(error):
            raise _translate(failure) from None
        try:
            self._persist(self._producer.abort_transaction)
        except KafkaException as second:
            raise _translate(second) from None
        raise CommitRefused(f"a checkpoint was refused: {error.name()}") from None

    def _produce(self, changelog: str, partition: int, row: bytes, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(changelog, value, row, partition)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def _persist(self, step: Callable[..., object], *arguments: object) -> None:
        """Call again while the broker is away: librdkafka carries on with the same request."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                step(*arguments, _CALL_S)
            except KafkaException as failure:
                if not _is_passing(failure.args[0]) or time.monotonic() > deadline_s:
                    raise
            else:
                return


def metadata(epoch: int, name: str) -> str:
    """Write what stands beside a committed offset: the task's epoch and the name of its last checkpoint."""
    return f"{epoch} {name}"


def parse(written: str | None) -> tuple[int, str]:
    """Read what `metadata` wrote; (0, "") where nothing stands."""
    epoch, _, name = (written or "0 ").partition(" ")
    return int(epoch), name


def _is_passing(error: KafkaError) -> bool:
    return error.retriable() and not error.txn_requires_abort()


def _translate(failure: KafkaException) -> PeerUnavailable:
    return PeerUnavailable(f"the transactional producer failed: {failure.args[0].name()}")
