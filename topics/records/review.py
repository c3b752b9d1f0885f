"""What people decide about redaction, and that they have looked behind it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from topics.records.redaction import AudioSpan, RedactedTurn, TextSpan


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be masked further in one turn."""

    turn: RedactedTurn  # as it was published: redaction may have forgotten it
    audio: tuple[AudioSpan, ...]  # that the turn covered
    masks: tuple[TextSpan, ...]


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a reviewer has decided about a contact that waits for a person."""

    schema: ClassVar[str] = "review_decision"
    tenant: str
    contact_id: str
    leg: int
    reviewer: str
    decision: Literal["approved", "rejected"]
    corrections: tuple[Correction, ...]

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.leg)


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """That a person has seen or decided what others may not; written before it happens. It is never revised."""

    schema: ClassVar[str] = "access_event"
    tenant: str
    contact_id: str
    turn_id: str  # whose unredacted words were asked for; empty where it is about the contact
    person: str
    action: Literal["revealed", "denied", "approved", "corrected", "rejected"]
    reason: str  # in the person's words; empty for decisions

    @property
    def identity(self) -> Hashable:
        return (self.schema, self.contact_id, self.turn_id, self.person, self.action)
