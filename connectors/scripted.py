"""A recogniser that reads its answers from a file: the stand-in for an ASR, with the file's latency.

Owns which word belongs to which segment. Each answer depends on the question alone, so a word has one
segment, however often and in whatever order the segments are asked:

- to the segment that holds the word's middle;
- else to the segment that ended at most 150 ms before the middle;
- else to the segment that starts at most 500 ms after it.

A segment that is cut ends sharply: what follows belongs to the next one.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import msgspec

from pipeline.errors import InputError
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import SAMPLES_PER_MS, Track, Word

# The detector hears the end of a word within its tail of 100 ms; the start of one may be weak for longer.
AFTER_MS: Final = 150
BEFORE_MS: Final = 500

_Milliseconds = Annotated[int, msgspec.Meta(ge=0)]


class _Word(msgspec.Struct, frozen=True):
    track: Track
    text: Annotated[str, msgspec.Meta(min_length=1)]
    start_ms: _Milliseconds
    end_ms: _Milliseconds


class _Reference(msgspec.Struct, frozen=True):
    words: list[_Word]
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class ScriptedAsr:
    """Answer with the words of a reference transcript."""

    def __init__(self, reference: Path, *, is_paced: bool = True) -> None:
        """Read the reference (docs/cli.md, `scripted:REF.json`).

        Args:
            reference: the JSON file.
            is_paced: answers take the file's `latency_ms`; otherwise they come at once.

        Raises:
            InputError: the file cannot be read, or is not such a reference.
        """
        script = _read(reference)
        self._latency_s = script.latency_ms / 1_000 if is_paced else 0.0
        self._words: dict[Track, list[Word]] = {"customer": [], "agent": []}
        for word in sorted(script.words, key=lambda word: (word.start_ms, word.end_ms)):
            self._words[word.track].append(Word(word.text, word.start_ms, word.end_ms))

    @property
    def words(self) -> list[tuple[Track, Word]]:
        """Every word of the reference."""
        return [(track, word) for track, words in self._words.items() for word in words]

    async def answer(self, request: Transcribe) -> Transcript:
        """Return the words of one segment; for a partial, those whose middle has been heard."""
        await asyncio.sleep(self._latency_s)
        start, end = _reach(request)
        words = tuple(word for word in self._words[request.track] if start <= _middle_sample(word) < end)
        return Transcript(words, "scripted", None)

    async def close(self) -> None:
        """Hold nothing, close nothing."""


def _read(reference: Path) -> _Reference:
    try:
        script = msgspec.json.decode(reference.read_bytes(), type=_Reference)
    except OSError as error:
        raise InputError(f"cannot read {reference}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{reference} is not a reference transcript: {error}") from None
    for number, word in enumerate(script.words):
        if word.end_ms <= word.start_ms:
            raise InputError(f"{reference} is not a reference transcript: words[{number}] has no length")
    return script


def _middle_sample(word: Word) -> int:
    return (word.start_ms + word.end_ms) * SAMPLES_PER_MS // 2


def _reach(request: Transcribe) -> tuple[int, int]:
    """Return the samples whose words belong to a segment; no two segments of a track share one."""
    previous, first = request.previous_end_sample, request.first_sample
    if previous == first:
        start = first
    else:
        after_previous = 0 if previous is None else previous + AFTER_MS * SAMPLES_PER_MS
        start = max(first - BEFORE_MS * SAMPLES_PER_MS, after_previous)
    is_open_ended = request.is_final and not request.is_cut
    return start, request.end_sample + (AFTER_MS * SAMPLES_PER_MS if is_open_ended else 0)
