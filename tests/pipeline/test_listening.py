"""The stored audio of a contact is checked: archive, store and verification together, with what goes wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import objects
from connectors.objects import Objects
from connectors.playback import Playback
from pipeline.audio import flac
from pipeline.audio.tone import apply_tone
from pipeline.errors import EngineFault
from pipeline.machine import STATE_LIMIT_BYTES, Ask, Failed
from pipeline.stages.archive import Archive, ArchiveConfig, ArchiveState, Request, Stored
from pipeline.stages.verification import Verification, VerificationState
from pipeline.verification import listening
from pipeline.verification.listening import Compared, HearAudio, How, Listening, Overheard, Piece
from tests.simulation.shelf import Memory
from topics.records import (
    AudioFrame,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    DecidedUntil,
    Record,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    TextSpan,
    Watermark,
    Word,
)

pytestmark = pytest.mark.unit

LENGTH = 48_000
CUSTOMER, AGENT = (np.random.default_rng(seed).integers(-9_000, 9_000, LENGTH, np.int16) for seed in (1, 2))
RUN = (16_000, 24_000)
SECRET = (26_000, 28_000)  # said beside the run
FRAMES: list[Record] = [
    AudioFrame("t", "c", 0, at, CUSTOMER[at : at + 1_600].astype("<i2").tobytes(), at, AGENT[at : at + 1_600].tobytes())
    for at in range(0, LENGTH, 1_600)
]
END = Watermark("t", "c", 0, LENGTH // 8, is_end=True)
COVERED = AudioRedaction("t", "c", 0, "c/customer/16000", (AudioSpan("customer", *RUN, "CREDITCARD"),), 1)
DECIDED = DecidedUntil("t", "c", 0, LENGTH, LENGTH, is_end=True, rev=2)
CALL: list[Record] = [*FRAMES, COVERED, DECIDED, END]


class Rig:
    """Archive and verification over one store, whose answers may be lost with the workers that asked."""

    def __init__(
        self,
        place: Memory,
        *,
        how: How = "words",
        is_secret_heard: bool = False,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self.place = place
        self.archive, self.archived = Archive(ArchiveConfig(16_000, is_verified_first=True)), ArchiveState()
        self.verification, self.verified = Verification(how), VerificationState()
        self.verdicts: list[RedactionVerification] = []
        self._is_secret_heard = is_secret_heard
        self._is_lost = is_lost
        self._rev = 0
        self._turns: list[Record] = []

    def play(self, records: Sequence[Record]) -> "Rig":
        for record in records:
            self._tell(record)
            self.settle()
        return self

    def settle(self) -> None:
        while self._archive_asks() or self._verification_asks():
            pass

    def _archive_asks(self) -> bool:
        for ask in self.archive.open_asks(self.archived)[:1]:
            before = self.archive.snapshot(self.archived)
            request = self.archive.request(self.archived, ask)
            assert isinstance(request, Request)
            Objects(self.place).store(request)
            if self._is_lost():
                self.archived = self.archive.restore(before)
                for frame in FRAMES:
                    self.archive.on_record(self.archived, frame)
            else:
                self._tell(*self.archive.on_reply(self.archived, ask, Stored()))
            return True
        return False

    def _verification_asks(self) -> bool:
        for ask in self.verification.open_asks(self.verified)[:1]:
            before = self.verification.snapshot(self.verified)
            answer = self._answer(self.verification.request(self.verified, ask))
            if self._is_lost():
                self.verified = self.verification.restore(before)
            else:
                self._tell(*self.verification.on_reply(self.verified, ask, answer))
            return True
        return False

    def _answer(self, request: object) -> object:
        playback = Playback(self.place, None)
        if not isinstance(request, HearAudio):
            assert isinstance(request, listening.CompareAudio)
            return playback.compare(request)
        stretches, heard = playback.stretches(request)
        pieces = []
        for stretch in stretches:
            track, start, end = stretch.place
            low, high = max(start, SECRET[0]), min(end, SECRET[1])
            has_it = self._is_secret_heard and track == "customer" and high - low > 1_000
            pieces.append(Piece(stretch.place, (Word("seven", low // 8, high // 8),) if has_it else ()))
        return replace(heard, pieces=tuple(pieces))

    def _tell(self, *records: Record) -> None:
        for record in records:
            told = self._stamped(record)
            if isinstance(told, AudioFrame | AudioRedaction | DecidedUntil | RedactionVerification | Watermark):
                self._tell(*self.archive.on_record(self.archived, told))
            if isinstance(told, AudioRedaction | AudioStored | DecidedUntil | RedactedTurn | Watermark):
                self._tell(*self.verification.on_record(self.verified, told))
            if isinstance(told, RedactionVerification):
                self.verdicts.append(told)
                is_out = objects.manifest(self.place, "t", "c") is not None
                assert not is_out or any(one.audio != "awaited" for one in self.verdicts)

    def _stamped(self, record: Record) -> Record:
        if isinstance(record, RedactionVerification | AudioStored):
            self._rev += 1
            return replace(record, rev=self._rev)
        return record

    @property
    def outcome(self) -> tuple[str, str]:
        return self.verdicts[-1].outcome, self.verdicts[-1].audio

    @property
    def customer(self) -> bytes:
        return b"".join(pcm for one, pcm in objects.read(self.place, "t", "c") if one.track == "customer")


def toned(*runs: tuple[int, int]) -> bytes:
    return apply_tone(CUSTOMER, 0, runs).astype("<i2").tobytes()


@pytest.mark.parametrize(("how", "audio"), [("off", "off"), ("samples", "samples"), ("words", "words")])
def test_audio_is_let_out_once_it_is_checked(how: How, audio: str) -> None:
    rig = Rig(Memory(), how=how).play(CALL)
    assert ("verified", audio) == rig.outcome
    assert toned(RUN) == rig.customer


def test_nothing_is_let_out_while_the_check_is_awaited() -> None:
    rig = Rig(Memory())
    for record in CALL:
        rig._tell(record)
        while rig._archive_asks():
            pass
    assert ("verified", "awaited") == rig.outcome
    assert [] == rig.place.names("tenant=")
    rig.settle()
    assert ("verified", "words") == rig.outcome
    assert toned(RUN) == rig.customer


def test_what_is_heard_beside_the_tone_is_covered_and_heard_again() -> None:
    rig = Rig(Memory(), is_secret_heard=True).play(CALL)
    assert ("auto_fixed", "words") == rig.outcome
    wide = SECRET[0] - listening.PAD_SAMPLES, SECRET[1] + listening.PAD_SAMPLES
    assert [AudioSpan("customer", *wide, "PII")] == list(rig.verdicts[-1].spans)
    assert toned(RUN, wide) == rig.customer


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 30)), st.booleans())
def test_answers_that_are_lost_with_their_worker_change_nothing(lost: set[int], is_heard: bool) -> None:
    numbers = iter(range(10**6))
    quiet = Rig(Memory(), is_secret_heard=is_heard).play(CALL)
    rig = Rig(Memory(), is_secret_heard=is_heard, is_lost=lambda: next(numbers) in lost).play(CALL)
    assert quiet.place.kept == rig.place.kept
    assert replace(quiet.verdicts[-1], rev=0) == replace(rig.verdicts[-1], rev=0)


class Leaking(Memory):
    """A store whose archive forgets the tone of some versions of the customer's second segment."""

    def __init__(self, versions: range) -> None:
        super().__init__()
        self._names = tuple(f"track=customer/seg-0000016000-0000032000-v{version:04d}" for version in versions)

    def put(self, tenant: str, name: str, content: bytes) -> None:
        if any(one in name for one in self._names):
            content = flac.encode(CUSTOMER[16_000:32_000].astype("<i2").tobytes())
        super().put(tenant, name, content)


def test_a_segment_that_lacks_its_tone_is_written_again_before_it_is_let_out() -> None:
    rig = Rig(Leaking(range(1))).play(CALL)
    assert ("auto_fixed", "words") == rig.outcome
    assert toned((RUN[0] - 40, RUN[1] + 40)) == rig.customer


def test_audio_that_goes_on_showing_what_it_should_cover_is_rejected_and_erased() -> None:
    rig = Rig(Leaking(range(9))).play(CALL)
    assert "rejected" == rig.verdicts[-1].outcome
    assert all(name.endswith("erased") for name in rig.place.kept)


class Rotting(Memory):
    """A store that loses a bit of one segment once its manifest is written."""

    def put(self, tenant: str, name: str, content: bytes) -> None:
        super().put(tenant, name, content)
        if "manifest" in name:
            (broken,) = (one for one in self.kept if "customer/seg-0000032000" in one)
            self.kept[broken] = flac.encode(bytes(2 * 16_000))


def test_audio_that_is_not_what_the_manifest_says_waits_for_a_person() -> None:
    rig = Rig(Rotting()).play(CALL)
    assert ("needs_review", "samples") == rig.outcome
    assert [] == rig.place.names("tenant=")


def test_a_span_that_comes_after_the_check_is_checked_too() -> None:
    late = AudioRedaction("t", "c", 0, "c/customer/0", (AudioSpan("customer", 100, 900, "NAME"),), 3)
    rig = Rig(Memory()).play([*CALL, late])
    assert ("verified", "words") == rig.outcome
    assert "awaited" in [one.audio for one in rig.verdicts[2:]]
    assert toned((100, 900), RUN) == rig.customer


def state_of(how: How = "words", *turns: RedactedTurn) -> tuple[Verification, VerificationState]:
    machine, state = Verification(how), VerificationState()
    told: list[Record] = [*turns, COVERED, DECIDED, END]
    for record in (*told, AudioStored("t", "c", LENGTH, LENGTH, is_complete=False, rev=1)):
        machine.on_record(state, record)
    machine.on_record(
        state,
        AudioStored("t", "c", LENGTH, LENGTH, is_complete=False, rev=2, manifest_version=0, redactions_rev=1),
    )
    return machine, state


def replies(machine: Verification, state: VerificationState, *answers: object) -> list[Record]:
    return [record for answer in answers for record in machine.on_reply(state, machine.open_asks(state)[0], answer)]


def test_a_failure_is_asked_again_under_another_id_and_says_nothing() -> None:
    machine, state = state_of()
    first = machine.open_asks(state)
    assert [] == replies(machine, state, *[Failed("away")] * 20)
    assert {"samples/0/0/0"} == {ask.ask_id for ask in first}
    assert {"samples/0/0/20"} == {ask.ask_id for ask in machine.open_asks(state)}
    (verdict,) = replies(machine, state, Compared(), Overheard())
    assert isinstance(verdict, RedactionVerification)
    assert ("verified", "words") == (verdict.outcome, verdict.audio)


def test_an_archive_that_does_not_know_the_last_redaction_is_not_asked() -> None:
    machine, state = state_of()
    machine.on_record(state, replace(COVERED, turn_id="c/agent/1", rev=3))
    assert () == machine.open_asks(state)
    known = AudioStored("t", "c", LENGTH, LENGTH, is_complete=False, rev=3, manifest_version=0, redactions_rev=3)
    machine.on_record(state, known)
    assert 1 == len(machine.open_asks(state))


def test_a_deaf_listener_is_said() -> None:
    machine, state = state_of()
    (verdict,) = replies(machine, state, Compared(), Overheard(is_deaf=True))
    assert isinstance(verdict, RedactionVerification)
    assert ("verified", "deaf") == (verdict.outcome, verdict.audio)


def test_an_answer_to_a_closed_ask_changes_nothing_and_another_answer_is_a_fault() -> None:
    machine, state = state_of()
    before = machine.snapshot(state)
    assert () == machine.on_reply(state, Ask("samples/7/0/0", "playback"), Compared())
    assert before == machine.snapshot(state)
    with pytest.raises(EngineFault):
        machine.on_reply(state, machine.open_asks(state)[0], Stored())


def test_published_words_that_are_heard_are_masked_too() -> None:
    words = (Word("to", 3_200, 3_300), Word("heaven", 3_300, 3_450), Word("please", 3_600, 3_900))
    turn = RedactedTurn(
        "t", "c", 0, "c/customer/25600", 0, "customer", "customer", 25_600, 31_200, True, words, (), "x", None
    )
    machine, state = state_of("words", turn)
    piece = Piece(("customer", 24_000, 40_000), (Word("seven", 3_300, 3_450),))
    (command,) = replies(machine, state, Compared(), Overheard((piece,), (("customer", *RUN),)))
    assert isinstance(command, RedactionCommand)
    assert (turn, (TextSpan(3_300, 3_450, "PII", ("customer",)),)) == (command.turn, command.masks)


def overheard(*words: Word, tones: tuple[listening.Place, ...] = (("customer", *RUN),)) -> Overheard:
    return Overheard((Piece(("customer", 24_000, 40_000), words),), tones)


def at(start_ms: int, text: str, *, is_estimated: bool = False) -> Iterator[Word]:
    for n, word in enumerate(text.split()):
        yield Word(word, start_ms + 200 * n, start_ms + 200 * n + 180, is_estimated)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("seven please", (3_000, 3_180)),
        ("two weeks ago", None),
        ("thank you I will wait", None),
        ("and four one one one one one two nine", (3_200, 4_780)),
        ("my name is brudro", (3_600, 3_780)),
    ],
)
def test_numbers_and_names_beside_the_tone_are_findings(text: str, limits: tuple[int, int] | None) -> None:
    found, is_unaligned = listening.findings(overheard(*at(3_000, text)))
    assert ([] if limits is None else [limits]) == [(one.start_ms, one.end_ms) for one in found]
    assert not is_unaligned


def test_words_without_times_are_for_a_person() -> None:
    assert ([], True) == listening.findings(overheard(*at(3_000, "seven please", is_estimated=True)))
    machine, state = state_of()
    (verdict,) = replies(machine, state, Compared(), overheard(*at(3_000, "seven", is_estimated=True)))
    assert isinstance(verdict, RedactionVerification)
    assert "needs_review" == verdict.outcome


def test_what_is_heard_again_and_again_is_for_a_person() -> None:
    machine, state = state_of()
    found: list[Record] = []
    for version in range(listening.ROUNDS):
        known = AudioStored(
            "t", "c", 0, 0, is_complete=False, rev=version + 3, manifest_version=version, redactions_rev=1
        )
        found += machine.on_record(state, known)
        found += replies(machine, state, Compared(), overheard(*at(3_000 + version, "seven please")))
    last = found[-1]
    assert isinstance(last, RedactionVerification)
    assert ("needs_review", "words") == (last.outcome, last.audio)
    assert () == machine.open_asks(state)


def test_state_stays_small() -> None:
    """Three hours with a covered span on each track in every eight seconds, and the last minute's turns."""
    state = Listening()
    for start in range(0, 3 * 3_600 * 8_000, 64_000):
        for track in ("customer", "agent"):
            spans = (AudioSpan("customer" if track == "customer" else "agent", start, start + 20_000, "PII"),)
            listening.note_redaction(state, AudioRedaction("t", "c", 0, f"c/{track}/{start}", spans, 2**40 + start))
    machine = Verification()
    assert len(machine.snapshot(VerificationState(listening=state))) < STATE_LIMIT_BYTES * 3 // 4
    places = list(listening.request(state, Ask("samples/0/0/0", "playback")).required)  # type: ignore[union-attr]  # it compares
    assert 2 * 1_350 == len(set(places))
