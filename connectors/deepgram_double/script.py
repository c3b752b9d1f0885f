"""What the double can hear: the samples of both tracks, and the words on them.

Owns the form of the reference, which is that of `scripted:REF.json` (docs/cli.md).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples
from pipeline.errors import InputError
from topics.records import SAMPLES_PER_MS, Track

TRACKS: Final[tuple[Track, ...]] = ("customer", "agent")

_Milliseconds = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word and the samples of its track that it takes, half-open."""

    text: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Voice:
    """One track.

    Attributes:
        samples: int32 of shape (n,), so that bounds of int16 never overflow.
        words: in the order of their starts; none is longer than the track.
    """

    samples: NDArray[np.int32]
    words: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A recorded call and what is said in it.

    Attributes:
        voices: of both tracks.
        latency_s: how long an answer takes.
    """

    voices: dict[Track, Voice]
    latency_s: float = 0.0


class _Word(msgspec.Struct, frozen=True):
    track: Track
    text: Annotated[str, msgspec.Meta(min_length=1)]
    start_ms: _Milliseconds
    end_ms: _Milliseconds


class _Reference(msgspec.Struct, frozen=True):
    words: list[_Word]
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def read(reference: Path, customer: Samples, agent: Samples) -> Script:
    """Read a reference and lay its words on the tracks.

    Args:
        reference: the JSON file; a word beyond its track's end is never heard.
        customer: int16 of shape (n,), 8 kHz.
        agent: likewise.

    Raises:
        InputError: the file cannot be read, or is no reference.
    """
    try:
        read = msgspec.json.decode(reference.read_bytes(), type=_Reference)
    except OSError as error:
        raise InputError(f"cannot read {reference}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{reference} is not a reference transcript: {error}") from None
    voices = {track: _voice(read, track, samples) for track, samples in zip(TRACKS, (customer, agent), strict=True)}
    return Script(voices, read.latency_ms / 1_000)


def _voice(reference: _Reference, track: Track, samples: Samples) -> Voice:
    words = (
        Spoken(word.text, word.start_ms * SAMPLES_PER_MS, word.end_ms * SAMPLES_PER_MS)
        for word in reference.words
        if word.track == track
    )
    fitting = (word for word in words if word.start_sample < word.end_sample <= len(samples))
    return Voice(samples.astype(np.int32), tuple(sorted(fitting, key=lambda word: word.start_sample)))
