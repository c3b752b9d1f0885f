"""A key of receipts for tests, the gate that knows it, and records with a proof made with it."""

from pipeline.egress import Gate
from pipeline.receipts import KEY_BYTES, Receipts
from topics.records import Guidance, Record, RedactedTurn

KEY = bytes(range(KEY_BYTES))
RECEIPTS = Receipts(KEY)
GATE = Gate(RECEIPTS)


def proven(record: Record) -> Record:
    """Return a record as redaction writes it: with a proof, if it carries words."""
    if isinstance(record, RedactedTurn):
        return RECEIPTS.issue(record, RECEIPTS.source("turn"), 1, "all")[1]
    if isinstance(record, Guidance):
        return RECEIPTS.issue(record, RECEIPTS.source("draft"), 1, "all")[1]
    return record
