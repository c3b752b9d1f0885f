"""What goes wrong on purpose, and how a connection ends, as a bare socket sees it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from connectors.deepgram_double import Plan, Server, Serving, serve
from connectors.deepgram_double.faults import (
    Close,
    Complaint,
    Drop,
    Fault,
    HalfOpen,
    NotJson,
    Refuse,
    Slow,
    SlowStart,
    Stall,
    UnknownType,
)
from connectors.deepgram_double.hearing import Whence
from pipeline.errors import PeerUnavailable
from tests.connectors.deepgram_double.callers import (
    ASKED,
    KEY,
    WAIT_S,
    Json,
    connected,
    doubling,
    finals,
    pcm,
    script,
    silence,
    words,
)

pytestmark = pytest.mark.unit

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def refused(
    server: Server, path: str = "/v1/listen", authorization: str = f"Token {KEY}", **asked: str
) -> tuple[int, dict[str, str]]:
    """Return status and body of a handshake that must be refused; its error stands in the header too."""
    headers = {"Authorization": authorization} if authorization else {}
    url = server.url.replace("ws://", "http://") + path
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params=ASKED | asked, headers=headers | UPGRADE) as response,
    ):
        body: dict[str, str] = json.loads(await response.text())
        assert response.headers["dg-error"] == body["err_msg"]
        assert response.headers["dg-request-id"] == body["request_id"]
        return response.status, body


@pytest.mark.parametrize("status", [400, 401, 402, 403, 429, 500, 503])
async def test_handshake_is_refused_as_planned_and_the_next_is_not(status: Any) -> None:
    async with doubling(Refuse(status, connections=(1,))) as server:
        assert status == (await refused(server))[0]
        async with connected(server) as socket:
            await socket.media(pcm(end_ms=1_500))
            assert ["zero"] == words([await socket.next()])
        assert 2 == server.handshakes


@pytest.mark.parametrize("authorization", ["", "Token", "Token ", "Basic a2V5", KEY])
async def test_key_is_needed(authorization: str) -> None:
    async with doubling() as server:
        status, body = await refused(server, authorization=authorization)
    assert (401, "INVALID_AUTH") == (status, body["err_code"])


@pytest.mark.parametrize("authorization", ["Token right", "token right", "Bearer right"])
async def test_key_is_let_in_by_either_scheme(authorization: str) -> None:
    async with doubling(keys=frozenset({"right"})) as server:
        headers = {"Authorization": authorization}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/v1/listen", params=ASKED, headers=headers) as socket,
        ):
            assert not socket.closed


async def test_one_connection_too_many_is_refused_until_another_ends() -> None:
    async with doubling(connections=1) as server:
        async with connected(server) as socket:
            assert (429, "TOO_MANY_REQUESTS") == ((found := await refused(server))[0], found[1]["err_code"])
            await socket.say("CloseStream")
            await socket.rest()
        async with connected(server) as socket:
            await socket.say("CloseStream")
            assert "Metadata" == (await socket.next())["type"]


@pytest.mark.parametrize(
    "asked",
    [{"sample_rate": "16000"}, {"channels": "3"}, {"channels": "x"}, {"interim_results": "1"}, {"endpointing": "x"}],
)
async def test_question_that_is_none_is_refused(asked: dict[str, str]) -> None:
    async with doubling() as server:
        assert 400 == (await refused(server, **asked))[0]


async def test_v2_serves_flux_alone() -> None:
    async with doubling() as server:
        assert 400 == (await refused(server, "/v2/listen", model="nova-3"))[0]


async def test_close_stream_ends_with_1000() -> None:
    async with doubling() as server, connected(server) as socket:
        await socket.media(pcm(end_ms=1_105))
        await socket.say("CloseStream")
        messages, code, _ = await socket.rest()
    assert (["zero", "one"], "Metadata", 1_000) == (words(messages), messages[-1]["type"], code)


async def test_v2_ends_without_a_code() -> None:
    async with doubling() as server, connected(server, "/v2/listen", model="flux-general-en") as socket:
        await socket.say("CloseStream")
        assert ["Connected", "TurnInfo"] == [(await socket.next())["type"] for _ in range(2)]
        frame = await socket.frame()
    assert (aiohttp.WSMsgType.CLOSE, 0, "") == (frame.type, frame.data, frame.extra)


async def test_connection_without_audio_is_closed() -> None:
    async with doubling(idle_s=0.2) as server, connected(server) as socket:
        _, code, reason = await socket.rest()
    assert 1_011 == code
    assert "net0001" in reason


async def test_keep_alive_keeps_a_connection_without_audio() -> None:
    loop = asyncio.get_running_loop()
    async with doubling(idle_s=1.0) as server, connected(server) as socket:
        begun_s = loop.time()
        for _ in range(4):
            with pytest.raises(TimeoutError):
                await socket.frame(0.3)
            await socket.say("KeepAlive")
        assert loop.time() - begun_s > 1.0
        await socket.media(pcm(end_ms=1_500))
        assert ["zero"] == words([await socket.next()])


async def test_audio_that_cannot_be_decoded_is_closed_with_1008() -> None:
    async with doubling() as server, connected(server, encoding="opus") as socket:
        await socket.media(b"anything")
        _, code, reason = await socket.rest()
    assert (1_008, "DATA-0000") == (code, reason)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_drop_comes_after_what_was_heard_before_it_and_without_a_close_frame(how: Any) -> None:
    async with doubling(Drop(after_s=1.0, how=how, connections=(1,))) as server:
        async with connected(server, endpointing="20") as socket:
            await socket.media(pcm(end_ms=3_000))
            messages, code, _ = await socket.rest()
        assert (["zero"], 1_006) == (words(messages), code)
        assert 1.0 == server.connections[0].received_s
        async with connected(server, endpointing="20") as socket:
            await socket.media(pcm(start_ms=700, end_ms=1_500))
            (final,) = finals([await socket.next()])
    assert (["one"], 0.05) == (words([final]), final["channel"]["alternatives"][0]["words"][0]["start"])


async def test_close_has_the_code_that_was_planned() -> None:
    async with doubling(Close(1_012, "restart", after_s=1.0)) as server, connected(server, endpointing="20") as socket:
        await socket.media(pcm(end_ms=3_000))
        messages, code, reason = await socket.rest()
    assert (["zero"], 1_012, "restart") == (words(messages), code, reason)


async def test_stall_of_sending_holds_messages_back() -> None:
    loop = asyncio.get_running_loop()
    async with doubling(Stall(side="send", for_s=0.3)) as server, connected(server) as socket:
        begun_s = loop.time()
        await socket.media(pcm(end_ms=1_500))
        assert ["zero"] == words([await socket.next()])
        assert loop.time() - begun_s >= 0.3


async def test_stall_of_sending_goes_on_reading() -> None:
    async with doubling(Stall(side="send")) as server, connected(server) as socket, asyncio.timeout(WAIT_S):
        await socket.media(pcm(end_ms=1_500))
        while server.connections[0].received_s < 1.5:
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await socket.frame(0.2)


async def test_stall_of_reading_is_heard_afterwards() -> None:
    loop = asyncio.get_running_loop()
    async with doubling(Stall(after_s=1.0, side="read", for_s=0.3)) as server, connected(server) as socket:
        begun_s = loop.time()
        await socket.media(pcm(end_ms=1_500))
        assert ["zero"] == words([await socket.next()])
        await socket.say("CloseStream")
        assert ["one"] == words((await socket.rest())[0])
        assert loop.time() - begun_s >= 0.3


async def test_stall_of_reading_leaves_audio_unheard() -> None:
    async with doubling(Stall(after_s=1.0, side="read")) as server, connected(server) as socket:
        await socket.media(pcm(end_ms=1_500))
        assert ["zero"] == words([await socket.next()])
        with pytest.raises(TimeoutError):
            await socket.frame(0.2)
        assert 1.0 == server.connections[0].received_s


async def test_half_open_connection_takes_everything_and_answers_nothing() -> None:
    async with doubling(HalfOpen(after_s=1.0), idle_s=1.0) as server, connected(server) as socket:
        await socket.media(pcm(end_ms=3_000))
        assert ["zero"] == words([await socket.next()])
        await socket.say("CloseStream")
        with pytest.raises(TimeoutError):
            await socket.frame(1.2)
        async with asyncio.timeout(WAIT_S):
            for _ in range(80):
                await socket.media(bytes(200_000))  # in all more than the buffers of a socket hold


@pytest.mark.parametrize(("how", "packet"), [("close", "FIN"), ("reset", "RST")])
async def test_drop_ends_with_the_packet_that_was_planned(how: Any, packet: str) -> None:
    async with doubling(Drop(how=how)) as server:
        assert packet == await last_packet(server)


async def last_packet(server: Server) -> str:
    """Shake hands on a bare TCP socket; return whether the connection ended with FIN or RST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    headers = "".join(f"{name}: {value}\r\n" for name, value in (UPGRADE | {"Authorization": "Token key"}).items())
    writer.write(f"GET /v1/listen?model=nova-3 HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    try:
        while await reader.read(65_536):
            pass
    except ConnectionResetError:
        return "RST"
    finally:
        writer.close()
    return "FIN"


@pytest.mark.parametrize(
    "fault", [Stall(connections=(1,)), HalfOpen(connections=(1,)), Slow(for_s=60, connections=(1,))]
)
async def test_client_that_hangs_up_gives_its_place_back(fault: Fault) -> None:
    async with doubling(fault, connections=1) as server, asyncio.timeout(WAIT_S):
        async with connected(server) as socket:
            await socket.media(pcm(end_ms=1_500))
            assert 429 == (await refused(server))[0]
            socket.hang_up()
            while server.open_connections:
                await asyncio.sleep(0.01)
        async with connected(server) as socket:
            await socket.media(pcm(end_ms=1_500))
            assert ["zero"] == words([await socket.next()])


async def test_everything_is_late_in_its_order() -> None:
    loop = asyncio.get_running_loop()
    async with doubling(Slow(for_s=0.2), latency_s=0.1) as server, connected(server) as socket:
        begun_s = loop.time()
        await socket.media(pcm(end_ms=1_500))
        await socket.say("CloseStream")
        messages, code, _ = await socket.rest()
        assert 0.3 <= loop.time() - begun_s
    assert (["zero", "one"], 1_000) == (words(messages), code)


async def test_connection_keeps_the_number_of_its_handshake() -> None:
    async with doubling(SlowStart(for_s=0.2, connections=(1,)), Refuse(503, connections=(2,))) as server:

        async def first() -> list[int]:
            async with connected(server):
                return [one.number for one in server.connections]

        slow = asyncio.create_task(first())
        while not server.handshakes:
            await asyncio.sleep(0.01)
        assert 503 == (await refused(server))[0]
        assert [1] == await slow


async def test_handshake_may_take_its_time() -> None:
    async with doubling(SlowStart(for_s=0.2)) as server:
        begun_s = asyncio.get_running_loop().time()
        async with connected(server):
            assert asyncio.get_running_loop().time() - begun_s >= 0.2


async def test_odd_messages_come_in_their_places_and_the_stream_goes_on() -> None:
    plan = (UnknownType(after_s=0.1), NotJson(after_s=0.2), Complaint(after_s=0.3))
    async with doubling(*plan) as server, connected(server) as socket:
        await socket.media(pcm(end_ms=1_500))
        assert "Unheard" == (await socket.next())["type"]
        assert "this is no JSON" == (await socket.frame()).data
        assert "Error" == (await socket.next())["type"]
        assert ["zero"] == words([await socket.next()])


async def test_ping_is_answered() -> None:
    async with doubling() as server, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Token {KEY}"}
        url = f"{server.url}/v1/listen"
        async with session.ws_connect(url, params=ASKED, headers=headers, autoping=False) as socket:
            await socket.ping(b"there?")
            frame = await socket.receive(10)
    assert (aiohttp.WSMsgType.PONG, b"there?") == (frame.type, bytes(frame.data))


async def test_connections_are_counted_from_one_with_those_that_are_refused() -> None:
    plan = Plan((Refuse(503, connections=(2,)), Slow(for_s=1)))
    assert [1, 2, 1] == [len(plan.of(connection)) for connection in (1, 2, 3)]


async def test_port_that_is_taken_is_said() -> None:
    async with doubling() as server:
        with pytest.raises(PeerUnavailable, match="cannot listen on port"):
            async with serve(script(), Serving(port=int(server.url.rpartition(":")[2]))):
                pass


# Who watches


class Noting:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.whence: list[Whence | None] = []
        self.said_words: list[str] = []

    def heard(self, connection: int, at_s: float, size_bytes: int, whence: Whence | None) -> None:
        self.sizes.append((connection, size_bytes))
        self.whence.append(whence)

    def said(self, connection: int, message: Json) -> None:
        self.said_words += words([message])


async def test_witness_is_told_what_came_from_where_and_what_was_said() -> None:
    noting = Noting()
    async with (
        serve(script(), Serving(plan=Plan((Drop(after_s=0.6, connections=(2,)),)), witness=noting)) as server,
        connected(server) as first,
        connected(server) as second,
    ):
        await first.media(pcm("agent", 3_000, 3_600) + pcm("customer", 500, 800))
        await first.media(silence(1_000))
        await second.media(pcm("customer", 100, 1_200))
        await second.rest()
        await first.say("CloseStream")
        await first.rest()
    assert [(1, 14_400), (1, 30_400), (2, 9_600)] == noting.sizes
    # 24,000 - 0, then 4,000 - 4,800 of the connection's own samples.
    assert [("customer", -800), None, ("customer", 800)] == noting.whence
    assert ["four"] == noting.said_words
