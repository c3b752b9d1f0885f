"""The HTTP face: two paths that become sockets.

    GET /v1/listen      results (Nova)
    GET /v2/listen      turns (Flux)

Owns admission: keys, the limit of connections at once, and the faults of a handshake.
"""

import asyncio
import uuid
from dataclasses import dataclass

from aiohttp import web

from connectors.deepgram_double import requests
from connectors.deepgram_double.connection import Connection
from connectors.deepgram_double.faults import Plan, Refuse, SlowStart
from connectors.deepgram_double.messages import Session, Witness
from connectors.deepgram_double.requests import Format, refusal
from connectors.deepgram_double.results import Listening
from connectors.deepgram_double.script import Script
from connectors.deepgram_double.turns import Turns


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service bounds; the defaults are its own.

    Attributes:
        connections: at once; 50 are what pay-as-you-go gives. One more is answered with 429.
        idle_s: a connection that brings neither audio nor text for so long is closed.
        keys: that are let in; empty lets in any that is not empty.
    """

    connections: int = 50
    idle_s: float = 10.0
    keys: frozenset[str] = frozenset()


class Server:
    """Serves a script to clients.

    Owns which connections are admitted, and keeps what each has received.
    """

    def __init__(self, script: Script, limits: Limits, plan: Plan, witness: Witness | None = None) -> None:
        """Bind the server to what it can hear.

        Args:
            script: tracks and words.
            limits: of all connections.
            plan: what goes wrong.
            witness: who watches.
        """
        self._witness = witness
        self.url = ""
        self.handshakes = 0
        self.open_connections = 0
        self.connections: list[Connection] = []
        self._script = script
        self._limits = limits
        self._plan = plan

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application()
        app.router.add_get("/v1/listen", self._listen_v1)
        app.router.add_get("/v2/listen", self._listen_v2)
        return app

    async def _listen_v1(self, request: web.Request) -> web.StreamResponse:
        number = await self._admit(request)
        asked = requests.read_v1(request)
        return await self._talk(request, number, asked.format, Listening(asked, self._script, str(uuid.uuid4())))

    async def _listen_v2(self, request: web.Request) -> web.StreamResponse:
        number = await self._admit(request)
        asked = requests.read_v2(request)
        return await self._talk(request, number, asked.format, Turns(asked, self._script, str(uuid.uuid4())))

    async def _admit(self, request: web.Request) -> int:
        """Let the faults of a handshake happen, and refuse what the service would; return the handshake's number."""
        self.handshakes += 1
        number = self.handshakes
        for fault in self._plan.of(number):
            match fault:
                case Refuse(status=status):
                    raise refusal(status)
                case SlowStart(for_s=for_s):
                    await asyncio.sleep(for_s)
        key = requests.key(request.headers)
        if not key or self._limits.keys and key not in self._limits.keys:
            raise refusal(401)
        if self.open_connections >= self._limits.connections:
            raise refusal(429)
        return number

    async def _talk(self, request: web.Request, number: int, audio: Format, session: Session) -> web.StreamResponse:
        connection = Connection(number, audio, session, self._plan.of(number), self._witness)
        self.connections.append(connection)
        self.open_connections += 1
        try:
            return await connection.serve(request, self._script.latency_s, self._limits.idle_s)
        finally:
            self.open_connections -= 1
