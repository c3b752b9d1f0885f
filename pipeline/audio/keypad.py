"""Tones of pressed keys (DTMF, ITU-T Q.23): where they are, never which.

A block of 16 ms is part of a tone where one frequency of a row and one of a column are most of it. A block alone may be
a vowel; the stage wants two. Sums are whole numbers below 2**53, so the product of matrices is exact, and a block's
answer does not depend on how many others it is asked with.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples

# 16 ms: a frequency that is 1.5 % off (ITU-T Q.24) is still heard, and 40 ms of tone fill two blocks.
BLOCK_SAMPLES: Final = 128
_ROWS_HZ: Final = (697, 770, 852, 941)
_COLUMNS_HZ: Final = (1_209, 1_336, 1_477, 1_633)
_SHARE: Final = 0.68  # of the block's energy
# ITU-T Q.24: a column is at most 4 dB above its row, and 8 below; one more, for a block that is not filled.
_COLUMN_ABOVE_ROW: Final = 10**0.5
_ROW_ABOVE_COLUMN: Final = 10**0.9
_LEVEL: Final = 100  # RMS, -50 dBFS; ITU-T Q.24 asks for tones of -25 dBm
_WAVE_PEAK: Final = 2_047

_PHASE: Final = 2 * np.pi / 8_000 * np.outer(np.arange(BLOCK_SAMPLES), _ROWS_HZ + _COLUMNS_HZ)
_WAVES: Final = np.rint(_WAVE_PEAK * np.hstack([np.cos(_PHASE), np.sin(_PHASE)]))
_WHOLE: Final = _WAVE_PEAK**2 * BLOCK_SAMPLES / 2  # what a tone alone has, for its energy


def are_tones(samples: Samples) -> NDArray[np.bool_]:
    """Say which blocks are part of a key's tone.

    Args:
        samples: int16 at 8 kHz, shape (..., whole blocks).

    Returns:
        Shape (..., blocks).
    """
    blocks = samples.reshape(-1, BLOCK_SAMPLES).astype(np.float64)
    parts = np.square(blocks @ _WAVES).reshape(len(blocks), 2, 2, 4)  # cosine and sine, rows and columns, each
    row, column = parts.sum(axis=1).max(axis=2).T
    energy = np.square(blocks).sum(axis=1)
    are = (row + column >= _SHARE * _WHOLE * energy) & (energy >= BLOCK_SAMPLES * _LEVEL**2)
    are &= (column <= _COLUMN_ABOVE_ROW * row) & (row <= _ROW_ABOVE_COLUMN * column)
    found: NDArray[np.bool_] = are.reshape(*samples.shape[:-1], -1)
    return found
