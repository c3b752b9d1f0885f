"""CPU per record of group `speech` as partitions and calls grow: the curve should stay flat.

One worker, webrtcvad alone in the place of silero, real speech, a recogniser that reads a script. The rate of records
over all calls stays the same, so a call of many has its records at longer intervals than in real time: 1,000 calls in
real time are 33 MB/s, more than two cores can carry. Then fewer of a call's records share a checkpoint, so the points
of many calls hold a copy and a changelog row for nearly every record; `--rate 0` offers real time.

CPU is the worker process's own, all threads, user and system, over the measured seconds.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby, takewhile
from pathlib import Path

from bench import picture, spoken
from bench.loaded import Loaded
from bench.report import RESULTS, Report
from bench.site import broker_alone
from bench.watched import Recording

FIRST_PARTITIONS, FIRST_CALLS = 8, 50
WARM_S = 4.0  # of load before the measured seconds
REAL_TIME_PER_S = 1 / spoken.FRAME_S
_NUMBERS = count()  # of the points, each with topics of its own


@dataclass(frozen=True, slots=True)
class Point:
    """What was seen with some partitions and calls."""

    partitions: int
    calls: int
    offered_per_s: float
    reached_per_s: float
    cpu_us: float

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {
            "partitions": self.partitions,
            "calls": self.calls,
            "offered_per_s": round(self.offered_per_s, 1),
            "reached_per_s": round(self.reached_per_s, 1),
            "cpu_us_per_record": round(self.cpu_us, 1),
        }

    def line(self) -> str:
        """For people."""
        return (
            f"{self.partitions:>10} {self.calls:>6} {self.offered_per_s:>10.0f} {self.reached_per_s:>10.0f}"
            f" {self.cpu_us:>8.0f}"
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, of each point")
    parser.add_argument("--rate", type=float, default=FIRST_CALLS * REAL_TIME_PER_S, help="records a second of all")
    parser.add_argument("--partitions", default="8,16,32,64,96", help=f"with {FIRST_CALLS} calls")
    parser.add_argument("--calls", default="50,100,200,500,1000", help=f"with {FIRST_PARTITIONS} partitions")
    spoken.RECORDED.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Measure each point with a worker and topics of its own."""
    recording = Recording.chosen(given)
    with broker_alone("growth") as (bootstrap, folder):
        _point(bootstrap, folder, recording, FIRST_PARTITIONS, FIRST_CALLS, given)  # a fresh broker burdens the first
        by_partitions = [
            _point(bootstrap, folder, recording, int(n), FIRST_CALLS, given) for n in given.partitions.split(",")
        ]
        by_calls = [
            _point(bootstrap, folder, recording, FIRST_PARTITIONS, int(n), given) for n in given.calls.split(",")
        ]
    return _report(given, spoken.voiced(recording.call), by_partitions, by_calls)


def _point(
    bootstrap: str, folder: Path, recording: Recording, partitions: int, calls: int, given: argparse.Namespace
) -> Point:
    worker = Loaded(bootstrap, folder, "gated", partitions, recording.asr, f"growth-{next(_NUMBERS)}.")
    rate = given.rate or calls * REAL_TIME_PER_S
    line = spoken.Line(worker.prefix + spoken.AUDIO, partitions, calls * REAL_TIME_PER_S / rate)
    each = [
        spoken.for_ever(line, call, n, calls, n / rate)
        for n, call in enumerate(spoken.parts(recording.call, calls, given.seed))
    ]
    try:
        for is_measured, load in groupby(spoken.merged(each), lambda due: due.at_s >= WARM_S):
            before_s = worker.cpu_s
            if is_measured:
                within = takewhile(lambda due: due.at_s < WARM_S + given.seconds, load)
                records, took_s = worker.offer(within, time.time() - WARM_S)
                cpu_us = (worker.cpu_s - before_s) * 1e6
                return Point(partitions, calls, rate, records / (took_s - WARM_S), cpu_us / records)
            worker.offer(load, time.time())
    finally:
        worker.close()
    raise AssertionError  # a call is said for ever


def _report(
    given: argparse.Namespace, voiced: Mapping[str, float], by_partitions: Sequence[Point], by_calls: Sequence[Point]
) -> Report:
    ratios = {
        f"partitions {by_partitions[0].partitions} -> {by_partitions[-1].partitions}": _ratio(by_partitions),
        f"calls {by_calls[0].calls} -> {by_calls[-1].calls}": _ratio(by_calls),
    }
    figures = {
        "seed": given.seed,
        "seconds": given.seconds,
        "voiced": voiced,
        "by_partitions": [point.figures() for point in by_partitions],
        "by_calls": [point.figures() for point in by_calls],
        "cpu_last_by_first": ratios,
    }
    lines = [f"{'partitions':>10} {'calls':>6} {'offered/s':>10} {'reached/s':>10} {'CPU us':>8}"]
    lines += [point.line() for point in (*by_partitions, *by_calls)]
    lines += [f"{name}: CPU per record x {ratio}" for name, ratio in ratios.items()]
    lines.append(f"voiced: {voiced}")
    curves = [
        (f"partitions, {FIRST_CALLS} calls", [(point.partitions, point.cpu_us) for point in by_partitions]),
        (f"calls, {FIRST_PARTITIONS} partitions", [(point.calls, point.cpu_us) for point in by_calls]),
    ]
    (RESULTS / "growth.svg").write_text(picture.curves(curves, "CPU us a record"))
    return Report(figures, lines)


def _ratio(points: Sequence[Point]) -> float:
    return round(points[-1].cpu_us / points[0].cpu_us, 2)
