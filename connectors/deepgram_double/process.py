"""The double as a whole: a server on a port of loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connectors.deepgram_double.faults import Plan
from connectors.deepgram_double.messages import Witness
from connectors.deepgram_double.script import Script
from connectors.deepgram_double.server import Limits, Server
from connectors.loopback import served


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
    async with served(server.application(), serving.port) as place:
        server.url = f"ws://{place}"
        yield server
