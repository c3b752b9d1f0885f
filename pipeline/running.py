"""`trunkline run`: the supervisor of one group until it is told to stop."""

import asyncio
from pathlib import Path

from pipeline import ports
from pipeline.app import GATEWAY
from pipeline.environment import located
from pipeline.errors import PeerUnavailable
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor

RUN_DIR = Path(".trunkline/run")
_CHECK_S = 0.5


async def run_group(settings: Settings, group: str, workers: int) -> None:
    """Keep the workers running.

    Raises:
        Fenced: another process holds a member id of this group on this machine.
        PeerUnavailable: the gateway's port is taken.
    """
    if group == GATEWAY and settings.gateway_port and not ports.is_free(settings.gateway_port):
        raise PeerUnavailable(f"port {settings.gateway_port} of 127.0.0.1 is taken")
    with Supervisor(located(settings), RUN_DIR) as supervisor:
        supervisor.start(group, workers)
        while True:
            supervisor.check()
            await asyncio.sleep(_CHECK_S)
