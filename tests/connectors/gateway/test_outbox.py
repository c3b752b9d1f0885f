"""What waits for one screen: bounded, and honest about a screen that does not read."""

import asyncio

import pytest

from connectors.gateway.board import Frame
from connectors.gateway.outbox import LIMIT_FRAMES, Outbox

pytestmark = pytest.mark.unit

SNAPSHOT: Frame = {"type": "snapshot", "seq": 1_000}


def frames(count: int) -> list[Frame]:
    return [{"type": "turn", "seq": n} for n in range(count)]


def outbox() -> Outbox:
    return Outbox(lambda: (SNAPSHOT, {"type": "clock", "time_ms": 5}))


async def taken(box: Outbox, count: int) -> list[Frame]:
    return [await box.take() for _ in range(count)]


async def test_frames_keep_their_order() -> None:
    box = outbox()
    box.offer(frames(3))
    assert frames(3) == await taken(box, 3)


async def test_only_the_latest_unnumbered_frame_of_a_type_waits() -> None:
    box = outbox()
    box.offer({"type": "clock", "time_ms": time_ms} for time_ms in range(500))
    assert {"type": "clock", "time_ms": 499} == await box.take()


async def test_take_waits_for_a_frame() -> None:
    box = outbox()
    taking = asyncio.ensure_future(box.take())
    await asyncio.sleep(0)
    assert not taking.done()
    box.offer(frames(1))
    assert {"type": "turn", "seq": 0} == await taking


async def test_full_queue_becomes_one_snapshot() -> None:
    box = outbox()
    box.offer(frames(LIMIT_FRAMES + 1))
    assert [{"type": "clock", "time_ms": 5}, SNAPSHOT] == await taken(box, 2)
    assert not box.is_slow.is_set()


async def test_screen_that_took_nothing_meanwhile_is_slow() -> None:
    box = outbox()
    box.offer(frames(LIMIT_FRAMES + 1))
    box.offer(frames(LIMIT_FRAMES))
    assert box.is_slow.is_set()


async def test_screen_that_catches_up_is_not_slow() -> None:
    box = outbox()
    for _ in range(5):
        box.offer(frames(LIMIT_FRAMES + 1))
        await taken(box, 2)
    assert not box.is_slow.is_set()
