"""Schedules that have a name: each is the shortest that fails when what its name says is not done.

Seeds mean other schedules as soon as the runner changes; acts stay what they are. A seed or an example of Hypothesis
that fails is printed as such acts, and belongs here.
"""

import pytest

from tests.simulation import scripts
from tests.simulation.crashes import played, trial
from tests.simulation.world import Act, Script

pytestmark = pytest.mark.simulation


def acts(written: str) -> list[Act]:
    """Read acts: a name and a number each, 0 where none stands."""
    parts = [act.split() for act in written.split(",")]
    return [(name, int(number[0]) if number else 0) for name, *number in parts]


KNOWN = {
    "a checkpoint waits for the outputs that its copies imply": (
        "one line",
        "restore, send 1, step, send 1, step, copy, commit, crash",
    ),
    "the rows of an aborted transaction belong to the last checkpoint before a hand-over": (
        "one line",
        "restore, send, step, send, send, step, send, step, step, copy, revoke 2",
    ),
    "rows and offsets are written together": (
        "a card in two turns",
        "send, send, restore, send, send, step, step, send, arrive 1, step, send, arrive 3, send, step, copy, step,"
        "arrive 3, arrive 7, arrive 12, arrive 13, arrive 1, send, commit, double, crash",
    ),
    "a later owner's revisions are higher than all that came before": (
        "the demo call",
        "send, restore, send, send, send, step, step, send, step, send, step, send, send, step, step, send, send, send,"
        "send, step, step, step, step, send, send, send, send, send, send, send, send, send, send, send, step, send,"
        "send, send, answer, send, send, send, send, send, revoke 18",
    ),
    "audio that the archive still holds is read again after a hand-over": (
        "the demo call",
        "send 1, restore 2, step 2, revoke 2",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_schedule(name: str) -> None:
    script_name, written = KNOWN[name]
    known: Script = (scripts.short() | scripts.whole())[script_name]
    tried = trial(script_name, known)
    assert [] == tried.faults(played(known, acts(written)))
