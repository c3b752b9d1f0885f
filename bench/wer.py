"""Words that the embedded recognisers hear wrong, on real telephone speech with known text, through our detector.

Each clip of `../shared/data/speech` is a track of its own: silence before and after it, a line of `bench/line.py`, the
stages `vad` and `asr` with their own numbers, and the recogniser's finals: partials are not asked for, so `two-pass`
hears what `whisper` hears. Texts are prompts' scripts; the few words
that differ from what is spoken (1 to 3 %) are the floor.

Both sides are lower case without punctuation, numbers are spelled out, and what is written in two ways is one word
(`_SPELLINGS`). An error is a word replaced, left out or put in; the rate is over the reference's words. The interval
is that of 95 % of bootstrap samples of clips.
"""

import argparse
import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from bench import corpus
from bench.corpus import FRAME_SAMPLES, Clip, Recordings, loud_frames
from bench.line import Line
from bench.report import Report, judged
from connectors import files
from connectors.embedded_asr import EmbeddedAsr
from connectors.files import Call
from connectors.pocketsphinx import spoken_words
from pipeline import recognisers
from pipeline.stages.asr import Asr, AsrState
from pipeline.stages.vad import Vad, VadState
from topics.records import SAMPLE_RATE_HZ, SegmentWords

# Most errors a word, clean.
MUST: Final[Mapping[str, float]] = {"moonshine": 0.07, "whisper": 0.045, "two-pass": 0.045}
GOAL: Final[Mapping[str, float]] = {"moonshine": 0.06, "whisper": 0.03, "two-pass": 0.03}
CONDITIONS: Final[Mapping[str, Line]] = {
    "clean": Line(),
    "white-20": Line("white", 20),
    "white-10": Line("white", 10),
    "babble-10": Line("babble", 10),
    "music-10": Line("music", 10),
    "lost-3": Line(lost=0.03),
}
_BEFORE, _AFTER = SAMPLE_RATE_HZ // 2, SAMPLE_RATE_HZ  # of silence around a clip
_SAMPLES: Final = 2_000  # of the bootstrap
_WORST: Final = 20  # clips in the figures
_SPELLINGS: Final = {
    "mail box": "mailbox",
    "voice mail": "voicemail",
    "e mail": "email",
    "log in": "login",
    "black list": "blacklist",
    "re enter": "reenter",
    "re entered": "reentered",
    "re record": "rerecord",
    "mr": "mister",
    "ok": "okay",
    "cannot": "can not",
    "file name": "filename",
    "touch tone": "touchtone",
    # Contractions: the readers and the scripts differ in them.
    "i'm": "i am",
    "i'll": "i will",
    "you're": "you are",
    "that's": "that is",
    "it's": "it is",
    # Scripts that are misspelt.
    "represenatives": "representatives",
    "un indentified": "unidentified",
    "witheld": "withheld",
}
_SPELLING: Final = re.compile(rf"\b({'|'.join(sorted(_SPELLINGS, key=len, reverse=True))})\b")


@dataclass(frozen=True, slots=True)
class Heard:
    """One clip: how many words it has, and how many were heard wrong."""

    path: str
    words: int
    errors: int
    text: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is heard: each `every`th clip, in these conditions."""

    conditions: Mapping[str, Line]
    every: int
    seed: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the must counts for all clips, clean."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--asr", default="moonshine,two-pass", help=f"of {', '.join(MUST)}")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="of these")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth clip alone")
    corpus.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Let each recogniser hear every clip in every condition."""
    recordings = corpus.load(given.speech)
    conditions = {name: CONDITIONS[name] for name in given.conditions.split(",")}
    chosen = Chosen(conditions, given.every, given.seed)
    return _report({name: asyncio.run(_run(name, recordings, chosen)) for name in given.asr.split(",")})


def words_of(text: str) -> list[str]:
    """Return the words that are compared."""
    return _SPELLING.sub(lambda found: _SPELLINGS[found[1]], " ".join(spoken_words(text))).split()


def errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of words to replace, leave out or put in that make one of the other."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], at
        for n, other in enumerate(heard, 1):
            diagonal, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, diagonal + (word != other))
    return row[-1]


def rate(heard: Sequence[Heard]) -> float:
    """Return errors a word of the reference."""
    return sum(one.errors for one in heard) / sum(one.words for one in heard)


def interval(heard: Sequence[Heard], seed: int) -> tuple[float, float]:
    """Return where 95 % of bootstrap samples of clips have their rate."""
    random = Random(seed)
    rates = sorted(rate(random.choices(heard, k=len(heard))) for _ in range(_SAMPLES))
    return rates[_SAMPLES // 40], rates[-_SAMPLES // 40]


async def _run(name: str, recordings: Recordings, chosen: Chosen) -> dict[str, object]:
    """Let one recogniser hear every clip in every condition; returns its figures."""
    asr = recognisers.embedded(name, is_paced=False)
    found: dict[str, list[Heard]] = {}
    clips = list(enumerate(recordings.clips.items()))[:: chosen.every]
    began_s = time.process_time()
    try:
        for condition, line in chosen.conditions.items():
            found[condition] = [
                await _hear(asr, path, clip, line, recordings, chosen.seed + n) for n, (path, clip) in clips
            ]
    finally:
        await asr.close()
    audio_s = sum(len(clip.sound) for _, (_, clip) in clips) / SAMPLE_RATE_HZ * len(found)
    return _figures(found, chosen.seed) | {"cpu_s_per_audio_s": round((time.process_time() - began_s) / audio_s, 3)}


async def _hear(asr: EmbeddedAsr, path: str, clip: Clip, condition: Line, recordings: Recordings, seed: int) -> Heard:
    """Hear one clip in one condition."""
    track = np.concatenate([np.zeros(_BEFORE, np.int16), clip.sound, np.zeros(_AFTER, np.int16)])
    arrived = condition.carry(track, loud_frames(np.pad(track, (0, -len(track) % FRAME_SAMPLES))), recordings, seed)
    reference = words_of(clip.text)
    heard = " ".join([text async for text in _texts(asr, Call(arrived, np.zeros(len(arrived), np.int16)))])
    return Heard(path, len(reference), errors(reference, words_of(heard)), heard)


async def _texts(service: EmbeddedAsr, call: Call) -> AsyncIterator[str]:
    """Yield the words of the finals of a call, as the stages `vad` and `asr` ask for them."""
    vad, vad_state, asr, asr_state = Vad(), VadState(), Asr(), AsrState()
    for due in files.frames(call, "local", "clip"):
        if due.topic != "audio.frames":
            continue
        for record in (due.record, *vad.on_record(vad_state, due.record)):
            asr.on_record(asr_state, record)
        for ask in asr.open_asks(asr_state):
            question = asr.request(asr_state, ask)
            if question.is_final:
                for words in asr.on_reply(asr_state, ask, await service.answer(question)):
                    if isinstance(words, SegmentWords):
                        yield " ".join(word.text for word in words.words)


def _figures(found: Mapping[str, Sequence[Heard]], seed: int) -> dict[str, object]:
    clean = found.get("clean", ())
    kinds = {kind: [one for one in clean if one.path.startswith(kind)] for kind in ("prompts", "librivox")}
    return {
        "wer": {name: _rates(heard, seed) for name, heard in found.items()},
        "clean_by_kind": {kind: rate(heard) for kind, heard in kinds.items() if heard},
        "clips": len(next(iter(found.values()))),
        "words": sum(one.words for one in next(iter(found.values()))),
        "worst_clean": [
            {"clip": one.path, "words": one.words, "errors": one.errors, "heard": one.text}
            for one in sorted(clean, key=lambda one: -one.errors)[:_WORST]
            if one.errors
        ],
    }


def _rates(heard: Sequence[Heard], seed: int) -> dict[str, float]:
    low, high = interval(heard, seed)
    return {"rate": rate(heard), "from": low, "to": high}


def _report(found: Mapping[str, Mapping[str, Any]]) -> Report:
    """Put the figures of all recognisers side by side."""
    first = next(iter(found.values()))
    lines = [
        f"{first['clips']} clips, {first['words']} words",
        f"{'':<12}" + "".join(f"{name:>26}" for name in found),
        *(
            f"{condition:<12}" + "".join(f"{_told(one['wer'][condition]):>26}" for one in found.values())
            for condition in first["wer"]
        ),
    ]
    for name, one in found.items():
        kinds = "".join(f", clean {kind} {_percent(share)}" for kind, share in one["clean_by_kind"].items())
        lines.append(f"{name}: {one['cpu_s_per_audio_s']} CPU s for each s of clips, detector included{kinds}")
    clean = {name: one["wer"]["clean"]["rate"] for name, one in found.items() if "clean" in one["wer"]}
    lines += [judged(f"{name}, clean", round(share, 4), MUST[name], GOAL[name]) for name, share in clean.items()]
    return Report({"recognisers": found}, lines, all(share < MUST[name] for name, share in clean.items()))


def _told(rates: Mapping[str, float]) -> str:
    return f"{_percent(rates['rate'])} ({_percent(rates['from'])} to {_percent(rates['to'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
