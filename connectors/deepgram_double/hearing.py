"""Which words were in the bytes: received audio is sought on the tracks, sample by sample.

Owns decoding and alignment; it knows no messages. Times are samples of the connection, from 0.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from connectors.deepgram_double.requests import Format
from connectors.deepgram_double.script import Script, Spoken, Voice
from pipeline.audio import pcm
from topics.records import Track

# Of each received sample the lowest and the highest value that it may have had before it was encoded, shape (n, 2).
Bounds = NDArray[np.int32]
# A track, and by how much its samples are ahead of those of the connection.
Whence = tuple[Track, int]

BLOCK_SAMPLES: Final = 160  # 20 ms: so much audio says where on which track it is
# A place that was taken for another is mended from what is kept: 8 s, longer than a word.
_KEPT_BLOCKS: Final = 400


class Decoder:
    """Turn the binary frames of a connection into steps of samples, however they are cut."""

    def __init__(self, encoding: str, channels: int, *, is_multichannel: bool) -> None:
        """Bind the decoder to its input.

        Args:
            encoding: one of `ENCODINGS`.
            channels: interleaved.
            is_multichannel: each is heard by itself; otherwise they are mixed into one.
        """
        self._table, width = ENCODINGS[encoding]
        self._channels = channels
        self._is_mixed = channels > 1 and not is_multichannel
        self._frame_bytes = width * channels
        self._step_bytes = self._frame_bytes * BLOCK_SAMPLES
        self._rest = b""

    def steps(self, data: bytes) -> Iterator[Bounds]:
        """Yield the steps of `BLOCK_SAMPLES` that are whole, shape (channels, BLOCK_SAMPLES, 2)."""
        data = self._rest + data
        whole = len(data) // self._step_bytes * self._step_bytes
        self._rest = data[whole:]
        for first in range(0, whole, self._step_bytes):
            yield self._decode(data[first : first + self._step_bytes])

    def rest(self) -> Bounds:
        """Return the samples that are less than a step, shape (channels, n, 2), to hear them before their time."""
        whole = len(self._rest) // self._frame_bytes * self._frame_bytes
        data, self._rest = self._rest[:whole], self._rest[whole:]
        return self._decode(data)

    def _decode(self, data: bytes) -> Bounds:
        if self._table is None:
            values = pcm.samples(data).astype(np.int32)
            bounds = np.stack((values, values), axis=-1)
        else:
            bounds = self._table[np.frombuffer(data, np.uint8)]
        channels = bounds.reshape(-1, self._channels, 2).swapaxes(0, 1)
        return channels.mean(axis=0, keepdims=True).astype(np.int32) if self._is_mixed else channels


def _bounds(values: pcm.Samples, spread: NDArray[np.int32]) -> Bounds:
    bounds = np.stack((values - spread, values + spread), axis=-1)
    # Whatever is louder is clipped to the loudest code.
    bounds[values == values.max(), 1] = np.iinfo(np.int16).max
    bounds[values == values.min(), 0] = np.iinfo(np.int16).min
    return bounds


def _steps(codes: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
    """Return half a quantisation step, and what encoders disagree by, who drop low bits in different ways."""
    return smallest // 2 * (1 << codes) + smallest // 2


def _mu_law_bounds() -> Bounds:
    exponents = (~np.arange(256) >> 4 & 7).astype(np.int32)
    return _bounds(pcm.MU_LAW, _steps(exponents, 8))  # G.711 table 2a: steps of 8 * 2 ** segment


def _a_law_bounds() -> Bounds:
    exponents = ((np.arange(256) ^ 0x55) >> 4 & 7).astype(np.int32)
    return _bounds(pcm.A_LAW, _steps(np.maximum(exponents - 1, 0), 16))  # table 1a: the first two segments share 16


# Encodings that are heard, with their table, if there is one, and the bytes of a sample.
ENCODINGS: Final[dict[str, tuple[Bounds | None, int]]] = {
    "linear16": (None, 2),
    "mulaw": (_mu_law_bounds(), 1),
    "alaw": (_a_law_bounds(), 1),
}


def decoder(audio: Format) -> Decoder | None:
    """Return what decodes the audio of a connection; None if nothing does."""
    if audio.encoding not in ENCODINGS:
        return None
    return Decoder(audio.encoding, audio.channels, is_multichannel=audio.is_multichannel)


@dataclass(slots=True)
class _Run:
    """A stretch of the connection that is a stretch of a track, sample by sample.

    Attributes:
        track: its name.
        voice: the track.
        offset: sample of the track less sample of the connection.
        end: sample of the connection before which all is known to fit.
        next: index of the first word that is not whole yet.
    """

    track: Track
    voice: Voice
    offset: int
    end: int
    next: int

    @property
    def place(self) -> int:
        """Sample of the track that should come next."""
        return self.end + self.offset


class Ear:
    """Hear one channel of one connection."""

    def __init__(self, script: Script) -> None:
        """Bind the ear to what it can recognise."""
        self._voices: dict[Track, Voice] = script.voices
        self.received = 0
        self._kept: deque[Bounds] = deque(maxlen=_KEPT_BLOCKS)
        self._run: _Run | None = None
        self._tried = 0
        self._told_until = 0

    @property
    def open_since(self) -> int | None:
        """First sample of a word that is being heard, or None."""
        run = self._run
        if run is None or run.next == len(run.voice.words):
            return None
        start = run.voice.words[run.next].start_sample
        return start - run.offset if start < run.place else None

    @property
    def whence(self) -> Whence | None:
        """Where what comes now is from; None where that is not known."""
        run = self._run
        return None if run is None else (run.track, run.offset)

    def hear(self, block: Bounds) -> list[Spoken]:
        """Take what comes next, shape (n, 2) with at most `BLOCK_SAMPLES`; return the words that are whole with it."""
        self._kept.append(block)
        self.received += len(block)
        heard = self._follow()
        while self._run is None and self._tried + BLOCK_SAMPLES <= self.received:
            heard += self._seek()
        return heard

    def _follow(self) -> list[Spoken]:
        """Compare what came with what the track says should come."""
        run = self._run
        if run is None:
            return []
        came = self._since(run.end)
        run.end += _agreement(came, run.voice.samples[run.place : run.place + len(came)])
        if run.end < self.received:
            self._run, self._tried = None, run.end
        return self._whole(run)

    def _whole(self, run: _Run) -> list[Spoken]:
        heard = []
        words = run.voice.words
        while run.next < len(words) and words[run.next].end_sample <= run.place:
            word = words[run.next]
            run.next += 1
            heard.append(Spoken(word.text, word.start_sample - run.offset, word.end_sample - run.offset))
            self._told_until = heard[-1].end_sample
        return heard

    def _seek(self) -> list[Spoken]:
        """Look for the first block that was not looked for yet."""
        first, self._tried = self._tried, self._tried + BLOCK_SAMPLES
        for track, voice in self._voices.items():
            at = find(self._since(first)[:BLOCK_SAMPLES], voice.samples)
            if at is not None:
                start = first - self._agreement_before(first, voice, at)
                offset = at - first
                words = bisect_left(voice.words, start + offset, key=lambda word: word.start_sample)
                self._run = _Run(track, voice, offset, first, words)
                return self._follow()
        return []

    def _agreement_before(self, first: int, voice: Voice, at: int) -> int:
        """Return how many samples before a place fit too; a word that was told is not told again."""
        oldest = max(self._told_until, self.received - sum(map(len, self._kept)), first - at)
        came = self._since(oldest)[: first - oldest]
        return _agreement(came[::-1], voice.samples[at - len(came) : at][::-1])

    def _since(self, sample: int) -> Bounds:
        blocks, start = [], self.received
        for block in reversed(self._kept):
            if start <= sample:
                break
            blocks.append(block)
            start -= len(block)
        return np.concatenate(blocks[::-1])[sample - start :] if blocks else np.empty((0, 2), np.int32)


def find(block: Bounds, samples: NDArray[np.int32]) -> int | None:
    """Return where a block first stands on a track; None also for a block that says nothing: digital silence."""
    low, high = block[:, 0], block[:, 1]
    places = len(samples) - len(block) + 1
    if places <= 0 or low.min() == low.max():
        return None
    loudest, *others = np.argsort(-np.abs(low), kind="stable").tolist()
    view = samples[loudest : loudest + places]
    found = np.flatnonzero((low[loudest] <= view) & (view <= high[loudest]))
    for index in others:
        if not len(found):
            return None
        there = samples[found + index]
        found = found[(low[index] <= there) & (there <= high[index])]
    return int(found[0]) if len(found) else None


def _agreement(came: Bounds, expected: NDArray[np.int32]) -> int:
    """Return how many samples fit, from the first on."""
    came = came[: len(expected)]
    fits = (came[:, 0] <= expected) & (expected <= came[:, 1])
    return len(fits) if fits.all() else int(np.argmin(fits))


def transcript(words: Iterable[Spoken]) -> str:
    """Return words as one text."""
    return " ".join(word.text for word in words)
