"""Seeded schedules of faults over the memory engine.

Run many: `python -m tests.simulation.crashes --seeds 5000`. A schedule that fails is shortened and printed as acts;
written down in `test_known.py` with a name, it stays a test whatever seeds come to mean.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation import scripts
from tests.simulation.outcome import judge
from tests.simulation.world import Act, Outcome, Script, World, drawn

REST = 60  # acts after the last event, at most
SMALL = 32  # a number below it is tried for each act of a failing schedule


@dataclass(frozen=True, slots=True)
class Trial:
    """One script, and what to hold its schedules against."""

    name: str
    script: Script
    expected: Outcome
    faults: Callable[[Outcome], list[str]]


def quiet(script: Script) -> Outcome:
    """Run without faults: every event is processed to the end before the next."""
    world = World(script)
    world.play(script.events)
    return world.outcome


def trial(name: str, script: Script) -> Trial:
    """Run a script quietly and get ready to disturb it."""
    expected = quiet(script)
    return Trial(name, script, expected, judge(expected))


def schedule(script: Script, seed: int) -> list[Act]:
    """Draw acts until every event has been sent, and some more."""
    chance = random.Random(seed)
    acts: list[Act] = []
    unsent = len(script.events)
    while unsent:
        acts.append(drawn(chance))
        unsent -= acts[-1][0] == "send"
    return acts + [drawn(chance) for _ in range(chance.randrange(REST))]


def played(script: Script, acts: Sequence[Act]) -> Outcome:
    """Play a schedule; the last act is followed by rest, so that everything comes to its end."""
    world = World(script)
    for act in acts:
        world.act(act)
    world.settle()
    return world.outcome


def shortened(tried: Trial, acts: Sequence[Act]) -> list[Act]:
    """Leave out what a failing schedule does not need to fail, and make its numbers small."""
    left, size = list(acts), len(acts)
    while size:
        for at in range(len(left), -1, -size):
            without = left[:at] + left[at + size :]
            if len(without) < len(left) and _fails(tried, without):
                left = without
        size //= 2
    for at, (name, number) in enumerate(left):
        smaller = ([*left[:at], (name, n), *left[at + 1 :]] for n in range(min(number, SMALL)))
        left = next((acts for acts in smaller if _fails(tried, acts)), left)
    return left


def _fails(tried: Trial, acts: Sequence[Act]) -> bool:
    return bool(tried.faults(played(tried.script, acts)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run schedules until one fails; print it in its shortest form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--scripts", choices=("short", "whole"), default="short")
    options = parser.parse_args(arguments)
    trials = [trial(name, script) for name, script in getattr(scripts, options.scripts)().items()]
    counts, began_s = Counter[str](), time.process_time()
    for seed in range(options.first, options.first + options.seeds):
        tried = trials[seed % len(trials)]
        acts = schedule(tried.script, seed)
        outcome = played(tried.script, acts)
        if found := tried.faults(outcome):
            print(f"seed {seed}, {tried.name}:", "; ".join(found))  # noqa: T201 - a command line
            print(shortened(tried, acts))  # noqa: T201 - as above
            return 1
        counts += outcome.counts
    happened = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    spent_s = time.process_time() - began_s
    print(f"{options.seeds:,} schedules in {spent_s:.0f} s of CPU: {happened}")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
