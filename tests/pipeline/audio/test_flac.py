"""FLAC: the same samples back, and the same bytes for the same samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import flac
from pipeline.errors import RecordRefused

pytestmark = pytest.mark.unit


@given(st.binary(min_size=2, max_size=4_000).filter(lambda pcm: len(pcm) % 2 == 0))
def test_samples_come_back(pcm: bytes) -> None:
    assert pcm == flac.decode(flac.encode(pcm))


def test_speech_is_smaller_and_the_same_bytes_each_time() -> None:
    at = np.arange(80_000)
    pcm = (3_000 * np.sin(at / 20) * np.sin(at / 9_000)).astype("<i2").tobytes()
    assert flac.encode(pcm) == flac.encode(pcm)
    assert len(flac.encode(pcm)) < len(pcm) / 2


@pytest.mark.parametrize("content", [b"", b"RIFF", flac.encode(bytes(2_000))[:60]])
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(RecordRefused):
        flac.decode(content)
