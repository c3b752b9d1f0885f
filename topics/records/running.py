"""What a running environment keeps of itself: positions of feeds, generations of topics, keys of subjects."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar


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


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A data key of one conversation and one process, wrapped; without it what it has sealed is unreadable."""

    schema: ClassVar[str] = "subject_key"
    tenant: str
    contact_id: str  # the conversation's root
    key_id: bytes
    wrapping: bytes
    wrapped: bytes
    made_at_ms: int  # since 1970

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.key_id)
