"""The emulator as a whole: a server on a port of loopback, and what pushes to its streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connectors.kvs_emulator.faults import Plan
from connectors.kvs_emulator.server import Limits, Server
from connectors.kvs_emulator.takes import Take, play
from connectors.loopback import served


@dataclass(frozen=True, slots=True)
class Playing:
    """What the command pushes, and how.

    Attributes:
        take: the recording.
        stream: name of the stream.
        speed: audio seconds a second; 0 pushes all of it at once.
        is_by_fragment: blocks wait for the end of their fragment.
    """

    take: Take
    stream: str
    speed: float = 1.0
    is_by_fragment: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """How the command serves.

    Attributes:
        port: 0 takes a free one.
        limits: of every stream.
        plan: what goes wrong.
    """

    port: int = 0
    limits: Limits = field(default_factory=Limits)
    plan: Plan = field(default_factory=Plan)


@asynccontextmanager
async def serve(serving: Serving | None = None, now_ms: Callable[[], int] | None = None) -> AsyncIterator[Server]:
    """Serve while the context is open; `url` of what it yields is the endpoint.

    Args:
        serving: port, limits and faults.
        now_ms: the clock, epoch milliseconds.

    Raises:
        PeerUnavailable: the port is taken.
    """
    serving = serving or Serving()
    server = Server(serving.limits, serving.plan, now_ms or wall_ms)
    async with served(server.application(), serving.port) as place:
        server.url = f"http://{place}"
        yield server


async def run(serving: Serving, playing: Playing, on_ready: Callable[[str], None]) -> None:
    """Serve and push one recording, until cancelled.

    Args:
        serving: port, limits and faults.
        playing: what to push.
        on_ready: called with the endpoint before the first block.

    Raises:
        PeerUnavailable: the port is taken.
    """
    async with serve(serving) as server:
        stream = server.stream(playing.stream)
        on_ready(server.url)
        await play(stream, playing.take, playing.speed, is_by_fragment=playing.is_by_fragment)
        await asyncio.Event().wait()


def wall_ms() -> int:
    """Return epoch milliseconds."""
    return time.time_ns() // 1_000_000
