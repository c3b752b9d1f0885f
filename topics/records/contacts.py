"""Contacts and conversations, as other systems tell of them. Times count from 1970."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal


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
