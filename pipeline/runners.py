"""What worker processes run beside stages: a sink's or the feeds' loop on a thread, the gateway on the event loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from pipeline.progress import Progress

_PROGRESS_S = 1.0


class LoopRunner:
    """Runs one loop; ready from the start, because an outside system that is away only pauses its own loop."""

    def __init__(self, loop: Callable[[threading.Event], None]) -> None:
        """Prepare; `loop` works until the event that it is given is set."""
        self._loop = loop

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""
        return True

    @property
    def assigned(self) -> tuple[int, ...]:
        """A sink's partitions belong to several topics, shown by `trunkline lag`; feeds have none."""
        return ()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        should_stop = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(self._loop, should_stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        should_stop.set()
        await work


class GatewayRunner:
    """Runs one gateway; ready once it serves pages."""

    def __init__(self, serve: Callable[[Callable[[int], None]], Awaitable[None]], progress: Progress) -> None:
        """Prepare; `serve` is called with what to call when pages are served."""
        self._serve = serve
        self._progress = progress
        self._is_serving = False

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""
        return self._is_serving

    @property
    def assigned(self) -> tuple[int, ...]:
        """A gateway reads every partition and owns none."""
        return ()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        serving = asyncio.ensure_future(self._serve(self._note_ready))
        stopping = asyncio.create_task(stop.wait())
        noting = asyncio.create_task(self._note_progress())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, noting):
            task.cancel()
        if not serving.done():
            serving.cancel()
        await asyncio.gather(serving, return_exceptions=stop.is_set())

    async def _note_progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_S)
            if self._is_serving:
                self._progress.note()

    def _note_ready(self, _: int) -> None:
        self._is_serving = True
