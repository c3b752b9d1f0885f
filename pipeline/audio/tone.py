"""Replace samples by a tone.

Owns the sound that stands where audio was redacted. Nothing of the original is mixed in: the output depends
on the samples outside the spans and on the union of the spans alone. Positions and gains are integers.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS

Span = tuple[int, int]  # [first sample, end sample) of one track

# 1 kHz at -12 dBFS with 5 ms raised-cosine ramps: heard as a bleep, and no click at its ends.
TONE_HZ = 1_000
PEAK = round(32_768 * 10 ** (-12 / 20))
RAMP_SAMPLES = 5 * SAMPLES_PER_MS

_PERIOD_SAMPLES = SAMPLE_RATE_HZ // TONE_HZ
_GAIN_BITS = 15
_WAVE = np.array(
    [round(PEAK * math.sin(2 * math.pi * at / _PERIOD_SAMPLES)) for at in range(_PERIOD_SAMPLES)], np.int64
)
_RAMP = np.array(
    [round((1 << _GAIN_BITS) * (1 - math.cos(math.pi * at / RAMP_SAMPLES)) / 2) for at in range(RAMP_SAMPLES + 1)],
    np.int64,
)


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Return the union of half-open spans as disjoint, non-touching spans in order; empty ones vanish."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def apply_tone(pcm: NDArray[np.int16], first_sample: int, spans: Iterable[Span]) -> NDArray[np.int16]:
    """Return a copy of one track's samples in which each span is the tone.

    Spans are merged first. Phase and ramps count from the limits of the merged span, so cutting the track
    into pieces changes nothing.

    Args:
        pcm: int16, mono, 8 kHz, shape (n,).
        first_sample: place of `pcm[0]` on the track.
        spans: places on the track; parts outside `pcm` are ignored.
    """
    covered = pcm.copy()
    for start, end in merge_spans(spans):
        low, high = max(start, first_sample), min(end, first_sample + len(pcm))
        if low < high:
            covered[low - first_sample : high - first_sample] = _tone(start, end, low, high)
    return covered


def _tone(start: int, end: int, low: int, high: int) -> NDArray[np.int16]:
    """Return samples [low, high) of the tone that lasts from `start` to `end`."""
    at = np.arange(low - start, high - start)
    rise = _RAMP[np.minimum(at, RAMP_SAMPLES)]
    fall = _RAMP[np.minimum(end - start - 1 - at, RAMP_SAMPLES)]
    tone = _WAVE[at % _PERIOD_SAMPLES] * rise * fall >> 2 * _GAIN_BITS
    return tone.astype(np.int16)
