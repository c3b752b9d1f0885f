"""A recogniser in this process: what is asked waits in a queue, one thread decodes, another finds where the words are.

Owns who is heard first. Finals go before partials and are always heard; a question whose asker has gone is not. A
partial is not heard where it would hold up finals: each lets the thread rest, one that has waited is out of date, and
where the speaker pauses a final may be near. The stage then asks again with the next second of audio, so under load
partials come less often, then not at all.

Engines (`moonshine.py`, `whisper.py`) turn audio into text and know nothing of this. Words keep the case and
punctuation of the engine.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.pocketsphinx import AlignerProcess, spoken_words
from pipeline.audio import pcm
from pipeline.audio.resample import upsample
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, Word

Audio = NDArray[np.float32]  # in -1..1, mono, 16 kHz

# After a partial none is begun for twice as long as it took: partials have a third of the thread at most.
REST: Final = 2.0
# A partial is a second's worth of news; one that has waited half of that gives way to the next.
STALE_S: Final = 0.5

# The detector ends a segment after 320 ms without speech, sooner than a partial begun in them is heard. A pause is
# 20 dB below the segment for longer than a stop consonant is closed (about 100 ms). Of 208 partials of two recorded
# calls 30 are asked in one; 17 of the 26 whose final comes within 500 ms are among them.
PAUSE_SAMPLES: Final = 150 * SAMPLES_PER_MS
PAUSE_SHARE: Final = 0.1

FINALS_ALONE: Final = Failed("this recogniser hears finals alone")
BUSY: Final = Failed("the recogniser has no time for partials")


class Engine(Protocol):
    """What turns audio into text, on one thread."""

    @property
    def name(self) -> str:
        """What stands in records as `asr`."""

    def text(self, audio: Audio) -> str:
        """Return what is said in a segment of up to 8.3 s; empty where nobody speaks."""

    def close(self) -> None:
        """Free the model."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What an engine made of a question, and how long that took."""

    texts: list[str]
    audio: Audio
    asr: str
    queue_s: float
    began_s: float


@dataclass(order=True)
class _Job:
    """One question in the queue, ordered by (partial after final, arrival)."""

    is_partial: bool
    number: int
    request: Transcribe = field(compare=False)
    asked_s: float = field(compare=False)
    done: "asyncio.Future[_Heard | Failed]" = field(compare=False)


class EmbeddedAsr:
    """Answer with what the engines hear. Use it from one event loop."""

    def __init__(self, finals: Engine, partials: Engine | None, *, is_paced: bool = True) -> None:
        """Take two engines, which may be the same; they are closed with it.

        Args:
            finals: hears them.
            partials: hears those; None where they cost too much.
            is_paced: whether time counts; otherwise no partial is passed over.
        """
        self._finals = finals
        self._partials = partials
        self._engines = {finals, partials or finals}
        self._is_paced = is_paced
        self._aligner = AlignerProcess()
        self._decoding = ThreadPoolExecutor(1, "decoding")
        self._aligning = ThreadPoolExecutor(1, "aligning")
        self._queue: list[_Job] = []
        self._numbers = count()
        self._is_busy = False
        self._rests_until_s = 0.0
        self._decoding.submit(self._warm_up)
        self._aligning.submit(self._aligner.align, ["one"], bytes(SAMPLE_RATE_HZ * pcm.BYTES_PER_SAMPLE))

    def _warm_up(self) -> None:
        """Load what is loaded when it is first used (2 to 6 s), while the worker takes its partitions over."""
        silence = upsample(np.zeros(SAMPLE_RATE_HZ // 2, np.int16))
        for engine in self._engines:
            engine.text(silence)

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of one segment, or why a partial was not heard; words of a partial have estimated times."""
        if self._partials is None and not request.is_final:
            return FINALS_ALONE
        heard = await self._queued(request)
        if isinstance(heard, Failed):
            return heard
        loop = asyncio.get_running_loop()
        is_aligned = request.is_final and heard.texts
        words = (
            await loop.run_in_executor(self._aligning, self._aligned, request, heard)
            if is_aligned
            else spread(heard.texts, *_limits(request))
        )
        provider_ms = round((time.monotonic() - heard.began_s) * 1_000)
        return Transcript(words, heard.asr, None, round(heard.queue_s * 1_000), provider_ms)

    async def close(self) -> None:
        """Wait for the decode that runs, then free the engines."""
        for job in self._queue:
            job.done.cancel()
        self._queue.clear()
        await asyncio.to_thread(self._decoding.shutdown)
        await asyncio.to_thread(self._aligning.shutdown)
        self._aligner.close()
        for engine in self._engines:
            engine.close()

    async def _queued(self, request: Transcribe) -> _Heard | Failed:
        done: asyncio.Future[_Heard | Failed] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Job(not request.is_final, next(self._numbers), request, time.monotonic(), done))
        self._start_next()
        return await done

    def _start_next(self) -> None:
        while self._queue and not self._is_busy:
            job = heapq.heappop(self._queue)
            if job.done.cancelled():
                continue
            if job.is_partial and self._is_too_much(job):
                job.done.set_result(BUSY)
                continue
            self._is_busy = True
            running = job.done.get_loop().run_in_executor(self._decoding, self._hear, job.request, job.asked_s)
            running.add_done_callback(partial(self._finish, job))

    def _is_too_much(self, job: _Job) -> bool:
        now_s = time.monotonic()
        is_late = now_s < self._rests_until_s or now_s > job.asked_s + STALE_S
        return self._is_paced and (is_late or pauses(pcm.samples(job.request.pcm)))

    def _finish(self, job: _Job, result: "asyncio.Future[_Heard]") -> None:
        self._is_busy = False
        error = result.exception()
        if job.is_partial and error is None:
            now_s = time.monotonic()
            self._rests_until_s = now_s + REST * (now_s - result.result().began_s)
        if job.done.cancelled():
            pass
        elif error is None:
            job.done.set_result(result.result())
        else:
            job.done.set_exception(error)
        self._start_next()

    def _hear(self, request: Transcribe, asked_s: float) -> _Heard:
        """Decode one segment; runs in the decoding thread."""
        began_s = time.monotonic()
        engine = self._finals if request.is_final or self._partials is None else self._partials
        segment = pcm.samples(request.pcm)[: request.end_sample - request.pcm_first_sample]  # its words have no times
        audio = upsample(segment)
        text = engine.text(audio) if len(audio) else ""
        texts = [word for word in text.split() if spoken_words(word)]
        return _Heard(texts, audio, engine.name, began_s - asked_s, began_s)

    def _aligned(self, request: Transcribe, heard: _Heard) -> tuple[Word, ...]:
        """Find where the words are; runs in the aligning thread."""
        loud = np.clip(heard.audio * 32_768, -32_768, 32_767).astype("<i2")
        spans = self._aligner.align(heard.texts, loud.tobytes())
        start_ms, end_ms = _limits(request)
        if spans is None:
            return spread(heard.texts, start_ms, end_ms)
        base_ms = request.pcm_first_sample // SAMPLES_PER_MS
        placed = [(base_ms + start, base_ms + end) for start, end in spans]
        # The aligner's last frame may be past the segment's end.
        return tuple(
            Word(text, min(start, end_ms - 1), min(end, end_ms))
            for text, (start, end) in zip(heard.texts, placed, strict=True)
        )


def pauses(segment: pcm.Samples) -> bool:
    """Say whether a speaker is silent at the end of what has come of a segment."""
    energy = np.square(segment.astype(np.float32))
    return bool(energy[-PAUSE_SAMPLES:].mean() < PAUSE_SHARE**2 * energy.mean()) if len(segment) else False


def spread(texts: Sequence[str], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Place words over a time by their number of letters; every word is marked as estimated."""
    letters = np.cumsum([0, *(len(text) for text in texts)])
    limits = [start_ms + int(place) * (end_ms - start_ms) // max(1, int(letters[-1])) for place in letters]
    return tuple(
        Word(text, start, max(start + 1, end), is_estimated=True)
        for text, start, end in zip(texts, limits, limits[1:], strict=False)
    )


def _limits(request: Transcribe) -> tuple[int, int]:
    return request.first_sample // SAMPLES_PER_MS, request.end_sample // SAMPLES_PER_MS
