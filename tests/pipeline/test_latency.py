"""Where a turn's time went: the spans of every turn add up, whatever the clocks and the workers did."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import files
from pipeline import app, latency, metrics, results, settings
from pipeline.call import of_a_call
from pipeline.engines.memory import MemoryEngine, MemoryLog
from pipeline.latency import PUSH, SPANS, Spent
from pipeline.results import Entry
from topics.records import (
    SAMPLES_PER_MS,
    AudioCoverage,
    AudioFrame,
    Record,
    RedactedTurn,
    SegmentWords,
    SpeechMark,
    Track,
    Turn,
    Watermark,
    turn_id,
)

pytestmark = pytest.mark.unit

ZERO_MS = 1_790_000_000_000
FIRST, END = 8_000, 16_000  # samples of the segment: speech ends 2,000 ms after audio time 0
NAME = turn_id("c", "agent", FIRST)
DEMO = Path(__file__).parents[2] / "pipeline" / "demo"
KEY = b"t|c"


def frame(end_ms: int) -> AudioFrame:
    first, pcm = (end_ms - 192) * SAMPLES_PER_MS, bytes(192 * SAMPLES_PER_MS * 2)
    return AudioFrame("t", "c", 1, first, pcm, first, pcm)


def mark(track: Track = "agent") -> SpeechMark:
    return SpeechMark("t", "c", 1, track, FIRST, END)


def words(queue_ms: int = 0, provider_ms: int = 0) -> SegmentWords:
    return SegmentWords("t", "c", 1, "agent", FIRST, END, True, (), "a", None, 0, "", queue_ms, provider_ms)


RAW = Turn("t", "c", 1, NAME, "agent", "agent", FIRST, END, True, (), "a", None)
REDACTED = RedactedTurn("t", "c", 1, NAME, 0, "agent", "agent", FIRST, END, True, (), (), "a", None)


def entry(topic: str, record: Record, written: int, cause: int = 0) -> Entry:
    """An entry at milliseconds after audio time 0."""
    return Entry(topic, 0, KEY, record, ZERO_MS + written, ZERO_MS + cause)


def way(closed_by: Record, *times: int, said: SegmentWords | None = None) -> list[Entry]:
    """The records of one turn, on Kafka at these times: audio, mark, words, turn, redacted turn."""
    audio, marked, heard, assembled, redacted = times
    return [
        entry("audio.frames", closed_by, audio),
        entry("speech.marks", SpeechMark("t", "c", 1, "agent", FIRST, None), audio - 500, audio - 505),
        entry("speech.marks", mark(), marked, audio),
        entry("transcript.words", said or words(), heard, audio),
        entry("transcript.raw", RAW, assembled, heard),
        entry("transcript.redacted", REDACTED, redacted, heard),
    ]


QUIET = way(frame(2_304), 2_310, 2_320, 2_600, 2_610, 2_615, said=words(30, 200))
OF_QUIET = {
    "detector": 304,
    "capture": 6,
    "vad": 10,
    "queue": 30,
    "provider": 200,
    "asr": 50,
    "assembly": 10,
    "redaction": 5,
}


def only(entries: Sequence[Entry], started_ms: int = ZERO_MS) -> Spent:
    (one,) = latency.spent(entries, started_ms)
    return one


def assert_sound(one: Spent, end_ms: float) -> None:
    """The spans are in order, none is negative, and they fill the time from the end of speech to `end_ms`."""
    assert list(one.spans) == list(SPANS[: len(one.spans)])
    assert min(one.spans.values()) >= 0
    assert max(0, end_ms - one.turn.end_sample / SAMPLES_PER_MS) == one.total_ms


def test_each_span_ends_where_its_record_is_on_kafka() -> None:
    one = only(QUIET)
    assert (OF_QUIET, 615) == (one.spans, one.total_ms)


def test_a_screen_s_clock_adds_the_push() -> None:
    (one,) = latency.spent(QUIET, ZERO_MS, {NAME: ZERO_MS + 2_640})
    assert (OF_QUIET | {PUSH: 25}, 640) == (one.spans, one.total_ms)


def test_the_end_of_a_call_closes_a_segment_too() -> None:
    end = Watermark("t", "c", 1, 2_100, is_end=True)
    assert 100 == only(way(end, 2_110, 2_120, 2_600, 2_610, 2_615)).spans["detector"]


def test_of_two_records_in_one_millisecond_the_first_that_reaches_the_end_counts() -> None:
    together = [entry("audio.frames", frame(end_ms), 2_310) for end_ms in (1_920, 2_112)]
    assert 112 == only([*QUIET, *together]).spans["detector"]


def test_a_mark_that_comes_late_after_a_takeover_delays_the_detector_s_stage_alone() -> None:
    late = way(frame(2_304), 2_310, 5_320, 5_600, 5_610, 5_615, said=words(30, 200))
    assert OF_QUIET | {"vad": 3_010} == only(late).spans


def test_words_that_waited_for_an_earlier_segment_carry_its_cause_and_change_nothing() -> None:
    late = [replace(one, cause_ms=ZERO_MS + 100) if isinstance(one.record, SegmentWords) else one for one in QUIET]
    assert OF_QUIET == only(late).spans


def test_a_cause_that_is_later_than_its_mark_is_no_negative_span() -> None:
    one = only(way(frame(2_304), 2_450, 2_320, 2_600, 2_610, 2_615))
    assert (16, 0) == (one.spans["capture"], one.spans["vad"])
    assert_sound(one, 2_615)


def test_measured_times_end_where_the_words_came_sooner() -> None:
    one = only(way(frame(2_304), 2_310, 2_320, 2_600, 2_610, 2_615, said=words(30, 900)))
    assert (30, 250, 0) == tuple(one.spans[name] for name in ("queue", "provider", "asr"))
    assert_sound(one, 2_615)


def test_what_was_written_twice_counts_as_it_came_first() -> None:
    again = [replace(one, written_ms=one.written_ms + 60_000) for one in QUIET if one.topic != "audio.frames"]
    assert OF_QUIET == only([*again, *QUIET]).spans


@pytest.mark.parametrize("topic", ["audio.frames", "speech.marks", "transcript.words", "transcript.raw"])
def test_a_turn_without_one_of_its_records_has_no_row(topic: str) -> None:
    assert [] == latency.spent([one for one in QUIET if one.topic != topic], ZERO_MS)


def test_a_live_contact_s_audio_begins_where_its_coverage_says() -> None:
    def told(start_ms: int, rev: int) -> Entry:
        return entry("audio.coverage", AudioCoverage("t", "c", 1, start_ms, 0, 0, (), False, "", rev), 2_000)

    entries = [told(ZERO_MS - 3, 2), told(ZERO_MS - 900, 1), *QUIET]
    assert OF_QUIET | {"capture": 9} == only(entries, ZERO_MS + 700).spans


@given(
    times=st.tuples(*[st.integers(0, 9_000)] * 5),
    measured=st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)),
    end_ms=st.integers(192, 9_000),
    shown_ms=st.none() | st.integers(0, 9_000),
)
def test_spans_add_up_whatever_the_clocks_say(
    times: tuple[int, ...], measured: tuple[int, int], end_ms: int, shown_ms: int | None
) -> None:
    entries = way(frame(end_ms), *times, said=words(*measured))
    shown = {} if shown_ms is None else {NAME: float(ZERO_MS + shown_ms)}
    (one,) = latency.spent(entries, ZERO_MS, shown)
    assert len(one.spans) == len(SPANS) - (shown_ms is None)
    assert_sound(one, times[-1] if shown_ms is None else shown_ms)


def in_file(entries: Sequence[Entry], started_ms: int) -> Any:  # JSON
    return json.loads(json.dumps(latency.figures(entries, started_ms, 1, 1, 74)))


async def recorded() -> list[Entry]:
    """The demo call on the memory engine, by a clock that the audio's due times drive."""
    now_ms = ZERO_MS

    def clock_ms() -> int:
        nonlocal now_ms
        now_ms += 1
        return now_ms

    own = settings.load(asr=f"scripted:{DEMO / 'reference.json'}")
    log = MemoryLog(clock_ms)
    engine = MemoryEngine(app.services(own, ("asr",), is_paced=False), of_a_call(app.stages(own)), log)
    engine.start()
    for due in files.frames(files.read_call(DEMO / "customer.wav", DEMO / "agent.wav"), "t", "c"):
        now_ms = max(now_ms, ZERO_MS + math.ceil(due.due_ms))
        log.append(due.topic, KEY, due.record)
        await engine.settle()
    return [
        Entry(topic, offset, one.key, one.record, one.written_ms, one.cause_ms)
        for topic, written in log.topics.items()
        for offset, one in enumerate(written)
    ]


async def test_every_turn_of_a_call_has_a_row_that_adds_up_and_none_at_speed_0() -> None:
    entries = await recorded()
    rows = latency.spent(entries, ZERO_MS)
    assert [turn["turn_id"] for turn in results.turns(entries)] == [one.turn.turn_id for one in rows]
    first = {
        one.record.turn_id: one.written_ms - ZERO_MS
        for one in reversed(entries)
        if isinstance(one.record, RedactedTurn) and one.record.is_final
    }
    for one in rows:
        assert_sound(one, first[one.turn.turn_id])
        # 320 ms of silence close a segment, which keeps 100 ms of them; a record holds 192 ms.
        assert 220 <= one.spans["detector"] < 220 + 192
    assert [one.total_ms for one in rows] == [turn["total_ms"] for turn in in_file(entries, ZERO_MS)["turns"]]
    unpaced = in_file(entries, 0)
    assert ([], {0}) == (unpaced["turns"], {row["count"] for row in unpaced["spans"].values()})


def test_the_last_line_names_the_span_that_took_most() -> None:
    line = "end of speech to redacted text: p50 615, p95 615, max 615 ms; most of it in detector"
    assert line == latency.report(latency.spent(QUIET, ZERO_MS))
    assert "end of speech to redacted text: no turn" == latency.report([])


@pytest.mark.parametrize(
    ("record", "spans"),
    [
        (mark(), {"vad": 0.25}),
        (SpeechMark("t", "c", 1, "agent", FIRST, None), {}),
        (words(30, 200), {"queue": 0.03, "provider": 0.2}),
        (replace(words(30, 200), is_final=False), {}),
        (REDACTED, {"redaction": 0.25}),
        (replace(REDACTED, redaction_rev=1), {}),
        (replace(REDACTED, is_final=False), {}),
        (RAW, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_worker_knows_its_own_spans_of_final_turns(record: Record, spans: dict[str, float]) -> None:
    assert spans == dict(metrics.spans(record, 0.25))
