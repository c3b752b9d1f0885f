"""What a worker leaves for its next life, and what the supervisor makes of it."""

import time
from pathlib import Path

import pytest

from pipeline.progress import Progress, mark_file
from pipeline.supervisor import backoff_s

pytestmark = pytest.mark.unit

BEFORE = ("transcript.words", 3, 40)
PLACE = ("transcript.words", 3, 41)
OTHER = ("contact.events", 3, 41)
AFTER = ("transcript.words", 3, 42)


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    return tmp_path / "language-1"


def life(stem: Path) -> Progress:
    return Progress(stem, is_careful=True)


def test_a_record_that_ended_two_lives_has_killed(stem: Path) -> None:
    for _ in range(2):
        alive = life(stem)
        assert not alive.has_killed(BEFORE)  # each life begins at the last checkpoint
        assert not alive.has_killed(PLACE)
    alive = life(stem)
    assert not alive.has_killed(BEFORE)
    assert alive.has_killed(PLACE)


def test_a_record_that_was_survived_is_innocent(stem: Path) -> None:
    for last in (OTHER, AFTER, OTHER, AFTER):
        alive = life(stem)
        assert not alive.has_killed(PLACE)
        assert not alive.has_killed(last)


def test_what_was_under_way_beside_others_is_suspected_and_proved_alone(stem: Path) -> None:
    assert not life(stem).has_killed(PLACE, [BEFORE, None])
    alive = life(stem)
    assert [True, True, False] == [alive.is_suspected(place) for place in (BEFORE, PLACE, AFTER)]
    assert not alive.has_killed(BEFORE)
    assert not alive.has_killed(PLACE)
    assert not life(stem).has_killed(PLACE)
    alive = life(stem)
    assert not alive.has_killed(BEFORE)
    assert alive.has_killed(PLACE)


def test_a_file_that_was_cut_off_accuses_nobody(stem: Path) -> None:
    stem.with_suffix(".suspect").write_text('[["transcript.wo')
    assert not life(stem).has_killed(PLACE)


def test_progress_counts_after_a_second_and_ends_the_care(stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    alive = life(stem)
    alive.has_killed(PLACE)
    alive.note()
    assert (False, True) == (mark_file(stem).exists(), alive.is_careful)
    now_s += 1
    alive.note()
    assert (True, False) == (mark_file(stem).exists(), alive.is_careful)
    assert not life(stem).has_killed(PLACE)
    assert not life(stem).has_killed(PLACE)


@pytest.mark.parametrize(
    ("fruitless", "deaths", "expected_s"),
    [(1, 1, 0), (6, 6, 0), (7, 7, 1), (8, 8, 2), (9, 9, 4), (40, 40, 30), (0, 10, 0), (0, 11, 1), (1, 13, 4)],
)
def test_deaths_without_progress_or_too_many_of_them_wait(fruitless: int, deaths: int, expected_s: float) -> None:
    assert expected_s == backoff_s(fruitless, deaths)
