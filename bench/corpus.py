"""Two-track calls at 8 kHz, laid out of recorded speech, with who says what and when.

The agent speaks Asterisk's prompts, the customer clips of LibriVox and card numbers of single recorded digits. Turns
change as in conversation, some of them before the other has ended; the other track says a short word now and then; each
call has one hold with music, one run of keys and one card number. The same seed makes the same call. What a telephone
line does to it is `bench/line.py`'s.

The recordings are those of `../shared/data/speech`, read in place.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.watched import REPOSITORY
from connectors.embedded_asr import spread
from connectors.files import Call, read_wav
from pipeline.audio.pcm import Samples
from pipeline.redaction.checks import passes_luhn
from pipeline.results import wav
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS, TRACKS, Track, Word

SPEECH: Final = REPOSITORY.parent / "shared" / "data" / "speech"
FRAME_SAMPLES: Final = 160  # 20 ms, of labels

# A frame is speech where the clean clip is at most 35 dB below its loudest frame, and above -54 dBFS, which the
# readings' own noise does not reach (RMS 39 to 62 in the quietest frame of each). A pause below 240 ms belongs to the
# speech around it: Goldman-Eisler (Psycholinguistics, 1968) counts pauses below 250 ms as articulation.
RANGE_DB: Final = 35.0
QUIETEST: Final = 65.0
BRIDGED_FRAMES: Final = 12

# Gaps between turns: mean and deviation; one in eight is an overlap.
GAP_MS: Final = (200.0, 400.0)
OVERLAP_SHARE: Final = 0.125
BACKCHANNEL_SHARE: Final = 0.25  # of turns
HOLD_S: Final = (8.0, 15.0)
KEYS: Final = "123456789*0#"
_KEY_MS: Final = 100  # as long as the pause after it
_KEY_PEAK: Final = 4_000  # of each of the two tones; -12 dBFS for both
_LOW_HZ: Final = (697, 770, 852, 941)  # ITU-T Q.23, rows and columns of the keypad
_HIGH_HZ: Final = (1_209, 1_336, 1_477)

# Words cut out of prompts, in ms: limits by forced alignment (connectors/pocketsphinx.py). No prompt says eight.
DIGITS: Final = {
    "0": ("vm-reachoper", 480, 840),
    "1": ("vm-toenternumber", 600, 940),
    "2": ("vm-tocallback", 510, 980),
    "3": ("vm-torerecord", 480, 990),
    "4": ("vm-tomakecall", 600, 940),
    "5": ("vm-repeat", 350, 860),
    "6": ("vm-next", 550, 910),
    "7": ("vm-delete", 360, 750),
    "9": ("dir-multi9", 430, 850),
}
BACKCHANNELS: Final = {
    "thank you": ("priv-introsaved", 220, 870),
    "sorry": ("vm-mailboxfull", 210, 650),
    "goodbye": ("demo-thanks", 310, 980),
}
HOLD: Final = "prompts/pls-hold-while-try.wav"
ASK_CARD: Final = "prompts/confbridge-pin.wav"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording and what is said in it."""

    text: str
    sound: Samples


@dataclass(frozen=True, slots=True)
class Recordings:
    """What calls are made of; `clips` holds every recording with a text, by its path in the manifest."""

    clips: Mapping[str, Clip]
    music: tuple[Samples, ...]

    @property
    def agent(self) -> list[Clip]:
        """The prompts."""
        return [clip for path, clip in self.clips.items() if path.startswith("prompts/")]

    @property
    def customer(self) -> list[Clip]:
        """The readings."""
        return [clip for path, clip in self.clips.items() if path.startswith("librivox/")]

    def cut(self, text: str, place: tuple[str, int, int]) -> Clip:
        """Return a word of a prompt."""
        name, start_ms, end_ms = place
        return Clip(text, self.clips[f"prompts/{name}.wav"].sound[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS])


@dataclass(frozen=True, slots=True)
class Placed:
    """A sound on a track; one without text is music or keys."""

    track: Track
    first_sample: int
    clip: Clip

    @property
    def end_sample(self) -> int:
        """The end of the sound."""
        return self.first_sample + len(self.clip.sound)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A call and the truth about it.

    Attributes:
        placed: by first sample.
        cards: track, first and end sample of each card number.
        speech: of each track, for each frame of 20 ms whether it is speech.
    """

    call: Call
    placed: tuple[Placed, ...]
    cards: tuple[tuple[Track, int, int], ...]
    speech: Mapping[Track, NDArray[np.bool_]]

    @property
    def words(self) -> list[tuple[Track, Word]]:
        """All words by start; within a clip they are spread by their letters, and marked as estimated."""
        each = [(one.track, word) for one in self.placed for word in _words(one)]
        return sorted(each, key=lambda pair: (pair[1].start_ms, pair[0]))

    def tracks(self) -> tuple[tuple[Track, Samples], ...]:
        """Return the clean tracks with their names, customer first."""
        return ("customer", self.call.customer), ("agent", self.call.agent)

    def reference(self) -> dict[str, object]:
        """Return the truth as a script of the scripted recogniser (docs/cli.md)."""
        return {
            "words": [
                {"track": track, "text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms, "estimated": True}
                for track, word in self.words
            ],
            "pii": [
                {
                    "track": track,
                    "start_ms": first // SAMPLES_PER_MS,
                    "end_ms": end // SAMPLES_PER_MS,
                    "type": "CREDITCARD",
                }
                for track, first, end in self.cards
            ],
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare where the recordings are."""
    parser.add_argument("--speech", type=Path, default=SPEECH, help="the folder with manifest.tsv")


def load(folder: Path) -> Recordings:
    """Read all recordings; without them, say so and exit with 2."""
    manifest = folder / "manifest.tsv"
    if not manifest.is_file():
        print(f"bench: no recordings of speech: {manifest} is missing", file=sys.stderr)
        sys.exit(2)
    with manifest.open(newline="") as rows:
        clips = {
            row["path"]: Clip(row["text"], read_wav(folder / row["path"]))
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    return Recordings(clips, tuple(read_wav(path) for path in sorted((folder / "music").glob("*.wav"))))


def make(recordings: Recordings, seed: int, turns: int = 16) -> Spoken:
    """Make a call; 16 turns are about a minute and a half.

    Args:
        recordings: see `load`.
        seed: of everything that is drawn.
        turns: at least 6, so that hold, keys and card number have one each.
    """
    talk = _Talk(recordings, Random(seed))
    talk.go_through(turns)
    placed = tuple(sorted(talk.placed, key=lambda one: (one.first_sample, one.track)))
    samples = -(-max(one.end_sample for one in placed) // FRAME_SAMPLES) * FRAME_SAMPLES + SAMPLE_RATE_HZ
    customer, agent = (_mixed([one for one in placed if one.track == track], samples) for track in TRACKS)
    speech = {track: _speech([one for one in placed if one.track == track], samples) for track in TRACKS}
    return Spoken(Call(customer, agent), placed, tuple(talk.cards), speech)


def loud_frames(sound: Samples, offset: int = 0) -> NDArray[np.bool_]:
    """Say which frames of 20 ms of a clean clip are loud enough for speech; it begins `offset` samples into one."""
    frames = np.pad(sound, (offset, -(offset + len(sound)) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    level = np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))
    loud: NDArray[np.bool_] = level >= max(QUIETEST, level.max(initial=0.0) * 10 ** (-RANGE_DB / 20))
    return loud


def bridge(loud: NDArray[np.bool_], frames: int = BRIDGED_FRAMES) -> NDArray[np.bool_]:
    """Count pauses shorter than `frames` as speech."""
    speech = loud.copy()
    places = np.flatnonzero(loud)
    for before, after in pairwise(places):
        if after - before <= frames:
            speech[before:after] = True
    return speech


def keys(pressed: Sequence[str]) -> Samples:
    """Return the tones of some keys, each as long as the pause after it."""
    time_s = np.arange(_KEY_MS * SAMPLES_PER_MS) / SAMPLE_RATE_HZ
    silence = np.zeros(_KEY_MS * SAMPLES_PER_MS)
    parts = []
    for key in pressed:
        row, column = divmod(KEYS.index(key), 3)
        tones = (np.sin(2 * np.pi * hz * time_s) for hz in (_LOW_HZ[row], _HIGH_HZ[column]))
        parts += [_KEY_PEAK * sum(tones), silence]
    return np.concatenate(parts).astype(np.int16)


def card_number(random: Random) -> str:
    """Draw 16 digits that pass the Luhn check and have a recording each."""
    while True:
        digits = "4" + "".join(random.choices(list(DIGITS), k=15))
        if passes_luhn(digits):
            return digits


class _Talk:
    """A call that is being laid out; gaps count from where clips can be heard."""

    def __init__(self, recordings: Recordings, random: Random) -> None:
        self._recordings = recordings
        self._random = random
        each = {"agent": recordings.agent, "customer": recordings.customer}
        self._clips = {track: cycle(random.sample(clips, len(clips))) for track, clips in each.items()}
        self._ends: dict[Track, int] = {"agent": 0, "customer": 0}
        self._end = SAMPLE_RATE_HZ  # of what was said last; a call begins with a second of silence
        self.placed: list[Placed] = []
        self.cards: list[tuple[Track, int, int]] = []

    def go_through(self, turns: int) -> None:
        """Let agent and customer take turns; the agent begins."""
        hold, card = self._random.sample(range(2, turns - 1, 2), 2)
        pressed = self._random.choice([n for n in range(1, turns, 2) if n != card + 1])
        for n in range(turns):
            track: Track = "customer" if n % 2 else "agent"
            if n == hold:
                self._hold()
            elif n == card:
                self._say(track, self._recordings.clips[ASK_CARD])
            elif n == card + 1:
                self._say_card(track)
            elif n == pressed:
                self._press(track)
            else:
                self._turn(track)

    def _turn(self, track: Track) -> None:
        said = self._say(track, next(self._clips[track]))
        if self._random.random() < BACKCHANNEL_SHARE:
            self._answer_shortly("agent" if track == "customer" else "customer", said)

    def _say(self, track: Track, clip: Clip) -> Placed:
        heard = np.flatnonzero(loud_frames(clip.sound))
        lead, audible = int(heard[0]) * FRAME_SAMPLES, (int(heard[-1]) + 1) * FRAME_SAMPLES
        first = max(self._end + self._gap() - lead, self._ends[track])
        self._end = first + audible
        return self._place(track, first, clip)

    def _place(self, track: Track, first_sample: int, clip: Clip) -> Placed:
        placed = Placed(track, first_sample, clip)
        self.placed.append(placed)
        self._ends[track] = max(self._ends[track], placed.end_sample)
        return placed

    def _gap(self) -> int:
        """Draw the samples between two turns, of the sign that was drawn first."""
        is_overlap = self._random.random() < OVERLAP_SHARE
        while True:
            gap_ms = self._random.gauss(*GAP_MS)
            if (gap_ms < 0) == is_overlap:
                return round(gap_ms * SAMPLES_PER_MS)

    def _answer_shortly(self, track: Track, said: Placed) -> None:
        """Say a short word while the other goes on, if this track is silent then."""
        text = self._random.choice(list(BACKCHANNELS))
        clip = self._recordings.cut(text, BACKCHANNELS[text])
        first = said.first_sample + round(self._random.uniform(0.3, 0.6) * len(said.clip.sound))
        if first >= self._ends[track]:
            self._place(track, first, clip)

    def _hold(self) -> None:
        self._say("agent", self._recordings.clips[HOLD])
        music = self._random.choice(self._recordings.music)
        length = round(self._random.uniform(*HOLD_S) * SAMPLE_RATE_HZ)
        start = self._random.randrange(len(music) - length)
        first = max(self._end, self._ends["agent"]) + SAMPLE_RATE_HZ // 2
        self._end = self._place("agent", first, Clip("", music[start : start + length])).end_sample

    def _say_card(self, track: Track) -> None:
        """Say a card number in groups of four."""
        said = []
        for n, digit in enumerate(card_number(self._random)):
            pause_ms = self._random.uniform(*((0, 120) if n % 4 else (250, 450)))
            first = max(self._end, self._ends[track]) + round(pause_ms * SAMPLES_PER_MS)
            said.append(self._place(track, first, self._recordings.cut(digit, DIGITS[digit])))
            self._end = said[-1].end_sample
        self.cards.append((track, said[0].first_sample, said[-1].end_sample))

    def _press(self, track: Track) -> None:
        sound = keys(self._random.choices(KEYS, k=self._random.randint(4, 8)))
        first = max(self._end, self._ends[track]) + SAMPLE_RATE_HZ // 2
        self._end = self._place(track, first, Clip("", sound)).end_sample


def _words(placed: Placed) -> tuple[Word, ...]:
    """Place the words of a clip between its first and its last loud frame."""
    heard = np.flatnonzero(loud_frames(placed.clip.sound)) * FRAME_SAMPLES
    if not placed.clip.text or not len(heard):
        return ()
    start, end = placed.first_sample + int(heard[0]), placed.first_sample + int(heard[-1]) + FRAME_SAMPLES
    return spread(placed.clip.text.split(), start // SAMPLES_PER_MS, end // SAMPLES_PER_MS)


def _mixed(placed: Sequence[Placed], samples: int) -> Samples:
    track = np.zeros(samples, np.int32)
    for one in placed:
        track[one.first_sample : one.end_sample] += one.clip.sound
    return np.clip(track, -32_768, 32_767).astype(np.int16)


def _speech(placed: Sequence[Placed], samples: int) -> NDArray[np.bool_]:
    loud = np.zeros(samples // FRAME_SAMPLES, np.bool_)
    for one in placed:
        if one.clip.text:
            frame, offset = divmod(one.first_sample, FRAME_SAMPLES)
            heard = loud_frames(one.clip.sound, offset)
            loud[frame : frame + len(heard)] |= heard
    return bridge(loud)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m bench.corpus --seed N --out FOLDER` writes a call as both WAVs and its reference."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpus", description="make a call of recorded speech")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--turns", type=int, default=16)
    parser.add_argument("--out", type=Path, required=True)
    add_options(parser)
    given = parser.parse_args(arguments)
    spoken = make(load(given.speech), given.seed, given.turns)
    given.out.mkdir(parents=True, exist_ok=True)
    for track, sound in spoken.tracks():
        (given.out / f"{track}.wav").write_bytes(wav(sound))
    (given.out / "reference.json").write_text(json.dumps(spoken.reference(), indent=0) + "\n")


if __name__ == "__main__":
    main()
