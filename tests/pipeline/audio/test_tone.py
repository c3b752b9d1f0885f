"""The tone: what replaces redacted samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.tone import PEAK, RAMP_SAMPLES, Span, apply_tone, merge_spans

pytestmark = pytest.mark.unit

LENGTH = 400
spans = st.lists(st.tuples(st.integers(-50, 450), st.integers(-50, 450)), max_size=5)


def noise(seed: int = 1, length: int = LENGTH) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32_768, 32_767, length, np.int16)


def mask(covered: list[Span], length: int = LENGTH) -> NDArray[np.bool_]:
    inside = np.zeros(length, np.bool_)
    for start, end in covered:
        inside[max(start, 0) : max(end, 0)] = True
    return inside


def test_tone_is_one_kilohertz_at_minus_twelve_decibels() -> None:
    tone = apply_tone(np.zeros(8_000, np.int16), 0, [(0, 8_000)])
    spectrum = np.abs(np.fft.rfft(tone))
    assert int(spectrum.argmax()) == 1_000
    assert int(tone.max()) == PEAK == 8_231


def test_tone_begins_and_ends_softly() -> None:
    tone = apply_tone(np.zeros(800, np.int16), 0, [(0, 800)])
    assert tone[0] == 0
    assert np.abs(tone[: RAMP_SAMPLES // 4]).max() < PEAK / 4
    assert np.abs(tone[-RAMP_SAMPLES // 4 :]).max() < PEAK / 4
    assert np.abs(tone[RAMP_SAMPLES:-RAMP_SAMPLES]).max() == PEAK


def test_input_is_left_alone() -> None:
    pcm = noise()
    before = pcm.copy()
    apply_tone(pcm, 0, [(0, 100)])
    assert np.array_equal(before, pcm)


def test_touching_and_overlapping_spans_are_one() -> None:
    assert merge_spans([(50, 60), (5, 5), (10, 20), (20, 30), (15, 18)]) == [(10, 30), (50, 60)]


@given(spans)
def test_nothing_of_the_original_is_left_inside(covered: list[Span]) -> None:
    inside = mask(covered)
    other = np.where(inside, noise(2), noise(1)).astype(np.int16)
    assert np.array_equal(apply_tone(noise(1), 0, covered), apply_tone(other, 0, covered))


@given(spans)
def test_samples_outside_are_untouched(covered: list[Span]) -> None:
    outside = ~mask(covered)
    assert np.array_equal(apply_tone(noise(), 0, covered)[outside], noise()[outside])


@given(spans)
def test_only_the_union_of_spans_counts(covered: list[Span]) -> None:
    assert np.array_equal(
        apply_tone(noise(), 0, covered), apply_tone(noise(), 0, [*reversed(covered), *merge_spans(covered)])
    )


@given(spans, st.integers(0, LENGTH))
def test_a_cut_changes_nothing(covered: list[Span], cut: int) -> None:
    pieces = [apply_tone(noise()[:cut], 0, covered), apply_tone(noise()[cut:], cut, covered)]
    assert np.array_equal(apply_tone(noise(), 0, covered), np.concatenate(pieces))
