from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.redaction.detect import Profile
from pipeline.stages.redaction import Redactor, RedactorState
from tests.pipeline.redaction.played import turns_of, with_partials
from tests.pipeline.redaction.spoken_calls import BENIGN, Said, plain, secret_call
from topics.records import (
    AudioRedaction,
    AudioSpan,
    DecidedUntil,
    Guidance,
    GuidanceDraft,
    Hint,
    Point,
    Record,
    RedactedTurn,
    Track,
    Turn,
    Watermark,
    Word,
)

pytestmark = pytest.mark.unit


def _turn(
    text: str, at_ms: int, track: Track = "customer", *, rev: int = 1, is_final: bool = True, asr: str = "x"
) -> Turn:
    words = tuple(Word(word, at_ms + 300 * i, at_ms + 300 * i + 280) for i, word in enumerate(text.split()))
    end_ms = words[-1].end_ms if words else at_ms + 1_000
    identity = f"c1/{track}/{at_ms * 8}"
    return Turn("t", "c1", 0, identity, track, track, at_ms * 8, end_ms * 8, is_final, words, asr, None, rev)


def _mark(time_ms: int, *, is_end: bool = False) -> Watermark:
    return Watermark("t", "c1", 0, time_ms, is_end)


STRICT = Profile(is_strict=True)


def _outputs(
    records: Sequence[Record], state: RedactorState | None = None, profile: Profile | None = None
) -> list[Record]:
    machine = Redactor(profile)
    state = state or RedactorState()
    return [output for record in records for output in machine.on_record(state, record)]


def _texts(outputs: Sequence[Record]) -> list[str]:
    return [output.text for output in outputs if isinstance(output, RedactedTurn)]


def test_partial_tail_of_digits_is_held_until_a_unit_follows() -> None:
    grown = ["i pay", "i pay forty", "i pay forty nine", "i pay forty nine dollars"]
    partials = [_turn(text, 0, rev=rev, is_final=False) for rev, text in enumerate(grown)]
    assert _texts(_outputs(partials)) == ["i pay", "i pay [PII]", "i pay [PII]", "i pay forty nine dollars"]


def test_open_question_masks_the_first_digits() -> None:
    outputs = _outputs([_turn("your card number please", 0, "agent"), _turn("four one", 2_000)])
    assert _texts(outputs)[-1] == "[CREDITCARD]"


def test_question_heard_as_partial_masks_partials_only() -> None:
    question = _turn("and the security code", 0, "agent", is_final=False)
    answer = _turn("it's one two", 2_000)
    assert _texts(_outputs([question, answer]))[-1] == "it's one two"


def test_partial_knows_the_questions_of_the_finals() -> None:
    question = _turn("your social security number please", 0, "agent")
    assert _texts(_outputs([question, _turn("one two hello", 3_000, is_final=False)]))[-1] == "[SSN] hello"


def test_decided_words_keep_what_they_show() -> None:
    outputs = _outputs([_turn("brudro is here", 0), _mark(20_000), _turn("my name is brudro", 21_000)])
    assert _texts(outputs) == ["brudro is here", "my name is [NAME]"]
    outputs = _outputs([_turn("brudro is here", 0), _mark(5_000), _turn("my name is brudro", 6_000)])
    assert _texts(outputs) == ["brudro is here", "my name is [NAME]", "[NAME] is here"]


def test_partial_never_replaces_final() -> None:
    final = _turn("hello there", 0, rev=5)
    assert _outputs([final, _turn("hello", 0, rev=9, is_final=False)]) == _outputs([final])


def test_later_revision_of_a_final_withdraws_its_audio() -> None:
    outputs = _outputs([_turn("seven seven four", 0, rev=1), _turn("heaven seven for", 0, rev=2)])
    audio = [output for output in outputs if isinstance(output, AudioRedaction)]
    assert [len(row.spans) for row in audio] == [1, 0]


CARD_ASKED = "your card number please"
WHOLE = AudioSpan("customer", 12_000 * 8 - 2_400, 13_000 * 8, "PII")


def _covered(*turns: Turn, profile: Profile | None = None) -> list[AudioSpan]:
    """What the last word on each turn's audio covers."""
    outputs = _outputs([*turns], profile=profile)
    newest = {output.turn_id: output.spans for output in outputs if isinstance(output, AudioRedaction)}
    return [span for found in newest.values() for span in found]


def test_speech_without_words_is_covered_while_a_card_is_open() -> None:
    silent = _turn("", 12_000)
    assert [WHOLE] == _covered(_turn(CARD_ASKED, 8_000, "agent"), silent)
    assert [WHOLE] == _covered(silent, _turn(CARD_ASKED, 8_000, "agent"))
    assert WHOLE in _covered(_turn(CARD_ASKED, 1_000, "agent"), _turn("four one one one", 9_000), silent)


def test_speech_without_words_stays_where_no_card_is_open() -> None:
    silent = _turn("", 12_000)
    assert [] == _covered(_turn("how are you today", 8_000, "agent"), silent)
    assert [] == _covered(silent, _turn(CARD_ASKED, 20_000, "agent"))
    assert [] == _covered(_turn(CARD_ASKED, 8_000, "agent"), _turn("", 60_000))
    no_cards = Profile(types=frozenset({"NAME"}))
    assert [] == _covered(_turn(CARD_ASKED, 8_000, "agent"), silent, profile=no_cards)


def test_completed_card_changes_the_type_of_earlier_turns() -> None:
    parts = ["four one one one", "one one one one one one", "one one one one one one"]
    outputs = _outputs([_turn(text, 4_000 * place) for place, text in enumerate(parts)])
    newest = {o.turn_id: (o.text, o.redaction_rev) for o in outputs if isinstance(o, RedactedTurn)}
    assert [("[CREDITCARD]", 1), ("[CREDITCARD]", 1), ("[CREDITCARD]", 0)] == list(newest.values())


def test_padding_stops_at_words_that_stay() -> None:
    outputs = _outputs([_turn("my name is brudro okay", 1_000)])
    (audio,) = [output for output in outputs if isinstance(output, AudioRedaction)]
    assert audio.spans == (AudioSpan("customer", 1_880 * 8, 2_200 * 8, "NAME"),)


def test_padding_is_150_before_and_200_after() -> None:
    (audio,) = [o for o in _outputs([_turn("4111111111111111", 1_000)]) if isinstance(o, AudioRedaction)]
    assert audio.spans == (AudioSpan("customer", 850 * 8, 1_480 * 8, "CREDITCARD"),)


def test_other_track_speaking_digits_meanwhile_is_covered_too() -> None:
    outputs = _outputs([_turn("4111 1111 1111 1111", 1_000), _turn("4111 1111", 1_500, "agent")])
    spans = [span for o in outputs if isinstance(o, AudioRedaction) and "customer" in o.turn_id for span in o.spans]
    assert {span.track for span in spans} == {"customer", "agent"}


def test_segment_without_recogniser_is_covered_whole() -> None:
    (audio,) = [o for o in _outputs([_turn("", 1_000, asr="none")]) if isinstance(o, AudioRedaction)]
    assert audio.spans == (AudioSpan("customer", 8_000 - 2_400, 16_000, "PII"),)


def test_what_is_said_on_hold_is_not_shown_and_its_audio_stays_covered() -> None:
    turn = _turn("my card is 4111 1111 1111 1111 thanks", 1_000)
    outputs = _outputs([turn, replace(turn, gap="on hold", rev=2), _mark(60_000)])
    shown = [out for out in outputs if isinstance(out, RedactedTurn)]
    assert [(True, "", True), (False, "on hold", False)] == [(bool(o.words), o.gap, bool(o.spans)) for o in shown]
    assert [True] == [bool(out.spans) for out in outputs if isinstance(out, AudioRedaction)]


def test_what_was_said_on_hold_is_evidence() -> None:
    card = replace(_turn("my card is 4111 1111 1111 1111", 1_000), gap="on hold")
    draft = GuidanceDraft("t", "c1", 0, "cause", (Hint("g", "k", "4111 1111 1111 1111", "p", 1, (), 0, 0, ()),))
    (guidance,) = [out for out in _outputs([card, draft]) if isinstance(out, Guidance)]
    assert "4111" not in guidance.hints[0].body


def test_a_turn_that_is_written_again_keeps_what_was_decided_of_it() -> None:
    first = _turn("Brudro said it was fine", 1_000)
    records: list[Record] = [first, _turn("let me look into that", 4_000, "agent", rev=2), _mark(14_000)]
    again = replace(first, speaker="agent", rev=4)
    outputs = _outputs([*records, _turn("my name is Brudro Lind", 13_000, rev=3), again])
    assert "Brudro said it was fine" == _texts(outputs)[-1]
    spans = [out for out in outputs if isinstance(out, AudioRedaction) and out.turn_id == first.turn_id]
    assert [] == spans  # its audio was decided at 14 s


def test_a_turn_that_is_written_again_shows_no_digit_whose_evidence_is_forgotten() -> None:
    last = _turn("four", 13_500, rev=2)
    records: list[Record] = [_turn("my card number is", 1_000)]
    for at in range(15):
        records += [_turn("four", 3_000 + 700 * at, rev=2), _turn("mm", 3_200 + 700 * at, "agent", rev=2)]
    records.append(last)
    for at in range(40):
        records += [_turn("okay", 15_000 + 350 * at, rev=3), _mark(15_000 + 350 * at - 300)]
        again = _outputs([*records, replace(last, rev=9)])
        assert "four" not in [out.text for out in again if isinstance(out, RedactedTurn) and out.rev == 9]


def test_stable_words_are_counted_as_they_are_shown() -> None:
    partial = replace(_turn("my card is 4111 1111 1111 1111 thanks a lot", 1_000, is_final=False), stable_words=8)
    (shown,) = [out for out in _outputs([partial]) if isinstance(out, RedactedTurn)]
    assert ("my card is [CREDITCARD] thanks", 5) == (" ".join(shown.text.split()[:5]), shown.stable_words)


def test_estimated_times_cover_the_whole_segment() -> None:
    turn = _turn("my name is brudro", 1_000)
    words = tuple(Word(word.text, word.start_ms, word.end_ms, True) for word in turn.words)
    estimated = Turn("t", "c1", 0, turn.turn_id, "customer", "customer", 8_000, 17_600, True, words, "x", None, 1)
    (audio,) = [o for o in _outputs([estimated]) if isinstance(o, AudioRedaction)]
    assert audio.spans == (AudioSpan("customer", 5_600, 17_600, "NAME"),)


def test_decided_follows_the_watermark_by_the_horizon() -> None:
    outputs = _outputs([_turn("hello there", 0), _mark(20_000), _mark(15_000)])
    decided = [output for output in outputs if isinstance(output, DecidedUntil)]
    assert [(row.customer_sample, row.agent_sample) for row in decided] == [(9_700 * 8, 9_700 * 8)]
    assert [type(output).__name__ for output in outputs] == [
        "RedactedTurn",
        "DecidedUntil",
        "Watermark",
        "Watermark",
    ]


def test_open_digits_hold_the_decision_back_on_their_track() -> None:
    outputs = _outputs([_turn("so that is forty one", 1_000), _mark(12_000)])
    (decided,) = [output for output in outputs if isinstance(output, DecidedUntil)]
    assert decided.customer_sample == 1_600 * 8
    assert decided.agent_sample == 1_700 * 8


def test_end_decides_everything() -> None:
    outputs = _outputs([_turn("hello there", 0), _mark(3_000, is_end=True)])
    (decided,) = [output for output in outputs if isinstance(output, DecidedUntil)]
    assert (decided.customer_sample, decided.is_end) == (24_000, True)


def test_answer_that_may_be_a_card_is_released_at_the_horizon() -> None:
    records = [_turn("what is your order number", 0, "agent"), _turn("four one one one one one", 3_000)]
    outputs = _outputs([*records, _mark(5_000), _mark(16_000)])
    assert _texts(outputs)[1:] == ["[PII]", "four one one one one one"]
    audio = [output for output in outputs if isinstance(output, AudioRedaction)]
    assert [len(row.spans) for row in audio] == [1, 0]


def test_guidance_is_masked_with_names_that_were_said() -> None:
    hint = Hint(
        "g1",
        "note",
        "Brudro wants to leave.",
        "p",
        1,
        ("c1/customer/0",),
        5,
        None,
        (Point("Brudro called.", ("x",)),),
    )
    outputs = _outputs([_turn("my name is brudro", 0), GuidanceDraft("t", "c1", 0, "c1/customer/0", (hint,), 3)])
    guidance = outputs[-1]
    assert isinstance(guidance, Guidance)
    assert guidance.hints[0].body == "[NAME] wants to leave."
    assert guidance.hints[0].points == (Point("[NAME] called.", ("x",)),)
    assert guidance.hints[0].evidence == ("c1/customer/0",)


def test_guidance_is_masked_further_when_a_name_is_said_later() -> None:
    hint = Hint("g1", "note", "Brudro wants to leave.", "p", 1, ("c1/customer/0",), 5, None)
    draft = GuidanceDraft("t", "c1", 0, "c1/customer/0", (hint,), 3)
    records: list[Record] = [
        _turn("brudro here", 0),
        draft,
        _turn("my name is brudro", 3_000),
        _turn("i am brudro", 9_000),
    ]
    guidance = [output for output in _outputs(records) if isinstance(output, Guidance)]
    assert ["Brudro wants to leave.", "[NAME] wants to leave."] == [one.hints[0].body for one in guidance]
    withdrawn: list[Record] = [*records[:2], replace(draft, hints=()), *records[2:]]
    guidance = [output for output in _outputs(withdrawn) if isinstance(output, Guidance)]
    assert [1, 0] == [len(one.hints) for one in guidance]


def test_strict_shows_a_word_once_both_tracks_have_passed_it() -> None:
    partial = _turn("i have a question", 0, is_final=False)  # its words end at 280, 580, 880 and 1,180
    assert ["i have"] == _texts(_outputs([partial], profile=STRICT))  # 600 ms before the latest word
    assert ["i have", "i have a"] == _texts(_outputs([partial, _mark(900)], profile=STRICT))
    assert ["i have", "i have a question"] == _texts(_outputs([partial, _mark(1_200)], profile=STRICT))
    other = _turn("yes", 1_300, "agent", is_final=False)  # ends at 1,580
    assert ["i have", "i have a"] == _texts(_outputs([partial, other], profile=STRICT))


def test_strict_shows_a_final_whole_or_not_at_all() -> None:
    final = _turn("i have a question", 0)
    assert [] == _texts(_outputs([final, _mark(1_000)], profile=STRICT))
    for passed in (_mark(1_180), _turn("so long", 1_300, "agent", is_final=False), _mark(400, is_end=True)):
        assert "i have a question" == _texts(_outputs([final, passed], profile=STRICT))[0]


def test_strict_shows_no_digits_whose_question_is_heard_late() -> None:
    answer, question = _turn("four one", 3_000), _turn("what are the last two digits of your card", 0, "agent")
    records: list[Record] = [answer, question, _mark(20_000)]
    assert "four one" in _texts(_outputs(records))
    assert "four one" not in _texts(_outputs(records, profile=STRICT))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_strict_ends_with_what_others_show(seed: int) -> None:
    def last(outputs: Sequence[Record]) -> dict[str, str]:
        return {one.turn_id: one.text for one in outputs if isinstance(one, RedactedTurn) and one.is_final}

    records = [*_records(seed), _mark(600_000, is_end=True)]
    assert last(_outputs(records)) == last(_outputs(records, profile=STRICT))


def _records(seed: int) -> list[Record]:
    return with_partials(turns_of(secret_call(seed, 0.05)), Random(seed))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_restore_at_any_cut_changes_nothing(seed: int, random: Random) -> None:
    records = _records(seed)
    machine = Redactor()
    state = RedactorState()
    outputs: list[Record] = []
    for record in records:
        if random.random() < 0.3:
            state = machine.restore(machine.snapshot(state))
        outputs += machine.on_record(state, record)
    assert outputs == _outputs(records)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_duplicates_change_nothing(seed: int) -> None:
    records = _records(seed)
    twice = [again for record in records for again in (record, record)]
    marks = [output for output in _outputs(records) if not isinstance(output, Watermark)]
    assert [output for output in _outputs(twice) if not isinstance(output, Watermark)] == marks


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_finals_do_not_depend_on_partials(seed: int) -> None:
    def lasting(outputs: Sequence[Record]) -> list[Record]:
        return [output for output in outputs if not isinstance(output, RedactedTurn) or output.is_final]

    records = _records(seed)
    finals = [record for record in records if not isinstance(record, Turn) or record.is_final]
    assert lasting(_outputs(finals)) == lasting(_outputs(records))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_no_span_is_added_to_decided_audio(seed: int) -> None:
    decided: dict[str, int] = {"customer": 0, "agent": 0}
    covered: dict[str, list[tuple[int, int]]] = {"customer": [], "agent": []}
    for output in _outputs(_records(seed)):
        if isinstance(output, DecidedUntil):
            assert output.customer_sample >= decided["customer"]
            decided = {"customer": output.customer_sample, "agent": output.agent_sample}
        elif isinstance(output, AudioRedaction):
            for span in output.spans:
                fresh = not any(
                    a <= span.start_sample and b >= min(span.end_sample, decided[span.track])
                    for a, b in covered[span.track]
                )
                # A word that ends behind it may begin before it; the archive covers what it has stored.
                assert span.end_sample > decided[span.track] or not fresh
                covered[span.track].append((span.start_sample, span.end_sample))


def test_state_stays_small_over_three_hours() -> None:
    random = Random(1)
    machine = Redactor()
    state = RedactorState()
    largest = at_ms = 0
    while at_ms < 3 * 3_600_000:
        call = [*secret_call(random.randrange(10_000), 0.0), Said("agent", plain(random.choice(BENIGN)))]
        for turn in turns_of(call)[: 6 if at_ms < 10_000_000 else None]:
            words = tuple(Word(word.text, word.start_ms + at_ms, word.end_ms + at_ms) for word in turn.words)
            first, end = turn.first_sample + at_ms * 8, turn.end_sample + at_ms * 8
            identity = f"{'c' * 36}/{turn.track}/{first}"
            machine.on_record(
                state,
                Turn(
                    "t",
                    "c" * 36,
                    0,
                    identity,
                    turn.track,
                    turn.track,
                    first,
                    end,
                    True,
                    words,
                    "moonshine",
                    0.9,
                    1,
                ),
            )
        machine.on_record(state, _mark(at_ms))
        at_ms += 60_000
        largest = max(largest, len(machine.snapshot(state)))
    assert largest < STATE_LIMIT_BYTES
