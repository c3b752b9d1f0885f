"""Latency of one call in real time: each stage's hop, each turn's spans, words to the screen, speech to guidance.

    span            where a turn's time went from the end of its speech to its frame at a screen; `pipeline/latency.py`
                    says what each is. The spans of a turn add up; `latency.svg` has a bar for each turn
    hop             broker time of a group's input to broker time of a stage's output
    words to page   broker time of a segment's final words (`transcript.words`) to the turn's frame at a screen; the
                    goal is p95 below 75 ms
    guidance        end of the speech that caused a card, on the call's clock, to the card's frame at a screen

A screen's clock is this machine's, and so is the broker's.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import picture
from bench.kills import play
from bench.report import RESULTS, Report
from bench.screen import Seen
from bench.watched import Recording, watched
from pipeline import latency, results
from pipeline.latency import Spent
from pipeline.results import Entry
from pipeline.topology import STAGES
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, AudioFrame, RedactedTurn, SegmentWords

GOAL_MS = 75.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Samples in milliseconds, by name, in the order of the flow, and what each turn's time was spent on."""

    samples: dict[str, list[float]]
    turns: list[Spent]

    def rows(self) -> dict[str, dict[str, float | int | None]]:
        """Percentiles of each."""
        return {name: _percentiles(values) for name, values in self.samples.items()}


def measure(entries: Sequence[Entry], seen: Sequence[Seen]) -> Figures:
    """Take the figures from the call's records and from what a screen was shown.

    Args:
        entries: every record of the call.
        seen: the frames of a screen that followed it from its begin.
    """
    began_ms = _began_ms(entries)
    hops = {f"hop {stage.name}": _hops(entries, stage.name) for stage in STAGES if stage.outputs}
    shown_ms = {turn_id: float(round(at_ms)) for turn_id, at_ms in _first_finals(seen).items()}
    turns = latency.spent(entries, began_ms, shown_ms)
    return Figures(
        {
            **hops,
            **{f"span {name}": values for name, values in latency.by_span(turns).items()},
            "words to page": words_to_page(entries, seen),
            "speech to text": speech_to_page(entries, seen, began_ms),
            "speech to guidance": speech_to_guidance(entries, seen, began_ms),
        },
        turns,
    )


def words_to_page(entries: Sequence[Entry], seen: Sequence[Seen]) -> list[float]:
    """From a segment's final words on Kafka to the turn's first final frame."""
    spoken = {
        f"{one.record.contact_id}/{one.record.track}/{one.record.first_sample}": one.written_ms
        for one in reversed(entries)
        if isinstance(one.record, SegmentWords) and one.record.is_final
    }
    return [at_ms - spoken[turn_id] for turn_id, at_ms in _first_finals(seen).items() if turn_id in spoken]


def speech_to_page(entries: Sequence[Entry], seen: Sequence[Seen], began_ms: float) -> list[float]:
    """From the end of a segment's speech to the turn's first final frame."""
    ends = _ends_ms(entries)
    return [at_ms - began_ms - ends[turn_id] for turn_id, at_ms in _first_finals(seen).items()]


def speech_to_guidance(entries: Sequence[Entry], seen: Sequence[Seen], began_ms: float) -> list[float]:
    """From the end of the last speech that a card cites to the card's first frame; summaries are not advice."""
    ends = _ends_ms(entries)
    first: dict[str, float] = {}
    for one in seen:
        hints = one.frame["hints"] if one.frame["type"] == "guidance" else []
        assert isinstance(hints, list)
        for hint in hints:
            if hint["kind"] != results.SUMMARY:
                waited_ms = one.at_s * 1_000 - began_ms - max(ends[turn_id] for turn_id in hint["evidence"])
                first.setdefault(hint["guidance_id"], waited_ms)
    return list(first.values())


def _first_finals(seen: Sequence[Seen]) -> dict[str, float]:
    first: dict[str, float] = {}
    for one in seen:
        if one.frame["type"] == "turn" and one.frame["is_final"]:
            first.setdefault(str(one.frame["turn_id"]), one.at_s * 1_000)
    return first


def _ends_ms(entries: Sequence[Entry]) -> dict[str, float]:
    turns = (one.record for one in entries if isinstance(one.record, RedactedTurn) and one.record.is_final)
    return {turn.turn_id: turn.end_sample / SAMPLES_PER_MS for turn in turns}


def _hops(entries: Sequence[Entry], stage: str) -> list[float]:
    return [
        one.written_ms - one.cause_ms
        for one in entries
        if one.cause_ms > 0 and results.STAGE_OF.get(one.topic) == stage and hasattr(one.record, "rev")
    ]


def _began_ms(entries: Sequence[Entry]) -> float:
    """When audio time 0 was: each audio record is sent when its last sample is due, the promptest says it best."""
    return min(
        one.written_ms - (one.record.customer_first_sample + len(one.record.customer_pcm) // 2) / SAMPLES_PER_MS
        for one in entries
        if isinstance(one.record, AudioFrame)
    )


def _percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    if not values:
        return {"count": 0, "p50_ms": None, "p95_ms": None, "max_ms": None}
    p50, p95 = (round(float(np.percentile(values, q)), 1) for q in (50, 95))
    return {"count": len(values), "p50_ms": p50, "p95_ms": p95, "max_ms": round(max(values), 1)}


def _name(turn: RedactedTurn) -> str:
    return f"{turn.track} {turn.first_sample / SAMPLE_RATE_HZ:.1f} s"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the goal counts for the defaults."""
    Recording(asr="moonshine").add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Play the call and measure."""
    recording = Recording.chosen(given)
    duration_s = recording.call.duration_ms / 1_000
    began_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-latency-") as folder,
        watched(Path(folder), recording, 1.0) as demo,
    ):
        outcome = play(demo, duration_s, ())
    found = measure(outcome.entries, outcome.seen)
    rows = found.rows()
    bars = [(_name(one.turn), one.spans) for one in found.turns]
    if bars:
        (RESULTS / "latency.svg").write_text(picture.bars(bars, latency.SPANS, "from the end of speech"))
    p95_ms = rows["words to page"]["p95_ms"]
    is_met = p95_ms is not None and p95_ms < GOAL_MS
    lines = [f"{'':<20} {'count':>6} {'p50 ms':>9} {'p95 ms':>9} {'max ms':>9}"]
    for name, row in rows.items():
        cells = ("" if value is None else f"{value:.1f}" for value in list(row.values())[1:])
        lines.append(f"{name:<20} {row['count']:>6} " + " ".join(f"{cell:>9}" for cell in cells))
    lines.append(f"goal: words to page, p95 below {GOAL_MS:.0f} ms: {'met' if is_met else 'NOT MET'}")
    figures = {
        "asr": recording.asr,
        "audio_s": duration_s,
        "wall_s": round(time.monotonic() - began_s, 1),
        "rows": rows,
        "turns": [{"turn": name, **spans} for name, spans in bars],
        "goal_ms": GOAL_MS,
        "is_goal_met": is_met,
    }
    return Report(figures, lines)
