"""What follows from a failure, and who has a place."""

import pytest

from connectors.deepgram.causes import closed, pause_s, refused
from connectors.deepgram.places import Places

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("remedy", "statuses"),
    [("never", (400, 401, 402, 403, 404)), ("busy", (429,)), ("again", (408, 500, 502, 503, 504))],
)
def test_status_says_what_follows(remedy: str, statuses: tuple[int, ...]) -> None:
    assert {remedy} == {refused(status).remedy for status in statuses}


@pytest.mark.parametrize(
    ("remedy", "codes"), [("never", (1002, 1003, 1007, 1008)), ("again", (1000, 1001, 1006, 1011, 1012, 1013))]
)
def test_code_of_a_close_says_what_follows(remedy: str, codes: tuple[int, ...]) -> None:
    assert {remedy} == {closed(code).remedy for code in codes}


def test_pauses_grow_to_five_seconds() -> None:
    longest = [max(pause_s(failures) for _ in range(2_000)) for failures in (1, 2, 5, 50)]
    assert [pytest.approx(limit, rel=0.05) for limit in (0.25, 0.5, 4.0, 5.0)] == longest
    assert min(pause_s(50) for _ in range(2_000)) < 0.25


def test_places_are_given_until_none_is_left() -> None:
    places = Places(2, ["t"])
    assert [True, True, False] == [places.take(holder, "t", 0) for holder in "abc"]
    places.give("a")
    assert places.take("c", "t", 1)
    assert places.take("c", "t", 1)


def test_first_tenant_displaces_the_last() -> None:
    places = Places(2, ["high", "middle", "low"])
    assert places.take("m", "middle", 0) and places.take("l", "low", 0)
    assert not places.take("h", "high", 0)
    assert [False, True] == [places.must_leave(holder, 0) for holder in "ml"]
    places.give("l")
    assert not places.take("l", "low", 1), "the place is kept for whom it was taken for"
    assert places.take("h", "high", 1)


def test_tenant_displaces_neither_its_own_nor_better_ones() -> None:
    places = Places(1, ["high", "low"])
    assert places.take("h", "high", 0)
    assert not places.take("g", "high", 0)
    assert not places.take("l", "low", 0)
    assert not places.must_leave("h", 0)


def test_place_is_not_kept_for_who_has_stopped_asking() -> None:
    places = Places(1, ["high", "low"])
    assert places.take("l", "low", 0)
    assert not places.take("h", "high", 0)
    assert places.must_leave("l", 9)
    assert not places.must_leave("l", 11)
