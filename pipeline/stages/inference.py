"""Write the hints that a turn calls for.

Owns which of the requested hints are worth an agent's glance. The answers are the policies' own words: what a
policy prescribes is what is drafted. It leaves matching to policy and the last look at the text to redaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import GuidanceDraft, GuidanceRequest, Hint, Record

# Causes whose revision is remembered, so that a request delivered again cannot undo a later one.
RECENT_LIMIT = 128


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """How much one cause may say.

    Attributes:
        hints_per_cause: three cards are what an agent can take in within one turn.
    """

    hints_per_cause: int = 3


@dataclass(slots=True)
class InferenceState:
    """Newest revision of recent causes, oldest first; a cause goes by its id without the contact's."""

    revisions: dict[str, int] = field(default_factory=dict)


class Inference(Machine[InferenceState]):
    """Answer guidance requests with the policies' own templates."""

    state = InferenceState

    def __init__(self, config: InferenceConfig | None = None) -> None:
        """Answer within the limits of `config`."""
        self._config = config or InferenceConfig()

    def on_record(self, state: InferenceState, record: Record) -> Sequence[Record]:
        """Return one draft for the request, with hints in the order asked; an empty request withdraws.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        if not isinstance(record, GuidanceRequest):
            raise RecordRefused("inference does not read this type")
        if _is_stale(state, record):
            return ()
        hints = _distinct(record.hints)[: self._config.hints_per_cause]
        return (GuidanceDraft(record.tenant, record.contact_id, record.leg, record.cause_id, hints),)


def _is_stale(state: InferenceState, request: GuidanceRequest) -> bool:
    """Note the request's revision and say whether a later or equal one has been answered."""
    name = request.cause_id.removeprefix(request.contact_id)
    # A request that no engine has stamped (`rev` 0) cannot be compared.
    if 0 < request.rev <= state.revisions.get(name, 0):
        return True
    state.revisions[name] = request.rev
    if len(state.revisions) > RECENT_LIMIT:
        del state.revisions[next(iter(state.revisions))]
    return False


def _distinct(hints: tuple[Hint, ...]) -> tuple[Hint, ...]:
    """Keep the first hint of each (kind, body)."""
    firsts: dict[tuple[str, str], Hint] = {}
    for hint in hints:
        firsts.setdefault((hint.kind, hint.body), hint)
    return tuple(firsts.values())
