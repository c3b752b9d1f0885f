"""Coverage of a track, against a set of samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kvs.timeline import Timeline

pytestmark = pytest.mark.unit

RANGES = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))
STEPS = st.lists(st.tuples(st.sampled_from(("place", "fill", "cut")), RANGES), max_size=25)


def samples(ranges: list[tuple[int, int]]) -> list[int]:
    return [sample for first, end in ranges for sample in range(first, end)]


@given(STEPS)
def test_a_sample_is_fresh_exactly_once(steps: list[tuple[str, tuple[int, int]]]) -> None:
    line, known, end = Timeline(), set[int](), 0
    for name, (first, stop) in steps:
        asked = set(range(first, stop))
        if name == "cut":
            assert line.cut(first) == (first < end)
            end = min(end, first)
            known = {sample for sample in known if sample < end}
            continue
        if name == "fill":
            asked = {sample for sample in asked if sample < end}
            fresh = line.fill(first, stop)
        else:
            fresh = line.place(first, stop)
            end = max(end, stop) if asked else end
        assert sorted(asked - known) == samples(fresh)
        known |= asked
        assert end == line.end
        assert sorted(set(range(end)) - known) == sorted(samples(line.missing(0, end)))


def test_only_so_many_holes_are_remembered() -> None:
    line = Timeline()
    for first in range(10, 10_000, 10):
        line.place(first, first + 5)
    assert 64 == len(line.missing(0, 10_000))
    assert (9_985, 9_990) == line.missing(0, 10_000)[-1]
