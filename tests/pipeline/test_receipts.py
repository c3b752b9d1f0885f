"""Receipts: bound to content and key, the same in every replay, and one before everything that redaction writes."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.receipts import Receipts, profile_version
from pipeline.redaction.detect import Profile
from pipeline.redaction.version import DETECTOR
from pipeline.stages.redaction import Redactor, RedactorState
from tests.proven import KEY, RECEIPTS
from topics.codec import decode, encode
from topics.records import (
    NO_PROOF,
    Guidance,
    GuidanceDraft,
    Hint,
    Proof,
    Receipt,
    Record,
    RedactedTurn,
    TextSpan,
    Turn,
    Watermark,
    Word,
)

pytestmark = pytest.mark.unit

OTHER = Receipts(bytes(32))
SPANS = (TextSpan(0, 280, "NAME", ("customer",)),)
WORDS = (Word("[NAME]", 0, 280), Word("called", 300, 580))
TURN = RedactedTurn("t", "c", 0, "c/customer/0", 1, "customer", "customer", 0, 4_640, True, WORDS, SPANS, "asr", 0.75)
RECEIPT, PROVEN = RECEIPTS.issue(TURN, RECEIPTS.source(["jane", "called"]), 7, "all")


def turn(text: str, at_ms: int, *, rev: int = 1, is_final: bool = True) -> Turn:
    words = tuple(Word(word, at_ms + 300 * n, at_ms + 300 * n + 280) for n, word in enumerate(text.split()))
    name, end = f"c/customer/{at_ms * 8}", (at_ms + 300 * len(words)) * 8
    return Turn("t", "c", 0, name, "customer", "customer", at_ms * 8, end, is_final, words, "asr", None, rev)


CALL: tuple[Record, ...] = (
    turn("my card is four", 0, is_final=False),
    turn("my card is four one one one", 0, rev=2),
    turn("one one one one one one one one one one one one", 4_000),
    GuidanceDraft("t", "c", 0, "c/customer/0", (Hint("g", "card", "ask for Brudro Lind", "p", 1, (), 1, None),), 4),
    turn("my name is brudro lind", 9_000),
    Watermark("t", "c", 0, 60_000, is_end=True),
)


def played(machine: Redactor, records: Sequence[Record], *, is_restored: bool = False) -> list[Record]:
    """What a machine writes; restored from a snapshot before each record if asked."""
    state, written = RedactorState(), list[Record]()
    for record in records:
        state = machine.restore(machine.snapshot(state)) if is_restored else state
        written += machine.on_record(state, record)
    return written


def test_a_proof_is_of_its_content_whatever_the_revision_and_the_way() -> None:
    assert RECEIPTS.is_valid(PROVEN)
    assert RECEIPTS.is_valid(replace(PROVEN, rev=3 << 24))
    again = decode(encode(PROVEN))
    assert isinstance(again, RedactedTurn)
    assert RECEIPTS.is_valid(again)
    assert RECEIPTS.is_valid(RECEIPT)
    assert (PROVEN.proof.mac, DETECTOR) == (RECEIPT.mac, RECEIPT.detector)


@pytest.mark.parametrize("name", [one.name for one in fields(RedactedTurn) if one.name not in ("rev", "proof")])
def test_no_field_of_a_record_can_be_changed(name: str) -> None:
    value = getattr(PROVEN, name)
    changed: Any = {str: "x", int: 99, float: 0.5, tuple: (), bool: False}[type(value)]
    changed = True if name == "is_backchannel" else changed
    assert value != changed
    assert not RECEIPTS.is_valid(replace(PROVEN, **{name: changed}))


@pytest.mark.parametrize("name", [one.name for one in fields(Proof)])
def test_no_field_of_a_proof_can_be_changed(name: str) -> None:
    changed: Any = {name: 8 if name == "source_rev" else "x"}
    assert not RECEIPTS.is_valid(replace(PROVEN, proof=replace(PROVEN.proof, **changed)))


@pytest.mark.parametrize("name", [one.name for one in fields(Receipt)])
def test_no_field_of_a_receipt_can_be_changed(name: str) -> None:
    changed: Any = {str: "x", int: 99, tuple: ()}[type(getattr(RECEIPT, name))]
    assert not RECEIPTS.is_valid(replace(RECEIPT, **{name: changed}))


def test_nothing_is_proved_without_a_proof_or_with_another_key() -> None:
    assert not RECEIPTS.is_valid(TURN)
    assert not OTHER.is_valid(PROVEN)
    assert not RECEIPTS.is_valid(replace(TURN, proof=replace(NO_PROOF, mac="é")))


def test_what_it_was_made_of_cannot_be_guessed_without_the_key() -> None:
    assert OTHER.source("123456") != RECEIPTS.source("123456")
    assert Receipts(KEY).source("123456") == RECEIPTS.source("123456")


@pytest.mark.parametrize("profile", [Profile(), Profile(is_strict=True)], ids=["fast", "strict"])
def test_every_record_follows_its_receipt(profile: Profile) -> None:
    written = played(Redactor(profile, receipts=RECEIPTS), CALL)
    plain = played(Redactor(profile), CALL)
    assert plain == [
        replace(one, proof=NO_PROOF) if isinstance(one, RedactedTurn | Guidance) else one
        for one in written
        if not isinstance(one, Receipt)
    ]
    proven = [(before, one) for before, one in zip([None, *written], written, strict=False) if hasattr(one, "proof")]
    assert len(proven) > 3
    for before, one in proven:
        assert isinstance(one, RedactedTurn | Guidance)
        assert isinstance(before, Receipt)
        assert RECEIPTS.is_valid(one)
        assert RECEIPTS.is_valid(before)
        assert (before.mac, before.profile) == (one.proof.mac, profile_version(profile))


def test_late_evidence_in_guidance_has_a_receipt_of_its_own() -> None:
    written = [one for one in played(Redactor(receipts=RECEIPTS), CALL) if isinstance(one, Guidance)]
    assert len(written) == 2
    assert written[0].proof.source != written[1].proof.source
    assert all(RECEIPTS.is_valid(one) for one in written)


@given(st.lists(st.sampled_from(CALL[:-1]), max_size=8))
def test_a_replay_from_any_snapshot_gives_the_same_receipts(records: list[Record]) -> None:
    machine = Redactor(receipts=RECEIPTS)
    assert played(machine, records) == played(Redactor(receipts=Receipts(KEY)), records, is_restored=True)


def test_the_same_words_of_two_turns_are_two_sources() -> None:
    written = played(Redactor(receipts=RECEIPTS), [turn("four one", 0), turn("four one", 9_000)])
    sources = {one.subject: one.source for one in written if isinstance(one, Receipt)}
    assert 2 == len(sources) == len({*sources.values()})


def test_a_profile_is_named_by_its_values() -> None:
    names = {profile_version(one) for one in (Profile(), Profile(horizon_ms=1), Profile(types=frozenset({"NAME"})))}
    assert 3 == len(names)
    assert profile_version(Profile()) == profile_version(Profile(types=frozenset(sorted(Profile().types))))
