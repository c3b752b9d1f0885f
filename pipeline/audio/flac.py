"""Segments of a track as FLAC, and back.

The bytes depend on the samples alone: no time, no name, no tag, and the vendor's string is that of the one library
that `requirements.lock` names. Two archives of one content are equal only if one version has written them.
"""

import io

import numpy as np
import soundfile

from pipeline.errors import RecordRefused
from topics.records import SAMPLE_RATE_HZ


def encode(pcm: bytes) -> bytes:
    """Write one segment: FLAC, mono, 8 kHz, 16 bits.

    Args:
        pcm: int16 little-endian, at least one sample.
    """
    out = io.BytesIO()
    soundfile.write(out, np.frombuffer(pcm, "<i2"), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def decode(content: bytes) -> bytes:
    """Read what `encode` wrote: int16 little-endian.

    Raises:
        RecordRefused: it is no FLAC, or cut.
    """
    try:
        samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    except soundfile.LibsndfileError:
        raise RecordRefused("the segment is no FLAC") from None
    pcm: bytes = samples.astype("<i2").tobytes()
    return pcm
