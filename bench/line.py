"""What a telephone line does to a clean track: noise, G.711 mu-law and lost frames.

Noise is as far below the speech as asked, both as RMS, the speech's over the frames that are labelled as speech. A lost
frame is 20 ms of zeros: no decoder hides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bench.corpus import FRAME_SAMPLES, Recordings
from pipeline.audio import pcm
from pipeline.audio.pcm import Samples

Noise = Literal["white", "babble", "music"]
NOISES: Final[tuple[Noise, ...]] = ("white", "babble", "music")
SNRS_DB: Final = (20, 10, 5, 0)
VOICES: Final = 6  # that speak at once in babble

_LEVELS: Final = np.unique(pcm.MU_LAW)
_LIMITS: Final = (_LEVELS[1:].astype(np.int32) + _LEVELS[:-1]) / 2


@dataclass(frozen=True, slots=True)
class Line:
    """A condition.

    Attributes:
        lost: share of frames of 20 ms.
    """

    noise: Noise | None = None
    snr_db: float = 0.0
    lost: float = 0.0

    @property
    def name(self) -> str:
        """For reports: `clean`, `white 10 dB`, `lost 3 %`."""
        parts = [f"{self.noise} {self.snr_db:g} dB"] if self.noise else []
        parts += [f"lost {100 * self.lost:g} %"] if self.lost else []
        return ", ".join(parts) or "clean"

    def carry(self, track: Samples, speech: NDArray[np.bool_], recordings: Recordings, seed: int) -> Samples:
        """Return what arrives of a track.

        Args:
            track: clean.
            speech: its frames that are speech.
            recordings: what babble and music are made of.
            seed: of noise and losses.
        """
        random = np.random.default_rng(seed)
        sound = track.astype(np.float64)
        if self.noise:
            noise = _noise(self.noise, len(track), recordings, random)
            sound += noise * (_rms_in(sound, speech) * 10 ** (-self.snr_db / 20) / _rms(noise))
        heard = mu_law(np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16))
        lost = np.repeat(random.random(-(-len(track) // FRAME_SAMPLES)) < self.lost, FRAME_SAMPLES)
        return np.where(lost[: len(track)], np.int16(0), heard)


def mu_law(sound: Samples) -> Samples:
    """Return the nearest of the 255 levels of G.711 mu-law for each sample."""
    return _LEVELS[np.searchsorted(_LIMITS, sound)]


def _noise(noise: Noise, samples: int, recordings: Recordings, random: np.random.Generator) -> NDArray[np.float64]:
    match noise:
        case "white":
            return random.normal(size=samples)
        case "music":
            return _looped(recordings.music, samples, random)
        case "babble":
            clips = [clip.sound for clip in recordings.clips.values()]
            voices = [
                _looped([clips[n] for n in random.permutation(len(clips))], samples, random) for _ in range(VOICES)
            ]
            return sum((voice / _rms(voice) for voice in voices), start=np.zeros(samples))


def _looped(sounds: Sequence[Samples], samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return sounds one after another, from a drawn place on and again from the start if they are too short."""
    total = sum(map(len, sounds))
    start = int(random.integers(total))
    return np.resize(np.roll(np.concatenate(sounds), -start), samples).astype(np.float64)


def _rms(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt((sound**2).mean()))


def _rms_in(sound: NDArray[np.float64], speech: NDArray[np.bool_]) -> float:
    return _rms(sound[np.repeat(speech, FRAME_SAMPLES)[: len(sound)]])
