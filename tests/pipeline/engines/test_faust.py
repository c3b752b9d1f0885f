"""The Faust engine on a real broker: memory's results, nothing lost in a takeover, and its refusals."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from connectors import objects
from connectors.objects import contact_folder
from pipeline import app, environment, settings
from pipeline.engines.memory import MemoryLog
from pipeline.errors import InputError
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from pipeline.topology import STAGES
from tests.pipeline.engines.stations import LIMIT_S, Place
from tests.pipeline.engines.test_supervised import are_ready, send, shares, wait
from tests.simulation import scripts
from tests.simulation.crashes import quiet
from tests.simulation.outcome import Finals, broken_promises, finals
from tests.simulation.shelf import Shelf
from tests.simulation.world import Script, Services
from tests.system.commands import DEMO, REFERENCE, SCRIPTED
from tests.system.commands import place as shell_of
from tests.system.looking import stored_audio
from topics import admin, clients

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SAME_AS_MEMORY = (
    "redactions.jsonl",
    "guidance.jsonl",
    "summary.json",
    "customer.redacted.wav",
    "agent.redacted.wav",
)
PARTITIONS = 2
FAUST = Path(sys.executable).with_name("faust")


@pytest.fixture
def loaded(broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an environment of its own, with its topics and policies in place."""
    monkeypatch.chdir(tmp_path)
    own = settings.load(
        kafka_bootstrap=broker,
        topic_prefix=prefix,
        partitions=PARTITIONS,
        engine="faust",
        asr=f"scripted:{REFERENCE}",
        objects_dir=tmp_path / "objects",
    )
    environment.apply(own, environment.plan(own))
    place_of(own).send(("policies", b"policy", policy) for policy in scripts.text().policies)
    return own


@pytest.fixture
def supervisor(loaded: Settings, tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(loaded, tmp_path / "run") as made:
        yield made


def place_of(own: Settings) -> Place:
    return Place(own.kafka_bootstrap, own.topic_prefix, own.partitions)


def expected_of(script: Script) -> Finals:
    return {at: record for at, record in finals(quiet(script).log).items() if at[0] != "policies"}


def expect(own: Settings, expected: Finals) -> MemoryLog:
    """Read until readers know what the quiet run tells them; no revision has had two contents."""
    topics = sorted({topic for topic, _, _ in expected})
    log = place_of(own).log(topics, lambda log: len(finals(log)) >= len(expected) and finals(log) == expected)
    assert [] == broken_promises(log)
    return log


def expect_rising_epochs(log: MemoryLog) -> None:
    """Each owner of a partition writes higher revisions than the one before, in whatever order it goes on."""
    for topic in ("transcript.words", "transcript.raw"):
        entries = [entry for entry in log.topics[topic] if getattr(entry.record, "rev", 0)]
        for key in {entry.key for entry in entries}:
            epochs = [getattr(entry.record, "rev", 0) >> 24 for entry in entries if entry.key == key]
            assert epochs
            assert all(before <= after for before, after in pairwise(epochs))


def test_the_demo_call_is_that_of_memory(broker: str, prefix: str, tmp_path: Path) -> None:
    tracks = ("--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav", "--speed", "0", "--asr", SCRIPTED)
    with shell_of(tmp_path / "shell", KAFKA_BOOTSTRAP=broker, TRUNKLINE_TOPIC_PREFIX=prefix) as shell:
        for engine in ("memory", "faust"):
            ran = shell.run("call", *tracks, "--out", engine, "--engine", engine)
            assert (0, []) == (ran.code, ran.said)
        assert [] == shell.run_files()
        memory, faust = (shell.folder / engine for engine in ("memory", "faust"))
        assert turns(memory) == turns(faust)
        assert [] == [name for name in SAME_AS_MEMORY if (memory / name).read_bytes() != (faust / name).read_bytes()]
    assert () == admin.remove(broker, prefix)


def turns(out: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (out / "turns.jsonl").read_text().splitlines()]
    assert len(rows) > 20
    return [{name: value for name, value in row.items() if name != "rev"} for row in rows]


def test_killed_in_mid_call_nothing_is_lost(
    loaded: Settings, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """All groups at once, with open audio in memory; the calls' audio is held back until it is stored."""
    script, own = scripts.whole()["the demo call"], place_of(loaded)
    groups = ("speech", "language", "verification", "contacts", "archive")
    for group in groups:
        supervisor.start(group)
    wait("ready", lambda: are_ready(supervisor))
    half = len(script.events) // 2
    send(own, script.events[:half])
    own.until(["transcript.redacted"], bool)
    wait("committed", lambda: committed(own, "speech", "speech.marks") == length(own, "speech.marks"))
    assert [True, True] == [committed(own, group, "audio.frames") < half for group in ("speech", "archive")]
    for group in groups:
        (pid,) = supervisor.pids(group)
        os.kill(pid, signal.SIGKILL)
    pause_s = wait("restarted", lambda: supervisor.restarts == len(groups) and are_ready(supervisor))
    send(own, script.events[half:])
    expect_rising_epochs(expect(loaded, expected_of(script)))
    manifest = loaded.objects_dir / contact_folder(scripts.TENANT, "demo") / "manifest-v0000.json"
    wait("archived", manifest.is_file)
    assert audio_of(quiet(script).services) == {
        at: pcm.tobytes() for at, pcm in stored_audio(loaded.objects_dir).items()
    }
    with capsys.disabled():
        print(f"\nkill -9 of all groups to ready again: {pause_s:.2f} s")  # noqa: T201 - a figure for whoever runs it


def audio_of(services: Services) -> dict[tuple[str, int], bytes]:
    """The samples that the archive of the quiet run has stored."""
    shelf = services["objects"]
    assert isinstance(shelf, Shelf)
    segments = objects.read(shelf.place, scripts.TENANT, "demo")
    audio: dict[tuple[str, int], bytes] = {(one.track, one.start_sample): pcm for one, pcm in segments}
    assert any(any(pcm) for pcm in audio.values())
    return audio


def test_joined_and_killed_it_ends_as_in_the_quiet_run(loaded: Settings, supervisor: Supervisor) -> None:
    script, own = scripts.text(), place_of(loaded)
    third = len(script.events) // 3
    supervisor.start("language")
    wait("ready", lambda: are_ready(supervisor))
    send(own, script.events[:third])
    supervisor.start("language")
    wait("shared", lambda: are_ready(supervisor) and sorted(shares(supervisor)) == ["[0]}", "[1]}"])
    send(own, script.events[third : 2 * third])
    os.kill(supervisor.pids("language")[0], signal.SIGKILL)
    send(own, script.events[2 * third :])
    expect(loaded, expected_of(script))


@pytest.fixture
def directly(loaded: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`faust worker` as a Faust user starts it."""
    command: list[str | Path] = [FAUST, "-A", "pipeline.faust_apps:language", "worker", "--without-web", "-l", "error"]
    worker = subprocess.Popen(command, cwd=tmp_path, env=settings.environment(loaded), stdout=subprocess.DEVNULL)
    yield worker
    worker.kill()
    worker.wait()


def test_faust_worker_is_usable_directly_and_every_record_twice_changes_nothing(
    loaded: Settings, directly: subprocess.Popen[bytes]
) -> None:
    script, own = scripts.text(), place_of(loaded)
    own.send(record for event in script.events for record in 2 * [(event.topic, event.key, event.record)])
    expect(loaded, expected_of(script))
    own.send([("transcript.words", b"t|poison", b"no record")])
    dead = next(own.messages(["transcript.words.dead"]))
    assert (b"t|poison", b"no record") == (dead.key(), dead.value())
    topics = ("transcript.words", "contact.events")
    wait("committed", lambda: all(committed(own, "language", topic) == length(own, topic) for topic in topics))
    directly.send_signal(signal.SIGTERM)
    assert 0 == directly.wait(LIMIT_S)


def length(own: Place, topic: str) -> int:
    """How many records were ever written to a topic."""
    consumer = clients.tail_consumer(own.bootstrap)
    try:
        partitions = [TopicPartition(own.prefix + topic, n) for n in range(own.partitions)]
        return sum(consumer.get_watermark_offsets(one)[1] for one in partitions)
    finally:
        consumer.close()


def committed(own: Place, group: str, topic: str) -> int:
    """How many of them a group has committed."""
    return sum(max(one.offset, 0) for one in own.committed(group, [topic]))


def test_exactly_once_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = settings.load(engine="faust", faust_guarantee="exactly_once", kafka_bootstrap="127.0.0.1:1")
    with pytest.raises(InputError, match=r"exactly_once is refused.*177, 323, 440, 517"):
        app.check_group(ours, "language")
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")  # Faust's own variable
    with pytest.raises(InputError, match="exactly_once is refused"):
        app.faust_worker(settings.load(engine="faust", kafka_bootstrap="127.0.0.1:1"), "language", 1)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import engines

    monkeypatch.setitem(sys.modules, "faust", None)
    monkeypatch.delitem(sys.modules, "pipeline.engines.faust", raising=False)
    monkeypatch.delattr(engines, "faust", raising=False)
    with pytest.raises(InputError, match=r"trunkline\[faust\]"):
        app.check_engine(settings.load(engine="faust"))


def test_each_stage_has_a_changelog_of_its_own() -> None:
    declared = admin.declare("p.", 3, -1, changelogs=[f"faust.{stage.name}" for stage in STAGES])
    changelogs = [topic for topic in declared if ".changelog." in topic.name]
    assert [(f"p.changelog.faust.{stage.name}", 3) for stage in STAGES] == [
        (topic.name, topic.partitions) for topic in changelogs
    ]
