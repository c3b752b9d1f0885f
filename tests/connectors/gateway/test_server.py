"""The gateway's HTTP face over real sockets on loopback; records come from a script instead of Kafka."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from connectors.gateway import server as gateway
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.screenplay import Served, Stage, serve

pytestmark = pytest.mark.unit

Json = dict[str, Any]  # a frame as the wire has it
CARD = play.hint("policy", 3_000)
STALE_CLOSES = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED}


class Screen:
    """A WebSocket client that tells numbered frames from the others."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def resume(self, epoch: str | None = None, seq: int = 0) -> None:
        await self.socket.send_json({"resume": {"epoch": epoch, "seq": seq}})

    async def click(self, guidance_id: str, action: str = "accepted") -> None:
        await self.socket.send_json({"feedback": {"guidance_id": guidance_id, "action": action}})

    async def next(self, kind: str) -> Json:
        """Return the next frame of a type."""
        while True:
            frame: Json = await self.socket.receive_json(timeout=10)
            if frame["type"] == kind:
                return frame


@asynccontextmanager
async def screen(served: Served, contact_id: str = play.CONTACT) -> AsyncIterator[Screen]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{served.url}socket?contact={contact_id}", max_msg_size=0) as socket,
    ):
        yield Screen(socket)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve(Stage()) as served:
        yield served


async def test_first_visit_gets_a_snapshot_then_what_happens(served: Served) -> None:
    served.stage.play(play.started(), play.turn("hello there", 0))
    async with screen(served) as page:
        await page.resume()
        snapshot = await page.next("snapshot")
        served.stage.play(play.turn("good morning", 2_000, speaker="agent"))
        live = await page.next("turn")
    assert ["hello there"] == [turn["text"] for turn in snapshot["turns"]]
    assert (2, 3) == (snapshot["seq"], live["seq"])


async def test_resume_gets_the_missed_frames_alone(served: Served) -> None:
    served.stage.play(*(play.turn(f"turn {n}", n * 1_000) for n in range(5)))
    async with screen(served) as page:
        await page.resume("epoch-1", 3)
        assert [4, 5] == [(await page.next("turn"))["seq"] for _ in range(2)]


async def test_contact_may_be_watched_before_it_starts(served: Served) -> None:
    async with screen(served) as page:
        await page.resume()
        assert [] == (await page.next("snapshot"))["turns"]
        served.stage.play(play.started())
        assert "Daniel" == (await page.next("contact"))["agent"]


async def test_frames_of_another_contact_stay_away(served: Served) -> None:
    async with screen(served) as page:
        await page.resume()
        await page.next("snapshot")
        served.stage.play(play.turn("not for you", 0, contact_id="another"), play.turn("for you", 0))
        assert "for you" == (await page.next("turn"))["text"]


async def test_accepted_card_is_saved_and_shown_on_every_screen(served: Served) -> None:
    served.stage.play(play.started(), play.guidance("cause", CARD))
    async with screen(served) as one, screen(served) as other:
        await one.resume()
        await other.resume()
        await other.next("snapshot")
        await one.click(CARD.guidance_id)
        frames = [await page.next("feedback") for page in (one, other)]
    saved = [(card.key, card.feedback) for card in served.stage.saved]
    assert [(play.KEY, play.feedback(CARD.guidance_id))] == saved
    assert 2 * [(CARD.guidance_id, "accepted", 3)] == [
        (frame["guidance_id"], frame["action"], frame["seq"]) for frame in frames
    ]


async def test_answer_is_still_there_after_a_reload(served: Served) -> None:
    served.stage.play(play.guidance("cause", CARD), play.feedback(CARD.guidance_id, "dismissed"))
    async with screen(served) as page:
        await page.resume()
        assert ["dismissed"] == [said["action"] for said in (await page.next("snapshot"))["feedback"]]


async def test_click_that_kafka_does_not_take_is_said(served: Served) -> None:
    served.stage.play(play.guidance("cause", CARD))
    served.stage.is_kafka_away = True
    async with screen(served) as page:
        await page.resume()
        await page.click(CARD.guidance_id)
        refused = await page.next("error")
    assert ("not saved, try again", CARD.guidance_id) == (refused["reason"], refused["guidance_id"])


async def test_click_on_an_unknown_card_is_refused(served: Served) -> None:
    async with screen(served) as page:
        await page.resume()
        await page.click("nothing")
        assert "no such open card" == (await page.next("error"))["reason"]
    assert [] == served.stage.saved


@pytest.mark.parametrize("has_resumed", [False, True])
async def test_malformed_input_is_answered_and_the_socket_stays(served: Served, has_resumed: bool) -> None:
    async with screen(served) as page:
        if has_resumed:
            await page.resume()
            await page.next("snapshot")
        for send in (page.socket.send_str("}{"), page.socket.send_bytes(b"\x00"), page.socket.send_str("7")):
            await send
            await page.next("error")
        if not has_resumed:
            await page.resume()
        served.stage.play(play.turn("still here", 0))
        assert "still here" in json.dumps([await page.next("turn" if has_resumed else "snapshot")])


async def test_click_before_resume_is_refused(served: Served) -> None:
    async with screen(served) as page:
        await page.click("card")
        assert "resume first" == (await page.next("error"))["reason"]


async def test_silent_client_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "RESUME_LIMIT_S", 0.05)
    async with screen(served) as page:
        message = await page.socket.receive(timeout=10)
        assert (aiohttp.WSMsgType.CLOSE, 1008) == (message.type, message.data)


async def test_message_above_the_limit_closes_the_socket(served: Served) -> None:
    async with screen(served) as page:
        await page.resume()
        await page.next("snapshot")
        await page.socket.send_str(" " * 5_000)
        assert 1009 == await closed(page)


async def test_restart_closes_with_1012() -> None:
    async with serve(Stage()) as served, screen(served) as page:
        await page.resume()
        await page.next("snapshot")
        stopping = asyncio.ensure_future(served.server.hang_up())
        assert 1012 == await closed(page)
        await stopping


async def test_screen_that_does_not_read_is_closed_with_4008(served: Served) -> None:
    async with screen(served) as page:
        await page.resume()
        await page.next("snapshot")
        text = "word " * 2_000
        sent = 0
        while served.stage.hub.screens(play.CONTACT):
            sent += 1
            served.stage.play(play.turn(f"{text}{sent}", 0, rev=sent))
            await asyncio.sleep(0)
            assert sent < 100_000
        assert 4008 == await closed(page)


async def closed(page: Screen) -> int | None:
    """Read to the end and return the close code."""
    while True:
        message = await page.socket.receive(timeout=10)
        if message.type in STALE_CLOSES:
            return page.socket.close_code


async def test_degraded_state_reaches_screens_and_readiness(served: Served) -> None:
    async with screen(served) as page, aiohttp.ClientSession(served.url) as http:
        await page.resume()
        assert "live" == (await page.next("status"))["state"]
        served.stage.hub.degrade(is_degraded=True)
        assert "degraded" == (await page.next("status"))["state"]
        async with http.get("/readyz") as ready, http.get("/healthz") as alive:
            assert (503, 200) == (ready.status, alive.status)


async def test_idle_socket_hears_something(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's script sees no pings: this is how it knows a half-open connection."""
    monkeypatch.setattr(gateway, "PING_S", 0.05)
    async with screen(served) as page:
        await page.resume()
        await page.next("idle")


async def test_contacts_are_listed(served: Served) -> None:
    served.stage.play(play.started())
    async with aiohttp.ClientSession(served.url) as http, http.get("/contacts") as reply:
        listed = await reply.json()
    assert [(play.CONTACT, "Daniel", True)] == [(c["contact_id"], c["agent"], c["is_live"]) for c in listed]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost"}, 200),
    ],
)
async def test_other_sites_are_refused(served: Served, headers: dict[str, str], status: int) -> None:
    async with (
        aiohttp.ClientSession(served.url) as http,
        http.get("/contacts", headers=headers) as reply,
    ):
        assert status == reply.status


async def test_socket_from_another_origin_is_refused(served: Served) -> None:
    async with aiohttp.ClientSession(served.url) as http:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect("/socket?contact=x", origin="http://evil.example")


async def test_own_origin_is_allowed(served: Served) -> None:
    async with (
        aiohttp.ClientSession(served.url) as http,
        http.ws_connect("/socket?contact=x", origin=served.url.rstrip("/")) as socket,
    ):
        await Screen(socket).resume()
        await Screen(socket).next("snapshot")


async def test_socket_without_a_contact_is_refused(served: Served) -> None:
    async with aiohttp.ClientSession(served.url) as http, http.get("/socket") as reply:
        assert 400 == reply.status


@pytest.mark.parametrize("path", ["/", *(f"/page/{file.name}" for file in gateway.PAGE.iterdir())])
async def test_page_comes_with_a_policy_that_allows_nothing_foreign(served: Served, path: str) -> None:
    async with aiohttp.ClientSession(served.url) as http, http.get(path) as reply:
        body = await reply.text()
    assert 200 == reply.status
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'self'")
    foreign = [url for url in re.findall(r"https?://[^\s\"']+", body) if "www.w3.org" not in url]
    assert [] == foreign


@pytest.mark.parametrize("path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page/", "/board.py"])
async def test_nothing_but_the_page_is_served(served: Served, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(served.url.rstrip("/") + path) as reply:
        assert reply.status in {403, 404}
