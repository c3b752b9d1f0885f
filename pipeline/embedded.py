"""Which broker a command uses: the one that is set, else a running embedded one, else one started for the command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline import broker
from pipeline.errors import InputError
from pipeline.settings import Settings


@asynccontextmanager
async def broker_for(settings: Settings) -> AsyncIterator[str]:
    """Yield a bootstrap address; a broker that this started is stopped afterwards, another one is left alone.

    Raises:
        InputError: there is no broker and none can be started here.
        PeerUnavailable: the broker does not start.
    """
    if settings.kafka_bootstrap:
        yield settings.kafka_bootstrap
        return
    running = await _start(settings)
    try:
        yield running.bootstrap
    finally:
        if running.started:
            await asyncio.to_thread(broker.stop, settings.home)


async def _start(settings: Settings) -> broker.Running:
    """Start the broker; an interrupt in the middle leaves none behind."""
    missing = broker.missing_tools(broker.libs_folder(settings.home))
    if missing is not None and broker.status(settings.home) is None:
        raise InputError(missing)
    starting = asyncio.ensure_future(asyncio.to_thread(broker.start, settings.home))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        running = await starting
        if running.started:
            await asyncio.to_thread(broker.stop, settings.home)
        raise
