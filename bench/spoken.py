"""Real speech as a load: a recorded call, said by many contacts at once, each from another place of it.

The recording is the one in `../shared/data/calls` where that is present, else the bundled demo call.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

import numpy as np

from bench.offered import Due
from bench.watched import DEFAULT, REPOSITORY, Recording
from connectors import files
from connectors.files import Call
from pipeline.stages.vad import Vad, VadState
from topics import codec
from topics.keys import contact_key, partition_of
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, Record, SpeechMark, Watermark

TENANT = "local"
AUDIO = "audio.frames"
FRAME_S = files.FRAME_SAMPLES / SAMPLES_PER_MS / 1_000
_CALLS = REPOSITORY.parent / "shared" / "data" / "calls"
_REAL = Recording(_CALLS / "auto-repairs-40-customer.wav", _CALLS / "auto-repairs-40-agent.wav")
RECORDED = _REAL if _REAL.customer.exists() else DEFAULT


@dataclass(frozen=True, slots=True)
class Line:
    """Where the audio of the calls goes, and how fast.

    Attributes:
        topic: with its prefix.
        partitions: of the topic.
        stretch: of the time between two records; 1 is real time.
    """

    topic: str
    partitions: int
    stretch: float = 1.0

    def say(self, call: Call, contact: str, begins_s: float, *, is_held: bool = True) -> Iterator[Due]:
        """Send one call's audio records; one that is held open has no end."""
        key = contact_key(TENANT, contact)
        n = partition_of(key, self.partitions)
        for due in files.frames(call, TENANT, contact):
            if isinstance(due.record, AudioFrame) or (isinstance(due.record, Watermark) and not is_held):
                yield Due(begins_s + self.stretch * due.due_ms / 1_000, self.topic, n, key, codec.encode(due.record))


def parts(call: Call, calls: int, seed: int) -> list[Call]:
    """Return the recording once for each call, from another record of it on and round to there again."""
    size = -(-call.samples // files.FRAME_SAMPLES) * files.FRAME_SAMPLES
    twice = [np.tile(np.pad(track, (0, size - len(track))), 2) for track in (call.customer, call.agent)]
    random = Random(seed)
    places = [random.randrange(size // files.FRAME_SAMPLES) * files.FRAME_SAMPLES for _ in range(calls)]
    return [Call(*(track[place : place + size] for track in twice)) for place in places]


def merged(each: Iterable[Iterator[Due]]) -> Iterator[Due]:
    """Merge calls by time."""
    return heapq.merge(*each, key=lambda due: due.at_s)


def for_ever(line: Line, call: Call, number: int, calls: int, begins_s: float) -> Iterator[Due]:
    """Send a call again and again, each time of a contact of its own: `contact(number)`, then `calls` later."""
    for turn, n in enumerate(count(number, calls)):
        yield from line.say(call, contact(n), begins_s + turn * length_s(call), is_held=False)


def contact(number: int) -> str:
    """Name a contact."""
    return f"call-{number:05d}"


def length_s(call: Call) -> float:
    """How long a call takes in real time."""
    return call.duration_ms / 1_000


def heard(calls: Sequence[Call]) -> list[list[tuple[float, Record]]]:
    """Return what the voice detector makes of each call, with the audio time of the record that brings it, in s."""
    vad, states = Vad(), [VadState() for _ in calls]
    found: list[list[tuple[float, Record]]] = [[] for _ in calls]
    each = [
        (due for due in files.frames(call, TENANT, "quiet") if isinstance(due.record, AudioFrame)) for call in calls
    ]
    for together in zip(*each, strict=True):
        vad.anticipate([(state, due.record) for state, due in zip(states, together, strict=True)])
        for state, due, marks in zip(states, together, found, strict=True):
            marks += [(due.due_ms / 1_000, record) for record in vad.on_record(state, due.record)]
    return found


def voiced(call: Call) -> dict[str, float]:
    """Return the share of each track that lies in speech segments."""
    (found,) = heard([call])
    marks = [record for _, record in found if isinstance(record, SpeechMark) and record.end_sample is not None]
    lengths = Counter[str]()
    for mark in marks:
        lengths[mark.track] += (mark.end_sample or 0) - mark.first_sample
    return {track: round(lengths[track] / call.samples, 3) for track in TRACKS}
