"""Seeded schedules of faults over the memory engine, and what must be left of a call after each.

A schedule delivers the events of a script in an order of its own (the order of each topic and key is kept), delivers
some twice, crashes workers at any step, also between copy and commit of a checkpoint, and keeps some of the crashed
ones as zombies that go on writing and committing. Run many: `python -m tests.simulation.crashes --seeds 5000`.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from pipeline.engines.effects import Checkpoint
from pipeline.engines.memory import MemoryLog, MemoryWorker
from pipeline.errors import Fenced
from pipeline.topology import Stage, group_names, group_of
from topics.records import (
    AudioRedaction,
    Guidance,
    GuidanceDraft,
    GuidanceRequest,
    Moments,
    Policy,
    Record,
    RedactedTurn,
    Watermark,
)

Answer = Callable[[object], object]
Services = Mapping[str, Answer]
Finals = dict[tuple[str, bytes, Hashable], Record]

_SETS = {AudioRedaction: "spans", Moments: "moments"} | dict.fromkeys(
    (Guidance, GuidanceDraft, GuidanceRequest), "hints"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One record that comes from outside."""

    topic: str
    key: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class Script:
    """What happens, whatever the schedule.

    Attributes:
        stages: the rows that run.
        policies: the global table.
        events: in the order of the quiet run.
        services: makes what the stages ask; one set for each run.
    """

    stages: tuple[Stage, ...]
    policies: tuple[Policy, ...]
    events: tuple[Event, ...]
    services: Callable[[], Services] = dict


@dataclass(slots=True)
class Owner:
    """A worker and the checkpoint that it has copied but not committed."""

    worker: MemoryWorker
    copied: Checkpoint | None = None


@dataclass(slots=True)
class Outcome:
    """What a run leaves, and what happened on the way."""

    log: MemoryLog
    services: Services
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


def quiet(script: Script) -> Outcome:
    """Run without faults: every event is processed to the end before the next."""
    run = _Run(script, random.Random(0))
    for event in script.events:
        run.outcome.log.append(event.topic, event.key, event.record)
        run.settle()
    return run.outcome


def disturbed(script: Script, seed: int) -> Outcome:
    """Run one schedule; the last event is followed by rest, so that everything comes to its end."""
    run = _Run(script, random.Random(seed))
    run.disturb()
    run.settle()
    return run.outcome


def finals(log: MemoryLog) -> Finals:
    """Return what readers end up with: the latest record of each identity, without revisions.

    An empty set and no set say the same. Of watermarks the end counts, else the latest.
    """
    latest: Finals = {}
    for topic, entries in log.topics.items():
        for entry in entries:
            place = (topic, entry.key, entry.record.identity)
            if place not in latest or _rank(entry.record) >= _rank(latest[place]):
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


class _Run:
    def __init__(self, script: Script, chance: random.Random) -> None:
        self._script = script
        self._chance = chance
        self.outcome = Outcome(MemoryLog(), script.services())
        for policy in script.policies:
            self.outcome.log.append("policies", b"", policy)
        self._owners = {name: Owner(self._worker(name)) for name in group_names(script.stages)}
        self._zombies: list[Owner] = []

    def disturb(self) -> None:
        """Deliver every event, with faults between."""
        queues = self._queues()
        sent: list[Event] = []
        while queues:
            for _ in range(self._chance.randrange(4)):
                self._act()
            queue = self._chance.choice(queues)
            event = queue.pop(0)
            self._send(event, sent)
            queues = [left for left in queues if left]
        for _ in range(self._chance.randrange(200)):
            self._act()

    def settle(self) -> None:
        """Let the owners do all there is to do."""
        while sum(self._advance(owner.worker) for owner in self._owners.values()):
            pass

    def _worker(self, name: str) -> MemoryWorker:
        return MemoryWorker(self.outcome.log, group_of(name, self._script.stages))

    def _queues(self) -> list[list[Event]]:
        queues: defaultdict[tuple[str, bytes], list[Event]] = defaultdict(list)
        for event in self._script.events:
            queues[event.topic, event.key].append(event)
        return list(queues.values())

    def _send(self, event: Event, sent: list[Event]) -> None:
        sent.append(event)
        self.outcome.log.append(event.topic, event.key, event.record)
        if self._chance.random() < 0.1:
            again = sent[-self._chance.randrange(1, min(len(sent), 6) + 1)]
            self.outcome.log.append(again.topic, again.key, again.record)
            self.outcome.counts["doubled"] += 1

    def _act(self) -> None:
        if self._zombies and self._chance.random() < 0.3:
            self._haunt(self._chance.choice(self._zombies))
            return
        name = self._chance.choice(list(self._owners))
        owner = self._owners[name]
        match self._chance.choices(("step", "answer", "copy", "commit", "crash"), (60, 20, 8, 8, 3))[0]:
            case "step":
                self._step(owner.worker)
            case "answer":
                self._answer(owner.worker)
            case "copy" if owner.copied is None:
                owner.copied = owner.worker.checkpoint()
            case "commit" if owner.copied is not None:
                owner.worker.commit(owner.copied)
                owner.copied = None
                self.outcome.counts["committed"] += 1
            case "crash":
                self._crash(name, owner)

    def _crash(self, name: str, owner: Owner) -> None:
        self.outcome.counts["crashes"] += 1
        self.outcome.counts["crashes between copy and commit"] += owner.copied is not None
        if self._chance.random() < 0.5:
            self._zombies.append(owner)
        self._owners[name] = Owner(self._worker(name))

    def _haunt(self, zombie: Owner) -> None:
        """Let a worker that has been replaced go on; its commit must be refused."""
        match self._chance.choices(("step", "answer", "commit", "die"), (6, 3, 3, 2))[0]:
            case "step":
                self._step(zombie.worker)
            case "answer":
                self._answer(zombie.worker)
            case "commit":
                self._commit_late(zombie)
            case "die":
                self._zombies.remove(zombie)

    def _commit_late(self, zombie: Owner) -> None:
        copied = zombie.copied or zombie.worker.checkpoint()
        if copied is None:
            return
        try:
            zombie.worker.commit(copied)
        except Fenced:
            self.outcome.counts["fenced"] += 1
        else:
            raise AssertionError("a zombie could commit")

    def _step(self, worker: MemoryWorker) -> bool:
        waiting = [topic for topic in worker.group.inputs if worker.behind(topic)]
        if waiting:
            worker.step(self._chance.choice(waiting))
        return bool(waiting)

    def _answer(self, worker: MemoryWorker) -> bool:
        if not worker.questions:
            return False
        question = self._chance.choice(worker.questions)
        worker.reply(question, self.outcome.services[question.ask.service](question.request))
        return True

    def _advance(self, worker: MemoryWorker) -> bool:
        return self._step(worker) or self._answer(worker)


def _rank(record: Record) -> tuple[bool, int]:
    if isinstance(record, Watermark):
        return record.is_end, record.time_ms
    return False, int(getattr(record, "rev", 0))


def _is_empty(record: Record) -> bool:
    name = _SETS.get(type(record))
    return name is not None and not getattr(record, name)


def _bare(record: Record) -> Record:
    """Drop what counts attempts: `rev` and, of a turn, how often it was written again."""
    if isinstance(record, RedactedTurn):
        return replace(record, rev=0, redaction_rev=0)
    names = {one.name for one in fields(record)}  # type: ignore[arg-type]  # every record is a dataclass, which Protocol cannot say
    bare: Record = replace(record, rev=0) if "rev" in names else record  # type: ignore[type-var]  # as above
    return bare


def faults(expected: Outcome, actual: Outcome) -> list[str]:
    """Name what a disturbed run did otherwise than the quiet one; places alone, no content."""
    before, after = finals(expected.log), finals(actual.log)
    wrong = [place for place in sorted({*before, *after}, key=repr) if before.get(place) != after.get(place)]
    found = [f"{topic} {identity}" for topic, _, identity in wrong[:5]] + broken_promises(actual.log)
    if stored(expected.services) != stored(actual.services):
        found.append("the archive differs")
    if actual.log.dead:
        found.append("records were dead-lettered")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run schedules until one fails; print its seed."""
    from tests.simulation import scripts

    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--script", choices=("text", "whole"), default="text")
    options = parser.parse_args(arguments)
    script = getattr(scripts, options.script)()
    expected, counts = quiet(script), defaultdict[str, int](int)
    for seed in range(options.first, options.first + options.seeds):
        outcome = disturbed(script, seed)
        wrong = faults(expected, outcome)
        if wrong:
            print(f"seed {seed}:", "; ".join(wrong))  # noqa: T201 - a command line
            return 1
        for name, count in outcome.counts.items():
            counts[name] += count
    happened = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{options.seeds} schedules: {happened}")  # noqa: T201 - a command line
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
