"""The assembler: which words of a segment become a turn."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.transcript import CLOSED_LIMIT, RECENT_SAMPLES, RECENT_WORDS, Assembler
from topics.records import (
    SAMPLE_RATE_HZ,
    AudioCoverage,
    AudioFrame,
    ContactEvent,
    Record,
    SegmentWords,
    Track,
    Turn,
    Watermark,
    Word,
    turn_id,
)

pytestmark = pytest.mark.unit


def words(
    text: str, first_sample: int = 800, *, track: Track = "customer", is_final: bool = False, rev: int = 0
) -> SegmentWords:
    spoken = tuple(Word(word, at * 100, at * 100 + 90) for at, word in enumerate(text.split()))
    end = first_sample + 4_000
    return SegmentWords("local", "c1", 0, track, first_sample, end, is_final, spoken, "scripted", 0.9, rev)


def watermark(time_ms: int, *, is_end: bool = False) -> Watermark:
    return Watermark("local", "c1", 0, time_ms, is_end)


def run(records: Sequence[Record]) -> list[Record]:
    machine = Assembler()
    state = machine.state()
    return [out for record in records for out in machine.on_record(state, record)]


def run_with_cuts(records: Sequence[Record]) -> list[Record]:
    machine = Assembler()
    state = machine.state()
    outputs: list[Record] = []
    for record in records:
        state = machine.restore(machine.snapshot(state))
        outputs += machine.on_record(state, record)
    return outputs


def said(outputs: Sequence[Record]) -> list[tuple[str, bool]]:
    return [(" ".join(w.text for w in out.words), out.is_final) for out in outputs if isinstance(out, Turn)]


def test_final_becomes_the_turn_of_its_segment() -> None:
    heard = words("hello there", 800, track="agent", is_final=True)
    expected = Turn(
        tenant="local",
        contact_id="c1",
        leg=0,
        turn_id=turn_id("c1", "agent", 800),
        track="agent",
        speaker="agent",
        first_sample=800,
        end_sample=4_800,
        is_final=True,
        words=heard.words,
        asr="scripted",
        confidence=0.9,
        stable_words=2,
    )
    assert run([heard]) == [expected]


def test_partial_is_emitted_only_when_its_words_change() -> None:
    outputs = run([words(""), words("my"), words("my"), words("my card")])
    assert said(outputs) == [("my", False), ("my card", False)]


def test_partial_whose_times_alone_move_is_silent() -> None:
    first = words("my")
    moved = replace(first, words=(Word("my", 7, 9),))
    assert len(run([first, moved])) == 1


def test_partial_never_overwrites_final() -> None:
    outputs = run([words("my card"), words("my car is", is_final=True, rev=2), words("my cart", rev=3)])
    assert said(outputs) == [("my card", False), ("my car is", True)]


def test_empty_final_is_emitted() -> None:
    assert said(run([words("uh"), words("", is_final=True)])) == [("uh", False), ("", True)]


def test_later_revision_of_a_final_replaces_it() -> None:
    outputs = run([words("one", is_final=True, rev=5), words("two", is_final=True, rev=7)])
    assert said(outputs) == [("one", True), ("two", True)]


@pytest.mark.parametrize("rev", [4, 5])
def test_lower_or_equal_revision_is_dropped(rev: int) -> None:
    assert said(run([words("one", is_final=True, rev=5), words("two", is_final=True, rev=rev)])) == [("one", True)]
    assert said(run([words("one", rev=5), words("two", rev=rev)])) == [("one", False)]


def test_overlapping_talk_is_two_turns() -> None:
    outputs = run([words("a", 800), words("b", 900, track="agent"), words("a c", 800, is_final=True)])
    assert [out.turn_id for out in outputs if isinstance(out, Turn)] == [
        "c1/customer/800",
        "c1/agent/900",
        "c1/customer/800",
    ]


def test_watermarks_go_through_in_order_and_never_back() -> None:
    marks = [watermark(100), watermark(300), watermark(200), watermark(300), watermark(300, is_end=True)]
    assert run([*marks, marks[-1]]) == [marks[0], marks[1], marks[4]]


def test_no_partial_after_the_end_but_a_revised_final() -> None:
    end = watermark(900, is_end=True)
    outputs = run(
        [words("a", is_final=True, rev=1), end, words("late", 4_000, rev=9), words("b", is_final=True, rev=8)]
    )
    assert said(outputs) == [("a", True), ("b", True)]


def test_late_partial_of_a_forgotten_segment_is_dropped() -> None:
    finals = [words("x", at * 8_000, is_final=True, rev=at + 1) for at in range(CLOSED_LIMIT + 10)]
    assert len(run([*finals, words("late", 0, rev=500)])) == len(finals)


def test_contact_event_changes_nothing() -> None:
    assert run([ContactEvent("local", "c1", 0, "started", 0, "ann")]) == []


def test_unknown_type_is_refused() -> None:
    with pytest.raises(RecordRefused):
        run([AudioFrame("local", "c1", 0, 0, b"", 0, b"")])


def test_state_stays_small() -> None:
    machine = Assembler()
    state = machine.state()
    for at in range(3 * 3_600 // 3):
        machine.on_record(state, words("one two three", at * 24_000, rev=2**30 + 2 * at + 1))
        machine.on_record(state, words("one two three", at * 24_000, is_final=True, rev=2**30 + 2 * at + 2))
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES / 8


@st.composite
def conversations(draw: st.DrawFn) -> list[Record]:
    """Stamped words of a few segments: partials, then finals in the order in which segments close."""
    records: list[Record] = []
    for at in range(draw(st.integers(1, 6))):
        track: Track = draw(st.sampled_from(["customer", "agent"]))
        for text in draw(st.lists(st.sampled_from(["", "a", "a b", "b"]), max_size=4)):
            records.append(words(text, at * 8_000, track=track, rev=len(records) + 1))
        records.append(words("a b c", at * 8_000, track=track, is_final=True, rev=len(records) + 1))
        records.append(watermark(at * 1_000))
    return [*records, watermark(10_000, is_end=True)]


@given(conversations())
def test_any_cut_gives_the_same_turns(records: list[Record]) -> None:
    assert run_with_cuts(records) == run(records)


@given(conversations(), st.data())
def test_redelivery_changes_nothing(records: list[Record], data: st.DataObject) -> None:
    again = list(records)
    for _ in range(3):
        first = data.draw(st.integers(0, len(records) - 1))
        place = data.draw(st.integers(again.index(records[first]) + 1, len(again)))
        again.insert(place, records[first])
    assert run(again) == run(records)


@given(conversations())
def test_last_word_of_every_turn_is_its_final(records: list[Record]) -> None:
    last = {out.turn_id: out for out in run(records) if isinstance(out, Turn)}
    assert all(turn.is_final for turn in last.values())


# A live contact: its audio time begins at T, and an agent joins ten seconds later.
T = 1_800_000_000_000
BEGINS = AudioCoverage("local", "c1", 0, T, 1_536, 1_536, (), is_end=False, reason="", rev=1)
JOINS = ContactEvent("local", "c1", 0, "agent_joined", 0, "ann", T + 10_000)
PROMPT = words("please hold", 5 * SAMPLE_RATE_HZ, track="agent", is_final=True, rev=1)
GREETING = words("good morning", 10 * SAMPLE_RATE_HZ, track="agent", is_final=True, rev=2)
CALLER = words("hello", 3 * SAMPLE_RATE_HZ, is_final=True, rev=3)


def speakers(outputs: Sequence[Record]) -> dict[str, str]:
    """Who speaks each turn, as told last."""
    return {out.turn_id: out.speaker for out in outputs if isinstance(out, Turn)}


TOLD = {"c1/agent/40000": "system", "c1/agent/80000": "agent", "c1/customer/24000": "customer"}


@pytest.mark.parametrize("order", list(permutations((BEGINS, JOINS, PROMPT, GREETING, CALLER))))
def test_agent_s_track_is_the_system_s_until_the_agent_has_joined_whatever_is_told_first(
    order: Sequence[Record],
) -> None:
    assert TOLD == speakers(run_with_cuts(order))


def test_nobody_has_joined_an_abandoned_contact() -> None:
    assert {"system"} == set(speakers(run([PROMPT, GREETING, BEGINS])).values())


def test_earlier_join_that_is_told_later_counts() -> None:
    earlier = replace(JOINS, agent="", time_ms=T + 5_000)
    assert {"agent"} == set(speakers(run([BEGINS, JOINS, PROMPT, GREETING, earlier])).values())


def test_call_from_a_file_has_no_system_and_keeps_no_words() -> None:
    machine = Assembler()
    state = machine.state()
    started = ContactEvent("local", "c1", 0, "started", 0, "")
    outputs = [out for record in (PROMPT, started, GREETING) for out in machine.on_record(state, record)]
    assert {"agent"} == set(speakers(outputs).values())
    assert {} == state.recent


def test_partial_is_written_again_with_its_speaker_and_stays_a_partial() -> None:
    partial = replace(PROMPT, is_final=False)
    assert [("please hold", False)] * 2 == said(run([partial, BEGINS]))


def test_turn_that_redaction_has_forgotten_is_not_written_again() -> None:
    later = replace(GREETING, first_sample=PROMPT.end_sample + RECENT_SAMPLES, end_sample=500_000, rev=9)
    told = run([PROMPT, later, BEGINS, replace(JOINS, time_ms=T + 90_000)])
    assert {PROMPT.first_sample: "agent", later.first_sample: "system"} == {
        out.first_sample: out.speaker for out in told if isinstance(out, Turn)
    }


def test_long_prompts_keep_the_state_small() -> None:
    machine = Assembler()
    state = machine.state()
    for number in range(200):
        text = " ".join(f"announcement{n}" for n in range(60))
        machine.on_record(state, words(text, number * 8_000, track="agent", is_final=True, rev=number + 1))
    assert sum(len(heard.words) for heard in state.recent.values()) <= RECENT_WORDS
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES // 2


def test_words_that_two_partials_agree_on_are_stable_and_all_of_a_final() -> None:
    outputs = run([words("my"), words("my card"), words("my card is"), words("my cat is"), words("a", is_final=True)])
    assert [0, 1, 2, 1, 1] == [out.stable_words for out in outputs if isinstance(out, Turn)]


# On hold from the 20th second of audio to the 30th.
HELD = replace(JOINS, kind="hold_began", time_ms=T + 20_000)
BACK = replace(JOINS, kind="hold_ended", time_ms=T + 30_000)
ASIDE = words("where is my card", 25 * SAMPLE_RATE_HZ, is_final=True, rev=4)
JINGLE = words("your call matters", 26 * SAMPLE_RATE_HZ, track="agent", is_final=True, rev=5)
AGAIN = words("thanks for waiting", 31 * SAMPLE_RATE_HZ, track="agent", is_final=True, rev=6)
STRETCH = (HELD, BACK, ASIDE, JINGLE, AGAIN)


def gaps(outputs: Sequence[Record]) -> dict[int, str]:
    """Why each turn is not shown, as told last."""
    return {out.first_sample: out.gap for out in outputs if isinstance(out, Turn)}


@pytest.mark.parametrize("order", list(permutations(STRETCH)))
def test_what_is_said_on_hold_is_marked_on_both_tracks_whatever_is_told_first(order: Sequence[Record]) -> None:
    told = run_with_cuts([BEGINS, JOINS, *order])
    assert {ASIDE.first_sample: "on hold", JINGLE.first_sample: "on hold", AGAIN.first_sample: ""} == gaps(told)
    assert all(out.words for out in told if isinstance(out, Turn))  # redaction needs them as evidence


def test_a_hold_goes_on_until_its_end_is_told() -> None:
    told = run([BEGINS, JOINS, HELD, AGAIN, BACK])
    assert ["on hold", ""] == [out.gap for out in told if isinstance(out, Turn)]


def test_a_hold_that_begins_and_ends_at_once_mutes_nothing() -> None:
    assert {AGAIN.first_sample: ""} == gaps(run([BEGINS, JOINS, replace(BACK, time_ms=HELD.time_ms), HELD, AGAIN]))


def test_a_second_hold_is_one_of_its_own() -> None:
    later = replace(HELD, time_ms=T + 31_000)
    assert {JINGLE.first_sample: "on hold", AGAIN.first_sample: "on hold"} == gaps(
        run([BEGINS, JOINS, later, BACK, HELD, JINGLE, AGAIN])
    )


def test_why_the_recogniser_gave_no_answer_is_passed_on() -> None:
    assert {800: "busy"} == gaps(run([replace(words("", is_final=True), asr="none", gap="busy")]))


# The agent talks for five seconds; in the middle of it the customer says mm-hm.
TALK = replace(words("let me explain", 40_000, track="agent", is_final=True, rev=1), end_sample=80_000)
MURMUR = words("Mm-hm. Okay,", 60_000, is_final=True, rev=2)


def backchannels(outputs: Sequence[Record]) -> dict[int, bool]:
    return {out.first_sample: out.is_backchannel for out in outputs if isinstance(out, Turn)}


@pytest.mark.parametrize("order", list(permutations((TALK, MURMUR, ContactEvent("local", "c1", 0, "started", 0, "")))))
def test_a_murmur_in_the_other_side_s_turn_is_a_backchannel_whichever_is_final_first(order: Sequence[Record]) -> None:
    assert {40_000: False, 60_000: True} == backchannels(run_with_cuts(order))


def test_a_murmur_in_a_noise_is_a_turn() -> None:
    assert not backchannels(run([replace(TALK, words=()), MURMUR]))[MURMUR.first_sample]


@pytest.mark.parametrize(
    "murmur",
    [
        replace(MURMUR, first_sample=81_000, end_sample=84_000),  # an answer
        replace(MURMUR, words=words("yeah but no").words),  # a turn of its own
        replace(MURMUR, words=words("yes yes yes yes").words),
        replace(MURMUR, words=()),
        replace(MURMUR, track="agent"),
        replace(MURMUR, is_final=False),
    ],
)
def test_what_takes_a_turn_is_none(murmur: SegmentWords) -> None:
    assert not backchannels(run([TALK, murmur]))[murmur.first_sample]
