"""Runs that several system tests look at: each is made once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.screen import Screen
from bench.watched import DEFAULT, wait_until, watched
from tests.system.commands import DEMO, REPOSITORY, SCRIPTED, Place, Ran, place
from tests.system.looking import look, stored_audio
from topics import admin

RECORDED = REPOSITORY.parent / "shared" / "data" / "calls"
_TEST_LIMIT_S = 900  # a test may wait for a run that others share


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give whole commands more time than the unit tests have."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_LIMIT_S))


@dataclass(frozen=True)
class Called:
    """A `trunkline call` that has ended, and its folder."""

    ran: Ran
    out: Path

    def lines(self, name: str) -> list[dict[str, object]]:
        """Return the objects of a `.jsonl` file."""
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]

    def json(self, name: str) -> dict[str, object]:
        """Return the object of a `.json` file."""
        content: dict[str, object] = json.loads((self.out / name).read_text())
        return content

    def final_turns(self) -> list[dict[str, object]]:
        """The turns without what depends on the run."""
        return [{name: value for name, value in turn.items() if name != "rev"} for turn in self.lines("turns.jsonl")]


def call(
    place: Place,
    out: str,
    *options: str | Path,
    customer: Path = DEMO / "customer.wav",
    agent: Path = DEMO / "agent.wav",
) -> Called:
    """Run a call to a good end."""
    ran = place.run("call", "--customer", customer, "--agent", agent, "--out", out, "--speed", "0", *options)
    assert ran.code == 0, ran.err
    return Called(ran, place.folder / out)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Place]:
    """Yield a working folder of the test's own."""
    with place(tmp_path / "shell") as made:
        yield made


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield the working folder of calls on the memory engine."""
    with place(tmp_path_factory.mktemp("calls") / "shell") as made:
        yield made


@pytest.fixture(scope="session")
def kafka_calls(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield the working folder of calls on the session's broker, below a topic prefix of its own."""
    prefix = f"system-{uuid4().hex[:8]}."
    shell = tmp_path_factory.mktemp("kafka-calls") / "shell"
    with place(shell, KAFKA_BOOTSTRAP=broker, TRUNKLINE_TOPIC_PREFIX=prefix) as made:
        yield made
    admin.remove(broker, prefix)


@pytest.fixture(scope="session")
def memory_call(calls: Place) -> Called:
    """The demo call on the memory engine."""
    return call(calls, "memory", "--engine", "memory", "--asr", SCRIPTED)


@pytest.fixture(scope="session")
def embedded_call(calls: Place) -> Called:
    """The demo call on the memory engine, heard by the embedded recogniser."""
    return call(calls, "embedded", "--engine", "memory")


@pytest.fixture(scope="session")
def kafka_call(kafka_calls: Place) -> Called:
    """The demo call on Kafka."""
    return call(kafka_calls, "kafka", "--engine", "kafka", "--asr", SCRIPTED)


@pytest.fixture(scope="session")
def recorded_call() -> tuple[Path, Path]:
    """A recorded telephone call, customer and agent; it is not part of the repository."""
    pair = (RECORDED / "auto-repairs-40-customer.wav", RECORDED / "auto-repairs-40-agent.wav")
    if not all(path.is_file() for path in pair):
        pytest.skip(f"no recorded call in {RECORDED}: it is not part of the repository")
    return pair


@dataclass(frozen=True)
class Kept:
    """A demo that was left open after its call, then stopped with Ctrl-C.

    Attributes:
        evidence: by place, everything that could be read there while it stood open.
        restricted: the same of topics that may hold what was said.
        audio: by track and first sample, the samples of the object store.
        ran: how it ended.
        left: processes, run files and folders that were there a minute later.
    """

    evidence: dict[str, str]
    restricted: dict[str, str]
    audio: dict[tuple[str, int], NDArray[np.int16]]
    ran: Ran
    left: list[object]


@pytest.fixture(scope="session")
def kept_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """The demo call on everything that `trunkline demo --keep` starts, looked at from outside."""
    with place(tmp_path_factory.mktemp("kept") / "shell") as shell:
        with (
            watched(shell.folder, DEFAULT, 8, **shell.environment) as demo,
            Screen(demo.page, demo.contact_id) as screen,
        ):
            demo.wait_for_end()
            assert wait_until(lambda: any(one.frame["type"] == "end" for one in screen.seen), 20)
            evidence, restricted = look(demo, screen, shell.folder)
            # Root's PostgreSQL has its folder elsewhere.
            outside = [link.resolve() for link in (shell.folder / ".trunkline").glob("demo-*/*/postgres")]
        code = demo.child.process.returncode
        evidence["stdout"], evidence["stderr"] = demo.child.out, demo.child.err
        left: list[object] = [*shell.left_over().items(), *shell.run_files(), *shell.demo_folders()]
        left += [folder for folder in outside if folder.exists()]
        audio = stored_audio(shell.folder / ".trunkline" / "objects")
        yield Kept(evidence, restricted, audio, Ran(code, demo.child.out, demo.child.err, 0), left)
