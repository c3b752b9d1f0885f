"""The plan of cuts, and what is noted of a result."""

import pytest

from bench.double import KINDS, Said, cuts, said, struck
from connectors.deepgram_double.faults import Close, Fault, HalfOpen, Plan, Refuse, SlowStart

pytestmark = pytest.mark.unit


def test_each_of_the_first_connections_has_one_fault_and_every_kind_comes() -> None:
    plan = cuts(1, 200)
    faults = Plan(tuple(fault for _, fault in plan))
    assert [1] * 200 + [0] == [len(faults.of(number)) for number in range(1, 202)]
    assert set(KINDS) == {kind for kind, _ in plan}


def test_seed_decides() -> None:
    assert cuts(1, 50) == cuts(1, 50) != cuts(2, 50)


def test_result_is_noted_in_samples() -> None:
    words = [{"word": "so", "start": 1.0, "end": 1.25}, {"word": "it", "start": 1.5, "end": 1.75}]
    message = {"start": 0.5, "duration": 1.5, "from_finalize": True, "channel": {"alternatives": [{"words": words}]}}
    assert Said(3, 7.0, 16_000, 14_000, True) == said(3, 7.0, message)
    message["channel"] = {"alternatives": [{"words": []}]}
    assert said(3, 7.0, message).words_until is None


def test_faults_that_have_happened_are_counted() -> None:
    plan: list[tuple[str, Fault]] = [
        ("refused", Refuse(503, connections=(1,))),
        ("close", Close(1011, connections=(2,), after_s=1.00007)),
        ("half open", HalfOpen(connections=(3,), after_s=2.0)),
        ("close", Close(1012, connections=(4,), after_s=0.5)),
        ("slow start", SlowStart(connections=(5,), for_s=1.0)),
    ]
    # The second has all samples before its close; the third is short of its place by two samples.
    received_s = {2: 1.0, 3: 2.0 - 2 / 8_000, 4: 0.5}
    assert {"refused": 1, "close": 2, "half open": 0} == struck(plan, 4, received_s)
