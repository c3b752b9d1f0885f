"""The agent page in a headless Chromium, watched from inside for what it must never show."""

import asyncio
import threading
from types import TracebackType
from urllib.parse import quote

from bench.browser import Browser, browser

_LIMIT_S = 30.0
# At every change of the page: each turn and each card is there once, and no final turns into a partial again.
_WATCH = """
window.broken = [];
const finals = new Set();
const look = () => {
  const turns = [...document.querySelectorAll(".turn")];
  const names = turns.map((turn) => turn.dataset.turn);
  const cards = [...document.querySelectorAll(".card .body")].map((body) => body.textContent);
  for (const shown of [names, cards])
    for (const name of shown) if (shown.indexOf(name) !== shown.lastIndexOf(name)) broken.push(`${name} is twice`);
  for (const turn of turns) {
    if (!turn.classList.contains("partial")) finals.add(turn.dataset.turn);
    else if (finals.has(turn.dataset.turn)) broken.push(`${turn.dataset.turn} became a partial again`);
  }
  for (const name of finals) if (!names.includes(name)) broken.push(`${name} has left the page`);
};
new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
"""


class Page:
    """Follows from `__enter__` to `__exit__`, on a thread of its own.

    Attributes:
        broken: at the end, what the page has shown that it must not, and whether it showed anything at all.
    """

    def __init__(self, page: str, contact_id: str) -> None:
        """Prepare; `page` is the gateway's address with a slash at its end."""
        self._url = f"{page}?contact={quote(contact_id)}"
        self._is_open, self._is_stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), name="page", daemon=True)
        self.broken: list[str] = ["the page was not opened"]

    def __enter__(self) -> "Page":
        self._thread.start()
        self._is_open.wait(_LIMIT_S)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._is_stopping.set()
        self._thread.join()

    async def _follow(self) -> None:
        async with browser() as window:
            await window.open(self._url)
            await window.run(_WATCH)
            self._is_open.set()
            await asyncio.to_thread(self._is_stopping.wait)
            self.broken = await _look_back(window)


async def _look_back(window: Browser) -> list[str]:
    broken: list[str] = await window.run("return [...new Set(window.broken)]")
    turns = await window.run("return document.querySelectorAll('.turn').length")
    return broken if turns else [*broken, "the page shows no turn"]
