"""The whole topology, its schedules searched by Hypothesis: every act is a rule, and the end is the quiet run's.

`make soak` searches 2,000; a failure is printed in its shortest form, as the acts of a test for `test_known.py`.
"""

import os
from functools import cache

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pipeline.engines import contacts
from tests.simulation import scripts
from tests.simulation.crashes import Trial, trial
from tests.simulation.world import WEIGHTS, Act, World

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(1_800)]

EXAMPLES = int(os.environ.get("TRUNKLINE_EXAMPLES", "10"))
NUMBERS = st.integers(0, 2**16 - 1)
COUNTS = st.integers(1, 30)
STRIDE = 7_919  # between the numbers of several acts: a prime, so that choices go round


@cache
def trials() -> dict[str, Trial]:
    return {name: trial(name, script) for name, script in scripts.whole().items()}


class Faults(RuleBasedStateMachine):
    """Rules do several acts of a kind at once, because a call has about ninety records."""

    @initialize(number=st.sampled_from((0, 1)), stalled_ms=st.sampled_from((0, contacts.STALLED_MS)))
    def begin(self, number: int, stalled_ms: int) -> None:
        contacts.STALLED_MS = stalled_ms  # 0: every contact is parked at every checkpoint
        self.trial = [*trials().values()][number]
        self.world = World(self.trial.script)
        self.acts: list[Act] = []

    def act(self, name: str, number: int) -> None:
        self.acts.append((name, number))
        self.world.act((name, number))

    def several(self, name: str, count: int, number: int) -> None:
        for n in range(count):
            self.act(name, (number + n * STRIDE) % 2**16)

    @precondition(lambda self: not self.world.is_sent)
    @rule(count=COUNTS, number=NUMBERS)
    def send(self, count: int, number: int) -> None:
        self.several("send", count, number)

    @rule(number=NUMBERS)
    def double(self, number: int) -> None:
        self.act("double", number)

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        self.act("restore", number)

    @rule(count=COUNTS, number=NUMBERS)
    def step(self, count: int, number: int) -> None:
        self.several("step", count, number)

    @rule(count=COUNTS, number=NUMBERS)
    def answer(self, count: int, number: int) -> None:
        self.several("answer", count, number)

    @rule(count=COUNTS, number=NUMBERS)
    def arrive(self, count: int, number: int) -> None:
        self.several("arrive", count, number)

    @rule(number=NUMBERS)
    def copy(self, number: int) -> None:
        self.act("copy", number)

    @rule(number=NUMBERS)
    def commit(self, number: int) -> None:
        self.act("commit", number)

    @rule(number=NUMBERS)
    def refuse(self, number: int) -> None:
        self.act("refuse", number)

    @rule(number=NUMBERS)
    def crash(self, number: int) -> None:
        self.act("crash", number)

    @rule(number=NUMBERS)
    def revoke(self, number: int) -> None:
        self.act("revoke", number)

    @rule(count=COUNTS, number=NUMBERS)
    def haunt(self, count: int, number: int) -> None:
        self.several("haunt", count, number)

    @rule(number=NUMBERS)
    def bury(self, number: int) -> None:
        self.act("bury", number)

    def teardown(self) -> None:
        self.world.settle()
        note(f"{self.trial.name}, acts: {self.acts}")
        assert [] == self.trial.faults(self.world.outcome)


def test_every_act_has_a_rule() -> None:
    assert set(WEIGHTS) <= set(vars(Faults))


def test_whatever_happens_it_ends_as_in_the_quiet_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "STALLED_MS", contacts.STALLED_MS)  # examples change it
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    run_state_machine_as_test(Faults, settings=chosen)
