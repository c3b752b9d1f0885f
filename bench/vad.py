"""Which frames are speech: our detector beside silero alone and webrtcvad alone, on the same audio.

    ours      the segments of `pipeline/stages/vad.py`, gate on, all tracks judged together
    silero    every window of 32 ms, at its default of 0.5
    webrtc    webrtcvad in mode 2, one detector a track

Calls are those of `bench/corpus.py` through the lines of `bench/line.py`. A frame of 20 ms is what the window, or the
segment, at its middle is. Music and keys alone have no speech: there the figure is the share of frames that were taken
for it. Keys: the share that has a mark on a track of nothing else, and marks on clips, music and a recorded call that
have none. Tracks a core: seconds of audio for each second of this process's CPU, clean calls, records made before.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from random import Random
from typing import Final, TypeVar

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from bench import corpus, line
from bench.corpus import FRAME_SAMPLES, Recordings, Spoken
from bench.line import Line
from bench.report import Report
from bench.watched import REPOSITORY
from connectors import files
from connectors.files import Call, read_wav
from pipeline.audio import silero
from pipeline.audio.model import WINDOW_SAMPLES, Memory
from pipeline.audio.pcm import Samples
from pipeline.stages.vad import Vad, VadState
from topics.records import SAMPLE_RATE_HZ, TRACKS, KeyPress, Record, SpeechMark

BEHIND_MUST: Final = 0.01  # F1 below silero's, in any condition
MUSIC_MUST: Final = 0.01  # of frames
TRACKS_MUST, TRACKS_GOAL = 600, 1_200
_WEBRTC_MODE: Final = 2  # the best F1 of the four on telephone speech
_MUSIC_DB: Final = (0, -10, -20)  # as it was recorded, and softer
RECORDED: Final = REPOSITORY.parent / "shared" / "data" / "calls"  # may be missing
_KEYS: Final = 100  # of each track of keys
_KEY_LINES: Final = (Line(), Line("white", 20), Line("white", 10), Line(lost=0.03))

Frames = NDArray[np.bool_]
M = TypeVar("M", SpeechMark, KeyPress)


@dataclass(frozen=True, slots=True)
class Score:
    """Frames of one detector in one condition."""

    hits: int
    false_alarms: int
    misses: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 where there was nothing to hear and nothing was heard."""
        wrong = self.false_alarms + self.misses
        return 2 * self.hits / (2 * self.hits + wrong) if self.hits or wrong else 1.0

    @staticmethod
    def of(truth: Sequence[Frames], found: Sequence[Frames]) -> "Score":
        """Count the frames of all tracks."""
        pairs = list(zip(truth, found, strict=True))
        return Score(
            sum(int((spoken & heard).sum()) for spoken, heard in pairs),
            sum(int((heard & ~spoken).sum()) for spoken, heard in pairs),
            sum(int((spoken & ~heard).sum()) for spoken, heard in pairs),
        )

    @property
    def precision(self) -> float:
        """The share of what was heard that was said."""
        return self.hits / max(1, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """The share of what was said that was heard."""
        return self.hits / max(1, self.hits + self.misses)

    def figures(self) -> dict[str, float]:
        """For the report."""
        return {"f1": round(self.f1, 4), "precision": round(self.precision, 4), "recall": round(self.recall, 4)}


@dataclass(frozen=True, slots=True)
class Keys:
    """Marks of keys.

    Attributes:
        heard: the share of keys that have one, by condition.
        imagined: where nobody pressed a key.
        hours: of audio without keys.
    """

    heard: Mapping[str, float]
    imagined: int
    hours: float

    def figures(self) -> dict[str, object]:
        """For the report."""
        return {"heard": self.heard, "imagined": self.imagined, "hours": round(self.hours, 3)}

    def line(self) -> str:
        """For people."""
        heard = ", ".join(f"{name} {share:.2f}" for name, share in self.heard.items())
        return f"keys heard: {heard}; imagined: {self.imagined} in {60 * self.hours:.0f} minutes"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=16, help="of about a minute and a half")
    parser.add_argument("--rounds", type=int, default=3, help="of the measure of speed")
    corpus.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Judge every condition with every detector."""
    recordings = corpus.load(given.speech)
    calls = [corpus.make(recordings, given.seed + n) for n in range(given.calls)]
    truth = [call.speech[track] for call in calls for track in TRACKS]
    conditions = [Line(), *(Line(noise, snr) for noise in line.NOISES for snr in line.SNRS_DB), Line(lost=0.03)]
    scores = {}
    for condition in conditions:
        tracks = _carried(calls, condition, recordings, given.seed)
        found = {name: detect(tracks) for name, detect in DETECTORS.items()}
        scores[condition.name] = {name: Score.of(truth, each) for name, each in found.items()}
    alone = {
        name: {detector: _share(detect(tracks)) for detector, detect in DETECTORS.items()}
        for name, tracks in _without_speech(recordings, given.seed).items()
    }
    clean = _carried(calls, conditions[0], recordings, given.seed)
    pressed = {condition.name: _keys_heard(condition, recordings, given.seed) for condition in _KEY_LINES}
    keys = Keys(pressed, *_keys_imagined(recordings))
    return _report(scores, alone, keys, [_tracks_a_core(clean) for _ in range(given.rounds)], truth)


def ours(tracks: Sequence[Samples]) -> list[Frames]:
    """Return the frames in segments; tracks are customer and agent in turns, an even number."""
    segments = [np.zeros(-(-len(track) // FRAME_SAMPLES), np.bool_) for track in tracks]
    for n, marks in enumerate(_marks(_records(tracks), SpeechMark)):
        for mark in marks:
            if mark.end_sample is not None:
                frames = segments[2 * n + TRACKS.index(mark.track)]
                # A frame is in a segment if its middle is.
                first, end = (
                    -(-(at - FRAME_SAMPLES // 2) // FRAME_SAMPLES) for at in (mark.first_sample, mark.end_sample)
                )
                frames[max(0, first) : end] = True
    return segments


def silero_alone(tracks: Sequence[Samples]) -> list[Frames]:
    """Return the frames whose window silero takes for speech, with one memory over the whole track."""
    longest = -(-max(map(len, tracks)) // WINDOW_SAMPLES) * WINDOW_SAMPLES
    windows = np.stack([np.pad(track, (0, longest - len(track))) for track in tracks])
    windows = windows.reshape(len(tracks), -1, WINDOW_SAMPLES)
    model, memory = silero.load(), Memory.together([b""] * len(tracks))
    found = np.zeros(windows.shape[:2], np.bool_)
    for n in range(windows.shape[1]):
        probability, memory = model.judge(windows[:, n], memory)
        found[:, n] = probability >= 0.5
    frames = [np.arange(-(-len(track) // FRAME_SAMPLES)) for track in tracks]
    return [
        each[(at * FRAME_SAMPLES + FRAME_SAMPLES // 2) // WINDOW_SAMPLES]
        for each, at in zip(found, frames, strict=True)
    ]


def webrtc_alone(tracks: Sequence[Samples]) -> list[Frames]:
    """Return the frames that webrtcvad takes for speech."""
    found = []
    for track in tracks:
        detector = webrtcvad.Vad(_WEBRTC_MODE)
        frames = np.pad(track, (0, -len(track) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
        found.append(np.array([detector.is_speech(frame.tobytes(), SAMPLE_RATE_HZ) for frame in frames], np.bool_))
    return found


DETECTORS: Final[Mapping[str, Callable[[Sequence[Samples]], list[Frames]]]] = {
    "ours": ours,
    "silero": silero_alone,
    "webrtc": webrtc_alone,
}


def _records(tracks: Sequence[Samples]) -> list[list[Record]]:
    """Return the audio records of each pair of tracks, the end included."""
    calls = [Call(customer, agent) for customer, agent in zip(tracks[::2], tracks[1::2], strict=True)]
    return [
        [due.record for due in files.frames(call, "local", f"call-{n}") if due.topic == "audio.frames"]
        for n, call in enumerate(calls)
    ]


def _marks(calls: Sequence[Sequence[Record]], kind: type[M]) -> list[list[M]]:
    """Let one detector judge all calls side by side; return its marks of one kind."""
    vad, states = Vad(), [VadState() for _ in calls]
    found: list[list[M]] = [[] for _ in calls]
    for together in zip_longest(*calls):
        waiting = [(state, record) for state, record in zip(states, together, strict=True) if record is not None]
        vad.anticipate(waiting)
        for state, record, marks in zip(states, together, found, strict=True):
            if record is not None:
                marks += [mark for mark in vad.on_record(state, record) if isinstance(mark, kind)]
    return found


def _carried(calls: Sequence[Spoken], condition: Line, recordings: Recordings, seed: int) -> list[Samples]:
    """Return what arrives of the tracks of some calls, customer and agent in turns."""
    sounds = [(sound, call.speech[track]) for call in calls for track, sound in call.tracks()]
    return [condition.carry(*each, recordings, seed + n) for n, each in enumerate(sounds)]


def _without_speech(recordings: Recordings, seed: int) -> dict[str, list[Samples]]:
    """Return tracks of nothing but music, and of nothing but keys."""
    softer = [np.rint(sound * 10 ** (db / 20)).astype(np.int16) for sound in recordings.music for db in _MUSIC_DB]
    pressed = [corpus.keys(Random(seed + n).choices(corpus.KEYS, k=_KEYS)) for n in range(2)]
    return {name: [line.mu_law(one) for one in each] for name, each in (("music", softer), ("keys", pressed))}


def _keys_heard(condition: Line, recordings: Recordings, seed: int) -> float:
    """Return the share of keys that have a mark; noise is as far below the tones as it is below speech elsewhere."""
    sound = corpus.keys(Random(seed).choices(corpus.KEYS, k=_KEYS))
    is_tone = corpus.loud_frames(sound)
    (marks,) = _marks(_records([condition.carry(sound, is_tone, recordings, seed), sound[:0]]), KeyPress)
    spans = [(at, at + len(sound) // _KEYS // 2) for at in range(0, len(sound), len(sound) // _KEYS)]
    heard = [any(mark.first_sample < end and mark.end_sample > first for mark in marks) for first, end in spans]
    return sum(heard) / _KEYS


def _keys_imagined(recordings: Recordings) -> tuple[int, float]:
    """Return how many marks of keys there are where nobody pressed one, and on how many hours of audio."""
    sounds = [line.mu_law(clip.sound) for clip in recordings.clips.values()]
    sounds += [*map(line.mu_law, recordings.music), *map(read_wav, sorted(RECORDED.glob("*.wav")))]
    calls = [_records([sound, sound[:0]])[0] for sound in sounds]
    marks = list(chain.from_iterable(_marks(calls, KeyPress)))
    return len(marks), sum(map(len, sounds)) / SAMPLE_RATE_HZ / 3_600


def _share(found: Sequence[Frames]) -> float:
    return sum(int(one.sum()) for one in found) / sum(map(len, found))


def _tracks_a_core(tracks: Sequence[Samples]) -> float:
    calls = _records(tracks)
    began_s = time.process_time()
    _marks(calls, SpeechMark)
    return sum(map(len, tracks)) / SAMPLE_RATE_HZ / (time.process_time() - began_s)


def _report(
    scores: Mapping[str, Mapping[str, Score]],
    alone: Mapping[str, Mapping[str, float]],
    keys: Keys,
    speeds: Sequence[float],
    truth: Sequence[Frames],
) -> Report:
    behind = {name: each["silero"].f1 - each["ours"].f1 for name, each in scores.items()}
    worst = max(behind, key=lambda name: behind[name])
    speed, music = statistics.median(speeds), alone["music"]["ours"]
    is_good = behind[worst] <= BEHIND_MUST and music <= MUSIC_MUST and speed >= TRACKS_MUST
    rounds = [round(one) for one in sorted(speeds)]
    figures = {
        "f1": {name: {each: score.figures() for each, score in row.items()} for name, row in scores.items()},
        "alone": {name: {each: round(share, 4) for each, share in row.items()} for name, row in alone.items()},
        "keys": keys.figures(),
        "tracks_a_core": {"median": round(speed), "rounds": rounds},
        "tracks": len(truth),
        "minutes": round(sum(map(len, truth)) * FRAME_SAMPLES / SAMPLE_RATE_HZ / 60, 1),
        "voiced": round(_share(truth), 3),
    }
    lines = [
        f"{'F1':<14}{''.join(f'{name:>9}' for name in DETECTORS)}   ours: precision, recall",
        *(_line(name, row) for name, row in scores.items()),
        "",
        "share of frames taken for speech",
        *(f"{name:<14}{_cells(row.values())}" for name, row in alone.items()),
        "",
        f"furthest behind silero, {worst}: {behind[worst]:.3f}{_must(BEHIND_MUST, behind[worst] <= BEHIND_MUST)}",
        f"music taken for speech: {music:.4f}{_must(MUSIC_MUST, music <= MUSIC_MUST)}",
        keys.line(),
        f"tracks a core: {speed:.0f}{_must(TRACKS_MUST, speed >= TRACKS_MUST)}; goal {TRACKS_GOAL}:"
        f" {_met(speed >= TRACKS_GOAL)}; rounds {rounds}",
        f"{figures['tracks']} tracks, {figures['minutes']} minutes, {100 * _share(truth):.0f} % speech",
    ]
    return Report(figures, lines, is_good)


def _line(name: str, row: Mapping[str, Score]) -> str:
    score = row["ours"]
    return f"{name:<14}{_cells(one.f1 for one in row.values())}   {score.precision:.3f} {score.recall:.3f}"


def _must(limit: float, is_met: bool) -> str:
    return f" (must {limit}: {_met(is_met)})"


def _cells(values: Iterable[float]) -> str:
    return "".join(f"{value:>9.3f}" for value in values)


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT met"
