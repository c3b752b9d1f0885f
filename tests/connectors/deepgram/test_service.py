"""The recogniser against a Deepgram of one's own: what it hears, when it connects, and what ends it."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

import pytest

from connectors.deepgram import DeepgramAsr
from connectors.deepgram.session import NO_PLACE, Times
from connectors.deepgram_double.faults import (
    Close,
    Complaint,
    Drop,
    HalfOpen,
    NotJson,
    Refuse,
    SlowStart,
    Stall,
    UnknownType,
)
from pipeline.logs import AUDIT
from pipeline.machine import Failed
from pipeline.stages.asr import Transcript
from tests.connectors.deepgram.calls import heard, hearing, question, until
from tests.connectors.deepgram_double.callers import WAIT_S, doubling

pytestmark = pytest.mark.unit

MODELS = pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
QUICK = Times(silent_s=0.3, proof_s=0.15)


# What is heard


@MODELS
async def test_words_come_in_audio_time(model: str) -> None:
    async with doubling() as server, hearing(server, model=model) as asr:
        first = await asr.answer(question(250, 1_150))
        second = await asr.answer(question(1_950, 2_950))
        assert isinstance(first, Transcript) and isinstance(second, Transcript)
        assert [("zero", 300, 700), ("one", 750, 1_100)] == [
            (one.text, one.start_ms, one.end_ms) for one in first.words
        ]
        assert [("two", 2_000, 2_400), ("three", 2_450, 2_900)] == [
            (one.text, one.start_ms, one.end_ms) for one in second.words
        ]
        assert f"deepgram {model}" == first.asr
        assert pytest.approx(0.98) == first.confidence
        assert 1 == server.handshakes


@MODELS
async def test_words_belong_to_the_segment_that_holds_their_middle(model: str) -> None:
    async with doubling() as server, hearing(server, model=model) as asr:
        open_segment = asyncio.create_task(asr.answer(question(1_950, 2_950, is_final=False)))
        await until(lambda: bool(server.connections and server.connections[0].received_s >= 0.99))
        open_segment.cancel()
        assert ["two"] == heard(await asr.answer(question(1_950, 2_426)))
        assert ["three"] == heard(await asr.answer(question(2_426, 2_950)))
        assert [1] == [connection.number for connection in server.connections]


@MODELS
async def test_partial_waits_until_there_is_more_to_say(model: str) -> None:
    async with doubling() as server, hearing(server, model=model) as asr:
        assert ["zero", "one"] == heard(await said(asr, 1_500, "one"))
        again = asyncio.create_task(asr.answer(question(250, 1_500, is_final=False)))
        assert {again} == (await asyncio.wait([again], timeout=0.1))[1]
        again.cancel()
        assert ["zero", "one", "two", "three"] == heard(await said(asr, 3_300, "three"))


async def said(asr: DeepgramAsr, end_ms: int, word: str) -> object:
    """Ask for partials until a word is in one, and then until there is no more to say."""
    async with asyncio.timeout(WAIT_S):
        while word not in heard(answer := await asr.answer(question(250, end_ms, is_final=False))):
            pass
    with suppress(TimeoutError):
        for _ in range(100):  # there are no more than 33 messages about 8 s
            answer = await asyncio.wait_for(asr.answer(question(250, end_ms, is_final=False)), 0.1)
        raise AssertionError("partials without end")
    return answer


@MODELS
async def test_segment_without_words_is_final_at_once(model: str) -> None:
    async with doubling() as server, hearing(server, model=model) as asr:
        began_s = time.monotonic()
        assert [] == heard(await asr.answer(question(1_200, 1_900)))
        assert time.monotonic() - began_s < 0.9


@MODELS
async def test_final_that_is_asked_again_is_answered_from_what_is_known(model: str) -> None:
    async with doubling() as server, hearing(server, model=model) as asr:
        first = await asr.answer(question(250, 1_150))
        assert heard(first) == heard(await asr.answer(question(250, 1_150)))
        assert 1 == server.handshakes


async def test_audio_that_comes_out_of_order_parts_no_word() -> None:
    """As after a restore, where the next segment may be asked first, in the middle of a word."""
    async with doubling() as server, hearing(server) as asr:
        open_segment = asyncio.create_task(asr.answer(question(1_950, 2_200, is_final=False)))  # within `two`
        await until(lambda: bool(server.connections and server.connections[0].received_s >= 0.2))
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))
        open_segment.cancel()
        assert ["two", "three"] == heard(await asr.answer(question(1_950, 2_950)))
        assert 2 == server.handshakes


async def test_tracks_and_contacts_have_connections_of_their_own() -> None:
    async with doubling() as server, hearing(server) as asr:
        answers = await asyncio.gather(
            asr.answer(question(250, 1_150)),
            asr.answer(question(3_050, 3_550, track="agent")),
            asr.answer(question(250, 1_150, contact="d")),
        )
        assert [["zero", "one"], ["four"], ["zero", "one"]] == [heard(answer) for answer in answers]
        assert 3 == server.handshakes


async def test_handshake_may_be_slow_and_its_wait_is_told() -> None:
    async with doubling(SlowStart(for_s=0.3)) as server, hearing(server) as asr:
        answer = await asr.answer(question(250, 1_150))
        assert ["zero", "one"] == heard(answer)
        assert isinstance(answer, Transcript)
        assert 300 <= answer.queue_ms
        assert answer.provider_ms < 300


async def test_long_segment_is_sent_eight_times_as_fast_as_it_was_spoken() -> None:
    async with doubling() as server, hearing(server) as asr:
        began_s = time.monotonic()
        assert ["zero", "one", "two", "three"] == heard(await asr.answer(question(0, 8_000)))
        assert 0.9 <= time.monotonic() - began_s < 3


@pytest.mark.parametrize("odd", [UnknownType(after_s=0.5), NotJson(after_s=0.5), Complaint(after_s=0.5)])
async def test_odd_messages_change_nothing(odd: Any) -> None:
    async with doubling(odd) as server, hearing(server) as asr:
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))
        assert 1 == server.handshakes


# How long a connection lives


@MODELS
async def test_silence_between_segments_keeps_the_connection(model: str) -> None:
    times = Times(keep_alive_s=0.1)
    async with doubling(idle_s=0.4) as server, hearing(server, model=model, times=times) as asr:
        await asr.answer(question(250, 1_150))
        await asyncio.sleep(1.2)  # three times what the service waits
        answer = await asr.answer(question(1_950, 2_950))
        assert isinstance(answer, Transcript)
        assert [("two", 2_000), ("three", 2_450)] == [(one.text, one.start_ms) for one in answer.words]
        assert 1 == server.handshakes


async def test_connection_without_a_keep_alive_is_lost() -> None:
    async with doubling(idle_s=0.2) as server, hearing(server, times=Times(keep_alive_s=9)) as asr:
        await asr.answer(question(250, 1_150))
        await until(lambda: server.open_connections == 0)
        assert ["two", "three"] == heard(await asr.answer(question(1_950, 2_950)))
        assert 2 == server.handshakes


@MODELS
async def test_idle_connection_is_closed_and_opened_again(model: str) -> None:
    async with doubling() as server, hearing(server, model=model, times=Times(idle_s=0.1)) as asr:
        await asr.answer(question(250, 1_150))
        await until(lambda: server.open_connections == 0)
        assert ["two", "three"] == heard(await asr.answer(question(1_950, 2_950)))
        assert 2 == server.handshakes


async def test_close_ends_every_connection() -> None:
    async with doubling() as server:
        async with hearing(server) as asr:
            await asr.answer(question(250, 1_150))
            waiting = asyncio.create_task(asr.answer(question(1_200, 1_300, is_final=False)))
            await asyncio.sleep(0)
        assert isinstance(await waiting, Failed)
        await until(lambda: server.open_connections == 0)


async def test_question_that_is_taken_back_keeps_the_connection_for_the_next() -> None:
    async with doubling() as server, hearing(server, times=Times(gone_s=5)) as asr:
        for end_ms in range(500, 1_100, 200):
            partial = asyncio.create_task(asr.answer(question(250, end_ms, is_final=False)))
            await asyncio.sleep(0.03)
            partial.cancel()
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))
        assert [1] == [connection.number for connection in server.connections]
        assert pytest.approx(0.9) == server.connections[0].received_s


async def test_asker_that_has_gone_is_not_waited_for() -> None:
    async with doubling() as server, hearing(server, times=Times(gone_s=0.1)) as asr:
        partial = asyncio.create_task(asr.answer(question(250, 500, is_final=False)))
        await until(lambda: server.open_connections == 1)
        partial.cancel()
        await until(lambda: server.open_connections == 0)


# What goes wrong


@MODELS
@pytest.mark.parametrize(
    "fault",
    [
        Drop(after_s=0.5, connections=(1,)),
        Close(1011, after_s=0.9, connections=(1,)),
        Refuse(503, connections=(1,)),
        HalfOpen(after_s=0.3, connections=(1,)),
        Stall(after_s=0.6, side="send", connections=(1,)),
        Stall(after_s=0.6, side="read", connections=(1,)),
    ],
)
async def test_another_connection_hears_the_whole_segment(fault: Any, model: str) -> None:
    async with doubling(fault) as server, hearing(server, model=model, times=QUICK) as asr:
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))
        assert 2 == server.handshakes


async def test_answer_is_provoked_where_none_comes() -> None:
    stall = Stall(after_s=0.9, side="send", for_s=0.4)
    async with doubling(stall) as server, hearing(server, times=Times(proof_s=0.1)) as asr:
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))
        assert 1 == server.handshakes
        assert pytest.approx(1.4) == server.connections[0].received_s  # half a second of silence more


@MODELS
async def test_silence_that_provokes_an_answer_parts_no_word_of_the_next_segment(model: str) -> None:
    stall = Stall(after_s=0.9, side="send", for_s=0.6)
    async with doubling(stall) as server, hearing(server, model=model, times=Times(proof_s=0.3)) as asr:
        first = asyncio.create_task(asr.answer(question(250, 1_150)))
        begun = asyncio.create_task(asr.answer(question(1_950, 2_200, is_final=False)))  # within `two`
        await asyncio.wait([first])
        begun.cancel()
        assert ["zero", "one"] == heard(first.result())
        assert ["two", "three"] == heard(await asr.answer(question(1_950, 2_950)))


@pytest.mark.parametrize("status", [400, 401, 402, 403])
async def test_refusal_that_stays_fails_at_once_and_is_not_asked_again(status: Any) -> None:
    async with doubling(Refuse(status)) as server, hearing(server) as asr:
        assert Failed(f"status {status}") == await asr.answer(question(250, 1_150))
        assert Failed(f"status {status}") == await asr.answer(question(250, 1_150, contact="d"))
        assert 1 == server.handshakes


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008])
async def test_close_that_stays_fails_this_track_alone(code: int) -> None:
    async with doubling(Close(code, after_s=0.5, connections=(1,))) as server, hearing(server) as asr:
        assert Failed(f"close {code}") == await asr.answer(question(250, 1_150))
        assert Failed(f"close {code}") == await asr.answer(question(250, 1_150))
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150, contact="d")))
        assert 2 == server.handshakes


async def test_wrong_key_is_refused() -> None:
    async with doubling(keys=frozenset({"right"})) as server, hearing(server, api_key="wrong") as asr:
        assert Failed("status 401") == await asr.answer(question(250, 1_150))


async def test_service_without_room_is_asked_again_soon() -> None:
    async with doubling(Refuse(429, connections=(1,))) as server, hearing(server) as asr:
        assert Failed("status 429") == await asr.answer(question(250, 1_150))
        assert Failed("status 429") == await asr.answer(question(250, 1_150))
        assert 1 == server.handshakes
        await asyncio.sleep(0.3)
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150)))


async def test_address_where_nobody_listens_is_tried_until_the_question_is_taken_back() -> None:
    async with doubling() as server:
        url = server.url
    async with hearing(server, url=url) as asr:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asr.answer(question(250, 1_150)), 0.4)


# Who may ask


async def test_place_goes_to_the_tenant_that_comes_first_at_the_next_segment() -> None:
    given: dict[str, Any] = {"tenants": ("high", "low"), "sockets": 1}
    async with doubling() as server, hearing(server, **given) as asr:
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150, tenant="low")))
        assert Failed(NO_PLACE) == await asr.answer(question(250, 1_150, tenant="high"))
        assert ["zero", "one"] == heard(await asr.answer(question(250, 1_150, tenant="low")))  # the same segment
        assert Failed(NO_PLACE) == await asr.answer(question(1_950, 2_950, tenant="low"))
        await until(lambda: server.open_connections == 0)
        assert ["two", "three"] == heard(await asr.answer(question(1_950, 2_950, tenant="high")))
        assert Failed(NO_PLACE) == await asr.answer(question(1_950, 2_950, tenant="low"))


async def test_tenant_that_is_not_listed_never_reaches_the_cloud() -> None:
    async with doubling() as server, hearing(server, tenants=("other",)) as asr:
        assert isinstance(await asr.answer(question(250, 1_150)), Failed)
        assert 0 == server.handshakes


async def test_first_use_by_a_contact_is_audited_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT)
    async with doubling() as server, hearing(server) as asr:
        await asr.answer(question(250, 1_150))
        await asr.answer(question(3_050, 3_550, track="agent"))
        await asr.answer(question(250, 1_150, contact="d"))
    lines = [line for line in caplog.records if line.name == AUDIT]
    assert [("t", "c", "deepgram"), ("t", "d", "deepgram")] == [
        (vars(line)["tenant"], vars(line)["contact_id"], vars(line)["provider"]) for line in lines
    ]
    assert "zero" not in caplog.text
