"""Inference: the hints of one request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.inference import Inference, InferenceConfig
from topics.records import GuidanceDraft, GuidanceRequest, Hint, Record, Watermark

pytestmark = pytest.mark.unit


def hint(name: str, kind: str = "reminder", body: str = "") -> Hint:
    return Hint(f"c1/agent/0/{name}", kind, body or name, "p", 1, ("c1/agent/0",), 900, 8_900)


def request(*hints: Hint, rev: int = 0, at: int = 0) -> GuidanceRequest:
    return GuidanceRequest("local", "c1", 0, f"c1/agent/{at}", hints, rev)


def draft(*hints: Hint) -> GuidanceDraft:
    return GuidanceDraft("local", "c1", 0, "c1/agent/0", hints)


def run(*records: Record) -> list[Record]:
    machine = Inference()
    state = machine.state()
    outputs: list[Record] = []
    for record in records:
        outputs += machine.on_record(state, record)
        state = machine.restore(machine.snapshot(state))
    return outputs


def test_hints_pass_in_the_order_asked() -> None:
    assert run(request(hint("b"), hint("a"))) == [draft(hint("b"), hint("a"))]


def test_empty_request_withdraws() -> None:
    assert run(request(hint("a"), rev=1), request(rev=2)) == [draft(hint("a")), draft()]


def test_same_words_are_said_once_for_a_cause() -> None:
    outputs = run(request(hint("a", body="x"), hint("b", body="x"), hint("c", kind="other", body="x")))
    assert outputs == [draft(hint("a", body="x"), hint("c", kind="other", body="x"))]


def test_a_cause_says_three_things_at_most() -> None:
    assert run(request(*map(hint, "abcde"))) == [draft(*map(hint, "abc"))]


def test_limit_is_configurable() -> None:
    machine = Inference(InferenceConfig(hints_per_cause=1))
    assert machine.on_record(machine.state(), request(*map(hint, "ab"))) == (draft(hint("a")),)


@given(st.integers(1, 7), st.integers(1, 7))
def test_only_a_later_revision_is_answered(first: int, second: int) -> None:
    outputs = run(request(hint("a"), rev=first), request(rev=second))
    assert outputs == [draft(hint("a"))] + [draft()] * (second > first)


def test_unknown_type_is_refused() -> None:
    with pytest.raises(RecordRefused):
        run(Watermark("local", "c1", 0, 0, is_end=False))


def test_state_stays_small() -> None:
    machine = Inference()
    state = machine.state()
    for at in range(3_600):
        machine.on_record(state, request(hint("a"), rev=2**40 + at, at=at * 24_000))
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES / 4
