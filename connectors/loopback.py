"""Serving a stand-in for an outside system on a port of loopback.

Its credentials keep nobody out: it serves this machine alone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from pipeline.errors import PeerUnavailable

HOST: Final = "127.0.0.1"
_STOP_LIMIT_S: Final = 0.05  # open connections never end by themselves


@asynccontextmanager
async def served(application: web.Application, port: int) -> AsyncIterator[str]:
    """Serve while the context is open; yields HOST:PORT.

    Args:
        application: a client of it that hangs up is let go at once, also where nothing is read from or sent to it.
        port: 0 takes a free one.

    Raises:
        PeerUnavailable: the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_LIMIT_S)
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            raise PeerUnavailable(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
        yield f"{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
