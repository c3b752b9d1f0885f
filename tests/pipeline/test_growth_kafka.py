"""Partitions grow under live calls: real workers, a real broker, and an oracle that compares every final turn."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.crash import Finals, Verdict, quiet
from bench.watched import DEFAULT, is_ready, plain_environment
from connectors import policies
from pipeline import app, call, environment, growth, lag
from pipeline.cli import demo_file
from pipeline.engines.revisions import REVISIONS_PER_EPOCH
from pipeline.replay import Replay
from pipeline.results import Entry
from pipeline.running import RUN_DIR
from pipeline.settings import PREFIX, Settings, load
from topics import admin, generations
from topics.records import Generation, RedactedTurn

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

GROUPS = ("speech", "language")
CALLS = 2
SPEED = 3.5  # 74 s of audio in 21, so that the old calls still talk when the generation opens
OPENS_IN_MS = generations.TRUST_MS + 1_000  # on one machine there is one clock
LIMIT_S = 90
POLICIES = policies.load(demo_file("policies.yaml"))


@pytest.fixture
def own(broker: str, prefix: str) -> Settings:
    return load(kafka_bootstrap=broker, topic_prefix=prefix, partitions=2, generation_rest_s=1, asr=DEFAULT.asr)


@pytest.fixture
def running(own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run one supervisor of each group; yield the folder of the pid files."""
    monkeypatch.chdir(tmp_path)
    growth.apply(own, growth.plan(own))
    told = {
        "KAFKA_BOOTSTRAP": own.kafka_bootstrap,
        PREFIX + "TOPIC_PREFIX": own.topic_prefix,
        PREFIX + "ASR": own.asr,
    }
    with contextlib.ExitStack() as stack:
        for group in GROUPS:
            command = [sys.executable, "-m", "pipeline", "run", "--group", group]
            log = stack.enter_context((tmp_path / f"{group}.log").open("w"))
            child = subprocess.Popen(command, cwd=tmp_path, env=plain_environment() | told, stderr=log)
            stack.callback(child.wait, LIMIT_S)
            stack.callback(child.send_signal, signal.SIGTERM)
        yield tmp_path / RUN_DIR


async def until(what: str, is_so: Callable[[], object]) -> None:
    began_s = time.monotonic()
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() - began_s < LIMIT_S, what
        await asyncio.sleep(0.1)


def are_ready(run_dir: Path, *suffixes: str) -> bool:
    return all(is_ready(run_dir / f"{group}{suffix}-1") for group in GROUPS for suffix in suffixes)


def pids(run_dir: Path) -> dict[str, str]:
    return {file.stem: file.read_text() for file in sorted(run_dir.glob("*.pid"))}


def spoken(own: Settings, number: int, partitions: int) -> list[Entry]:
    """Read the turns and the audio's keys of one generation."""
    space = environment.namespace(own, Generation(number, partitions, 0, None))
    return call.collect(space, ("transcript.redacted", "contact.events"))


def removed(settings: Settings) -> bool:
    """Apply what there is to do; say whether a generation was removed."""
    steps = growth.plan(settings)
    growth.apply(settings, steps)
    return bool(steps.removals)


def contacts(entries: list[Entry]) -> set[str]:
    return {entry.record.contact_id for entry in entries}


def wrong(replay: Replay, entries: list[Entry], truth: Finals) -> tuple[int, int, int]:
    """Compare every final turn of every call with those of a run that nothing disturbs."""
    said = Verdict()
    for contact_id in replay.heard:
        said.judge([one for one in entries if one.record.contact_id == contact_id], truth)
    assert CALLS * len(truth) == said.turns > 0
    return said.lost, said.duplicated, said.misordered


async def test_live_calls_finish_where_they_are_and_later_ones_enter_the_next_generation(
    own: Settings, running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "OPENS_IN_MS", OPENS_IN_MS)
    await until("ready", lambda: are_ready(running, ""))
    before = pids(running)
    old = Replay(DEFAULT.call, CALLS, SPEED, own)
    talking = asyncio.create_task(old.run(POLICIES))
    await until("the old calls talk", lambda: growth.standing(own, app.payloads(own)).live == CALLS)

    grown = own.model_copy(update={"partitions": 4})
    steps = await asyncio.to_thread(growth.plan, grown)
    assert steps.opens is not None
    assert (2, 4, {1: CALLS}, ()) == (steps.opens.number, steps.opens.partitions, steps.live, steps.removals)
    await asyncio.to_thread(growth.apply, grown, steps)
    (_, opened) = await asyncio.to_thread(generations.read, own.kafka_bootstrap, own.topic_prefix)
    await until("ready in both", lambda: are_ready(running, "", "-g2"))
    assert opened.opens_at_ms > old.started_ms
    await asyncio.sleep(max(opened.opens_at_ms / 1_000 - time.time(), 0))  # the opening is a point in time
    assert not talking.done()

    new = Replay(DEFAULT.call, CALLS, 2 * SPEED, grown)
    talking_too = asyncio.create_task(new.run(POLICIES))
    truth = await asyncio.to_thread(quiet, DEFAULT)
    await talking
    first = await asyncio.to_thread(spoken, own, 1, 2)
    assert before.items() <= pids(running).items()
    await until("drained and removed", lambda: removed(grown))
    await talking_too
    second = await asyncio.to_thread(spoken, own, 2, 4)

    assert set(old.heard) == contacts(first)
    assert set(new.heard) == contacts(second)
    assert (0, 0, 0) == wrong(old, first, truth) == wrong(new, second, truth)
    assert {1} == {one.record.rev // REVISIONS_PER_EPOCH for one in first if isinstance(one.record, RedactedTurn)}
    await until("the old workers are gone", lambda: ["language-g2-1", "speech-g2-1"] == list(pids(running)))
    left = {topic.name.removeprefix(own.topic_prefix) for topic in admin.read(own.kafka_bootstrap, own.topic_prefix)}
    shared = {"feed.positions", "generations", "policies", "subject.keys"}
    assert shared == {name for name in left if not name.startswith("g2.")}
    assert {"g2"} == {row.topic.split(".")[0] for row in lag.sample(grown)}
    assert growth.plan(grown).is_empty
