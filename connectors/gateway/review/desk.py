"""What a reviewer may do: look at the queue and at one contact, decide about it, ask for the words behind a turn.

Owns the order of things: who may is asked first, what is done is logged on Kafka next, and only then is it done. If
the log is not acknowledged, nothing is shown and nothing is decided. The audit chains the log (`connectors/audit.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, TypeVar

from connectors.gateway.board import KEEP_SILENT_MS, Frame
from connectors.gateway.review.cases import Case, Cases
from connectors.gateway.review.contact import Contact, Mark, are_known, corrections, newest, shown
from connectors.gateway.review.people import Person
from connectors.gateway.review.raw import raw_text
from connectors.gateway.review.reading import Read
from pipeline.egress import Gate
from pipeline.errors import EgressRefused
from pipeline.metrics import EGRESS_REFUSED
from topics.records import AccessEvent, Record, ReviewDecision

SHOWN: Final = ("transcript.redacted", "audio.redactions")
REASON_LETTERS: Final = range(10, 201)
REASON_DIGITS: Final = 8  # of a ticket; nine may be a social security number
MARKS: Final = 200  # in one decision, which is one record

Write = Callable[[Record, bytes, int], Awaitable[None]]
Decision = Literal["approved", "rejected"]
Result = TypeVar("Result")


class Refusal(Exception):
    """Why something is not done: a status of HTTP and a text without content."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Desk:
    """See the module."""

    def __init__(self, read: Read, gate: Gate, cases: Cases, write: Write) -> None:
        """Bind the desk to what it reads and writes.

        Args:
            read: what Kafka holds of a contact; called on threads of the desk.
            gate: what it refuses is not shown.
            cases: who waits.
            write: returns when Kafka has the record, under the key, in the generation; raises PeerUnavailable when it
                has not.
        """
        self._read_records = read
        self._gate = gate
        self._cases = cases
        self._write = write
        self._pool = ThreadPoolExecutor(2, "gateway-review")

    def queue(self, person: Person) -> Frame:
        """Return who waits, as JSON."""
        return self._cases.listed(person.tenants)

    async def contact(self, person: Person, contact_id: str) -> Frame:
        """Return one contact, as JSON.

        Raises:
            Refusal: it waits for nobody, or is not the person's to see.
            PeerUnavailable: Kafka does not answer.
        """
        case = self._case(person, contact_id)
        turns = shown(await self._read(case), case.verdict)
        head: Frame = {"contact_id": contact_id, "tenant": case.verdict.tenant, "outcome": case.verdict.outcome}
        return head | {"verdict_rev": case.verdict.rev, "may_reveal": person.may_reveal, "turns": turns}

    async def decide(
        self, person: Person, contact_id: str, verdict_rev: int, decision: Decision, marks: Sequence[Mark]
    ) -> None:
        """Log a decision and hand it to the stages; it holds once `redaction.verifications` says so.

        Raises:
            Refusal: the contact does not wait, or is no longer as the person saw it.
            PeerUnavailable: Kafka does not take it; nothing is decided, or the same may be sent again.
        """
        if len(marks) > MARKS or not are_known(marks):
            raise Refusal(400, "too many marks, or of an unknown type")
        case = self._case(person, contact_id)
        if case.verdict.outcome != "needs_review" or case.verdict.rev != verdict_rev:
            raise Refusal(409, "somebody has decided meanwhile")
        made = corrections(await self._read(case), marks) if marks else ()
        if made is None:
            raise Refusal(409, "the transcript has changed meanwhile")
        await self._log(person, case, "", "rejected" if decision == "rejected" else "corrected" if made else "approved")
        verdict = case.verdict
        await self._write(
            ReviewDecision(verdict.tenant, contact_id, verdict.leg, person.name, decision, made),
            case.key,
            case.generation,
        )

    async def reveal(self, person: Person, contact_id: str, turn_id: str, reason: str) -> str:
        """Return the unredacted words of one turn, after the log has taken who asks and why.

        Raises:
            Refusal: the person may not, the reason is none, or the words are gone.
            PeerUnavailable: Kafka does not answer, so it is not logged or cannot be read.
        """
        case = self._case(person, contact_id)
        why = " ".join(reason.split())
        if len(why) not in REASON_LETTERS or sum(letter.isdigit() for letter in why) > REASON_DIGITS:
            raise Refusal(400, "a reason has 10 to 200 letters, and 8 digits at most")
        if not turn_id.startswith(f"{contact_id}/"):
            raise Refusal(400, "the turn is of another contact")
        await self._log(person, case, turn_id, "revealed" if person.may_reveal else "denied", why)
        if not person.may_reveal:
            raise Refusal(403, "you have no right to see unredacted words")
        heard = await self._aside(raw_text, self._read_records, case, turn_id)
        if heard is None:
            raise Refusal(410, "the words are gone: they are kept for four hours")
        return heard

    def close(self) -> None:
        """Read no more."""
        self._pool.shutdown(wait=False)

    def _case(self, person: Person, contact_id: str) -> Case:
        case = self._cases.find(person.tenants, contact_id)
        if case is None:
            raise Refusal(404, "no such contact waits")
        return case

    async def _log(
        self,
        person: Person,
        case: Case,
        turn_id: str,
        action: Literal["revealed", "denied", "approved", "corrected", "rejected"],
        why: str = "",
    ) -> None:
        verdict = case.verdict
        event = AccessEvent(verdict.tenant, verdict.contact_id, turn_id, person.name, action, why)
        await self._write(event, case.key, case.generation)

    async def _read(self, case: Case) -> Contact:
        since_ms = case.logged_ms - KEEP_SILENT_MS
        found = await self._aside(self._read_records, SHOWN, case.key, since_ms, case.generation)
        return newest((record for record in found if self._may_pass(record)), case.verdict.contact_id)

    def _may_pass(self, record: Record) -> bool:
        try:
            self._gate.check(record)
        except EgressRefused:
            EGRESS_REFUSED.labels("gateway").inc()
            return False
        return True

    async def _aside(self, read: Callable[..., Result], *given: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, read, *given)
