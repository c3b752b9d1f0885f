"""Cut, damaged and endless responses: no exception, nothing lost but what the damage touched, bounded memory."""

import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kvs.events import Damage, FragmentClosed
from connectors.kvs.matroska import Parser
from tests.connectors.kvs import laws
from tests.connectors.kvs.documents import (
    HEADER,
    block,
    closed,
    cluster,
    damage,
    drawn,
    element,
    endless,
    fixture,
    fragment,
    fragments,
    heard,
    name,
    read,
    sound,
    tags,
)

pytestmark = pytest.mark.unit

MUTATIONS = 10_000
SMALL = [fragment(number, count=1) for number in range(4)]  # 3 kB each: damage of one reaches over others
CALL = [fragment(number, count=16) for number in range(4)]  # as long as Connect's
HEAP_LIMIT_BYTES = 512 * 1_024


@pytest.mark.parametrize("title", ["multi_segment", "tagless_tail"])
def test_a_response_cut_at_any_byte_keeps_what_came_before(title: str) -> None:
    response = fixture(title)
    whole = read([response])
    for length in range(len(response)):
        events = read([response[:length]])
        kept = events[:-1] if events and isinstance(events[-1], FragmentClosed) else events
        assert kept == whole[: len(kept)] and [] == laws.broken(events)
        assert closed(whole)[: max(len(closed(events)) - 1, 0)] == closed(events)[:-1]
    assert len(heard(whole)) == len(heard(read([response[:-1]]))) + 1


@pytest.mark.parametrize(("parts", "share"), [(SMALL, 0.8), (CALL, 0.2)], ids=("small", "call"))
def test_damage_loses_no_fragment_that_it_does_not_touch(parts: list[bytes], share: float) -> None:
    response = b"".join(parts)
    for seed in range(int(MUTATIONS * share)):
        change = laws.drawn_change(response, seed)
        assert [] == laws.lost(parts, change), f"seed {seed}"


def test_damaged_responses_read_alike_however_they_are_cut() -> None:
    for parts, count in ((SMALL, 500), (CALL, 10)):
        response = b"".join(parts)
        for seed in range(count):
            laws.check(laws.drawn_change(response, seed).made(response), seed)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=60)), max_size=6),
    st.lists(st.integers(1, 900), max_size=60),
)
def test_events_do_not_depend_on_how_a_response_is_cut(junk: list[tuple[int, bytes]], lengths: list[int]) -> None:
    response = b"".join(fragment(number, count=1) for number in range(3))
    for place, content in junk:
        response = response[: place * 23] + content + response[place * 23 + len(content) // 2 :]
    feeds, at = [], 0
    for length in lengths:
        feeds.append(response[at : at + length])
        at += length
    assert read([response]) == read([*feeds, response[at:]])


def resized(number: int, size: bytes) -> bytes:
    """Return a fragment whose first block has another size in the lower bytes of its eight."""
    whole = fragment(number)
    at = whole.index(block(1, 0, sound(number * 1_000 + 1))) + 1 + 8
    return whole[: at - len(size)] + size + whole[at:]


def test_a_header_that_a_damaged_size_swallowed_is_found() -> None:
    events = read([fragment(0), resized(1, b"\x20\x04"), fragment(2)])  # 8 kB of block instead of 1
    assert ["an element that holds a header"] == damage(events)
    assert fragments(read([fragment(2)])) == fragments(events)[2:]


@pytest.mark.parametrize("section", [0x1F43B675, 0xE7], ids=("cluster", "time"))
def test_a_header_is_found_where_the_damaged_size_leads_to_another_element(section: int) -> None:
    whole, after = fragment(1), fragment(2)
    content = whole.index(block(1, 0, sound(1_001))) + 1 + 8
    size = len(whole) - content + after.index(name(section) + b"\x01")
    longer = whole[: content - 8] + (1 << 56 | size).to_bytes(8, "big") + whole[content:]
    events = read([fragment(0), longer, after])
    assert fragments(read([fragment(2)])) == fragments(events)[2:]
    assert [False, True, False] == [one.is_damaged for one in closed(events)]


def test_a_header_that_is_swallowed_at_the_end_is_found() -> None:
    events = read([fragment(0), resized(1, b"\xff\x04"), fragment(2)])
    assert ["the response ends within an element that holds a header"] == damage(events)
    assert fragments(read([fragment(2)])) == fragments(events)[2:]


def test_damage_before_the_first_header_opens_nothing() -> None:
    events = read([b"\0" * 50_000, fragment(0)])
    assert ["an element id of more than four bytes"] == damage(events)
    assert fragments(read([fragment(0)])) == fragments(events)


def test_half_a_header_right_before_a_whole_one_opens_nothing() -> None:
    events = read([b"\0" + HEADER[:20] + fragment(0)])
    assert 1 == len(damage(events))
    assert fragments(read([fragment(0)])) == fragments(events)


def test_damage_is_told_with_its_place_in_the_response() -> None:
    before = b"".join(CALL)
    events = read(drawn(before + b"\0", 1))
    assert [len(before)] == [event.at_byte for event in events if isinstance(event, Damage)]


def test_noise_alone_is_one_damage() -> None:
    assert 1 == len(read([b"\0" + random.Random(1).randbytes(200_000)]))


def test_nothing_is_nothing() -> None:
    assert [] == read([]) == read([b""])


@pytest.mark.parametrize(
    "feed",
    [
        pytest.param(lambda _: random.Random(1).randbytes(1_000), id="noise"),
        pytest.param(lambda n: element(0x4FFE, bytes(900 + n % 9)), id="unknown elements"),
        pytest.param(lambda n: element(0xA3, b"\x81\0\0\0", bytes(900 + n % 9)), id="a cluster without end"),
        pytest.param(lambda n: tags({f"name {n}": "text" * 200}), id="tags"),
        pytest.param(lambda n: tags({"AWS_KINESISVIDEO_CONTINUATION_TOKEN": "text" * 200}), id="tokens"),
        pytest.param(lambda _: HEADER, id="headers"),
        pytest.param(lambda n: name(0xA3) + b"\x20\xff\xfe" if n % 70 == 0 else bytes(1_000), id="large blocks"),
        pytest.param(lambda n: element(0xA3, b"\x81\0\0\0")[-1:] * (n % 2), id="bytes"),
    ],
)
def test_an_endless_response_takes_bounded_memory(feed: Callable[[int], bytes]) -> None:
    parser = Parser()
    parser.feed(HEADER + endless(0x18538067, cluster(0)))
    tracemalloc.start()
    for number in range(2_000):
        parser.feed(feed(number))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < HEAP_LIMIT_BYTES
