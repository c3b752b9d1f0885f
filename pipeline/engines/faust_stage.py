"""One stage as a Faust agent with its table; `faust.py` makes the app around it.

Each partition has a `Task` of this stage alone: nothing is chained, every hop goes over its topic. Outputs leave at
once. About four times a second the changed states are copied, the outputs that they imply are waited for, the copies
are written to the table, and when the changelog has them the events behind them are acknowledged, oldest first. Faust
commits acknowledged offsets. So a committed record is in the changelog with all that follows from it.

Acknowledging waits for audio that a state may need again, and never skips an event: Faust 0.15.3 commits past one that
was left out (its issue 606).

A row holds the partition, the last applied offset of each input topic, and what `Task` writes. A record that comes
again is passed over, unless it is audio that a restored state lacks. One row a partition holds the epoch, which a new
owner raises, and waits for, before it begins.
"""

import asyncio
import time
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec

from pipeline.engines.effects import Effects, Input, Question
from pipeline.engines.kafka import CAUSE_HEADER, REFUSED_LIMIT
from pipeline.engines.payloads import Payloads
from pipeline.engines.services import Service, ask
from pipeline.engines.task import NAME_ROW, Task
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Machine
from pipeline.metrics import GroupMetrics
from pipeline.progress import Progress
from pipeline.topology import Stage, group_of
from topics import catalogue, deadletters
from topics.records import AudioFrame, Record

# Faust's types leave half of each class open; what this module uses of events is written out below.
App = Any  # also Faust's topics and streams
Sent = asyncio.Future[Any]

# So many looks in a row, each followed by reading again, prove that the next record is not in the topic.
GIVE_UP_LOOKS = 3
_EPOCH = b"epoch\0"
_Value = tuple[int, dict[str, int], bytes]  # of a row: partition, applied offsets, what `Task` writes
_Place = tuple[int, bytes, str]  # partition, key and ask id of a question


class Message(Protocol):
    """What an event was read from."""

    topic: str
    partition: int
    offset: int
    timestamp: float  # broker time in seconds
    key: bytes | None
    value: bytes | None


class Event(Protocol):
    """One record on its way through an agent."""

    message: Message

    def ack(self) -> bool:
        """Let its offset be committed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The worker, as its agents know it.

    Attributes:
        services: what stages ask, by name.
        fail: ends the worker with a fault that nobody waits for.
        payloads: what seals restricted topics.
        progress: which record ended an earlier life; None where there is no supervisor.
    """

    services: Mapping[str, Service]
    fail: Callable[[Exception], None]
    payloads: Payloads
    progress: Progress | None

    @property
    def is_careful(self) -> bool:
        """Whether one record after the other is taken, to find the one that ends the process."""
        return self.progress is not None and self.progress.is_careful

    def has_killed(self, topic: str, n: int, offset: int) -> bool:
        """Whether a careful worker knows that a record ends the process."""
        return self.progress is not None and self.progress.is_careful and self.progress.has_killed((topic, n, offset))


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition begins, by topic without prefix: the next offset, and the end found at takeover."""

    offsets: dict[str, int]
    ends: dict[str, int]


@dataclass(slots=True)
class _Owned:
    """One assigned partition.

    Attributes:
        applied: by the state's key and the topic, the offset of the last record that the state knows.
        events: by topic, those that wait to be acknowledged, oldest first; one that came again stands here again.
        looked: by topic, the position at the last look, and how many looks found it unchanged and records after it.
        sent: outputs that no copy of the states has waited for.
    """

    task: Task
    ends: dict[str, int]
    taken_s: float
    applied: dict[bytes, dict[str, int]] = field(default_factory=dict)
    events: defaultdict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    @property
    def has_passed(self) -> bool:
        """Whether the ends found at takeover are behind it."""
        return all(self.task.positions[topic] >= end for topic, end in self.ends.items())


class FaustStage:
    """See the module."""

    def __init__(self, app: App, prefix: str, stage: Stage, owner: Owner) -> None:
        """Declare the agent and its table."""
        self.stage = stage
        self.machine: Machine[Any] = stage.machine()
        self._group = group_of(stage.group, (stage,))
        self._prefix = prefix
        self._owner = owner
        self._is_replaying = type(self.machine).replay_from_ms is not Machine.replay_from_ms
        self._owned: dict[int, _Owned] = {}
        self._answers: dict[_Place, asyncio.Task[None]] = {}
        self._standing: set[_Place] = set()  # of these, the questions that wait for news of the world
        self._refused_in_row = 0
        self._metrics = GroupMetrics(stage.group)
        written = {*stage.outputs, *map(deadletters.name, stage.inputs)}
        self._outputs = {topic: _raw(app, prefix + topic) for topic in written}
        changelog = _raw(app, prefix + catalogue.changelog(owner_of(stage)), acks=False, internal=True, compacting=True)
        self._table = app.Table(stage.name, key_type=bytes, value_type=bytes, changelog_topic=changelog)

        async def work(stream: App) -> None:
            await self._work(stream.noack().events())

        app.agent(_raw(app, *(prefix + topic for topic in stage.inputs)), name=prefix + stage.name)(work)

    @property
    def assigned(self) -> Collection[int]:
        """The partitions this agent holds."""
        return self._owned.keys()

    @property
    def is_caught_up(self) -> bool:
        """Whether every partition has passed where its predecessor stood."""
        return all(owned.task.is_caught_up for owned in self._owned.values())

    @property
    def questions(self) -> int:
        """How many asks wait for a service."""
        return len(self._answers)

    async def begin(self, starts: Mapping[int, Start]) -> None:
        """Own these partitions, after their changelogs have been read and before the first record."""
        self.end()
        epochs = {n: int(self._table.data.get(_epoch_row(n), b"0")) + 1 for n in starts}
        await asyncio.gather(*(self._put(n, _epoch_row(n), b"%d" % epoch) for n, epoch in epochs.items()))
        machines = {self.stage.name: self.machine}
        for n, start in starts.items():
            task = Task(self._group, machines, epochs[n], start.offsets, can_park=False)
            self._owned[n] = _Owned(task, start.ends, time.monotonic())
        self._restore()
        for n, owned in self._owned.items():
            self._carry_out(n, owned, owned.task.resume())

    def end(self) -> None:
        """Give every partition up; what has not been acknowledged is read again by whoever comes next."""
        self._owned.clear()
        for answer in self._answers.values():
            answer.cancel()
        self._answers.clear()

    def missing(self, topic: str, n: int, end: int | None) -> int | None:
        """Return from where a partition should be read again: records wait, and none has come since the last look."""
        owned = self._owned.get(n)
        if owned is None or topic not in owned.task.positions:
            return None
        position = owned.task.positions[topic]
        at, looks = owned.looked.get(topic, (-1, 0))
        waits = end is not None and position < end
        owned.looked[topic] = (position, looks + 1 if waits and at == position else 0)
        return position if waits and at == position else None

    async def checkpoint(self, beat: Callable[[], None]) -> None:
        """Bring every changed state to the table, then acknowledge what it came from.

        `beat` ends a process that has slept: Faust fences no table, so a late row would undo its new owner's.
        """
        changed = [(n, one) for n, one in self._owned.items() if one.task.is_caught_up and one.task.has_moved]
        await asyncio.gather(*(self._checkpoint(n, owned, beat) for n, owned in changed))

    async def _checkpoint(self, n: int, owned: _Owned, beat: Callable[[], None]) -> None:
        started_s = time.monotonic()
        copy = owned.task.checkpoint()
        rows = [(row, self._value(n, owned, row, value)) for row, value in copy.rows if row != NAME_ROW]
        sent, owned.sent = owned.sent, []
        await asyncio.gather(*sent)
        beat()
        if self._owned.get(n) is not owned:
            return
        await asyncio.gather(*(self._put(n, row, value) for row, value in rows))
        if self._owned.get(n) is owned:
            _acknowledge(owned, copy.offsets)
            self._metrics.checkpoint.observe(time.monotonic() - started_s)

    def _value(self, n: int, owned: _Owned, row: bytes, value: bytes | None) -> bytes | None:
        key = _key_of(row)
        if value is None:
            owned.applied.pop(key, None)
            return None
        if self._group.is_restricted:
            value = self._owner.payloads.seal_row(owner_of(self.stage), row, value)
        return msgspec.msgpack.encode((n, owned.applied.get(key, {}), value))

    def _put(self, n: int, row: bytes, value: bytes | None) -> Sent:
        """Change the table outside of an event, where Faust cannot tell the partition."""
        if value is None:
            self._table.data.pop(row, None)
            return cast("Sent", self._table.send_changelog(n, row, None, value_serializer="raw"))
        self._table.data[row] = value
        return cast("Sent", self._table.send_changelog(n, row, value))

    def _restore(self) -> None:
        for row, value in self._table.data.items():
            if row.startswith(_EPOCH):
                continue
            n, applied, inner = msgspec.msgpack.decode(value, type=_Value)
            opened = self._owner.payloads.open_rows(owner_of(self.stage), {row: inner})
            owned = self._owned.get(n)
            if owned is not None and row in opened:
                owned.task.restore(row, opened[row])
                owned.applied.setdefault(_key_of(row), {}).update(applied)

    async def _work(self, events: AsyncIterator[Event]) -> None:
        """Feed one record after the other; a fault ends the worker, and no event is left out."""
        try:
            async for event in events:
                # An answer that kills must be this record's; what waits for the world has no such record.
                while self._owner.is_careful and (caused := self._caused()):
                    await asyncio.wait(caused)
                self._take(event)
        except Exception as fault:  # Faust would restart the agent behind the event
            self._owner.fail(fault)
            raise

    def _take(self, event: Event) -> None:
        message = event.message
        n, offset, topic = message.partition, message.offset, message.topic.removeprefix(self._prefix)
        owned = self._owned.get(n)
        if owned is None:
            return
        position = owned.task.positions[topic]
        # Offsets may leave some out (transaction markers); Faust may, too, and then they come when they are read again.
        if offset > position and owned.looked.get(topic, (0, 0)) < (position, GIVE_UP_LOOKS):
            return
        insort(owned.events[topic], event, key=_offset)
        if offset < position:
            return
        self._metrics.records_in(topic).inc()
        effects = self._feed(owned, topic, message)
        self._carry_out(n, owned, effects)
        if effects.refusal is None:
            self._refused_in_row = 0
        else:
            self._bury(topic, owned, message, effects)

    def _feed(self, owned: _Owned, topic: str, message: Message) -> Effects:
        key, offset = message.key, message.offset
        try:
            if key is None:
                raise RecordRefused("the record has no key")
            record = self._owner.payloads.decode(topic, key, message.value or b"")
        except RecordRefused as refusal:
            owned.task.skip(topic, offset)
            return Effects(refusal=refusal)
        given = Input(topic, offset, key, record, int(message.timestamp * 1_000))
        applied = owned.applied.setdefault(owned.task.key_of(given), {})
        last = applied.get(topic, -1)
        if offset <= last and not self._is_replayed(record):
            owned.task.skip(topic, offset)
            return Effects()
        if self._owner.has_killed(topic, message.partition, offset):
            return owned.task.refuse(given, RecordRefused("the record has ended its worker twice"))
        effects = owned.task.feed(given)
        if not effects.is_follower:
            applied[topic] = max(offset, last)
        return effects

    def _is_replayed(self, record: Record) -> bool:
        """Whether a restored state lacks what this record brought it."""
        return self._is_replaying and isinstance(record, AudioFrame)

    def _carry_out(self, n: int, owned: _Owned, effects: Effects) -> None:
        self._write(n, owned, effects)
        for _, key, ask_id in effects.withdrawn:
            answer = self._answers.pop((n, key, ask_id), None)
            if answer is not None:
                answer.cancel()
        for question in effects.questions:
            place = (n, question.key, question.ask.ask_id)
            self._answers[place] = asyncio.create_task(self._answer(n, owned, question))
            if question.ask.is_standing:
                self._standing.add(place)
        if not owned.task.is_caught_up and owned.has_passed:
            self._write(n, owned, Effects(outputs=list(owned.task.release())))
            self._metrics.takeover.observe(time.monotonic() - owned.taken_s)

    def _caused(self) -> set[asyncio.Task[None]]:
        """The answers that a record has asked for."""
        return {task for place, task in self._answers.items() if place not in self._standing}

    def _write(self, n: int, owned: _Owned, effects: Effects) -> None:
        for output in effects.outputs:
            value = self._owner.payloads.encode(output.topic, output.key, output.record)
            headers = {CAUSE_HEADER: b"%d" % output.cause_ms}
            owned.sent.append(self._send(output.topic, n, output.key, value, headers))
            self._metrics.count_output(output.topic, output.record, output.cause_ms)

    def _send(self, topic: str, n: int, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> Sent:
        sent = self._outputs[topic].send_soon(key=key, value=value, partition=n, headers=dict(headers))
        return cast("Sent", sent)

    def _bury(self, topic: str, owned: _Owned, message: Message, effects: Effects) -> None:
        """Write a refused record to its dead-letter topic, as it came.

        Raises:
            EngineFault: too many in a row, of contacts that were not shut before.
        """
        assert effects.refusal is not None  # that is why it is called
        n, dead = message.partition, deadletters.name(topic)
        headers = dict(deadletters.headers(topic, n, message.offset, self.stage.group, effects.refusal))
        owned.sent.append(self._send(dead, n, message.key or b"", message.value, headers))
        self._metrics.records_dead(topic).inc()
        self._refused_in_row += not effects.is_follower
        if self._refused_in_row >= REFUSED_LIMIT:
            raise EngineFault(f"{REFUSED_LIMIT} records in a row were refused")

    async def _answer(self, n: int, owned: _Owned, question: Question) -> None:
        """Ask the service and feed its answer, unless the partition has changed hands since."""
        answer = await ask(self._owner.services, question)
        if self._owned.get(n) is not owned:
            return
        place = (n, question.key, question.ask.ask_id)
        self._answers.pop(place, None)
        self._standing.discard(place)
        try:
            self._carry_out(n, owned, owned.task.reply(question.stage, question.key, question.ask, answer))
        except Exception as fault:  # noqa: BLE001 - nobody waits for this task; the fault ends the worker
            self._owner.fail(fault)


def owner_of(stage: Stage) -> str:
    """Name the owner of the changelog behind a stage's table."""
    return f"faust.{stage.name}"


def _offset(event: Event) -> int:
    return event.message.offset


def _epoch_row(n: int) -> bytes:
    return _EPOCH + b"%d" % n


def _key_of(row: bytes) -> bytes:
    return row.partition(b"\0")[2]


def _raw(app: App, *names: str, **settings: object) -> App:
    """Describe topics of plain bytes: the codec is ours."""
    plain = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    return app.topic(*names, **plain, allow_empty=True, **settings)


def _acknowledge(owned: _Owned, offsets: Mapping[str, int]) -> None:
    """Let everything before `offsets` be committed, in order."""
    for topic, events in owned.events.items():
        count = bisect_left(events, offsets[topic], key=_offset)
        for event in events[:count]:
            event.ack()
        del events[:count]
