"""Partials where each record asks for one: one decode at a time, a second of audio apart."""

import asyncio

import pytest

from connectors.spaced import Spaced
from pipeline.stages.asr import Transcribe, Transcript
from tests.connectors.deepgram.calls import question

pytestmark = pytest.mark.unit


class Slow:
    """A recogniser whose answers are let go by the test."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gate = asyncio.Event()

    async def answer(self, request: Transcribe) -> Transcript:
        self.asked.append(request.end_sample // 8)
        if not request.is_final:
            await self.gate.wait()
        return Transcript((), str(request.end_sample // 8), None)

    async def close(self) -> None:
        self.asked.append(-1)


async def ask(spaced: Spaced, end_ms: int) -> "asyncio.Task[object]":
    task: asyncio.Task[object] = asyncio.create_task(spaced.answer(question(0, end_ms, is_final=False)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_question_that_is_replaced_leaves_its_decode_to_the_next() -> None:
    slow = Slow()
    spaced = Spaced(slow)
    for end_ms in range(192, 1_600, 192):
        last = await ask(spaced, end_ms)
        if end_ms < 1_500:
            last.cancel()
    assert [1_152] == slow.asked
    slow.gate.set()
    answer = await last
    assert isinstance(answer, Transcript)
    assert "1152" == answer.asr


async def test_partials_are_a_second_of_audio_apart() -> None:
    slow = Slow()
    slow.gate.set()
    spaced = Spaced(slow)
    for end_ms in range(100, 4_000, 100):
        task = await ask(spaced, end_ms)
        await asyncio.sleep(0)
        task.cancel()
    assert [1_000, 2_000, 3_000] == slow.asked


async def test_final_is_asked_at_once_and_ends_the_partial() -> None:
    slow = Slow()
    spaced = Spaced(slow)
    partial = await ask(spaced, 1_000)
    partial.cancel()
    answer = await spaced.answer(question(0, 1_100))
    assert isinstance(answer, Transcript)
    assert "1100" == answer.asr
    await spaced.close()
    assert [1_000, 1_100, -1] == slow.asked
