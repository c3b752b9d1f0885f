"""Prompts of a real voice on the telephone, and questions about them. Without `../shared/data/speech` a test skips."""

import csv
import wave
from pathlib import Path

import pytest

from pipeline.stages.asr import Transcribe, Transcript

DATA = Path(__file__).parents[3] / "shared" / "data" / "speech"
PROMPTS = ("agent-user", "vm-forward-multiple", "cannot-complete-as-dialed")


def request(pcm: bytes, *, is_final: bool = True, first_sample: int = 16_000) -> Transcribe:
    """Ask for the words of some audio."""
    end_sample = first_sample + len(pcm) // 2
    return Transcribe("t", "c", "agent", first_sample, end_sample, pcm, first_sample, is_final, None, False)


def prompt(name: str) -> bytes:
    """Return the PCM of a prompt."""
    path = DATA / "prompts" / f"{name}.wav"
    if not path.is_file():
        pytest.skip("no ../shared/data/speech")
    with wave.open(str(path)) as recording:
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm


def said(name: str) -> list[str]:
    """Return the words of a prompt."""
    with (DATA / "manifest.tsv").open() as table:
        texts = {row["path"]: row["text"] for row in csv.DictReader(table, delimiter="\t")}
    return plain(texts[f"prompts/{name}.wav"])


def heard(answer: object) -> list[str]:
    """Return the words of an answer."""
    assert isinstance(answer, Transcript)
    return plain(" ".join(word.text for word in answer.words))


def plain(text: str) -> list[str]:
    """Write words as a prompt's text has them."""
    digits = {"1": "one", "2": "two"}
    kept = "".join(letter for letter in text.lower() if letter.isalnum() or letter in " '")
    return [digits.get(word, word) for word in kept.split()]
