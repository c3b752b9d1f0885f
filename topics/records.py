"""What flows: one frozen record for each schema in `schemas/avro/`.

The `.avsc` file is the truth; `tests/topics/test_records.py` compares each class with it field by field.
This module owns meaning and identity, not bytes (`codec.py`) and not places (`catalogue.py`).

Units: `*_ms` is audio time in milliseconds from the contact's start; `*_sample` counts 8 kHz samples of one track from
the contact's start; ranges are half-open. Times of `Generation` and what other systems tell of a contact
(`MediaStarted`, `ContactRecord`, `ContactEvent.time_ms`, `AudioCoverage.start_ms`, `Conversation`) count from 1970
instead. `rev` is epoch * 2**24 + n, stamped by the engine; of two records with one identity the higher `rev` wins.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

SAMPLE_RATE_HZ = 8_000
SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1_000

Track = Literal["customer", "agent"]
TRACKS: tuple[Track, Track] = ("customer", "agent")
Speaker = Literal["customer", "agent", "system"]


class Record(Protocol):
    """What every record has: where it belongs and what it is about."""

    schema: ClassVar[str]

    @property
    def tenant(self) -> str:
        """The customer of the contact centre platform that the record belongs to."""

    @property
    def contact_id(self) -> str:
        """The contact (one leg's id) that the record is about; the policy id for a policy."""

    @property
    def identity(self) -> Hashable:
        """Equal for two records of which the later revision replaces the earlier."""


def turn_id(contact_id: str, track: Track, first_sample: int) -> str:
    """Name the turn of one VAD segment: `<contact_id>/<track>/<first sample, pre-roll excluded>`."""
    return f"{contact_id}/{track}/{first_sample}"


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
class Watermark:
    """Everything of this contact that ends before `time_ms` has been sent on this topic."""

    schema: ClassVar[str] = "watermark"
    tenant: str
    contact_id: str
    leg: int
    time_ms: int
    is_end: bool  # nothing follows: the leg is over

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.leg)


@dataclass(frozen=True, slots=True)
class ContactEvent:
    """Something happened to the contact as a whole."""

    schema: ClassVar[str] = "contact_event"
    tenant: str
    contact_id: str
    leg: int  # 0 where the source does not number them; `contact_id` tells legs apart
    kind: Literal["started", "queued", "agent_joined", "hold_began", "hold_ended", "agent_left", "ended"]
    at_ms: int  # 0 where the source tells no audio time
    agent: str  # who is on the agent track; empty when nobody is, or nobody knows
    time_ms: int = 0  # since 1970, as the source told it; 0 where the source is a file
    previous_contact_id: str = ""  # of the leg that was transferred to this one
    queue: str = ""  # by name, or by ARN where no name is told
    channel: str = ""
    sealed: bytes = b""  # endpoints and attributes; `connectors/sealing.py` opens them
    initial_contact_id: str = ""  # of the conversation; empty for its first leg

    @property
    def identity(self) -> Hashable:
        if self.kind in ("started", "ended"):
            return (self.schema, self.contact_id, self.leg, self.kind)
        return (self.schema, self.contact_id, self.leg, self.kind, self.agent, self.time_ms)  # it may happen again


@dataclass(frozen=True, slots=True)
class MediaStarted:
    """A contact's audio flows into a stream of Kinesis Video Streams."""

    schema: ClassVar[str] = "media_started"
    tenant: str
    contact_id: str
    stream: str  # ARN
    start_ms: int  # since 1970: Connect's StartTimestamp
    first_fragment: str  # StartFragmentNumber
    initial_contact_id: str = ""  # of the conversation; empty for its first leg

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.stream)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a contact, as its platform lists it. Times since 1970."""

    participant: str  # whose part: AGENT, CUSTOMER or ALL; empty where it is not told
    media: str  # AUDIO, VIDEO or CHAT
    storage: str  # S3 or KINESIS_VIDEO_STREAM
    location: str  # path in S3, or ARN of the stream
    first_fragment: str  # of the stream; both inclusive, empty elsewhere
    last_fragment: str
    start_ms: int | None
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class AgentSpan:
    """A state of the agent during a contact, from entering to leaving it. Times since 1970."""

    state: str
    start_ms: int
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """What the platform has on record about one contact. Of two the one with the higher `updated_ms` is valid."""

    schema: ClassVar[str] = "contact_record"
    tenant: str
    contact_id: str
    updated_ms: int  # since 1970, as every time here: LastUpdateTimestamp
    content_hash: str  # SHA-256 of the other fields less `sealed`, hexadecimal
    initial_contact_id: str  # empty for a first leg, as the next three where there is no such leg
    previous_contact_id: str
    next_contact_id: str
    related_contact_id: str
    channel: str
    initiation_method: str
    disconnect_reason: str
    initiated_ms: int | None
    connected_to_system_ms: int | None
    disconnected_ms: int | None
    transferred_ms: int | None
    queue: str
    enqueued_ms: int | None
    dequeued_ms: int | None
    agent: str  # the user name; empty where no agent took part
    agent_connected_ms: int | None
    after_work_start_ms: int | None
    after_work_end_ms: int | None
    hold_s: int  # of the customer, all holds together
    holds: int
    agent_states: tuple[AgentSpan, ...]
    recordings: tuple[Recording, ...]
    sealed: bytes = b""  # endpoints and attributes

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id)


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
class AgentStay:
    """An agent's time on a leg. Times since 1970."""

    agent: str  # the user name; empty where the source does not tell it
    joined_ms: int
    left_ms: int | None  # None while they are there, and where nobody told


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold of the customer. Times since 1970."""

    began_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Leg:
    """One contact of a conversation, as events and its stream tell it. Times since 1970, None where nobody told."""

    contact_id: str
    previous_contact_id: str  # of the leg that was transferred to this one; empty where there is none
    channel: str
    queue: str  # told last; empty where there is none
    stream: str  # ARN of the stream that its audio flows into; empty where it flows into none
    started_ms: int | None  # 0 where the source is a file, like `ended_ms`
    queued_ms: int | None
    ended_ms: int | None
    media_ms: int | None  # from when on its audio flows
    audio_ms: int | None  # of its first sample: where its audio time begins
    audio_end_ms: int | None  # of the last, once nothing follows
    agents: tuple[AgentStay, ...]
    holds: tuple[Hold, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """All legs of a conversation, in the order in which they started; contact records join it in the store."""

    schema: ClassVar[str] = "conversation"
    tenant: str
    contact_id: str  # of the first leg, whether or not that is known
    legs: tuple[Leg, ...]
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


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A masked run of words of one turn and the tracks whose audio it covers. Times are word limits, unpadded."""

    start_ms: int
    end_ms: int
    type: str  # CREDITCARD CVV EXPIRY SSN BANKACCOUNT ROUTING PHONE DOB EMAIL ADDRESS NAME, PII while undecided
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """That redaction has written the record it stands in; `pipeline/receipts.py` makes and checks it."""

    source: str  # HMAC-SHA256 of what the record was made of, hexadecimal
    source_rev: int  # revision of that
    detector: str  # version of the rules
    profile: str  # version of the tenant's choice among them
    mac: str  # HMAC-SHA256 of the whole receipt, hexadecimal


NO_PROOF = Proof("", 0, "", "", "")


@dataclass(frozen=True, slots=True)
class RedactedTurn:
    """One turn with each sensitive run of words replaced by one `[TYPE]` token."""

    schema: ClassVar[str] = "redacted_turn"
    tenant: str
    contact_id: str
    leg: int
    turn_id: str
    redaction_rev: int  # counts re-emissions of the turn caused by later evidence, from 0
    track: Track
    speaker: Speaker
    first_sample: int
    end_sample: int
    is_final: bool
    words: tuple[Word, ...]
    spans: tuple[TextSpan, ...]
    asr: str
    confidence: float | None
    rev: int = 0
    gap: str = ""  # of the turn; what is said on hold is not shown
    stable_words: int = 0  # as of the turn, `[TYPE]` counted as one
    is_backchannel: bool = False
    proof: Proof = NO_PROOF  # without it nothing that shows or stores takes the record

    @property
    def text(self) -> str:
        """The words joined with single spaces."""
        return " ".join(word.text for word in self.words)

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.turn_id)


@dataclass(frozen=True, slots=True)
class AudioSpan:
    """Samples of one track to replace by the tone, padding included."""

    track: Track
    start_sample: int
    end_sample: int
    type: str


@dataclass(frozen=True, slots=True)
class AudioRedaction:
    """Every span that one turn asks to cover, on either track; an empty set withdraws earlier ones."""

    schema: ClassVar[str] = "audio_redaction"
    tenant: str
    contact_id: str
    leg: int
    turn_id: str
    spans: tuple[AudioSpan, ...]
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.turn_id)


@dataclass(frozen=True, slots=True)
class RedactionCommand:
    """What redaction is told to mask further in one turn, by verification or a reviewer."""

    schema: ClassVar[str] = "redaction_command"
    tenant: str
    contact_id: str
    leg: int
    turn: RedactedTurn  # as it was published: redaction may have forgotten it
    audio: tuple[AudioSpan, ...]  # that the turn covered
    masks: tuple[TextSpan, ...]
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.turn.turn_id)


@dataclass(frozen=True, slots=True)
class DecidedUntil:
    """No span will be added before these samples: the archive may write up to here."""

    schema: ClassVar[str] = "decided_until"
    tenant: str
    contact_id: str
    leg: int
    customer_sample: int
    agent_sample: int
    is_end: bool  # the contact is over and everything is decided
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.leg)


@dataclass(frozen=True, slots=True)
class RedactionVerification:
    """What a second look at a contact's redaction has found."""

    schema: ClassVar[str] = "redaction_verification"
    tenant: str
    contact_id: str
    leg: int
    outcome: Literal["verified", "auto_fixed", "needs_review", "rejected"]
    spans: tuple[AudioSpan, ...]  # what it covers beyond redaction; never withdrawn
    checked_turns: int
    found: int  # values that redaction had left
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.leg)


@dataclass(frozen=True, slots=True)
class AudioStored:
    """The archive has every sample of a contact before these."""

    schema: ClassVar[str] = "audio_stored"
    tenant: str
    contact_id: str
    customer_sample: int
    agent_sample: int
    is_complete: bool  # the manifest is stored: nothing follows
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id)


@dataclass(frozen=True, slots=True)
class Condition:
    """One way for a behaviour to match a turn: exactly one of the two is not empty."""

    phrase: str = ""
    regex: str = ""


@dataclass(frozen=True, slots=True)
class HintTemplate:
    """What a behaviour says to the agent when it matches."""

    kind: str
    body: str
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A thing said by one side that the policy wants noticed."""

    id: str
    speaker: Literal["customer", "agent", "any"]
    any: tuple[Condition, ...]
    cooldown_s: float
    hint: HintTemplate


@dataclass(frozen=True, slots=True)
class Policy:
    """One immutable version of a tenant's policy."""

    schema: ClassVar[str] = "policy"
    tenant: str
    policy_id: str
    version: int
    behaviours: tuple[Behaviour, ...]

    @property
    def contact_id(self) -> str:
        """Policies belong to no contact; their key is made of this."""
        return f"{self.policy_id}/{self.version}"

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.tenant, self.policy_id, self.version)


@dataclass(frozen=True, slots=True)
class Moment:
    """One behaviour that matched."""

    policy: str
    policy_version: int
    behaviour: str


@dataclass(frozen=True, slots=True)
class Moments:
    """Every behaviour that one turn matched, possibly none."""

    schema: ClassVar[str] = "moments"
    tenant: str
    contact_id: str
    leg: int
    turn_id: str
    at_ms: int
    moments: tuple[Moment, ...]
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.turn_id)


@dataclass(frozen=True, slots=True)
class Point:
    """One sentence of a summary and the turns that it cites."""

    text: str
    turn_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hint:
    """One card for the agent's screen, or the summary (`kind` is `summary`)."""

    guidance_id: str
    kind: str
    body: str
    policy: str
    policy_version: int
    evidence: tuple[str, ...]  # turn ids
    at_ms: int
    deadline_ms: int | None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class GuidanceRequest:
    """Every hint that one turn calls for; an empty set withdraws earlier ones."""

    schema: ClassVar[str] = "guidance_request"
    tenant: str
    contact_id: str
    leg: int
    cause_id: str  # the turn
    hints: tuple[Hint, ...]
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.cause_id)


@dataclass(frozen=True, slots=True)
class GuidanceDraft:
    """Hints as inference or summary wrote them, before redaction (restricted)."""

    schema: ClassVar[str] = "guidance_draft"
    tenant: str
    contact_id: str
    leg: int
    cause_id: str  # the turn, or `<contact_id>/summary`
    hints: tuple[Hint, ...]
    rev: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.cause_id)


@dataclass(frozen=True, slots=True)
class Guidance:
    """Hints that may be shown and stored; an empty set withdraws what this cause said before."""

    schema: ClassVar[str] = "guidance"
    tenant: str
    contact_id: str
    leg: int
    cause_id: str
    hints: tuple[Hint, ...]
    rev: int = 0
    proof: Proof = NO_PROOF  # as a turn's

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.cause_id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What redaction has made a record of; the same for the same content, whichever worker wrote it."""

    schema: ClassVar[str] = "receipt"
    tenant: str
    contact_id: str
    leg: int
    kind: str  # schema of the record
    subject: str  # the record's turn or cause
    redaction_rev: int  # the turn's; 0 for guidance
    source: str  # HMAC-SHA256 of what it was made of, hexadecimal
    source_rev: int
    output: str  # SHA-256 of the record without revision and proof, hexadecimal
    detector: str
    profile: str
    spans: tuple[TextSpan, ...]  # the turn's; guidance has none
    mac: str  # HMAC-SHA256 of all of this, hexadecimal

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.kind, self.subject)


@dataclass(frozen=True, slots=True)
class GuidanceFeedback:
    """What the agent did with a card."""

    schema: ClassVar[str] = "guidance_feedback"
    tenant: str
    contact_id: str
    guidance_id: str
    action: Literal["accepted", "dismissed"]
    agent: str

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.guidance_id, self.agent)


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far one part of a feed of another system has been taken."""

    schema: ClassVar[str] = "feed_position"
    feed: str
    part: str
    position: str  # in the other system's words

    @property
    def tenant(self) -> str:
        """Nobody's: it says nothing of a contact."""
        return ""

    @property
    def contact_id(self) -> str:
        """Positions belong to no contact; their key is made of this."""
        return f"{self.feed}/{self.part}"

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.feed, self.part)


@dataclass(frozen=True, slots=True)
class Generation:
    """One set of contact topics that contacts belong to by their start; `topics/generations.py` says how."""

    schema: ClassVar[str] = "generation"
    number: int
    partitions: int
    opens_at_ms: int  # since 1970, unlike the times of a contact
    removed_at_ms: int | None  # since 1970

    @property
    def tenant(self) -> str:
        """Nobody's: all tenants share the topics."""
        return ""

    @property
    def contact_id(self) -> str:
        """Generations belong to no contact; their key is made of this."""
        return str(self.number)

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.number)
