"""The two protocols: Nova's `/v1/listen` speaks of results, Flux's `/v2/listen` of turns.

Owns what is asked for, how the rest is flushed, how a connection is kept, and how messages are read. The words of both
are the same to the session.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from deepgram import AsyncDeepgramClient
from deepgram.listen.v1.client import AsyncV1Client
from deepgram.listen.v1.socket_client import AsyncV1SocketClient
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v2.client import AsyncV2Client
from deepgram.listen.v2.socket_client import AsyncV2SocketClient
from deepgram.listen.v2.types.listen_v2turn_info import ListenV2TurnInfo

from connectors.deepgram.heard import Said, Spoken
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS

_ENCODING: Final = "linear16"
# The highest that Flux takes (developers.deepgram.com/docs/flux/configuration): segments say where speech ends.
_LEAST_CONFIDENCE: Final = 0.9
_LONGEST_TURN_PAUSE_MS: Final = 10_000
# A turn without words may hold one that is not over; it says nothing of its last part.
_UNTOLD_S: Final = 0.3


class Dialect(Protocol):
    """What a session needs of a protocol.

    Attributes:
        model: asked for by name.
        keep_alive_samples: of silence that keep a connection; 0 where a message does.
        flush_samples: of silence after `finalize`, so that an answer comes even where nothing was said.
    """

    @property
    def model(self) -> str:
        """See the class."""

    @property
    def keep_alive_samples(self) -> int:
        """See the class."""

    @property
    def flush_samples(self) -> int:
        """See the class."""

    def connect(self, client: AsyncDeepgramClient) -> AbstractAsyncContextManager[Any]:
        """Return the SDK's connection, which has two types without a common one."""

    async def finalize(self, socket: Any) -> None:  # noqa: ANN401 - what `connect` gave
        """Ask for everything that was sent as final."""

    def read(self, message: object) -> Said | None:
        """Return what a message says of audio; None for every other."""


@dataclass(frozen=True, slots=True)
class Results:
    """`/v1/listen`."""

    model: str
    keep_alive_samples: int = 0
    flush_samples: int = 0

    def connect(self, client: AsyncDeepgramClient) -> AbstractAsyncContextManager[AsyncV1SocketClient]:
        """Ask for results on the way, and for no endpoints: segments are the pipeline's."""
        listen: AsyncV1Client = client.listen.v1
        return listen.connect(
            model=self.model,
            encoding=_ENCODING,
            sample_rate=SAMPLE_RATE_HZ,
            channels=1,
            interim_results=True,
            endpointing=False,
            punctuate=True,
            smart_format=False,
        )

    async def finalize(self, socket: AsyncV1SocketClient) -> None:
        """Send Finalize; it is not answered where little was left to say."""
        await socket.send_finalize()

    def read(self, message: object) -> Said | None:
        """Read results; `is_final` is of the stretch from `start` on."""
        if not isinstance(message, ListenV1Results):
            return None
        words = tuple(
            _spoken(word.punctuated_word or word.word, word.start, word.end, word.confidence)
            for word in message.channel.alternatives[0].words
        )
        return Said(words, float(message.start + message.duration), bool(message.is_final), bool(message.from_finalize))


@dataclass(frozen=True, slots=True)
class Turns:
    """`/v2/listen`: no message keeps a connection, and the end of a turn is not forced where none is open."""

    model: str
    keep_alive_samples: int = 20 * SAMPLES_PER_MS
    flush_samples: int = 560 * SAMPLES_PER_MS  # more than `_UNTOLD_S` and the 0.25 s between two updates

    def connect(self, client: AsyncDeepgramClient) -> AbstractAsyncContextManager[AsyncV2SocketClient]:
        """Ask for turns that end as late as can be."""
        listen: AsyncV2Client = client.listen.v2
        return listen.connect(
            model=self.model,
            encoding=_ENCODING,
            sample_rate=SAMPLE_RATE_HZ,
            eot_threshold=_LEAST_CONFIDENCE,
            eot_timeout_ms=_LONGEST_TURN_PAUSE_MS,
        )

    async def finalize(self, socket: AsyncV2SocketClient) -> None:
        """Force the end of the turn."""
        await socket.send_force_end_turn()

    def read(self, message: object) -> Said | None:
        """Read a turn; without words it says that nothing is open."""
        if not isinstance(message, ListenV2TurnInfo):
            return None
        is_over = message.event == "EndOfTurn"
        is_empty = not is_over and not message.words
        return Said(
            _timed(message),
            float(message.audio_window_end) - (_UNTOLD_S if is_empty else 0),
            is_final=is_over or is_empty,
            is_forced=is_over and message.trigger == "manual",
        )


def of(model: str) -> Dialect:
    """Return the protocol that serves a model."""
    return Turns(model) if model.startswith("flux") else Results(model)


def _timed(turn: ListenV2TurnInfo) -> tuple[Spoken, ...]:
    """Return the words of a turn; those without times share its window alike."""
    share = (turn.audio_window_end - turn.audio_window_start) / max(1, len(turn.words))
    return tuple(
        _spoken(word.word, word.start, word.end, word.confidence)
        if word.start is not None and word.end is not None
        else replace(
            _spoken(
                word.word,
                turn.audio_window_start + index * share,
                turn.audio_window_start + (index + 1) * share,
                word.confidence,
            ),
            is_estimated=True,
        )
        for index, word in enumerate(turn.words)
    )


def _spoken(text: str, start_s: float, end_s: float, confidence: float) -> Spoken:
    """Return a word; the SDK checks no field, so what is missing is found here, as a `TypeError`."""
    return Spoken("".join(text), float(start_s), float(end_s), float(confidence))
