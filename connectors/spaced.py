"""Partials at intervals, where each record asks for one, from a recogniser that hears the whole segment each time.

A partial that is asked takes the place of the one before (`AsrConfig.is_streaming`). So a decode belongs to the track,
not to the question that started it: whoever asks when it is done has its answer, which may lack the last words.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from connectors.fallback import Key, Recogniser
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import SAMPLE_RATE_HZ

_SPACE_SAMPLES: Final = SAMPLE_RATE_HZ  # of audio between two partials, as `AsrConfig.partial_samples`


@dataclass(slots=True)
class _Decode:
    """The partials of the open segment of a track.

    Attributes:
        until: end of the audio of the last one that was started.
    """

    first_sample: int
    until: int
    running: "asyncio.Task[Transcript | Failed] | None" = None


class Spaced:
    """Ask a recogniser for a partial each second of audio, and for every final."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._decodes: dict[Key, _Decode] = {}

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of a segment; a partial that is not due waits for the next one to take its place."""
        key = (request.tenant, request.contact_id, request.track)
        if request.is_final:
            self._forget(key)
            return await self._recogniser.answer(request)
        decode = self._decode(key, request)
        running = decode.running
        if running is None:
            await asyncio.Event().wait()
        assert running is not None  # nothing sets the event
        try:
            return await asyncio.shield(running)
        finally:
            if running.done():
                decode.running = None

    async def close(self) -> None:
        """Close the recogniser."""
        for key in list(self._decodes):
            self._forget(key)
        await self._recogniser.close()

    def _decode(self, key: Key, request: Transcribe) -> _Decode:
        """Return the decode that a partial waits for; one is started where it is due."""
        decode = self._decodes.get(key)
        if decode is None or decode.first_sample != request.first_sample:
            self._forget(key)
            decode = self._decodes[key] = _Decode(request.first_sample, request.first_sample)
        if decode.running is None and request.end_sample >= decode.until + _SPACE_SAMPLES:
            decode.until = request.end_sample
            decode.running = asyncio.create_task(_answer(self._recogniser, request))
        return decode

    def _forget(self, key: Key) -> None:
        decode = self._decodes.pop(key, None)
        if decode is not None and decode.running is not None:
            decode.running.cancel()


async def _answer(recogniser: Recogniser, request: Transcribe) -> Transcript | Failed:
    return await recogniser.answer(request)
