"""The map between what a connection has been sent and the track."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.deepgram.sent import Sent

pytestmark = pytest.mark.unit


def sent(*pieces: tuple[int | None, int]) -> Sent:
    made = Sent()
    for first_sample, length in pieces:
        made.add(first_sample, length)
    return made


def test_time_of_the_connection_is_not_the_tracks() -> None:
    made = sent((1_000, 100), (None, 50), (2_000, 100))
    assert (1_010, 1_030) == made.sample_of(10, 30)
    assert (2_000, 2_020) == made.sample_of(150, 170)
    assert 250 == made.samples


def test_word_is_clipped_to_the_stretch_of_its_middle() -> None:
    made = sent((1_000, 100), (2_000, 100))
    assert (1_080, 1_100) == made.sample_of(80, 110)
    assert (2_000, 2_020) == made.sample_of(90, 120)


def test_what_belongs_to_nothing_has_no_place() -> None:
    made = sent((1_000, 100), (None, 50))
    assert made.sample_of(110, 140) is None
    assert made.sample_of(200, 240) is None
    assert Sent().sample_of(0, 1) is None


def test_missing_is_what_was_not_sent() -> None:
    made = sent((1_000, 100), (1_300, 100))
    assert [(900, 1_000), (1_100, 1_300), (1_400, 1_500)] == list(made.missing(900, 1_500))
    assert [] == list(made.missing(1_000, 1_100))


def test_stretch_is_over_with_the_last_of_its_samples_to_be_sent() -> None:
    made = sent((1_000, 100), (500, 100))
    assert 100 == made.place_of(1_000, 1_100)
    assert 200 == made.place_of(500, 1_100)
    assert 150 == made.place_of(400, 550)
    assert 0 == made.place_of(3_000, 3_100)


@given(st.lists(st.tuples(st.none() | st.integers(0, 2_000), st.integers(1, 300)), max_size=20))
def test_samples_that_are_sent_once_come_back_where_they_were(pieces: list[tuple[int | None, int]]) -> None:
    made = Sent()
    placed: list[int | None] = []
    for first_sample, length in pieces:
        if first_sample is None:
            placed += [None] * length
            made.add(None, length)
            continue
        for start, end in list(made.missing(first_sample, first_sample + length)):
            placed += range(start, end)
            made.add(start, end - start)
    assert placed == [(span := made.sample_of(at, at + 1)) and span[0] for at in range(made.samples)]
    known = [sample for sample in placed if sample is not None]
    assert len(known) == len(set(known))
