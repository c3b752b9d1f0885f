"""What a screen may say, parsed from its text frames. Pure; the answers are `server.py`'s."""

import json
from dataclasses import dataclass

from connectors.gateway.board import Action

LIMIT_BYTES = 4_096
# Longer than any id we make (contact, track and sample; policy, behaviour and turn).
_ID_LIMIT = 512
_SEQ_LIMIT = 1 << 53  # what a JavaScript number counts exactly


@dataclass(frozen=True, slots=True)
class Resume:
    """The first message of a socket: the last frame that its screen has seen."""

    epoch: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """A click on a card."""

    guidance_id: str
    action: Action


@dataclass(frozen=True, slots=True)
class Refusal:
    """Neither of the two; the reason is static text that may be sent back."""

    reason: str


def parse(text: str) -> Resume | Feedback | Refusal:
    """Read one message of a screen."""
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal("not JSON")
    match message:
        case {"resume": dict(resume), **rest} if not rest:
            return _resume(resume)
        case {"feedback": dict(feedback), **rest} if not rest:
            return _feedback(feedback)
    return Refusal("neither resume nor feedback")


def _resume(fields: dict[str, object]) -> Resume | Refusal:
    match fields:
        case {"epoch": None | str() as epoch, "seq": int(seq), **rest} if not rest:
            if not isinstance(seq, bool) and 0 <= seq < _SEQ_LIMIT:
                return Resume(epoch, seq)
    return Refusal("resume takes an epoch and a seq")


def _feedback(fields: dict[str, object]) -> Feedback | Refusal:
    match fields:
        case {"guidance_id": str(card), "action": ("accepted" | "dismissed") as action, **rest} if not rest:
            if len(card) <= _ID_LIMIT:
                return Feedback(card, action)
    return Refusal("feedback takes a guidance_id and accepted or dismissed")
