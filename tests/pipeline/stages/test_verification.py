"""A second look at published turns: commands for what is found, and the verdict at the end."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from pipeline.redaction.detect import Profile
from pipeline.redaction.languages import pick
from pipeline.redaction.profiles import Profiles
from pipeline.redaction.replacement import Replacement, token
from pipeline.stages.redaction import Redactor, RedactorState, TenantRedactor
from pipeline.stages.verification import COMMANDS, Verification, VerificationState
from topics.records import (
    AudioRedaction,
    AudioSpan,
    Correction,
    DecidedUntil,
    Record,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    ReviewDecision,
    TextSpan,
    Track,
    Turn,
    Watermark,
    Word,
)

pytestmark = pytest.mark.unit

END: list[Record] = [Watermark("t", "c", 0, 90_000, is_end=True), DecidedUntil("t", "c", 0, 720_000, 720_000, True)]


def said(text: str, at_ms: int = 1_000, track: Track = "customer", *, redaction_rev: int = 0) -> RedactedTurn:
    words = tuple(Word(word, at_ms + 300 * n, at_ms + 300 * n + 280) for n, word in enumerate(text.split()))
    spans = tuple(TextSpan(one.start_ms, one.end_ms, one.text[1:-1], (track,)) for one in words if one.text[0] == "[")
    end = words[-1].end_ms * 8
    name = f"c/{track}/{at_ms * 8}"
    return RedactedTurn("t", "c", 0, name, redaction_rev, track, track, at_ms * 8, end, True, words, spans, "x", None)


def covered(turn: RedactedTurn) -> AudioRedaction:
    spans = tuple(AudioSpan(turn.track, one.start_ms * 8, one.end_ms * 8, one.type) for one in turn.spans)
    return AudioRedaction("t", "c", 0, turn.turn_id, spans)


def outputs(records: Sequence[Record], state: VerificationState | None = None) -> list[Record]:
    state = state or VerificationState()
    return [output for record in records for output in Verification().on_record(state, record)]


def verdict(records: Sequence[Record]) -> RedactionVerification:
    last = records[-1]
    assert isinstance(last, RedactionVerification)
    return last


def test_a_clean_contact_is_verified_at_its_end_whichever_topic_ends_first() -> None:
    turn = said("my card is [CREDITCARD] thanks")
    for end in (END, END[::-1]):
        found = outputs([turn, covered(turn), *end])
        assert [("verified", 1, 0)] == [(one.outcome, one.checked_turns, one.found) for one in map(verdict, [found])]
        assert 1 == len(found)


def test_what_is_left_is_told_to_redaction_and_the_contact_is_fixed() -> None:
    question, answer = said("and the security code", 0, "agent"), said("it is nine eight seven", 3_000)
    (command,) = outputs([question, answer, *END])
    assert isinstance(command, RedactionCommand)
    assert (answer, (TextSpan(3_600, 4_480, "CVV", ("customer",)),)) == (command.turn, command.masks)
    fixed = said("it is [CVV]", 3_000, redaction_rev=1)
    fixed = replace(fixed, end_sample=answer.end_sample)
    found = outputs([question, answer, *END, covered(fixed), fixed])
    assert ("auto_fixed", 1) == (verdict(found).outcome, verdict(found).found)
    assert covered(fixed).spans == verdict(found).spans


def test_the_verdict_waits_until_the_corrected_turn_and_what_it_covers_were_told() -> None:
    question, answer = said("and the security code", 0, "agent"), said("it is nine eight seven", 3_000)
    fixed = replace(said("it is [CVV]", 3_000, redaction_rev=1), end_sample=answer.end_sample)
    for parts in ((fixed, covered(fixed)), (covered(fixed), fixed)):
        state = VerificationState()
        (command,) = outputs([question, answer, *END], state)
        assert isinstance(command, RedactionCommand)
        assert [] == outputs(parts[:1], state)
        assert "auto_fixed" == verdict(outputs(parts[1:], state)).outcome


def test_a_corrected_turn_that_is_still_heard_is_corrected_again() -> None:
    question, answer = said("and the security code", 0, "agent"), said("it is nine eight seven", 3_000)
    fixed = replace(said("it is [CVV]", 3_000, redaction_rev=1), end_sample=answer.end_sample)
    _, again = outputs([question, answer, *END, fixed, AudioRedaction("t", "c", 0, fixed.turn_id, ())])
    assert isinstance(again, RedactionCommand)
    assert fixed.spans == again.masks


def test_a_turn_is_not_looked_at_before_redaction_has_decided() -> None:
    answer = said("my card is four one one one", 3_000)
    early, late = (DecidedUntil("t", "c", 0, sample, sample, False) for sample in (20_000, 60_000))
    assert [] == outputs([answer, early])
    assert [RedactionCommand] == [type(one) for one in outputs([answer, early, late])]


def test_masked_words_that_are_heard_are_covered() -> None:
    turn = said("my card is [CREDITCARD] thanks")
    (command,) = outputs([turn, *END])
    assert isinstance(command, RedactionCommand)
    assert turn.spans == command.masks


def test_what_commands_do_not_mend_waits_for_a_person() -> None:
    records: list[Record] = [said("card four one one one", redaction_rev=rev) for rev in range(COMMANDS + 1)]
    found = outputs([*END, *records])
    assert COMMANDS == sum(isinstance(one, RedactionCommand) for one in found)
    assert "needs_review" == verdict(found).outcome


LEFT = "card four one one one"
UNMENDED: list[Record] = [*END, *(said(LEFT, redaction_rev=rev) for rev in range(COMMANDS + 1))]


def decision(*corrections: Correction, outcome: Literal["approved", "rejected"] = "approved") -> ReviewDecision:
    return ReviewDecision("t", "c", 0, "maria", outcome, corrections)


def test_the_verdict_says_what_a_person_has_to_look_at() -> None:
    turn = said(LEFT)
    suspects = verdict(outputs(UNMENDED)).suspects
    assert [turn.turn_id] == [suspect.turn_id for suspect in suspects]
    assert [(1_300, 2_480, "CREDITCARD")] == [(s.start_ms, s.end_ms, s.type) for s in suspects[0].spans]


@pytest.mark.parametrize(("said_by", "outcome"), [("approved", "verified"), ("rejected", "rejected")])
def test_what_a_person_decides_is_the_verdict_and_ends_the_wait(
    said_by: Literal["approved", "rejected"], outcome: str
) -> None:
    state, machine = VerificationState(), Verification()
    waiting = outputs(UNMENDED, state)
    assert (True, "needs_review") == (machine.awaits(state), verdict(waiting).outcome)
    decided = outputs([decision(outcome=said_by)], state)
    assert [(outcome, (), False)] == [(one.outcome, one.suspects, machine.awaits(state)) for one in [verdict(decided)]]
    assert [] == outputs([said(LEFT, redaction_rev=9), decision(outcome="rejected"), *END], state)


def test_what_a_person_marks_becomes_commands_and_the_verdict_waits_until_they_are_obeyed() -> None:
    state = VerificationState()
    outputs([said("call brudro now", 1), said("and more", 200_000), *UNMENDED], state)
    old, masks = said("call brudro now", 1), (TextSpan(301, 581, "NAME", ("customer",)),)
    assert all(turn.turn_id != old.turn_id for turn in state.turns)  # it has been forgotten
    checked = state.checked + len(state.turns)
    (command,) = outputs([decision(Correction(old, (), masks))], state)
    assert isinstance(command, RedactionCommand)
    assert (old, masks) == (command.turn, command.masks)
    assert Verification().awaits(state)
    obeyed = replace(said("call [NAME] now", 1), redaction_rev=1)
    assert [] == outputs([obeyed], state)
    again = outputs([covered(obeyed)], state)
    assert [("verified", checked)] == [(one.outcome, one.checked_turns) for one in map(verdict, [again])]


def test_a_decision_counts_once_and_only_where_one_is_waited_for() -> None:
    correction = Correction(said(LEFT), (), (TextSpan(1_300, 2_480, "CREDITCARD", ("customer",)),))
    decided = decision(correction)
    made = outputs([*UNMENDED, decided, decided])
    assert COMMANDS + 1 == sum(isinstance(one, RedactionCommand) for one in made)
    assert outputs(END) == outputs([decided, *END])


def test_a_correction_is_made_to_the_turn_as_it_is() -> None:
    """A mask on an older turn would take away what was masked since."""
    state = VerificationState()
    outputs(UNMENDED, state)
    stale = Correction(said(LEFT), (), (TextSpan(1_300, 2_480, "CREDITCARD", ("customer",)),))
    (command,) = outputs([decision(stale)], state)
    assert isinstance(command, RedactionCommand)
    assert COMMANDS == command.turn.redaction_rev


def test_a_review_survives_a_restore_anywhere() -> None:
    state, machine, cut = VerificationState(), Verification(), list[Record]()
    turn = said(LEFT)
    records = [*UNMENDED, decision(Correction(turn, (), (TextSpan(1_300, 2_480, "CREDITCARD", ("customer",)),)))]
    obeyed = replace(said("card [CREDITCARD]", redaction_rev=COMMANDS + 1), end_sample=turn.end_sample)
    records += [obeyed, covered(obeyed)]
    for record in records:
        state = machine.restore(machine.snapshot(state))
        cut += machine.on_record(state, record)
    assert cut == outputs(records)
    assert "verified" == verdict(cut).outcome


def test_restore_and_duplicates_change_nothing() -> None:
    records = [said("and the security code", 0, "agent"), said("it is nine eight seven", 3_000), *END]
    state, machine, cut = VerificationState(), Verification(), list[Record]()
    for record in records:
        state = machine.restore(machine.snapshot(state))
        cut += machine.on_record(state, record)
    assert cut == outputs(records)
    assert cut == outputs([again for record in records for again in (record, record)])


def raw(text: str, at_ms: int, *, rev: int = 1) -> Turn:
    words = tuple(Word(word, at_ms + 300 * n, at_ms + 300 * n + 280) for n, word in enumerate(text.split()))
    name = f"c/customer/{at_ms * 8}"
    end = words[-1].end_ms * 8
    return Turn("t", "c", 0, name, "customer", "customer", at_ms * 8, end, True, words, "x", None, rev)


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_redaction_obeys_also_for_a_turn_that_it_has_forgotten(is_forgotten: bool) -> None:
    redactor, state = Redactor(), RedactorState()
    (turn, *_) = redactor.on_record(state, raw("call brudro now", 1_000))
    if is_forgotten:
        redactor.on_record(state, raw("long after that", 200_000))
    assert isinstance(turn, RedactedTurn)
    masks = (TextSpan(1_300, 1_580, "NAME", ("customer",)),)
    again, audio = redactor.on_record(state, RedactionCommand("t", "c", 0, turn, (), masks))
    assert isinstance(again, RedactedTurn) and isinstance(audio, AudioRedaction)
    assert ("call [NAME] now", masks, 1) == (again.text, again.spans, again.redaction_rev)
    assert [("customer", 1_280 * 8, 1_600 * 8)] == [(s.track, s.start_sample, s.end_sample) for s in audio.spans]


def test_a_command_for_a_forgotten_turn_is_written_as_the_tenant_wants_it() -> None:
    replacement = Replacement(frozenset(("CREDITCARD",)), frozenset(("NAME",)), b"k" * 16)
    redactor = Redactor(Profile(replacement=replacement))
    turn = said("card 4111111111111111 of brudro and nine eight seven")
    at = [(word.start_ms, word.end_ms) for word in turn.words]
    kinds = {1: "CREDITCARD", 3: "NAME", 5: "CVV"}
    masks = tuple(TextSpan(*at[place], kind, ("customer",)) for place, kind in kinds.items())
    again, _ = redactor.on_record(RedactorState(), RedactionCommand("t", "c", 0, turn, (), masks))
    assert isinstance(again, RedactedTurn)
    name = token("NAME", ["brudro"], replacement, pick(("en",)))
    assert f"card [CREDITCARD 1111] of {name} and [CVV] eight seven" == again.text
    assert name != "[NAME]"


def test_redaction_is_kept_for_as_long_as_a_person_may_decide() -> None:
    redactor, state = Redactor(), RedactorState()
    awaited = []
    for one in (verdict(outputs(UNMENDED)), verdict(outputs(END))):
        assert () == redactor.on_record(state, one)
        awaited += [redactor.awaits(state), TenantRedactor(Profiles({}, Profile())).awaits(state)]
    assert [True, True, False, False] == awaited


def test_what_was_commanded_stays_masked_when_the_turn_is_written_again() -> None:
    redactor, state = Redactor(), RedactorState()
    (turn, *_) = redactor.on_record(state, raw("call brudro now", 1_000))
    assert isinstance(turn, RedactedTurn)
    masks = (TextSpan(1_300, 1_580, "NAME", ("customer",)),)
    redactor.on_record(state, RedactionCommand("t", "c", 0, turn, (), masks))
    redactor.on_record(state, raw("and more", 4_000))
    written = [
        one.text
        for one in redactor.on_record(state, raw("call brudro now", 1_000, rev=2))
        if isinstance(one, RedactedTurn)
    ]
    assert ["call [NAME] now"] == written
