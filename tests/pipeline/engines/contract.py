"""What every engine promises (docs/decisions/0004-delivery.md), point by point; the bodies know no engine.

A `Site` is an engine with one partition under the stage `COUNTER`, which counts what each contact has had: a record
that is lost or taken twice shows in every later count. `test_contract_memory.py` and `test_contract_kafka.py` hold
their engines to `CONTRACT`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from pipeline.engines.memory import MemoryLog
from pipeline.engines.revisions import REVISIONS_PER_EPOCH
from pipeline.engines.services import Service
from pipeline.errors import EngineFault, PeerUnavailable
from tests.pipeline.engines.stations import LARGE, echo, said
from tests.simulation.outcome import broken_promises, finals
from topics.records import ContactEvent, Moments, Record, Turn

WORDS, EVENTS, MOMENTS, TURNS = "transcript.words", "contact.events", "moments", "transcript.raw"
KEY = b"t|c"
MANY = 1_500  # records; a worker takes them in longer than a checkpoint needs

Sent = tuple[str, bytes, Record]


class Worker(Protocol):
    """One worker of a site."""

    async def crash(self) -> None:
        """End it without a checkpoint."""

    async def ended(self) -> None:
        """Wait until it ends by itself; raises what ended it."""


class Site(Protocol):
    """One engine, one group, one partition."""

    def send(self, *records: Sent) -> None:
        """Write records from outside."""

    def working(
        self, oracle: Service = echo, *, saves: bool = False, takes_large: bool = True
    ) -> AbstractAsyncContextManager[Worker]:
        """Run a worker and wait until it owns the partition; leave it with a drain.

        Args:
            oracle: answers questions.
            saves: checkpoints all the time; otherwise the drain's is the only one.
            takes_large: what is `LARGE` can be written.
        """

    async def log(self, topics: Sequence[str], is_done: Callable[[MemoryLog], bool]) -> MemoryLog:
        """Work until what is written is enough."""

    async def position(self) -> tuple[int, int]:
        """Return the committed epoch and offset of the words."""

    async def dead(self, count: int) -> list[tuple[bytes, int]]:
        """Work until so many records are dead; return key and offset of each, in order."""


def words(*asrs: str, key: bytes = KEY, first: int = 0) -> list[Sent]:
    """Finals of one contact, one for each ASR."""
    contact = key.decode().partition("|")[2]
    return [(WORDS, key, said(first + n, contact, asr)) for n, asr in enumerate(asrs)]


def moments(log: MemoryLog, key: bytes = KEY) -> list[Moments]:
    """What is written of one contact, in order."""
    return [one.record for one in log.topics[MOMENTS] if one.key == key and isinstance(one.record, Moments)]


def turns(log: MemoryLog) -> list[Turn]:
    return [one.record for one in log.topics[TURNS] if isinstance(one.record, Turn)]


def epochs(records: Sequence[Record]) -> list[int]:
    return [rev // REVISIONS_PER_EPOCH for rev in (getattr(record, "rev", 0) for record in records)]


async def counted(site: Site, count: int) -> MemoryLog:
    """Work until so many moments are written."""
    return await site.log([MOMENTS], lambda log: len(log.topics[MOMENTS]) >= count)


async def reached(site: Site, turn_id: str, key: bytes = KEY) -> MemoryLog:
    """Work until a count is written."""
    return await site.log([MOMENTS], lambda log: any(one.turn_id == turn_id for one in moments(log, key)))


async def order_is_kept_per_key(site: Site) -> None:
    both = zip(words(*["a"] * 40, key=b"t|a"), words(*["b"] * 40, key=b"t|b"), strict=True)
    site.send(*(record for pair in both for record in pair))
    async with site.working():
        log = await counted(site, 80)
    expected = [f"{n}/0" for n in range(1, 41)]
    assert [expected, expected] == [[one.turn_id for one in moments(log, key)] for key in (b"t|a", b"t|b")]


async def the_epoch_is_raised_and_committed_before_the_first_output(site: Site) -> None:
    async with site.working() as worker:
        assert (1, 0) == await site.position()
        await worker.crash()
    site.send(*words("a"))
    async with site.working():
        log = await counted(site, 1)
        assert [(await site.position())[0]] == epochs(moments(log)) == [2]


async def a_drain_leaves_nothing_to_redo(site: Site) -> None:
    site.send(*words("a", "a", "a"))
    async with site.working():
        first = moments(await counted(site, 3))
    assert (1, 3) == await site.position()
    async with site.working():
        site.send(*words("a", first=3))
        both = moments(await counted(site, 4))
    assert [1, 1, 1, 2] == epochs(both)
    assert ["1/0", "2/0", "3/0", "4/0"] == [record.turn_id for record in both]
    assert first == both[:3]


async def states_and_offsets_are_atomic(site: Site) -> None:
    """However often it is killed between two checkpoints, the counts of both topics go on where their offsets do."""
    for n in range(3):
        site.send(*words("a", "a", first=2 * n), (EVENTS, KEY, ContactEvent("t", "c", n, "started", n, "")))
        async with site.working(saves=True) as worker:
            await reached(site, f"{2 * n + 2}/{n + 1}")
            await worker.crash()
    site.send(*words("a", first=6))
    async with site.working():
        log = await reached(site, "7/3")
    assert "7/3" == moments(log)[-1].turn_id


async def copies_are_taken_before_outputs_are_awaited(site: Site) -> None:
    """The flow goes on while a checkpoint is under way: what it adds to the states is no part of the copies."""
    part = MANY // 3
    for first in range(0, MANY, part):
        async with site.working(saves=True) as worker:
            site.send(*words(*["a"] * part, first=first))
            await reached(site, f"{first + part // 2}/0")
            await worker.crash()
    async with site.working():
        site.send(*words("a", first=MANY))
        log = await reached(site, f"{MANY + 1}/0")
    assert f"{MANY + 1}/0" == max(moments(log), key=lambda one: one.rev).turn_id
    assert {f"{n}/0" for n in range(1, MANY + 2)} == {one.turn_id for one in moments(log)}
    assert [] == broken_promises(log)


async def the_later_revision_wins(site: Site) -> None:
    """Said again after a crash, each record has a higher revision, so readers keep what was said last."""
    site.send(*words("a", "hint"))
    async with site.working() as worker:
        first = await counted(site, 2)
        await worker.crash()
    async with site.working():
        both = await counted(site, 4)
    assert moments(first) == moments(both)[:2]
    assert [1, 1, 2, 2] == epochs(moments(both))
    assert finals(first) == finals(both)
    assert [] == broken_promises(both)


async def outputs_are_collected_until_caught_up(site: Site) -> None:
    async with site.working() as worker:
        site.send(*words(*["hint"] * 10))
        await counted(site, 10)
        await worker.crash()
    site.send(*words("a", first=10))
    async with site.working():
        log = await reached(site, "11/0")
    assert [*range(1, 11), 10, 0] == [one.at_ms for one in moments(log)]


async def what_a_later_set_lacks_is_withdrawn(site: Site) -> None:
    """An empty set is a record like any other: also when it was made on the way back."""
    site.send(*words("hint"))
    async with site.working() as worker:
        shown = await counted(site, 1)
        await worker.crash()
    assert 1 == len(finals(shown))
    site.send(*words("none", first=1))
    async with site.working():
        log = await counted(site, 2)
    assert [(1, 1), (2, 0)] == [(one.at_ms, len(one.moments)) for one in moments(log)]
    assert {} == finals(log)


async def a_withdrawn_question_is_not_answered(site: Site) -> None:
    released, ask = gate()
    site.send((WORDS, KEY, said(7, is_final=False)))
    async with site.working(ask):
        await site.log([MOMENTS], lambda _: ask.waiting == 1)
        site.send(*words("never mind", "a"))
        await reached(site, "1/0")
        released.set()
        site.send(*words("a"))
        log = await site.log([MOMENTS, TURNS], lambda log: len(moments(log)) == 2)
    assert [] == turns(log)


async def open_questions_are_asked_again_by_the_next_worker(site: Site) -> None:
    _, ask = gate()
    site.send((WORDS, KEY, said(7, is_final=False)), *words("a"))
    async with site.working(ask):
        await site.log([MOMENTS], lambda log: len(moments(log)) == 1 and ask.waiting == 1)
    async with site.working():
        (turn,) = turns(await site.log([TURNS], lambda log: bool(turns(log))))
    assert ("turn/7", "7", [2]) == (turn.turn_id, turn.asr, epochs([turn]))


async def a_reply_to_an_older_epoch_is_dropped(site: Site) -> None:
    released, ask = gate("late")
    site.send((WORDS, KEY, said(7, is_final=False)))
    async with site.working(ask) as worker:
        await site.log([MOMENTS], lambda _: ask.waiting == 1)
        await worker.crash()
    async with site.working():
        await site.log([TURNS], lambda log: bool(turns(log)))
        released.set()
        site.send(*words("a"))
        log = await site.log([MOMENTS, TURNS], lambda log: bool(moments(log)))
    assert [("7", 2)] == [(turn.asr, *epochs([turn])) for turn in turns(log)]


async def a_slow_service_holds_nothing_up_and_nothing_piles_up(site: Site) -> None:
    """One question is open, however much flows past it."""
    _, ask = gate()
    site.send((WORDS, KEY, said(7, is_final=False)), *words(*["a"] * MANY))
    async with site.working(ask):
        await reached(site, f"{MANY}/0")
        assert (1, 1) == (ask.waiting, ask.asked)
    assert (1, MANY + 1) == await site.position()


async def the_records_after_a_refused_one_follow_it_and_others_go_on(site: Site) -> None:
    site.send(*words("poison", "a", key=b"t|a"), *words("a", key=b"t|b"))
    async with site.working():
        await counted(site, 1)
    async with site.working():
        site.send(*words("a", key=b"t|a"), *words("a", key=b"t|b"))
        log = await counted(site, 2)
        assert [(b"t|a", 0), (b"t|a", 1), (b"t|a", 3)] == await site.dead(3)
    assert ([], ["1/0", "2/0"]) == (moments(log, b"t|a"), [one.turn_id for one in moments(log, b"t|b")])


async def a_fault_leaves_no_checkpoint_behind(site: Site) -> None:
    """The state after a fault is in doubt: the next owner begins at the last checkpoint, before the record at fault."""
    with pytest.raises(EngineFault):
        await ended_by(site, words(*["a"] * 20, "fault", *["a"] * 20))
    epoch, offset = await site.position()
    assert (1, True) == (epoch, offset <= 20)


async def a_failed_delivery_abandons_the_task(site: Site) -> None:
    with pytest.raises(PeerUnavailable):
        await ended_by(site, words(*["a"] * 20, "large", *["a"] * 20), takes_large=False)
    epoch, offset = await site.position()
    assert (1, True) == (epoch, offset <= 20)
    async with site.working():
        site.send(*words("a", first=41))
        log = await reached(site, "42/0")
    assert "42/0" == moments(log)[-1].turn_id
    assert [2] == epochs([one for one in moments(log) if len(one.turn_id) == LARGE])


async def ended_by(site: Site, records: Sequence[Sent], *, takes_large: bool = True) -> None:
    """Work on some records until they end the worker, with checkpoints all the time."""
    async with site.working(saves=True, takes_large=takes_large) as worker:
        site.send(*records)
        await worker.ended()


class Gate:
    """A service that keeps everybody waiting until it is opened."""

    def __init__(self, opened: asyncio.Event, answer: object) -> None:
        self._opened = opened
        self._answer = answer
        self.waiting = 0
        self.asked = 0

    async def __call__(self, request: object) -> object:
        self.asked += 1
        self.waiting += 1
        try:
            await self._opened.wait()
        finally:
            self.waiting -= 1
        return self._answer


def gate(answer: object = None) -> tuple[asyncio.Event, Gate]:
    """Make a service that answers when the event is set."""
    opened = asyncio.Event()
    return opened, Gate(opened, answer)


Point = Callable[[Site], Awaitable[None]]
CONTRACT: tuple[Point, ...] = (
    order_is_kept_per_key,
    the_epoch_is_raised_and_committed_before_the_first_output,
    a_drain_leaves_nothing_to_redo,
    states_and_offsets_are_atomic,
    copies_are_taken_before_outputs_are_awaited,
    the_later_revision_wins,
    outputs_are_collected_until_caught_up,
    what_a_later_set_lacks_is_withdrawn,
    a_withdrawn_question_is_not_answered,
    open_questions_are_asked_again_by_the_next_worker,
    a_reply_to_an_older_epoch_is_dropped,
    a_slow_service_holds_nothing_up_and_nothing_piles_up,
    the_records_after_a_refused_one_follow_it_and_others_go_on,
    a_fault_leaves_no_checkpoint_behind,
    a_failed_delivery_abandons_the_task,
)
