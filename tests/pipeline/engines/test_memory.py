"""The memory engine as a whole: questions that a state withdraws, a service that gives up, what comes first."""

import asyncio

import pytest

from pipeline.engines.memory import MemoryEngine
from pipeline.stages.asr import Asr, AsrConfig, Transcribe, Transcript
from pipeline.topology import Stage
from tests.pipeline.engines.stations import COUNTER, echo, said
from topics.records import AudioFrame, ContactEvent, Moments, Record, SegmentWords, SpeechMark

pytestmark = pytest.mark.unit

ROW = Stage(
    *("asr", "speech", ("audio.frames", "speech.marks"), ("transcript.words",)),
    lambda: Asr(AsrConfig(streaming=frozenset({"t"}))),
    services=("asr",),
)


async def _answer(request: Transcribe) -> Transcript:
    """Answer finals alone; a partial waits for news that never come."""
    if not request.is_final:
        await asyncio.Event().wait()
    return Transcript((), "test", None)


def test_a_question_that_was_replaced_is_cancelled() -> None:
    async def play() -> list[object]:
        engine = MemoryEngine({"asr": _answer}, (ROW,))
        engine.start()
        engine.log.append("speech.marks", b"t|c", SpeechMark("t", "c", 0, "agent", 800, None))
        for first in range(0, 10 * 1_536, 1_536):
            engine.log.append("audio.frames", b"t|c", AudioFrame("t", "c", 0, first, bytes(3_072), first, bytes(3_072)))
            await engine.pump()
            await asyncio.sleep(0)  # the question begins to wait
        engine.log.append("speech.marks", b"t|c", SpeechMark("t", "c", 0, "agent", 800, 9_000))
        await engine.pump()
        await asyncio.wait_for(engine.finish(), 5)
        return [entry.record for entry in engine.log.topics["transcript.words"]]

    (final,) = [record for record in asyncio.run(play()) if isinstance(record, SegmentWords)]
    assert final.is_final


def test_a_service_that_gives_up_its_own_future_has_failed() -> None:
    async def give_up(_: Transcribe) -> Transcript:
        future: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    async def play() -> list[Record]:
        engine = MemoryEngine({"asr": give_up}, (ROW,))
        engine.start()
        engine.log.append("audio.frames", b"t|c", AudioFrame("t", "c", 0, 0, bytes(3_072), 0, bytes(3_072)))
        engine.log.append("speech.marks", b"t|c", SpeechMark("t", "c", 0, "agent", 0, 300))
        await engine.pump()
        await asyncio.wait_for(engine.finish(), 5)
        return [entry.record for entry in engine.log.topics["transcript.words"]]

    (final,) = [record for record in asyncio.run(play()) if isinstance(record, SegmentWords)]
    assert "the service gave up" == final.gap


def test_what_waits_beside_the_lead_topic_comes_first() -> None:
    engine = MemoryEngine({"oracle": echo}, COUNTER)
    engine.start()
    for n in range(3):
        engine.log.append("transcript.words", b"t|c", said(n))
    engine.log.append("contact.events", b"t|c", ContactEvent("t", "c", 1, "started", 0, ""))
    asyncio.run(engine.settle())
    told = [entry.record for entry in engine.log.topics["moments"]]
    assert ["0/1", "1/1", "2/1", "3/1"] == [one.turn_id for one in told if isinstance(one, Moments)]
