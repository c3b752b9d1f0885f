"""The Kafka engine keeps the contract of engines, on a real broker."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeGuard

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.engines import kafka
from pipeline.engines.commits import parse
from pipeline.engines.memory import MemoryLog
from pipeline.engines.services import Service
from tests.pipeline.engines.contract import CONTRACT, MOMENTS, WORDS, Point, Sent
from tests.pipeline.engines.stations import COUNTER, LARGE, LIMIT_S, Place, echo, said
from topics import clients, codec, deadletters
from topics.keys import partition_of
from topics.records import Moments, Record

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SAVING_S = 0.01  # between two checkpoints: one is nearly always under way
NEVER_S = 3_600.0
PACE_S = 0.02


class Running:
    """One worker."""

    def __init__(self, worker: kafka.KafkaWorker, running: asyncio.Task[None]) -> None:
        self.worker = worker
        self._running = running

    async def crash(self) -> None:
        self._running.cancel()
        await asyncio.wait({self._running}, timeout=LIMIT_S)

    async def ended(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self._running


class KafkaSite:
    """See `contract.Site`."""

    def __init__(self, place: Place, patch: pytest.MonkeyPatch) -> None:
        self._place = place
        self._patch = patch

    def send(self, *records: Sent) -> None:
        self._place.send(records)

    @asynccontextmanager
    async def working(
        self, oracle: Service = echo, *, saves: bool = False, takes_large: bool = True
    ) -> AsyncIterator[Running]:
        self._patch.setattr(kafka, "CHECKPOINT_S", SAVING_S if saves else NEVER_S)
        if not takes_large:
            self._limit(LARGE // 2)
        try:
            async with self._place.working(COUNTER, services={"oracle": oracle}) as (worker, running):
                yield Running(worker, running)
        finally:
            if not takes_large:
                self._limit(10 * LARGE)

    async def log(self, topics: Sequence[str], is_done: Callable[[MemoryLog], bool]) -> MemoryLog:
        return await asyncio.to_thread(self._read, topics, is_done)

    async def position(self) -> tuple[int, int]:
        ((committed, *_),) = [self._place.committed("counter", [WORDS])]
        return parse(committed.metadata)[0], committed.offset

    async def dead(self, count: int) -> list[tuple[bytes, int]]:
        letters = self._place.messages([deadletters.name(WORDS)])
        found = await asyncio.to_thread(lambda: [next(letters) for _ in range(count)])
        return [(one.key() or b"", int(dict(one.headers() or [])["__connect.errors.offset"] or 0)) for one in found]

    def _read(self, topics: Sequence[str], is_done: Callable[[MemoryLog], bool]) -> MemoryLog:
        log, consumer = MemoryLog(), clients.tail_consumer(self._place.bootstrap)
        consumer.assign([TopicPartition(self._place.prefix + topic, 0, 0) for topic in topics])
        deadline_s = time.monotonic() + LIMIT_S
        try:
            while not is_done(log):
                assert time.monotonic() < deadline_s, "what the test waits for did not come"
                for message in consumer.consume(500, 0.05):
                    topic = (message.topic() or "").removeprefix(self._place.prefix)
                    log.append(topic, message.key() or b"", codec.decode(message.value() or b""))
        finally:
            consumer.close()
        return log

    def _limit(self, largest_bytes: int) -> None:
        """Say how large a record of moments may be."""
        limit = ConfigEntry("max.message.bytes", str(largest_bytes), incremental_operation=AlterConfigOpType.SET)
        wanted = ConfigResource(ResourceType.TOPIC, self._place.prefix + MOMENTS, incremental_configs=[limit])
        client = clients.admin(self._place.bootstrap)
        for done in client.incremental_alter_configs([wanted]).values():
            done.result(LIMIT_S)


@pytest.fixture
def site(broker: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSite:
    place = Place(broker, prefix)
    place.create(COUNTER)
    return KafkaSite(place, monkeypatch)


@pytest.mark.parametrize("point", CONTRACT, ids=lambda point: point.__name__)
async def test_contract(point: Point, site: KafkaSite) -> None:
    await point(site)


async def test_partitions_that_change_hands_in_mid_checkpoint_lose_nothing(
    broker: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records flow and checkpoints follow each other while a second worker comes, goes and comes again."""
    place, contacts = Place(broker, prefix, partitions=4), [f"c{n}" for n in range(8)]
    place.create(COUNTER)
    met = hand_overs(monkeypatch)
    monkeypatch.setattr(kafka, "CHECKPOINT_S", SAVING_S)
    stop = threading.Event()
    async with place.working(COUNTER, "one"):
        flow = asyncio.create_task(asyncio.to_thread(flow_until, stop, place, contacts))
        try:
            while not any(met):
                async with place.working(COUNTER, "two") as (two, _):
                    await asyncio.to_thread(wait_for_partitions, two)
        finally:
            stop.set()
        expected = {(contact, f"{await flow}/0") for contact in contacts}
        records = await asyncio.to_thread(place.until, [MOMENTS], lambda records: expected <= said_of(records))
    newest = {one.contact_id: one for one in sorted(filter(is_moments, records), key=lambda one: one.rev)}
    assert expected == said_of(newest.values())


def hand_overs(patch: pytest.MonkeyPatch) -> list[bool]:
    """Note for each time that partitions are given up whether a checkpoint was under way."""
    met: list[bool] = []
    give_up = kafka.KafkaWorker.end

    async def end(worker: kafka.KafkaWorker, partitions: list[int], *, is_lost: bool) -> None:
        met.append(bool(partitions) and worker._committing.locked())
        await give_up(worker, partitions, is_lost=is_lost)

    patch.setattr(kafka.KafkaWorker, "end", end)
    return met


def flow_until(stop: threading.Event, place: Place, contacts: list[str]) -> int:
    """Send a record of each contact again and again; return how many each has had."""
    count, producer = 0, clients.producer(place.bootstrap)
    while not stop.wait(PACE_S):
        for contact in contacts:
            key = f"t|{contact}".encode()
            producer.produce(
                place.prefix + WORDS, codec.encode(said(count, contact)), key, partition_of(key, place.partitions)
            )
        count += 1
    assert 0 == producer.flush(LIMIT_S)
    return count


def wait_for_partitions(worker: kafka.KafkaWorker) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not worker.assigned:
        assert time.monotonic() < deadline_s
        time.sleep(PACE_S)


def is_moments(record: Record) -> TypeGuard[Moments]:
    return isinstance(record, Moments)


def said_of(records: Iterable[Record]) -> set[tuple[str, str]]:
    return {(one.contact_id, one.turn_id) for one in filter(is_moments, records)}
