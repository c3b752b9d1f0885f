"""A screen without a browser: it follows one contact at the gateway and keeps every frame with its time.

It does what the page does: resumes from the last frame that it has seen, and comes back when it is cut off.
"""

import asyncio
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote

import aiohttp

from connectors.gateway.board import Frame

_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame, and when it came (seconds since the epoch)."""

    at_s: float
    frame: Frame


class Screen:
    """Follows from `__enter__` to `__exit__`, on a thread of its own.

    Attributes:
        seen: every frame so far, in order.
        cuts: when the connection was lost, and when the next one brought its first frame; seconds since the epoch.
    """

    def __init__(self, page: str, contact_id: str) -> None:
        """Prepare; `page` is the gateway's address with a slash at its end."""
        self._url = f"{page}socket?contact={quote(contact_id)}"
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), name="screen", daemon=True)
        self._epoch: str | None = None
        self._seq = 0
        self._lost_s = 0.0
        self.seen: list[Seen] = []
        self.cuts: list[tuple[float, float]] = []

    def __enter__(self) -> "Screen":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._is_stopping.set()
        self._thread.join()

    async def _follow(self) -> None:
        async with aiohttp.ClientSession() as http:
            while not self._is_stopping.is_set():
                with suppress(aiohttp.ClientError, OSError):
                    await self._connect(http)
                self._lost_s = self._lost_s or time.time()
                await asyncio.sleep(_AGAIN_S)

    async def _connect(self, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(self._url) as socket:
            await socket.send_json({"resume": {"epoch": self._epoch, "seq": self._seq}})
            while not self._is_stopping.is_set():
                with suppress(TimeoutError):
                    message = await socket.receive(timeout=0.2)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        return
                    self._take(json.loads(message.data))

    def _take(self, frame: Frame) -> None:
        at_s = time.time()
        if self._lost_s and self.seen:
            self.cuts.append((self._lost_s, at_s))
        self._lost_s = 0.0
        self.seen.append(Seen(at_s, frame))
        if frame["type"] == "snapshot":
            self._epoch = str(frame["epoch"])
        if "seq" in frame:
            self._seq = int(str(frame["seq"]))
