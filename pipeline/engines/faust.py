"""The Faust engine: one worker process of one group, on stock `faust-streaming`.

An app is a group: one agent with one table a stage (`faust_stage.py`), under the group's own name, so the broker keeps
workers of another engine out of it. Delivery is at least once; docs/decisions/0007-faust.md says what may come again.

It runs inside a supervised process (`FaustWorker.run`) or under `faust worker` (`pipeline/faust_apps.py`), with the
same hooks: partitions are given up when they are revoked, and taken when Faust has read the changelogs and nothing
flows yet.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from confluent_kafka import Message

from pipeline import metrics
from pipeline.engines.faust_stage import App, FaustStage, Owner, Start
from pipeline.engines.kafka import WorkerConfig
from pipeline.engines.payloads import PLAIN, Payloads
from pipeline.engines.services import Service
from pipeline.engines.tables import Tables
from pipeline.engines.watchdog import Watchdog
from pipeline.errors import EngineFault, InputError, PeerUnavailable, RecordRefused, TrunklineError
from pipeline.progress import Progress
from pipeline.topology import Group
from topics import clients, codec

BEAT_S = 0.25
CHECKPOINT_S = 0.25
LOOK_S = 0.5  # between two looks for records that Faust has dropped
COMMIT_S = 0.5
SESSION_S = 6.0
HEARTBEAT_S = 1.0
STOP_S = 10.0  # below the supervisor's patience
FOLDER = Path(".trunkline/faust")  # Faust wants one; tables are in memory, so it holds no file

NOT_EXACTLY_ONCE = (
    "Faust's exactly_once is refused: 0.15.3 doubled records in 2 of 2 set-ups and lost some in 1 of 3"
    " (faust-streaming issues 177, 323, 440, 517); at_least_once is what this engine runs with"
)


class FaustWorker:
    """See the module."""

    def __init__(
        self,
        config: WorkerConfig,
        group: Group,
        services: Mapping[str, Service],
        progress: Progress | None = None,
        payloads: Payloads = PLAIN,
    ) -> None:
        """Declare the app; nothing is consumed before `run` or `faust worker`.

        Args:
            config: who this worker is.
            group: its stages.
            services: what they ask, by name.
            progress: what its supervisor will know of this life; None where there is no supervisor.
            payloads: what seals restricted topics.

        Raises:
            InputError: Faust's own setting asks for exactly_once.
        """
        self.app = _app(config, group)
        self._prefix = config.prefix
        self._progress = progress
        self._payloads = payloads
        owner = Owner(services, self._fail, payloads, progress)
        self._stages = [FaustStage(self.app, config.prefix, stage, owner) for stage in group.stages]
        tables = [config.prefix + table for table in group.tables]
        self._tables = Tables(config.bootstrap, tables, self._hand_over)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchdog = Watchdog()
        self._has_begun = False
        self._revocations = 0
        self._crash: asyncio.Future[None] | None = None
        self._checkpointing = asyncio.Lock()  # two at once would lose sight of outputs that a row implies
        self._metrics = metrics.GroupMetrics(group.name)
        self.app.on_rebalance_complete.connect(self._begin)
        self.app.on_partitions_revoked.connect(self._end)
        self.app.timer(CHECKPOINT_S)(self._checkpoint)
        self.app.timer(LOOK_S)(self._look)

    @property
    def is_ready(self) -> bool:
        """Whether it has joined its group and every partition that it was given has caught up."""
        return self._has_begun and all(stage.is_caught_up for stage in self._stages)

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions this worker holds."""
        return tuple(sorted({n for stage in self._stages for n in stage.assigned}))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then write what is known and leave.

        Raises:
            PeerUnavailable: the broker or a delivery failed for good.
            EngineFault: a promise of the engine is broken, or nearly every record is refused.
        """
        self.app.finalize()
        work: asyncio.Future[Any] = asyncio.create_task(self._work())
        stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            await self._checkpoint()
        finally:
            stopping.cancel()
            self._watchdog.stop()
            self._tables.stop()
            self._payloads.stop()
            await asyncio.wait({asyncio.create_task(self.app.stop())}, timeout=STOP_S)
            work.cancel()

    async def _work(self) -> None:
        """Start the app and wait until it ends by itself, which it does after a fault alone."""
        try:
            await self.app.start()
            await self.app.wait_until_stopped()
        except Exception as fault:  # noqa: BLE001 - a library's text may quote a record, its class may not
            raise _told(fault) from None
        raise _told(self.app.crash_reason)

    def _fail(self, fault: Exception) -> None:
        """End the worker with the first fault; from here on nothing is fed, written or acknowledged."""
        self._end_all()
        if self._crash is None:
            self._crash = asyncio.ensure_future(self.app.crash(_told(fault)))

    async def _begin(self, *_: object, **__: object) -> None:
        """Take the partitions over."""
        self._end_all()
        revocations = self._revocations
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self.app.add_future(self._beat())
            await asyncio.to_thread(self._payloads.load)
            await asyncio.to_thread(self._tables.load)
        starts = await self._starts()
        for stage in self._stages:
            held = {n: _part(start, stage.stage.inputs) for n, start in starts.items()}
            await stage.begin({n: start for n, start in held.items() if len(start.offsets) == len(stage.stage.inputs)})
        if revocations != self._revocations:  # meanwhile; the next rebalance begins anew
            self._end_all()
            return
        self._has_begun = True
        self._metrics.partitions.set(len(self.assigned))

    async def _end(self, *_: object, **__: object) -> None:
        """Give the partitions up; rows that are under way are in the changelog before anybody else reads it."""
        self._revocations += 1
        self._end_all()
        await self.app.producer.flush()

    def _end_all(self) -> None:
        self._has_begun = False
        for stage in self._stages:
            stage.end()

    async def _checkpoint(self) -> None:
        async with self._checkpointing:
            try:
                await asyncio.gather(*(stage.checkpoint(self._watchdog.beat) for stage in self._stages))
            except Exception as fault:  # whatever it is, it ends the worker
                self._fail(fault)
                raise
        if self._progress is not None and self.is_ready:
            self._progress.note()
        self._metrics.questions.set(sum(stage.questions for stage in self._stages))

    async def _beat(self) -> None:
        """Show that the loop goes round."""
        self._watchdog.start()
        while True:
            self._watchdog.beat()
            await asyncio.sleep(BEAT_S)

    async def _look(self) -> None:
        """Read again what should have come: Faust 0.15.3 may drop what it reads while it resumes from a rebalance."""
        if self.app.rebalancing:
            return
        consumer = self.app.consumer
        for tp in consumer.assignment():
            topic = tp.topic.removeprefix(self._prefix)
            missing = [
                at
                for one in self._stages
                if (at := one.missing(topic, tp.partition, consumer.highwater(tp))) is not None
            ]
            if missing:
                with suppress(IllegalStateError):  # it was revoked a moment ago
                    await consumer.seek(tp, min(missing))

    async def _starts(self) -> dict[int, Start]:
        """Return where each assigned partition begins.

        Raises:
            EngineFault: records were lost to retention; Faust itself would go on behind them.
        """
        consumer = self.app.consumer
        inputs = {self._prefix + topic: topic for stage in self._stages for topic in stage.stage.inputs}
        held = [tp for tp in consumer.assignment() if tp.topic in inputs]
        if not held:
            return {}
        committed = await consumer.seek_to_committed()
        first, ends = await asyncio.gather(consumer.earliest_offsets(*held), consumer.highwaters(*held))
        starts: defaultdict[int, Start] = defaultdict(lambda: Start({}, {}))
        for tp in held:
            at = committed.get(tp)
            if at is not None and 0 <= at < first[tp]:
                raise EngineFault(clients.LOST)
            starts[tp.partition].offsets[inputs[tp.topic]] = first[tp] if at is None or at < 0 else at
            starts[tp.partition].ends[inputs[tp.topic]] = ends[tp]
        return starts

    def _hand_over(self, message: Message) -> None:
        """Take one record of a global table to the loop: a machine is never in two threads."""
        assert self._loop is not None  # `_begin` has set it
        self._loop.call_soon_threadsafe(self._load, message)

    def _load(self, message: Message) -> None:
        table = (message.topic() or "").removeprefix(self._prefix)
        try:
            record = codec.decode(message.value() or b"")
            for stage in self._stages:
                if table in stage.stage.tables:
                    stage.machine.on_global(record)
        except RecordRefused:
            self._metrics.records_dead(table).inc()


def _app(config: WorkerConfig, group: Group) -> App:
    FOLDER.parent.mkdir(exist_ok=True)
    app: App = faust.App(
        config.prefix + group.name,
        broker=[f"kafka://{address}" for address in config.bootstrap.split(",")],
        consumer_group_instance_id=config.member,
        processing_guarantee="at_least_once",
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_commit_interval=COMMIT_S,
        consumer_max_fetch_size=clients.MESSAGE_LIMIT_BYTES,
        producer_max_request_size=clients.MESSAGE_LIMIT_BYTES,
        stream_wait_empty=False,  # a stop would wait for the audio that is held back
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        datadir=FOLDER,
        web_enabled=False,
        web_bind="127.0.0.1",  # `faust worker` starts it all the same, unless it is told not to
        autodiscover=False,
    )
    if app.conf.processing_guarantee.value != "at_least_once":  # Faust's own variables win over these arguments
        raise InputError(NOT_EXACTLY_ONCE)
    return app


def _part(start: Start, topics: tuple[str, ...]) -> Start:
    """Return what concerns one stage."""
    return Start(
        {topic: start.offsets[topic] for topic in topics if topic in start.offsets},
        {topic: start.ends[topic] for topic in topics if topic in start.ends},
    )


def _told(fault: BaseException | None) -> TrunklineError:
    """Return the fault as one of ours, in static words."""
    if isinstance(fault, TrunklineError):
        return fault
    return PeerUnavailable(f"Faust ended: {type(fault).__name__}")
