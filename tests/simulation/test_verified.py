"""Audio that waits for verification: whatever crashes, it is let out once it was checked, as in the quiet run."""

from dataclasses import replace
from functools import cache

import pytest

from pipeline.stages.archive import Archive, ArchiveConfig
from tests.simulation import scripts
from tests.simulation.crashes import Trial, played, schedule, trial
from tests.simulation.outcome import finals, stored
from topics.records import RedactionVerification

pytestmark = pytest.mark.simulation

SCHEDULES = 12


def _machine() -> Archive:
    return Archive(ArchiveConfig(is_verified_first=True))


@cache
def verified_first() -> Trial:
    script = scripts.whole()["the demo call"]
    rows = tuple(replace(row, machine=_machine) if row.name == "archive" else row for row in script.stages)
    return trial("verified first", replace(script, stages=rows))


def test_the_quiet_run_is_checked_by_sample_and_by_ear_and_let_out() -> None:
    expected = verified_first().expected
    (verdict,) = (one for one in finals(expected.log).values() if isinstance(one, RedactionVerification))
    assert ("verified", "words") == (verdict.outcome, verdict.audio)
    audio = stored(expected.services)
    assert isinstance(audio, dict)
    assert audio
    assert not any(name.startswith("pending/") for name in audio)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_schedules_of_faults_end_as_the_quiet_run(seed: int) -> None:
    one = verified_first()
    acts = schedule(one.script, seed)
    assert [] == one.faults(played(one.script, acts)), acts
