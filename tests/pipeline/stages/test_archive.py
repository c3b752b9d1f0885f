"""The archive: what is stored, under which tone, and when.

`play` is the archive's world: it answers asks at once, and after a cut it reads audio again from where the
machine says, as an engine does.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.tone import apply_tone, merge_spans
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES, Ask, Failed
from pipeline.stages.archive import (
    Archive,
    ArchiveConfig,
    ArchiveState,
    CoverAudio,
    EraseAudio,
    Extent,
    PutAudio,
    PutManifest,
    Request,
    Stored,
)
from topics.records import (
    SAMPLES_PER_MS,
    AudioFrame,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    ContactEvent,
    DecidedUntil,
    Record,
    RedactionVerification,
    Track,
    Watermark,
)

Outcome = Literal["verified", "auto_fixed", "needs_review", "rejected"]

pytestmark = pytest.mark.unit

SEGMENT = 800
LENGTH = 2_000
FRAME = 160
END = Watermark("local", "c1", 0, LENGTH // SAMPLES_PER_MS, is_end=True)
ALL_DECIDED = DecidedUntil("local", "c1", 0, LENGTH, LENGTH, is_end=True)


def noise(seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32_768, 32_767, LENGTH, np.int16)


CUSTOMER, AGENT = noise(1), noise(2)


def frame(at: int, customer: NDArray[np.int16] = CUSTOMER, agent: NDArray[np.int16] = AGENT) -> AudioFrame:
    pcm = (track[at : at + FRAME].astype("<i2").tobytes() for track in (customer, agent))
    return AudioFrame("local", "c1", 0, at, next(pcm), at, next(pcm))


def audio(customer: NDArray[np.int16] = CUSTOMER) -> list[Record]:
    return [*(frame(at, customer) for at in range(0, LENGTH, FRAME)), END]


def spans(turn: str, *limits: tuple[int, int], track: Track = "customer", rev: int = 0) -> AudioRedaction:
    covered = tuple(AudioSpan(track, start, end, "PII") for start, end in limits)
    return AudioRedaction("local", "c1", 0, f"c1/{track}/{turn}", covered, rev)


def decided(customer: int, agent: int = 0, *, is_end: bool = False) -> DecidedUntil:
    return DecidedUntil("local", "c1", 0, customer, agent, is_end)


class Shelf:
    """Where the archive's requests end up; the first `failures` of them fail."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.objects: list[PutAudio | PutManifest] = []
        self.asked: list[Request] = []

    def answer(self, request: Request) -> object:
        if self.failures:
            self.failures -= 1
            return Failed("full")
        self.asked.append(request)
        if isinstance(request, PutAudio | PutManifest):
            self.objects.append(request)
        return Stored()


def serve(machine: Archive, state: ArchiveState, shelf: Shelf) -> None:
    while asks := machine.open_asks(state):
        machine.on_reply(state, asks[0], shelf.answer(machine.request(state, asks[0])))


def play(
    records: Iterable[Record], cuts: frozenset[int] = frozenset(), failures: int = 0
) -> list[PutAudio | PutManifest]:
    machine, shelf = Archive(ArchiveConfig(SEGMENT)), Shelf(failures)
    state = machine.state()
    past: list[Record] = []
    for at, record in enumerate(records):
        if at in cuts:
            state = machine.restore(machine.snapshot(state))
            for old in read_again(past, machine.replay_from_ms(state)):
                machine.on_record(state, old)
                serve(machine, state, shelf)
        machine.on_record(state, record)
        serve(machine, state, shelf)
        past.append(record)
    return shelf.objects


def read_again(past: Sequence[Record], from_ms: int | None) -> list[Record]:
    """The audio topic from the first record that reaches beyond `from_ms`."""
    if from_ms is None:
        return []
    topic = [old for old in past if isinstance(old, AudioFrame | Watermark)]
    return [old for old in topic if isinstance(old, Watermark) or end_of(old) > from_ms * SAMPLES_PER_MS]


def end_of(old: AudioFrame) -> int:
    return old.customer_first_sample + len(old.customer_pcm) // 2


def track_of(objects: Sequence[PutAudio | PutManifest], track: Track) -> NDArray[np.int16]:
    """Join one track's segments, which must follow each other without a gap."""
    pieces = sorted(
        (put for put in objects if isinstance(put, PutAudio) and put.track == track),
        key=lambda put: put.first_sample,
    )
    assert [put.first_sample for put in pieces] == [0, *(put.extent.end_sample for put in pieces)][:-1] or not pieces
    return np.frombuffer(b"".join(put.pcm for put in pieces), "<i2")


def test_contact_is_stored_in_segments_and_a_manifest_last() -> None:
    objects = play([spans("0", (100, 200)), *audio(), ALL_DECIDED])
    assert np.array_equal(track_of(objects, "customer"), apply_tone(CUSTOMER, 0, [(100, 200)]))
    assert np.array_equal(track_of(objects, "agent"), AGENT)
    cuts = ((0, 800), (800, 1_600), (1_600, 2_000))
    segments = tuple(Extent(track, *cut) for track in ("customer", "agent") for cut in cuts)
    assert objects[-1] == PutManifest("local", "c1", segments, (Extent("customer", 100, 200),))
    assert len(objects) == len(segments) + 1


def test_nothing_is_stored_at_or_beyond_what_is_decided() -> None:
    assert play([*audio(), decided(SEGMENT - 1)]) == []
    assert [put.extent.end_sample for put in play([*audio(), decided(SEGMENT)]) if isinstance(put, PutAudio)] == [
        SEGMENT
    ]


def test_segment_waits_for_a_span_that_may_still_grow() -> None:
    undecided: list[Record] = [*audio(), spans("0", (700, 900), rev=1), decided(SEGMENT)]
    assert play(undecided) == []
    grown = play([*undecided, spans("0", (700, 1_000), rev=2), decided(1_001)])
    assert np.array_equal(track_of(grown, "customer"), apply_tone(CUSTOMER, 0, [(700, 1_000)])[:SEGMENT])


def test_span_that_touches_a_decided_one_is_the_same_span() -> None:
    records: list[Record] = [
        spans("0", (700, 800)),
        decided(800),
        *audio(),
        spans("1", (800, 900)),
        ALL_DECIDED,
    ]
    stored = track_of(play(records), "customer")
    assert np.array_equal(stored, apply_tone(CUSTOMER, 0, [(700, 900)]))


def test_manifest_waits_for_the_end_of_audio_and_of_decisions() -> None:
    assert not any(isinstance(put, PutManifest) for put in play(audio()))
    assert not any(isinstance(put, PutManifest) for put in play([*audio()[:-1], ALL_DECIDED]))


def test_at_the_end_everything_is_decided() -> None:
    assert len(track_of(play([*audio(), decided(0, is_end=True)]), "customer")) == LENGTH


def test_holes_are_zeros() -> None:
    objects = play([frame(FRAME), END, ALL_DECIDED])
    stored = track_of(objects, "customer")
    assert np.array_equal(stored, np.concatenate([np.zeros(FRAME, np.int16), CUSTOMER[FRAME : 2 * FRAME]]))


def test_audio_cut_otherwise_is_the_same_audio() -> None:
    frames = [frame(0), AudioFrame("local", "c1", 0, 0, CUSTOMER[:400].tobytes(), 0, b""), frame(320)]
    assert np.array_equal(track_of(play([*frames, END, ALL_DECIDED]), "customer"), CUSTOMER[:480])


def test_contact_without_audio_has_a_manifest_alone() -> None:
    assert play([END, ALL_DECIDED]) == [PutManifest("local", "c1", (), ())]


def test_later_revision_of_a_turns_spans_replaces_them() -> None:
    records = [spans("0", (100, 200), rev=2), spans("0", (300, 400), rev=3)]
    stale = [spans("0", (500, 600), rev=1), spans("0", (500, 600), rev=3)]
    stored = track_of(play([*audio(), *records, *stale, ALL_DECIDED]), "customer")
    assert np.array_equal(stored, apply_tone(CUSTOMER, 0, [(300, 400)]))


def test_empty_set_withdraws_spans() -> None:
    records = [spans("0", (100, 200), rev=1), spans("0", rev=2)]
    assert np.array_equal(track_of(play([*audio(), *records, ALL_DECIDED]), "customer"), CUSTOMER)


def late(*extra: Record, config: ArchiveConfig | None = None) -> list[Request]:
    """What is asked of a contact that is whole and then hears something."""
    machine, shelf = Archive(config or ArchiveConfig(SEGMENT)), Shelf()
    state = machine.state()
    told: list[Record] = [spans("0", (100, 200), rev=1), *audio(), ALL_DECIDED, *extra]
    for record in told:
        machine.on_record(state, record)
        serve(machine, state, shelf)
    return shelf.asked


def test_late_span_covers_what_is_stored_and_the_manifest_follows() -> None:
    runs = ((100, 200), (750, 1_000))
    changed = (Extent("customer", 0, 800, 1), Extent("customer", 800, 1_600, 1), Extent("customer", 1_600, 2_000))
    agent = (Extent("agent", 0, 800), Extent("agent", 800, 1_600), Extent("agent", 1_600, 2_000))
    assert late(spans("1", (750, 1_000), rev=2))[-3:] == [
        CoverAudio("local", "c1", Extent("customer", 0, 800, 1), runs),
        CoverAudio("local", "c1", Extent("customer", 800, 1_600, 1), runs[1:]),
        PutManifest("local", "c1", (*changed, *agent), tuple(Extent("customer", *run) for run in runs), 1),
    ]


@pytest.mark.parametrize(
    "nothing_more", [spans("0", (100, 200), rev=2), spans("1", (120, 180), rev=2), spans("0", rev=2)]
)
def test_late_redaction_that_covers_no_more_changes_nothing(nothing_more: AudioRedaction) -> None:
    assert late() == late(nothing_more)


def test_span_beyond_what_is_decided_is_not_late() -> None:
    told: list[Record] = [decided(SEGMENT + 50), spans("0", (SEGMENT + 100, SEGMENT + 200), rev=1), ALL_DECIDED]
    assert {0} == {put.version for put in play([*told, *audio()])}


def test_version_counts_what_is_late_even_if_it_was_not_stored_yet() -> None:
    told: list[Record] = [spans("0", (100, 200), rev=1), decided(SEGMENT), spans("1", (300, 400), rev=2)]
    (put,) = [put for put in play([*told, *audio()]) if isinstance(put, PutAudio)]
    assert (1, Extent("customer", 0, SEGMENT, 1)) == (put.version, put.extent)


VERIFIED_FIRST = ArchiveConfig(SEGMENT, is_verified_first=True)


def test_what_a_person_may_still_correct_is_kept() -> None:
    state, archive = ArchiveState(), Archive()
    kept = []
    for one in (verdict("needs_review", rev=1), verdict("verified", rev=2)):
        archive.on_record(state, one)
        kept.append(archive.awaits(state))
    assert [True, False] == kept


def verdict(
    outcome: Outcome, *limits: tuple[int, int], rev: int = 1, audio: Literal["awaited", "words"] = "words"
) -> RedactionVerification:
    covered = tuple(AudioSpan("customer", start, end, "PII") for start, end in limits)
    return RedactionVerification("local", "c1", 0, outcome, covered, 24, len(covered), rev, audio)


@pytest.mark.parametrize("extra", [(), (verdict("needs_review"),), (verdict("verified", audio="awaited"),)])
def test_unverified_audio_is_pending_and_so_is_its_manifest(extra: tuple[Record, ...]) -> None:
    asked = late(*extra, config=VERIFIED_FIRST)
    assert [True] * 7 == [put.is_pending for put in asked if isinstance(put, PutAudio | PutManifest)]
    assert 7 == len(asked)
    assert isinstance(asked[-1], PutManifest)


def test_archive_says_which_manifest_names_everything() -> None:
    machine, state, shelf = Archive(VERIFIED_FIRST), ArchiveState(), Shelf()
    for record in (*audio(), ALL_DECIDED, spans("late", (100, 200), rev=7)):
        machine.on_record(state, record)
        serve(machine, state, shelf)
    assert 1 == state.manifest_version
    (told,) = machine.on_record(state, spans("later", (100, 200), rev=8))
    assert AudioStored("local", "c1", LENGTH, LENGTH, is_complete=False, manifest_version=1, redactions_rev=8) == told
    machine.on_record(state, spans("latest", (100, 300), rev=9))
    assert -1 == state.manifest_version
    serve(machine, state, shelf)
    assert 2 == state.manifest_version


def test_verified_audio_is_let_out_by_the_manifest() -> None:
    asked = late(verdict("needs_review"), verdict("verified", rev=2), config=VERIFIED_FIRST)
    assert isinstance(asked[-1], PutManifest)
    assert not asked[-1].is_pending
    assert 8 == len(asked)


def test_older_verdict_does_not_let_out() -> None:
    asked = late(verdict("needs_review", rev=2), verdict("verified"), config=VERIFIED_FIRST)
    assert not any(isinstance(request, PutManifest) and not request.is_pending for request in asked)


def test_fixed_audio_is_covered_before_it_is_let_out() -> None:
    *_, cover, manifest = late(verdict("auto_fixed", (300, 400)), config=VERIFIED_FIRST)
    assert cover == CoverAudio("local", "c1", Extent("customer", 0, 800, 1), ((100, 200), (300, 400)))
    assert isinstance(manifest, PutManifest)
    assert 1 == manifest.version


def test_spans_of_two_verdicts_are_both_covered_whenever_they_come() -> None:
    told = [verdict("auto_fixed", (300, 400)), verdict("verified", (500, 600), rev=2)]
    stored = track_of(play([*told, *audio(), ALL_DECIDED]), "customer")
    assert np.array_equal(stored, apply_tone(CUSTOMER, 0, [(300, 400), (500, 600)]))


@pytest.mark.parametrize("config", [None, VERIFIED_FIRST])
def test_rejected_audio_is_erased_for_good(config: ArchiveConfig | None) -> None:
    asked = late(verdict("rejected"), verdict("verified", rev=2), *audio(), config=config)
    assert EraseAudio("local", "c1") == asked[-1]
    assert 1 == sum(isinstance(request, EraseAudio) for request in asked)


def test_audio_after_a_rejection_is_not_kept() -> None:
    state = ArchiveState()
    for record in (verdict("rejected"), *audio()):
        Archive().on_record(state, record)
    assert {} == state.customer.received.chunks


def test_failure_is_asked_again_under_another_id() -> None:
    machine = Archive(ArchiveConfig(SEGMENT))
    state = machine.state()
    for record in [*audio(), decided(SEGMENT)]:
        machine.on_record(state, record)
    (first,) = machine.open_asks(state)
    assert () == machine.on_reply(state, first, Failed("full"))
    (second,) = machine.open_asks(state)
    assert (first, second) == (Ask("customer/0/0/0", "objects"), Ask("customer/0/0/1", "objects"))


def test_each_answer_says_how_far_the_tracks_are_stored_and_the_last_that_all_is() -> None:
    machine, shelf = Archive(ArchiveConfig(SEGMENT)), Shelf()
    state = machine.state()
    for record in [*audio(), ALL_DECIDED]:
        machine.on_record(state, record)
    told: list[tuple[int, int, bool]] = []
    while asks := machine.open_asks(state):
        (said,) = machine.on_reply(state, asks[0], shelf.answer(machine.request(state, asks[0])))
        assert isinstance(said, AudioStored)
        told.append((said.customer_sample, said.agent_sample, said.is_complete))
    customer = [(SEGMENT, 0, False), (2 * SEGMENT, 0, False), (LENGTH, 0, False)]
    agent = [(LENGTH, SEGMENT, False), (LENGTH, 2 * SEGMENT, False), (LENGTH, LENGTH, False)]
    assert [*customer, *agent, (LENGTH, LENGTH, True)] == told


def test_failures_lose_nothing() -> None:
    records = [*audio(), ALL_DECIDED]
    assert play(records, failures=5) == play(records)


def test_answer_to_a_closed_ask_changes_nothing() -> None:
    machine = Archive(ArchiveConfig(SEGMENT))
    state = machine.state()
    before = machine.snapshot(state)
    machine.on_reply(state, Ask("customer/0/0/0", "objects"), Stored())
    assert machine.snapshot(state) == before


def test_request_for_a_segment_that_is_not_ready_is_a_fault() -> None:
    machine = Archive()
    with pytest.raises(EngineFault):
        machine.request(machine.state(), Ask("customer/0/0/0", "objects"))


def test_audio_is_read_again_from_what_is_not_stored() -> None:
    machine, shelf = Archive(ArchiveConfig(SEGMENT)), Shelf()
    state = machine.state()
    assert machine.replay_from_ms(state) == 0
    for record in [*audio(), decided(2 * SEGMENT, SEGMENT)]:
        machine.on_record(state, record)
        serve(machine, state, shelf)
    assert machine.replay_from_ms(state) == SEGMENT // SAMPLES_PER_MS
    machine.on_record(state, ALL_DECIDED)
    serve(machine, state, shelf)
    assert machine.replay_from_ms(state) is None


def test_restored_archive_stores_nothing_before_its_audio_is_read_again() -> None:
    machine = Archive(ArchiveConfig(SEGMENT))
    state = machine.state()
    for record in [*audio(), ALL_DECIDED]:
        machine.on_record(state, record)
    assert machine.open_asks(machine.restore(machine.snapshot(state))) == ()


def test_end_that_comes_again_before_the_audio_keeps_the_length() -> None:
    machine, shelf = Archive(ArchiveConfig(SEGMENT)), Shelf()
    state = machine.state()
    for record in [*audio(), ALL_DECIDED]:
        machine.on_record(state, record)
    state = machine.restore(machine.snapshot(state))
    for record in [END, *audio()]:
        machine.on_record(state, record)
        serve(machine, state, shelf)
    assert np.array_equal(track_of(shelf.objects, "customer"), CUSTOMER)


def test_unknown_type_is_refused() -> None:
    machine = Archive()
    with pytest.raises(RecordRefused):
        machine.on_record(machine.state(), ContactEvent("local", "c1", 0, "started", 0, ""))


def test_state_stays_small() -> None:
    """Three hours with a covered span on each track in every eight seconds."""
    machine = Archive()
    state = machine.state()
    for at in range(0, 3 * 3_600 * 8_000, 64_000):
        machine.on_record(state, spans(str(at), (at, at + 20_000), rev=2**40 + at))
        machine.on_record(state, spans(str(at), (at, at + 20_000), rev=2**40 + at, track="agent"))
        machine.on_record(state, decided(at, at))
    assert len(machine.snapshot(state)) < STATE_LIMIT_BYTES


@st.composite
def redactions(draw: st.DrawFn) -> list[Record]:
    """One topic's records as redaction writes them: spans that appear, grow or go beyond what is decided."""
    records: list[Record] = []
    until = 0
    for rev in range(1, draw(st.integers(1, 12))):
        limits = draw(st.lists(st.tuples(st.integers(until, LENGTH), st.integers(1, 300)), max_size=2))
        turn = draw(st.sampled_from("abc"))
        records.append(spans(turn, *((start, min(start + length, LENGTH)) for start, length in limits), rev=rev))
        until = draw(st.integers(until, LENGTH))
        records.append(decided(until, until))
    return [*records, ALL_DECIDED]


@st.composite
def interleavings(draw: st.DrawFn, topic: Sequence[Record]) -> list[Record]:
    """The audio topic and `topic`, in any order that keeps each topic's own."""
    lanes = [list(audio()), list(topic)]
    mixed: list[Record] = []
    while lanes[0] and lanes[1]:
        mixed.append(lanes[draw(st.integers(0, 1))].pop(0))
    return [*mixed, *lanes[0], *lanes[1]]


def by_name(objects: Sequence[PutAudio | PutManifest]) -> dict[tuple[str, int], PutAudio | PutManifest]:
    """Objects by the name they are stored under; storing one twice must not change it."""
    shelf: dict[tuple[str, int], PutAudio | PutManifest] = {}
    for put in objects:
        name = (put.track, put.first_sample) if isinstance(put, PutAudio) else ("manifest", 0)
        assert shelf.setdefault(name, put) == put
    return shelf


@settings(deadline=None)
@given(redactions(), st.data())
def test_order_between_the_topics_cuts_and_duplicates_change_nothing(topic: list[Record], data: st.DataObject) -> None:
    expected = by_name(play([*topic, *audio()]))
    mixed = data.draw(interleavings(topic))
    again = data.draw(st.integers(0, len(mixed) - 1))
    mixed.insert(data.draw(st.integers(again + 1, len(mixed))), mixed[again])
    cuts = data.draw(st.frozensets(st.integers(0, len(mixed)), max_size=4))
    assert by_name(play(mixed, cuts)) == expected


@settings(deadline=None)
@given(redactions(), st.data())
def test_objects_tell_nothing_of_the_samples_inside_the_spans(topic: list[Record], data: st.DataObject) -> None:
    expected = play([*topic, *audio()])
    manifest = expected[-1]
    assert isinstance(manifest, PutManifest)
    other = CUSTOMER.copy()
    inside = np.zeros(LENGTH, np.bool_)
    for span in manifest.spans:
        if span.track == "customer":
            inside[span.start_sample : span.end_sample] = True
    other[inside] = noise(3)[inside]
    assert play([*topic, *audio(other)]) == expected
    assert np.array_equal(track_of(expected, "customer")[~inside], CUSTOMER[~inside])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)), max_size=6))
def test_segments_join_to_the_tone_over_the_whole_track(limits: list[tuple[int, int]]) -> None:
    records = [spans(str(at), limit) for at, limit in enumerate(limits)]
    stored = track_of(play([*audio(), *records, ALL_DECIDED]), "customer")
    assert np.array_equal(stored, apply_tone(CUSTOMER, 0, merge_spans(limits)))
