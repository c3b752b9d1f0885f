"""Topics, workers and readers on a real broker, for the tests of the Kafka engine."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from connectors import tenant_keys
from pipeline.app import SUBJECT_KEY
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.engines.memory import MemoryLog
from pipeline.engines.payloads import Payloads
from pipeline.engines.services import Service
from pipeline.engines.subject_keys import SubjectKeys
from pipeline.errors import EngineFault
from pipeline.machine import Ask, Machine
from pipeline.progress import Progress
from pipeline.topology import Stage, group_of
from topics import clients, codec, deadletters
from topics.catalogue import SUBJECT_KEYS
from topics.clients import GroupProtocol
from topics.keys import partition_of
from topics.records import ContactEvent, Moment, Moments, Record, SegmentWords, Turn, Watermark

DEADLY_EXIT = 9
LIMIT_S = 60.0  # of any wait; the machine is shared
LARGE = 20_000  # characters


@dataclass(slots=True)
class Seen:
    words: int = 0
    events: int = 0
    open: list[str] = field(default_factory=list)


class Counter(Machine[Seen]):
    """Emits for every record how many of each topic its contact has had; refuses the ASR named `poison`.

    A partial is a question, whose answer is a turn; `never mind` withdraws what is open. `hint` and `none` are one set
    each, of one identity. `large` is more than a broker may take, `fault` breaks a promise of the engine, `stuck` the
    loop, `deadly` the process, also as an answer.
    """

    state = Seen

    def on_record(self, state: Seen, record: Record) -> Sequence[Record]:
        match record:
            case SegmentWords(asr="poison" | "fault" | "stuck" | "deadly"):
                fail(record.asr)
            case SegmentWords(is_final=False):
                state.open.append(str(record.first_sample))
                return ()
            case SegmentWords(asr="never mind"):
                state.open.clear()
                return ()
            case SegmentWords(asr="hint" | "none"):
                state.words += 1
                hints = (Moment("p", 1, "b"),) if record.asr == "hint" else ()
                return (Moments("t", record.contact_id, 1, "set", state.words, hints),)
            case SegmentWords(asr="large"):
                state.words += 1
                return (Moments("t", record.contact_id, 1, "x" * LARGE, state.words, ()),)
            case SegmentWords():
                state.words += 1
            case ContactEvent():
                state.events += 1
            case Watermark():
                return ()
        return (Moments("t", record.contact_id, state.words, f"{state.words}/{state.events}", state.events, ()),)

    def on_reply(self, state: Seen, ask: Ask, answer: object) -> Sequence[Record]:
        state.open.remove(ask.ask_id)
        if answer == "deadly":
            fail("deadly")
        at = int(ask.ask_id)
        return (Turn("t", "c", 1, f"turn/{at}", "agent", "agent", at, at, True, (), str(answer), None),)

    def open_asks(self, state: Seen) -> Sequence[Ask]:
        return tuple(Ask(name, "oracle") for name in state.open)

    def request(self, state: Seen, ask: Ask) -> object:
        return ask.ask_id


def fail(how: str) -> NoReturn:
    """Do what no machine may do."""
    if how == "stuck":
        time.sleep(60)
    if how == "deadly":
        os._exit(DEADLY_EXIT)
    raise EngineFault("broken on purpose") if how == "fault" else ValueError(how)


COUNTER = (
    Stage(
        "counter",
        "counter",
        ("transcript.words", "contact.events"),
        ("moments", "transcript.raw"),
        Counter,
        services=("oracle",),
    ),
)


def said(n: int, contact: str = "c", asr: str = "a", *, is_final: bool = True) -> SegmentWords:
    return SegmentWords("t", contact, 1, "agent", n, n + 1, is_final, (), asr, None, rev=1)


@dataclass(frozen=True, slots=True)
class Place:
    """One prefix on one broker."""

    bootstrap: str
    prefix: str
    partitions: int = 1
    protocol: GroupProtocol = "classic"

    def create(self, stages: tuple[Stage, ...], owners: tuple[str, ...] = ()) -> None:
        """Make the topics of some stages, and changelogs of more owners than their group."""
        group = group_of(stages[0].group, stages)
        written = {topic for stage in stages for topic in stage.outputs}
        plain = {SUBJECT_KEYS.name, *group.inputs, *written, *group.tables, *map(deadletters.name, group.inputs)}
        client = clients.admin(self.bootstrap)
        wanted = [NewTopic(self.prefix + topic, self.partitions, 1) for topic in plain]
        wanted += [
            NewTopic(f"{self.prefix}changelog.{owner}", self.partitions, 1, config={"cleanup.policy": "compact"})
            for owner in (group.name, *owners)
        ]
        for created in client.create_topics(wanted).values():
            created.result(LIMIT_S)

    def send(self, records: Iterable[tuple[str, bytes, Record | bytes]]) -> None:
        """Write records, or bytes that are none."""
        producer = clients.producer(self.bootstrap)
        for topic, key, record in records:
            value = record if isinstance(record, bytes) else codec.encode(record)
            producer.produce(self.prefix + topic, value, key, partition_of(key, self.partitions))
        assert 0 == producer.flush(LIMIT_S)

    def messages(self, topics: Sequence[str]) -> Iterator[Message]:
        """Yield what is written, for ever; None where nothing comes for a while is left out."""
        consumer = clients.tail_consumer(self.bootstrap)
        consumer.assign([TopicPartition(self.prefix + topic, n, 0) for topic in topics for n in range(self.partitions)])
        deadline_s = time.monotonic() + LIMIT_S
        try:
            while time.monotonic() < deadline_s:
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    yield message
        finally:
            consumer.close()
        raise TimeoutError("what the test waits for did not come")

    def until(self, topics: Sequence[str], is_done: Callable[[list[Record]], bool]) -> list[Record]:
        """Read records until enough are there."""
        records: list[Record] = []
        payloads = self.payloads
        for message in self.messages(topics):
            records.append(self._record_of(payloads, message))
            if is_done(records):
                return records
        raise AssertionError

    def log(self, topics: Sequence[str], is_done: Callable[[MemoryLog], bool]) -> MemoryLog:
        """Read records until enough are there, as the memory engine's log."""
        log, payloads = MemoryLog(), self.payloads
        for message in self.messages(topics):
            topic = (message.topic() or "").removeprefix(self.prefix)
            log.append(topic, message.key() or b"", self._record_of(payloads, message), message.timestamp()[1])
            if is_done(log):
                return log
        raise AssertionError

    @property
    def payloads(self) -> Payloads:
        """What opens what workers of this folder have sealed."""
        find = partial(tenant_keys.find, tenant_keys.made_at(SUBJECT_KEY))
        return Payloads(SubjectKeys(self.bootstrap, self.prefix, find))

    def _record_of(self, payloads: Payloads, message: Message) -> Record:
        topic = (message.topic() or "").removeprefix(self.prefix).removesuffix(".dead")
        return payloads.decode(topic, message.key() or b"", message.value() or b"")

    def committed(self, group: str, topics: Sequence[str]) -> list[TopicPartition]:
        """Return what a group has committed."""
        consumer = clients.tail_consumer(self.bootstrap, **{"group.id": self.prefix + group})
        wanted = [TopicPartition(self.prefix + topic, n) for topic in topics for n in range(self.partitions)]
        try:
            return consumer.committed(wanted, timeout=LIMIT_S)
        finally:
            consumer.close()

    @asynccontextmanager
    async def working(
        self,
        stages: tuple[Stage, ...],
        member: str = "one",
        services: Mapping[str, Service] | None = None,
        progress: Progress | None = None,
    ) -> Any:  # an async iterator of KafkaWorker, which the decorator turns into a context manager
        """Run a worker in this process; leave it with a drain."""
        config = WorkerConfig(self.bootstrap, self.prefix, self.prefix + member, self.protocol)
        worker = KafkaWorker(config, group_of(stages[0].group, stages), services or {"oracle": echo}, progress)
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not worker.is_ready and not running.done():
                    await asyncio.sleep(0.02)
            yield worker, running
        finally:
            stop.set()
            await asyncio.wait({running}, timeout=LIMIT_S)
        if running.done() and not running.cancelled():
            running.result()


async def echo(request: object) -> object:
    """Answer with the question."""
    return request
