"""The laws of `pipeline/machine.py`, the same for a machine that is fed directly and for one on any engine.

A law is a way in which the records of a contact may arrive: each has a contact of its own, whose call is that of the
simulation. What readers are left with has to be what the call leaves when each record arrives once. The contacts of a
stage arrive side by side, the topics of each interleaved by a seeded draw of its own; an engine may be cut anywhere.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from pipeline.engines import revisions
from pipeline.engines.memory import MemoryLog, MemoryWorker
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.topology import STAGES, Stage, group_of
from tests.simulation import scripts
from tests.simulation.crashes import quiet
from tests.simulation.outcome import Finals, finals, stored
from tests.simulation.remembered import REMEMBERING
from tests.simulation.world import Outcome as Quiet
from tests.simulation.world import Services
from topics.keys import contact_key
from topics.records import Record

BY_NAME = {stage.name: stage for stage in STAGES}
REMEMBERED = {stage.name: stage for stage in REMEMBERING}
# The others are shown a call from its words on.
OF_AUDIO = ("capture", "vad", "asr", "conversation", "archive", "verification")

Sent = tuple[str, bytes, Record]
Feed = Sequence[Sent]
Outcome = tuple[Finals, Mapping[object, object]]  # what is written, and what the archive has stored


def once(feed: Feed) -> Feed:
    """Each record arrives once."""
    return feed


def twice(feed: Feed) -> Feed:
    """Each record arrives twice."""
    return [sent for sent in feed for _ in range(2)]


def again(feed: Feed) -> Feed:
    """Everything arrives again, as after a takeover without a checkpoint."""
    return [*feed, *feed]


def revised(feed: Feed) -> Feed:
    """Whoever wrote the records dies in the middle, and its next owner writes the second and third quarter anew."""
    quarter = len(feed) // 4
    return [*feed[: 3 * quarter], *map(_of_next_epoch, feed[quarter:])]


def late(feed: Feed) -> Feed:
    """As `revised`, and a zombie goes on to write what it has said before."""
    quarter = len(feed) // 4
    return [*revised(feed), *feed[: 3 * quarter]]


LAWS: Mapping[str, Callable[[Feed], Feed]] = {law.__name__: law for law in (once, twice, again, revised, late)}


def alone(stage: Stage) -> Stage:
    """The stage as a group of its own, so that nothing is chained."""
    return replace(stage, group=f"law-{stage.name}")


def contact(law: str) -> str:
    """Name the contact of a law."""
    return f"contact-{law}"


def of_contact(name: str, law: str, draw: random.Random) -> Feed:
    """What a stage reads of one contact in the quiet run; its topics interleaved by a draw."""
    log, key = _log(name, law), contact_key(scripts.TENANT, contact(law))
    read = {topic: [entry for entry in log.topics[topic] if entry.key == key] for topic in BY_NAME[name].inputs}
    waiting = {topic: list(reversed(entries)) for topic, entries in read.items() if entries}
    fed: list[Sent] = []
    while waiting:
        topic = draw.choice(sorted(waiting))
        entry = waiting[topic].pop()
        fed.append((topic, entry.key, entry.record))
        waiting = {topic: left for topic, left in waiting.items() if left}
    return fed


def shown(name: str, laws: Sequence[str] = tuple(LAWS)) -> Feed:
    """What a stage is shown: the contacts of some laws side by side."""
    draw = random.Random(name)
    waiting = [list(reversed(LAWS[law](of_contact(name, law, draw)))) for law in laws]
    fed: list[Sent] = []
    while waiting:
        contacts = draw.choice(waiting)
        fed.append(contacts.pop())
        waiting = [left for left in waiting if left]
    return fed


@cache
def expected(name: str) -> Outcome:
    """What readers are left with when each record of each contact arrives once."""
    draw = random.Random(f"quiet {name}")
    return play(name, [sent for law in LAWS for sent in of_contact(name, law, draw)])


def of_law(outcome: Outcome, law: str) -> Outcome:
    """The part of an outcome that belongs to one law."""
    key = contact_key(scripts.TENANT, contact(law))
    written, audio = outcome
    return (
        {place: record for place, record in written.items() if place[1] == key},
        {name: content for name, content in audio.items() if f"/contact={contact(law)}/" in str(name)},
    )


def play(name: str, feed: Feed, cuts: frozenset[int] = frozenset()) -> Outcome:
    """Feed a stage, with a restored one in its place after the cuts; return what readers are left with."""
    log, services = MemoryLog(), services_of(name)
    for policy in scripts.text().policies:
        log.append("policies", b"", policy)
    worker = Single(log, alone(REMEMBERED[name]), services)
    for number, (topic, key, record) in enumerate(feed):
        log.append(topic, key, record)
        worker.work()
        if number in cuts:
            worker.save()
            worker = Single(log, alone(REMEMBERED[name]), services)
            worker.work()
    assert [] == log.dead
    return outcome_of(name, log, services)


def services_of(name: str) -> Services:
    """Make the services of a stage; what verification plays back was stored in the quiet runs."""
    services = scripts.services()
    if name == "verification":
        for law in LAWS:
            there, was = stored(services), stored(_whole(law).services)
            assert isinstance(there, dict)
            assert isinstance(was, dict)
            there |= was
    return services


def outcome_of(name: str, log: MemoryLog, services: Services) -> Outcome:
    """What a log and its services hold of a stage's work."""
    written = MemoryLog()
    written.topics.update({topic: log.topics[topic] for topic in BY_NAME[name].outputs})
    audio = stored(services)
    assert isinstance(audio, dict)
    return finals(written), dict(audio)


class Single(MemoryWorker):
    """A worker of one stage whose checkpoints are taken at once."""

    def __init__(self, log: MemoryLog, stage: Stage, services: Services) -> None:
        self._services = services
        super().__init__(log, group_of(stage.group, (stage,)))
        self.restore()

    def work(self) -> None:
        """Do all there is to do."""
        while sum(self._feed(topic) for topic in self.group.inputs) or self._answer():
            pass

    def save(self) -> None:
        """Write a checkpoint; nothing is too large for it."""
        copied = self.checkpoint()
        assert copied is not None
        assert [] == [row for row, value in copied.rows if len(value or b"") > STATE_LIMIT_BYTES]
        self.commit(copied)

    def _feed(self, topic: str) -> bool:
        if not self.behind(topic):
            return False
        self.step(topic)
        return True

    def _answer(self) -> bool:
        if not self.questions:
            return False
        question = self.questions[0]
        self.reply(question, self._services[question.ask.service](question.request))
        return True


@cache
def _log(name: str, law: str) -> MemoryLog:
    return _whole(law).log if name in OF_AUDIO else _text_log()


@cache
def _whole(law: str) -> Quiet:
    return quiet(scripts.whole(contact(law))["the captured call"])


@cache
def _text_log() -> MemoryLog:
    return quiet(scripts.text(tuple(map(contact, LAWS)))).log


def _of_next_epoch(sent: Sent) -> Sent:
    topic, key, record = sent
    if not revisions.is_revised(type(record)):
        return sent
    rev = getattr(record, "rev", 0) + revisions.REVISIONS_PER_EPOCH
    return topic, key, revisions.stamp(record, rev)
