"""Word times by forced alignment of a known text, with the acoustic model in the wheel of pocketsphinx.

Owns how a written word is spoken for the aligner. It recognises nothing: the text comes from a recogniser.

The library keeps the interpreter lock for the whole of a segment (0.1 s for 6 s of audio, two shared cores),
which would stop an event loop. So it works in a process of its own, this module run as a program, which ends
when the pipe to its parent closes.
"""

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec
import pocketsphinx

from pipeline.errors import PeerUnavailable

FRAME_MS: Final = 10
_LENGTH_BYTES: Final = 4

# Telephone speech and misheard words fit badly: with the default beams and the lattice 13 of 30 segments of a
# real call have no alignment, with these none; word limits in the demo call are as near (median 32 ms).
_OPTIONS: Final = {"bestpath": False, "beam": 1e-200, "wbeam": 1e-150, "pbeam": 1e-200}

_ONES: Final = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

# A rough voice for each letter, for words outside the dictionary: an alignment needs the length of a word,
# not its accent. Phones are those of the CMU dictionary.
_SPELLING: Final = (
    "sh=SH ch=CH th=TH ph=F ck=K ee=IY oo=UW ng=NG qu=K+W a=AE b=B c=K d=D e=EH f=F g=G h=HH i=IH j=JH k=K "
    "l=L m=M n=N o=AA p=P q=K r=R s=S t=T u=AH v=V w=W x=K+S y=IY z=Z"
)
_SOUNDS: Final = dict(pair.replace("+", " ").split("=") for pair in _SPELLING.split())
_SOUND: Final = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))

Span = tuple[int, int]


class _Question(msgspec.Struct, array_like=True):
    texts: list[str]
    pcm: bytes


class Aligner:
    """One decoder; its answers do not depend on what it aligned before."""

    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", lm=None, **_OPTIONS)

    def align(self, texts: list[str], pcm: bytes) -> list[Span] | None:
        """Find where each word is.

        Args:
            texts: the words as they are written, each with something to say (`spoken_words`).
            pcm: what was said, int16 little-endian, mono, 16 kHz.

        Returns:
            (start, end) of each word in milliseconds from the start of the audio; None if they do not fit.
        """
        spoken = [spoken_words(text) for text in texts]
        words = [word for group in spoken for word in group]
        for word in words:
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, " ".join(_SOUNDS[sound] for sound in _SOUND.findall(word)), True)
        heard = self._search(words, pcm)
        if len(heard) != len(words):
            return None
        ends = [sum(map(len, spoken[: place + 1])) for place in range(len(spoken))]
        return [(heard[end - len(group)][0], heard[end - 1][1]) for end, group in zip(ends, spoken, strict=True)]

    def _search(self, words: list[str], pcm: bytes) -> list[Span]:
        self._decoder.reinit_feat()  # forgets the noise of the audio before
        self._decoder.set_align_text(" ".join(words))
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, False, True)
        self._decoder.end_utt()
        parts = [part for part in self._decoder.seg() or () if part.word[0].isalpha()]  # no silence or noise
        return [(part.start_frame * FRAME_MS, (part.end_frame + 1) * FRAME_MS) for part in parts]


def spoken_words(text: str) -> list[str]:
    """Say a written word in dictionary words: `$49` is forty nine; three digits and more are read singly."""
    parts = re.findall(r"[0-9]+|[a-z]+(?:'[a-z]+)?", text.lower().replace("\u2019", "'"))
    return [word for part in parts for word in (_spoken_number(part) if part.isdigit() else [part])]


def _spoken_number(digits: str) -> list[str]:
    value = int(digits) if len(digits) < 3 and digits[0] != "0" else None
    if value is None:
        return [_ONES[int(digit)] for digit in digits]
    if value < len(_ONES):
        return [_ONES[value]]
    return [_TENS[value // 10 - 2], *([_ONES[value % 10]] if value % 10 else [])]


class AlignerProcess:
    """An `Aligner` in a process of its own, started when it is first asked. Use it from one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def align(self, texts: list[str], pcm: bytes) -> list[Span] | None:
        """Do what `Aligner.align` does.

        Raises:
            PeerUnavailable: the process has ended; the next call starts another.
        """
        process = self._process = self._process or _start()
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        try:
            _write(process.stdin, msgspec.msgpack.encode(_Question(texts, pcm)))
            answer = _read(process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            self.close()
            raise PeerUnavailable("the aligner process has ended")
        return msgspec.msgpack.decode(answer, type=list[Span] | None)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "connectors.pocketsphinx"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        start_new_session=True,  # Ctrl-C is for the parent, which then closes the pipe
    )


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """Read one message; None when the other side has closed."""
    length = pipe.read(_LENGTH_BYTES)
    return pipe.read(int.from_bytes(length, "big")) if length else None


def _serve() -> None:
    """Answer questions from standard input until it closes."""
    aligner = Aligner()
    while (message := _read(sys.stdin.buffer)) is not None:
        question = msgspec.msgpack.decode(message, type=_Question)
        _write(sys.stdout.buffer, msgspec.msgpack.encode(aligner.align(question.texts, question.pcm)))


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the other side has ended while it was answered
        _serve()
