"""Where the time of a call went: each stage's hop, and for every final turn each span from speech to redacted text.

Owns the spans, their limits and their percentiles; entries in, figures out. It knows the broker's times, the call's
audio clock and what the recogniser told of itself, and says below what is known exactly and what is left over.

    detector    end of speech, the last sample of the segment, to the last sample of the audio record that closed it:
                audio time alone. It holds the detector's hangover less the tail that the segment keeps, the search for
                the quietest place where a long segment was cut, and what was still missing to fill the record
    capture     that sample is due, on the call's clock, to its record on Kafka
    vad         the record on Kafka to the mark that closes the segment on Kafka
    queue       the question waits in the worker, as the recogniser's service measured it
    provider    the recogniser answers, as its service measured it
    asr         the rest until the final words are on Kafka: an earlier segment's final that has to leave first, another
                attempt, a worker that takes over, and all of it where the recogniser measures nothing
    assembly    the words on Kafka to the turn in transcript.raw
    redaction   that turn to the one in transcript.redacted
    push        the redacted turn on Kafka to its frame at a screen, where a screen's clock is known

The first record counts wherever one was written twice. The recogniser is asked in the step that makes the mark, so
`queue` begins a moment before the mark is on Kafka; the two measured durations are laid behind it, and shortened where
the words came sooner. Stages of one group run in one step: what redaction computed is in `assembly` as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from pipeline.results import STAGE_OF, SUMMARY, Entry, Json
from pipeline.topology import STAGES
from topics.records import (
    SAMPLES_PER_MS,
    TRACKS,
    AudioCoverage,
    AudioFrame,
    GuidanceDraft,
    Record,
    RedactedTurn,
    SegmentWords,
    SpeechMark,
    Turn,
    Watermark,
    turn_id,
)

PUSH = "push"
SPANS = ("detector", "capture", "vad", "queue", "provider", "asr", "assembly", "redaction", PUSH)


@dataclass(frozen=True, slots=True)
class Spent:
    """One final turn.

    Attributes:
        turn: as it was first published.
        spans: milliseconds by the names of `SPANS`, in that order; none is negative.
    """

    turn: RedactedTurn
    spans: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """From the end of speech to the end of the last span."""
        return sum(self.spans.values())


def figures(entries: Sequence[Entry], started_ms: int, wall_s: float, cpu_s: float, audio_s: float) -> Json:
    """Percentiles of each stage (group input to its output on the broker), and of speech end to redacted final.

    Args:
        entries: every record of a call.
        started_ms: when audio time 0 was, since 1970; 0 where nothing was in real time, so that no turn counts.
        wall_s: what the call took.
        cpu_s: what it cost.
        audio_s: its length.
    """
    stages: dict[str, list[float]] = {}
    for entry in entries:
        if entry.cause_ms > 0 and not isinstance(entry.record, Watermark):
            stages.setdefault(_stage(entry), []).append(entry.written_ms - entry.cause_ms)
    end_to_end = [
        one.written_ms - started_ms - one.record.end_sample / SAMPLES_PER_MS
        for one in _firsts(entries).values()
        if started_ms and isinstance(one.record, RedactedTurn)
    ]
    rows = spent(entries, started_ms) if started_ms else []
    return {
        "stages": {stage.name: _percentiles(stages.get(stage.name, [])) for stage in STAGES if stage.outputs},
        "end_to_end": _percentiles(end_to_end),
        "spans": {name: _percentiles(values) for name, values in by_span(rows).items() if name != PUSH},
        "turns": [_row(one) for one in rows],
        "audio_s": round(audio_s, 3),
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
    }


def spent(entries: Sequence[Entry], started_ms: float, shown_ms: Mapping[str, float] | None = None) -> list[Spent]:
    """Divide the time of each final turn, in the order of their speech; without gap or overlap.

    A turn of which a record is missing has no row: it would be laid at another's door.

    Args:
        entries: every record of one call.
        started_ms: when audio time 0 was, since 1970; what `audio.coverage` tells of a live contact goes before it.
        shown_ms: by turn, when its first final frame was at a screen, since 1970.
    """
    zero_ms = _live_start_ms(entries) or started_ms
    heard = _audio_ends_ms(entries)
    firsts = _firsts(entries)
    turns = sorted(
        (e.record for e in firsts.values() if isinstance(e.record, RedactedTurn)),
        key=lambda turn: (turn.first_sample, TRACKS.index(turn.track)),
    )
    rows = []
    for turn in turns:
        limits = _limits_ms(turn, firsts, heard, zero_ms)
        if limits and shown_ms is not None and turn.turn_id in shown_ms:
            limits.append(shown_ms[turn.turn_id])
        if limits:
            rows.append(Spent(turn, _spans(zero_ms + turn.end_sample / SAMPLES_PER_MS, limits)))
    return rows


def by_span(rows: Sequence[Spent]) -> dict[str, list[float]]:
    """Return the milliseconds of every span, each turn's in its place."""
    return {name: [one.spans[name] for one in rows if name in one.spans] for name in SPANS}


def report(rows: Sequence[Spent]) -> str:
    """One line for the end of a command."""
    if not rows:
        return "end of speech to redacted text: no turn"
    p50, p95, worst = np.percentile([one.total_ms for one in rows], (50, 95, 100))
    most = max(by_span(rows).items(), key=lambda item: sum(item[1]))[0]
    return f"end of speech to redacted text: p50 {p50:,.0f}, p95 {p95:,.0f}, max {worst:,.0f} ms; most of it in {most}"


def _spans(end_of_speech_ms: float, limits_ms: Sequence[float]) -> dict[str, float]:
    """Return the time between limits; one that lies behind a later one is moved there, clocks being what they are."""
    sound = reversed(list(accumulate(reversed(limits_ms), min)))
    placed = [end_of_speech_ms, *(max(limit, end_of_speech_ms) for limit in sound)]
    return {name: end - start for name, (start, end) in zip(SPANS, pairwise(placed), strict=False)}


def _limits_ms(
    turn: RedactedTurn, firsts: Mapping[tuple[type, str], Entry], heard: Mapping[int, list[float]], zero_ms: float
) -> list[float]:
    """Return where each span of a turn ends, up to its redacted text; nothing where that is not wholly known."""
    found = [firsts.get((kind, turn.turn_id)) for kind in (SpeechMark, SegmentWords, Turn, RedactedTurn)]
    mark, words, raw, redacted = found
    if mark is None or words is None or raw is None or redacted is None or mark.cause_ms not in heard:
        return []
    assert isinstance(words.record, SegmentWords)  # by the key that it was found with
    end_ms = turn.end_sample / SAMPLES_PER_MS
    ends = heard[mark.cause_ms]
    # Of several records in one millisecond, the first that reaches the end of speech: it may have closed the segment.
    due_ms = zero_ms + min((end for end in ends if end >= end_ms), default=ends[-1])
    with_provider_ms = mark.written_ms + words.record.queue_ms
    answered_ms = with_provider_ms + words.record.provider_ms
    written = [words.written_ms, raw.written_ms, redacted.written_ms]
    return [due_ms, mark.cause_ms, mark.written_ms, with_provider_ms, answered_ms, *written]


def _firsts(entries: Sequence[Entry]) -> dict[tuple[type, str], Entry]:
    """Return the first entry of each kind that settles a turn, by kind and turn."""
    found: dict[tuple[type, str], Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.written_ms):
        name = _settles(entry.record)
        if name:
            found.setdefault((type(entry.record), name), entry)
    return found


def _settles(record: Record) -> str:
    """Name the turn whose segment a record closes, or whose final it is; empty for anything else."""
    match record:
        case SpeechMark() if record.end_sample is not None:
            return turn_id(record.contact_id, record.track, record.first_sample)
        case SegmentWords(is_final=True):
            return turn_id(record.contact_id, record.track, record.first_sample)
        case Turn(is_final=True) | RedactedTurn(is_final=True):
            return record.turn_id
    return ""


def _audio_ends_ms(entries: Sequence[Entry]) -> dict[int, list[float]]:
    """Return how far, in audio time, the records reach that a detector reads, by the broker's time of each."""
    found: dict[int, list[float]] = {}
    for entry in entries:
        if entry.topic == "audio.frames":
            found.setdefault(entry.written_ms, []).append(_audio_end_ms(entry.record))
    return {written_ms: sorted(ends) for written_ms, ends in found.items()}


def _audio_end_ms(record: Record) -> float:
    """Say how far, in audio time, a record of audio.frames reaches on the track that it brings furthest."""
    if isinstance(record, Watermark):
        return record.time_ms
    assert isinstance(record, AudioFrame)  # the catalogue has no third type there
    blocks = [record.track(track) for track in TRACKS]
    return max((first + len(pcm) // 2 for first, pcm in blocks if pcm), default=0) / SAMPLES_PER_MS


def _live_start_ms(entries: Sequence[Entry]) -> int:
    """Return when audio time 0 of a live contact was, as told last; 0 for one from files."""
    told = [(e.record.rev, e.record.start_ms) for e in entries if isinstance(e.record, AudioCoverage)]
    return max(told)[1] if told else 0


def _row(one: Spent) -> Json:
    return {
        "turn_id": one.turn.turn_id,
        "end_ms": one.turn.end_sample // SAMPLES_PER_MS,
        "spans": dict(one.spans),
        "total_ms": one.total_ms,
    }


def _stage(entry: Entry) -> str:
    """Name the stage that wrote a record; the summary shares its topic with inference."""
    is_summary = isinstance(entry.record, GuidanceDraft) and entry.record.cause_id.endswith(f"/{SUMMARY}")
    return SUMMARY if is_summary else STAGE_OF[entry.topic]


def _percentiles(values: Sequence[float]) -> Json:
    if not values:
        return {"count": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "max_ms": None}
    p50, p95, p99 = (float(np.percentile(values, q)) for q in (50, 95, 99))
    return {"count": len(values), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max(values)}
