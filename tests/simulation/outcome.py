"""What must be left of a call after any schedule: what a quiet run leaves."""

from collections.abc import Callable, Hashable
from dataclasses import replace

from pipeline.engines import revisions
from pipeline.engines.memory import MemoryLog
from tests.simulation.world import Outcome, Services
from topics.records import (
    NO_PROOF,
    AudioRedaction,
    AudioStored,
    Guidance,
    GuidanceDraft,
    GuidanceRequest,
    Moments,
    Record,
    RedactedTurn,
    Watermark,
)

Finals = dict[tuple[str, bytes, Hashable], Record]

_SETS: dict[type[Record], str] = {AudioRedaction: "spans", Moments: "moments"} | dict.fromkeys(
    (Guidance, GuidanceDraft, GuidanceRequest), "hints"
)


def finals(log: MemoryLog) -> Finals:
    """Return what readers end up with: the latest record of each identity, without revisions.

    An empty set and no set say the same. Of watermarks the end counts, else the latest.
    """
    latest: Finals = {}
    for topic, entries in log.topics.items():
        for entry in entries:
            place = (topic, entry.key, entry.record.identity)
            before = latest.get(place)
            if before is None or _rank(entry.record) >= _rank(before):
                latest[place] = entry.record
    return {place: _bare(record) for place, record in latest.items() if not _is_empty(record)}


def stored(services: Services) -> object:
    """Return what the archive has stored; None where it does not run."""
    return getattr(services.get("objects"), "stored", None)


def broken_promises(log: MemoryLog) -> list[str]:
    """Name what no schedule may show: one revision with two contents."""
    found = []
    for topic, entries in log.topics.items():
        seen: dict[tuple[bytes, Hashable, int], Record] = {}
        for entry in entries:
            rev = getattr(entry.record, "rev", None)
            if rev and seen.setdefault((entry.key, entry.record.identity, rev), entry.record) != entry.record:
                found.append(f"{topic} has two records of one revision")
    return found


def judge(expected: Outcome) -> Callable[[Outcome], list[str]]:
    """Return what names how a disturbed run differs from the quiet one: places alone, no content."""
    before = finals(expected.log)

    def faults(actual: Outcome) -> list[str]:
        after = finals(actual.log)
        wrong = [place for place in {*before, *after} if before.get(place) != after.get(place)]
        found = [f"{topic} {identity}" for topic, _, identity in sorted(wrong, key=repr)[:5]]
        found += broken_promises(actual.log)
        if stored(expected.services) != stored(actual.services):
            found.append("the archive differs")
        if actual.log.dead:
            found.append("records were dead-lettered")
        return found

    return faults


def _rank(record: Record) -> tuple[bool, int]:
    if isinstance(record, Watermark):
        return record.is_end, record.time_ms
    return False, int(getattr(record, "rev", 0))


def _is_empty(record: Record) -> bool:
    name = _SETS.get(type(record))
    return name is not None and not getattr(record, name)


def _bare(record: Record) -> Record:
    """Drop what counts attempts, `rev` and of a turn how often it was written again, and the proof of one key."""
    if isinstance(record, RedactedTurn):
        return replace(record, rev=0, redaction_rev=0, proof=NO_PROOF)
    if isinstance(record, Guidance):
        return replace(record, rev=0, proof=NO_PROOF)
    if isinstance(record, AudioStored):
        return replace(record, rev=0, redactions_rev=0)
    return revisions.stamp(record, 0) if revisions.is_revised(type(record)) else record
