"""The memory engine keeps the contract of engines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from pipeline.engines.effects import Checkpoint, Question
from pipeline.engines.memory import MemoryLog, MemoryWorker
from pipeline.engines.services import Service
from pipeline.errors import PeerUnavailable
from pipeline.topology import group_of
from tests.pipeline.engines.contract import CONTRACT, WORDS, Point, Sent
from tests.pipeline.engines.stations import COUNTER, LARGE, echo
from topics.records import Moments, Record

pytestmark = pytest.mark.simulation

GROUP = group_of("counter", COUNTER)
ROUNDS = 1_000  # in which nothing may be missing any more
STEPS = 5  # between copy and commit


class Running:
    """One worker, driven by whoever waits for something."""

    def __init__(self, log: MemoryLog, oracle: Service, *, saves: bool, takes_large: bool) -> None:
        self._log = log
        self._oracle = oracle
        self._saves = saves
        self._takes_large = takes_large
        self._worker = MemoryWorker(log, GROUP, self._send)
        self._worker.restore()
        self._answers: dict[Question, asyncio.Task[None]] = {}
        self._copied: Checkpoint | None = None
        self._steps = 0
        self.is_over = False

    async def crash(self) -> None:
        self.is_over = True
        for answer in self._answers.values():
            answer.cancel()

    async def ended(self) -> None:
        for _ in range(ROUNDS):
            await self.work()
        raise AssertionError("it did not end")

    async def work(self) -> None:
        """Take what waits, ask what is open, leave answers a chance."""
        for topic in GROUP.inputs:
            if not self.is_over and self._worker.behind(topic):
                self._worker.step(topic)
                self._steps += 1
                if self._saves and self._steps % STEPS == 0:
                    self._save()
        self._ask()
        await asyncio.sleep(0)

    async def drain(self) -> None:
        """Write a last checkpoint."""
        await self.crash()
        self._copied = self._worker.checkpoint()
        self._save()

    def _save(self) -> None:
        """Commit the copies of some steps ago, else take some."""
        if self._copied is None:
            self._copied = self._worker.checkpoint()
        else:
            self._worker.commit(self._copied)
            self._copied = None

    def _ask(self) -> None:
        open_questions = [] if self.is_over else self._worker.questions
        for gone in [question for question in self._answers if question not in open_questions]:
            self._answers.pop(gone).cancel()
        for question in open_questions:
            if question not in self._answers:
                self._answers[question] = asyncio.create_task(self._answer(question))

    async def _answer(self, question: Question) -> None:
        self._worker.reply(question, await self._oracle(question.request))

    def _send(self, topic: str, key: bytes, record: Record, cause_ms: int) -> None:
        if not self._takes_large and isinstance(record, Moments) and len(record.turn_id) >= LARGE:
            raise PeerUnavailable("too large")
        self._log.append(topic, key, record, cause_ms)


class MemorySite:
    """See `contract.Site`."""

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._running: Running | None = None

    def send(self, *records: Sent) -> None:
        for topic, key, record in records:
            self._log.append(topic, key, record)

    @asynccontextmanager
    async def working(
        self, oracle: Service = echo, *, saves: bool = False, takes_large: bool = True
    ) -> AsyncIterator[Running]:
        running = self._running = Running(self._log, oracle, saves=saves, takes_large=takes_large)
        try:
            yield running
        except BaseException:
            await running.crash()
            raise
        if not running.is_over:
            await self.log([], lambda _: not running._worker.behind(WORDS))
            await running.drain()

    async def log(self, topics: Sequence[str], is_done: Callable[[MemoryLog], bool]) -> MemoryLog:
        for _ in range(20 * ROUNDS):
            if is_done(self._log):
                return self._copy(topics)
            assert self._running is not None
            await self._running.work()
        raise AssertionError("what the test waits for did not come")

    async def position(self) -> tuple[int, int]:
        committed = self._log.groups[GROUP.name]
        return committed.epoch, committed.offsets.get(WORDS, 0)

    async def dead(self, count: int) -> list[tuple[bytes, int]]:
        await self.log([], lambda log: len(log.dead) >= count)
        return [(self._log.topics[topic][offset].key, offset) for topic, offset, _ in self._log.dead]

    def _copy(self, topics: Sequence[str]) -> MemoryLog:
        copy = MemoryLog()
        copy.topics.update({topic: list(self._log.topics[topic]) for topic in topics})
        return copy


@pytest.mark.parametrize("point", CONTRACT, ids=lambda point: point.__name__)
async def test_contract(point: Point) -> None:
    await point(MemorySite())
