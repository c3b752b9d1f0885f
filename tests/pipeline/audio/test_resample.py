"""Twice the rate, the same sound at the same time."""

import numpy as np
import pytest

from pipeline.audio.resample import upsample

pytestmark = pytest.mark.speech  # importing scipy.signal takes seconds


def _tone(frequency_hz: int, rate_hz: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz) / rate_hz)


@pytest.mark.parametrize("frequency_hz", [200, 1_000, 3_000])
def test_a_tone_keeps_its_pitch_level_and_place(frequency_hz: int) -> None:
    expected = 0.5 * _tone(frequency_hz, 16_000)
    actual = upsample((0.5 * 32_767 * _tone(frequency_hz, 8_000)).astype(np.int16))
    assert len(expected) == len(actual)
    assert np.abs(expected - actual)[200:-200].max() < 0.005  # the filter's ripple, away from the edges


def test_nothing_is_mirrored_above_the_old_limit() -> None:
    spectrum = np.abs(np.fft.rfft(upsample((20_000 * _tone(2_000, 8_000)).astype(np.int16))))
    assert 0.002 * spectrum.max() > spectrum[5_900:6_100].max()  # the image of 2 kHz, 54 dB down


def test_no_audio_stays_no_audio() -> None:
    assert 0 == len(upsample(np.zeros(0, np.int16)))
