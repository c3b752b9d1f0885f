"""To which generation a contact belongs: a law of the list and of the contact's start, the same for every producer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics import generations
from topics.generations import belonging, living, parts, prefix_of
from topics.records import Generation

pytestmark = pytest.mark.unit

TIMES = st.integers(0, 2**41)  # ms since 1970, until 2039


@st.composite
def histories(draw: st.DrawFn) -> list[Generation]:
    """Draw a list as `topics apply` writes it: numbers and openings rise together, the first was always open."""
    openings = sorted(draw(st.sets(TIMES.filter(bool), max_size=5)))
    removed = draw(st.integers(0, len(openings)))
    opened = [0, *openings] if openings else []
    return [
        Generation(number, 12 * number, opens_at_ms, 1 if number <= removed else None)
        for number, opens_at_ms in enumerate(opened, start=1)
    ]


@given(listed=histories(), started_ms=TIMES, order=st.randoms())
def test_order_of_the_list_decides_nothing(listed: list[Generation], started_ms: int, order: object) -> None:
    shuffled = list(listed)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    assert belonging(listed, started_ms) == belonging(shuffled, started_ms)


@given(listed=histories(), started_ms=TIMES, later_ms=TIMES)
def test_contact_that_starts_later_is_in_no_older_generation(
    listed: list[Generation], started_ms: int, later_ms: int
) -> None:
    first, last = sorted((started_ms, later_ms))
    assert belonging(listed, first) <= belonging(listed, last)


@given(listed=histories(), started_ms=TIMES, ahead_ms=st.integers(1, 10_000), removed_ms=TIMES)
def test_contact_never_moves(listed: list[Generation], started_ms: int, ahead_ms: int, removed_ms: int) -> None:
    """What `topics apply` writes after a contact's start opens after it; a removal changes nothing for anybody."""
    where = belonging(listed, started_ms)
    opens_at_ms = max([started_ms, *(one.opens_at_ms for one in listed)]) + ahead_ms
    first = [] if listed else [Generation(1, 12, 0, None)]
    grown = [*listed, *first, Generation(max(len(listed), 1) + 1, 100, opens_at_ms, None)]
    removed = [Generation(one.number, one.partitions, one.opens_at_ms, removed_ms) for one in grown[:-1]]
    assert where == belonging(grown, started_ms) == belonging([*removed, grown[-1]], started_ms)
    assert grown[-1].number == belonging(grown, opens_at_ms)


@given(listed=histories())
def test_what_has_been_removed_is_not_living(listed: list[Generation]) -> None:
    expected = tuple(one.number for one in listed if one.removed_at_ms is None)
    assert (expected if listed else (1,)) == living(listed)


def test_without_a_list_there_is_the_first() -> None:
    assert (1, (1,)) == (belonging((), 1_790_000_000_000), living(()))


def test_contact_of_the_opening_itself_enters() -> None:
    listed = (Generation(1, 12, 0, None), Generation(2, 24, 500, None))
    assert [1, 2] == [belonging(listed, started_ms) for started_ms in (499, 500)]


@given(number=st.integers(1, 300), name=st.sampled_from(["audio.frames", "changelog.speech", "guidance.dead"]))
def test_names_tell_their_generation(number: int, name: str) -> None:
    assert (number, name) == parts(prefix_of("", number) + name)


@pytest.mark.parametrize("name", ["guidance", "g1.audio.frames", "g.x", "g02.audio.frames", "gg2.audio.frames"])
def test_other_names_are_of_the_first(name: str) -> None:
    assert (1, name) == parts(name)


@pytest.mark.parametrize(("prefix", "is_so"), [("g2.", True), ("local.g12.", True), ("", False), ("big2.", False)])
def test_prefix_that_looks_like_a_generation_is_known(prefix: str, is_so: bool) -> None:
    assert is_so == generations.is_mistakable(prefix)
