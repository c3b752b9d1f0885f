"""The worker's consumer: which partitions it holds, where they begin, and the batches it reads.

Everything here runs on the consumer's thread; the loop's side is called through `run_coroutine_threadsafe` and waited
for, so at most one batch is under way and memory stays bounded by the fetch queue.

The group subscribes to its lead topic alone. When partition n of it is assigned, partition n of every other input is
added, so all inputs of a contact are on one worker in every step of a rebalance. The epoch of a task lives in the
metadata of its committed offset: read E, commit E + 1, and only then begin; Kafka's generation check makes that a
compare-and-swap between owners.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.engines.tables import read_whole
from pipeline.errors import EngineFault, Fenced, PeerUnavailable
from pipeline.topology import Group

POLL_S = 0.1
BATCH = 500
REQUEST_S = 10.0
STUCK_LOOP_S = 5.0  # heartbeats alone must not keep partitions
STUCK_EXIT = 70  # EX_SOFTWARE

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a task begins: its epoch, the next offsets, the ends found at takeover and its changelog rows."""

    epoch: int
    offsets: dict[str, int]
    ends: dict[str, int]
    rows: dict[bytes, bytes]


class Owner(Protocol):
    """The loop's side: `KafkaWorker`."""

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions it owns."""

    async def begin(self, partition: int, position: Position) -> None:
        """Own a partition from a position."""

    async def end(self, partitions: list[int], *, is_lost: bool) -> None:
        """Give partitions up."""

    async def take(self, messages: list[Message]) -> None:
        """Process one batch."""


class Assignment:
    """See the module."""

    def __init__(self, consumer: Consumer, bootstrap: str, prefix: str, group: Group, owner: Owner) -> None:
        """Prepare; `start` subscribes on a thread of its own."""
        self._consumer = consumer
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._group = group
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._is_stopping = threading.Event()
        self._beat_s = time.monotonic()
        self._metadata: Any = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin to consume."""
        threading.Thread(target=self._work, name="consumer", daemon=True).start()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Tell the watchdog that the loop goes round."""
        self._beat_s = time.monotonic()

    async def stop(self) -> None:
        """Give every partition up with a last checkpoint and leave the group."""
        self._is_stopping.set()
        await asyncio.wait({self.ended})

    @property
    def group_metadata(self) -> Any:  # confluent-kafka's opaque ConsumerGroupMetadata
        """What a transaction needs to prove that this member still owns its partitions."""
        return self._metadata

    def _work(self) -> None:
        outcome: Exception | None = None
        try:
            lead = self._prefix + self._group.inputs[0]
            self._consumer.subscribe([lead], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
            while not self._is_stopping.is_set():
                self._poll()
            self._on_loop(self._owner.end(list(self._owner.assigned), is_lost=False))
        except KafkaException as failure:
            outcome = _translate(failure.args[0])
        except Exception as failure:  # noqa: BLE001 - handed to the loop, which ends the worker with it
            outcome = failure
        self._leave(outcome)

    def _leave(self, outcome: Exception | None) -> None:
        try:
            self._consumer.close()
        except Exception as failure:  # noqa: BLE001 - handed to the loop unless an earlier fault explains it
            outcome = outcome or failure
        self._loop.call_soon_threadsafe(self._finish, outcome)

    def _finish(self, outcome: Exception | None) -> None:
        if outcome is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(outcome)

    def _poll(self) -> None:
        first = self._consumer.poll(POLL_S)
        self._metadata = self._consumer.consumer_group_metadata()  # on this thread: it blocks while closing
        if first is None:
            return
        messages = [first, *self._consumer.consume(BATCH - 1, 0)]
        good = [message for message in messages if not self._is_error(message)]
        if good:
            self._on_loop(self._owner.take(good))

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal() or not error.retriable():
            raise _translate(error)
        _log.warning("the consumer reported a passing error", extra={"error": error.name()})
        return True

    def _assign(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        for partition in sorted(lead.partition for lead in leads):
            position = self._take_over(partition)
            consumer.incremental_assign(
                [TopicPartition(self._prefix + topic, partition, at) for topic, at in position.offsets.items()]
            )
            self._on_loop(self._owner.begin(partition, position))

    def _take_over(self, partition: int) -> Position:
        """Raise the epoch of one partition, then read its changelog."""
        wanted = [TopicPartition(self._prefix + topic, partition) for topic in self._group.inputs]
        committed = self._consumer.committed(wanted, timeout=REQUEST_S)
        epoch = max((int(one.metadata or 0) for one in committed if one.offset >= 0), default=0) + 1
        offsets, ends = {}, {}
        for topic, one in zip(self._group.inputs, committed, strict=True):
            low, high = self._consumer.get_watermark_offsets(one, timeout=REQUEST_S)
            offsets[topic] = one.offset if one.offset >= 0 else low
            ends[topic] = high
        raised = [TopicPartition(self._prefix + t, partition, at, metadata=str(epoch)) for t, at in offsets.items()]
        self._consumer.commit(offsets=raised, asynchronous=False)
        return Position(epoch, offsets, ends, self._read_changelog(partition))

    def _read_changelog(self, partition: int) -> dict[bytes, bytes]:
        """Return the newest committed value of each row."""
        rows: dict[bytes, bytes] = {}
        changelog = TopicPartition(f"{self._prefix}changelog.{self._group.name}", partition)
        for message in read_whole(self._bootstrap, [changelog]):
            row, value = message.key() or b"", message.value()
            if value is None:
                rows.pop(row, None)
            else:
                rows[row] = value
        return rows

    def _revoke(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        self._give_up(consumer, leads, is_lost=False)

    def _lose(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        self._give_up(consumer, leads, is_lost=True)

    def _give_up(self, consumer: Consumer, leads: list[TopicPartition], *, is_lost: bool) -> None:
        partitions = [lead.partition for lead in leads]
        if not is_lost:
            self._metadata = consumer.consumer_group_metadata()
        self._on_loop(self._owner.end(partitions, is_lost=is_lost))
        consumer.incremental_unassign(
            [TopicPartition(self._prefix + topic, n) for n in partitions for topic in self._group.inputs]
        )

    def _on_loop(self, call: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def _watch(self) -> None:
        """End the process when the loop has not gone round for too long."""
        while not self.ended.done():
            time.sleep(0.5)
            if time.monotonic() - self._beat_s > STUCK_LOOP_S:
                _log.critical("the event loop is stuck; leaving the partitions to another worker")
                os._exit(STUCK_EXIT)


def _translate(error: KafkaError) -> Exception:
    if error.code() == KafkaError.FENCED_INSTANCE_ID:
        return Fenced("another worker holds this member id")
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        return EngineFault("a committed position is outside its topic: records were lost to retention")
    return PeerUnavailable(f"the consumer failed: {error.name()}")
