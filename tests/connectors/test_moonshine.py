"""What the embedded recogniser hears, and in which order it is asked."""

import asyncio
import csv
import sys
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import run

import pytest

from connectors import moonshine
from connectors.moonshine import MoonshineAsr, spread
from pipeline.errors import InputError
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import Word

pytestmark = pytest.mark.speech

DATA = Path(__file__).parents[3] / "shared" / "data" / "speech"
PROMPTS = ("agent-user", "vm-forward-multiple", "cannot-complete-as-dialed")


@pytest.fixture(scope="module")
def recogniser() -> Iterator[MoonshineAsr]:
    service = MoonshineAsr()
    yield service
    asyncio.run(service.close())


def _request(pcm: bytes, *, is_final: bool = True, first_sample: int = 16_000) -> Transcribe:
    return Transcribe(
        "t",
        "c",
        "agent",
        first_sample,
        first_sample + len(pcm) // 2,
        pcm,
        first_sample,
        is_final,
        None,
        False,
    )


def _prompt(name: str) -> bytes:
    path = DATA / "prompts" / f"{name}.wav"
    if not path.is_file():
        pytest.skip("no ../shared/data/speech")
    with wave.open(str(path)) as recording:
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm


def _reference(name: str) -> list[str]:
    with (DATA / "manifest.tsv").open() as table:
        texts = {row["path"]: row["text"] for row in csv.DictReader(table, delimiter="\t")}
    return _plain(texts[f"prompts/{name}.wav"])


def _plain(text: str) -> list[str]:
    digits = {"1": "one", "2": "two"}
    kept = "".join(letter for letter in text.lower() if letter.isalnum() or letter in " '")
    return [digits.get(word, word) for word in kept.split()]


@pytest.mark.parametrize("name", PROMPTS)
async def test_a_prompt_is_understood(recogniser: MoonshineAsr, name: str) -> None:
    answer = await recogniser.answer(_request(_prompt(name)))
    heard, said = _plain(" ".join(word.text for word in answer.words)), _reference(name)
    assert abs(len(said) - len(heard)) <= 1
    assert len(set(said) - set(heard)) <= 1  # 7 % of the words of such prompts are wrong


@pytest.mark.parametrize("is_final", [True, False])
async def test_words_lie_in_the_segment_in_order(recogniser: MoonshineAsr, *, is_final: bool) -> None:
    pcm = _prompt(PROMPTS[0])
    words = (await recogniser.answer(_request(pcm, is_final=is_final))).words
    assert words
    assert all(word.start_ms < word.end_ms for word in words)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(words))
    assert words[0].start_ms >= 2_000
    assert words[-1].end_ms <= 2_000 + len(pcm) // 16
    assert {not is_final} == {word.is_estimated for word in words}


async def test_no_audio_has_no_words(recogniser: MoonshineAsr) -> None:
    assert Transcript((), moonshine.NAME, None) == await recogniser.answer(_request(b""))


async def test_the_same_audio_gives_the_same_answer(recogniser: MoonshineAsr) -> None:
    request, other = (_request(_prompt(name)) for name in PROMPTS[:2])
    first = await recogniser.answer(request)
    await recogniser.answer(other)
    assert first == await recogniser.answer(request)


async def test_finals_are_heard_before_partials(recogniser: MoonshineAsr) -> None:
    done: list[str] = []

    async def ask(name: str, *, is_final: bool) -> None:
        await recogniser.answer(_request(_prompt(PROMPTS[0]), is_final=is_final))
        done.append(name)

    async with asyncio.TaskGroup() as group:
        for name, is_final in (("running", False), ("partial", False), ("final", True)):
            group.create_task(ask(name, is_final=is_final))
    assert ["running", "final", "partial"] == done


async def test_a_question_that_was_taken_back_is_not_heard(
    recogniser: MoonshineAsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    hear = recogniser._hear

    def note(request: Transcribe) -> Transcript:
        heard.append(request.first_sample)
        return hear(request)

    monkeypatch.setattr(recogniser, "_hear", note)
    pcm = _prompt(PROMPTS[0])
    running, taken_back, kept = (
        asyncio.create_task(recogniser.answer(_request(pcm, first_sample=first))) for first in (0, 8, 16)
    )
    await asyncio.sleep(0)
    taken_back.cancel()
    running.cancel()  # its decode goes on, its answer is dropped
    assert (await kept).words
    assert [0, 16] == heard


async def test_the_event_loop_goes_on_while_it_hears(recogniser: MoonshineAsr) -> None:
    pcm = (_prompt(PROMPTS[0]) + _prompt(PROMPTS[1]))[: 2 * 64_000]
    answer = asyncio.create_task(recogniser.answer(_request(pcm)))
    turns = 0
    while not answer.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 50  # the decode of 8 s takes longer than half a second


async def test_a_failure_reaches_the_asker(recogniser: MoonshineAsr) -> None:
    with pytest.raises(ValueError, match="buffer size"):
        await recogniser.answer(_request(b"\x00"))
    assert () == (await recogniser.answer(_request(b""))).words


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(moonshine.MODEL_SHA256, "encoder_model.ort", "0" * 64)
    with pytest.raises(InputError, match="moonshine-voice"):
        MoonshineAsr()


def test_no_sound_device_is_needed() -> None:
    program = "import sys, connectors.moonshine; sys.exit('sounddevice' in sys.modules)"
    assert 0 == run([sys.executable, "-c", program], check=False).returncode


def test_estimated_words_share_the_time_by_letters() -> None:
    expected = (Word("ab", 1_000, 1_200, is_estimated=True), Word("cdef", 1_200, 1_600, is_estimated=True))
    assert expected == spread(["ab", "cdef"], 1_000, 1_600)
    assert () == spread([], 0, 100)
