"""What `/v2/listen` says: turns, as the state machine of Flux has them (developers.deepgram.com/docs/flux/state).

Owns when a turn starts and ends. The confidence that a turn is over grows with the silence, to .99 in a second; the
model that judges it in the service knows more.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from connectors.deepgram_double.hearing import Bounds, Ear, Whence, decoder, transcript
from connectors.deepgram_double.messages import (
    CONFIDENCE,
    NO_AUDIO_REASON,
    UNDECODABLE_REASON,
    End,
    Message,
    Said,
    control,
    seconds,
)
from connectors.deepgram_double.requests import ListenV2
from connectors.deepgram_double.script import Script, Spoken
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS

_UPDATE_SAMPLES: Final = SAMPLE_RATE_HZ // 4  # an update about every 0.25 s of audio, unless the state changes
_SURE_AFTER_SAMPLES: Final = SAMPLE_RATE_HZ
_SUREST: Final = 0.99

_Event = Literal["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]


class Turns:
    """One connection to `/v2/listen`."""

    def __init__(self, asked: ListenV2, script: Script, request_id: str) -> None:
        """Bind the session to its question."""
        self._asked = asked
        self.request_id = request_id
        self._decoder = decoder(asked.format)
        self._ear = Ear(script)
        self._sequence_ids = itertools.count()
        self._words: list[Spoken] = []
        self._index = 0
        self._start = 0
        self._said_at = 0
        self._is_eager = False

    @property
    def whence(self) -> Whence | None:
        """Where on which track what comes is from, if that is known."""
        return self._ear.whence

    def greet(self) -> list[Said]:
        """Say the first message."""
        return [self._signed({"type": "Connected"})]

    def hear(self, data: bytes) -> list[Said]:
        """Take audio."""
        if self._decoder is None:
            return [End(1008, UNDECODABLE_REASON)]
        return [message for step in self._decoder.steps(data) for message in self._step(step[0])]

    def obey(self, text: str) -> list[Said]:
        """Take a control message; one that is none ends the stream: every error of this path is fatal."""
        message = control(text)
        match message:
            case {"type": "CloseStream"}:
                # No EndOfTurn, no summary, no close code: developers.deepgram.com/docs/flux/close-stream.
                return [*self._rest(), self._turn("Update"), End(None)]
            case {"type": "ForceEndTurn"}:
                said = self._rest()
                return [*said, self._end_of_turn("manual")] if self._words else said
            case {"type": "Configure"}:
                return [self._configure(message)]
        return self._error("UNPARSABLE_CLIENT_MESSAGE", "The message could not be parsed.", 1008)

    def give_up(self) -> list[Said]:
        """Close for want of audio; the code is that of github.com/livekit/agents/pull/3579."""
        return self._error("INACTIVE_CLIENT", NO_AUDIO_REASON, 1011)

    def complaint(self, description: str) -> Message:
        """Return an error that ends nothing, which the service sends as a warning."""
        return self._signed({"type": "Warning", "code": "PLANNED", "description": description})

    def _rest(self) -> list[Said]:
        return [] if self._decoder is None else list(self._step(self._decoder.rest()[0]))

    def _step(self, block: Bounds) -> Iterator[Said]:
        was_open = bool(self._words)
        heard = self._ear.hear(block)
        self._words += heard
        events = list(self._events(bool(heard), was_open=was_open))
        yield from events
        if not events and self._ear.received - self._said_at >= _UPDATE_SAMPLES:
            yield self._turn("Update")

    def _events(self, has_more: bool, *, was_open: bool) -> Iterator[Said]:
        """Yield the changes of state."""
        if not self._words:
            return
        if not was_open:
            yield self._turn("StartOfTurn")
        eager, is_silent = self._asked.eager_eot_threshold, self._silence() > 0
        if self._is_eager and (has_more or not is_silent):
            self._is_eager = False
            yield self._turn("TurnResumed")
        elif eager is not None and not self._is_eager and self._sure() >= eager:
            self._is_eager = True
            yield self._turn("EagerEndOfTurn")
        if self._sure() >= self._asked.eot_threshold:
            yield self._end_of_turn("model")
        elif self._silence() >= self._asked.eot_timeout_ms * SAMPLES_PER_MS:
            yield self._end_of_turn("timeout")

    def _silence(self) -> int:
        """Return the samples since the turn's last word; 0 while another is being heard."""
        if not self._words or self._ear.open_since is not None:
            return 0
        return self._ear.received - self._words[-1].end_sample

    def _sure(self) -> float:
        """Return the confidence that the turn is over."""
        return round(min(self._silence() / _SURE_AFTER_SAMPLES, 1.0) * _SUREST, 4)

    def _end_of_turn(self, trigger: str) -> Message:
        turn = self._turn("EndOfTurn") | {"trigger": trigger}
        self._words, self._is_eager = [], False
        self._index += 1
        self._start = self._ear.received
        return turn

    def _turn(self, event: _Event) -> Message:
        self._said_at = self._ear.received
        words = [
            {
                "word": word.text,
                "confidence": CONFIDENCE,
                "start": seconds(word.start_sample),
                "end": seconds(word.end_sample),
            }
            for word in self._words
        ]
        return self._signed(
            {
                "type": "TurnInfo",
                "event": event,
                "turn_index": self._index,
                "audio_window_start": seconds(self._start),
                "audio_window_end": seconds(self._ear.received),
                "transcript": transcript(self._words),
                "words": words,
                "end_of_turn_confidence": self._sure(),
            }
        )

    def _configure(self, wanted: Message) -> Message:
        was, limits = self._asked, _given(wanted.get("thresholds") or {})
        try:
            eager = limits.get("eager_eot_threshold", was.eager_eot_threshold)
            asked = replace(
                was,
                eot_threshold=float(limits.get("eot_threshold", was.eot_threshold)),
                eager_eot_threshold=None if eager is None else float(eager),
                eot_timeout_ms=int(limits.get("eot_timeout_ms", was.eot_timeout_ms)),
                keyterms=tuple(_given(wanted).get("keyterms", was.keyterms)),
            )
        except (TypeError, ValueError):
            return self._signed({"type": "ConfigureFailure", "description": "A threshold is not a number."})
        self._asked = asked
        thresholds = {
            "eot_threshold": asked.eot_threshold,
            "eager_eot_threshold": asked.eager_eot_threshold,
            "eot_timeout_ms": asked.eot_timeout_ms,
        }
        return self._signed({"type": "ConfigureSuccess", "thresholds": thresholds, "keyterms": list(asked.keyterms)})

    def _error(self, code: str, description: str, close_code: int) -> list[Said]:
        return [self._signed({"type": "Error", "code": code, "description": description}), End(close_code, code)]

    def _signed(self, message: Message) -> Message:
        return message | {"request_id": self.request_id, "sequence_id": next(self._sequence_ids)}


def _given(wanted: Message) -> Message:
    """Return what is set: a field that is null keeps its value."""
    return {name: value for name, value in wanted.items() if value is not None}
