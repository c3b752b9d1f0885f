"""PCM as arrays: the two G.711 laws, int16 views, and which part of a block of samples is not known yet.

Owns no files (connectors read WAV) and no rates (`resample.py`).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FrameGap, RecordRefused

Samples = NDArray[np.int16]

BYTES_PER_SAMPLE: Final = 2
# A contact on hold sends silence: a hole of more than an hour of 8 kHz samples is a broken counter.
LARGEST_HOLE_SAMPLES: Final = 3_600 * 8_000


def _mu_law_table() -> Samples:
    """Expand all 256 codes as ITU-T G.711 table 2a does (bias 132, full scale 32,124)."""
    code = ~np.arange(256, dtype=np.uint8) & 0xFF
    exponent = (code >> 4) & 7
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_table() -> Samples:
    """Expand all 256 codes as ITU-T G.711 table 1a does (even bits inverted, full scale 32,256)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    step = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent > 0, (step + 256) << np.maximum(exponent - 1, 0), step)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


MU_LAW: Final = _mu_law_table()
A_LAW: Final = _a_law_table()


def decode_mu_law(data: bytes) -> Samples:
    """Decode G.711 mu-law, one byte a sample, to int16 of shape (len(data),)."""
    return MU_LAW[np.frombuffer(data, np.uint8)]


def decode_a_law(data: bytes) -> Samples:
    """Decode G.711 A-law, one byte a sample, to int16 of shape (len(data),)."""
    return A_LAW[np.frombuffer(data, np.uint8)]


def samples(pcm: bytes) -> Samples:
    """View int16 little-endian PCM as an array of shape (samples,), without a copy."""
    return np.frombuffer(pcm, "<i2")


def silence(count: int) -> bytes:
    """Return `count` samples of digital silence as PCM."""
    return bytes(count * BYTES_PER_SAMPLE)


def check_block(next_sample: int, first_sample: int, pcm: bytes) -> None:
    """Refuse a block of samples that cannot follow a track which is known up to `next_sample`.

    Raises:
        RecordRefused: half a sample.
        FrameGap: the block starts before the contact, or more than an hour after what is known.
    """
    if len(pcm) % BYTES_PER_SAMPLE:
        raise RecordRefused("an audio record holds half a sample")
    if pcm and not 0 <= first_sample <= next_sample + LARGEST_HOLE_SAMPLES:
        raise FrameGap(f"first sample {first_sample} cannot follow sample {next_sample}")


def unheard(next_sample: int, first_sample: int, pcm: bytes) -> tuple[int, bytes]:
    """Cut from a block what is known already.

    Returns:
        How many samples are missing before the block, and its PCM that is not known; possibly none.
    """
    known = max(0, next_sample - first_sample) * BYTES_PER_SAMPLE
    return max(0, first_sample - next_sample), pcm[known:]
