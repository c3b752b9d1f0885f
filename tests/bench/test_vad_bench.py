"""Frames that were heard, counted by hand."""

import numpy as np
import pytest

from bench.vad import Score

pytestmark = pytest.mark.unit


def frames(text: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.array([one == "x" for one in text], np.bool_)


def test_frames_of_all_tracks_are_counted_together() -> None:
    score = Score.of([frames("xxx..."), frames("..xx")], [frames(".xxx.."), frames("..x.")])
    assert Score(hits=3, false_alarms=1, misses=2) == score
    assert (3 / 4, 3 / 5) == (score.precision, score.recall)
    assert 2 / 3 == pytest.approx(score.f1)


def test_silence_taken_for_silence_is_right() -> None:
    assert 1.0 == Score.of([frames("....")], [frames("....")]).f1
    assert 0.0 == Score.of([frames("....")], [frames("..x.")]).f1
