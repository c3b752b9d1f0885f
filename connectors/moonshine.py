"""The embedded recogniser: Moonshine tiny-en, whose model is inside its wheel, and word times by alignment.

Owns one decoding thread: finals go before partials, and a question whose asker has gone is not decoded. The
recogniser's own segmentation is off: it splits off the first half second, in which it then hears words that
nobody said. Words keep the case and punctuation of the recogniser.
"""

import asyncio
import hashlib
import heapq
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from moonshine_voice.moonshine_api import ModelArch
from moonshine_voice.transcriber import Transcriber
from numpy.typing import NDArray

from connectors.pocketsphinx import AlignerProcess, Span, spoken_words
from pipeline.audio import pcm
from pipeline.audio.resample import upsample
from pipeline.errors import InputError
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import SAMPLES_PER_MS, Word

NAME: Final = "moonshine tiny-en"
PACKAGE: Final = "moonshine-voice"

# moonshine-voice 0.0.73; equal to those of 0.0.59, which heard 7.4 % of words wrong on 123 s of telephone speech.
MODEL_SHA256: Final = {
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
}
# A segment is one line, and its audio is not handed back.
_OPTIONS: Final = {"vad_threshold": "0.0", "return_audio_data": "false"}


@dataclass(order=True)
class _Job:
    """One question in the queue, ordered by (partial after final, arrival)."""

    is_partial: bool
    number: int
    request: Transcribe = field(compare=False)
    done: "asyncio.Future[Transcript]" = field(compare=False)


class MoonshineAsr:
    """Answer with what the recogniser hears. Use it from one event loop."""

    def __init__(self) -> None:
        """Load both models, about a second.

        Raises:
            InputError: the package is missing, or its model is not the tested one.
        """
        self._transcriber = Transcriber(str(_checked_model()), ModelArch.TINY, options=_OPTIONS)
        self._aligner = AlignerProcess()
        self._thread = ThreadPoolExecutor(1, "moonshine")
        self._queue: list[_Job] = []
        self._numbers = count()
        self._is_busy = False

    async def answer(self, request: Transcribe) -> Transcript:
        """Return the words of one segment; those of a partial have estimated times."""
        done: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Job(not request.is_final, next(self._numbers), request, done))
        self._start_next()
        return await done

    async def close(self) -> None:
        """Wait for the decode that runs, then free the recogniser."""
        for job in self._queue:
            job.done.cancel()
        self._queue.clear()
        await asyncio.to_thread(self._thread.shutdown)
        self._aligner.close()
        self._transcriber.close()

    def _start_next(self) -> None:
        while self._queue and not self._is_busy:
            job = heapq.heappop(self._queue)
            if not job.done.cancelled():
                self._is_busy = True
                running = job.done.get_loop().run_in_executor(self._thread, self._hear, job.request)
                running.add_done_callback(partial(self._finish, job))

    def _finish(self, job: _Job, result: "asyncio.Future[Transcript]") -> None:
        self._is_busy = False
        error = result.exception()
        if job.done.cancelled():
            pass
        elif error is None:
            job.done.set_result(result.result())
        else:
            job.done.set_exception(error)
        self._start_next()

    def _hear(self, request: Transcribe) -> Transcript:
        """Decode one segment; runs in the decoding thread."""
        audio = upsample(pcm.samples(request.pcm))
        lines = self._transcriber.transcribe_without_streaming(audio.tolist()).lines if len(audio) else ()
        texts = [text for line in lines for text in line.text.split() if spoken_words(text)]
        spans = self._align(texts, audio) if texts and request.is_final else None
        if spans is None:
            return Transcript(spread(texts, *_limits(request)), NAME, None)
        base_ms = request.pcm_first_sample // SAMPLES_PER_MS
        placed = [(base_ms + start_ms, base_ms + end_ms) for start_ms, end_ms in spans]
        return Transcript(_fit(texts, placed, _limits(request)[1]), NAME, None)

    def _align(self, texts: list[str], audio: NDArray[np.float32]) -> list[Span] | None:
        loud = np.clip(audio * 32_768, -32_768, 32_767).astype("<i2")
        return self._aligner.align(texts, loud.tobytes())


def spread(texts: Sequence[str], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Place words over a time by their number of letters; every word is marked as estimated."""
    letters = np.cumsum([0, *(len(text) for text in texts)])
    limits = [start_ms + int(place) * (end_ms - start_ms) // max(1, int(letters[-1])) for place in letters]
    return tuple(
        Word(text, start, max(start + 1, end), is_estimated=True)
        for text, start, end in zip(texts, limits, limits[1:], strict=False)
    )


def _fit(texts: Sequence[str], spans: Sequence[Span], end_ms: int) -> tuple[Word, ...]:
    """Keep aligned words inside the segment; the aligner's last frame may be past its end."""
    return tuple(
        Word(text, min(start, end_ms - 1), min(end, end_ms)) for text, (start, end) in zip(texts, spans, strict=True)
    )


def _limits(request: Transcribe) -> tuple[int, int]:
    return request.first_sample // SAMPLES_PER_MS, request.end_sample // SAMPLES_PER_MS


def _checked_model() -> Path:
    spec = find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        raise InputError(f"the package {PACKAGE} is not installed")
    folder = Path(spec.origin).with_name("assets") / "tiny-en"
    for name, digest in MODEL_SHA256.items():
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise InputError(f"the package {PACKAGE} holds another {name} than the tested 0.0.73")
    return folder
