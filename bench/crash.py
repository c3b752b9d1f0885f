"""The crash suite: workers, broker and partitions are disturbed under live calls, and every final turn is compared.

Each fault has a run of its own: calls in real time through two workers of each text and speech group, scripted words
on the samples of a recording, so that the detector works and the truth is known. A pause is how far the latest output
that followed a fault stood behind its cause. Exit 3 when a turn was lost, doubled or out of order.
"""

import argparse
import asyncio
import math
import os
import signal
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from random import Random

from bench.report import Report
from bench.site import GROUPS, WORKERS, Site
from bench.watched import DEFAULT, Child, Recording, wait_until
from connectors import policies
from pipeline import call, results, settings
from pipeline.call import Request
from pipeline.cli import demo_file
from pipeline.replay import Replay
from pipeline.results import Entry
from topics.records import Policy, RedactedTurn, SpeechMark, Watermark

CALLS = 8
KILLS = 50
STORM_S = 120.0
STORM_STEP_S = 3.0
FAILPOINT = 0.02  # of each step; about one death in ten seconds of four workers
_MARGIN_S = 3.0  # after the first call's begin, without a fault
_STOPPED_S = 10.0  # the session is 6
_STAYS_S = 8.0
_GAP_S = 3.5  # between two faults: a worker is back within it
_OUTPUTS = ("speech.marks", "transcript.redacted")
_LIMIT_S = 60.0
_AFTER_S = 20.0  # of a fault

Finals = dict[tuple[str, int], str]  # text by track and first sample


@dataclass(slots=True)
class Verdict:
    """What the oracle says about the calls of some runs."""

    turns: int = 0
    lost: int = 0
    duplicated: int = 0
    misordered: int = 0

    def judge(self, entries: Sequence[Entry], truth: Finals) -> None:
        """Compare one call's final turns with the truth; `entries` in the order of the log."""
        finals = [one.record for one in entries if isinstance(one.record, RedactedTurn) and one.record.is_final]
        current: dict[tuple[str, int], RedactedTurn] = {}
        order: dict[str, list[int]] = defaultdict(list)
        contents: dict[tuple[str, int], RedactedTurn] = {}
        for turn in finals:
            place = (turn.track, turn.first_sample)
            if place not in current:
                order[turn.track].append(turn.first_sample)
            if place not in current or turn.rev > current[place].rev:
                current[place] = turn
            self.duplicated += contents.setdefault((turn.turn_id, turn.rev), turn) != turn
        self.turns += len(truth)
        self.lost += sum(place not in current or current[place].text != text for place, text in truth.items())
        self.duplicated += len(current.keys() - truth.keys())
        self.misordered += sum(starts != sorted(starts) for starts in order.values())


@dataclass(slots=True)
class Fault:
    """One fault.

    Attributes:
        at_s: when it struck, seconds since the epoch.
        until_s: what is late after this has another cause.
        whom: the worker or group; empty for all.
        pause_s: see the module; None where nothing was due.
    """

    at_s: float
    until_s: float = 0.0
    whom: str = ""
    pause_s: float | None = None


@dataclass(slots=True)
class Faults:
    """What one kind of fault has done."""

    struck: list[Fault] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    runs: int = 0
    count: int = 0  # of failpoints, which nobody strikes from outside


Strike = Callable[[Site, Random], str]  # returns whom it struck


def kill_worker(site: Site, random: Random) -> str:
    """End one worker with SIGKILL; its supervisor starts it again."""
    group, number = random.choice(GROUPS), random.randint(1, WORKERS)
    os.kill(site.pid(group, number), signal.SIGKILL)
    return f"{group}-{number}"


def stop_for_long(site: Site, random: Random) -> str:
    """Stop one worker for longer than its session, so that another takes over; then wake it: a zombie."""
    group, number = random.choice(GROUPS), random.randint(1, WORKERS)
    pid = site.pid(group, number)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(_STOPPED_S)
    os.kill(pid, signal.SIGCONT)
    return f"{group}-{number}"


def kill_broker(site: Site, _: Random) -> str:
    """End the only broker with SIGKILL and start it again."""
    site.kill_broker()
    return ""


def move_partitions(site: Site, random: Random) -> str:
    """Add a third worker, which takes partitions, and drain it: they move away and back."""
    group = random.choice(GROUPS)
    extra = site.start(group, 1)
    time.sleep(_STAYS_S)
    extra.process.terminate()
    extra.end()
    return group


def storm(site: Site, random: Random) -> str:
    """Add or remove a worker, every three seconds for two minutes."""
    until_s = time.monotonic() + STORM_S
    extra: list[Child] = []
    while time.monotonic() < until_s:
        if extra and random.random() < 0.5:
            extra.pop(random.randrange(len(extra))).process.terminate()
        else:
            extra.append(site.start(random.choice(GROUPS), 1))
        time.sleep(STORM_STEP_S)
    for child in extra:
        child.process.terminate()
    return ""


def let_failpoints_strike(_: Site, __: Random) -> str:
    """Do nothing: the workers end themselves between the steps of checkpoints and takeovers."""
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table: a fault, how often in a run and in how many runs."""

    strike: Strike
    times: int
    runs: int = 1
    gap_s: float = _GAP_S
    failpoint: float = 0.0


KINDS = {
    "kill -9 of a worker": Kind(kill_worker, 17, 3),
    "failpoints": Kind(let_failpoints_strike, 1, 2, failpoint=FAILPOINT),
    "kill -9 of the broker": Kind(kill_broker, 3, 1, 15.0),
    "zombies": Kind(stop_for_long, 4, 1, 5.0),
    "partitions moved": Kind(move_partitions, 4, 1, 5.0),
    "storm": Kind(storm, 1),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    parser.add_argument("--fault", choices=KINDS, action="append", help="repeatable; default: every kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=CALLS, help="concurrent calls of a run")
    DEFAULT.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Disturb, compare, count."""
    recording = Recording.chosen(given)
    truth = quiet(recording)
    found: dict[str, Faults] = {}
    with Site.opened("crash", recording) as site:
        for name in given.fault or KINDS:
            random = Random(f"{given.seed}/{name}")
            found[name] = under_load(site, KINDS[name], random, given.calls, truth)
            print(_line(name, found[name]), file=sys.stderr, flush=True)
    lines = [
        f"{'fault':<22} {'runs':>4} {'faults':>6} {'turns':>6} {'lost':>5} {'duplicated':>10} {'mis-ordered':>11}"
        f" {'pause s: p50':>13} {'p99':>6} {'max':>6}",
        *(_line(name, one) for name, one in found.items()),
    ]
    figures = {
        name: {
            "runs": one.runs,
            "faults": one.count or len(one.struck),
            "turns": one.verdict.turns,
            "lost": one.verdict.lost,
            "duplicated": one.verdict.duplicated,
            "misordered": one.verdict.misordered,
            "struck": [asdict(fault) for fault in one.struck],
        }
        for name, one in found.items()
    }
    is_good = not any(one.verdict.lost or one.verdict.duplicated or one.verdict.misordered for one in found.values())
    return Report({"calls": given.calls, "faults": figures}, lines, is_good)


def quiet(recording: Recording) -> Finals:
    """Return what a run without faults says, on the memory engine."""
    request = Request(recording.call, "quiet", "local", _policies(), 0, keep=False)
    entries, _ = asyncio.run(call.in_memory(request, settings.load(asr=recording.asr)))
    return {
        (str(turn["track"]), int(str(turn["turn_id"]).rpartition("/")[2])): str(turn["text"])
        for turn in results.turns(entries)
    }


def under_load(site: Site, kind: Kind, random: Random, calls: int, truth: Finals) -> Faults:
    """Make the runs of one kind of fault."""
    faults = Faults()
    if kind.failpoint:
        site.stop_all()
        site.start_all(kind.failpoint)
    for _ in range(kind.runs):
        with _load(site, calls) as replays:
            for _ in range(kind.times):
                faults.struck.append(Fault(time.time()))
                faults.struck[-1].whom = kind.strike(site, random)
                faults.struck[-1].until_s = time.time() + _AFTER_S
                time.sleep(random.uniform(kind.gap_s, 1.3 * kind.gap_s))
        faults.runs += 1
        for replay in replays:
            _judge(site, replay, faults, truth)
    if kind.failpoint:
        faults.count = site.deaths_at_failpoints()
        site.stop_all()
        site.start_all()
    return faults


@contextmanager
def _load(site: Site, calls: int) -> Iterator[list[Replay]]:
    """Replay calls, wave after wave until the body has ended, and each to its end; yields the waves."""
    replays: list[Replay] = []
    is_enough = threading.Event()

    def replay() -> None:
        while not is_enough.is_set():
            replays.append(Replay(site.recording.call, calls, 1.0, site.settings))
            asyncio.run(replays[-1].run(_policies()))

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(replay)
        try:
            wait_until(lambda: loading.done() or bool(replays and replays[0].started_ms), _LIMIT_S)
            time.sleep(_MARGIN_S)
            yield replays
        finally:
            is_enough.set()
        loading.result()


def _judge(site: Site, replay: Replay, faults: Faults, truth: Finals) -> None:
    entries = defaultdict[str, list[Entry]](list)
    for one in call.collect(site.settings, _OUTPUTS):
        entries[getattr(one.record, "contact_id", "")].append(one)
    own = [entries[contact_id] for contact_id in replay.heard]
    for each in own:
        faults.verdict.judge(each, truth)
    late = [(one.written_ms / 1_000, (one.written_ms - one.cause_ms) / 1_000) for each in own for one in _first(each)]
    for fault, next_s in zip(faults.struck, [*(one.at_s for one in faults.struck[1:]), math.inf], strict=True):
        until_s = min(next_s, fault.until_s)
        pauses = [pause_s for written_s, pause_s in late if fault.at_s <= written_s < until_s]
        fault.pause_s = max(pauses, default=fault.pause_s)


def _first(entries: Sequence[Entry]) -> Iterable[Entry]:
    """Leave out what was written before: a takeover says again what followed from records after its checkpoint."""
    first: dict[tuple[object, ...], Entry] = {}
    for entry in entries:
        match entry.record:
            case RedactedTurn() as turn:
                what: tuple[object, ...] = (turn.turn_id, turn.end_sample, turn.is_final, turn.redaction_rev)
            case SpeechMark() as mark:
                what = (mark.track, mark.first_sample, mark.end_sample)
            case Watermark() as mark:
                what = (entry.topic, mark.time_ms, mark.is_end)
            case _:
                continue
        first.setdefault(what, entry)
    return first.values()


def _policies() -> tuple[Policy, ...]:
    return policies.load(demo_file("policies.yaml"))


def _line(name: str, one: Faults) -> str:
    said = one.verdict
    pauses = sorted(fault.pause_s for fault in one.struck if fault.pause_s is not None) or [math.nan]
    p99 = pauses[min(len(pauses) - 1, int(0.99 * len(pauses)))]
    count = one.count or len(one.struck)
    return (
        f"{name:<22} {one.runs:>4} {count:>6} {said.turns:>6} {said.lost:>5} {said.duplicated:>10}"
        f" {said.misordered:>11} {statistics.median(pauses):>13.2f} {p99:>6.2f} {pauses[-1]:>6.2f}"
    )
