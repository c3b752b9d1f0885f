"""What redaction publishes, proves and is told, and how far the archive has come."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from topics.records.core import Speaker, Track
from topics.records.speech import Word


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
class Suspect:
    """Words of one turn that are suspected and that no command has masked."""

    turn_id: str
    spans: tuple[TextSpan, ...]


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
    audio: Literal["off", "awaited", "samples", "words", "deaf"] = "off"  # how the stored audio was checked
    suspects: tuple[Suspect, ...] = ()  # what a person has to look at

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
    manifest_version: int = -1  # of the manifest that names every segment, let out or pending; -1 while there is none
    redactions_rev: int = 0  # revision of the last `AudioRedaction` that the archive knows

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id)


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
