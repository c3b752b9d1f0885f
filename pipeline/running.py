"""`trunkline run`: the supervisor of one group until it is told to stop, with workers in each living generation."""

import asyncio
import contextlib
from pathlib import Path

from pipeline import ports
from pipeline.app import EVERYWHERE, GATEWAY
from pipeline.environment import located
from pipeline.errors import PeerUnavailable
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from topics import generations
from topics.generations import GenerationList

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
    own = located(settings)
    with Supervisor(own, RUN_DIR) as supervisor, contextlib.closing(_list_of(own)) as listed:
        running: set[int] = set()
        while True:
            wanted = await _wanted(listed, group)
            for number in sorted(wanted - running):
                supervisor.start(group, workers, number)
            for number in running - wanted:
                await asyncio.to_thread(supervisor.stop, group, number)
            running = wanted
            supervisor.check()
            await asyncio.sleep(_CHECK_S)


def _list_of(settings: Settings) -> GenerationList:
    return GenerationList(settings.kafka_bootstrap, settings.topic_prefix)


async def _wanted(listed: GenerationList, group: str) -> set[int]:
    """Return the generations to have workers in; while the broker is away, those of the last look."""
    if group in EVERYWHERE:
        return {generations.FIRST}
    with contextlib.suppress(PeerUnavailable):  # the workers, who need the broker too, say so
        await asyncio.to_thread(listed.look)
    return set(listed.living)
