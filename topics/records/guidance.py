"""Policies, what they notice, and what the agent is advised."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from topics.records.redaction import NO_PROOF, Proof


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
