"""`trunkline call`: one recorded call through the whole pipeline, and its files.

Owns the order of things (check, start, play, wait, collect, write, stop) for every engine. On Kafka, whichever engine
runs there, the call has topics and groups of its own, under a prefix, and the stages run in supervised worker
processes.
"""

import asyncio
import resource
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import TopicPartition

from connectors import files
from connectors.files import Call, Due
from pipeline import app, environment, latency, recognisers, results
from pipeline.embedded import broker_for
from pipeline.engines.kafka import CAUSE_HEADER
from pipeline.engines.memory import MemoryEngine, MemoryLog
from pipeline.engines.tables import read_whole
from pipeline.errors import PeerUnavailable
from pipeline.play import play
from pipeline.readiness import wait_ready
from pipeline.results import Entry
from pipeline.running import RUN_DIR
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from pipeline.topology import STAGES, Stage, group_names
from topics import admin, clients, codec
from topics.catalogue import TOPICS
from topics.keys import contact_key
from topics.records import Guidance, Policy, Record


def of_a_call(rows: Iterable[Stage]) -> tuple[Stage, ...]:
    """Leave out what a call from files does not need: they are its source and archive, and nobody reads it live."""
    return tuple(stage for stage in rows if stage.group not in {"capture", "contacts", "archive", "verification"})


STAGES_OF_A_CALL = of_a_call(STAGES)
_PARTITIONS = 1  # one contact has one key
_WAIT_S = 0.2
_FULL_QUEUE_WAIT_S = 0.01

SHOWN = ("transcript.redacted", "guidance")
Show = Callable[[Record], None]


def _ignore(_: Record) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call to run, checked.

    Attributes:
        call: both tracks.
        contact_id: names the contact everywhere.
        tenant: whose policies apply.
        policies: to publish before the call.
        speed: N times real time; 0 as fast as the pipeline accepts.
        keep: leave the call's topics on the broker.
    """

    call: Call
    contact_id: str
    tenant: str
    policies: tuple[Policy, ...]
    speed: float
    keep: bool

    @property
    def key(self) -> bytes:
        """The key of all records of the call."""
        return contact_key(self.tenant, self.contact_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: its records, when audio time 0 was, and what it cost."""

    entries: list[Entry]
    started_ms: int
    wall_s: float
    cpu_s: float


async def run(request: Request, settings: Settings, out: Path, *, is_in_memory: bool) -> Outcome:
    """Run the call, on the memory engine or on the one that the settings name, and write its files.

    Raises:
        PeerUnavailable: the broker or a worker failed for good.
    """
    before_cpu_s, before_s = _cpu_s(), time.monotonic()
    ran = in_memory(request, settings) if is_in_memory else _on_kafka(request, settings)
    entries, started_ms = await ran
    outcome = Outcome(entries, started_ms, time.monotonic() - before_s, _cpu_s() - before_cpu_s)
    counted_ms = started_ms if request.speed == 1 else 0
    figures = latency.figures(entries, counted_ms, outcome.wall_s, outcome.cpu_s, request.call.duration_ms / 1_000)
    results.write(out, results.files(request.call, request.contact_id, entries, figures))
    return outcome


async def in_memory(request: Request, settings: Settings, show: Show = _ignore) -> tuple[list[Entry], int]:
    """Run the call on the memory engine; returns every record and when audio time 0 was."""
    log = MemoryLog(_now_ms) if request.speed else MemoryLog()
    services = app.services(settings, ("asr",), is_paced=request.speed > 0)
    engine = MemoryEngine(services, of_a_call(app.stages(settings)), log)
    log.on_append = lambda topic, record: show(record) if topic in SHOWN else None
    for policy in request.policies:
        log.append("policies", b"", policy)
    engine.start()
    # A streaming recogniser may have nothing to say before the next record, which `settle` would wait for.
    is_beside = request.speed > 0 or bool(recognisers.streaming(settings))

    async def send(due: Due) -> None:
        log.append(due.topic, request.key, due.record)
        await (engine.pump() if is_beside else engine.settle())

    started_ms = await play(_records(request), request.speed, send)
    await engine.finish()
    entries = [
        Entry(topic, offset, one.key, one.record, one.written_ms, one.cause_ms)
        for topic, written in log.topics.items()
        for offset, one in enumerate(written)
    ]
    return entries, started_ms


async def _on_kafka(request: Request, settings: Settings) -> tuple[list[Entry], int]:
    async with broker_for(settings) as bootstrap:
        prefix = f"{settings.topic_prefix}call-{uuid.uuid4().hex[:8]}."
        changes = {"kafka_bootstrap": bootstrap, "topic_prefix": prefix, "partitions": _PARTITIONS}
        own = settings.model_copy(update=changes)
        with topics_for(own, keep=request.keep):
            await asyncio.to_thread(publish_policies, own, request.policies)
            with Supervisor(own, RUN_DIR) as supervisor:
                for group in group_names(STAGES_OF_A_CALL):
                    supervisor.start(group)
                await wait_ready(supervisor)
                started_ms = await send_and_follow(request, own, supervisor)
            return await asyncio.to_thread(collect, own), started_ms


async def send_and_follow(request: Request, settings: Settings, supervisor: Supervisor, show: Show = _ignore) -> int:
    """Play the call and show what comes of it, until its summary, the last record, has come.

    Returns:
        When audio time 0 was (see `play`).
    """
    sent = send(request, settings)
    started_ms, _ = await asyncio.gather(sent, follow(request, settings, supervisor, show))
    return started_ms


@contextmanager
def topics_for(settings: Settings, *, keep: bool) -> Iterator[None]:
    """Apply the declared topics under a prefix of its own, and take them away again."""
    environment.apply(settings, environment.plan(settings))
    try:
        yield
    finally:
        if not keep:
            admin.remove(settings.kafka_bootstrap, settings.topic_prefix)


def publish_policies(settings: Settings, versions: Sequence[Policy]) -> None:
    """Write policy versions to the global table."""
    producer = clients.producer(settings.kafka_bootstrap)
    for policy in versions:
        key = f"{policy.tenant}/{policy.policy_id}/{policy.version}".encode()
        producer.produce(settings.topic_prefix + "policies", codec.encode(policy), key)
    if producer.flush(clients.PATIENCE_S):
        raise PeerUnavailable("the broker did not take the policies")


async def send(request: Request, settings: Settings) -> int:
    """Send the call's records as they are due; return when audio time 0 was (see `play`)."""
    producer, payloads = clients.producer(settings.kafka_bootstrap), app.payloads(settings)

    async def send(due: Due) -> None:
        value = payloads.encode(due.topic, request.key, due.record)
        while True:
            try:
                producer.produce(settings.topic_prefix + due.topic, value, request.key)
            except BufferError:
                await asyncio.sleep(_FULL_QUEUE_WAIT_S)
            else:
                break
        producer.poll(0)

    started_ms = await play(_records(request), request.speed, send)
    if await asyncio.to_thread(producer.flush, 30):
        raise PeerUnavailable("the broker did not take the audio")
    return started_ms


async def follow(request: Request, settings: Settings, supervisor: Supervisor, show: Show) -> None:
    """Show what may be shown until the summary comes, which is written after everything else is decided."""
    consumer = clients.tail_consumer(settings.kafka_bootstrap)
    last = f"{request.contact_id}/summary"
    consumer.assign(
        [TopicPartition(settings.topic_prefix + topic, n, 0) for topic in SHOWN for n in range(settings.partitions)]
    )
    try:
        while True:
            supervisor.check()
            message = await asyncio.to_thread(consumer.poll, _WAIT_S)
            if message is None or message.error() is not None:
                continue
            record = codec.decode(message.value() or b"")
            show(record)
            if isinstance(record, Guidance) and record.cause_id == last:
                return
    finally:
        consumer.close()


def collect(settings: Settings, topics: Sequence[str] = tuple(TOPICS)) -> list[Entry]:
    """Read every record of an environment's topics."""
    partitions = [
        TopicPartition(settings.topic_prefix + topic, n)
        for topic in topics
        for n in range(settings.partitions if TOPICS[topic].is_keyed else 1)
    ]
    entries, payloads = [], app.payloads(settings)
    for message in read_whole(settings.kafka_bootstrap, partitions):
        topic = (message.topic() or "").removeprefix(settings.topic_prefix)
        headers, key = dict(message.headers() or []), message.key() or b""
        record = payloads.decode(topic, key, message.value() or b"")
        cause_ms = int(headers.get(CAUSE_HEADER) or 0)
        written_ms = message.timestamp()[1]
        entries.append(Entry(topic, message.offset() or 0, key, record, written_ms, cause_ms))
    return sorted(entries, key=lambda entry: (entry.topic, entry.offset))


def _records(request: Request) -> Iterator[Due]:
    return files.frames(request.call, request.tenant, request.contact_id)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _cpu_s() -> float:
    """CPU time of this process and of the workers that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
