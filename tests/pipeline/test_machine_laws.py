"""The laws of `pipeline/machine.py`, for every row of the topology, over the records of a real call.

A stage is fed directly, once in one piece and once with cuts at seeded places. `tests/pipeline/engines/test_laws.py`
shows the same to each stage on the engines that need a broker.
"""

import random

import pytest

from pipeline.engines import contacts
from tests.pipeline.laws import BY_NAME, LAWS, expected, of_law, play, shown

pytestmark = pytest.mark.simulation

CUTS = 8

every_stage = pytest.mark.parametrize("name", BY_NAME)


@every_stage
def test_it_does_something(name: str) -> None:
    for law in LAWS:
        records, audio = of_law(expected(name), law)
        assert records or audio


@every_stage
@pytest.mark.parametrize("law", LAWS)
def test_law(name: str, law: str) -> None:
    assert of_law(expected(name), law) == of_law(play(name, shown(name, [law])), law)


@every_stage
def test_a_cut_anywhere_changes_nothing(name: str) -> None:
    feed = shown(name)
    draw = random.Random(name)
    for _ in range(CUTS):
        cuts = frozenset(draw.sample(range(len(feed)), 2))
        assert expected(name) == play(name, feed, cuts), sorted(cuts)


@every_stage
def test_a_cut_where_every_contact_is_parked_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    want, feed = expected(name), shown(name)
    monkeypatch.setattr(contacts, "STALLED_MS", 0)
    cuts = frozenset(random.Random(name).sample(range(len(feed)), CUTS))
    assert want == play(name, feed, cuts), sorted(cuts)
