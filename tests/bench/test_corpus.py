"""Calls made of recordings: the same from the same seed, and their truth is where the recordings lie."""

import random
from itertools import pairwise

import numpy as np
import pytest

from bench import corpus
from bench.corpus import FRAME_SAMPLES, Clip, Recordings, Spoken
from bench.line import Line, mu_law
from pipeline.audio import pcm
from pipeline.audio.pcm import Samples
from pipeline.redaction.checks import passes_luhn
from topics.records import TRACKS

pytestmark = pytest.mark.unit

SEEDS = range(1, 6)


def voice(length_s: float, seed: int) -> Samples:
    """Noise as loud as speech, with a quiet tenth of a second at both ends."""
    sound = np.random.default_rng(seed).normal(0, 3_000, int(length_s * 8_000)).astype(np.int16)
    sound[:800] = sound[-800:] = 0
    return sound


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    cut = {name for name, *_ in (*corpus.DIGITS.values(), *corpus.BACKCHANNELS.values())}
    prompts = {f"prompts/{name}.wav": Clip(f"prompt of {name}", voice(3, n)) for n, name in enumerate(sorted(cut))}
    asked = {path: Clip("please wait", voice(2, 50)) for path in (corpus.HOLD, corpus.ASK_CARD)}
    readings = {f"librivox/{n}.wav": Clip(f"reading number {n}", voice(4, 60 + n)) for n in range(5)}
    music = (np.random.default_rng(9).normal(0, 1_000, 160_000).astype(np.int16),)
    return Recordings(prompts | asked | readings, music)


@pytest.fixture(scope="module")
def calls(recordings: Recordings) -> list[Spoken]:
    return [corpus.make(recordings, seed) for seed in SEEDS]


def test_the_same_seed_makes_the_same_call(recordings: Recordings, calls: list[Spoken]) -> None:
    again = [corpus.make(recordings, seed) for seed in SEEDS]
    assert [call.call.contact_id for call in calls] == [call.call.contact_id for call in again]
    assert [call.reference() for call in calls] == [call.reference() for call in again]
    assert len(SEEDS) == len({call.call.contact_id for call in calls})


def test_each_sample_is_that_of_the_placed_recordings(calls: list[Spoken]) -> None:
    for call in calls:
        for track, sound in call.tracks():
            rest = sound.astype(np.int32)
            for one in call.placed:
                if one.track == track:
                    rest[one.first_sample : one.end_sample] -= one.clip.sound
            assert 0 == np.abs(rest).max()


def test_recordings_of_a_track_do_not_overlap(calls: list[Spoken]) -> None:
    for call in calls:
        for track in TRACKS:
            spans = [(one.first_sample, one.end_sample) for one in call.placed if one.track == track]
            assert all(end <= first for (_, end), (first, _) in pairwise(spans))


def test_speech_is_where_words_are_and_never_in_music_or_keys(calls: list[Spoken]) -> None:
    for call in calls:
        for track, word in call.words:
            middle = (word.start_ms + word.end_ms) // 2 // 20
            assert call.speech[track][middle], word
        for one in call.placed:
            if not one.clip.text:
                inside = slice(one.first_sample // FRAME_SAMPLES + 1, one.end_sample // FRAME_SAMPLES - 1)
                assert not call.speech[one.track][inside].any()


def test_every_text_is_in_the_reference(calls: list[Spoken]) -> None:
    for call in calls:
        said = [word for one in call.placed for word in one.clip.text.split()]
        assert sorted(said) == sorted(word.text for _, word in call.words)


def test_each_call_has_one_hold_one_run_of_keys_and_one_card(calls: list[Spoken]) -> None:
    for call in calls:
        without_text = [one.track for one in call.placed if not one.clip.text]
        assert 2 == len(without_text)
        ((track, first, end),) = call.cards
        digits = [one.clip.text for one in call.placed if one.track == track and first <= one.first_sample < end]
        assert 16 == len(digits)
        assert passes_luhn("".join(digits))


def test_about_one_turn_in_eight_overlaps(recordings: Recordings) -> None:
    overlaps = turns = 0
    for seed in range(100, 140):
        call = corpus.make(recordings, seed, turns=20)
        said = [one for one in call.placed if len(one.clip.sound) > 12_000 and one.clip.text]
        for before, after in pairwise(said):
            if before.track != after.track:
                turns += 1
                overlaps += after.first_sample + 800 < before.end_sample - 800
    assert 0.08 < overlaps / turns < 0.17


def test_loud_frames_follow_the_grid_of_the_track() -> None:
    sound = np.concatenate([np.zeros(320), np.full(160, 9_000), np.zeros(320)]).astype(np.int16)
    assert [False, False, True, False, False] == corpus.loud_frames(sound).tolist()
    assert [False, False, True, True, False, False] == corpus.loud_frames(sound, 80).tolist()


def test_a_short_pause_is_speech_and_a_long_one_is_not() -> None:
    loud = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0], np.bool_)
    assert [1, 1, 1, 1, 0, 0, 0, 1, 0] == corpus.bridge(loud, 3).astype(int).tolist()


def test_keys_have_the_two_tones_of_their_row_and_column() -> None:
    spectrum = np.abs(np.fft.rfft(corpus.keys("6")[:800]))
    assert [77, 148] == sorted(np.argsort(spectrum)[-2:].tolist())  # bins of 10 Hz: 770 and 1,477 Hz


def test_every_card_number_passes_luhn_and_can_be_said() -> None:
    numbers = [corpus.card_number(random.Random(seed)) for seed in range(50)]
    assert all(passes_luhn(number) and set(number) <= set(corpus.DIGITS) for number in numbers)


def test_mu_law_keeps_its_own_levels_and_is_near_all_others() -> None:
    assert pcm.MU_LAW.tolist() == mu_law(pcm.MU_LAW).tolist()
    every = np.arange(-32_124, 32_125, dtype=np.int32).astype(np.int16)
    wrong = np.abs(mu_law(every).astype(np.int32) - every)
    assert (wrong <= np.maximum(4, np.abs(every.astype(np.int32)) // 16)).all()


@pytest.mark.parametrize("noise", ["white", "babble", "music"])
def test_noise_is_as_far_below_the_speech_as_asked(recordings: Recordings, calls: list[Spoken], noise: str) -> None:
    track, speech = calls[0].call.customer, calls[0].speech["customer"]
    (line,) = [Line(kind, 10) for kind in ("white", "babble", "music") if kind == noise]
    added = line.carry(track, speech, recordings, 1).astype(np.float64) - track
    spoken = track[np.repeat(speech, FRAME_SAMPLES)].astype(np.float64)
    snr_db = 10 * np.log10((spoken**2).mean() / (added**2).mean())
    assert abs(snr_db - 10) < 0.5


def test_lost_frames_are_silent_and_as_many_as_asked(recordings: Recordings, calls: list[Spoken]) -> None:
    track, speech = calls[0].call.agent, calls[0].speech["agent"]
    kept, arrived = (line.carry(track, speech, recordings, 3) for line in (Line(), Line(lost=0.03)))
    changed = (kept != arrived).reshape(-1, FRAME_SAMPLES).any(axis=1)
    assert not arrived.reshape(-1, FRAME_SAMPLES)[changed].any()
    assert 0.01 < changed.sum() / (kept != 0).reshape(-1, FRAME_SAMPLES).any(axis=1).sum() < 0.05
