"""The list of generations on a real broker."""

import pytest

from pipeline.errors import InputError, PeerUnavailable
from topics import admin, generations
from topics.generations import TRUST_MS, GenerationList
from topics.records import Generation

pytestmark = pytest.mark.kafka

FIRST = Generation(1, 2, 0, None)
SECOND = Generation(2, 4, 1_000, None)
THIRD = Generation(3, 8, 2_000, None)


@pytest.fixture
def listed(broker: str, prefix: str) -> str:
    admin.apply(broker, admin.plan(admin.declare_shared(prefix, 1), ()))
    return prefix


def test_what_is_written_is_read_and_followed(broker: str, listed: str) -> None:
    following = GenerationList(broker, listed)
    try:
        following.look()
        assert ((), (1,)) == (following.listed, following.living)
        generations.write(broker, listed, (), (FIRST, SECOND))
        following.look()
        assert [FIRST, SECOND] == list(following.listed) == list(generations.read(broker, listed))
        gone = Generation(1, 2, 0, removed_at_ms=3_000)
        generations.write(broker, listed, (FIRST, SECOND), (gone, THIRD))
        following.look()
        assert ([gone, SECOND, THIRD], [2, 3]) == (list(following.listed), list(following.living))
    finally:
        following.close()


def test_of_two_that_change_it_at_once_one_is_refused(broker: str, listed: str) -> None:
    generations.write(broker, listed, (), (FIRST, SECOND))
    with pytest.raises(InputError, match="changed by another"):
        generations.write(broker, listed, (), (FIRST, THIRD))
    assert (FIRST, SECOND) == generations.read(broker, listed)


def test_missing_topic_is_the_first_generation_alone(broker: str, prefix: str) -> None:
    assert () == generations.read(broker, prefix)


def test_broker_that_is_away_is_no_missing_topic() -> None:
    with pytest.raises(PeerUnavailable):
        GenerationList("127.0.0.1:1", "any.").look(limit_s=1.0)


def test_old_knowledge_places_no_later_contact(broker: str, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    following = GenerationList(broker, listed)
    monkeypatch.setattr(generations, "_now_ms", lambda: 50_000)
    try:
        following.look()
        assert 1 == following.of(50_000 + TRUST_MS)
        with pytest.raises(PeerUnavailable, match="for too long"):
            following.of(50_001 + TRUST_MS)
    finally:
        following.close()
