"""Takes the pictures of the agent page for `docs/`: `python -m tests.connectors.gateway.pictures docs`."""

import asyncio
import sys
from pathlib import Path

from bench.browser import browser
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.screenplay import CALL, Stage, serve

SIZES = {"page-live.png": (1280, 800), "page-narrow.png": (400, 760)}
POINT = "document.querySelector('.card:last-child .evidence').dispatchEvent(new Event('mouseenter'))"
SPEAKING = 13  # the line that is being spoken


async def take() -> dict[str, bytes]:
    """Play the call up to the middle of a line, answer two cards, and look at the page."""
    stage = Stage()
    line = CALL[SPEAKING]
    stage.play(play.started(), *play.call(CALL[:SPEAKING]))
    stage.play(play.partial(play.turn(line.text, line.at_ms, speaker=line.speaker), 9, 500))
    cards = [line.card for line in CALL if line.card is not None]
    stage.play(play.feedback(cards[0].guidance_id, "dismissed"), play.feedback(cards[1].guidance_id))
    pictures = {}
    async with serve(stage) as served, browser() as window:
        for name, (width, height) in SIZES.items():
            await window.show(width, height)
            await window.open(served.url)
            await window.until("return document.querySelector('.partial') && document.querySelector('.left')")
            await window.run(POINT)
            pictures[name] = await window.picture()
    return pictures


if __name__ == "__main__":
    for name, picture in asyncio.run(take()).items():
        (Path(sys.argv[1]) / name).write_bytes(picture)
