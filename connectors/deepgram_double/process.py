"""The double as a whole: a server on a port of loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from connectors.deepgram_double.faults import Plan
from connectors.deepgram_double.messages import Witness
from connectors.deepgram_double.script import Script
from connectors.deepgram_double.server import Limits, Server
from pipeline.errors import PeerUnavailable

# Its key keeps nobody out: it serves this machine alone.
HOST: Final = "127.0.0.1"
_STOP_LIMIT_S: Final = 0.05  # open connections never end by themselves


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve.

    Attributes:
        port: 0 takes a free one.
        limits: of all connections.
        plan: what goes wrong.
        witness: who watches.
    """

    port: int = 0
    limits: Limits = field(default_factory=Limits)
    plan: Plan = field(default_factory=Plan)
    witness: Witness | None = None


@asynccontextmanager
async def serve(script: Script, serving: Serving | None = None) -> AsyncIterator[Server]:
    """Serve while the context is open; `url` of what it yields is the websocket root, ws://HOST:PORT.

    Args:
        script: what can be heard.
        serving: port, limits and faults.

    Raises:
        PeerUnavailable: the port is taken.
    """
    serving = serving or Serving()
    server = Server(script, serving.limits, serving.plan, serving.witness)
    # A client that hangs up must give its place back at once, also when nothing is read from it.
    runner = web.AppRunner(
        server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_LIMIT_S
    )
    try:
        server.url = await _listen(runner, serving.port)
        yield server
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> str:
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        raise PeerUnavailable(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
    return f"ws://{HOST}:{runner.addresses[0][1]}"
