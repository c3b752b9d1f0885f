"""The demo call as the stage `asr` meets it: its audio, marks around its words, and the engine that asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from connectors import files
from connectors.deepgram import DeepgramAsr, Options
from connectors.deepgram_double import Script, Server, read_script
from connectors.scripted import ScriptedAsr
from pipeline.cli import demo_file
from pipeline.engines.memory import MemoryEngine, MemoryLog
from pipeline.stages.asr import Asr, AsrConfig, Transcribe, Transcript
from pipeline.topology import STAGES
from tests.connectors.deepgram_double.callers import KEY, WAIT_S, pcm
from topics.keys import contact_key
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, Record, SegmentWords, SpeechMark, Track, Word

TENANT = "t"
STREAMING = AsrConfig(streaming=frozenset({TENANT}))
MARGIN_MS = 150  # around the words of a segment
PAUSE_MS = 400  # ends one
LONGEST_MS = 8_000  # `VadConfig.longest_samples`
LATE = 2_400  # samples by which a mark comes later than what it marks
RECORD_S = 0.192
Said = tuple[Track, int, int, str]

CALL = files.read_call(demo_file("customer.wav"), demo_file("agent.wav"))
SPOKEN: dict[Track, list[Word]] = {
    track: [word for at, word in ScriptedAsr(demo_file("reference.json")).words if at == track] for track in TRACKS
}


def script(latency_s: float = 0.05) -> Script:
    return replace(read_script(demo_file("reference.json"), CALL.customer, CALL.agent), latency_s=latency_s)


def segments(track: Track) -> list[tuple[int, int, bool]]:
    """Return (first sample, end sample, is cut) around the words of a track; no word lies on a border."""
    words = SPOKEN[track]
    starts, found = words[0].start_ms - MARGIN_MS, []
    for word, following in pairwise(words):
        gap = following.start_ms - word.end_ms
        if gap >= PAUSE_MS:
            found.append((starts, word.end_ms + MARGIN_MS, False))
            starts = following.start_ms - MARGIN_MS
        elif following.end_ms - starts > LONGEST_MS:
            found.append((starts, word.end_ms + gap // 2, True))
            starts = word.end_ms + gap // 2
    found.append((starts, words[-1].end_ms + MARGIN_MS, False))
    return [(first * SAMPLES_PER_MS, end * SAMPLES_PER_MS, is_cut) for first, end, is_cut in found]


def marks(contact: str) -> list[tuple[int, SpeechMark]]:
    """Return marks with the sample at which the detector sends them, as `Vad` does."""
    said: list[tuple[int, int, SpeechMark]] = []
    for track in TRACKS:
        spans = segments(track)
        for index, (first, end, is_cut) in enumerate(spans):
            said.append((first + LATE, 1, SpeechMark(TENANT, contact, 1, track, first, None)))
            closing = (end + LATE, 2, SpeechMark(TENANT, contact, 1, track, first, end))
            if is_cut:  # the mark that opens the second part comes first
                opening = SpeechMark(TENANT, contact, 1, track, spans[index + 1][0], None)
                said.append((end + LATE, 1, opening))
            said.append(closing)
    return [(at, mark) for at, _, mark in sorted(said, key=lambda one: one[:2])]


def events(contact: str) -> Iterator[tuple[str, Record]]:
    """Yield (topic, record) of audio and marks, each mark as soon as the audio is there that shows it."""
    waiting = marks(contact)
    for due in files.frames(CALL, TENANT, contact):
        if due.topic != "audio.frames":
            continue
        yield due.topic, due.record
        while waiting and waiting[0][0] <= due.due_ms * SAMPLES_PER_MS:
            yield "speech.marks", waiting.pop(0)[1]
    yield from (("speech.marks", mark) for _, mark in waiting)


async def transcribe(
    answer: Callable[[Transcribe], Awaitable[object]], contact: str = "c", *, speed: float = 6
) -> list[SegmentWords]:
    """Let the call run through the stage and return what it says.

    Args:
        answer: the recogniser.
        contact: its name.
        speed: how many times as fast as it was spoken.
    """
    row = replace(next(one for one in STAGES if one.name == "asr"), machine=partial(Asr, STREAMING))
    engine = MemoryEngine({"asr": answer}, (row,), MemoryLog())
    engine.start()
    began_s, heard_s = asyncio.get_running_loop().time(), 0.0
    for topic, record in events(contact):
        if isinstance(record, AudioFrame):
            heard_s += RECORD_S
            await asyncio.sleep(began_s + heard_s / speed - asyncio.get_running_loop().time())
        engine.log.append(topic, contact_key(TENANT, contact), record)
        await engine.pump()
    await engine.finish()
    return [entry.record for entry in engine.log.topics["transcript.words"] if isinstance(entry.record, SegmentWords)]


def finals(said: Iterable[SegmentWords]) -> list[Said]:
    """Return the words of the finals in the order of the tracks' times."""
    return sorted(
        (one.track, word.start_ms, word.end_ms, word.text) for one in said if one.is_final for word in one.words
    )


SPOKEN_WORDS = sorted((track, word.start_ms, word.end_ms, word.text) for track in TRACKS for word in SPOKEN[track])


def options(server: Server, **given: Any) -> Options:
    return Options(**({"api_key": KEY, "tenants": (TENANT,), "url": server.url} | given))


@asynccontextmanager
async def hearing(server: Server, **given: Any) -> AsyncIterator[DeepgramAsr]:
    """Have the recogniser while the context is open."""
    asr = DeepgramAsr(options(server, **given))
    try:
        yield asr
    finally:
        await asr.close()


def question(
    start_ms: int, end_ms: int, *, is_final: bool = True, first_ms: int | None = None, **given: Any
) -> Transcribe:
    """Return a question about the customer of `callers.SAID`, or about `track`; its pre-roll begins at `first_ms`."""
    first_ms = start_ms if first_ms is None else first_ms
    track: Track = given.get("track", "customer")
    return Transcribe(
        given.get("tenant", TENANT),
        given.get("contact", "c"),
        track,
        start_ms * SAMPLES_PER_MS,
        end_ms * SAMPLES_PER_MS,
        pcm(track, first_ms, end_ms),
        first_ms * SAMPLES_PER_MS,
        is_final,
        None,
        False,
    )


def heard(answer: object) -> list[str]:
    """Return the words of an answer that must be one."""
    assert isinstance(answer, Transcript), answer
    return [word.text for word in answer.words]


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(WAIT_S):
        while not is_true():
            await asyncio.sleep(0.01)
