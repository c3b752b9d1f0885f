"""The HTTP face of the desk.

    GET /review                     the page; it holds nothing before the login
    POST, DELETE /review/session    log in with {"token": ...}, log out
    GET /review/queue               who waits
    GET /review/contact?id=<id>     one contact
    POST /review/decision           {"contact_id", "verdict_rev", "decision", "marks"}
    POST /review/reveal             {"contact_id", "turn_id", "reason"} -> {"text", "seconds"}

A session is a random cookie that no script reads and no other site sends; it lives in this process. No answer may be
kept by a cache, and nothing that was said is ever in an address or a log line.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec
from aiohttp import web

from connectors.gateway.review.contact import Mark
from connectors.gateway.review.desk import Desk, Refusal
from connectors.gateway.review.people import Person, find
from pipeline.errors import PeerUnavailable

COOKIE: Final = "trunkline_review"
IDLE_S: Final = 30 * 60.0
WRONG_TOKEN_S: Final = 1.0  # how long a wrong token is thought about
SHOW_S: Final = 60  # how long unredacted words stand on the page
_BODY_BYTES: Final = 256 << 10

Answer = Callable[[web.Request, Person], Awaitable[web.StreamResponse]]
Body = TypeVar("Body")


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class _Decision(msgspec.Struct, forbid_unknown_fields=True):
    contact_id: str
    verdict_rev: int
    decision: Literal["approved", "rejected"]
    marks: list[Mark]


class _Reveal(msgspec.Struct, forbid_unknown_fields=True):
    contact_id: str
    turn_id: str
    reason: str


class Routes:
    """Who is logged in, and what each may ask."""

    def __init__(self, desk: Desk, people: tuple[Person, ...], page: Path) -> None:
        """Serve a desk to some people; `page` is the folder of `review.html`."""
        self._desk = desk
        self._people = people
        self._page = page
        self._sessions: dict[str, tuple[Person, float]] = {}  # person, and until when on the monotonic clock

    def add(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_get("/review", self._index)
        app.router.add_post("/review/session", self._log_in)
        app.router.add_delete("/review/session", self._log_out)
        app.router.add_get("/review/queue", self._known(self._queue))
        app.router.add_get("/review/contact", self._known(self._contact))
        app.router.add_post("/review/decision", self._known(self._decide))
        app.router.add_post("/review/reveal", self._known(self._reveal))

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(self._page / "review.html")

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        given = await _body(request, _Login)
        person = find(self._people, given.token)
        if person is None:
            await asyncio.sleep(WRONG_TOKEN_S)
            raise web.HTTPUnauthorized(text="the token is nobody's")
        now_s = time.monotonic()
        self._sessions = {name: one for name, one in self._sessions.items() if one[1] > now_s}
        session = secrets.token_urlsafe(32)
        self._sessions[session] = person, now_s + IDLE_S
        answer = web.json_response({"name": person.name})
        answer.set_cookie(
            COOKIE, session, path="/review", httponly=True, samesite="Strict", secure=_is_encrypted(request)
        )
        return answer

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        answer = web.json_response({})
        answer.del_cookie(COOKIE, path="/review")
        return answer

    async def _queue(self, _: web.Request, person: Person) -> web.StreamResponse:
        return web.json_response({"name": person.name} | self._desk.queue(person))

    async def _contact(self, request: web.Request, person: Person) -> web.StreamResponse:
        return web.json_response(await self._desk.contact(person, request.query.get("id", "")))

    async def _decide(self, request: web.Request, person: Person) -> web.StreamResponse:
        said = await _body(request, _Decision)
        await self._desk.decide(person, said.contact_id, said.verdict_rev, said.decision, said.marks)
        return web.json_response({}, status=202)

    async def _reveal(self, request: web.Request, person: Person) -> web.StreamResponse:
        asked = await _body(request, _Reveal)
        heard = await self._desk.reveal(person, asked.contact_id, asked.turn_id, asked.reason)
        return web.json_response({"text": heard, "seconds": SHOW_S})

    def _known(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Let those in who are logged in, and say in HTTP why something is not done."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            session = request.cookies.get(COOKIE, "")
            person, until_s = self._sessions.get(session, (None, 0.0))
            if person is None or until_s <= time.monotonic():
                self._sessions.pop(session, None)
                raise web.HTTPUnauthorized(text="log in first")
            if answer != self._queue:  # the page asks for it by itself
                self._sessions[session] = person, time.monotonic() + IDLE_S
            try:
                return await answer(request, person)
            except Refusal as refusal:
                return web.json_response({"reason": refusal.reason}, status=refusal.status)
            except PeerUnavailable:
                return web.json_response({"reason": "Kafka did not take it; nothing was shown or decided"}, status=503)

        return guarded


async def _body(request: web.Request, kind: type[Body]) -> Body:
    if request.content_type != "application/json" or (request.content_length or 0) > _BODY_BYTES:
        raise web.HTTPBadRequest(text="not JSON, or too long")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError:
        raise web.HTTPBadRequest(text="not what is asked for here") from None


def _is_encrypted(request: web.Request) -> bool:
    """Whether the browser speaks TLS, to this process or to a proxy before it."""
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"
