"""Whatever crashes, comes twice or late: readers and stores end up with what a quiet run gives them."""

from functools import cache

import pytest

from tests.simulation import scripts
from tests.simulation.crashes import Outcome, Script, disturbed, faults, finals, quiet, stored
from topics.records import Guidance, RedactedTurn

pytestmark = pytest.mark.simulation

TEXT_SCHEDULES = 200  # 60 ms of CPU each
WHOLE_SCHEDULES = 10  # 600 ms of CPU each
BATCH = 20


@cache
def quiet_run(name: str) -> tuple[Script, Outcome]:
    script: Script = getattr(scripts, name)()
    return script, quiet(script)


def test_the_quiet_text_run_says_something() -> None:
    records = list(finals(quiet_run("text")[1].log).values())
    turns = [record for record in records if isinstance(record, RedactedTurn)]
    assert 2 * len(scripts.LINES) == sum(turn.is_final for turn in turns)
    assert any("[CREDITCARD]" in turn.text for turn in turns)
    assert {*scripts.CONTACTS} == {record.contact_id for record in records if isinstance(record, Guidance)}


def test_the_quiet_whole_run_stores_audio() -> None:
    assert len(stored(quiet_run("whole")[1].services)) >= 3  # type: ignore[arg-type]  # a dict, where the archive runs


@pytest.mark.parametrize("first", range(1, TEXT_SCHEDULES, BATCH))
def test_text_stages_end_as_in_the_quiet_run(first: int) -> None:
    check("text", range(first, first + BATCH))


@pytest.mark.parametrize("seed", range(1, WHOLE_SCHEDULES + 1))
def test_the_whole_topology_ends_as_in_the_quiet_run(seed: int) -> None:
    check("whole", range(seed, seed + 1))


def check(name: str, seeds: range) -> None:
    script, expected = quiet_run(name)
    assert {} == {seed: found for seed in seeds if (found := faults(expected, disturbed(script, seed)))}
