"""Word times by forced alignment of a known text, with the acoustic model in the wheel of pocketsphinx.

Owns how a written word is spoken for the aligner. It recognises nothing: the text comes from a recogniser.

The library keeps the interpreter lock while it computes. The audio is therefore fed 100 ms at a time, which lets
an event loop in another thread run in between (figures in bench/results/asr.md).
"""

import re
from typing import Final

import pocketsphinx  # type: ignore[import-untyped]  # the package carries no types

from pipeline.audio.pcm import Samples

FRAME_MS: Final = 10
_NO_CHANNEL: Final = "40,3,-1,0,0,0,0,0,0,0,0,0,0"  # the decoder's own start value
_BLOCK_SAMPLES: Final = 1_600  # 100 ms at 16 kHz

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()

# A rough voice for each letter, for words outside the dictionary: an alignment needs the length of a word, not
# its accent. Phones are those of the CMU dictionary.
_SOUNDS: Final = {

        "sh": "SH",
        "ch": "CH",
        "th": "TH",
        "ph": "F",
        "ck": "K",
        "ee": "IY",
        "oo": "UW",
        "ng": "NG",
        "qu": "K W"
    ,

        "a": "AE",
        "b": "B",
        "c": "K",
        "d": "D",
        "e": "EH",
        "f": "F",
        "g": "G",
        "h": "HH",
        "i": "IH",
        "j": "JH"
    ,
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T",
    "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}
_SOUND: Final = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))


class Aligner:
    """One decoder; its answers do not depend on what it aligned before."""

    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", lm=None)

    def align(self, texts: list[str], audio: Samples) -> list[tuple[int, int]] | None:
        """Find where each word is.

        Args:
            texts: the words as they are written, each with a letter or digit.
            audio: what was said, int16 mono at 16 kHz, shape (n,).

        Returns:
            (start, end) of each word in milliseconds from the start of the audio; None when the text does not fit.
        """
        spoken = [spoken_words(text) for text in texts]
        for word in {word for words in spoken for word in words}:
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, " ".join(_SOUNDS[sound] for sound in _SOUND.findall(word)), True)
        heard = self._search([word for words in spoken for word in words], audio.tobytes())
        if heard is None:
            return None
        spans: list[tuple[int, int]] = []
        for words in spoken:
            own, heard = heard[: len(words)], heard[len(words) :]
            spans.append((own[0][0], own[-1][1]))
        return spans

    def _search(self, words: list[str], pcm: bytes) -> list[tuple[int, int]] | None:
        """Align the words; None unless each of them is found."""
        decoder = self._decoder
        decoder.set_cmn(self._channel(pcm))
        decoder.set_align_text(" ".join(words))
        decoder.start_stream()
        decoder.start_utt()
        for start in range(0, len(pcm), 2 * _BLOCK_SAMPLES):
            decoder.process_raw(pcm[start : start + 2 * _BLOCK_SAMPLES], False, False)
        decoder.end_utt()
        found = [part for part in decoder.seg() or () if part.word[0].isalnum()]
        spans = [(part.start_frame * FRAME_MS, (part.end_frame + 1) * FRAME_MS) for part in found]
        return spans if len(spans) == len(words) else None

    def _channel(self, pcm: bytes) -> str:
        """Measure the channel (cepstral means) of this audio alone, by looking for one short word in it."""
        self._decoder.set_cmn(_NO_CHANNEL)
        self._decoder.set_align_text("a")
        self._decoder.start_stream()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, True, True)
        self._decoder.end_utt()
        means: str = self._decoder.get_cmn(False)
        return means


def spoken_words(text: str) -> list[str]:
    """Say a written word in dictionary words: `$49` is forty nine; three digits and more are read one by one."""
    parts = re.findall(r"\d+|[a-z]+(?:'[a-z]+)?", text.lower().replace("\u2019", "'"))
    return [word for part in parts for word in (_spoken_number(part) if part.isdigit() else [part])]


def _spoken_number(digits: str) -> list[str]:
    value = int(digits)
    if len(digits) > 2 or (len(digits) == 2 and value < 10):
        return [_ONES[int(digit)] for digit in digits]
    if value < len(_ONES):
        return [_ONES[value]]
    return [_TENS[value // 10 - 2], *([_ONES[value % 10]] if value % 10 else [])]
