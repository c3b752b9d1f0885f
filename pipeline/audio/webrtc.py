"""webrtcvad without its memory, which cannot be saved: every answer is a function of the samples that it is given.

Owns the gate in front of the detector's model. The only importer of webrtcvad.
"""

from typing import Final, Literal

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipeline.audio import pcm
from pipeline.audio.model import Memory
from pipeline.audio.pcm import Samples

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


Sound = Literal["silence", "noise", "speech"]


def sound(rest: bytes) -> Sound:
    """Say what there is of an aligned stretch: below the level, no speech for a fresh webrtcvad, or speech."""
    count = min(len(rest) // _FRAME_BYTES, _FRAMES)
    stretch = rest[: count * _FRAME_BYTES]
    if not stretch.strip(b"\0"):
        return "silence"  # an hour's hole is judged in 0.4 s instead of 3
    return sounds(pcm.samples(stretch)[np.newaxis])[0]


def sounds(stretches: Samples) -> list[Sound]:
    """Say the same of several stretches.

    Args:
        stretches: int16 at 8 kHz, shape (n, samples), `samples` at most `STRETCH_SAMPLES`.
    """
    count = min(stretches.shape[1] // FRAME_SAMPLES, _FRAMES)
    frames = stretches[:, : count * FRAME_SAMPLES].reshape(len(stretches), count, FRAME_SAMPLES)
    loudest = np.abs(frames.astype(np.int32)).sum(axis=2).max(axis=1).tolist()
    return [
        _sound(each.tobytes()) if level >= LEVEL * FRAME_SAMPLES else "silence"
        for level, each in zip(loudest, frames, strict=True)
    ]


def _sound(stretch: bytes) -> Sound:
    fresh = webrtcvad.Vad(MODE)
    starts = range(0, len(stretch), _FRAME_BYTES)
    return "speech" if any(fresh.is_speech(stretch[at : at + _FRAME_BYTES], 8_000) for at in starts) else "noise"


class Webrtc:
    """A detector for installations without a model: a fresh webrtcvad on the first 30 ms of each window."""

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        """See `model.Model.judge`; a probability is 0 or 1, and nothing is remembered."""
        heard = [webrtcvad.Vad(MODE).is_speech(one[:_LONG_FRAME_SAMPLES].tobytes(), 8_000) for one in windows]
        return np.array(heard, np.float32), memory
