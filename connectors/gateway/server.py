"""The HTTP face of the gateway: the page, the list of contacts, and a WebSocket for each screen.

    GET /                        the agent page; its modules lie under /page/
    GET /contacts                the newest contacts, newest first, as JSON
    GET /socket?contact=<id>     WebSocket, one contact
    /review                      what reviewers use; see `review/routes.py`
    GET /healthz, /readyz        whether the process lives; whether it has caught up with its topics

A screen opens with `{"resume": {"epoch": E or null, "seq": n}}` and gets what it missed, then what happens. A
click is `{"feedback": {"guidance_id": "...", "action": "accepted" or "dismissed"}}`; its effect comes back as
a `feedback` frame to every screen of the contact, once Kafka has it. Frames are described in `board.py`. What
is not understood is answered with `{"type": "error", "reason": ...}` and the socket stays.

Close codes: 1008 no resume in time, 1009 a message above 4 KiB, 1012 the gateway restarts, 4008 the screen
reads too slowly; after the last two the page resumes. There is no login: this server belongs behind one, or
on loopback.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Handler

from connectors.gateway.board import Card, Frame
from connectors.gateway.hub import Hub
from connectors.gateway.messages import LIMIT_BYTES, Feedback, Refusal, Resume, parse
from connectors.gateway.outbox import Outbox
from pipeline.errors import PeerUnavailable

SendFeedback = Callable[[Card], Awaitable[None]]

PAGE: Final = Path(__file__).parent / "page"
SETTLE_LIMIT_S: Final = 5.0  # a new screen waits no longer for a gateway that has lost Kafka
_SETTLE_STEP_S: Final = 0.02
PING_S: Final = 20.0  # below the 30 to 60 s after which proxies drop a silent connection
RESUME_LIMIT_S: Final = 10.0
CLOSE_LIMIT_S: Final = 5.0
SLOW_READER: Final = 4008  # of the private range; Centrifuge's DisconnectSlow is 3008

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Server:
    """Serves the hub to browsers.

    Owns the open sockets and nothing of what they show.
    """

    def __init__(self, hub: Hub, send_feedback: SendFeedback, readiness: Callable[[], Frame]) -> None:
        """Bind the server to what it serves.

        Args:
            hub: the contacts.
            send_feedback: returns when Kafka has the record; raises PeerUnavailable when it has not.
            readiness: the answer of /readyz; its `ready` decides between 200 and 503.
        """
        self._hub = hub
        self._send_feedback = send_feedback
        self._readiness = readiness
        self._sockets: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/", self._index)
        app.router.add_get("/contacts", self._contacts)
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_static("/page", PAGE)
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(self._say_goodbye)
        return app

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _contacts(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._hub.board.contacts())

    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        readiness = self._readiness()
        return web.json_response(readiness, status=200 if readiness["ready"] else 503)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        contact_id = request.query.get("contact")
        if not contact_id:
            raise web.HTTPBadRequest(text="contact is missing")
        socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=LIMIT_BYTES, compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._serve(socket, contact_id)
        finally:
            self._sockets.discard(socket)
            if not socket.closed and request.transport is not None:
                request.transport.abort()
        return socket

    async def _serve(self, socket: web.WebSocketResponse, contact_id: str) -> None:
        # A socket that breaks in mid-sentence is no event: its screen comes back.
        with suppress(ConnectionError):
            resume = await _resume(socket)
            if resume is None:
                return
            await self._settled()
            with self._hub.join(contact_id, resume.epoch, resume.seq) as outbox:
                reading = self._read(socket, contact_id, outbox)
                await _first_of(reading, _write(socket, outbox), outbox.is_slow.wait())
            if outbox.is_slow.is_set():
                await _close(socket, SLOW_READER, b"too slow; resume")

    async def _settled(self) -> None:
        """Wait until the topics have been read: a screen must not be shown what it has already outgrown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_LIMIT_S):
                while not self._readiness()["ready"]:
                    await asyncio.sleep(_SETTLE_STEP_S)

    async def _read(self, socket: web.WebSocketResponse, contact_id: str, outbox: Outbox) -> None:
        async for message in socket:
            said = parse(message.data) if message.type is WSMsgType.TEXT else Refusal("not text")
            match said:
                case Feedback():
                    await self._answer(contact_id, said, outbox)
                case Resume():
                    outbox.offer((_error("already resumed"),))
                case Refusal():
                    outbox.offer((_error(said.reason),))

    async def _answer(self, contact_id: str, said: Feedback, outbox: Outbox) -> None:
        """Hand a click to Kafka; the frame about it comes back with the topic, for every screen alike."""
        about: Frame = {"guidance_id": said.guidance_id}
        card = self._hub.board.card(contact_id, said.guidance_id, said.action)
        if card is None:
            outbox.offer((_error("no such open card") | about,))
            return
        try:
            await self._send_feedback(card)
        except PeerUnavailable:
            outbox.offer((_error("not saved, try again") | about,))

    async def hang_up(self) -> None:
        """Close every socket with 1012: its page comes back, here or at another gateway."""
        sockets = tuple(self._sockets)
        await asyncio.gather(*(_close(socket, WSCloseCode.SERVICE_RESTART, b"restart") for socket in sockets))

    async def _say_goodbye(self, _: web.Application) -> None:
        await self.hang_up()


async def _resume(socket: web.WebSocketResponse) -> Resume | None:
    """Wait for the first message; None if the screen went away or said nothing in time."""
    try:
        async with asyncio.timeout(RESUME_LIMIT_S):
            async for message in socket:
                said = parse(message.data) if message.type is WSMsgType.TEXT else Refusal("not text")
                if isinstance(said, Resume):
                    return said
                reason = said.reason if isinstance(said, Refusal) else "resume first"
                await socket.send_json(_error(reason))
    except TimeoutError:
        await _close(socket, WSCloseCode.POLICY_VIOLATION, b"no resume")
    return None


async def _write(socket: web.WebSocketResponse, outbox: Outbox) -> None:
    """Send what there is, and a word each `PING_S` if there is nothing: a page's script sees no pings."""
    while True:
        frame: Frame = {"type": "idle"}
        with suppress(TimeoutError):
            async with asyncio.timeout(PING_S):
                frame = await outbox.take()
        await socket.send_str(json.dumps(frame, separators=(",", ":")))


async def _close(socket: web.WebSocketResponse, code: int, reason: bytes) -> None:
    """Say why and hang up; a screen that does not read gets `CLOSE_LIMIT_S` to catch up with the reason."""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await socket.close(code=code, message=reason)


async def _first_of(*ways: Awaitable[object]) -> None:
    """Run until one of several ends, and end the others; an error of the first one is raised."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _error(reason: str) -> Frame:
    return {"type": "error", "reason": reason}


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    if request.path.startswith("/review"):
        response.headers["Cache-Control"] = "no-store"


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse pages of other sites, also those that point a name of theirs at this machine (DNS rebinding)."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="origin not allowed")
    if _is_loopback(_local_address(request)) and not _is_loopback(urlsplit(f"//{request.host}").hostname):
        raise web.HTTPForbidden(text="host not allowed")
    return await handler(request)


def _local_address(request: web.Request) -> str | None:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if name else None


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
