"""From audio to turns; the records hold what redaction has not seen, but for sample numbers."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from topics.records.core import Speaker, Track


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """Up to 192 ms of both tracks (three KVS blocks of 64 ms); an absent track has empty PCM."""

    schema: ClassVar[str] = "audio_frame"
    tenant: str
    contact_id: str
    leg: int
    customer_first_sample: int
    customer_pcm: bytes  # int16 little-endian, mono, 8 kHz
    agent_first_sample: int
    agent_pcm: bytes

    def track(self, track: Track) -> tuple[int, bytes]:
        """Return (first sample, PCM) of one track."""
        if track == "customer":
            return self.customer_first_sample, self.customer_pcm
        return self.agent_first_sample, self.agent_pcm

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.customer_first_sample, self.agent_first_sample)


@dataclass(frozen=True, slots=True)
class MissingAudio:
    """Samples [first_sample, end_sample) of one track that neither the stream nor its archive has."""

    track: Track
    first_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class AudioCoverage:
    """How much of a contact's audio has been read from its stream."""

    schema: ClassVar[str] = "audio_coverage"
    tenant: str
    contact_id: str
    leg: int
    start_ms: int  # since 1970, of the contact's first sample: where audio time begins
    customer_sample: int  # how far the track has been read
    agent_sample: int
    missing: tuple[MissingAudio, ...]
    is_end: bool  # nothing follows
    reason: str  # why it is over; empty before
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id)


@dataclass(frozen=True, slots=True)
class SpeechMark:
    """A VAD segment opened (`end_sample` is None) or closed."""

    schema: ClassVar[str] = "speech_mark"
    tenant: str
    contact_id: str
    leg: int
    track: Track
    first_sample: int
    end_sample: int | None
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.track, self.first_sample)


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key of the telephone was pressed; which one is in no record, for digits are card numbers and PINs."""

    schema: ClassVar[str] = "key_press"
    tenant: str
    contact_id: str
    leg: int
    track: Track
    first_sample: int
    end_sample: int
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.track, self.first_sample)


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its place in the contact's audio time."""

    text: str
    start_ms: int
    end_ms: int
    is_estimated: bool = False  # spread over the segment because alignment failed


@dataclass(frozen=True, slots=True)
class SegmentWords:
    """What the ASR heard in one VAD segment so far (partial) or in the whole of it (final)."""

    schema: ClassVar[str] = "segment_words"
    tenant: str
    contact_id: str
    leg: int
    track: Track
    first_sample: int
    end_sample: int  # of the audio that was decoded
    is_final: bool
    words: tuple[Word, ...]
    asr: str  # engine and model that answered; `none` when every attempt failed
    confidence: float | None  # 0..1
    rev: int = 0
    gap: str = ""  # why nobody answered; empty where somebody did
    queue_ms: int = 0  # the recogniser's own figures: how long the question waited
    provider_ms: int = 0  # and how long the answer took

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.track, self.first_sample)


ON_HOLD = "on hold"  # a turn's `gap` where the customer was on hold


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation, unredacted (restricted)."""

    schema: ClassVar[str] = "turn"
    tenant: str
    contact_id: str
    leg: int
    turn_id: str
    track: Track
    speaker: Speaker
    first_sample: int
    end_sample: int
    is_final: bool
    words: tuple[Word, ...]
    asr: str
    confidence: float | None
    rev: int = 0
    gap: str = ""  # why this was not heard, or is not shown: `ON_HOLD`, or why the recogniser gave no answer
    stable_words: int = 0  # of a partial: its first words, which two successive ones agree on; all of a final
    is_backchannel: bool = False  # "mm-hm": a few such words while the other side talks, which take no turn

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.turn_id)
