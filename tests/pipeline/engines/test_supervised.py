"""Worker processes under a supervisor on a real broker: killed, stopped and woken, they change nothing in the end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.engines.memory import MemoryLog
from pipeline.engines.revisions import REVISIONS_PER_EPOCH
from pipeline.processes import is_alive
from pipeline.supervisor import Supervisor
from tests.pipeline.engines.stations import COUNTER, DEADLY_EXIT, LIMIT_S, Place, said
from tests.simulation import scripts
from tests.simulation.crashes import quiet
from tests.simulation.outcome import broken_promises, finals
from tests.simulation.world import Event
from topics.keys import partition_of
from topics.records import Record, Turn

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

GROUP = "language"
# Longer than the session (6 s) and the longest transaction (5 s); `make soak` waits as long as docs/acceptance.md says.
ZOMBIE_S = 30 if "SOAK" in os.environ else 10
STUCK = """
import asyncio, sys
from tests.pipeline.engines.stations import COUNTER, Place

async def main():
    async with Place(sys.argv[1], sys.argv[2]).working(COUNTER):
        await asyncio.Event().wait()

asyncio.run(main())
"""


CAREFUL = """
import asyncio, sys
from pathlib import Path
from pipeline.progress import Progress
from tests.pipeline.engines.stations import COUNTER, Place

async def main():
    async def oracle(name):
        await asyncio.sleep(0.3)
        return "deadly" if name == "7" else name

    progress = Progress(Path(sys.argv[3]), is_careful=True)
    async with Place(sys.argv[1], sys.argv[2]).working(COUNTER, progress=progress, services={"oracle": oracle}):
        while progress.is_careful:
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


@pytest.fixture
def place(broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)  # where workers keep their keys
    made = Place(broker, prefix, partitions=2)
    made.create(scripts.text().stages)
    made.send(("policies", b"policy", policy) for policy in scripts.text().policies)
    return made


@pytest.fixture
def supervisor(place: Place, tmp_path: Path) -> Iterator[Supervisor]:
    loaded = settings.load(kafka_bootstrap=place.bootstrap, topic_prefix=place.prefix, partitions=place.partitions)
    with Supervisor(loaded, tmp_path) as made:
        yield made
    assert [] == processes_of(place.prefix)


def processes_of(prefix: str) -> list[str]:
    """Return the worker processes that run with a topic prefix."""
    wanted, found = f"TRUNKLINE_TOPIC_PREFIX={prefix}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables, command = ((folder / name).read_bytes().split(b"\0") for name in ("environ", "cmdline"))
            if wanted in variables and b"pipeline.worker" in command:
                found.append(folder.name)
    return found


def wait(what: str, is_so: Callable[[], object]) -> float:
    """Wait until something is so; return how long it took."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < LIMIT_S, what
        time.sleep(0.02)
    return time.monotonic() - began_s


def page(port_file: Path, path: str) -> tuple[int, str]:
    """Return status and text of a worker's page; (0, "") where there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_file.read_text()}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except (OSError, ValueError):
        return 0, ""


def are_ready(supervisor: Supervisor) -> bool:
    return all(page(port_file, "/readyz")[0] == 200 for port_file in supervisor.port_files)


def shares(supervisor: Supervisor) -> list[str]:
    return [page(port_file, "/readyz")[1].partition('"partitions": ')[2] for port_file in supervisor.port_files]


def test_killed_and_restarted_it_ends_as_in_the_quiet_run(
    place: Place, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    script = scripts.text()
    supervisor.start(GROUP)
    wait("ready", lambda: are_ready(supervisor))
    status, metrics = page(supervisor.port_files[0], "/metrics")
    assert (200, True) == (status, f'trunkline_partitions{{group="{GROUP}"}} 2.0' in metrics)
    third = len(script.events) // 3
    send(place, script.events[:third])
    (first,) = supervisor.pids(GROUP)
    os.kill(first, signal.SIGKILL)
    send(place, script.events[third : 2 * third])
    pause_s = wait("restarted", lambda: supervisor.restarts and are_ready(supervisor))
    send(place, script.events[2 * third :])
    expect_epochs_in_order(expect_quiet_end(place))
    with capsys.disabled():
        print(f"\nkill -9 to ready again: {pause_s:.2f} s")  # noqa: T201 - a figure for whoever runs it


def test_another_worker_takes_over_and_a_zombie_changes_nothing(
    place: Place, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGSTOP for longer than the session is how a process is dead to the others and then is not."""
    script = scripts.text()
    supervisor.start(GROUP, workers=2)
    wait("ready", lambda: are_ready(supervisor) and sorted(shares(supervisor)) == ["[0]}", "[1]}"])
    half = len(script.events) // 2
    owner = next(n for n, share in enumerate(shares(supervisor)) if "0" in share)
    zombie, other = supervisor.pids(GROUP)[owner], supervisor.port_files[1 - owner]
    send(place, script.events[:half])
    os.kill(zombie, signal.SIGSTOP)
    send(place, script.events[half:])
    pause_s = wait("taken over", lambda: "[0, 1]" in page(other, "/readyz")[1])
    time.sleep(max(ZOMBIE_S - pause_s, 0))  # the zombie's length, not a wait for something
    os.kill(zombie, signal.SIGCONT)
    expect_quiet_end(place)
    wait("shared again", lambda: are_ready(supervisor) and sorted(shares(supervisor)) == ["[0]}", "[1]}"])
    with capsys.disabled():
        print(f"\ntaken over by another member: {pause_s:.2f} s")  # noqa: T201 - a figure for whoever runs it


def test_no_process_outlives_a_drain_during_the_start(place: Place, supervisor: Supervisor) -> None:
    supervisor.start(GROUP, workers=2)
    pids = supervisor.pids(GROUP)
    began_s = time.monotonic()
    supervisor.drain()
    assert [False, False] == [is_alive(pid) for pid in pids]
    assert 10 > time.monotonic() - began_s


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 1), (signal.SIGTERM, 2), (signal.SIGKILL, 2)],
)
def test_no_process_outlives_its_supervisor(place: Place, tmp_path: Path, number: signal.Signals, workers: int) -> None:
    """As soon as the worker is there, in the middle of its imports; and when a spare stands by."""
    own = {"TRUNKLINE_TOPIC_PREFIX": place.prefix, "KAFKA_BOOTSTRAP": place.bootstrap, "TRUNKLINE_PARTITIONS": "2"}
    command = [sys.executable, "-m", "pipeline", "run", "--group", GROUP]
    running = subprocess.Popen(command, cwd=tmp_path, env=os.environ | own)
    try:
        wait("started", lambda: len(processes_of(place.prefix)) == workers)
        running.send_signal(number)
        running.wait(LIMIT_S)
    finally:
        running.kill()
    wait("gone", lambda: not processes_of(place.prefix))


def test_a_stuck_loop_ends_the_process(broker: str, prefix: str) -> None:
    place = Place(broker, prefix)
    place.create(COUNTER)
    place.send([("transcript.words", b"t|c", said(0, asr="stuck"))])
    stuck = subprocess.Popen([sys.executable, "-c", STUCK, broker, prefix], stderr=subprocess.DEVNULL)
    try:
        assert 70 == stuck.wait(LIMIT_S)
    finally:
        stuck.kill()


def test_the_record_that_ends_a_careful_worker_twice_is_dead_lettered(broker: str, prefix: str, tmp_path: Path) -> None:
    """Its contact is shut, and every other contact goes on."""
    place = Place(broker, prefix)
    place.create(COUNTER)
    records = [said(0), said(1, asr="deadly"), said(2), said(3, "other")]
    place.send(("transcript.words", f"t|{record.contact_id}".encode(), record) for record in records)
    command = [sys.executable, "-c", CAREFUL, broker, prefix, str(tmp_path / "counter-1")]
    ends = [subprocess.run(command, check=False, timeout=LIMIT_S).returncode for _ in range(3)]
    assert [DEADLY_EXIT, DEADLY_EXIT, 0] == ends
    moments = place.until(["moments"], lambda records: len(records) == 2)
    assert {"c", "other"} == {record.contact_id for record in moments}
    dead = place.until(["transcript.words.dead"], lambda records: len(records) == 2)
    assert [records[1], records[2]] == dead


def test_the_record_whose_answer_ends_a_careful_worker_is_found_among_others(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    """The first life tells who is suspected, two more that it was this one; nobody else is dead-lettered."""
    place = Place(broker, prefix)
    place.create(COUNTER)
    records = [said(n, f"contact-{n}", is_final=False) for n in range(5, 10)]
    place.send(("transcript.words", f"t|{record.contact_id}".encode(), record) for record in records)
    command = [sys.executable, "-c", CAREFUL, broker, prefix, str(tmp_path / "counter-1")]
    ends = [subprocess.run(command, check=False, timeout=LIMIT_S).returncode for _ in range(4)]
    assert [DEADLY_EXIT] * 3 + [0] == ends
    dead = place.until(["transcript.words.dead"], lambda records: len(records) == 1)
    assert [records[2]] == dead
    turns = place.until(["transcript.raw"], lambda records: len(answered(records)) == 4)
    assert {"5", "6", "8", "9"} == answered(turns)


def answered(records: Sequence[Record]) -> set[str]:
    return {turn.asr for turn in records if isinstance(turn, Turn)}


def send(place: Place, events: tuple[Event, ...]) -> None:
    place.send((event.topic, event.key, event.record) for event in events)


def expect_quiet_end(place: Place) -> MemoryLog:
    """Read until readers know what a quiet run tells them; check what they were told on the way."""
    assert {0, 1} == {partition_of(event.key, 2) for event in scripts.text().events}
    expected = {at: record for at, record in finals(quiet(scripts.text()).log).items() if at[0] != "policies"}
    topics = sorted({topic for topic, _, _ in expected})
    log = place.log(topics, lambda log: len(finals(log)) >= len(expected) and finals(log) == expected)
    assert [] == broken_promises(log)
    assert expected == finals(log)
    return log


def expect_epochs_in_order(log: MemoryLog) -> None:
    """A process that is gone for good writes nothing late; a zombie may, with a revision that readers drop."""
    owners = defaultdict[bytes, list[int]](list)
    for entry in log.topics["transcript.raw"]:
        rev = getattr(entry.record, "rev", 0)
        if rev:
            owners[entry.key].append(rev // REVISIONS_PER_EPOCH)
    assert all(epochs == sorted(epochs) for epochs in owners.values())
