"""The double as deepgram-sdk sees it, sync and async, with every trap that was found in the SDK."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import websockets.exceptions
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.listen.v1.types.listen_v1configure import ListenV1Configure
from deepgram.listen.v2.types.listen_v2configure import ListenV2Configure
from deepgram.listen.v2.types.listen_v2configure_thresholds import ListenV2ConfigureThresholds

from connectors import files
from connectors.deepgram_double import read_script, serve
from connectors.deepgram_double.faults import Close, NotJson, Stall, UnknownType
from connectors.deepgram_double.script import TRACKS
from pipeline.cli import demo_file
from tests.connectors.deepgram_double.callers import WAIT_S, async_client, doubling, mu_law, pcm, sync_client

pytestmark = pytest.mark.unit

ASKED: dict[str, Any] = {"model": "nova-3", "encoding": "linear16", "sample_rate": 8_000}
V2: dict[str, Any] = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": 8_000}
FRAME_BYTES = 3_200  # 200 ms


def heard(messages: list[Any]) -> list[str]:
    """Return the words of the final results, as the SDK types them."""
    finals = [one for one in messages if one is not None and one.type == "Results" and one.is_final]
    return [word.word for one in finals for word in one.channel.alternatives[0].words]


def frames(data: bytes) -> list[bytes]:
    return [data[first : first + FRAME_BYTES] for first in range(0, len(data), FRAME_BYTES)]


# Whole conversations


async def test_async_client_hears_every_word() -> None:
    asked = ASKED | {"interim_results": True, "endpointing": 300, "utterance_end_ms": 1_000, "vad_events": True}
    async with doubling() as server, async_client(server).listen.v1.connect(**asked) as socket:
        for frame in frames(pcm()):
            await socket.send_media(frame)
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert ["zero", "one", "two", "three"] == heard(messages)
    assert {"Results", "SpeechStarted", "UtteranceEnd", "Metadata"} == {one.type for one in messages}
    assert ("Metadata", 8.0) == (messages[-1].type, messages[-1].duration)


async def test_sync_client_hears_every_word() -> None:
    def talk(url_of: Any) -> list[Any]:
        with sync_client(url_of).listen.v1.connect(**ASKED, endpointing=300) as socket:
            for frame in frames(pcm()):
                socket.send_media(frame)
            socket.send_close_stream()
            return list(socket)

    async with doubling() as server:
        messages = await asyncio.to_thread(talk, server)
    assert ["zero", "one", "two", "three"] == heard(messages)
    assert "Metadata" == messages[-1].type


async def test_demo_call_is_heard_on_one_multichannel_socket() -> None:
    call = files.read_call(demo_file("customer.wav"), demo_file("agent.wav"))
    both = mu_law(np.stack((call.customer, call.agent), axis=-1).reshape(-1))
    asked = ASKED | {"encoding": "mulaw", "channels": 2, "multichannel": True, "endpointing": 300}
    heard: dict[int, list[tuple[str, int, int]]] = {0: [], 1: []}
    script = replace(read_script(demo_file("reference.json"), call.customer, call.agent), latency_s=0)
    async with serve(script) as server, async_client(server).listen.v1.connect(**asked) as socket:
        for frame in frames(both):
            await socket.send_media(frame)
        await socket.send_close_stream()
        async for message in socket:
            if message.type == "Results":
                words = message.channel.alternatives[0].words
                times = [(word.word, round(word.start * 1_000), round(word.end * 1_000)) for word in words]
                heard[message.channel_index[0]] += times
    reference = json.loads(demo_file("reference.json").read_bytes())["words"]
    for channel, track in enumerate(TRACKS):
        words = [word for word in reference if word["track"] == track]
        assert [(word["text"], word["start_ms"], word["end_ms"]) for word in words] == heard[channel]


async def test_control_messages_of_the_sdk_are_understood() -> None:
    async with doubling() as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        await socket.send_keep_alive()
        await socket.send_media(pcm(end_ms=1_105))
        await socket.send_configure(ListenV1Configure(keyterms=["trunk line"]))
        await socket.send_finalize()
        messages = [await socket.recv() for _ in range(3)]
    assert ["Results", "ConfigureSuccess", "Results"] == [
        one.type for one in messages
    ]  # "zero" ends 50 ms before "one"
    assert messages[-1].from_finalize


async def test_async_client_of_v2_follows_turns() -> None:
    async with doubling() as server, async_client(server).listen.v2.connect(**V2, eot_threshold=0.7) as socket:
        for frame in frames(pcm()):
            await socket.send_media(frame)
        await socket.send_close_stream()
        messages = [message async for message in socket]
        assert 1_005 == socket._websocket.close_code
    ends = [one for one in messages if one.type == "TurnInfo" and one.event == "EndOfTurn"]
    assert "Connected" == messages[0].type
    assert ["zero one", "two three"] == [one.transcript for one in ends]


async def test_control_messages_of_v2_are_understood() -> None:
    async with doubling() as server, async_client(server).listen.v2.connect(**V2) as socket:
        await socket.send_configure(ListenV2Configure(thresholds=ListenV2ConfigureThresholds(eot_threshold=1.0)))
        await socket.send_media(pcm(end_ms=1_150))
        await socket.send_force_end_turn()
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert 1.0 == messages[1].thresholds.eot_threshold
    assert ["manual"] == [one.trigger for one in messages if one.type == "TurnInfo" and one.event == "EndOfTurn"]


async def test_sync_client_of_v2_follows_turns() -> None:
    def talk(url_of: Any) -> list[Any]:
        with sync_client(url_of).listen.v2.connect(**V2) as socket:
            socket.send_media(pcm(end_ms=1_900))
            return [socket.recv() for _ in range(9)]

    async with doubling() as server:
        messages = await asyncio.to_thread(talk, server)
    assert "EndOfTurn" in [one.event for one in messages if one.type == "TurnInfo"]


# Trap 1: nothing is mended by the SDK


async def test_trap_1_server_close_raises_in_async_iteration_and_in_sending() -> None:
    async with doubling(Close(1011, "gone", after_s=1.5)) as server:
        async with async_client(server).listen.v1.connect(**ASKED) as socket:
            await socket.send_media(pcm(end_ms=3_000))
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                _ = [message async for message in socket]
            with pytest.raises(websockets.exceptions.ConnectionClosedError):
                await socket.send_media(pcm(end_ms=100))
        assert 1 == server.handshakes
    assert closed.value.rcvd is not None
    assert (1011, "gone") == (closed.value.rcvd.code, closed.value.rcvd.reason)


async def test_trap_1_server_close_is_an_error_then_a_close_for_a_listener() -> None:
    events: list[str] = []
    async with doubling(Close(1011)) as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        for event in EventType:
            socket.on(event, lambda _, event=event: events.append(event.value))
        await socket.start_listening()
    assert [EventType.OPEN.value, EventType.ERROR.value, EventType.CLOSE.value] == events


async def test_trap_1_no_keep_alive_is_sent() -> None:
    async with doubling(idle_s=0.2) as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert 1011 == closed.value.rcvd.code
    assert "net0001" in closed.value.rcvd.reason


# Trap 2: a refused handshake


@pytest.mark.parametrize(("key", "limit", "status"), [("wrong", 1, 401), ("right", 0, 429)])
async def test_trap_2_refused_handshake_in_async(key: str, limit: int, status: int) -> None:
    async with doubling(keys=frozenset({"right"}), connections=limit) as server:
        with pytest.raises(ApiError) as refused:
            async with async_client(server, key).listen.v1.connect(**ASKED):
                pass
    assert status == refused.value.status_code
    # They are the headers of the request: what the server said is lost.
    assert "x-deepgram-session-id" in (refused.value.headers or {})
    assert "dg-error" not in (refused.value.headers or {})


@pytest.mark.parametrize(("key", "limit", "status"), [("wrong", 1, 401), ("right", 0, 429)])
async def test_trap_2_refused_handshake_in_sync(key: str, limit: int, status: int) -> None:
    def shake(url_of: Any) -> None:
        with sync_client(url_of, key).listen.v1.connect(**ASKED):
            pass

    async with doubling(keys=frozenset({"right"}), connections=limit) as server:
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await asyncio.to_thread(shake, server)
    assert status == refused.value.response.status_code
    assert refused.value.response.headers["dg-error"]


# Trap 3: a type that the SDK does not know


async def test_trap_3_unknown_type_is_none_in_async() -> None:
    async with doubling(UnknownType()) as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        await socket.send_media(pcm(end_ms=1_500))
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert messages[0] is None
    assert ["zero", "one"] == heard(messages)


async def test_trap_3_unknown_type_is_none_in_sync() -> None:
    def talk(url_of: Any) -> object:
        with sync_client(url_of).listen.v1.connect(**ASKED) as socket:
            return socket.recv()

    async with doubling(UnknownType()) as server:
        assert await asyncio.to_thread(talk, server) is None


# Trap 4: a frame that is not JSON


async def test_trap_4_frame_that_is_not_json_is_skipped_by_async_iteration() -> None:
    async with doubling(NotJson(after_s=1.0)) as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        await socket.send_media(pcm(end_ms=1_500))
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert ["zero", "one"] == heard(messages)


async def test_trap_4_frame_that_is_not_json_ends_listening_but_not_the_socket() -> None:
    events: list[str] = []
    async with doubling(NotJson()) as server, async_client(server).listen.v1.connect(**ASKED) as socket:
        for event in EventType:
            socket.on(event, lambda _, event=event: events.append(event.value))
        await socket.start_listening()
        await socket.send_media(pcm(end_ms=1_500))
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert [EventType.OPEN.value, EventType.ERROR.value, EventType.CLOSE.value] == events
    assert ["zero", "one"] == heard(messages)


# Trap 5: what the SDK buffers


async def test_trap_5_consumer_that_stalls_holds_the_socket_up_after_32_messages() -> None:
    async with doubling() as server, async_client(server).listen.v2.connect(**V2) as socket:
        await socket.send_media(pcm() + pcm())  # more than 32 updates
        pong = await socket._websocket.ping()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pong), 0.5)
        await socket.send_close_stream()
        messages = [message async for message in socket]
        assert pong.done()
    assert len(messages) > 32


async def test_trap_5_server_that_reads_nothing_blocks_the_sender() -> None:
    async with (
        doubling(Stall(side="read")) as server,
        async_client(server).listen.v1.connect(**ASKED) as socket,
        asyncio.timeout(WAIT_S),
    ):
        flood = asyncio.create_task(forever(socket.send_media, bytes(200_000)))
        while not socket._websocket.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
        assert {flood} == (await asyncio.wait([flood], timeout=0.3))[1]
        socket._websocket.transport.abort()
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            await flood


async def forever(send: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
    while True:
        await send(data)
