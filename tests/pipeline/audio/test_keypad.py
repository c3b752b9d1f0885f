"""Blocks that are part of a key's tone; values in, values out."""

import numpy as np
import pytest

from pipeline.audio.keypad import BLOCK_SAMPLES, are_tones
from pipeline.audio.pcm import Samples

pytestmark = pytest.mark.unit

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1_209, 1_336, 1_477, 1_633)


def tone(*waves: tuple[float, float]) -> Samples:
    """Return 20 blocks of waves of (Hz, peak)."""
    at = np.arange(20 * BLOCK_SAMPLES) / 8_000
    return np.rint(sum(peak * np.sin(2 * np.pi * hz * at + n) for n, (hz, peak) in enumerate(waves))).astype(np.int16)


@pytest.mark.parametrize("off", [-0.015, 0, 0.015])
@pytest.mark.parametrize("row_hz", ROWS_HZ)
@pytest.mark.parametrize("column_hz", COLUMNS_HZ)
def test_sixteen_keys_are_heard_even_off_their_pitch(row_hz: int, column_hz: int, off: float) -> None:
    """ITU-T Q.24 accepts 1.5 %."""
    assert are_tones(tone((row_hz * (1 + off), 4_000), (column_hz * (1 + off), 4_000))).all()


@pytest.mark.parametrize(("column_above_row_db", "is_key"), [(4, True), (-8, True), (8, False), (-12, False)])
def test_twist_is_that_of_itu_t_q24(column_above_row_db: float, is_key: bool) -> None:
    heard = are_tones(tone((852, 4_000), (1_336, 4_000 * 10 ** (column_above_row_db / 20))))
    assert (heard == is_key).all()


@pytest.mark.parametrize(
    "waves",
    [
        [(350, 4_000), (440, 4_000)],  # dial tone
        [(480, 4_000), (620, 4_000)],  # busy tone
        [(770, 4_000)],
        [(1_336, 4_000)],
        [(852, 4_000), (1_336, 4_000), (300, 6_000)],
        [(852, 60), (1_336, 60)],  # softer than any line
    ],
)
def test_other_tones_are_no_keys(waves: list[tuple[float, float]]) -> None:
    assert not are_tones(tone(*waves)).any()


def test_noise_and_silence_are_no_keys() -> None:
    noise = np.random.default_rng(1).normal(0, 3_000, 1_000 * BLOCK_SAMPLES).astype(np.int16)
    assert not are_tones(noise).any()
    assert not are_tones(np.zeros_like(noise)).any()


def test_a_block_is_judged_alike_alone_and_among_others() -> None:
    """At the threshold, too: the tones are as loud as noise lets them be heard."""
    random = np.random.default_rng(2)
    blocks = np.resize(tone((941, 4_000), (1_477, 4_000)), (4_096, BLOCK_SAMPLES)) + random.normal(
        0, 2_700, (4_096, BLOCK_SAMPLES)
    )
    samples = blocks.astype(np.int16)
    together = are_tones(samples)[:, 0]
    assert 0.2 < together.mean() < 0.8
    for size in (1, 2, 5, 32):
        parts = [are_tones(samples[at : at + size])[:, 0] for at in range(0, 4_096, size)]
        assert (together == np.concatenate(parts)).all()
