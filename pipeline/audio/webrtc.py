"""webrtcvad without its memory, which cannot be saved: every answer is a function of the samples that it is given.

Owns the gate in front of the detector's model. The only importer of webrtcvad.
"""

from typing import Final

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipeline.audio import pcm
from pipeline.audio.pcm import Samples
from pipeline.audio.silero import Memory

STRETCH_SAMPLES: Final = 1_536  # 192 ms, one audio record (architecture section 4.1)
FRAME_SAMPLES: Final = 160  # 20 ms; nine fit, the last 12 ms of a stretch are left to the next one
MODE: Final = 2  # best F1 of the four on telephone speech (F1 .976 clean, .947 in white noise)
# Mean amplitude of the loudest frame, -64 dBFS. Below it lie the noise of G.711 and of a quiet line, which a fresh
# webrtcvad takes for speech in all windows: of the windows in which silero hears nothing the level leaves 1 % on such
# a line (of 55 % with noise above it), and of 690 with speech it hides 7, each at the edge of a segment.
LEVEL: Final = 20
_LONG_FRAME_SAMPLES: Final = 240  # 30 ms, the longest that webrtcvad takes
_FRAMES: Final = STRETCH_SAMPLES // FRAME_SAMPLES
_FRAME_BYTES: Final = FRAME_SAMPLES * pcm.BYTES_PER_SAMPLE


def is_voiced(rest: bytes) -> bool:
    """Say whether what is there of an aligned stretch is loud enough and has speech for a fresh webrtcvad."""
    count = min(len(rest) // _FRAME_BYTES, _FRAMES)
    stretch = rest[: count * _FRAME_BYTES]
    # An hour's hole is judged in 0.4 s instead of 3.
    return bool(stretch.strip(b"\0")) and are_voiced(pcm.samples(stretch)[np.newaxis])[0]


def are_voiced(stretches: Samples) -> list[bool]:
    """Say the same of several stretches.

    Args:
        stretches: int16 at 8 kHz, shape (n, samples), `samples` at most `STRETCH_SAMPLES`.
    """
    count = min(stretches.shape[1] // FRAME_SAMPLES, _FRAMES)
    frames = stretches[:, : count * FRAME_SAMPLES].reshape(len(stretches), count, FRAME_SAMPLES)
    loudest = np.abs(frames.astype(np.int32)).sum(axis=2).max(axis=1).tolist()
    return [
        level >= LEVEL * FRAME_SAMPLES and _has_speech(each.tobytes())
        for level, each in zip(loudest, frames, strict=True)
    ]


def _has_speech(stretch: bytes) -> bool:
    fresh = webrtcvad.Vad(MODE)
    return any(fresh.is_speech(stretch[at : at + _FRAME_BYTES], 8_000) for at in range(0, len(stretch), _FRAME_BYTES))


class Webrtc:
    """A detector for installations without a model: a fresh webrtcvad on the first 30 ms of each window."""

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """See `silero.Model.judge`; a probability is 0 or 1, and nothing is remembered."""
        heard = [webrtcvad.Vad(MODE).is_speech(one[:_LONG_FRAME_SAMPLES].tobytes(), 8_000) for one in windows]
        return np.array(heard, np.float32), memory
