"""Embedded recognition in real time: several calls through broker and workers, end of speech to redacted text.

A recorded call of two people begins as many times within ten seconds (`pipeline/replay.py`), with partials. A turn's
speech ends where the detector says so, so its 320 ms of patience count. A segment that is cut because the speaker goes
on has no end of speech, and the place of the cut is sought in its last 1.5 s: those are told apart. `queue` and
`provider` are the recogniser's own figures of the finals: how long one waited for it, and how long it took.
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.report import Report
from bench.site import Site, cpu_s
from bench.spoken import RECORDED, heard
from bench.watched import DEMO_FILES, Recording
from connectors import policies
from connectors.files import Call
from pipeline.call import collect
from pipeline.replay import Replay
from topics.records import SAMPLE_RATE_HZ, SegmentWords, SpeechMark

MUST_MS: Final = 1_500.0  # of every final
MUST_CALLS: Final = 2
_GROUPS: Final = ("speech", "language")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the must counts for two calls, whole, on two cores."""
    Recording(RECORDED.customer, RECORDED.agent, "moonshine").add_options(parser)
    parser.add_argument("--calls", type=int, default=MUST_CALLS, help="at once")
    parser.add_argument("--seconds", type=float, default=1e6, help="of the recording, at most")
    parser.add_argument("--workers", type=int, default=1, help="of each group")


def run(given: argparse.Namespace) -> Report:
    """Play the calls and measure."""
    recording = Recording.chosen(given)
    samples = int(given.seconds * SAMPLE_RATE_HZ)
    call = Call(recording.call.customer[:samples], recording.call.agent[:samples])
    with Site.opened("embedded", recording, _GROUPS, given.workers) as site:
        pids = [site.pid("speech", n) for n in range(1, given.workers + 1)]
        before_s = sum(map(cpu_s, pids))
        replay = Replay(call, given.calls, 1.0, site.settings)
        asyncio.run(replay.run(policies.load(DEMO_FILES / "policies.yaml")))
        spent_s = sum(map(cpu_s, pids)) - before_s
        words = [entry.record for entry in collect(site.settings, ("transcript.words",))]
    return _report(recording.asr, call, replay, [one for one in words if isinstance(one, SegmentWords)], spent_s)


def _report(asr: str, call: Call, replay: Replay, words: Sequence[SegmentWords], spent_s: float) -> Report:
    cut = _cut(call)
    finals: dict[str, list[float]] = {
        "end of speech": [],
        "cut": [],
        "queue": [one.queue_ms for one in words if one.is_final],
        "provider": [one.provider_ms for one in words if one.is_final],
    }
    for contact_id, one in replay.heard.items():
        for turn_id, late_ms in one.finals.items():
            finals["cut" if turn_id.removeprefix(f"{contact_id}/") in cut else "end of speech"].append(late_ms)
    rows = {name: _percentiles(values) for name, values in finals.items() if values}
    partials = sum(not one.is_final for one in words)
    audio_s = call.duration_ms / 1_000 * replay.calls
    worst_ms = rows["end of speech"]["max_ms"]
    figures = {
        "asr": asr,
        "calls": replay.calls,
        "recording_s": round(call.duration_ms / 1_000, 1),
        "rows": rows,
        "partials": partials,
        "partials_a_minute_of_call": round(60 * partials / audio_s, 1),
        "speech_worker_cpu_s_per_call_s": round(spent_s / audio_s, 3),
    }
    lines = [
        f"{asr}: {replay.calls} calls of {figures['recording_s']} s; {partials} partials",
        f"{'to redacted text, from':<24}{'finals':>8}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'max ms':>8}",
        *(f"{name:<24}" + "".join(f"{value:>8.0f}" for value in row.values()) for name, row in rows.items()),
        f"CPU of the speech worker: {figures['speech_worker_cpu_s_per_call_s']} s for each second of a call",
        f"the latest final: {worst_ms} ms after its speech (must {MUST_MS:.0f})",
    ]
    return Report(figures, lines, worst_ms < MUST_MS or replay.calls > MUST_CALLS)


def _cut(call: Call) -> set[str]:
    """Return track and first sample of the segments at whose end the next one begins."""
    (found,) = heard([call])
    marks = [mark for _, mark in found if isinstance(mark, SpeechMark)]
    begins = {(mark.track, mark.first_sample) for mark in marks}
    ends = {(mark.track, mark.first_sample): mark.end_sample for mark in marks if mark.end_sample is not None}
    return {f"{track}/{first}" for (track, first), end in ends.items() if (track, end) in begins}


def _percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    p50, p95, p99, worst = (round(float(value), 1) for value in np.percentile(values_ms, (50, 95, 99, 100)))
    return {"count": len(values_ms), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": worst}
