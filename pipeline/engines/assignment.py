"""The worker's consumer: which partitions it holds, where they begin, and the batches it reads.

Everything here runs on the consumer's thread; the loop's side is called and waited for, so at most one batch is under
way and memory stays bounded by the fetch queue. A portion is handed over as a plain call: at some thousand records a
second it holds one or two, and a coroutine with its futures would cost more than they do.

The group subscribes to its lead topic alone. When partition n of it is assigned, partition n of every other input is
added, so all inputs of a contact are on one worker in every step of a rebalance. The epoch of a task lives in the
metadata of its committed offset: read E, commit E + 1, and only then begin; Kafka's generation check makes that a
compare-and-swap between owners.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.engines import commits, failpoints, membership
from pipeline.engines.intake import Arrival
from pipeline.engines.membership import Orphans
from pipeline.engines.tables import read_changelogs, read_spans
from pipeline.engines.task import read_until, spans
from pipeline.engines.watchdog import Watchdog
from pipeline.errors import EngineFault
from pipeline.topology import Group
from topics import catalogue, clients

POLL_S = 0.1
BATCH = 500
METADATA_S = 0.2  # asking for the group metadata costs a round trip to the client's own thread
REQUEST_S = 10.0
ABANDON_S = 5.0
GOODBYE_S = 0.5
REST_S = 0.001  # of the loop's time between two slices of one portion

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a task begins.

    Attributes:
        epoch: the raised one.
        offsets: the next ones, by input topic.
        ends: found at takeover, by input topic.
        rows: of the changelog.
        again: records of the lead topic before its offset that parked contacts need.
    """

    epoch: int
    offsets: dict[str, int]
    ends: dict[str, int]
    rows: dict[bytes, bytes] = field(default_factory=dict)
    again: list[Message] = field(default_factory=list)


class Owner(Protocol):
    """The loop's side: `KafkaWorker`."""

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions it owns."""

    async def begin(self, partition: int, position: Position) -> None:
        """Own a partition from a position."""

    async def end(self, partitions: list[int], *, is_lost: bool) -> None:
        """Give partitions up."""

    def opened(self, rows: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Read rows of the changelog, on the consumer's thread."""

    def portions(self, batch: Sequence[Message]) -> Iterator[Sequence[Arrival]]:
        """Read a batch, on the consumer's thread; each portion is taken before the next is asked for."""

    def take(self, portion: Sequence[Arrival]) -> Sequence[Arrival]:
        """Process records as far as the loop's time and the producer's queue allow; return the others."""


class Assignment:
    """See the module."""

    def __init__(
        self, consumer: Consumer, bootstrap: str, prefix: str, group: Group, owner: Owner, orphans: Orphans
    ) -> None:
        """Prepare; `start` subscribes on a thread of its own."""
        self._consumer = consumer
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._group = group
        self._owner = owner
        self._orphans = orphans
        self._loop = asyncio.get_running_loop()
        self._is_stopping = threading.Event()
        self._is_abandoned = False
        self._behind: dict[
            int, dict[str, int]
        ] = {}  # partitions whose lead topic waits, and until where others are read
        self._begun: set[int] = set()  # partitions assigned while a batch was being read
        self._taken: SimpleQueue[Exception | None] = SimpleQueue()  # how the portion ended that the loop was given
        self._asked_s = 0.0
        self._watchdog = Watchdog()
        # What a transaction needs to prove that this member still owns its partitions.
        self.group_metadata: Any = None  # confluent-kafka's opaque ConsumerGroupMetadata
        self.is_joined = False
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin to consume."""
        self._watchdog.start()
        self._orphans.start()
        threading.Thread(target=self._work, name="consumer", daemon=True).start()

    def beat(self) -> None:
        """Tell the watchdog that the loop goes round."""
        self._watchdog.beat()

    async def stop(self) -> None:
        """Give every partition up with a last checkpoint and leave the group.

        Raises:
            PeerUnavailable: the last checkpoint could not be written.
        """
        self._is_stopping.set()
        await self.ended

    async def abandon(self) -> None:
        """Leave without a checkpoint, because the states are in doubt."""
        self._is_abandoned = True
        self._is_stopping.set()
        await asyncio.wait({self.ended}, timeout=ABANDON_S)
        if self.ended.done():
            self.ended.exception()  # the fault that brought us here, or one that follows from it

    def _work(self) -> None:
        outcome: Exception | None = None
        try:
            self._join()
            while not self._is_stopping.is_set():
                self._poll()
                if self._orphans.are_found():
                    membership.leave(self._consumer, REQUEST_S)
                    self._join()
            self._on_loop(self._owner.end(list(self._owner.assigned), is_lost=self._is_abandoned))
        except KafkaException as failure:
            outcome = clients.fault(failure.args[0])
        except Exception as failure:  # noqa: BLE001 - handed to the loop, which ends the worker with it
            outcome = failure
        self._leave(outcome)

    def _join(self) -> None:
        lead = self._prefix + self._group.inputs[0]
        self._consumer.subscribe([lead], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    def _leave(self, outcome: Exception | None) -> None:
        self._is_abandoned = self._is_abandoned or outcome is not None
        try:
            if not self._is_abandoned:
                membership.leave(self._consumer, GOODBYE_S)
            self._consumer.close()
        except Exception as failure:  # noqa: BLE001 - handed to the loop unless an earlier fault explains it
            outcome = outcome or failure
        self._loop.call_soon_threadsafe(self._finish, outcome)

    def _finish(self, outcome: Exception | None) -> None:
        self._watchdog.stop()
        self._orphans.stop()
        if outcome is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(outcome)

    def _poll(self) -> None:
        first = self._consumer.poll(POLL_S)
        if time.monotonic() - self._asked_s > METADATA_S:
            self._ask_metadata()
        if first is None:
            return
        self._begun.clear()
        batch = self._consumer.consume(BATCH - 1, 0)
        # A rebalance while the batch was read may have set the first record's partition back; it comes again then.
        # The client itself drops such records from within a batch.
        if first.partition() not in self._begun:
            batch.insert(0, first)
        good = [message for message in batch if clients.sound(message)]
        for portion in self._owner.portions(good) if good else ():
            self._hand_over(portion)
        if self._behind:
            self._free_leads(good)

    def _hand_over(self, portion: Sequence[Arrival]) -> None:
        """Have the loop process a portion."""
        self._loop.call_soon_threadsafe(self._take, portion)
        failure = self._taken.get()
        if failure is not None:
            raise failure

    def _take(self, portion: Sequence[Arrival]) -> None:
        """Process a slice of a portion, on the loop; the rest of it when others had their turn."""
        try:
            left = self._owner.take(portion)
        except Exception as failure:  # noqa: BLE001 - raised again on the consumer's thread, which hands it to `ended`
            self._taken.put(failure)
            return
        if left:
            self._loop.call_later(REST_S, self._take, left)
        else:
            self._taken.put(None)

    def _ask_metadata(self) -> None:
        """Ask on this thread: it blocks while the consumer closes."""
        self.group_metadata = self._consumer.consumer_group_metadata()
        self._asked_s = time.monotonic()

    def _assign(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        self._ask_metadata()
        partitions = sorted(lead.partition for lead in leads)
        self._begun.update(partitions)
        for partition, position in self._take_over(partitions).items():
            consumer.incremental_assign(
                [TopicPartition(self._prefix + topic, partition, at) for topic, at in position.offsets.items()]
            )
            self._hold_lead(partition, position)
            self._on_loop(self._owner.begin(partition, position))
        self.is_joined = True

    def _hold_lead(self, partition: int, position: Position) -> None:
        """Read first what waits beside the lead topic: a redaction, a hold, who has joined."""
        lead, *others = self._group.inputs
        behind = {topic: end for topic in others if position.offsets[topic] < (end := position.ends[topic])}
        if behind:
            self._behind[partition] = behind
            self._consumer.pause([TopicPartition(self._prefix + lead, partition)])

    def _free_leads(self, batch: Sequence[Message]) -> None:
        for message in batch:
            partition, topic = message.partition() or 0, (message.topic() or "").removeprefix(self._prefix)
            behind = self._behind.get(partition, {})
            if topic not in behind or (message.offset() or 0) + 1 < behind[topic]:
                continue
            del behind[topic]
            if not behind:
                del self._behind[partition]
                self._consumer.resume([TopicPartition(self._prefix + self._group.inputs[0], partition)])

    def _take_over(self, partitions: list[int]) -> dict[int, Position]:
        """Raise the epoch of each partition, then read the changelogs."""
        if not partitions:
            return {}
        wanted = [TopicPartition(self._prefix + topic, n) for n in partitions for topic in self._group.inputs]
        found = clients.patiently(lambda: _sound(self._consumer.committed(wanted, timeout=clients.PATIENCE_S)))
        inputs = len(self._group.inputs)
        rows = [found[at : at + inputs] for at in range(0, len(found), inputs)]
        taken = {n: self._position(committed) for n, committed in zip(partitions, rows, strict=True)}
        raised = [
            TopicPartition(self._prefix + topic, n, at, metadata=commits.metadata(position.epoch, name or ""))
            for n, (position, name) in taken.items()
            for topic, at in position.offsets.items()
        ]
        self._raise(raised)
        failpoints.reach("raised")
        changelog = self._prefix + catalogue.changelog(self._group.name)
        rows_of = read_changelogs(self._bootstrap, changelog, {n: name for n, (_, name) in taken.items()})
        if any(name is None for _, name in taken.values()):
            # No name says of which checkpoint the rows must be; to own it still says that they are no later owner's.
            self._raise(raised)
        for n, (position, _) in taken.items():
            position.rows.update(self._owner.opened(rows_of[n]))
            lead = TopicPartition(self._prefix + self._group.inputs[0], n)
            position.again.extend(read_spans(self._bootstrap, lead, spans(position.rows)))
        failpoints.reach("restored")
        return {n: position for n, (position, _) in taken.items()}

    def _raise(self, offsets: list[TopicPartition]) -> None:
        """Commit offsets with a raised epoch; refused where the partition has another owner."""
        clients.patiently(lambda: _sound(self._consumer.commit(offsets=offsets, asynchronous=False) or []))

    def _position(self, committed: list[TopicPartition]) -> tuple[Position, str | None]:
        """Return where a partition begins, and the name of its last checkpoint; None if it never had an owner."""
        marks = [commits.parse(one.metadata) for one in committed if one.offset >= 0]
        epoch, name = max(marks, default=(0, None))
        offsets, ends = {}, {}
        for topic, one in zip(self._group.inputs, committed, strict=True):
            low, ends[topic] = self._limits(one)
            offsets[topic] = max(one.offset, low)
            if 0 <= one.offset < low:
                # Retention may take what would only be read again, for a contact that has stalled.
                if topic != self._group.inputs[0] or name is None or read_until(name) < low:
                    raise EngineFault(clients.LOST)
                _log.warning("audio that may be needed again is gone", extra={"partition": one.partition})
        return Position(epoch + 1, offsets, ends), name

    def _limits(self, one: TopicPartition) -> tuple[int, int]:
        return clients.patiently(lambda: self._consumer.get_watermark_offsets(one, timeout=REQUEST_S))

    def _revoke(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        self._give_up(consumer, leads, is_lost=self._is_abandoned)

    def _lose(self, consumer: Consumer, leads: list[TopicPartition]) -> None:
        self._give_up(consumer, leads, is_lost=True)

    def _give_up(self, consumer: Consumer, leads: list[TopicPartition], *, is_lost: bool) -> None:
        partitions = [lead.partition for lead in leads]
        if not is_lost:
            self._ask_metadata()
        for partition in partitions:
            self._behind.pop(partition, None)
        self._on_loop(self._owner.end(partitions, is_lost=is_lost))
        consumer.incremental_unassign(
            [TopicPartition(self._prefix + topic, n) for n in partitions for topic in self._group.inputs]
        )

    def _on_loop(self, call: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result()


def _sound(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return what the broker answered about each partition, if it did."""
    for one in partitions:
        if one.error is not None:
            raise KafkaException(one.error)
    return partitions
