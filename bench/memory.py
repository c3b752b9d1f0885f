"""Memory of a worker for each call that is held open, and how long 5,000 calls' states take to be back after kill -9.

    speech      calls of real speech, one audio record per 5 s each; the audio that is kept for asking again is counted
                in the worker and left out: it is up to half a segment's length of each track, and no part of a state
    language    the same calls: what their words leave in the other group's worker
    minute      calls of a minute of text each, finals alone: the whole window that group `language` remembers

The slope is that of a straight line through the steps (least squares), so what a worker holds before its first call is
in none. Must and goal are of the first two; the third says what calls come to that talk all the time.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from pathlib import Path

import numpy as np

from bench import picture, spoken, text_calls
from bench.loaded import SETTLE_S, Loaded
from bench.offered import Due
from bench.report import RESULTS, Report, judged
from bench.site import broker_alone
from bench.watched import Recording
from topics import codec
from topics.keys import contact_key, partition_of
from topics.records import SegmentWords

GROUPS = ("speech", "language")
PARTITIONS = 12  # the default of an environment
EVERY_S = 5.0  # between two audio records of a call
WINDOW_MS = 60_000  # what redaction remembers
MUST, GOAL = 30.0, 20.0  # kB a call


@dataclass(slots=True)
class Row:
    """What was seen of one group."""

    offered_per_s: float
    steps: list[tuple[int, float, float]] = field(default_factory=list)  # calls, resident kB without audio, kB of audio
    restored_s: float = 0.0

    def add(self, calls: int, worker: Loaded) -> None:
        """Look at a worker that holds so many calls."""
        audio_kb = worker.told().pcm_bytes / 1_000
        self.steps.append((calls, worker.rss_bytes / 1_000 - audio_kb, audio_kb))

    @property
    def slope_kb(self) -> float:
        """Resident kB a call, without audio."""
        calls, resident_kb, _ = zip(*self.steps, strict=True)
        return round(float(np.polyfit(calls, resident_kb, 1)[0]), 1)

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {
            "offered_per_s": round(self.offered_per_s, 1),
            "steps": [
                {"calls": calls, "rss_without_audio_kb": round(rss_kb), "audio_kb": round(audio_kb)}
                for calls, rss_kb, audio_kb in self.steps
            ],
            "slope_kb_per_call": self.slope_kb,
            "restored_s": round(self.restored_s, 2),
        }

    def lines(self, name: str) -> Iterator[str]:
        """For people."""
        for calls, rss_kb, audio_kb in self.steps:
            yield f"{name:<10} {calls:>6} {rss_kb / 1_000:>12.1f} {audio_kb / 1_000:>9.1f}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", default="100,1000,5000", help="steps, rising")
    parser.add_argument("--seconds", type=float, default=60.0, help="of speech calls, at each step")
    parser.add_argument("--rate", type=float, default=500.0, help="records a second of the text calls")
    spoken.RECORDED.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Hold calls."""
    recording = Recording.chosen(given)
    steps = [int(count) for count in given.calls.split(",")]
    with broker_alone("memory") as (bootstrap, folder):
        rows = _spoken(bootstrap, folder, recording, steps, given)
        rows["minute"] = _minutes(bootstrap, folder, recording, steps, given)
    return _report(given.seed, spoken.voiced(recording.call), rows)


def _spoken(
    bootstrap: str, folder: Path, recording: Recording, steps: Sequence[int], given: argparse.Namespace
) -> dict[str, Row]:
    workers = {group: Loaded(bootstrap, folder, group, PARTITIONS, recording.asr, "memory.") for group in GROUPS}
    rows = {group: Row(steps[-1] / EVERY_S) for group in GROUPS}
    line = spoken.Line(workers["speech"].prefix + spoken.AUDIO, PARTITIONS, EVERY_S / spoken.FRAME_S)
    first = [next(at for at, step in enumerate(steps) if n < step) for n in range(steps[-1])]
    each = [
        line.say(call, spoken.contact(n), first[n] * given.seconds + EVERY_S * (n / steps[-1] - 1))
        for n, call in enumerate(spoken.parts(recording.call, steps[-1], given.seed))
    ]
    try:
        for at, load in groupby(spoken.merged(each), lambda due: int(due.at_s // given.seconds)):
            if at == len(steps):
                break
            workers["speech"].offer(load, time.time() - at * given.seconds)
            time.sleep(SETTLE_S)
            for group, row in rows.items():
                row.add(steps[at], workers[group])
        for group, row in rows.items():
            row.restored_s = workers[group].die()
    finally:
        for worker in workers.values():
            worker.close()
    return rows


def _minutes(
    bootstrap: str, folder: Path, recording: Recording, steps: Sequence[int], given: argparse.Namespace
) -> Row:
    worker = Loaded(bootstrap, folder, "language", PARTITIONS, recording.asr, "minute.")
    row = Row(given.rate)
    try:
        for before, step in pairwise((0, *steps)):
            worker.offer(_said(worker, range(before, step), given), time.time())
            time.sleep(SETTLE_S)
            row.add(step, worker)
        row.restored_s = worker.die()
    finally:
        worker.close()
    return row


def _said(worker: Loaded, numbers: range, given: argparse.Namespace) -> Iterator[Due]:
    """Send what some calls have said within the window, one turn of each after the other."""
    finals = [pair for n in numbers for pair in _finals(given.seed, n)]
    finals.sort(key=lambda pair: pair[0].at_ms)
    for n, one in enumerate(chain.from_iterable(finals)):
        key = contact_key(text_calls.TENANT, one.contact)
        topic = worker.prefix + "transcript.words"
        yield Due(n / given.rate, topic, partition_of(key, PARTITIONS), key, codec.encode(one.record))


def _finals(seed: int, number: int) -> Iterator[tuple[text_calls.Said, text_calls.Said]]:
    """Yield a call's finals, each with the watermark behind it."""
    said = text_calls.call(seed, number, WINDOW_MS)
    for words, mark in zip(said, said, strict=True):
        if isinstance(words.record, SegmentWords) and words.record.is_final:
            yield words, mark


def _report(seed: int, voiced: Mapping[str, float], rows: Mapping[str, Row]) -> Report:
    figures = {
        "seed": seed,
        "voiced": voiced,
        "every_s": EVERY_S,
        "groups": {name: row.figures() for name, row in rows.items()},
        "must_kb": MUST,
        "goal_kb": GOAL,
    }
    lines = [f"{'':<10} {'calls':>6} {'RSS, no audio':>12} {'audio MB':>9}"]
    lines += [line for name, row in rows.items() for line in row.lines(name)]
    lines += [judged(f"{name} kB a call", rows[name].slope_kb, MUST, GOAL) for name in GROUPS]
    lines.append(f"minute kB a call: {rows['minute'].slope_kb}")
    lines += [
        f"{name}: ready again {row.restored_s:.2f} s after kill -9 with {row.steps[-1][0]} calls"
        for name, row in rows.items()
    ]
    lines.append(f"voiced: {voiced}")
    curves = [(name, [(calls, rss_kb / 1_000) for calls, rss_kb, _ in row.steps]) for name, row in rows.items()]
    (RESULTS / "memory.svg").write_text(picture.curves(curves, "resident MB without audio, by calls"))
    return Report(figures, lines)
