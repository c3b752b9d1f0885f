"""Open-loop pacing: a source sends each record when it is due, whatever the pipeline does with the last one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from connectors.files import Due


async def play(records: Iterable[Due], speed: float, send: Callable[[Due], Awaitable[None]]) -> int:
    """Send every record in order.

    Args:
        records: with their due times in audio milliseconds, not decreasing.
        speed: audio seconds a second; 0 sends as fast as `send` accepts.
        send: takes one record.

    Returns:
        When audio time 0 was, in milliseconds since the epoch; 0 at speed 0, where latency does not count.
    """
    loop = asyncio.get_running_loop()
    started_ms, start_s = time.time_ns() // 1_000_000, loop.time()
    for due in records:
        if speed:
            await asyncio.sleep(max(start_s + due.due_ms / 1_000 / speed - loop.time(), 0))
        await send(due)
    return started_ms if speed else 0
