"""Words that the embedded recogniser hears wrong, on real telephone speech with known text, through our detector.

Each clip of `../shared/data/speech` is a track of its own: silence before and after it, a line of `bench/line.py`, the
stages `vad` and `asr` with their own numbers, and the recogniser's finals. Texts are prompts' scripts; the few words
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
from typing import Final

import numpy as np

from bench import corpus
from bench.corpus import FRAME_SAMPLES, Clip, Recordings, loud_frames
from bench.line import Line
from bench.report import Report
from connectors import files
from connectors.files import Call
from connectors.moonshine import NAME, MoonshineAsr
from connectors.pocketsphinx import spoken_words
from pipeline.stages.asr import Asr, AsrState
from pipeline.stages.vad import Vad, VadState
from topics.records import SAMPLE_RATE_HZ, SegmentWords

MUST: Final = 0.07
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
}
_SPELLING: Final = re.compile(rf"\b({'|'.join(sorted(_SPELLINGS, key=len, reverse=True))})\b")


@dataclass(frozen=True, slots=True)
class Heard:
    """One clip: how many words it has, and how many were heard wrong."""

    path: str
    words: int
    errors: int
    text: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the must counts for all clips, clean."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="of these")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth clip alone")
    corpus.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Let the recogniser hear every clip in every condition."""
    recordings = corpus.load(given.speech)
    names = given.conditions.split(",")
    return asyncio.run(_run(recordings, {name: CONDITIONS[name] for name in names}, given.every, given.seed))


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


async def _run(recordings: Recordings, conditions: Mapping[str, Line], every: int, seed: int) -> Report:
    asr = MoonshineAsr()
    found: dict[str, list[Heard]] = {}
    began_s = time.process_time()
    try:
        for name, condition in conditions.items():
            found[name] = [
                await _hear(asr, path, clip, condition, recordings, seed + n)
                for n, (path, clip) in list(enumerate(recordings.clips.items()))[::every]
            ]
    finally:
        await asr.close()
    speech_s = sum(len(clip.sound) for clip in list(recordings.clips.values())[::every]) / SAMPLE_RATE_HZ
    return _report(found, speech_s, time.process_time() - began_s, seed)


async def _hear(asr: MoonshineAsr, path: str, clip: Clip, condition: Line, recordings: Recordings, seed: int) -> Heard:
    """Hear one clip in one condition."""
    track = np.concatenate([np.zeros(_BEFORE, np.int16), clip.sound, np.zeros(_AFTER, np.int16)])
    arrived = condition.carry(track, loud_frames(np.pad(track, (0, -len(track) % FRAME_SAMPLES))), recordings, seed)
    reference = words_of(clip.text)
    heard = " ".join([text async for text in _texts(asr, Call(arrived, np.zeros(len(arrived), np.int16)))])
    return Heard(path, len(reference), errors(reference, words_of(heard)), heard)


async def _texts(service: MoonshineAsr, call: Call) -> AsyncIterator[str]:
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


def _report(found: Mapping[str, Sequence[Heard]], speech_s: float, spent_s: float, seed: int) -> Report:
    rows = {name: (rate(heard), *interval(heard, seed)) for name, heard in found.items()}
    kinds = {
        kind: [one for one in found.get("clean", ()) if one.path.startswith(kind)] for kind in ("prompts", "librivox")
    }
    clean = rows["clean"][0] if "clean" in rows else None
    figures = {
        "engine": NAME,
        "wer": {name: {"rate": rate, "from": low, "to": high} for name, (rate, low, high) in rows.items()},
        "clean_by_kind": {kind: rate(heard) for kind, heard in kinds.items() if heard},
        "clips": len(next(iter(found.values()))),
        "words": sum(one.words for one in next(iter(found.values()))),
        "worst_clean": [
            {"clip": one.path, "words": one.words, "errors": one.errors, "heard": one.text}
            for one in sorted(found.get("clean", ()), key=lambda one: -one.errors)[:_WORST]
            if one.errors
        ],
        "cpu_s_per_audio_s": round(spent_s / speech_s / len(found), 3),
    }
    lines = [
        f"{NAME}: {figures['clips']} clips, {figures['words']} words",
        f"{'condition':<12} {'WER':>7}   95 %",
        *(
            f"{name:<12} {_percent(each):>7}   {_percent(low)} to {_percent(high)}"
            for name, (each, low, high) in rows.items()
        ),
        *(f"clean, {kind}: {_percent(rate(heard))}" for kind, heard in kinds.items() if heard),
        f"CPU s for each s of clips, detector and aligner included: {figures['cpu_s_per_audio_s']}",
    ]
    if clean is not None:
        lines.append(f"clean: {_percent(clean)} (must {_percent(MUST)}): {'met' if clean <= MUST else 'NOT met'}")
    return Report(figures, lines, clean is None or clean <= MUST)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
