"""The pause of live calls when a worker or a supervisor dies, is restarted, comes or goes.

Workers of group `speech` hear calls in real time. Each record of `speech.marks` says that a certain audio record has
been processed: which one is known from a run without engine. A pause is how late, over all calls, such an audio record
was processed for the first time, counted from when it was due: the longest gap between two records less one record.
About one audio record in four of a call leaves such a trace, so the figure is short by up to a second divided by the
calls on the struck worker; it begins with the strike, also where a process has to be started first.

    kill -9 of a worker        its supervisor starts it again
    restart of a worker        SIGTERM: it drains, its supervisor starts it again
    supervisor lost            SIGKILL of a supervisor, and so of its worker; a worker of another takes over
    supervisor stopped         SIGTERM of a supervisor for good; a worker of another takes over
    deploy                     SIGTERM of a supervisor, and a start of it as soon as it has gone
    scale-out                  one more supervisor with a worker
"""

import argparse
import math
import os
import signal
import statistics
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from confluent_kafka import Message

from bench import picture, spoken
from bench.offered import Due, Latencies, Tail, offer
from bench.report import RESULTS, Report, judged
from bench.site import Site
from bench.watched import Child, Recording, is_ready, wait_until
from connectors.files import Call
from pipeline.running import RUN_DIR
from topics import clients, codec
from topics.keys import contact_key, partition_of
from topics.records import Record, SpeechMark, Watermark

GROUP, MARKS = "speech", "speech.marks"
CALLS = 16
MARGIN_S = 5.0  # of load before the first fault and after the last
BEFORE_S = 0.25  # what was due so long before a strike may have been under way
_LIMIT_S = 60.0
MUST = {
    "kill -9 of a worker p99_s": 3.0,
    "supervisor lost max_s": 8.0,
    "restart of a worker max_s": 2.0,
    "supervisor stopped max_s": 2.0,
    "deploy max_s": 2.0,
    "scale-out max_s": 2.0,
}
GOAL = dict(zip(MUST, (1.0, 7.0, 0.5, 0.5, 0.5, 0.5), strict=True))


class SpeechSite(Site):
    """Supervisors of group `speech`."""

    def start_all(self, failpoint: float = 0.0) -> None:
        """Start one supervisor of two workers."""
        self.lead = self.start(GROUP, 2, failpoint)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until two workers answer so.

        Raises:
            RuntimeError: one does not.
        """
        stems = [self.folder / RUN_DIR / f"{GROUP}-{n}" for n in (1, 2)]
        if not wait_until(lambda: all(map(is_ready, stems)), _LIMIT_S):
            raise RuntimeError(f"no two workers are ready after {_LIMIT_S:.0f} s")

    def part(self) -> None:
        """Put two supervisors of one worker each in the place of the one."""
        end(self.lead)
        self.start(GROUP, 1)
        wait_until(lambda: is_ready(self.folder / RUN_DIR / f"{GROUP}-1"), _LIMIT_S)
        self.lead = self.start(GROUP, 1)
        self.wait_until_ready()


Strike = Callable[[SpeechSite, Random], None]


def nothing(_: SpeechSite, __: Random) -> None:
    """Do nothing: what the load itself does to the figures."""


def kill_worker(site: SpeechSite, random: Random) -> None:
    """End one worker with SIGKILL."""
    os.kill(site.pid(GROUP, random.choice((1, 2))), signal.SIGKILL)


def restart_worker(site: SpeechSite, random: Random) -> None:
    """Drain one worker, which is started again."""
    os.kill(site.pid(GROUP, random.choice((1, 2))), signal.SIGTERM)


def lose_supervisor(site: SpeechSite, _: Random) -> None:
    """End a supervisor with SIGKILL; its worker dies with it."""
    site.lead.process.kill()
    site.lead.end()


def stop_supervisor(site: SpeechSite, _: Random) -> None:
    """Drain a supervisor."""
    end(site.lead)


def deploy(site: SpeechSite, _: Random) -> None:
    """Drain a supervisor and start it again, as a service manager does."""
    end(site.lead)
    site.lead = site.start(GROUP, 1)


def add_supervisor(site: SpeechSite, _: Random) -> None:
    """Start a supervisor of one more worker."""
    site.lead = site.start(GROUP, 1)


def end(child: Child) -> None:
    """Drain a supervisor and wait until it has gone."""
    child.process.terminate()
    child.end()


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault, and how long it is given before the next."""

    name: str
    strike: Strike
    gap_s: float


# A supervisor has a spare process again 5 s after a restart and what its imports take.
QUIET = Kind("no fault", nothing, 4.0)
KILL = Kind("kill -9 of a worker", kill_worker, 9.0)
RESTART = Kind("restart of a worker", restart_worker, 9.0)
OUT = Kind("scale-out", add_supervisor, 10.0)
# The session of a member that is gone takes 6 s.
ROUND = (
    Kind("supervisor lost", lose_supervisor, 12.0),
    OUT,
    Kind("supervisor stopped", stop_supervisor, 12.0),
    OUT,
    Kind("deploy", deploy, 12.0),
)


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault, and when it struck in seconds since the epoch."""

    name: str
    at_s: float


@dataclass(slots=True)
class Load:
    """What was offered."""

    began_s: float = 0.0
    late: Latencies = field(default_factory=Latencies)
    seconds: float = 0.0

    def noted(self, each: Iterator[Due], is_enough: threading.Event) -> Iterator[Due]:
        """Pass a load on until it is enough; note how late each record is sent."""
        for due in each:
            if is_enough.is_set():
                return
            yield due
            self.late.add((time.time() - self.began_s - due.at_s) * 1_000)
            self.seconds = due.at_s

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {"offered_per_s": round(self.late.count / self.seconds, 1), "sent_late": self.late.row()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=CALLS, help="concurrent calls")
    parser.add_argument("--kills", type=int, default=30, help="of a worker")
    parser.add_argument("--rounds", type=int, default=5, help="of the other faults")
    spoken.RECORDED.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Strike under load, then look when each audio record was processed."""
    recording = Recording.chosen(given)
    calls = spoken.parts(recording.call, given.calls, given.seed)
    quiet = spoken.heard(calls)
    with SpeechSite.opened("failover", recording) as site:
        load, struck = _under_load(site, calls, given)
        written = _written(site)
        shares = Counter(
            partition_of(contact_key(spoken.TENANT, spoken.contact(n)), site.settings.partitions)
            for n in range(len(calls))
        )
    processed: list[tuple[float, float | None]] = []
    for n, marks in enumerate(quiet):
        begins_s, length_s = load.began_s + _begins_s(n, len(calls)), spoken.length_s(calls[n])
        for turn in range(int(load.seconds / length_s) + 1):
            own = written[spoken.contact(n + turn * len(calls))]
            processed += [(begins_s + turn * length_s + at_s, first) for at_s, first in first_times(marks, own)]
    pauses, missing = _pauses(struck, processed)
    extra = {
        "calls": given.calls,
        "calls_of_partitions": sorted(shares.values()),
        "voiced": spoken.voiced(recording.call),
        **load.figures(),
        "missing": missing,
    }
    return _report(given.seed, pauses, extra)


def _begins_s(number: int, calls: int) -> float:
    """Spread the calls over a watermark's second, so that their traces are spread too."""
    return number * 0.96 / calls


def _under_load(site: SpeechSite, calls: Sequence[Call], given: argparse.Namespace) -> tuple[Load, list[Struck]]:
    line = spoken.Line(site.settings.topic_prefix + spoken.AUDIO, site.settings.partitions)
    each = [spoken.for_ever(line, call, n, len(calls), _begins_s(n, len(calls))) for n, call in enumerate(calls)]
    load, is_enough = Load(time.time()), threading.Event()
    producer = clients.producer(site.settings.kafka_bootstrap)
    with ThreadPoolExecutor(1) as pool:
        offering = pool.submit(offer, producer, load.noted(spoken.merged(each), is_enough), load.began_s)
        try:
            time.sleep(MARGIN_S)
            struck = list(_faults(site, given))
        finally:
            is_enough.set()
        offering.result()
    time.sleep(MARGIN_S)
    return load, struck


def _faults(site: SpeechSite, given: argparse.Namespace) -> Iterator[Struck]:
    random = Random(given.seed)
    yield from _struck(site, [QUIET] * given.rounds + [KILL] * given.kills + [RESTART] * given.rounds, random)
    yield Struck("", time.time())  # what is late from here on has another cause
    site.part()
    time.sleep(MARGIN_S)
    yield from _struck(site, list(ROUND) * given.rounds, random)
    yield Struck("", time.time())


def _struck(site: SpeechSite, kinds: Sequence[Kind], random: Random) -> Iterator[Struck]:
    for kind in kinds:
        yield Struck(kind.name, time.time())
        kind.strike(site, random)
        time.sleep(random.uniform(kind.gap_s, kind.gap_s + 1.0))


def _written(site: SpeechSite) -> Mapping[str, list[tuple[float, Record]]]:
    """Return the marks of each contact with the broker's time in seconds, in the order of the log."""
    tail = Tail(site.settings.kafka_bootstrap, [site.settings.topic_prefix + MARKS], site.settings.partitions)
    found = defaultdict[str, list[tuple[float, Record]]](list)

    def take(message: Message) -> None:
        record = codec.decode(message.value() or b"")
        assert isinstance(record, SpeechMark | Watermark)
        found[record.contact_id].append((message.timestamp()[1] / 1_000, record))

    tail.records(take)
    tail.close()
    return found


def first_times(
    quiet: Sequence[tuple[float, Record]], written: Sequence[tuple[float, Record]]
) -> Iterator[tuple[float, float | None]]:
    """Yield for each output of the quiet run its audio time, and when the topic first said as much; None if never.

    A watermark says what every earlier one says, and a mark that closes a segment what the one says that opened it: a
    takeover writes the latest alone.
    """
    reached: list[tuple[int, float]] = []
    opened: dict[tuple[str, int], float] = {}
    closed: dict[tuple[str, int], float] = {}
    for at_s, record in written:
        if isinstance(record, Watermark) and (not reached or record.time_ms > reached[-1][0]):
            reached.append((record.time_ms, at_s))
        elif isinstance(record, SpeechMark):
            place = (record.track, record.first_sample)
            opened.setdefault(place, at_s)
            if record.end_sample is not None:
                closed.setdefault(place, at_s)
    for due_s, record in quiet:
        if isinstance(record, Watermark):
            at = bisect_left(reached, (record.time_ms, 0.0))
            yield due_s, reached[at][1] if at < len(reached) else None
        elif isinstance(record, SpeechMark):
            yield due_s, (opened if record.end_sample is None else closed).get((record.track, record.first_sample))


def _pauses(
    struck: Sequence[Struck], processed: Sequence[tuple[float, float | None]]
) -> tuple[dict[str, list[float]], int]:
    """Return the pause of each fault by name, and how many audio records were never processed."""
    ordered = sorted(processed, key=lambda one: one[0])
    dues = [due_s for due_s, _ in ordered]
    pauses, missing = defaultdict[str, list[float]](list), 0
    for fault, next_ in pairwise(struck):
        if fault.name:
            within = ordered[bisect_left(dues, fault.at_s - BEFORE_S) : bisect_left(dues, next_.at_s - BEFORE_S)]
            missing += sum(first_s is None for _, first_s in within)
            late = [first_s - due_s for due_s, first_s in within if first_s is not None]
            pauses[fault.name].append(max(late, default=math.nan))
    return pauses, missing


def _report(seed: int, pauses: Mapping[str, Sequence[float]], extra: Mapping[str, object]) -> Report:
    rows = {name: _row(found) for name, found in pauses.items()}
    reached = {name: rows[name.rpartition(" ")[0]][name.rpartition(" ")[2]] for name in MUST}
    figures = {
        "seed": seed,
        **extra,
        "faults": {name: {**row, "each_s": [round(one, 3) for one in pauses[name]]} for name, row in rows.items()},
        "reached": reached,
        "must": MUST,
        "goal": GOAL,
    }
    lines = [f"{'':<22} {'count':>5} {'p50 s':>7} {'p99 s':>7} {'max s':>7}"]
    lines += [
        f"{name:<22} {len(pauses[name]):>5} " + " ".join(f"{value:>7.2f}" for value in row.values())
        for name, row in rows.items()
    ]
    lines += [judged(name, value, MUST[name], GOAL[name]) for name, value in reached.items()]
    lines += [f"{name}: {value}" for name, value in extra.items() if name != "sent_late"]
    (RESULTS / "failover.svg").write_text(picture.draw([(name, _latencies(found)) for name, found in pauses.items()]))
    return Report(figures, lines, not extra["missing"])


def _row(found: Sequence[float]) -> dict[str, float]:
    p99_s = (_latencies(found).at(99) or 0.0) / 1_000
    return {"p50_s": round(statistics.median(found), 3), "p99_s": round(p99_s, 3), "max_s": round(max(found), 3)}


def _latencies(found: Sequence[float]) -> Latencies:
    latencies = Latencies()
    for pause_s in found:
        latencies.add(pause_s * 1_000)
    return latencies
