"""The summary: which turns it quotes, and when it is written again."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.summary import CANDIDATE_LIMIT, POINTS_AT_MOST, QUOTE_LIMIT_WORDS, Summary
from topics.records import (
    AudioFrame,
    ContactEvent,
    GuidanceDraft,
    Hint,
    Point,
    Record,
    RedactedTurn,
    Track,
    Watermark,
    Word,
    turn_id,
)

pytestmark = pytest.mark.unit

END = Watermark("local", "c1", 0, 60_000, is_end=True)
PROBLEM = "my internet is down and i want a refund"
PROMISE = "i will send a technician tomorrow"


def turn(
    text: str,
    start_s: float,
    track: Track = "customer",
    *,
    is_final: bool = True,
    redaction_rev: int = 0,
    rev: int = 0,
) -> RedactedTurn:
    first_sample = round(start_s * 8_000)
    words = tuple(Word(word, 0, 0) for word in text.split())
    name = turn_id("c1", track, first_sample)
    span = (first_sample, first_sample + 8_000)
    return RedactedTurn(
        "local", "c1", 0, name, redaction_rev, track, track, *span, is_final, words, (), "scripted", None, rev
    )


def run(records: Sequence[Record]) -> list[Hint]:
    """Feed the records with a cut before each and return the summaries."""
    machine = Summary()
    state = machine.state()
    hints: list[Hint] = []
    for record in records:
        state = machine.restore(machine.snapshot(state))
        for out in machine.on_record(state, record):
            assert isinstance(out, GuidanceDraft)
            hints += out.hints
    return hints


def quotes(hint: Hint) -> list[str]:
    return [point.text for point in hint.points]


def test_summary_quotes_turns_in_conversation_order_and_cites_them() -> None:
    (hint,) = run([turn(PROMISE, 50, "agent"), turn(PROBLEM, 2), END])
    first, last = f"Customer: {PROBLEM}.", f"Agent: {PROMISE}."
    ids = ("c1/customer/16000", "c1/agent/400000")
    expected = Hint(
        guidance_id="c1/summary",
        kind="summary",
        body=f"{first} {last}",
        policy="",
        policy_version=0,
        evidence=ids,
        at_ms=60_000,
        deadline_ms=None,
        points=(Point(first, ids[:1]), Point(last, ids[1:])),
    )
    assert hint == expected


def test_summary_is_a_draft_of_the_contact() -> None:
    machine = Summary()
    (draft,) = machine.on_record(machine.state(), END)
    assert isinstance(draft, GuidanceDraft)
    assert (draft.tenant, draft.contact_id, draft.cause_id) == ("local", "c1", "c1/summary")


def test_contact_without_speech_has_an_empty_summary() -> None:
    (hint,) = run([turn("", 1), END])
    assert (hint.body, hint.evidence, hint.points) == ("", (), ())


def test_what_matters_is_chosen_before_small_talk() -> None:
    talk = [turn("okay", at) for at in range(20, 30)]
    (hint,) = run([turn(PROBLEM, 2), *talk, turn(PROMISE, 50, "agent"), END])
    assert quotes(hint)[0] == f"Customer: {PROBLEM}."
    assert quotes(hint)[-1] == f"Agent: {PROMISE}."
    assert len(hint.points) == 3


def test_partials_and_redaction_tokens_count_for_nothing() -> None:
    tokens = turn(" ".join(["[PII]"] * 30), 30)
    (hint,) = run([tokens, *(turn("a few words", at) for at in (1, 2, 3)), turn(PROBLEM, 9, is_final=False), END])
    assert quotes(hint) == ["Customer: a few words."] * 3


def test_contact_flow_s_prompt_is_not_quoted() -> None:
    prompt = replace(turn("we will credit your account tomorrow", 1, "agent"), speaker="system")
    (hint,) = run([prompt, turn(PROBLEM, 10), END])
    assert [f"Customer: {PROBLEM}."] == quotes(hint)


def test_long_turn_is_cut_at_the_word_limit() -> None:
    (hint,) = run([turn(" ".join(["word"] * 99), 1), END])
    assert quotes(hint) == ["Customer: " + " ".join(["word"] * QUOTE_LIMIT_WORDS) + " ..."]


def test_revision_replaces_the_turn() -> None:
    (hint,) = run([turn("call me jane", 1, rev=1), turn("call me [NAME]", 1, rev=2, redaction_rev=1), END])
    assert quotes(hint) == ["Customer: call me [NAME]."]


@pytest.mark.parametrize(("rev", "redaction_rev"), [(1, 2), (2, 0), (2, 1)])
def test_lower_or_equal_revision_is_dropped(rev: int, redaction_rev: int) -> None:
    masked = turn("call me [NAME]", 1, rev=2, redaction_rev=1)
    (hint,) = run([masked, turn("call me jane", 1, rev=rev, redaction_rev=redaction_rev), END])
    assert quotes(hint) == ["Customer: call me [NAME]."]


def test_revision_of_a_cited_turn_after_the_end_writes_the_summary_again() -> None:
    first, second = run([turn("call me jane", 1, rev=1), END, turn("call me [NAME]", 1, rev=2, redaction_rev=1)])
    assert quotes(second) == ["Customer: call me [NAME]."]
    assert (second.guidance_id, second.at_ms) == (first.guidance_id, first.at_ms)


def test_revision_that_empties_a_cited_turn_takes_it_out() -> None:
    assert [quotes(hint) for hint in run([turn("jane", 1, rev=1), END, turn("", 1, rev=2)])] == [
        ["Customer: jane."],
        [],
    ]


def test_turn_whose_words_are_gone_does_not_come_back_with_an_older_revision() -> None:
    before, gone = turn("i want to cancel my plan", 1, rev=5), turn("", 1, rev=7)
    (hint,) = run([before, gone, before, END])
    assert [] == quotes(hint)


def test_revision_after_the_end_that_changes_no_quote_is_silent() -> None:
    assert len(run([turn(PROBLEM, 1, rev=1), END, turn(PROBLEM, 1, rev=2), END])) == 1


def test_contact_event_changes_nothing() -> None:
    assert run([ContactEvent("local", "c1", 0, "ended", 9, "")]) == []


def test_unknown_type_is_refused() -> None:
    with pytest.raises(RecordRefused):
        run([AudioFrame("local", "c1", 0, 0, b"", 0, b"")])


def test_state_stays_small() -> None:
    machine = Summary()
    state = machine.state()
    for at in range(3_600):
        machine.on_record(state, turn(" ".join(["extraordinarily"] * 60), 3 * at, rev=2**40 + at))
    assert len(state.candidates) == CANDIDATE_LIMIT
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES


@st.composite
def talks(draw: st.DrawFn) -> list[RedactedTurn]:
    texts = draw(st.lists(st.sampled_from([PROBLEM, PROMISE, "okay", "[NAME]", "", "we talk a while"]), max_size=60))
    return [turn(text, at, "agent" if at % 3 else "customer", rev=at + 1) for at, text in enumerate(texts)]


@given(talks(), st.data())
def test_redelivery_changes_nothing(talk: list[RedactedTurn], data: st.DataObject) -> None:
    again = list(talk)
    if talk:
        first = data.draw(st.integers(0, len(talk) - 1))
        again.insert(data.draw(st.integers(first + 1, len(talk))), talk[first])
    assert run([*again, END]) == run([*talk, END])


@given(talks())
def test_each_point_quotes_a_spoken_turn_once(talk: list[RedactedTurn]) -> None:
    (hint,) = run([*talk, END])
    spoken = {one.turn_id: one.text for one in talk if one.words}
    assert min(len(spoken), 3) <= len(hint.points) <= POINTS_AT_MOST
    assert len(set(hint.evidence)) == len(hint.evidence)
    for point in hint.points:
        assert spoken[point.turn_ids[0]] in point.text
