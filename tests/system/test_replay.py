"""`trunkline replay` to running groups: every call comes to its end, and every turn of it comes back."""

import re
from uuid import uuid4

import pytest

from tests.system.commands import DEMO, SCRIPTED, Place, Ran, ended
from tests.system.conftest import Called
from topics import admin

pytestmark = pytest.mark.system

CALLS = 3
GROUPS = ("speech", "language")
PAIR = ("--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav")


def replay(place: Place, *options: str) -> Ran:
    return place.run("replay", *PAIR, "--calls", str(CALLS), *options)


def test_every_call_comes_to_its_end(broker: str, shell: Place, memory_call: Called) -> None:
    prefix = f"system-{uuid4().hex[:8]}."
    shell.variables.update(KAFKA_BOOTSTRAP=broker, TRUNKLINE_TOPIC_PREFIX=prefix, TRUNKLINE_ASR=SCRIPTED)
    missing = replay(shell)
    assert (2, ["trunkline: topics are missing: run `trunkline topics apply`"]) == (missing.code, missing.said)
    try:
        assert 0 == shell.run("topics", "apply").code
        running = [shell.type("run", "--group", group) for group in GROUPS]
        ran = replay(shell, "--speed", "8")
        for child in running:
            child.process.terminate()
        assert [143, 143] == [ended(child).code for child in running]
    finally:
        admin.remove(broker, prefix)
    assert (0, []) == (ran.code, ran.said)
    turns, hints = len(memory_call.lines("turns.jsonl")), len(memory_call.lines("guidance.jsonl"))
    assert f"{CALLS * turns} turns, {CALLS * hints} hints, {CALLS} summaries" in ran.out
    assert re.search(r"3 calls, \d+ records, \d+ a second; sent late: p50 [\d,]+, p95", ran.out)
    assert ([], {}) == (shell.run_files(), shell.left_over())
