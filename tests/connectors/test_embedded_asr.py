"""Who is heard first, and who is not heard at all."""

import asyncio
from threading import Event

import numpy as np
import pytest

from connectors import embedded_asr
from connectors.embedded_asr import BUSY, FINALS_ALONE, Audio, EmbeddedAsr, spread
from pipeline.machine import Failed
from pipeline.stages.asr import Transcript
from tests.connectors.prompts import request
from topics.records import Word

pytestmark = pytest.mark.speech  # each service aligns words

LENGTH = {name: bytes(2 * n) for n, name in enumerate(("first", "second", "third", "fourth"), 1)}


class Engine:
    """Hears how long a segment is, and waits before it answers; notes what it was given."""

    def __init__(self, name: str = "engine") -> None:
        self.name = name
        self.heard: list[int] = []
        self.goes_on = Event()
        self.goes_on.set()
        self.is_closed = False

    def text(self, audio: Audio) -> str:
        """Say nothing: what is aligned is another's matter."""
        self.goes_on.wait()
        self.heard.append(len(audio) // 2)
        return ""

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def forget(self) -> None:
        """Forget what it was given while it was made ready."""
        self.heard.clear()


def made(*, is_paced: bool = False) -> tuple[EmbeddedAsr, Engine]:
    engine = Engine()
    return made_of(engine, engine, is_paced=is_paced), engine


def made_of(finals: Engine, partials: Engine | None, *, is_paced: bool = False) -> EmbeddedAsr:
    """Make a service that is warm."""
    service = EmbeddedAsr(finals, partials, is_paced=is_paced)
    for engine in filter(None, (finals, partials)):
        service._decoding.submit(engine.forget).result()
    return service


def ask(service: EmbeddedAsr, name: str, *, is_final: bool) -> "asyncio.Task[Transcript | Failed]":
    return asyncio.create_task(service.answer(request(LENGTH[name], is_final=is_final)))


async def test_finals_are_heard_before_partials() -> None:
    service, engine = made()
    engine.goes_on.clear()
    asked = [ask(service, "first", is_final=False), ask(service, "second", is_final=False)]
    asked.append(ask(service, "third", is_final=True))
    await asyncio.sleep(0)
    engine.goes_on.set()
    await asyncio.gather(*asked)
    assert [1, 3, 2] == engine.heard
    await service.close()


async def test_a_question_that_was_taken_back_is_not_heard() -> None:
    service, engine = made()
    engine.goes_on.clear()
    running, taken_back, kept = (ask(service, name, is_final=True) for name in ("first", "second", "third"))
    await asyncio.sleep(0)
    taken_back.cancel()
    running.cancel()  # its decode goes on, its answer is dropped
    engine.goes_on.set()
    assert isinstance(await kept, Transcript)
    assert [1, 3] == engine.heard
    await service.close()


async def test_after_a_partial_none_is_heard_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_asr, "REST", 1e6)
    service, engine = made(is_paced=True)
    assert isinstance(await ask(service, "first", is_final=False), Transcript)
    assert BUSY == await ask(service, "second", is_final=False)
    assert isinstance(await ask(service, "third", is_final=True), Transcript)
    assert [1, 3] == engine.heard
    await service.close()


async def test_a_partial_that_has_waited_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_asr, "STALE_S", 0.0)
    service, engine = made(is_paced=True)
    engine.goes_on.clear()
    asked = [ask(service, "first", is_final=True), ask(service, "second", is_final=False)]
    await asyncio.sleep(0)
    engine.goes_on.set()
    final, partial = await asyncio.gather(*asked)
    assert isinstance(final, Transcript)
    assert BUSY == partial
    assert [1] == engine.heard
    await service.close()


async def test_a_partial_in_a_pause_gives_way_to_the_final_that_may_be_near() -> None:
    service, engine = made(is_paced=True)
    spoken = np.full(8_000, 1_000, "<i2").tobytes()
    pause = np.full(1_200, 50, "<i2").tobytes()
    assert BUSY == await service.answer(request(spoken + pause, is_final=False))
    assert isinstance(await service.answer(request(spoken + pause)), Transcript)
    assert isinstance(await service.answer(request(spoken + pause[:1_200], is_final=False)), Transcript)
    assert [9_200, 8_600] == engine.heard
    await service.close()


async def test_where_time_does_not_count_every_partial_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_asr, "REST", 1e6)
    monkeypatch.setattr(embedded_asr, "STALE_S", 0.0)
    service, engine = made(is_paced=False)
    for name in LENGTH:
        await ask(service, name, is_final=False)
    assert [1, 2, 3, 4] == engine.heard
    await service.close()


async def test_each_pass_has_its_engine() -> None:
    finals, partials = Engine("accurate"), Engine("quick")
    service = made_of(finals, partials)
    each = [await ask(service, "first", is_final=False), await ask(service, "second", is_final=True)]
    assert ["quick", "accurate"] == [one.asr for one in each if isinstance(one, Transcript)]
    assert ([2], [1]) == (finals.heard, partials.heard)
    await service.close()
    assert finals.is_closed
    assert partials.is_closed


async def test_without_an_engine_for_them_partials_are_not_heard() -> None:
    engine = Engine()
    service = made_of(engine, None, is_paced=True)
    assert FINALS_ALONE == await ask(service, "first", is_final=False)
    assert isinstance(await ask(service, "second", is_final=True), Transcript)
    assert [2] == engine.heard
    await service.close()


async def test_the_answer_tells_how_long_it_waited_and_took() -> None:
    service, engine = made()
    engine.goes_on.clear()
    first, second = (ask(service, name, is_final=True) for name in ("first", "second"))
    await asyncio.sleep(0.05)  # what is measured
    engine.goes_on.set()
    before, after = await first, await second
    assert isinstance(before, Transcript)
    assert isinstance(after, Transcript)
    assert before.provider_ms >= 45
    assert after.queue_ms >= 45
    assert before.queue_ms < 45 > after.provider_ms
    await service.close()


async def test_a_failure_reaches_the_asker_alone() -> None:
    service, _ = made()
    with pytest.raises(ValueError, match="buffer size"):
        await service.answer(request(b"\x00"))
    assert isinstance(await ask(service, "first", is_final=True), Transcript)
    await service.close()


async def test_what_waits_when_it_closes_is_cancelled() -> None:
    service, engine = made()
    engine.goes_on.clear()
    running, waiting = (ask(service, name, is_final=True) for name in ("first", "second"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)
    engine.goes_on.set()
    await closing
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert isinstance(await running, Transcript)
    assert [1] == engine.heard
    assert engine.is_closed


def test_estimated_words_share_the_time_by_letters() -> None:
    expected = (Word("ab", 1_000, 1_200, is_estimated=True), Word("cdef", 1_200, 1_600, is_estimated=True))
    assert expected == spread(["ab", "cdef"], 1_000, 1_600)
    assert () == spread([], 0, 100)
