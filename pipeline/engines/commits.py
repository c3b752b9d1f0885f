"""The worker's transactional producer: states and offsets become durable together, or neither does.

The transactional id is the static member id, so a restarted worker aborts its own open transaction at once, and a
stale owner's commit is refused by the broker. A refusal is never proof of another worker: the broker also fences a
transaction that took too long, and a member that joined again after the copies were made. Only the consumer can tell.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from pipeline.engines import failpoints
from pipeline.errors import PeerUnavailable

_CALL_S = 5.0  # one attempt; the same call goes on where the last one stopped
# `send_offsets_to_transaction` may never return, whatever its timeout, once a producer remembers a coordinator that is
# no more (librdkafka 2.16; issues 5456 and 5511 of librdkafka, both open; seen by `bench crash`).
_HUNG_S = 2 * _CALL_S
_PATIENCE_S = 30.0

ErrorCallback = Callable[[KafkaError], None]


class CommitRefused(PeerUnavailable):
    """This transaction was aborted (a rebalance was under way, a broker was away); a later one may pass."""


class Committer:
    """See the module."""

    def __init__(self, make: Callable[[ErrorCallback], Producer]) -> None:
        """Take what makes a transactional producer that tells its errors; a broken one is replaced."""
        self._make = make
        self._producer: Producer | None = None
        self._is_doubtful = False  # the producer has told of an error, such as a broker that went away
        self._called_s = math.inf  # when the call began that is under way

    def is_hung(self, now_s: float) -> bool:
        """Whether a call has not returned long after its time was over, on the monotonic clock: a new process helps."""
        return now_s - self._called_s > _HUNG_S

    def open(self) -> Producer:
        """Register the transactional id, unless that is done; aborts what its last owner left open.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        if self._producer is None:
            producer = self._make(self._note)
            try:
                self._persist(producer.init_transactions)
            except KafkaException as failure:
                name = failure.args[0].name()
                raise PeerUnavailable(f"the transactional producer does not begin: {name}") from None
            self._producer = producer
        return self._producer

    def commit(
        self,
        changelog: str,
        rows: Sequence[tuple[int, bytes, bytes | None]],
        offsets: list[TopicPartition],
        group: Any,  # noqa: ANN401 - confluent-kafka's opaque ConsumerGroupMetadata
    ) -> None:
        """Write `(partition, row, value)` copies and the offsets, whose metadata carries epoch and name.

        Raises:
            CommitRefused: all or nothing was written, mostly nothing; try again with newer copies of the same rows.
            PeerUnavailable: the broker does not answer.
        """
        producer = self._sound()
        try:
            producer.begin_transaction()
            for partition, row, value in rows:
                _produce(producer, changelog, partition, row, value)
            failpoints.reach("written")
            self._persist(producer.send_offsets_to_transaction, offsets, group)
            failpoints.reach("positioned")
            self._persist(producer.commit_transaction)
            failpoints.reach("committed")
        except KafkaException as failure:
            self._give_up(producer, failure.args[0])

    def _sound(self) -> Producer:
        """Open anew where the producer has told of an error since the last commit: see `_HUNG_S`."""
        if self._producer is not None:
            self._producer.poll(0)
            if self._is_doubtful:
                self._producer = None
        self._is_doubtful = False
        return self.open()

    def _note(self, _: KafkaError) -> None:
        self._is_doubtful = True

    def _give_up(self, producer: Producer, error: KafkaError) -> NoReturn:
        """Abort; where that is impossible or the outcome stays unknown, the next producer settles it when it opens."""
        self._producer = None
        if not error.fatal() and not _is_passing(error):
            with contextlib.suppress(KafkaException):
                self._persist(producer.abort_transaction)
                self._producer = producer
        raise CommitRefused(f"a checkpoint was refused: {error.name()}") from None

    def _persist(self, step: Callable[..., object], *arguments: object) -> None:
        """Call again while the broker is away: librdkafka carries on with the same request."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            self._called_s = time.monotonic()
            try:
                step(*arguments, _CALL_S)
            except KafkaException as failure:
                if not _is_passing(failure.args[0]) or time.monotonic() > deadline_s:
                    raise
            else:
                return
            finally:
                self._called_s = math.inf


def metadata(epoch: int, name: str) -> str:
    """Write what stands beside a committed offset: the task's epoch and the name of its last checkpoint."""
    return f"{epoch} {name}"


def parse(written: str | None) -> tuple[int, str]:
    """Read what `metadata` wrote; (0, "") where nothing stands."""
    epoch, _, name = (written or "0 ").partition(" ")
    return int(epoch), name


def _produce(producer: Producer, changelog: str, partition: int, row: bytes, value: bytes | None) -> None:
    while True:
        try:
            producer.produce(changelog, value, row, partition)
        except BufferError:
            producer.poll(0.05)
        else:
            return


def _is_passing(error: KafkaError) -> bool:
    return error.retriable() and not error.txn_requires_abort()
