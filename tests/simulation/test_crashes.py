"""Whatever crashes, comes twice or late: readers and stores end up with what a quiet run gives them."""

from functools import cache

import pytest

from pipeline.topology import STAGES
from tests.simulation import scripts
from tests.simulation.crashes import Trial, played, schedule, trial
from tests.simulation.outcome import finals, stored
from tests.simulation.world import Script
from topics.records import Guidance, RedactedTurn

pytestmark = pytest.mark.simulation

SHORT_SCHEDULES = 400  # 5 ms of CPU each; `make soak` runs 100,000
WHOLE_SCHEDULES = 20  # 80 ms of CPU each
BATCH = 50


@cache
def short() -> dict[str, Trial]:
    return {name: trial(name, script) for name, script in scripts.short().items()}


@cache
def whole() -> dict[str, Trial]:
    return {name: trial(name, script) for name, script in scripts.whole().items()}


def test_the_quiet_short_runs_say_something() -> None:
    records = {name: list(finals(one.expected.log).values()) for name, one in short().items()}
    everything = [record for said in records.values() for record in said]
    lines = len(scripts.PROMPTED) + sum(len(lines) for calls in scripts.SHORT.values() for lines in calls.values())
    turns = [record for record in everything if isinstance(record, RedactedTurn) and record.is_final]
    assert lines == len(turns)
    assert 2 == sum("[CREDITCARD]" in turn.text for turn in turns)
    assert {"one", "alpha"} == {record.contact_id for record in everything if isinstance(record, Guidance)}
    assert all(len(one.script.events) <= 30 for one in short().values())


def test_what_is_remembered_is_what_the_functions_say() -> None:
    """The same schedules over the rows of the topology itself."""
    rows = {stage.name: stage for stage in STAGES}
    for name, one in short().items():
        plain = Script(tuple(rows[stage.name] for stage in one.script.stages), scripts.POLICIES, one.script.events)
        acts = schedule(plain, 1)
        assert finals(played(one.script, acts).log) == finals(played(plain, acts).log), name


def test_the_quiet_whole_run_stores_audio() -> None:
    for one in whole().values():
        assert len(stored(one.expected.services)) >= 3  # type: ignore[arg-type]  # a dict, where the archive runs


@pytest.mark.parametrize("first", range(1, SHORT_SCHEDULES, BATCH))
def test_text_stages_end_as_in_the_quiet_run(first: int) -> None:
    check(short(), range(first, first + BATCH))


@pytest.mark.parametrize("seed", range(1, WHOLE_SCHEDULES + 1))
def test_the_whole_topology_ends_as_in_the_quiet_run(seed: int) -> None:
    check(whole(), range(seed, seed + 1))


def check(trials: dict[str, Trial], seeds: range) -> None:
    found = {}
    for seed in seeds:
        name = list(trials)[seed % len(trials)]
        wrong = trials[name].faults(played(trials[name].script, schedule(trials[name].script, seed)))
        if wrong:
            found[seed, name] = wrong
    assert {} == found
