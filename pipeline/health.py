"""The health page of a worker: `/healthz`, `/readyz` and `/metrics` on loopback.

Live means the event loop answers; restoring counts as live but not ready. The port is written to a file beside the
pid file, because 0 picks a free one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.errors import PeerUnavailable


class Runner(Protocol):
    """What a worker process runs."""

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions it holds."""


@asynccontextmanager
async def serve(runner: Runner, port: int, port_file: Path) -> AsyncIterator[None]:
    """Serve the page while the body runs.

    Raises:
        PeerUnavailable: the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        status = 200 if runner.is_ready else 503
        return web.json_response({"ready": runner.is_ready, "partitions": list(runner.assigned)}, status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    site = web.Application()
    site.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    served = web.AppRunner(site, access_log=None)
    await served.setup()
    try:
        await web.TCPSite(served, "127.0.0.1", port).start()
    except OSError:
        await served.cleanup()
        raise PeerUnavailable(f"port {port} on 127.0.0.1 is taken") from None
    _publish(port_file, served.addresses[0][1])
    try:
        yield
    finally:
        _withdraw(port_file)
        await served.cleanup()


def _publish(port_file: Path, port: int) -> None:
    waiting = port_file.with_suffix(".tmp-port")
    waiting.write_text(str(port))
    waiting.replace(port_file)


def _withdraw(port_file: Path) -> None:
    port_file.unlink(missing_ok=True)
