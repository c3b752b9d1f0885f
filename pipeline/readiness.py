"""Waiting until supervised workers do their work: their health pages say so."""

import asyncio
from pathlib import Path

import aiohttp

from pipeline.errors import PeerUnavailable
from pipeline.supervisor import Supervisor

LIMIT_S = 90.0
_PAUSE_S = 0.1


async def wait_ready(supervisor: Supervisor, limit_s: float = LIMIT_S) -> None:
    """Return once every worker is ready.

    Raises:
        PeerUnavailable: the time is over, or a worker stays down.
    """
    waiting = dict.fromkeys(supervisor.port_files)
    try:
        async with asyncio.timeout(limit_s), aiohttp.ClientSession() as session:
            while waiting:
                supervisor.check()
                for port_file in list(waiting):
                    if await _is_ready(session, port_file):
                        del waiting[port_file]
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        names = ", ".join(port_file.stem for port_file in waiting)
        raise PeerUnavailable(f"not ready after {limit_s:.0f} s: {names}") from None


async def _is_ready(session: aiohttp.ClientSession, port_file: Path) -> bool:
    try:
        port = int(port_file.read_text())
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except (OSError, ValueError, aiohttp.ClientError):
        return False
