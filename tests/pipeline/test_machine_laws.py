"""The laws of `pipeline/machine.py`, for every row of the topology, over the records of a real call.

A stage is fed what it reads in the quiet run of the simulation's call, once in one piece and once with a cut at a
seeded place or with every record twice. What readers are left with has to be the same.
"""

import random
from collections.abc import Sequence
from functools import cache

import pytest

from pipeline.engines.memory import Entry, MemoryLog, MemoryWorker
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.topology import STAGES, Stage, group_of
from tests.simulation import scripts
from tests.simulation.crashes import quiet
from tests.simulation.outcome import Finals, finals, stored
from tests.simulation.world import Services

pytestmark = pytest.mark.simulation

CUTS = 8
BY_NAME = {stage.name: stage for stage in STAGES}
Feed = Sequence[tuple[str, Entry]]


@cache
def inputs(name: str) -> Feed:
    """What a stage reads, in the order of the log; its topics interleaved by a seeded draw."""
    log = (
        quiet(scripts.whole()["the demo call"]).log if name in ("vad", "asr", "archive") else quiet(scripts.text()).log
    )
    waiting = {topic: list(log.topics[topic]) for topic in BY_NAME[name].inputs if log.topics[topic]}
    draw, fed = random.Random(name), []
    while waiting:
        topic = draw.choice(sorted(waiting))
        fed.append((topic, waiting[topic].pop(0)))
        waiting = {topic: left for topic, left in waiting.items() if left}
    return tuple(fed)


@cache
def undisturbed(name: str) -> tuple[Finals, object]:
    return play(name, inputs(name))


def alone(name: str) -> Stage:
    """The stage as a group of its own, so that nothing is chained."""
    stage = BY_NAME[name]
    return Stage(name, "law", stage.inputs, stage.outputs, stage.machine, stage.services, stage.tables)


def play(
    name: str, feed: Feed, cuts: frozenset[int] = frozenset(), *, is_doubled: bool = False
) -> tuple[Finals, object]:
    """Feed a stage, with a restored one in its place after the cuts; return what readers are left with."""
    log, services = MemoryLog(), scripts.services()
    for policy in scripts.text().policies:
        log.append("policies", b"", policy)
    worker = Single(log, alone(name), services)
    for number, (topic, entry) in enumerate(feed):
        for _ in range(1 + is_doubled):
            log.append(topic, entry.key, entry.record)
            worker.work()
        if number in cuts:
            worker.save()
            worker = Single(log, alone(name), services)
            worker.work()
    written = MemoryLog()
    written.topics.update({topic: log.topics[topic] for topic in BY_NAME[name].outputs})
    assert [] == log.dead
    return finals(written), stored(services)


class Single(MemoryWorker):
    """A worker of one stage whose checkpoints are taken at once."""

    def __init__(self, log: MemoryLog, stage: Stage, services: Services) -> None:
        self._services = services
        super().__init__(log, group_of("law", (stage,)))
        self.restore()

    def work(self) -> None:
        """Do all there is to do."""
        while sum(self._feed(topic) for topic in self.group.inputs) or self._answer():
            pass

    def _feed(self, topic: str) -> bool:
        if not self.behind(topic):
            return False
        self.step(topic)
        return True

    def _answer(self) -> bool:
        if not self.questions:
            return False
        question = self.questions[0]
        self.reply(question, self._services[question.ask.service](question.request))
        return True

    def save(self) -> None:
        """Write a checkpoint; nothing is too large for it."""
        copied = self.checkpoint()
        assert copied is not None
        assert [] == [row for row, value in copied.rows if len(value or b"") > STATE_LIMIT_BYTES]
        self.commit(copied)


@pytest.mark.parametrize("name", BY_NAME)
def test_it_does_something(name: str) -> None:
    records, audio = undisturbed(name)
    assert records or audio


@pytest.mark.parametrize("name", BY_NAME)
def test_a_cut_anywhere_changes_nothing(name: str) -> None:
    feed = inputs(name)
    draw = random.Random(name)
    for _ in range(CUTS):
        cuts = frozenset(draw.sample(range(len(feed)), 2))
        assert undisturbed(name) == play(name, feed, cuts), sorted(cuts)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_record_twice_changes_nothing(name: str) -> None:
    assert undisturbed(name) == play(name, inputs(name), is_doubled=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_whole_feed_again_changes_nothing(name: str) -> None:
    """As a takeover without a checkpoint does."""
    feed = inputs(name)
    assert undisturbed(name) == play(name, [*feed, *feed])
