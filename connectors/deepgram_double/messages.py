"""What both paths say alike: the form of a message, of an end, and of a session that says them."""

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from connectors.deepgram_double.hearing import Whence
from topics.records import SAMPLE_RATE_HZ

Message = dict[str, Any]  # JSON, of the shape that its `type` has on the wire

# A sentence that the service's clients report (github.com/pipecat-ai/pipecat/issues/1113); the page on errors calls
# it NET-0001.
NO_AUDIO_REASON: Final = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
# The name on the page on errors; the sentence that stands for it was not seen.
UNDECODABLE_REASON: Final = "DATA-0000"
# The recogniser's opinion of a word of which it received every sample.
CONFIDENCE: Final = 0.98


@dataclass(frozen=True, slots=True)
class End:
    """The connection is closed by the server; `code` None is a close frame without a code."""

    code: int | None
    reason: str = ""


Said = Message | End


class Witness(Protocol):
    """Who watches what a server hears and says; called while it serves."""

    def heard(self, connection: int, at_s: float, size_bytes: int, whence: Whence | None) -> None:
        """Audio came on a connection.

        Args:
            connection: number of its handshake, from 1.
            at_s: when it was read, seconds since the epoch.
            size_bytes: of all its audio so far.
            whence: of what has come last.
        """

    def said(self, connection: int, message: Message) -> None:
        """A message has just been sent."""


class Session(Protocol):
    """One connection's conversation: what is received goes in, what is to be said comes out."""

    request_id: str

    @property
    def whence(self) -> Whence | None:
        """Where on which track what comes on the first channel is from, if that is known."""

    def greet(self) -> list[Said]:
        """Say what comes before all else."""

    def hear(self, data: bytes) -> list[Said]:
        """Take a binary frame."""

    def obey(self, text: str) -> list[Said]:
        """Take a text frame."""

    def give_up(self) -> list[Said]:
        """Nothing came for too long."""

    def complaint(self, description: str) -> Message:
        """Return an error that ends nothing."""


def control(text: str) -> Message:
    """Return a control message; an empty one for what is no JSON object."""
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def seconds(samples: int) -> float:
    """Return a time on the connection as messages give it."""
    return samples / SAMPLE_RATE_HZ
