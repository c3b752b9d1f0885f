"""What Moonshine hears."""

import asyncio
import sys
from collections.abc import Iterator
from itertools import pairwise
from subprocess import run

import pytest

from connectors import moonshine
from connectors.embedded_asr import EmbeddedAsr
from connectors.moonshine import Moonshine
from pipeline.errors import InputError
from pipeline.stages.asr import Transcript
from tests.connectors.prompts import PROMPTS, heard, prompt, request, said

pytestmark = pytest.mark.speech


@pytest.fixture(scope="module")
def recogniser() -> Iterator[EmbeddedAsr]:
    engine = Moonshine()
    service = EmbeddedAsr(engine, engine, is_paced=False)
    yield service
    asyncio.run(service.close())


@pytest.mark.parametrize("name", PROMPTS)
async def test_a_prompt_is_understood(recogniser: EmbeddedAsr, name: str) -> None:
    words = heard(await recogniser.answer(request(prompt(name))))
    assert abs(len(said(name)) - len(words)) <= 1
    assert len(set(said(name)) - set(words)) <= 1  # 7 % of the words of such prompts are wrong


@pytest.mark.parametrize("is_final", [True, False])
async def test_words_lie_in_the_segment_in_order(recogniser: EmbeddedAsr, *, is_final: bool) -> None:
    pcm = prompt(PROMPTS[0])
    answer = await recogniser.answer(request(pcm, is_final=is_final))
    assert isinstance(answer, Transcript)
    words = answer.words
    assert words
    assert all(word.start_ms < word.end_ms for word in words)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(words))
    assert words[0].start_ms >= 2_000
    assert words[-1].end_ms <= 2_000 + len(pcm) // 16
    assert {not is_final} == {word.is_estimated for word in words}


async def test_no_audio_has_no_words(recogniser: EmbeddedAsr) -> None:
    answer = await recogniser.answer(request(b""))
    assert isinstance(answer, Transcript)
    assert ((), moonshine.NAME, None) == (answer.words, answer.asr, answer.confidence)


async def test_the_same_audio_gives_the_same_words(recogniser: EmbeddedAsr) -> None:
    asked, other = (request(prompt(name)) for name in PROMPTS[:2])
    first = await recogniser.answer(asked)
    await recogniser.answer(other)
    again = await recogniser.answer(asked)
    assert isinstance(first, Transcript)
    assert isinstance(again, Transcript)
    assert first.words == again.words


async def test_the_event_loop_goes_on_while_it_hears(recogniser: EmbeddedAsr) -> None:
    pcm = (prompt(PROMPTS[0]) + prompt(PROMPTS[1]))[: 2 * 64_000]
    answer = asyncio.create_task(recogniser.answer(request(pcm)))
    turns = 0
    while not answer.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 50  # the decode of 8 s takes longer than half a second


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(moonshine.MODEL_SHA256, "encoder_model.ort", "0" * 64)
    with pytest.raises(InputError, match="moonshine-voice"):
        Moonshine()


def test_no_sound_device_is_needed() -> None:
    program = "import sys, connectors.moonshine; sys.exit('sounddevice' in sys.modules)"
    assert 0 == run([sys.executable, "-c", program], check=False).returncode
