"""The Kafka engine: one worker process of one group.

Owns the event loop's side of a worker: feeding tasks, writing their outputs, asking services, checkpoints about once
a second. The consumer and everything that must run on its thread is in `assignment.py`; delivery of outputs in
`outbox.py`; the logic of a partition in `task.py`. The guarantee it follows is modelled in `memory.py`.

A step of a task and the hand-over of its outputs are one step of the loop: nothing comes between, so a checkpoint
copies states and knows every output that they imply.

A fault that a task cannot outlive (failed delivery, fenced epoch, stuck loop) ends the process without a checkpoint;
the supervisor starts it again under the same static member id, and the takeover restores the last one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from pipeline import metrics
from pipeline.engines import failpoints
from pipeline.engines.assignment import Assignment, Position
from pipeline.engines.commits import CommitRefused, Committer, metadata
from pipeline.engines.effects import Checkpoint, Effects, Input, Output, Question
from pipeline.engines.intake import Arrival, Intake
from pipeline.engines.membership import Orphans
from pipeline.engines.outbox import Outbox
from pipeline.engines.payloads import PLAIN, Payloads
from pipeline.engines.services import Service, ask
from pipeline.engines.tables import Tables
from pipeline.engines.task import Task
from pipeline.errors import EngineFault, PeerUnavailable, RecordRefused
from pipeline.progress import Place, Progress
from pipeline.topology import Group
from topics import clients, codec, deadletters
from topics.catalogue import changelog
from topics.clients import GroupProtocol

_Asked = tuple[int, str, bytes, str]  # partition, stage, key and ask id of a question

CHECKPOINT_S = 1.0
BEAT_S = 0.25
SLICE_S = 0.02  # of the loop's time for records before answers, checkpoints and the health page get theirs
DELIVERY_LIMIT_S = 60.0
# Of records that wait for the broker; audio of 300 contacts fills it in seconds, then their streams have to wait.
QUEUE_KB = 64 << 10
FULL_QUEUE_WAIT_S = 0.1  # between two looks of each question that waits for room
# So many contacts in a row whose record is refused are no longer bad records but a wrong schema or stage.
REFUSED_LIMIT = 100
CAUSE_HEADER = "cause-ms"  # broker time of the input that led to a record

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Who this worker is.

    Attributes:
        bootstrap: the broker's address.
        prefix: put before every topic, group and member name; the generation's.
        member: static member id, `<host>-<group>-<n>`; also the transactional id.
        group_protocol: `classic` (cooperative-sticky, static members) or `consumer` (KIP-848).
        tables_prefix: before global tables, which all generations share; None where it is the same prefix.
    """

    bootstrap: str
    prefix: str
    member: str
    group_protocol: GroupProtocol = "classic"
    tables_prefix: str | None = None

    def table(self, name: str) -> str:
        """Return the topic of a global table."""
        return (self.prefix if self.tables_prefix is None else self.tables_prefix) + name


@dataclass(slots=True)
class _Owned:
    """One assigned partition."""

    task: Task
    ends: dict[str, int]
    taken_s: float

    @property
    def has_passed(self) -> bool:
        """Whether the ends found at takeover are behind it."""
        return all(self.task.positions[topic] >= end for topic, end in self.ends.items())


class KafkaWorker:
    """See the module."""

    def __init__(
        self,
        config: WorkerConfig,
        group: Group,
        services: Mapping[str, Service],
        progress: Progress | None = None,
        payloads: Payloads = PLAIN,
    ) -> None:
        """Make the clients; nothing is consumed before `run`.

        Args:
            config: who this worker is.
            group: its stages.
            services: what they ask, by name.
            progress: what its supervisor will know of this life; None where there is no supervisor.
            payloads: what seals restricted topics.
        """
        self._payloads = payloads
        self._config = config
        self._group = group
        self._services = services
        self._progress = progress
        self._machines = {stage.name: stage.machine() for stage in group.stages}
        self._intake = Intake(config.prefix, self._machines, self._task_of, payloads, seals=group.is_restricted)
        self._owned: dict[int, _Owned] = {}
        self._answers: dict[_Asked, asyncio.Task[None]] = {}
        # Of these, the questions that something waits for, with the record that led to them in a careful life; the
        # others wait for news of the world.
        self._causes: dict[_Asked, Place | None] = {}
        self._refused_in_row = 0
        self._is_in_doubt = False  # a step did not come to its end: its states or outputs may be half there
        self._outbox = Outbox(
            clients.producer(
                config.bootstrap, **clients.lingering(group.gather_ms), **{"queue.buffering.max.kbytes": QUEUE_KB}
            )
        )
        self._committer = Committer(
            lambda told: clients.transactional_producer(config.bootstrap, config.member, error_cb=told)
        )
        self._commit_thread = ThreadPoolExecutor(1, "commit")
        self._committing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        consumer, orphans = _consumer(config, group), _orphans(config, group)
        self._assignment = Assignment(consumer, config.bootstrap, config.prefix, group, self, orphans)
        self._table_of = {config.table(table): table for table in group.tables}
        self._tables = Tables(config.bootstrap, list(self._table_of), self._hand_over)
        self._metrics = metrics.GroupMetrics(group.name)

    @property
    def is_ready(self) -> bool:
        """Whether it has joined its group and every partition that it was given has caught up."""
        return self._assignment.is_joined and all(owned.task.is_caught_up for owned in self._owned.values())

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions this worker holds."""
        return tuple(sorted(self._owned))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then write a last checkpoint and leave.

        Raises:
            PeerUnavailable: the broker or a delivery failed for good.
            Fenced: another process holds this member id.
            EngineFault: a promise of the engine is broken, or nearly every record is refused.
        """
        stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        opening = asyncio.create_task(asyncio.to_thread(self._open))
        beside: list[asyncio.Future[Any]] = [stopping]
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                beside += [asyncio.create_task(self._beat()), asyncio.create_task(self._checkpoints())]
                await self._work({*beside, self._assignment.ended, self._failure})
        finally:
            for task in beside:
                task.cancel()
            self._close()

    def _open(self) -> None:
        self._committer.open()
        self._payloads.load()
        self._tables.load()

    async def _work(self, watched: set[asyncio.Future[Any]]) -> None:
        """Consume until something in `watched` ends; give partitions up in order, or at once after a fault."""
        self._assignment.start()
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
            await self._assignment.stop()
        except BaseException:  # also a cancellation: a failed worker writes no checkpoint
            await self._assignment.abandon()
            raise

    # Called by `Assignment` on the loop.

    async def begin(self, partition: int, position: Position) -> None:
        """Own a partition: restore its task, catch up, release."""
        task = Task(self._group, self._machines, position.epoch, position.offsets)
        for row, value in position.rows.items():
            task.restore(row, value)
        owned = self._owned[partition] = _Owned(task, position.ends, time.monotonic())
        self._metrics.partitions.set(len(self._owned))
        for message in position.again:
            given = self._intake.read(message).given
            if isinstance(given, Input):
                self._carry_out(partition, owned, task.hear_again(given))
        self._carry_out(partition, owned, task.resume())
        await self._outbox.room()

    async def end(self, partitions: list[int], *, is_lost: bool) -> None:
        """Give partitions up, with a last checkpoint unless they are already somebody else's."""
        if not is_lost:
            await self._checkpoint()
        for partition in partitions:
            self._owned.pop(partition, None)
            for place in [place for place in self._answers if place[0] == partition]:
                self._forget(place)
        self._metrics.partitions.set(len(self._owned))

    def opened(self, rows: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Read rows of the changelog, on the consumer's thread."""
        return self._payloads.open_rows(self._group.name, rows)

    def portions(self, batch: Sequence[Message]) -> Iterator[Sequence[Arrival]]:
        """Read a batch, on the consumer's thread."""
        return self._intake.portions(batch, is_careful=self._is_careful)

    def take(self, portion: Sequence[Arrival]) -> Sequence[Arrival]:
        """Feed a portion, oldest first, for a slice of the loop's time, or until the producer's queue is full."""
        until_s = time.monotonic() + SLICE_S
        try:
            for at, arrival in enumerate(portion):
                if not self._outbox.has_room() or time.monotonic() > until_s:
                    return portion[at:]
                if self._is_careful and self._must_wait(arrival):
                    return portion[at:]
                self._take(arrival)
        except Exception:  # whatever it is, it ends the worker; until then no checkpoint may pass this record
            self._is_in_doubt = True
            raise
        return ()

    def _must_wait(self, arrival: Arrival) -> bool:
        """Whether a careful worker takes nothing now: what is suspected is alone until its answers are there."""
        assert self._progress is not None  # it is careful
        suspects = (_place(arrival), *filter(None, self._causes.values()))
        return bool(self._causes) and any(map(self._progress.is_suspected, suspects))

    def _take(self, arrival: Arrival) -> None:
        topic, partition, given = arrival.topic, arrival.partition, arrival.given
        owned = self._owned.get(partition)
        if owned is None or arrival.offset < owned.task.positions[topic]:
            return
        self._metrics.records_in(topic).inc()
        if isinstance(given, RecordRefused):
            owned.task.skip(topic, arrival.offset)
            effects = Effects(refusal=given)
        else:
            effects = self._feed(owned.task, _place(arrival), given)
        self._carry_out(partition, owned, effects, _place(arrival) if self._is_careful else None)
        if effects.refusal is None:
            self._refused_in_row = 0
        else:
            self._bury(arrival, effects)

    def _task_of(self, partition: int) -> Task | None:
        owned = self._owned.get(partition)
        return owned.task if owned else None

    def _topic_of(self, message: Message) -> str:
        return (message.topic() or "").removeprefix(self._config.prefix)

    @property
    def _is_careful(self) -> bool:
        return self._progress is not None and self._progress.is_careful

    def _feed(self, task: Task, place: Place, given: Input) -> Effects:
        """Feed one record, unless this worker is careful and the record is known to end it."""
        careful = self._progress if self._progress is not None and self._progress.is_careful else None
        if careful and careful.has_killed(place, self._causes.values()):
            return task.refuse(given, RecordRefused("the record has ended its worker twice"))
        return task.feed(given)

    def _hand_over(self, message: Message) -> None:
        """Take one record of a global table to the loop: `on_global` never runs beside `on_record`."""
        self._loop.call_soon_threadsafe(self._load, message)

    def _load(self, message: Message) -> None:
        table = self._table_of[message.topic() or ""]
        try:
            record = codec.decode(message.value() or b"")
            for stage in self._group.stages:
                if table in stage.tables:
                    self._machines[stage.name].on_global(record)
        except RecordRefused as refusal:
            _log.error("a record of a global table was refused", extra={"topic": table, "reason": str(refusal)})

    def _carry_out(self, partition: int, owned: _Owned, effects: Effects, cause: Place | None = None) -> None:
        if effects.outputs:
            failpoints.reach("decided")
        for output in effects.outputs:
            self._write(partition, output)
        for stage, key, ask_id in effects.withdrawn:
            self._forget((partition, stage, key, ask_id))
        for question in effects.questions:
            place = (partition, question.stage, question.key, question.ask.ask_id)
            self._answers[place] = asyncio.create_task(self._answer(partition, owned, question))
            if not question.ask.is_standing:
                self._causes[place] = cause
            self._answers[place].add_done_callback(self._note_failure)
        if effects.questions or effects.withdrawn:
            self._metrics.questions.set(len(self._answers))
        if not owned.task.is_caught_up and owned.has_passed:
            self._release(partition, owned)

    def _release(self, partition: int, owned: _Owned) -> None:
        """Let collected outputs go once the partition has passed the ends found at takeover."""
        for output in owned.task.release():
            self._write(partition, output)
        failpoints.reach("released")
        self._metrics.takeover.observe(time.monotonic() - owned.taken_s)

    def _write(self, partition: int, output: Output) -> None:
        topic = self._config.prefix + output.topic
        headers = [(CAUSE_HEADER, b"%d" % output.cause_ms)]
        value = self._payloads.encode(output.topic, output.key, output.record)
        self._outbox.put(topic, partition, output.key, value, headers)
        self._metrics.count_output(output.topic, output.record, output.cause_ms)

    def _bury(self, arrival: Arrival, effects: Effects) -> None:
        """Write a refused record to its dead-letter topic, as it came.

        Raises:
            EngineFault: too many in a row, of contacts that were not shut before.
        """
        assert effects.refusal is not None  # that is why it is called
        topic, partition, offset, message = arrival.topic, arrival.partition, arrival.offset, arrival.message
        headers = deadletters.headers(topic, partition, offset, self._group.name, effects.refusal)
        self._outbox.put(
            self._config.prefix + deadletters.name(topic), partition, message.key() or b"", message.value(), headers
        )
        self._metrics.records_dead(topic).inc()
        _log.error("a record was dead-lettered", extra={"topic": topic, "partition": partition, "offset": offset})
        self._refused_in_row += not effects.is_follower
        if self._refused_in_row >= REFUSED_LIMIT:
            raise EngineFault(f"{REFUSED_LIMIT} records in a row were refused")

    async def _answer(self, partition: int, owned: _Owned, question: Question) -> None:
        """Ask the service and feed its answer, unless the partition has changed hands since.

        A full producer queue holds questions back: each answer may bring outputs, and the next question.
        """
        while not self._outbox.has_room():
            await asyncio.sleep(FULL_QUEUE_WAIT_S)
        answer = await ask(self._services, question)
        if self._owned.get(partition) is not owned:
            return
        place = (partition, question.stage, question.key, question.ask.ask_id)
        self._answers.pop(place, None)
        cause = self._causes.pop(place, None)
        try:
            effects = owned.task.reply(question.stage, question.key, question.ask, answer)
            self._carry_out(partition, owned, effects, cause)
        except Exception:  # as in `take`
            self._is_in_doubt = True
            raise
        self._metrics.questions.set(len(self._answers))

    def _forget(self, place: _Asked) -> None:
        """Wait for an answer no longer."""
        self._causes.pop(place, None)
        answer = self._answers.pop(place, None)
        if answer is not None:
            answer.cancel()

    def _note_failure(self, answer: asyncio.Task[None]) -> None:
        """End the worker with what an answer's task raised: nobody awaits it."""
        if not answer.cancelled() and (error := answer.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    async def _beat(self) -> None:
        """Show that the loop goes round, and see to what a full queue has left and whether a commit hangs.

        Raises:
            PeerUnavailable: it does; the supervisor starts a process whose producer is sound.
        """
        while True:
            self._assignment.beat()
            if self._committer.is_hung(time.monotonic()):
                raise PeerUnavailable("a call of the transactional producer does not return")
            self._outbox.push()
            await asyncio.sleep(BEAT_S)

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            if await self._checkpoint() and self.is_ready and self._progress is not None:
                self._progress.note()

    async def _checkpoint(self) -> bool:
        """Copy each task in one step of its own, then commit on the commit thread while the flow goes on.

        The group metadata is older than every copy: later metadata could vouch for copies of a partition that has
        changed hands since. The barrier is younger than every copy, so it holds all outputs that they imply.

        Nothing is copied after a fault: between it and the end of the worker, a checkpoint would be past its record.

        Returns:
            False if the broker refused it; the next one takes its place.
        """
        async with self._committing:
            if self._is_in_doubt:
                return False
            tasks = {n: one.task for n, one in self._owned.items() if one.task.is_caught_up and one.task.has_moved}
            if not tasks:
                return True
            started_s = time.monotonic()
            group, copies = self._assignment.group_metadata, {}
            for n, task in tasks.items():
                copies[n] = task.checkpoint()
                await asyncio.sleep(0)  # a copy takes milliseconds, and records wait
                if self._is_in_doubt:
                    return False
            work = self._transaction(tasks, copies, group)
            try:
                await self._loop.run_in_executor(self._commit_thread, work)
            except CommitRefused as refusal:
                for n, copy in copies.items():
                    tasks[n].keep(copy)
                self._metrics.checkpoints_refused.inc()
                _log.warning("a checkpoint was refused and will be tried again", extra={"reason": str(refusal)})
                return False
            self._metrics.checkpoint.observe(time.monotonic() - started_s)
            return True

    def _transaction(
        self,
        tasks: dict[int, Task],
        copies: dict[int, Checkpoint],
        group: Any,  # noqa: ANN401 - confluent-kafka's opaque ConsumerGroupMetadata
    ) -> Callable[[], None]:
        """Gather all that the commit needs; what it does runs on the commit thread."""
        name, seals = self._group.name, self._group.is_restricted
        barrier = self._outbox.barrier()
        rows = [(n, row, value) for n, copy in copies.items() for row, value in copy.rows]
        offsets = [
            TopicPartition(self._config.prefix + topic, n, offset, metadata=metadata(tasks[n].epoch, copy.name))
            for n, copy in copies.items()
            for topic, offset in copy.offsets.items()
        ]

        def commit() -> None:
            failpoints.reach("copied")
            kept = [(n, row, self._payloads.seal_row(name, row, value)) for n, row, value in rows] if seals else rows
            self._outbox.wait(barrier, DELIVERY_LIMIT_S)
            failpoints.reach("delivered")
            self._committer.commit(self._config.prefix + changelog(name), kept, offsets, group)

        return commit

    def _close(self) -> None:
        """Stop what runs beside; a commit that hangs ends with the process."""
        self._tables.stop()
        self._payloads.stop()
        for answer in self._answers.values():
            answer.cancel()
        self._commit_thread.shutdown(wait=False)
        self._outbox.close(0.0)


def _place(arrival: Arrival) -> Place:
    return arrival.topic, arrival.partition, arrival.offset


def _consumer(config: WorkerConfig, group: Group) -> Consumer:
    return clients.consumer(
        config.bootstrap,
        config.prefix + group.name,
        instance_id=config.member,
        protocol=config.group_protocol,
        **clients.gathering(group.gather_ms),
    )


def _orphans(config: WorkerConfig, group: Group) -> Orphans:
    member = config.member if config.group_protocol == "classic" else None
    return Orphans(config.bootstrap, config.prefix + group.name, [config.prefix + group.inputs[0]], member)
