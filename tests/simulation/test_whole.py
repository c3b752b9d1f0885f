"""The whole topology, its schedules searched by Hypothesis: every act is a rule, and the end is the quiet run's.

`make soak` searches 2,000; a failure is printed in its shortest form, as the acts of a test for `test_known.py`.
"""

import os
from functools import cache

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.simulation import scripts
from tests.simulation.crashes import Trial, trial
from tests.simulation.world import WEIGHTS, Act, World

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(1_800)]

EXAMPLES = int(os.environ.get("TRUNKLINE_EXAMPLES", "10"))
NUMBERS = st.integers(0, 2**16 - 1)
SEVERAL = st.lists(NUMBERS, min_size=1, max_size=12)


@cache
def demo() -> Trial:
    ((name, script),) = scripts.whole().items()
    return trial(name, script)


class Faults(RuleBasedStateMachine):
    """Rules do several acts of a kind at once, because a call has about ninety records."""

    @initialize()
    def begin(self) -> None:
        self.world = World(demo().script)
        self.acts: list[Act] = []

    def act(self, name: str, number: int) -> None:
        self.acts.append((name, number))
        self.world.act((name, number))

    @precondition(lambda self: not self.world.is_sent)
    @rule(numbers=SEVERAL)
    def send(self, numbers: list[int]) -> None:
        for number in numbers:
            self.act("send", number)

    @rule(number=NUMBERS)
    def double(self, number: int) -> None:
        self.act("double", number)

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        self.act("restore", number)

    @rule(numbers=SEVERAL)
    def step(self, numbers: list[int]) -> None:
        for number in numbers:
            self.act("step", number)

    @rule(number=NUMBERS)
    def answer(self, number: int) -> None:
        self.act("answer", number)

    @rule(numbers=SEVERAL)
    def arrive(self, numbers: list[int]) -> None:
        for number in numbers:
            self.act("arrive", number)

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

    @rule(numbers=SEVERAL)
    def haunt(self, numbers: list[int]) -> None:
        for number in numbers:
            self.act("haunt", number)

    @rule(number=NUMBERS)
    def bury(self, number: int) -> None:
        self.act("bury", number)

    def teardown(self) -> None:
        self.world.settle()
        note(f"acts: {self.acts}")
        assert [] == demo().faults(self.world.outcome)


def test_every_act_has_a_rule() -> None:
    assert set(WEIGHTS) <= set(vars(Faults))


def test_whatever_happens_it_ends_as_in_the_quiet_run() -> None:
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    run_state_machine_as_test(Faults, settings=chosen)
