"""What waits to be sent to one screen, bounded.

Owns the rule for a screen that reads too slowly: all that waits becomes one snapshot, which says the same in
the fewest words; if the screen has taken nothing by the time the queue is full again, it is cut off and
resumes when it can. It knows neither sockets nor records.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from connectors.gateway.board import Frame

# Measured: a client that had stopped reading was found within 0.6 s.
LIMIT_FRAMES = 200


class Outbox:
    """Frames on their way to one socket.

    Numbered frames keep their order. Of those without a number (clock, status, error) only the latest of each
    type waits: they say how things are.

    Attributes:
        is_slow: set once the screen has to be cut off.
    """

    def __init__(self, snapshot: Callable[[], Iterable[Frame]]) -> None:
        self.is_slow = asyncio.Event()
        self._snapshot = snapshot
        self._numbered: deque[Frame] = deque()
        self._latest: dict[str, Frame] = {}
        self._has_coalesced = False
        self._waiting = asyncio.Event()

    def offer(self, frames: Iterable[Frame]) -> None:
        """Queue frames; never blocks."""
        for frame in frames:
            if "seq" in frame:
                self._numbered.append(frame)
            else:
                self._latest[str(frame["type"])] = frame
        self._waiting.set()
        if len(self._numbered) > LIMIT_FRAMES:
            self._coalesce()

    async def take(self) -> Frame:
        """Wait for the next frame."""
        while not self._numbered and not self._latest:
            self._waiting.clear()
            await self._waiting.wait()
        if self._latest:
            return self._latest.pop(next(iter(self._latest)))
        self._has_coalesced = False
        return self._numbered.popleft()

    def _coalesce(self) -> None:
        self._numbered.clear()
        if self._has_coalesced:
            self.is_slow.set()
            return
        self._has_coalesced = True
        self.offer(self._snapshot())
