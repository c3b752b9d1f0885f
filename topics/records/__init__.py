"""What flows: one frozen record for each schema in `schemas/avro/`.

The `.avsc` file is the truth; `tests/topics/test_records.py` compares each class with it field by field.
This module owns meaning and identity, not bytes (`codec.py`) and not places (`catalogue.py`).

Units: `*_ms` is audio time in milliseconds from the contact's start; `*_sample` counts 8 kHz samples of one track from
the contact's start; ranges are half-open. Times of `Generation` and what other systems tell of a contact
(`MediaStarted`, `ContactRecord`, `ContactEvent.time_ms`, `AudioCoverage.start_ms`, `Conversation`) count from 1970
instead. `rev` is epoch * 2**24 + n, stamped by the engine; of two records with one identity the higher `rev` wins.
"""

from topics.records.contacts import (
    AgentSpan,
    AgentStay,
    ContactEvent,
    ContactRecord,
    Conversation,
    Hold,
    Leg,
    MediaStarted,
    Recording,
)
from topics.records.core import SAMPLE_RATE_HZ, SAMPLES_PER_MS, TRACKS, Record, Speaker, Track, Watermark, turn_id
from topics.records.guidance import (
    Behaviour,
    Condition,
    Guidance,
    GuidanceDraft,
    GuidanceFeedback,
    GuidanceRequest,
    Hint,
    HintTemplate,
    Moment,
    Moments,
    Point,
    Policy,
)
from topics.records.redaction import (
    NO_PROOF,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    DecidedUntil,
    Proof,
    Receipt,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    Suspect,
    TextSpan,
)
from topics.records.review import AccessEvent, Correction, ReviewDecision
from topics.records.running import FeedPosition, Generation, SubjectKey
from topics.records.speech import (
    ON_HOLD,
    AudioCoverage,
    AudioFrame,
    KeyPress,
    MissingAudio,
    SegmentWords,
    SpeechMark,
    Turn,
    Word,
)

__all__ = [
    "NO_PROOF",
    "ON_HOLD",
    "SAMPLES_PER_MS",
    "SAMPLE_RATE_HZ",
    "TRACKS",
    "AccessEvent",
    "AgentSpan",
    "AgentStay",
    "AudioCoverage",
    "AudioFrame",
    "AudioRedaction",
    "AudioSpan",
    "AudioStored",
    "Behaviour",
    "Condition",
    "ContactEvent",
    "ContactRecord",
    "Conversation",
    "Correction",
    "DecidedUntil",
    "FeedPosition",
    "Generation",
    "Guidance",
    "GuidanceDraft",
    "GuidanceFeedback",
    "GuidanceRequest",
    "Hint",
    "HintTemplate",
    "Hold",
    "KeyPress",
    "Leg",
    "MediaStarted",
    "MissingAudio",
    "Moment",
    "Moments",
    "Point",
    "Policy",
    "Proof",
    "Receipt",
    "Record",
    "Recording",
    "RedactedTurn",
    "RedactionCommand",
    "RedactionVerification",
    "ReviewDecision",
    "SegmentWords",
    "Speaker",
    "SpeechMark",
    "SubjectKey",
    "Suspect",
    "TextSpan",
    "Track",
    "Turn",
    "Watermark",
    "Word",
    "turn_id",
]
