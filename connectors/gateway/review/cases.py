"""The contacts that wait for a reviewer or were rejected: the newest verdict of each. Pure.

A verdict that a contact is verified takes it off the list, so what is kept is what is shown.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from connectors.gateway.board import Frame
from topics.records import RedactionVerification

LISTED: Final = 200
_OPEN: Final = ("needs_review", "rejected")


@dataclass(frozen=True, slots=True)
class Case:
    """One contact with its verdict.

    Attributes:
        verdict: the newest.
        key: of the conversation, as Kafka has it.
        generation: of the contact's topics.
        logged_ms: Kafka's time of the verdict, ms since 1970.
    """

    verdict: RedactionVerification
    key: bytes
    generation: int
    logged_ms: int


class Cases:
    """See the module."""

    def __init__(self) -> None:
        self._cases: dict[tuple[str, str], Case] = {}

    def take(self, case: Case) -> None:
        """Take a verdict; one that is older than what is known changes nothing."""
        name = case.verdict.tenant, case.verdict.contact_id
        known = self._cases.get(name)
        if known is not None and known.verdict.rev >= case.verdict.rev:
            return
        if case.verdict.outcome in _OPEN:
            self._cases[name] = case
        else:
            self._cases.pop(name, None)

    def find(self, tenants: Collection[str], contact_id: str) -> Case | None:
        """Return the case of a contact of one of these tenants."""
        found = (self._cases.get((tenant, contact_id)) for tenant in sorted(tenants))
        return next((case for case in found if case is not None), None)

    def listed(self, tenants: Collection[str]) -> Frame:
        """Return the cases of some tenants as JSON: those that wait, the oldest first, then the rejected."""
        own = [case for (tenant, _), case in self._cases.items() if tenant in tenants]
        own.sort(key=lambda case: (case.verdict.outcome != "needs_review", case.logged_ms))
        return {"total": len(own), "cases": [_listing(case) for case in own[:LISTED]]}


def _listing(case: Case) -> Frame:
    verdict = case.verdict
    types = Counter(span.type for suspect in verdict.suspects for span in suspect.spans)
    return {
        "tenant": verdict.tenant,
        "contact_id": verdict.contact_id,
        "outcome": verdict.outcome,
        "since_ms": case.logged_ms,
        "checked_turns": verdict.checked_turns,
        "suspect_turns": [suspect.turn_id for suspect in verdict.suspects],
        "types": dict(sorted(types.items())),
    }
