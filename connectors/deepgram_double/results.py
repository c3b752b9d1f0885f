"""What `/v1/listen` says: results, interim and final, endpoints, ends of utterances, and answers to control.

Owns when a result is due. It follows the audio in steps of 20 ms, so how audio is cut into frames changes nothing.
"""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

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
from connectors.deepgram_double.requests import ListenV1
from connectors.deepgram_double.script import Script, Spoken
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS

_INTERIM_SAMPLES: Final = SAMPLE_RATE_HZ  # developers.deepgram.com/docs/utterance-end: interim results come each second
# Without an endpoint a result is final after so long. The service's own rule is not published.
_LONGEST_SAMPLES: Final = 5 * SAMPLE_RATE_HZ
# An update with more is refused (deepgram-sdk, ListenV1Configure); a word stands for a token.
_MOST_KEYTERM_TOKENS: Final = 500


class Channel:
    """Say what is heard on one channel."""

    def __init__(self, asked: ListenV1, script: Script, index: int, channels: int) -> None:
        """Bind the channel to its place, of the form [index, channels]."""
        self._asked = asked
        self._ear = Ear(script)
        self._place = [index, channels]
        self._words: list[Spoken] = []
        self._start = 0
        self._said_at = 0
        self._final_at = 0
        self._quiet_since = 0
        self._is_speaking = False
        self._untold_end: int | None = None

    @property
    def received(self) -> int:
        """How many samples have come."""
        return self._ear.received

    @property
    def whence(self) -> Whence | None:
        """Where on which track what comes is from, if that is known."""
        return self._ear.whence

    def hear(self, block: Bounds) -> Iterator[Message]:
        """Take 20 ms, or the rest before a flush; yield what is to be said."""
        heard = self._ear.hear(block)
        self._words += heard
        open_since = self._ear.open_since
        if heard or open_since is not None:
            yield from self._speech(heard[0].start_sample if heard else open_since or 0)
            self._quiet_since = self._ear.received if open_since is not None else heard[-1].end_sample
        yield from self._due(open_since)
        yield from self._utterance_end(open_since)

    def flush(self, *, is_finalize: bool) -> Iterator[Message]:
        """Say at once what was not final; nothing where nothing was received since the last final result."""
        if self._ear.received > self._final_at:
            yield self._final(self._before_open_word(), is_finalize=is_finalize)

    def _speech(self, start: int) -> Iterator[Message]:
        if self._asked.has_vad_events and not self._is_speaking:
            yield {"type": "SpeechStarted", "channel": self._place, "timestamp": seconds(start)}
        self._is_speaking = True

    def _due(self, open_since: int | None) -> Iterator[Message]:
        received = self._ear.received
        pause_ms = self._asked.endpointing_ms
        is_quiet = open_since is None and pause_ms is not None
        if is_quiet and self._is_speaking and received - self._quiet_since >= (pause_ms or 0) * SAMPLES_PER_MS:
            yield self._final(received, is_endpoint=True)
        elif received - self._start >= _LONGEST_SAMPLES and self._before_open_word() > self._start:
            yield self._final(self._before_open_word())
        elif self._asked.is_interim and received - self._said_at >= _INTERIM_SAMPLES:
            self._said_at = received
            yield self._result(received)

    def _utterance_end(self, open_since: int | None) -> Iterator[Message]:
        pause_ms = self._asked.utterance_end_ms
        if pause_ms is None or not self._asked.is_interim or self._untold_end is None:
            return
        is_pause = open_since is None and not self._words
        if is_pause and self._ear.received - self._untold_end >= pause_ms * SAMPLES_PER_MS:
            yield {"type": "UtteranceEnd", "channel": self._place, "last_word_end": seconds(self._untold_end)}
            self._untold_end = None

    def _before_open_word(self) -> int:
        """Return where a final result ends: a word that is being heard belongs to the next one."""
        open_since = self._ear.open_since
        return self._ear.received if open_since is None else max(open_since, self._start)

    def _final(self, end: int, *, is_endpoint: bool = False, is_finalize: bool = False) -> Message:
        result = self._result(end) | {"is_final": True, "speech_final": is_endpoint, "from_finalize": is_finalize}
        if self._words:
            self._untold_end = self._words[-1].end_sample
        self._words = []
        self._start = end
        self._said_at = self._final_at = self._ear.received
        if is_endpoint:
            self._is_speaking = False
        return result

    def _result(self, end: int) -> Message:
        text = transcript(self._words)
        alternative = {
            "transcript": text,
            "confidence": CONFIDENCE if text else 0.0,
            "words": [
                {
                    "word": word.text,
                    "start": seconds(word.start_sample),
                    "end": seconds(word.end_sample),
                    "confidence": CONFIDENCE,
                    "punctuated_word": word.text,
                }
                for word in self._words
            ],
        }
        return {
            "type": "Results",
            "channel_index": self._place,
            "start": seconds(self._start),
            "duration": seconds(end - self._start),
            "is_final": False,
            "speech_final": False,
            "from_finalize": False,
            "channel": {"alternatives": [alternative]},
        }


class Listening:
    """One connection to `/v1/listen`."""

    def __init__(self, asked: ListenV1, script: Script, request_id: str) -> None:
        """Bind the session to its question."""
        self._asked = asked
        self.request_id = request_id
        self._created = datetime.now(UTC)
        self._sha256 = hashlib.sha256()
        audio = asked.format
        count = audio.channels if audio.is_multichannel else 1
        self._channels = [Channel(asked, script, index, count) for index in range(count)]
        self._decoder = decoder(audio)

    @property
    def whence(self) -> Whence | None:
        """Where on which track what comes on the first channel is from, if that is known."""
        return self._channels[0].whence

    def greet(self) -> list[Said]:
        """Say nothing: the first message is a result."""
        return []

    def hear(self, data: bytes) -> list[Said]:
        """Take audio; an empty frame ends the stream."""
        if not data:
            return self._close_stream()
        if self._decoder is None:
            return [End(1008, UNDECODABLE_REASON)]
        self._sha256.update(data)
        return [message for step in self._decoder.steps(data) for message in self._step(step)]

    def obey(self, text: str) -> list[Said]:
        """Take a control message; one that is none is answered with an error, and the stream goes on."""
        message = control(text)
        match message:
            case {"type": "KeepAlive"}:
                return []
            case {"type": "Finalize", "channel": int(channel)} if 0 <= channel < len(self._channels):
                return self._flush([self._channels[channel]], is_finalize=True)
            case {"type": "Finalize"}:
                return self._flush(self._channels, is_finalize=True)
            case {"type": "CloseStream"}:
                return self._close_stream()
            case {"type": "Configure"}:
                return [self._configure(message)]
        said = "Could not deserialize last text message"
        return [{"type": "Error", "variant": "SchemaError", "description": said, "message": text}]

    def give_up(self) -> list[Said]:
        """Close for want of audio."""
        return [End(1011, NO_AUDIO_REASON)]

    def complaint(self, description: str) -> Message:
        """Return an error that ends nothing."""
        return {"type": "Error", "variant": "Planned", "description": description}

    def _step(self, step: Bounds) -> Iterator[Message]:
        for channel, block in zip(self._channels, step, strict=True):
            yield from map(self._signed, channel.hear(block))

    def _flush(self, channels: list[Channel], *, is_finalize: bool) -> list[Said]:
        said: list[Said] = []
        if self._decoder is not None:
            said += self._step(self._decoder.rest())
        for channel in channels:
            said += map(self._signed, channel.flush(is_finalize=is_finalize))
        return said

    def _close_stream(self) -> list[Said]:
        metadata: Message = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": self._sha256.hexdigest(),
            "created": self._created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "channels": len(self._channels),
        }
        said = self._flush(self._channels, is_finalize=False)
        return [*said, metadata | {"duration": seconds(self._channels[0].received)}, End(1000)]

    def _configure(self, wanted: Message) -> Message:
        keyterms = wanted.get("keyterms")
        refused = {"type": "ConfigureFailure", "request_id": self.request_id}
        if keyterms is None:
            return {"type": "ConfigureSuccess", "request_id": self.request_id}
        if not self._asked.model.startswith("nova-3"):
            said = "Only Nova-3 models take keyterms within a stream."
            return refused | {"code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED", "description": said}
        if sum(len(term.split()) for term in keyterms) > _MOST_KEYTERM_TOKENS:
            said = "The keyterms exceed 500 tokens."
            return refused | {"code": "CONFIGURE_KEYTERM_LIMIT_EXCEEDED", "description": said}
        return {"type": "ConfigureSuccess", "request_id": self.request_id, "keyterms": keyterms}

    def _signed(self, message: Message) -> Message:
        if message["type"] != "Results":
            return message
        model = {"name": self._asked.model, "version": "2026-01-01.0", "arch": self._asked.model.partition("-")[0]}
        return message | {
            "metadata": {"request_id": self.request_id, "model_info": model, "model_uuid": str(uuid.UUID(int=0))}
        }
