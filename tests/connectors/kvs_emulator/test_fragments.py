"""What a stream holds: numbers, retention, and waking whoever follows it."""

from itertools import pairwise

import pytest

from connectors.kvs_emulator.fragments import ARRIVAL_MS, Opening, Stream
from tests.connectors.kvs_emulator.callers import START_MS, Clock

pytestmark = pytest.mark.unit


def filled(fragments: int, clock: Clock, retention_s: float = 1e9, seed: int = 0) -> Stream:
    stream = Stream("stream", retention_s, clock, seed)
    for index in range(fragments):
        stream.open(Opening(START_MS + index * 1_000, b"head"))
        stream.add([b"block"], START_MS + (index + 1) * 1_000)
    stream.close()
    return stream


def test_numbers_have_47_digits_and_grow_with_gaps() -> None:
    numbers = [one.number for one in filled(200, Clock()).held()]
    assert {47} == {len(str(number)) for number in numbers}
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    assert min(steps) > 1
    assert 199 == len(steps)


def test_numbers_grow_when_time_stands_still() -> None:
    stream = Stream("stream", 1e9, Clock())
    for _ in range(50):
        stream.open(Opening(START_MS, b"head"))
    numbers = [one.number for one in stream.held()]
    assert sorted(set(numbers)) == numbers


def test_one_seed_gives_one_row_of_numbers() -> None:
    rows = [[one.number for one in filled(5, Clock(), seed=seed).held()] for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_server_hears_of_a_fragment_after_its_first_block() -> None:
    (fragment,) = filled(1, Clock()).held()
    assert (START_MS, START_MS + ARRIVAL_MS) == (fragment.producer_ms, fragment.server_ms)


def test_what_is_older_than_the_retention_is_gone() -> None:
    clock = Clock()
    clock.ms = START_MS
    stream = filled(10, clock, retention_s=60)
    last = stream.newest
    clock.ms = START_MS + 60_000 + 4_000
    held = [one.producer_ms - START_MS for one in stream.held()]
    assert [4_000, 5_000, 6_000, 7_000, 8_000, 9_000] == held
    clock.ms += 3_600_000
    assert [] == list(stream.held())
    assert last is not None
    stream.open(Opening(START_MS + 3_600_000, b"head"))
    assert last.next is stream.newest


async def test_whoever_waits_is_woken_by_blocks_and_by_the_end() -> None:
    stream = Stream("stream", 1e9, Clock())
    stream.open(Opening(START_MS, b"head"))
    block, other = stream.changed(), stream.changed()
    stream.add([b"block"], START_MS + 64)
    end = stream.changed()
    assert (True, True, False) == (block.done(), other.done(), end.done())
    stream.close()
    assert end.done()
