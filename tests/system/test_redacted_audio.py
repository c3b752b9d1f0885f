"""What is redacted is gone: the tone alone stands there, and the files do not depend on what was said there."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from connectors import files
from pipeline import results
from pipeline.audio.tone import apply_tone, merge_spans
from tests.system.commands import DEMO, REFERENCE, SCRIPTED, Place
from tests.system.conftest import Called, call

pytestmark = pytest.mark.system

TRACKS = ("customer", "agent")
Samples = NDArray[np.int16]
Spans = list[tuple[int, int]]


def given(track: str) -> Samples:
    return files.read_wav(DEMO / f"{track}.wav")


def made(called: Called, track: str) -> Samples:
    return files.read_wav(called.out / f"{track}.redacted.wav")


def covered(called: Called, track: str) -> Spans:
    """The union of the spans of redactions.jsonl on one track."""
    return merge_spans(
        (int(str(span["start_sample"])), int(str(span["end_sample"])))
        for span in called.lines("redactions.jsonl")
        if span["track"] == track
    )


def secret(track: str) -> Spans:
    """Where the committed reference has something personal."""
    ranges = json.loads(REFERENCE.read_text())["pii"]
    return [(8 * one["start_ms"], 8 * one["end_ms"]) for one in ranges if one["track"] == track]


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("heard", ["memory_call", "embedded_call"])
def test_every_sample_of_the_secrets_is_the_tone(track: str, heard: str, request: pytest.FixtureRequest) -> None:
    """The tone is made from silence, so nothing of the input can be in it; what recognition missed counts too."""
    called: Called = request.getfixturevalue(heard)
    spans = covered(called, track)
    tone = apply_tone(np.zeros(len(given(track)), np.int16), 0, spans)
    assert secret(track)
    missed = [
        (start, end) for start, end in secret(track) if not any(low <= start and end <= high for low, high in spans)
    ]
    assert [] == missed
    for start, end in secret(track):
        assert (tone[start:end] == made(called, track)[start:end]).all()


@pytest.mark.parametrize("track", TRACKS)
def test_every_sample_of_a_span_is_the_tone_and_every_other_the_input(track: str, memory_call: Called) -> None:
    inside = np.zeros(len(given(track)), bool)
    for low, high in covered(memory_call, track):
        inside[low:high] = True
    tone = apply_tone(np.zeros(len(inside), np.int16), 0, covered(memory_call, track))
    assert (tone[inside] == made(memory_call, track)[inside]).all()
    assert (given(track)[~inside] == made(memory_call, track)[~inside]).all()


def scrambled(samples: Samples, spans: Spans) -> Samples:
    """Flip the sign of every sample inside the spans: another sound of the same energy and pitch."""
    other = samples.copy()
    for low, high in spans:
        other[low:high] = -np.maximum(other[low:high], -32_767)
    return other


def write(path: Path, samples: Samples) -> Path:
    path.write_bytes(results.wav(samples))
    return path


def test_what_is_said_inside_the_spans_changes_no_byte_of_any_file(memory_call: Called, shell: Place) -> None:
    tracks = {}
    for track in TRACKS:
        other = scrambled(given(track), covered(memory_call, track))
        changed = int((other != given(track)).sum())
        assert changed > 4_000, f"{track}: only {changed} samples differ"
        tracks[track] = write(shell.folder / f"{track}.wav", other)
    contact_id = str(memory_call.lines("turns.jsonl")[0]["contact_id"])
    again = call(
        shell, "out", "--engine", "memory", "--asr", SCRIPTED, "--contact-id", contact_id,
        customer=tracks["customer"], agent=tracks["agent"],
    )  # fmt: skip
    for path in sorted(memory_call.out.iterdir()):
        assert path.name == "latency.json" or path.read_bytes() == (again.out / path.name).read_bytes(), path.name
