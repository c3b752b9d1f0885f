"""The gate in front of everything that leaves: stores, screens and models take only what redaction has proved.

Owns which types carry words that somebody said. A type that stands in no list is refused: whoever adds one decides.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pipeline.errors import EgressRefused
from pipeline.receipts import Receipts
from topics.records import (
    AccessEvent,
    AudioCoverage,
    AudioRedaction,
    AudioStored,
    ContactEvent,
    ContactRecord,
    Conversation,
    DecidedUntil,
    Guidance,
    GuidanceFeedback,
    MediaStarted,
    Moments,
    Receipt,
    Record,
    RedactedTurn,
    RedactionVerification,
    Watermark,
)

# Must be proved. A receipt holds no words, but what is chained must be true.
PROVEN: Final = (RedactedTurn, Guidance, Receipt)
# Times, samples, names of things and encrypted fields: nothing that was said.
WORDLESS: Final = frozenset(
    {
        AccessEvent,
        AudioCoverage,
        AudioRedaction,
        AudioStored,
        ContactEvent,
        ContactRecord,
        Conversation,
        DecidedUntil,
        GuidanceFeedback,
        MediaStarted,
        Moments,
        RedactionVerification,
        Watermark,
    }
)
# Services that no gate stands before, for what they are asked with is not redacted and must not be:
# the stream is where audio comes from, the recogniser hears it, and the archive covers what redaction has decided.
# Whoever plays back what is stored is asked with limits of samples alone.
UNGATED: Final = frozenset({"kvs", "asr", "objects", "playback"})

_Service = Callable[[Any], Awaitable[object]]


class Gate:
    """Refuses what is not proved."""

    def __init__(self, receipts: Receipts) -> None:
        """Check with the key that redaction proves with."""
        self._receipts = receipts

    def check(self, record: Record) -> None:
        """Let a record pass.

        Raises:
            EgressRefused: its type needs a proof that it lacks or that is not of its content, or is unknown here.
        """
        if type(record) in WORDLESS:
            return
        if not isinstance(record, PROVEN):
            raise EgressRefused("the record's type may not leave")
        if not self._receipts.is_valid(record):
            raise EgressRefused("the record has no valid receipt")


def guarded(gate: Gate) -> Callable[[_Service], _Service]:
    """Return what stands a gate before a service such as a model: it is asked with a tuple of records alone."""

    def guard(service: _Service) -> _Service:
        async def answer(request: object) -> object:
            for record in request if isinstance(request, tuple) else (request,):
                gate.check(record)
            return await service(request)

        return answer

    return guard
