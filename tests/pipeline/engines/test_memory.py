"""The memory engine beside a clock: questions that a state withdraws are not waited for."""

import asyncio

import pytest

from pipeline.engines.memory import MemoryEngine
from pipeline.stages.asr import Asr, AsrConfig, Transcribe, Transcript
from pipeline.topology import Stage
from topics.records import AudioFrame, SegmentWords, SpeechMark

pytestmark = pytest.mark.unit

ROW = Stage(
    *("asr", "speech", ("audio.frames", "speech.marks"), ("transcript.words",)),
    lambda: Asr(AsrConfig(is_streaming=True)),
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
