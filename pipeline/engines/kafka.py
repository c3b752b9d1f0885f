"""The Kafka engine: one worker process of one group.

Owns the event loop's side of a worker: feeding tasks, writing their outputs, asking services, checkpoints about once
a second. The consumer and everything that must run on its thread is in `assignment.py`; delivery of outputs in
`outbox.py`; the logic of a partition in `task.py`. The guarantee it follows is modelled in `memory.py`.

A fault that a task cannot outlive (failed delivery, fenced epoch, stuck loop) ends the process; the supervisor starts
it again under the same static member id, and the takeover restores the last checkpoint.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from pipeline import metrics
from pipeline.engines.assignment import Assignment, Position
from pipeline.engines.commits import CommitRefused, Committer
from pipeline.engines.outbox import Barrier, Outbox
from pipeline.engines.tables import Tables
from pipeline.engines.task import Effects, Input, Output, Question, Task
from pipeline.errors import RecordRefused
from pipeline.machine import Failed
from pipeline.topology import Group
from topics import clients, codec, deadletters
from topics.clients import GroupProtocol

Service = Callable[[Any], Awaitable[object]]  # each service has a request type of its own

CHECKPOINT_S = 1.0
BEAT_S = 0.25
ANSWER_LIMIT_S = 60.0  # an answer later than this is a failure; three calls' longest decode stays below it
CAUSE_HEADER = "cause-ms"  # broker time of the input that led to a record

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Who this worker is.

    Attributes:
        bootstrap: the broker's address.
        prefix: put before every topic, group and member name.
        member: static member id, `<host>-<group>-<n>`; also the transactional id.
        group_protocol: `classic` (cooperative-sticky, static members) or `consumer` (KIP-848).
    """

    bootstrap: str
    prefix: str
    member: str
    group_protocol: GroupProtocol = "classic"


@dataclass(slots=True)
class _Owned:
    """One assigned partition."""

    task: Task
    epoch: int
    ends: dict[str, int]
    taken_s: float


class KafkaWorker:
    """See the module."""

    def __init__(self, config: WorkerConfig, group: Group, services: Mapping[str, Service]) -> None:
        """Make the clients; nothing is consumed before `run`."""
        self._config = config
        self._group = group
        self._services = services
        self._machines = {stage.name: stage.machine() for stage in group.stages}
        self._owned: dict[int, _Owned] = {}
        self._answers: dict[tuple[int, str, bytes, str], asyncio.Task[None]] = {}
        self._outbox = Outbox(clients.producer(config.bootstrap))
        self._committer = Committer(clients.transactional_producer(config.bootstrap, config.member))
        self._commit_thread = ThreadPoolExecutor(1, "commit")
        self._committing = asyncio.Lock()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._assignment = Assignment(_consumer(config, group), config.bootstrap, config.prefix, group, self)
        tables = [config.prefix + table for table in group.tables]
        self._tables = Tables(config.bootstrap, tables, self._load)

    @property
    def is_ready(self) -> bool:
        """Whether every assigned partition has caught up."""
        return bool(self._owned) and all(owned.task.is_caught_up for owned in self._owned.values())

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions this worker holds."""
        return tuple(sorted(self._owned))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then write a last checkpoint and leave.

        Raises:
            PeerUnavailable: the broker or a delivery failed for good.
            Fenced: another process holds this member id.
        """
        await asyncio.to_thread(self._committer.open)
        await asyncio.to_thread(self._tables.load)
        self._assignment.start()
        beating = asyncio.create_task(self._beat())
        checkpoints = asyncio.create_task(self._checkpoints())
        stopping = asyncio.create_task(stop.wait())
        waited: set[asyncio.Future[Any]] = {checkpoints, stopping, self._assignment.ended, self._failure}
        try:
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {stopping}:
                ended.result()
            await self._assignment.stop()
        finally:
            await self._close()
            for task in (beating, checkpoints, stopping):
                task.cancel()

    # Called by `Assignment` on the loop.

    async def begin(self, partition: int, position: Position) -> None:
        """Own a partition: restore its task, catch up, release."""
        task = Task(self._group, self._machines, position.epoch, position.offsets)
        for row, value in position.rows.items():
            task.restore(row, value)
        self._owned[partition] = _Owned(task, position.epoch, position.ends, time.monotonic())
        metrics.PARTITIONS.labels(self._group.name).set(len(self._owned))
        await self._carry_out(partition, task.resume())

    async def end(self, partitions: list[int], *, is_lost: bool) -> None:
        """Give partitions up, with a last checkpoint unless they are already somebody else's."""
        if not is_lost:
            await self._checkpoint()
        for partition in partitions:
            self._owned.pop(partition, None)
            for place in [place for place in self._answers if place[0] == partition]:
                self._answers.pop(place).cancel()
        metrics.PARTITIONS.labels(self._group.name).set(len(self._owned))

    async def take(self, messages: list[Message]) -> None:
        """Feed one batch, oldest first."""
        for message in messages:
            await self._take(message)

    async def _take(self, message: Message) -> None:
        topic = (message.topic() or "").removeprefix(self._config.prefix)
        partition, offset = message.partition() or 0, message.offset() or 0
        owned = self._owned.get(partition)
        if owned is None or offset < owned.task.positions[topic]:
            return
        metrics.RECORDS_IN.labels(self._group.name, topic).inc()
        try:
            record = codec.decode(message.value() or b"")
        except RecordRefused as refusal:
            owned.task.skip(topic, offset)
            await self._bury(topic, message, refusal)
            return
        given = Input(topic, offset, message.key() or b"", record, message.timestamp()[1])
        effects = owned.task.feed(given)
        if effects.refusal is not None:
            await self._bury(topic, message, effects.refusal)
        await self._carry_out(partition, effects)

    def _load(self, message: Message) -> None:
        """Take one record of a global table; it is immutable, so any thread may add it."""
        try:
            record = codec.decode(message.value() or b"")
        except RecordRefused:
            _log.error("a record of a global table is undecodable", extra={"topic": message.topic()})
            return
        table = (message.topic() or "").removeprefix(self._config.prefix)
        for stage in self._group.stages:
            if table in stage.tables:
                self._machines[stage.name].on_global(record)

    async def _carry_out(self, partition: int, effects: Effects) -> None:
        for output in effects.outputs:
            await self._write(partition, output)
        for stage, key, ask_id in effects.withdrawn:
            answer = self._answers.pop((partition, stage, key, ask_id), None)
            if answer is not None:
                answer.cancel()
        for question in effects.questions:
            place = (partition, question.stage, question.key, question.ask.ask_id)
            self._answers[place] = asyncio.create_task(self._answer(partition, question))
        metrics.QUESTIONS.labels(self._group.name).set(len(self._answers))
        await self._release(partition)

    async def _release(self, partition: int) -> None:
        """Let collected outputs go once the partition has passed the ends found at takeover."""
        owned = self._owned[partition]
        if owned.task.is_caught_up:
            return
        if all(owned.task.positions[topic] >= end for topic, end in owned.ends.items()):
            for output in owned.task.release():
                await self._write(partition, output)
            metrics.TAKEOVER.labels(self._group.name).observe(time.monotonic() - owned.taken_s)

    async def _write(self, partition: int, output: Output) -> None:
        topic = self._config.prefix + output.topic
        headers = [(CAUSE_HEADER, str(output.cause_ms).encode())]
        await self._outbox.send(topic, partition, output.key, codec.encode(output.record), headers)
        metrics.RECORDS_OUT.labels(self._group.name, output.topic).inc()
        if output.cause_ms > 0:
            seconds = max(time.time() - output.cause_ms / 1_000, 0.0)
            metrics.LATENCY.labels(self._group.name, output.topic).observe(seconds)

    async def _bury(self, topic: str, message: Message, refusal: Exception) -> None:
        """Write a refused record to its dead-letter topic, as it came."""
        partition, offset = message.partition() or 0, message.offset() or 0
        headers = deadletters.headers(topic, partition, offset, self._group.name, refusal)
        dead = self._config.prefix + deadletters.name(topic)
        await self._outbox.send(dead, partition, message.key() or b"", message.value(), list(headers))
        metrics.RECORDS_DEAD.labels(self._group.name, topic).inc()
        _log.error("a record was dead-lettered", extra={"topic": topic, "partition": partition, "offset": offset})

    async def _answer(self, partition: int, question: Question) -> None:
        """Ask the service and feed its answer, unless the partition has changed hands since."""
        task = self._owned[partition].task
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                answer = await self._services[question.ask.service](question.request)
        except TimeoutError:
            answer = Failed("no answer in time")
        except Exception as error:  # noqa: BLE001 - a failure is a reply too; the machine decides what follows
            _log.error("a service failed", extra={"service": question.ask.service, "error": type(error).__name__})
            answer = Failed("the service raised")
        try:
            owned = self._owned.get(partition)
            if owned is not None and owned.task is task:
                self._answers.pop((partition, question.stage, question.key, question.ask.ask_id), None)
                await self._carry_out(partition, task.reply(question.stage, question.key, question.ask, answer))
        except Exception as error:  # noqa: BLE001 - ends the worker: nobody awaits this task
            if not self._failure.done():
                self._failure.set_exception(error)

    async def _beat(self) -> None:
        """Show that the loop goes round."""
        while True:
            self._assignment.beat()
            await asyncio.sleep(BEAT_S)

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        """Copy in one step, then commit on the commit thread while the flow goes on."""
        async with self._committing:
            owned = {n: owned for n, owned in self._owned.items() if owned.task.is_caught_up}
            copies = {n: one.task.checkpoint() for n, one in owned.items() if one.task.has_moved}
            if not copies:
                return
            started_s = time.monotonic()
            work = partial(
                self._commit,
                self._outbox.barrier(),
                [(n, row, value) for n, copy in copies.items() for row, value in copy.rows],
                [
                    TopicPartition(self._config.prefix + topic, n, offset, metadata=str(owned[n].epoch))
                    for n, copy in copies.items()
                    for topic, offset in copy.offsets.items()
                ],
            )
            try:
                await asyncio.get_running_loop().run_in_executor(self._commit_thread, work)
            except CommitRefused as refusal:
                for n, copy in copies.items():
                    owned[n].task.keep(copy)
                metrics.CHECKPOINTS_REFUSED.labels(self._group.name).inc()
                _log.warning("a checkpoint was refused and will be tried again", extra={"reason": str(refusal)})
                return
            metrics.CHECKPOINT.labels(self._group.name).observe(time.monotonic() - started_s)

    def _commit(self, barrier: Barrier, rows: list[tuple[int, bytes, bytes]], offsets: list[TopicPartition]) -> None:
        """On the commit thread: wait for the outputs of the copied states, then write states and offsets."""
        self._outbox.wait(barrier, ANSWER_LIMIT_S)
        changelog = f"{self._config.prefix}changelog.{self._group.name}"
        self._committer.commit(changelog, rows, offsets, self._assignment.group_metadata)

    async def _close(self) -> None:
        self._tables.stop()
        for answer in self._answers.values():
            answer.cancel()
        await asyncio.to_thread(self._outbox.close, 10.0)
        self._commit_thread.shutdown(wait=True)


def _consumer(config: WorkerConfig, group: Group) -> Consumer:
    return clients.consumer(
        config.bootstrap,
        config.prefix + group.name,
        instance_id=config.member,
        protocol=config.group_protocol,
    )
