"""The codes of G.711, and which samples of a block are not known yet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import pcm
from pipeline.errors import FrameGap, RecordRefused

pytestmark = pytest.mark.unit


def test_mu_law_expands_the_codes_of_the_standard() -> None:
    # ITU-T G.711 table 2a: the ends of the first, a middle and the last segment, and both zeros.
    codes = bytes([0x00, 0x0F, 0x7F, 0x80, 0xC0, 0xEF, 0xFF])
    assert [-32124, -16764, 0, 32124, 1884, 132, 0] == pcm.decode_mu_law(codes).tolist()


def test_a_law_expands_the_codes_of_the_standard() -> None:
    # ITU-T G.711 table 1a, in 16-bit scale.
    codes = bytes([0xD5, 0x55, 0xD4, 0xAA, 0x2A, 0x80])
    assert [8, -8, 24, 32256, -32256, 5504] == pcm.decode_a_law(codes).tolist()


def test_samples_views_little_endian_pcm() -> None:
    assert [1, -1] == pcm.samples(b"\x01\x00\xff\xff").tolist()


def test_a_known_block_has_nothing_unheard() -> None:
    assert (0, b"") == pcm.unheard(10, 6, pcm.silence(4))


def test_a_block_after_a_hole_says_how_long_the_hole_is() -> None:
    assert (5, b"\x01\x00") == pcm.unheard(10, 15, b"\x01\x00")


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(RecordRefused):
        pcm.check_block(0, 0, b"\x00")


@pytest.mark.parametrize("first_sample", [-1, pcm.LARGEST_HOLE_SAMPLES + 1])
def test_a_block_from_nowhere_is_a_gap(first_sample: int) -> None:
    with pytest.raises(FrameGap):
        pcm.check_block(0, first_sample, pcm.silence(1))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=12))
def test_overlapping_blocks_of_one_signal_rebuild_it(blocks: list[tuple[int, int]]) -> None:
    signal = np.arange(1, 101, dtype="<i2")
    heard = b""
    for first_sample, count in blocks:
        block = signal[first_sample : first_sample + count].tobytes()
        hole, fresh = pcm.unheard(len(heard) // 2, first_sample, block)
        if fresh:
            heard += signal[len(heard) // 2 :][:hole].tobytes() + fresh
    assert signal.tobytes().startswith(heard)
