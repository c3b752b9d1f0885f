"""What every record has, and progress."""

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
