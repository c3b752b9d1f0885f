"""A streaming recogniser behind Kafka: what our side adds, how partials come, and that no word is lost or doubled.

    load     calls in real time through two speech workers and a Deepgram of one's own (`connectors/deepgram_double`), a
             process that answers after 250 ms; the figures are those of `bench/asr_times.py`
    cuts     each of the first connections is cut, stalled, left half open, refused or late, by a seed
    kills    one of the two workers dies by SIGKILL, at seeded times

After cuts and kills the words of every final of every call that was sent whole are compared with those of the same
call, undisturbed, on the memory engine; those of the second recogniser are its own and only counted. Exit 3 when a
word was lost or doubled, or a must was missed.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from confluent_kafka import Message

from bench import asr_times, picture
from bench.asr_times import Times, Written
from bench.asr_words import Comparison, Finals, finals
from bench.capacity import PARTITIONS, Generator
from bench.double import Double
from bench.failover import GROUP, SpeechSite, kill_worker
from bench.live_calls import Plan, Sent
from bench.offered import Latencies, Tail
from bench.report import RESULTS, Report, judged
from bench.site import cpu_s
from bench.spoken import AUDIO, TENANT
from bench.watched import DEFAULT, Recording
from pipeline import broker, call, settings
from pipeline.call import Request
from topics import codec
from topics.records import AudioFrame, SegmentWords

WORDS = "transcript.words"
CALLS = 100
LATENCY_MS = 250.0
DISTURBED = 20  # calls at once while connections are cut or workers killed
CUTS_A_CALL = 10  # of those that are planned; fewer cuts disturb fewer calls
QUIET_SPEED = 4.0
LATE_MS = 2_000  # a final that comes later after its cause is told as late
MUST = {"to socket p95_ms": 60, "to topic p95_ms": 60, "closing p99_ms": 250, "first cursor p95_ms": 350}
GOAL = {"to socket p95_ms": 20, "to topic p95_ms": 20, "closing p99_ms": 120, "first cursor p95_ms": 350}
_GAP_S = 3.5  # between two kills: a worker is back within it
_MARGIN_S = 5.0
_QUIET_S = 3.0
_REST_LIMIT_S = 60.0


@dataclass(slots=True)
class Site:
    """Workers, the double that they ask, and whatever was sent through them."""

    workers: SpeechSite
    double: Double

    def pids(self, generator: Generator) -> dict[str, int]:
        """The processes whose CPU time is told."""
        running = broker.status(self.workers.folder)
        assert running is not None  # `SpeechSite.opened` has started it
        each = {f"{GROUP}-{n}": self.workers.pid(GROUP, n) for n in (1, 2)}
        return each | {"double": self.double.pid, "generator": generator.pid, "broker": running.pid}


@dataclass(slots=True)
class Step:
    """What was seen at one number of calls."""

    calls: int
    sent: Sent
    times: Times
    cores: dict[str, float]

    @property
    def reached(self) -> dict[str, float]:
        """The figures that have a must."""
        to_topic = Latencies()
        to_topic.merge(self.times.partial_to_topic)
        to_topic.merge(self.times.final_to_topic)
        found = (
            self.times.to_socket.at(95),
            to_topic.at(95),
            self.times.closing.at(99),
            self.times.first_cursor.at(95),
        )
        return {name: float("inf") if value is None else value for name, value in zip(MUST, found, strict=True)}

    @property
    def is_met(self) -> bool:
        """Whether every must is met."""
        return all(value < MUST[name] for name, value in self.reached.items())

    def rows(self) -> dict[str, Latencies]:
        """Every figure by its name."""
        each = ((one.name, getattr(self.times, one.name)) for one in dataclasses.fields(self.times))
        return {name.replace("_", " "): value for name, value in each if isinstance(value, Latencies)}

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {
            "calls": self.calls,
            "sent_late_p99_ms": self.sent.late_p99_ms,
            "cores": self.cores,
            "reached": self.reached,
            "latencies": {name: latencies.row() for name, latencies in self.rows().items()},
            "between_partials": self.times.histogram(),
            "steady": round(self.times.steady, 4),
            "overtaken": self.times.overtaken,
            "unsaid": self.times.unsaid,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.calls} calls, sent at most {self.sent.late_p99_ms:.0f} ms late (p99)"
        yield f"    {'ms':<18} {'count':>7} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}"
        for name, one in self.rows().items():
            cells = " ".join(f"{one.at(at) or 0.0:>8.1f}" for at in (50, 95, 99, 100))
            yield f"    {name:<18} {one.count:>7} {cells}"
        low, high = asr_times.STEADY_MS
        yield f"    {self.times.steady:.1%} of partials come {low:g} to {high:g} ms after the one before"
        told = (f"{step}+ {count}" for step, count in self.times.histogram().items() if count)
        yield f"    ms between partials: {', '.join(told)}"
        yield f"    results overtaken by a final: {self.times.overtaken}; never on the topic: {self.times.unsaid}"
        yield "    cores: " + ", ".join(f"{name} {cores:.2f}" for name, cores in self.cores.items())
        for name, value in self.reached.items():
            yield "    " + judged(name, value, MUST[name], GOAL[name])


@dataclass(slots=True)
class Disturbed:
    """What became of calls that were disturbed."""

    calls: int = 0
    struck: dict[str, int] = field(default_factory=dict)
    comparison: Comparison = field(default_factory=Comparison)
    late: int = 0

    def line(self, name: str) -> str:
        """For people."""
        said = self.comparison
        each = ", ".join(f"{kind} {count}" for kind, count in sorted(self.struck.items()))
        return (
            f"{sum(self.struck.values())} {name} ({each}), {self.calls} calls, {said.finals} finals,"
            f" {said.words} words: {said.lost} lost, {said.doubled} doubled; finals: {said.missing} missing,"
            f" {said.extra} extra, {said.split} split, {said.stood_in} by the second recogniser, {said.gaps} by none,"
            f" {self.late} later than {LATE_MS} ms: {'met' if said.is_whole else f'NOT met: {said.where}'}"
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--calls", default=str(CALLS), help="of the load, one step each: 50,100; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, of each step")
    parser.add_argument("--cuts", type=int, default=210, help="planned; some connections end before; 0 leaves them out")
    parser.add_argument("--kills", type=int, default=50, help="0 leaves them out")
    parser.add_argument("--seed", type=int, default=1)
    DEFAULT.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Measure each step until one misses a must, then disturb."""
    recording = Recording.chosen(given)
    steps = []
    for calls in (int(one) for one in given.calls.split(",") if one != "0"):
        steps.append(_load(recording, calls, given.seconds))
        print("\n".join(steps[-1].lines()), file=sys.stderr, flush=True)
        if not steps[-1].is_met:
            break
    disturbed: dict[str, Disturbed] = {}
    if given.cuts or given.kills:
        truth, asr = _undisturbed(recording)
        if given.cuts:
            disturbed["cuts"] = _cut(recording, given.cuts, given.seed, truth, asr)
            print(disturbed["cuts"].line("cuts"), file=sys.stderr, flush=True)
        if given.kills:
            disturbed["kills"] = _kill(recording, given.kills, given.seed, truth, asr)
    return _report(given.seed, steps, disturbed)


@contextmanager
def _opened(recording: Recording, latency_ms: float, plan: tuple[int, int] = (0, 0)) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="trunkline-asr-") as folder:
        double = Double(recording, Path(folder) / "notes", latency_ms, plan)
        try:
            variables = {f"{settings.PREFIX}{name.upper()}": value for name, value in _asking(double).items()}
            with SpeechSite.opened("asr", recording, (GROUP,), partitions=PARTITIONS, variables=variables) as workers:
                yield Site(workers, double)
        finally:
            double.stop()


def _asking(double: Double) -> dict[str, str]:
    """Return the settings of a worker that asks the double."""
    return {
        "asr": "deepgram",
        "asr_external": TENANT,
        "deepgram_api_key": "of the bench",
        "deepgram_url": double.url,
        "deepgram_sockets": "2000",
    }


def _undisturbed(recording: Recording) -> tuple[Finals, str]:
    """Return what the finals of the call say when nothing happens, and how they name their recogniser."""
    with tempfile.TemporaryDirectory(prefix="trunkline-asr-") as folder:
        double = Double(recording, Path(folder) / "notes", 0.0)
        try:
            request = Request(recording.call, "quiet", TENANT, (), QUIET_SPEED, keep=False)
            entries, _ = asyncio.run(call.in_memory(request, settings.load(**_asking(double))))
        finally:
            double.stop()
    said = [one.record for one in entries if isinstance(one.record, SegmentWords)]
    names = {one.asr for one in said}
    if len(names) != 1:
        raise RuntimeError(f"the undisturbed call was heard by {', '.join(sorted(names))}")
    return finals(said), names.pop()


def _load(recording: Recording, calls: int, seconds: float) -> Step:
    plan = Plan(recording.call.duration_ms / 1_000, calls)
    with _opened(recording, LATENCY_MS) as site:
        with _sending(site, calls, plan.warm_s + seconds) as generator:
            since_s = generator.began_s + plan.warm_s
            time.sleep(max(since_s - time.time(), 0.0))
            pids = site.pids(generator)
            before, began_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.time()
            time.sleep(max(since_s + seconds - 1.0 - time.time(), 0.0))
            took_s = time.time() - began_s
            cores = {name: round((cpu_s(pid) - before[name]) / took_s, 3) for name, pid in pids.items()}
            sent = generator.end()
        arrivals, words = _arrivals(site.workers), _words(site.workers)
        site.double.stop()
        notes = site.double.notes()
    begins_ms = {contact: (generator.began_s + plan.begins_s(contact)) * 1_000 for contact in arrivals}
    own = [one for one in words if one.record.asr.startswith("deepgram")]
    load = asr_times.Load(arrivals, own, begins_ms, LATENCY_MS, since_s * 1_000)
    return Step(calls, sent, asr_times.measure(load, notes), cores)


def _cut(recording: Recording, cuts: int, seed: int, truth: Finals, asr: str) -> Disturbed:
    """Send calls twice over while connections are cut."""
    lines = min(max(cuts // CUTS_A_CALL, 2), DISTURBED)
    seconds = 2 * Plan(recording.call.duration_ms / 1_000, lines).warm_s
    with _opened(recording, LATENCY_MS, (cuts, seed)) as site:
        with _sending(site, lines, seconds) as generator:
            ended = generator.end().ended
        return _compared(site, ended, site.double.told().cuts, truth, asr)


def _kill(recording: Recording, kills: int, seed: int, truth: Finals, asr: str) -> Disturbed:
    """Send calls while workers die."""
    plan, random = Plan(recording.call.duration_ms / 1_000, DISTURBED), Random(seed)
    gaps_s = [random.uniform(_GAP_S, 1.3 * _GAP_S) for _ in range(kills)]
    with _opened(recording, LATENCY_MS) as site:
        with _sending(site, DISTURBED, _MARGIN_S + sum(gaps_s) + plan.warm_s) as generator:
            time.sleep(_MARGIN_S)
            for gap_s in gaps_s:
                site.workers.wait_until_ready()  # a recogniser that is loaded takes its time
                kill_worker(site.workers, random)
                time.sleep(gap_s)
            site.workers.wait_until_ready()
            ended = generator.end().ended
        return _compared(site, ended, {"kill -9": kills}, truth, asr)


@contextmanager
def _sending(site: Site, lines: int, seconds: float) -> Iterator[Generator]:
    """Send live calls and, once the body has ended, wait until nothing more comes of them."""
    own = site.workers.settings
    generator = Generator(own.kafka_bootstrap, own.topic_prefix, lines, seconds, site.workers.recording)
    try:
        yield generator
    finally:
        generator.stop()
    tail = Tail(own.kafka_bootstrap, [own.topic_prefix + WORDS], own.partitions)
    until_s, before = time.monotonic() + _REST_LIMIT_S, -1
    while (count := tail.counts()) != before and time.monotonic() < until_s:
        before = count
        time.sleep(_QUIET_S)
    tail.close()


def _compared(site: Site, ended: Iterable[str], struck: dict[str, int], truth: Finals, asr: str) -> Disturbed:
    said = defaultdict[str, list[Written]](list)
    for one in _words(site.workers):
        said[one.record.contact_id].append(one)
    disturbed = Disturbed(struck=struck)
    for contact in ended:
        disturbed.calls += 1
        disturbed.comparison.judge([one.record for one in said[contact]], truth, asr)
        disturbed.late += _late(said[contact])
    return disturbed


def _late(said: Iterable[Written]) -> int:
    """Count the finals whose first record came late."""
    first: dict[tuple[str, int], Written] = {}
    for one in said:
        if one.record.is_final:
            first.setdefault((one.record.track, one.record.first_sample), one)
    return sum(one.cause_ms > 0 and one.at_ms - one.cause_ms > LATE_MS for one in first.values())


def _words(site: SpeechSite) -> list[Written]:
    entries = sorted(call.collect(site.settings, (WORDS,)), key=lambda one: one.written_ms)
    return [
        Written(one.record, one.written_ms, one.cause_ms) for one in entries if isinstance(one.record, SegmentWords)
    ]


def _arrivals(site: SpeechSite) -> dict[str, list[tuple[int, float]]]:
    """Return when the audio records of each contact arrived, by where they end; both tracks end alike."""
    found = defaultdict[str, list[tuple[int, float]]](list)

    def take(message: Message) -> None:
        record = codec.decode(message.value() or b"")
        if isinstance(record, AudioFrame):
            end = record.customer_first_sample + len(record.customer_pcm) // 2
            found[record.contact_id].append((end, float(message.timestamp()[1])))

    tail = Tail(site.settings.kafka_bootstrap, [site.settings.topic_prefix + AUDIO], site.settings.partitions)
    tail.records(take)
    tail.close()
    return found


def _report(seed: int, steps: Sequence[Step], disturbed: Mapping[str, Disturbed]) -> Report:
    held = max((step.calls for step in steps if step.is_met), default=0)
    figures = {
        "seed": seed,
        "latency_ms": LATENCY_MS,
        "load": [step.figures() for step in steps],
        "must": MUST,
        "goal": GOAL,
        "largest_met": held,
        **{name: dataclasses.asdict(one) for name, one in disturbed.items()},
    }
    lines = [line for step in steps for line in step.lines()]
    if steps:
        lines.append(f"largest number of calls with every must met: {held} (must {CALLS})")
        (RESULTS / "asr.svg").write_text(
            picture.draw([(name, one) for name, one in steps[-1].rows().items() if one.count])
        )
    lines += [one.line(name) for name, one in disturbed.items()]
    is_good = all(step.is_met for step in steps) and all(one.comparison.is_whole for one in disturbed.values())
    return Report(figures, lines, is_good)
