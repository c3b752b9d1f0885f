"""Where the words of a known text are."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE, run

import numpy as np
import pytest

import pipeline.demo
from connectors.pocketsphinx import Aligner, AlignerProcess, spoken_words
from pipeline.audio.pcm import decode_mu_law
from pipeline.audio.resample import upsample
from pipeline.errors import PeerUnavailable

pytestmark = pytest.mark.speech

DEMO = Path(next(iter(pipeline.demo.__path__)))


@pytest.fixture(scope="module")
def opening() -> tuple[list[dict[str, object]], bytes]:
    """The agent's first line in the demo call: reference words, and PCM at 16 kHz."""
    recording = (DEMO / "agent.wav").read_bytes()
    start = recording.index(b"data") + 8
    samples = decode_mu_law(recording[start : start + 48_000])  # 6 s
    words = json.loads((DEMO / "reference.json").read_text())["words"]
    line = [word for word in words if word["track"] == "agent" and word["end_ms"] < 6_000]
    return line, (upsample(samples) * 32_767).astype("<i2").tobytes()


def _texts(line: list[dict[str, object]]) -> list[str]:
    return [str(word["text"]) for word in line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello,", ["hello"]),
        ("I'm", ["i'm"]),
        ("I\u2019m", ["i'm"]),
        ("high-end", ["high", "end"]),
        ("$49", ["forty", "nine"]),
        ("7", ["seven"]),
        ("20", ["twenty"]),
        ("13", ["thirteen"]),
        ("05", ["zero", "five"]),
        ("4917", ["four", "nine", "one", "seven"]),
        ("\u00b2", []),
        ("?", []),
    ],
)
def test_a_written_word_is_spoken(text: str, words: list[str]) -> None:
    assert words == spoken_words(text)


def test_words_are_found_where_they_are(opening: tuple[list[dict[str, int]], bytes]) -> None:
    line, pcm = opening
    spans = Aligner().align([str(word["text"]) for word in line], pcm)
    assert spans is not None
    errors = [
        abs(actual - word[name])
        for word, span in zip(line, spans, strict=True)
        for actual, name in zip(span, ("start_ms", "end_ms"), strict=True)
    ]
    assert np.median(errors) < 50  # 32 ms over the whole call
    assert max(errors) < 300


def test_an_unknown_word_and_a_number_have_a_place(opening: tuple[list[dict[str, object]], bytes]) -> None:
    line, pcm = opening
    spans = Aligner().align([*_texts(line)[:-2], "Zqwrtz", "2018"], pcm)
    assert spans is not None
    assert all(start < end for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_answers_do_not_depend_on_earlier_ones(opening: tuple[list[dict[str, object]], bytes]) -> None:
    line, pcm = opening
    used = Aligner()
    used.align(["hello"], pcm[: len(pcm) // 2])
    used.align(["something", "else", "entirely"], pcm)
    assert Aligner().align(_texts(line), pcm) == used.align(_texts(line), pcm)


def test_text_without_audio_has_no_place() -> None:
    assert Aligner().align(["hello", "there"], bytes(640)) is None


def test_the_process_answers_like_the_aligner(opening: tuple[list[dict[str, object]], bytes]) -> None:
    line, pcm = opening
    process = AlignerProcess()
    assert Aligner().align(_texts(line), pcm) == process.align(_texts(line), pcm)
    assert process.align(["hello", "there"], bytes(640)) is None
    process.close()


def test_a_process_that_ended_is_replaced() -> None:
    process = AlignerProcess()
    process.align(["hello"], bytes(640))
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    with pytest.raises(PeerUnavailable):
        process.align(["hello"], bytes(640))
    assert process.align(["hello"], bytes(640)) is None
    process.close()


def test_the_process_ends_with_its_pipe() -> None:
    ended = run([sys.executable, "-m", "connectors.pocketsphinx"], input=b"", stdout=PIPE, check=False)
    assert (0, b"") == (ended.returncode, ended.stdout)
