"""What the second listener reads back: real FLAC in a real folder, each test with one planted defect."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from connectors import files, places
from connectors.objects import PENDING, Objects, Place, contact_folder
from connectors.playback import Playback
from pipeline.audio import flac
from pipeline.audio.tone import Span, apply_tone
from pipeline.errors import EngineFault, InputError, PeerUnavailable
from pipeline.machine import Failed
from pipeline.stages.archive import CoverAudio, Extent, PutAudio, PutManifest
from pipeline.stages.asr import Transcribe, Transcript
from pipeline.verification import listening
from pipeline.verification.listening import CompareAudio, Compared, HearAudio, Overheard
from tests.simulation.scripts import DEMO
from tests.simulation.shelf import Memory
from topics.records import TRACKS, Track, Word

pytestmark = pytest.mark.unit

LENGTH, SEGMENT = 40_000, 16_000
RUNS: Mapping[Track, Sequence[Span]] = {"customer": ((10_000, 20_000),), "agent": ((12_000, 20_000),)}
REQUIRED = tuple((track, *run) for track in TRACKS for run in RUNS[track])
COMPARE = CompareAudio("local", "c1", 0, REQUIRED)
HEAR = HearAudio("local", "c1", 0, (), 0)
FIRST = contact_folder("local", "c1") + "track=agent/seg-0000000000-0000016000-v0000.flac"
SPEECH: Mapping[Track, NDArray[np.int16]] = {
    track: np.random.default_rng(seed).integers(-9_000, 9_000, LENGTH, np.int16) for seed, track in enumerate(TRACKS)
}


def store(
    place: Place,
    covered: Mapping[Track, Sequence[Span]] = RUNS,
    said: Mapping[Track, Sequence[Span]] = RUNS,
    *,
    is_pending: bool = True,
    speech: Mapping[Track, NDArray[np.int16]] = SPEECH,
) -> None:
    """Store a contact whose audio is the tone where `covered` says, and whose manifest says `said`."""
    objects, segments = Objects(place), []
    for track in TRACKS:
        pcm = apply_tone(speech[track], 0, covered[track]).astype("<i2").tobytes()
        for start in range(0, len(pcm) // 2, SEGMENT):
            put = PutAudio("local", "c1", track, start, pcm[2 * start : 2 * (start + SEGMENT)], is_pending=is_pending)
            objects.store(put)
            segments.append(put.extent)
    spans = tuple(Extent(track, *run) for track in TRACKS for run in said[track])
    objects.store(PutManifest("local", "c1", tuple(segments), spans, is_pending=is_pending))


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return places.folder(tmp_path / "objects", None)


def compared(place: Place, request: CompareAudio = COMPARE) -> Compared:
    return Playback(place, None).compare(request)


@pytest.mark.parametrize("is_pending", [True, False])
def test_what_is_stored_as_it_should_be_is_found_so(folder: Place, *, is_pending: bool) -> None:
    store(folder, is_pending=is_pending)
    assert Compared() == compared(folder)


def test_a_manifest_that_was_let_out_names_the_same_audio(folder: Place) -> None:
    store(folder)
    segments = tuple(
        Extent(track, start, min(start + SEGMENT, LENGTH)) for track in TRACKS for start in range(0, LENGTH, SEGMENT)
    )
    spans = tuple(Extent(*place) for place in REQUIRED)
    Objects(folder).store(PutManifest("local", "c1", segments, spans))
    assert [] == folder.names(PENDING)
    assert Compared() == compared(folder)


def test_a_track_without_its_tone_is_shown(folder: Place) -> None:
    store(folder, covered={"customer": RUNS["customer"], "agent": ()})
    assert Compared(shown=(("agent", 12_000, 20_000),)) == compared(folder)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_span_that_is_shifted_by_a_sample_is_shown(folder: Place, shift: int) -> None:
    store(folder, covered={**RUNS, "customer": ((10_000 + shift, 20_000 + shift),)})
    assert Compared(shown=(("customer", 10_000, 20_000),)) == compared(folder)


def test_what_the_archive_does_not_cover_is_uncovered(folder: Place) -> None:
    store(folder)
    wanted: tuple[listening.Place, ...] = (
        ("customer", 9_999, 10_100),
        ("agent", 12_000, 20_000),
        ("agent", 30_000, 30_001),
    )
    assert (wanted[0], wanted[2]) == compared(folder, CompareAudio("local", "c1", 0, wanted)).uncovered


def test_another_segment_than_the_manifest_names_is_damage(folder: Place) -> None:
    store(folder)
    louder = SPEECH["agent"][:SEGMENT] // 2
    folder.put("local", PENDING + FIRST, flac.encode(louder.astype("<i2").tobytes()))
    assert compared(folder).is_damaged


def test_a_changed_byte_on_disk_is_damage(folder: Place, tmp_path: Path) -> None:
    store(folder)
    path = tmp_path / "objects" / PENDING / FIRST
    sealed = bytearray(path.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    path.write_bytes(sealed)
    assert compared(folder).is_damaged


def test_a_missing_segment_is_damage(folder: Place) -> None:
    store(folder)
    folder.delete(PENDING + FIRST)
    assert compared(folder).is_damaged


def test_a_hole_between_segments_is_damage() -> None:
    place = Memory()
    store(place)
    name = PENDING + contact_folder("local", "c1") + "manifest-v0000.json"
    content = json.loads(place.kept[name])
    del content["segments"][1]
    place.kept[name] = json.dumps(content).encode()
    assert compared(place).is_damaged


def test_what_is_covered_again_is_the_tone(folder: Place) -> None:
    store(folder, covered={**RUNS, "agent": ()}, said={**RUNS, "agent": ()})
    for start, end in ((0, SEGMENT), (SEGMENT, 2 * SEGMENT)):
        Objects(folder).store(CoverAudio("local", "c1", Extent("agent", start, end, 1), tuple(RUNS["agent"])))
    segments = [Extent("customer", start, min(start + SEGMENT, LENGTH)) for start in range(0, LENGTH, SEGMENT)]
    segments += [Extent("agent", 0, SEGMENT, 1), Extent("agent", SEGMENT, 2 * SEGMENT, 1)]
    segments += [Extent("agent", 2 * SEGMENT, LENGTH)]
    spans = tuple(Extent(*place) for place in REQUIRED)
    Objects(folder).store(PutManifest("local", "c1", tuple(segments), spans, 1, is_pending=True))
    assert Compared() == compared(folder, CompareAudio("local", "c1", 1, REQUIRED))


@given(st.integers(0, LENGTH - 1), st.integers(0, LENGTH - 1))
def test_any_other_sample_within_a_run_is_shown_and_none_beside_it(at: int, first_sample: int) -> None:
    runs = [(1_000, 9_000), (20_000, 20_400)]
    pcm = apply_tone(SPEECH["customer"], 0, runs)
    pcm[at] ^= 1
    wrong = [run for run in runs if run[0] <= at < run[1] and at >= first_sample]
    assert wrong == listening.shown(pcm[first_sample:], first_sample, runs)


class Away(Memory):
    """A place that is away as long as it is told so."""

    is_away = False

    def get(self, tenant: str, name: str) -> bytes:
        if self.is_away:
            raise PeerUnavailable("the tenant's key is away")
        return super().get(tenant, name)


def test_a_store_that_is_away_is_no_finding_and_is_asked_again() -> None:
    place = Away()
    store(place)
    playback = Playback(place, None, failure_pause_s=0)
    for request, expected in ((COMPARE, Compared), (HEAR, Overheard)):
        place.is_away = True
        assert isinstance(asyncio.run(playback.answer(request)), Failed)
        place.is_away = False
        assert isinstance(asyncio.run(playback.answer(request)), expected)


def test_another_question_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        asyncio.run(Playback(Memory(), None).answer(PutAudio("local", "c1", "agent", 0, b"")))


def heard(place: Place, *texts: str, gap: str = "") -> tuple[Overheard, list[Transcribe]]:
    """What is heard by a recogniser that hears the same in every stretch, and what it was asked."""
    asked: list[Transcribe] = []

    async def recogniser(request: Transcribe) -> Transcript:
        asked.append(request)
        words = (Word(text, request.first_sample // 8 + n, request.first_sample // 8 + n + 1) for n, text in texts_at)
        return Transcript(tuple(words), "test", None, gap=gap)

    texts_at = list(enumerate(texts))
    answer = asyncio.run(Playback(place, lambda: recogniser).answer(HEAR))
    assert isinstance(answer, Overheard)
    return answer, asked


def test_both_tracks_are_heard_two_seconds_around_the_tone_and_never_in_it(folder: Place) -> None:
    store(folder)
    answer, asked = heard(folder, "hello")
    assert [(one.track, one.first_sample, one.end_sample) for one in asked] == [piece.place for piece in answer.pieces]
    assert [
        ("agent", 0, 12_000),
        ("customer", 0, 10_000),
        ("agent", 20_000, 36_000),
        ("customer", 20_000, 36_000),
    ] == [piece.place for piece in answer.pieces]
    for one in asked:
        pcm = SPEECH[one.track][one.first_sample : one.end_sample]
        assert pcm.astype("<i2").tobytes() == one.pcm
    assert (REQUIRED, None, False) == (answer.tones, answer.next_sample, answer.is_deaf)


def test_silence_is_not_heard() -> None:
    place = Memory()
    store(place, speech={track: np.full(LENGTH, 100, np.int16) for track in TRACKS})
    assert [] == heard(place, "you")[1]


def missing() -> None:
    raise InputError("the package moonshine-voice is not installed")


def broken() -> None:
    raise RuntimeError("the model cannot be read")


@pytest.mark.parametrize("recogniser", [None, missing, broken])
def test_without_a_recogniser_it_is_deaf(recogniser: None) -> None:
    place = Memory()
    store(place)
    assert Overheard(is_deaf=True) == asyncio.run(Playback(place, recogniser).answer(HEAR))


def test_a_recogniser_that_gives_no_answer_is_deaf() -> None:
    place = Memory()
    store(place)
    assert heard(place, gap="no answer")[0].is_deaf


def test_long_listening_is_cut_into_several_answers() -> None:
    speech = {track: np.tile(SPEECH[track], 40) for track in TRACKS}
    runs = tuple((at, at + 8_000) for at in range(20_000, 1_600_000, 60_000))
    place = Memory()
    store(place, dict.fromkeys(TRACKS, runs), dict.fromkeys(TRACKS, runs), speech=speech)
    found, at, answers = list[listening.Place](), 0, 0
    while at is not None:
        stretches, answer = Playback(place, None).stretches(HearAudio("local", "c1", 0, (), at))
        assert sum(one.place[2] - one.place[1] for one in stretches) <= listening.AT_ONCE_SAMPLES
        found += [one.place for one in stretches]
        at, answers = answer.next_sample, answers + 1  # type: ignore[assignment]  # the loop ends with None
    tones = [(track, *run) for track in TRACKS for run in runs]
    assert found == listening.places_to_hear(tones, (), dict.fromkeys(TRACKS, 40 * LENGTH))
    assert answers > 3


@pytest.mark.speech
def test_digits_of_a_card_that_the_tone_has_left_are_heard() -> None:
    """The demo call's card number, of whose second part the last two digits are not covered."""
    from pipeline import recognisers

    seconds = 40
    speech = {track: files.read_wav(DEMO / f"{track}.wav")[: seconds * 8_000] for track in TRACKS}
    whole, cut = ((22_862, 24_144), (26_806, 28_981), (30_777, 33_166)), ((22_862, 24_144), (26_806, 28_200))
    left = (28_200, 29_100)
    for spans, expected in ((whole, []), (cut, [("customer", True)])):
        place = Memory()
        runs: Mapping[Track, Sequence[Span]] = {"customer": [(8 * a, 8 * b) for a, b in spans], "agent": ()}
        store(place, runs, runs, speech=speech)
        around: tuple[listening.Place, ...] = (("customer", 8 * spans[1][0], 8 * spans[1][1]),)
        request = HearAudio("local", "c1", 0, around, 0)
        answer = asyncio.run(Playback(place, recognisers.second).answer(request))
        assert isinstance(answer, Overheard)
        found, _ = listening.findings(answer)
        near = [(one.track, left[0] - 100 < one.start_ms < left[1]) for one in found if one.end_ms < 30_000]
        assert expected == list(dict.fromkeys(near))
