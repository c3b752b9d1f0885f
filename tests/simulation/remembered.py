"""The rows of the topology with their pure functions remembered: schedules ask the same again and again.

What is remembered is what the functions say of the same arguments; states, orders and revisions are no part of it.
"""

from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import silero
from pipeline.audio.model import Memory
from pipeline.audio.pcm import Samples
from pipeline.machine import Machine
from pipeline.redaction.detect import Detector, Profile, Verdict, detect, mask_text
from pipeline.redaction.reading import Reading, read_turn
from pipeline.stages.redaction import Redactor
from pipeline.stages.vad import Vad
from pipeline.topology import STAGES, Stage
from topics.records import Track

T = TypeVar("T")


class Store(dict[Hashable, T]):
    """Answers by question."""

    def of(self, question: Hashable, answer: Callable[[], T]) -> T:
        """Return the answer, made once."""
        found = self.get(question)
        if found is None:
            found = self[question] = answer()
        return found


_READ = Store[Reading]()
_DECIDED = Store[Verdict]()
_MASKED = Store[str]()
_JUDGED = Store[tuple[NDArray[np.float32], Memory]]()


def _read(
    track: Track, is_final: bool, texts: Sequence[str], starts: Sequence[int], ends: Sequence[int], first_ms: int
) -> Reading:
    question = (track, is_final, tuple(texts), tuple(starts), tuple(ends), first_ms)
    return _READ.of(question, lambda: read_turn(track, is_final, texts, starts, ends, first_ms))


def _decide(readings: Sequence[Reading], known_names: Set[str], now_ms: int, profile: Profile) -> Verdict:
    question = (tuple(map(id, readings)), known_names, now_ms, profile)  # `_READ` keeps every reading, so ids last
    return _DECIDED.of(question, lambda: detect(readings, known_names, now_ms, profile))


def _mask(text: str, known_names: Set[str], secrets: Sequence[str], profile: Profile) -> str:
    question = (text, known_names, tuple(secrets), profile)
    return _MASKED.of(question, lambda: mask_text(text, known_names, secrets, profile))


class Remembering:
    """See `model.Model`."""

    def judge(self, windows: Samples, memory: Memory) -> tuple[NDArray[np.float32], Memory]:
        question = (windows.tobytes(), b"".join(memory.apart()))
        return _JUDGED.of(question, lambda: silero.load().judge(windows, memory))


_MACHINES: dict[str, Callable[[], Machine[Any]]] = {
    "vad": lambda: Vad(model=Remembering()),
    "redaction": lambda: Redactor(detector=Detector(_read, _decide, _mask)),
}

REMEMBERING: tuple[Stage, ...] = tuple(
    replace(stage, machine=_MACHINES.get(stage.name, stage.machine)) for stage in STAGES
)
