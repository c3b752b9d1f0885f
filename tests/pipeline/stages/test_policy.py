"""The policy engine: what a turn fires, for how long it then keeps quiet, and what a revision takes back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.policy import RECENT_LIMIT, PolicyEngine, PolicyState, compile_condition, normalise
from topics.records import (
    AudioFrame,
    Behaviour,
    Condition,
    ContactEvent,
    GuidanceRequest,
    Hint,
    HintTemplate,
    MediaStarted,
    Moment,
    Moments,
    Policy,
    Record,
    RedactedTurn,
    Track,
    Watermark,
    Word,
    turn_id,
)

pytestmark = pytest.mark.unit

STARTED = ContactEvent("local", "c1", 0, "started", 0, "ann")


def behaviour(
    name: str,
    *conditions: Condition,
    speaker: Literal["customer", "agent", "any"] = "any",
    cooldown_s: float = 0,
    deadline_s: float | None = None,
) -> Behaviour:
    hint = HintTemplate("reminder", f"about {name}", deadline_s)
    return Behaviour(name, speaker, conditions or (Condition(phrase=name),), cooldown_s, hint)


def policy(*behaviours: Behaviour, name: str = "p", version: int = 1, tenant: str = "local") -> Policy:
    return Policy(tenant, name, version, behaviours)


def turn(
    text: str,
    start_s: float = 0,
    *,
    track: Track = "customer",
    is_final: bool = True,
    redaction_rev: int = 0,
    rev: int = 0,
) -> RedactedTurn:
    """A turn that lasts one second."""
    first_sample = round(start_s * 8_000)
    words = tuple(Word(word, 0, 0) for word in text.split())
    name = turn_id("c1", track, first_sample)
    span = (first_sample, first_sample + 8_000)
    return RedactedTurn(
        "local", "c1", 0, name, redaction_rev, track, track, *span, is_final, words, (), "scripted", None, rev
    )


def engine(*policies: Policy) -> PolicyEngine:
    machine = PolicyEngine()
    for one in policies:
        machine.on_global(one)
    return machine


def run(machine: PolicyEngine, records: Sequence[Record]) -> list[Record]:
    """Feed the records with a cut before each."""
    state = machine.state()
    outputs: list[Record] = []
    for record in records:
        state = machine.restore(machine.snapshot(state))
        outputs += machine.on_record(state, record)
    return outputs


def fired(outputs: Sequence[Record]) -> list[tuple[str, tuple[str, ...]]]:
    return [(out.turn_id, tuple(m.behaviour for m in out.moments)) for out in outputs if isinstance(out, Moments)]


def test_matching_turn_yields_its_moments_and_its_hints() -> None:
    machine = engine(policy(behaviour("cancel", deadline_s=2.5), name="save", version=3))
    hint = Hint(
        "c1/customer/16000/save/cancel",
        "reminder",
        "about cancel",
        "save",
        3,
        ("c1/customer/16000",),
        3_000,
        5_500,
    )
    assert run(machine, [turn("I want to cancel", 2)]) == [
        Moments("local", "c1", 0, "c1/customer/16000", 3_000, (Moment("save", 3, "cancel"),)),
        GuidanceRequest("local", "c1", 0, "c1/customer/16000", (hint,)),
    ]


def test_hint_without_deadline_has_none() -> None:
    _, request = run(engine(policy(behaviour("cancel"))), [turn("cancel")])
    assert isinstance(request, GuidanceRequest)
    assert [hint.deadline_ms for hint in request.hints] == [None]


def test_turn_without_a_match_yields_nothing() -> None:
    assert run(engine(policy(behaviour("cancel"))), [turn("hello")]) == []


def test_partial_never_fires() -> None:
    assert run(engine(policy(behaviour("cancel"))), [turn("cancel", is_final=False)]) == []


@pytest.mark.parametrize(
    ("phrase", "text", "is_match"),
    [
        ("cancel my", "please CANCEL, my plan!", True),
        ("cancel my", "cancel mystery", False),
        ("cancel my", "cancel all my", False),
        ("don't", "I don\N{RIGHT SINGLE QUOTATION MARK}t know", True),
        ("Sign-up", "the sign up page", True),
        ("name", "it is [NAME]", False),
        ("read [CREDITCARD]", "I read [CREDITCARD].", True),
    ],
)
def test_phrase_matches_whole_words_whatever_the_punctuation(phrase: str, text: str, is_match: bool) -> None:
    pattern = compile_condition(Condition(phrase=phrase))
    assert is_match == bool(pattern.search(normalise(text)))


def test_regex_searches_the_normalised_text() -> None:
    pattern = compile_condition(Condition(regex="Close (my|the) account"))
    assert pattern.search(normalise("So, CLOSE -- the  account."))


@pytest.mark.parametrize("regex", ["(a+)+", "(a*b)*c", r"((\w+)x)+", "(?:a{2,})+", "(", "a{2,1}", "[z-a]"])
def test_regex_that_cannot_be_trusted_is_refused(regex: str) -> None:
    with pytest.raises(RecordRefused):
        compile_condition(Condition(regex=regex))


@pytest.mark.parametrize("regex", ["(a+)?b", r"(\d{4} ){4}", r"\(a+\)+", "([+*])+", "(my|the)+ account"])
def test_regex_without_nested_repeats_is_taken(regex: str) -> None:
    assert compile_condition(Condition(regex=regex)).pattern == regex


def test_phrase_without_a_word_is_refused() -> None:
    with pytest.raises(RecordRefused):
        compile_condition(Condition(phrase="?!"))


def test_speaker_is_a_gate() -> None:
    machine = engine(policy(behaviour("hello", speaker="agent")))
    assert fired(run(machine, [turn("hello"), turn("hello", track="agent")])) == [("c1/agent/0", ("hello",))]


def test_a_turn_fires_behaviours_in_order_of_policy_and_file() -> None:
    machine = engine(policy(behaviour("b"), behaviour("a"), name="q"), policy(behaviour("c"), name="p"))
    assert fired(run(machine, [turn("a b c")])) == [("c1/customer/0", ("c", "b", "a"))]


def test_another_tenants_policies_are_not_seen() -> None:
    assert run(engine(policy(behaviour("cancel"), tenant="other")), [turn("cancel")]) == []


def test_contact_keeps_the_newest_versions_of_its_first_record() -> None:
    machine = engine(policy(behaviour("old"), version=9), policy(behaviour("new"), version=10))
    state = machine.state()
    machine.on_record(state, STARTED)
    machine.on_global(policy(behaviour("newest"), version=11))
    machine.on_global(policy(behaviour("other"), name="q"))
    state = machine.restore(machine.snapshot(state))
    assert fired(machine.on_record(state, turn("old new newest other"))) == [("c1/customer/0", ("new",))]


@pytest.mark.parametrize(("speaker", "says"), [("agent", [("c1/agent/0", ())]), ("customer", []), ("any", None)])
def test_prompt_that_would_be_the_agent_s_hint_withdraws_what_a_dead_worker_may_have_said(
    speaker: Literal["customer", "agent", "any"], says: list[tuple[str, tuple[str, ...]]] | None
) -> None:
    prompt = replace(turn("thank you for calling", track="agent"), speaker="system")
    machine = engine(policy(behaviour("thank you", speaker=speaker)))
    assert fired(run(machine, [prompt])) == ([("c1/agent/0", ("thank you",))] if says is None else says)


def test_turn_on_hold_withdraws_what_a_dead_worker_may_have_said_before_the_hold_was_told() -> None:
    held = replace(turn("cancel"), words=(), gap="on hold")
    assert [("c1/customer/0", ())] == fired(run(engine(policy(behaviour("cancel"))), [held]))


def test_start_of_media_is_passed_by() -> None:
    machine = engine(policy(behaviour("cancel")))
    state = machine.state()
    assert [] == list(machine.on_record(state, MediaStarted("local", "c1", "arn", 1_790_000_000_000, "1")))
    assert machine.state() == state


def test_pinned_version_that_has_left_the_table_stops_the_task() -> None:
    machine = engine(policy(behaviour("cancel")))
    state = machine.state()
    machine.on_record(state, STARTED)
    with pytest.raises(EngineFault):
        engine().on_record(state, turn("cancel"))


def test_cooldown_counts_audio_time_from_the_end_of_the_turn_that_fired() -> None:
    machine = engine(policy(behaviour("cancel", cooldown_s=10)))
    outputs = run(machine, [turn("cancel", at) for at in (0, 9.9, 10, 19.9, 20)])
    assert fired(outputs) == [
        ("c1/customer/0", ("cancel",)),
        ("c1/customer/80000", ("cancel",)),
        ("c1/customer/160000", ("cancel",)),
    ]


def test_cooldown_is_one_behaviours_own() -> None:
    machine = engine(policy(behaviour("a", cooldown_s=10), behaviour("b", cooldown_s=10)))
    assert fired(run(machine, [turn("a"), turn("a b", 2)])) == [
        ("c1/customer/0", ("a",)),
        ("c1/customer/16000", ("b",)),
    ]


def test_revision_that_no_longer_matches_withdraws_both_sets() -> None:
    outputs = run(engine(policy(behaviour("cancel"))), [turn("cancel", rev=1), turn("[PII]", rev=2, redaction_rev=1)])
    assert outputs[2:] == [
        Moments("local", "c1", 0, "c1/customer/0", 1_000, ()),
        GuidanceRequest("local", "c1", 0, "c1/customer/0", ()),
    ]


def test_revision_that_was_silent_and_stays_silent_yields_nothing() -> None:
    assert run(engine(policy(behaviour("cancel"))), [turn("a", rev=1), turn("b", rev=2)]) == []


def test_revision_may_fire_what_the_mask_had_hidden() -> None:
    records = [turn("[PII]", rev=1), turn("cancel", rev=2, redaction_rev=1)]
    assert fired(run(engine(policy(behaviour("cancel"))), records)) == [("c1/customer/0", ("cancel",))]


def test_revision_stays_under_the_cooldown_that_its_turn_met() -> None:
    records = [
        turn("cancel", rev=1),
        turn("cancel", 5, rev=2),
        turn("please cancel", 5, rev=3, redaction_rev=1),
    ]
    assert fired(run(engine(policy(behaviour("cancel", cooldown_s=60))), records)) == [("c1/customer/0", ("cancel",))]


@pytest.mark.parametrize(("rev", "redaction_rev"), [(5, 1), (4, 2), (5, 0)])
def test_lower_or_equal_revision_is_dropped(rev: int, redaction_rev: int) -> None:
    records = [turn("[PII]", rev=5, redaction_rev=1), turn("cancel", rev=rev, redaction_rev=redaction_rev)]
    assert run(engine(policy(behaviour("cancel"))), records) == []


def test_turn_older_than_the_window_is_withdrawn_but_never_fired() -> None:
    machine = engine(policy(behaviour("cancel")))
    talk = [turn("hello", at, rev=at + 1) for at in range(RECENT_LIMIT + 5)]
    state = machine.state()
    for record in talk:
        machine.on_record(state, record)
    assert machine.on_record(state, turn("cancel", 0, rev=999)) == ()
    assert fired(machine.on_record(state, turn("hello", 1, rev=999))) == [("c1/customer/8000", ())]


def test_watermarks_go_through_in_order_and_never_back() -> None:
    marks = [Watermark("local", "c1", 0, time_ms, is_end) for time_ms, is_end in ((5, False), (3, False), (9, True))]
    assert run(engine(), [*marks, marks[0], marks[2]]) == [marks[0], marks[2]]


def test_unknown_type_is_refused() -> None:
    with pytest.raises(RecordRefused):
        run(engine(), [AudioFrame("local", "c1", 0, 0, b"", 0, b"")])
    with pytest.raises(RecordRefused):
        engine().on_global(STARTED)


def test_state_stays_small() -> None:
    machine = engine(policy(*(behaviour(f"b{at}", Condition(phrase="b"), cooldown_s=600) for at in range(20))))
    state = machine.state()
    for at in range(3_600):
        machine.on_record(state, turn("a b", 3 * at, rev=2**40 + at))
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES


TEXTS = st.sampled_from(["a", "b", "a b", "[PII]", "c"])
MACHINE = engine(
    policy(behaviour("a", cooldown_s=3), behaviour("b", cooldown_s=7), name="p"),
    policy(behaviour("c"), name="q"),
)


@st.composite
def talks(draw: st.DrawFn) -> list[RedactedTurn]:
    """First revisions of the final turns of both tracks, in order."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=10))
    tracks = draw(st.lists(st.sampled_from(["customer", "agent"]), min_size=len(texts), max_size=len(texts)))
    return [
        turn(text, at * 1.5, track="agent" if track == "agent" else "customer", rev=at + 1)
        for at, (text, track) in enumerate(zip(texts, tracks, strict=True))
    ]


@st.composite
def revised_talks(draw: st.DrawFn) -> tuple[list[RedactedTurn], list[RedactedTurn]]:
    """A talk, and the same talk with later revisions of earlier turns between its turns."""
    talk = draw(talks())
    mixed: list[RedactedTurn] = []
    for at, one in enumerate(talk):
        mixed.append(one)
        if draw(st.booleans()):
            old = talk[draw(st.integers(0, at))]
            mixed.append(replace(old, words=turn(draw(TEXTS)).words, redaction_rev=at + 1, rev=1_000 + at))
    return talk, mixed


def standing(records: Sequence[RedactedTurn]) -> dict[str, tuple[str, ...]]:
    """What each turn says in the end, where it says something."""
    return {name: said for name, said in dict(fired(run(MACHINE, records))).items() if said}


@given(talks(), st.data())
def test_redelivery_changes_nothing(talk: list[RedactedTurn], data: st.DataObject) -> None:
    again = list(talk)
    first = data.draw(st.integers(0, len(talk) - 1))
    again.insert(data.draw(st.integers(first + 1, len(talk))), talk[first])
    assert run(MACHINE, again) == run(MACHINE, talk)


@given(talks())
def test_any_cut_gives_the_same_outputs(talk: list[RedactedTurn]) -> None:
    state: PolicyState = MACHINE.state()
    uncut = [out for record in talk for out in MACHINE.on_record(state, record)]
    assert run(MACHINE, talk) == uncut


@given(revised_talks())
def test_revisions_of_a_turn_change_no_other_turn(
    talks_: tuple[list[RedactedTurn], list[RedactedTurn]],
) -> None:
    talk, mixed = talks_
    revised = {record.turn_id for record in mixed if record.redaction_rev}
    quiet, loud = standing(talk), standing(mixed)
    for one in talk:
        if one.turn_id not in revised:
            assert quiet.get(one.turn_id) == loud.get(one.turn_id)


@given(revised_talks())
def test_what_stands_is_what_the_newest_text_says(
    talks_: tuple[list[RedactedTurn], list[RedactedTurn]],
) -> None:
    _, mixed = talks_
    newest = {record.turn_id: record.text.split() for record in mixed}
    for name, behaviours in standing(mixed).items():
        assert set(behaviours) <= set(newest[name])
