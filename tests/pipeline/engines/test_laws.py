"""The laws of machines on the engines that need a broker: each stage alone, every law's contact side by side.

One worker a stage, all in this process. Each is ended twice among the records: once without a checkpoint, once with a
drain. Readers are left with what `laws.expected` says, which is what the machine makes of each record once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition

from pipeline import metrics
from pipeline.engines import contacts
from pipeline.engines.faust import FaustWorker
from pipeline.engines.faust_stage import owner_of
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.engines.memory import MemoryLog
from pipeline.engines.services import Service
from pipeline.engines.tables import read_whole
from pipeline.topology import Group, group_of
from tests.pipeline.engines.stations import LIMIT_S, Place
from tests.pipeline.laws import BY_NAME, LAWS, Outcome, Sent, alone, expected, of_law, outcome_of, services_of, shown
from tests.simulation import scripts
from tests.simulation.world import Answer, Services
from topics import admin, codec

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

POLL_S = 0.2
PATIENCE_S = 40.0  # below `LIMIT_S`: what is not as expected by then is a test's to show
PARTS = 3  # of what a stage is shown; between two of them the worker is cut


class Worker(Protocol):
    """What an engine runs."""

    @property
    def is_ready(self) -> bool:
        """Whether it owns its partition."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""


Engine = Callable[[WorkerConfig, Group, Mapping[str, Service]], Worker]
ENGINES: Mapping[str, Engine] = {"kafka": KafkaWorker, "faust": FaustWorker}


@dataclass(slots=True)
class Site:
    """One stage on one engine, under a prefix of its own.

    Attributes:
        services: outlive the workers, as stores do.
    """

    name: str
    engine: Engine
    place: Place
    services: Services

    def create(self) -> None:
        """Make the topics."""
        self.place.create((alone(BY_NAME[self.name]),), (owner_of(alone(BY_NAME[self.name])),))
        tables = BY_NAME[self.name].tables
        self.place.send((table, b"policy", policy) for table in tables for policy in scripts.text().policies)

    @property
    def read(self) -> float:
        """How many records its workers have read."""
        samples = (sample for metric in metrics.RECORDS_IN.collect() for sample in metric.samples)
        group = alone(BY_NAME[self.name]).group
        return sum(one.value for one in samples if one.name.endswith("_total") and one.labels["group"] == group)

    async def live(self, part: Sequence[Sent], is_enough: Callable[[], Awaitable[bool]], *, is_drained: bool) -> None:
        """Run a worker over a part of the records, for one life."""
        stage, place = alone(BY_NAME[self.name]), self.place
        config = WorkerConfig(place.bootstrap, place.prefix, place.prefix + "one")
        services = {name: _asked(self.services[name]) for name in stage.services}
        worker, stop = self.engine(config, group_of(stage.group, (stage,)), services), asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            async with asyncio.timeout(LIMIT_S):
                while not worker.is_ready and not running.done():
                    await asyncio.sleep(POLL_S)
                await asyncio.to_thread(place.send, part)
                while not running.done() and not await is_enough():
                    await asyncio.sleep(POLL_S)
        finally:
            if is_drained:
                stop.set()
            else:
                running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def lives(self) -> None:
        """Show all records in three lives; the cuts meet the worker at work."""
        feed = shown(self.name)
        bounds = [len(feed) * n // PARTS for n in range(PARTS + 1)]
        first, second, third = (feed[at:end] for at, end in pairwise(bounds))
        await self.live(first, self._has_read(len(first) // 2), is_drained=False)
        await self.live(second, self._has_read(len(second) // 2), is_drained=True)
        await self.live(third, self._is_as_expected(), is_drained=True)

    def outcome(self) -> Outcome:
        """What readers know."""
        log = MemoryLog()
        places = [TopicPartition(self.place.prefix + topic, 0) for topic in BY_NAME[self.name].outputs]
        for message in read_whole(self.place.bootstrap, places):
            topic = (message.topic() or "").removeprefix(self.place.prefix)
            log.append(topic, message.key() or b"", codec.decode(message.value() or b""))
        return outcome_of(self.name, log, self.services)

    def _is_as_expected(self) -> Callable[[], Awaitable[bool]]:
        until_s = time.monotonic() + PATIENCE_S

        async def is_as_expected() -> bool:
            return await asyncio.to_thread(self.outcome) == expected(self.name) or time.monotonic() > until_s

        return is_as_expected

    def _has_read(self, count: int) -> Callable[[], Awaitable[bool]]:
        wanted = self.read + count

        async def has_read() -> bool:
            return self.read >= wanted

        return has_read


def _asked(answer: Answer) -> Service:
    async def ask(request: object) -> object:
        return answer(request)

    return ask


@pytest.fixture(scope="module", params=ENGINES)
def outcomes(
    request: pytest.FixtureRequest, broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Outcome]]:
    """Run every stage at once and yield what each leaves."""
    prefix = f"laws-{uuid4().hex[:8]}."
    sites = [
        Site(name, ENGINES[request.param], Place(broker, f"{prefix}{name}."), services_of(name)) for name in BY_NAME
    ]

    async def live() -> None:
        await asyncio.gather(*(asyncio.to_thread(site.create) for site in sites))
        await asyncio.gather(*(site.lives() for site in sites))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("laws"))  # Faust makes a folder
        patch.setattr(contacts, "STALLED_MS", 0)  # every contact is parked at every checkpoint; Faust parks none
        asyncio.run(live())
    yield {site.name: site.outcome() for site in sites}
    for site in sites:
        admin.remove(broker, site.place.prefix)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", BY_NAME)
def test_law(name: str, law: str, outcomes: Mapping[str, Outcome]) -> None:
    assert of_law(expected(name), law) == of_law(outcomes[name], law)
