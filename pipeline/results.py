"""The files of `trunkline call`, from the records of its topics.

Pure: entries in, lines out; `write` puts them in place at the end, all or none. Docs: `docs/cli.md`.
"""

import json
import os
import tempfile
import wave
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connectors.files import Call
from pipeline.audio.pcm import Samples
from pipeline.audio.tone import apply_tone
from pipeline.errors import InputError
from pipeline.topology import STAGES
from topics import codec
from topics.catalogue import TOPICS
from topics.records import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    TRACKS,
    AudioRedaction,
    AudioSpan,
    ContactEvent,
    DecidedUntil,
    Guidance,
    GuidanceRequest,
    Hint,
    KeyPress,
    Moments,
    Receipt,
    Record,
    RedactedTurn,
    SpeechMark,
    Track,
    Turn,
    Watermark,
    Word,
)

Json = dict[str, object]
R = TypeVar("R", RedactedTurn, AudioRedaction, Guidance, Turn)
SUMMARY = "summary"
STAGE_OF = {topic: stage.name for stage in reversed(STAGES) for topic in stage.outputs}
_ROW = {stage.name: number for number, stage in enumerate(STAGES)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of one topic, with the broker's times (ms since the epoch; 0 where they do not count)."""

    topic: str
    offset: int
    key: bytes
    record: Record
    written_ms: int
    cause_ms: int


def turns(entries: Iterable[Entry]) -> list[Json]:
    """Final turns as they stand, sorted by first sample, customer before agent."""
    newest = _newest(e.record for e in entries if isinstance(e.record, RedactedTurn) and e.record.is_final)
    ordered = sorted(newest, key=lambda turn: (turn.first_sample, TRACKS.index(turn.track)))
    return [_turn(turn) for turn in ordered]


def partials(entries: Iterable[Entry]) -> list[Json]:
    """Every partial that was published, in order."""
    return [
        {
            "turn_id": e.record.turn_id,
            "rev": e.record.rev,
            "redaction_rev": e.record.redaction_rev,
            "track": e.record.track,
            "text": e.record.text,
            "at_ms": e.record.end_sample // SAMPLES_PER_MS,
        }
        for e in entries
        if isinstance(e.record, RedactedTurn) and not e.record.is_final
    ]


def spans(entries: Iterable[Entry]) -> list[tuple[str, AudioSpan]]:
    """The audio spans that stand, with the turn that caused each, in audio order."""
    newest = _newest(e.record for e in entries if isinstance(e.record, AudioRedaction))
    found = [(one.turn_id, span) for one in newest for span in one.spans]
    return sorted(found, key=lambda pair: (pair[1].start_sample, TRACKS.index(pair[1].track), pair[1].end_sample))


def hints(entries: Iterable[Entry]) -> list[Hint]:
    """The hints that stand, the summary included, in audio order."""
    newest = _newest(e.record for e in entries if isinstance(e.record, Guidance))
    return sorted((hint for one in newest for hint in one.hints), key=lambda hint: (hint.at_ms, hint.guidance_id))


def journal(entries: Iterable[Entry]) -> list[Json]:
    """Every record of every unrestricted topic by audio time, row, key and offset.

    Receipts and proofs are left out: they are of one deployment's key, and tell one input from another.
    """
    kept = [e for e in entries if TOPICS[e.topic].data != "restricted" and not isinstance(e.record, Receipt)]
    kept.sort(key=lambda e: (_audio_ms(e.record), _ROW.get(STAGE_OF.get(e.topic, ""), -1), e.key, e.offset))
    return [
        {
            "audio_ms": _audio_ms(entry.record),
            "topic": entry.topic,
            "key": entry.key.decode(),
            "offset": entry.offset,
            "schema": entry.record.schema,
            "record": {name: value for name, value in codec.to_json(entry.record).items() if name != "proof"},
        }
        for entry in kept
    ]


def redacted_tracks(call: Call, entries: Sequence[Entry]) -> dict[Track, Samples]:
    """Both tracks, as long as their files, with the tone in place of each span."""
    covered = [span for _, span in spans(entries)]
    tracks: dict[Track, Samples] = {"customer": call.customer, "agent": call.agent}
    return {
        track: apply_tone(samples, 0, [(s.start_sample, s.end_sample) for s in covered if s.track == track])
        for track, samples in tracks.items()
    }


def files(call: Call, contact_id: str, entries: Sequence[Entry], figures: Json) -> dict[str, bytes]:
    """Return every file's name and content."""
    standing = hints(entries)
    redactions = [_redaction(turn_id, span) for turn_id, span in spans(entries)]
    tracks = redacted_tracks(call, entries)
    return {
        "turns.jsonl": _lines(turns(entries)),
        "partials.jsonl": _lines(partials(entries)),
        "redactions.jsonl": _lines(redactions),
        "guidance.jsonl": _lines([_hint(hint) for hint in standing if hint.kind != SUMMARY]),
        "summary.json": _json(_summary(contact_id, [hint for hint in standing if hint.kind == SUMMARY])),
        "latency.json": _json(figures),
        "journal.jsonl": _lines(journal(entries)),
        "customer.redacted.wav": wav(tracks["customer"]),
        "agent.redacted.wav": wav(tracks["agent"]),
    }


def restricted_lines(entries: Sequence[Entry]) -> list[str]:
    """Unredacted final turns, for the terminal alone."""
    newest = _newest(e.record for e in entries if isinstance(e.record, Turn) and e.record.is_final)
    ordered = sorted(newest, key=lambda turn: (turn.first_sample, TRACKS.index(turn.track)))
    return [f"{turn.speaker}: {' '.join(word.text for word in turn.words)}" for turn in ordered]


def lost_words(entries: Sequence[Entry], script: Iterable[tuple[Track, Word]]) -> int:
    """Count the words of a script that no final turn holds, because no speech segment was near them."""
    held = {
        (entry.record.track, word)
        for entry in entries
        if isinstance(entry.record, Turn) and entry.record.is_final
        for word in entry.record.words
    }
    return sum(one not in held for one in script)


def report(entries: Sequence[Entry], out: Path) -> str:
    """One line for the end of a command."""
    return f"{len(turns(entries))} turns, {len(spans(entries))} redactions, {len(hints(entries))} hints in {out}"


def check_folder(out: Path) -> None:
    """Make the folder and prove that it can be written to.

    Raises:
        InputError: it cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from None


def write(out: Path, contents: dict[str, bytes]) -> None:
    """Write every file under a temporary name, then rename all."""
    for name, content in contents.items():
        with (out / f".{name}.partial").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for name in contents:
        (out / f".{name}.partial").replace(out / name)


def wav(samples: Samples) -> bytes:
    """Return 16-bit PCM mono 8 kHz WAV bytes."""
    with tempfile.SpooledTemporaryFile(max_size=1 << 28) as file:
        with wave.open(file, "wb") as sound:
            sound.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
            sound.writeframes(samples.astype("<i2").tobytes())
        file.seek(0)
        return file.read()


def _newest(records: Iterable[R]) -> list[R]:
    found: dict[Hashable, R] = {}
    for record in records:
        held = found.get(record.identity)
        if held is None or held.rev < record.rev:
            found[record.identity] = record
    return list(found.values())


def _turn(turn: RedactedTurn) -> Json:
    return {
        "contact_id": turn.contact_id,
        "turn_id": turn.turn_id,
        "rev": turn.rev,
        "redaction_rev": turn.redaction_rev,
        "track": turn.track,
        "speaker": turn.speaker,
        "start_ms": turn.first_sample // SAMPLES_PER_MS,
        "end_ms": turn.end_sample // SAMPLES_PER_MS,
        "text": turn.text,
        "words": [
            {"text": w.text, "start_ms": w.start_ms, "end_ms": w.end_ms}
            | ({"estimated": True} if w.is_estimated else {})
            for w in turn.words
        ],
        "asr": turn.asr,
        "confidence": turn.confidence,
    }


def _redaction(turn_id: str, span: AudioSpan) -> Json:
    return {
        "turn_id": turn_id,
        "track": span.track,
        "start_sample": span.start_sample,
        "end_sample": span.end_sample,
        "type": span.type,
    }


def _hint(hint: Hint) -> Json:
    return {
        "guidance_id": hint.guidance_id,
        "kind": hint.kind,
        "body": hint.body,
        "policy": hint.policy,
        "policy_version": hint.policy_version,
        "evidence": list(hint.evidence),
        "at_ms": hint.at_ms,
        "deadline_ms": hint.deadline_ms,
    }


def _summary(contact_id: str, found: Sequence[Hint]) -> Json:
    text = found[0].body if found else ""
    points = found[0].points if found else ()
    return {
        "contact_id": contact_id,
        "text": text,
        "points": [{"text": point.text, "turn_ids": list(point.turn_ids)} for point in points],
    }


def _audio_ms(record: Record) -> int:
    """When, in audio time, a record became possible; sets are placed at the start of the turn that caused them."""
    match record:
        case Watermark():
            return record.time_ms
        case ContactEvent() | Moments():
            return record.at_ms
        case SpeechMark():
            return (record.first_sample if record.end_sample is None else record.end_sample) // SAMPLES_PER_MS
        case RedactedTurn() | KeyPress():
            return record.end_sample // SAMPLES_PER_MS
        case DecidedUntil():
            return min(record.customer_sample, record.agent_sample) // SAMPLES_PER_MS
        case AudioRedaction():
            return _start_ms(record.turn_id)
        case GuidanceRequest() | Guidance():
            return _start_ms(record.cause_id)
    return 0  # policies are there before the call


def _start_ms(cause: str) -> int:
    """Read a turn's start from its id; a summary comes after every turn."""
    last = cause.rpartition("/")[2]
    return int(last) // SAMPLES_PER_MS if last.isdigit() else 2**53


def _lines(rows: Iterable[Json]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _json(row: Json) -> bytes:
    return (json.dumps(row, ensure_ascii=False, indent=1) + "\n").encode()
