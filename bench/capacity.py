"""How many calls: ingest and VAD of one worker, and live calls through every stage of the whole machine.

    ingest    one worker that reads audio, detects speech and checkpoints, with the default detector and with webrtcvad
              alone; calls a core are the calls offered, divided by the cores that the worker took
    machine   calls in real time through one worker of each group, scripted recogniser, every final turn compared; the
              lag is flat where it grows by less than a second's records from the first third to the last

Live calls begin one after the other, within a recording's length, before anything is measured.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import msgspec
import numpy as np

from bench import picture, spoken
from bench.crash import Verdict, quiet
from bench.live_calls import Plan, Sent
from bench.loaded import Loaded
from bench.offered import Latencies
from bench.report import RESULTS, Report
from bench.site import Site, broker_alone, cpu_s
from bench.watched import DEFAULT, REPOSITORY, Recording, plain_environment
from connectors import policies
from pipeline import broker, call, lag
from pipeline.call import publish_policies
from pipeline.cli import demo_file
from pipeline.results import Entry
from topics.records import SAMPLES_PER_MS, RedactedTurn

GROUPS = ("speech", "language", "archive")
PARTITIONS = 2  # as many as there are cores: each group can have a worker on every one
DETECTORS = {"default": "vad", "webrtcvad": "gated-vad"}
INGEST_MUST = {"default": 300, "webrtcvad": 1_000}
INGEST_GOAL = {"default": 450, "webrtcvad": 1_500}
CALLS_MUST, CALLS_GOAL = 300, 400
LOOK_S = 5.0  # between two samples of the lag
LATE_LIMIT_MS = 1_000.0  # a generator that is later has not offered its load
_REST_LIMIT_S = 180.0


@dataclass(slots=True)
class Step:
    """What was seen at one number of calls.

    Attributes:
        cores: CPU time by process over the measured seconds, in cores.
        behind: records behind, by group, one a sample.
    """

    calls: int
    minutes: float
    offered_per_s: float = 0.0
    late_p99_ms: float = 0.0
    cores: dict[str, float] = field(default_factory=dict)
    behind: dict[str, list[int]] = field(default_factory=dict)
    latencies: Latencies = field(default_factory=Latencies)
    verdict: Verdict = field(default_factory=Verdict)
    ended: int = 0

    def growth_s(self, group: str) -> float:
        """By how many seconds' records of the whole load a group's lag has grown, from the first third to the last.

        Medians: the archive holds offsets back until a segment is stored, so its lag is a saw of ten seconds.
        """
        samples = self.behind[group]
        third = max(len(samples) // 3, 1)
        return float(np.median(samples[-third:]) - np.median(samples[:third])) / self.offered_per_s

    @property
    def is_flat(self) -> bool:
        """Whether every group kept up with what was offered when it was due, and nothing was lost."""
        said = self.verdict
        is_whole = not (said.lost or said.duplicated or said.misordered)
        return is_whole and self.late_p99_ms < LATE_LIMIT_MS and all(self.growth_s(one) < 1.0 for one in self.behind)

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {
            "calls": self.calls,
            "minutes": self.minutes,
            "offered_per_s": round(self.offered_per_s, 1),
            "sent_late_p99_ms": self.late_p99_ms,
            "cores": {name: round(cores, 3) for name, cores in self.cores.items()},
            "records_behind": self.behind,
            "is_flat": self.is_flat,
            "ended_calls": self.ended,
            "verdict": asdict(self.verdict),
            "speech_to_text": self.latencies.row(),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        said = self.verdict
        yield (
            f"{self.calls} calls, {self.minutes:g} min: {self.offered_per_s:.0f} records/s offered, at most"
            f" {self.late_p99_ms:.0f} ms late (p99); {'flat' if self.is_flat else 'NOT flat'}"
        )
        for group, samples in self.behind.items():
            yield (
                f"    {group:<9} behind p50 {np.median(samples):.0f}, max {max(samples)} records,"
                f" grown by {self.growth_s(group):.2f} s"
            )
        yield "    cores: " + ", ".join(f"{name} {cores:.2f}" for name, cores in self.cores.items())
        yield (
            f"    {self.ended} calls ended, {said.turns} turns: {said.lost} lost, {said.duplicated} duplicated,"
            f" {said.misordered} mis-ordered"
        )
        late = {at: self.latencies.at(at) for at in (50, 95, 99, 100)}
        yield "    end of speech to redacted text, ms: " + ", ".join(f"p{at} {ms}" for at, ms in late.items())


class Generator:
    """`bench/live_calls.py` as a child."""

    def __init__(self, bootstrap: str, prefix: str, lines: int, seconds: float, recording: Recording) -> None:
        """Begin to send."""
        where = (bootstrap, prefix, PARTITIONS, lines, seconds, recording.customer, recording.agent)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.live_calls", *map(str, where)],
            env=plain_environment() | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.began_s = float(self._line())
        self.pid = self._process.pid

    def end(self) -> Sent:
        """Wait until everything is sent; return what it says."""
        said = msgspec.json.decode(self._line(), type=Sent)
        self._process.wait()
        return said

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None  # a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the generator has ended")
        return line


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--calls", default=str(CALLS_MUST), help="of the whole machine, one step each: 200,300")
    parser.add_argument("--minutes", type=float, default=15.0, help="measured, of each step")
    parser.add_argument("--ingest", type=int, default=200, help="calls offered to the ingest worker; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured, of each detector")
    DEFAULT.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Measure ingest, then each step of the whole machine until one is not flat."""
    recording = Recording.chosen(given)
    ingests = {name: _ingest(name, recording, given.ingest, given.seconds) for name in DETECTORS if given.ingest}
    truth = quiet(recording)
    steps: list[Step] = []
    for calls in (int(one) for one in given.calls.split(",") if one != "0"):
        with Site.opened("capacity", recording, GROUPS, 1, PARTITIONS) as site:
            publish_policies(site.settings, policies.load(demo_file("policies.yaml")))
            steps.append(_step(site, calls, given.minutes, truth))
        print("\n".join(steps[-1].lines()), file=sys.stderr, flush=True)
        if not steps[-1].is_flat:
            break
    largest = max((step.calls for step in steps if step.is_flat), default=0)
    figures = {
        "voiced": spoken.voiced(recording.call),
        "ingest": ingests,
        "must": {"ingest": INGEST_MUST, "calls": CALLS_MUST},
        "goal": {"ingest": INGEST_GOAL, "calls": CALLS_GOAL},
        "machine": [step.figures() for step in steps],
        "largest_flat": largest,
    }
    lines = [
        f"ingest, {name}: {one['calls_a_core']:.0f} calls a core (must {INGEST_MUST[name]}, goal {INGEST_GOAL[name]});"
        f" {one['cpu_us_per_record']:.0f} us a record, {one['offered_per_s']:.0f}/s offered, {one['cores']:.2f} cores"
        for name, one in ingests.items()
    ]
    lines += [line for step in steps for line in step.lines()]
    lines.append(f"largest number of calls that stays flat: {largest} (must {CALLS_MUST}, goal {CALLS_GOAL})")
    curves = [
        (f"{step.calls} calls, {name}", [(LOOK_S * n, behind) for n, behind in enumerate(samples, 1)])
        for step in steps
        for name, samples in step.behind.items()
    ]
    if curves:
        (RESULTS / "capacity.svg").write_text(picture.curves(curves, "records behind"))
    return Report(figures, lines, all(step.is_flat for step in steps))


def _ingest(detector: str, recording: Recording, calls: int, seconds: float) -> dict[str, float]:
    with broker_alone("capacity") as (bootstrap, folder):
        worker = Loaded(bootstrap, folder, DETECTORS[detector], PARTITIONS, recording.asr, f"{detector}.")
        plan = Plan(recording.call.duration_ms / 1_000, calls)
        generator = Generator(bootstrap, worker.prefix, calls, plan.warm_s + seconds, recording)
        try:
            time.sleep(max(generator.began_s + plan.warm_s - time.time(), 0.0))
            began_s, cpu_before_s, before = time.time(), worker.cpu_s, worker.told().records
            generator.end()
            took_s, cpu = time.time() - began_s, worker.cpu_s - cpu_before_s
            records = worker.told().records - before
        finally:
            generator.stop()
            worker.close()
    return {
        "offered_per_s": calls / spoken.FRAME_S,
        "reached_per_s": records / took_s,
        "cores": cpu / took_s,
        "cpu_us_per_record": cpu * 1e6 / records,
        "calls_a_core": records / took_s * spoken.FRAME_S / (cpu / took_s),
    }


def _step(site: Site, calls: int, minutes: float, truth: Mapping[tuple[str, int], str]) -> Step:
    """Offer live calls, sample the lag, then compare what was said in those that have ended."""
    step = Step(calls, minutes)
    plan = Plan(site.recording.call.duration_ms / 1_000, calls)
    generator = Generator(
        site.settings.kafka_bootstrap, site.settings.topic_prefix, calls, plan.warm_s + 60 * minutes, site.recording
    )
    try:
        time.sleep(max(generator.began_s + plan.warm_s - time.time(), 0.0))
        pids = _pids(site) | {"generator": generator.pid}
        began_s, before = time.time(), {name: cpu_s(pid) for name, pid in pids.items()}
        is_over = threading.Event()
        sampling = threading.Thread(target=_sample, args=(site, step, is_over))
        sampling.start()
        time.sleep(max(began_s + 60 * minutes - 1.0 - time.time(), 0.0))
        took_s = time.time() - began_s
        step.cores = {name: (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
        is_over.set()
        sampling.join()
        said = generator.end()
    finally:
        generator.stop()
    step.offered_per_s = calls / spoken.FRAME_S
    step.late_p99_ms = said.late_p99_ms
    _rest(site)
    _compare(site, step, plan, generator.began_s, said.ended, truth)
    return step


def _rest(site: Site) -> None:
    """Wait until nothing moves: calls that were cut keep their audio, so the lag does not come to nothing."""
    until_s, before = time.monotonic() + _REST_LIMIT_S, -1
    while (behind := sum(lag.behind(site.settings, ("speech", "language")).values())) != before:
        if time.monotonic() > until_s:
            break
        before = behind
        time.sleep(LOOK_S)


def _pids(site: Site) -> dict[str, int]:
    running = broker.status(site.folder)
    assert running is not None  # `opened` has started it
    return {group: site.pid(group, 1) for group in GROUPS} | {"broker": running.pid}


def _sample(site: Site, step: Step, is_over: threading.Event) -> None:
    while not is_over.wait(LOOK_S):
        counts = dict.fromkeys(GROUPS, 0)
        for where, behind in lag.behind(site.settings, GROUPS).items():
            counts[where.group] += behind
        for group, behind in counts.items():
            step.behind.setdefault(group, []).append(behind)


def _compare(
    site: Site, step: Step, plan: Plan, began_s: float, ended: Sequence[str], truth: Mapping[tuple[str, int], str]
) -> None:
    entries = defaultdict[str, list[Entry]](list)
    for one in call.collect(site.settings, ("transcript.redacted",)):
        if isinstance(one.record, RedactedTurn) and one.record.is_final:
            entries[one.record.contact_id].append(one)
    step.ended = len(ended)
    for contact in ended:
        step.verdict.judge(entries[contact], dict(truth))
    for contact, said in entries.items():
        begins_ms = (began_s + plan.begins_s(contact)) * 1_000
        for one in said:
            assert isinstance(one.record, RedactedTurn)  # nothing else was kept
            if one.record.redaction_rev == 0 and begins_ms >= (began_s + plan.warm_s) * 1_000:
                step.latencies.add(one.written_ms - begins_ms - one.record.end_sample / SAMPLES_PER_MS)
