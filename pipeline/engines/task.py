"""One group's work on one partition, without any I/O.

A `Task` owns the states of its contacts and does everything about them that is the same in memory and on Kafka:
it chains the group's stages, stamps revisions, keeps track of open asks, collects outputs until it has caught up,
parks contacts whose record was refused, and says what a checkpoint must hold. Engines feed it and carry out the
`Effects` it returns.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pipeline.errors import EngineFault
from pipeline.machine import Ask, Machine
from pipeline.topology import Group, Stage
from topics.catalogue import topic_of
from topics.records import SAMPLES_PER_MS, AudioFrame, Record, Watermark

REVISIONS_PER_EPOCH = 2**24
PARKED = "parked"  # the changelog row, beside the stages, that says a contact's records are refused


@dataclass(frozen=True, slots=True)
class Input:
    """One record read from a topic of this task's partition."""

    topic: str
    offset: int
    key: bytes
    record: Record
    cause_ms: int  # broker time of the record, for latency figures alone


@dataclass(frozen=True, slots=True)
class Output:
    """One record to write."""

    topic: str
    key: bytes
    record: Record
    cause_ms: int


@dataclass(frozen=True, slots=True)
class Question:
    """An ask to start: the service's answer comes back through `Task.reply`."""

    stage: str
    key: bytes
    ask: Ask
    request: object
    cause_ms: int


@dataclass(slots=True)
class Effects:
    """What a step asks of the engine."""

    outputs: list[Output] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    withdrawn: list[tuple[str, bytes, str]] = field(default_factory=list)  # (stage, key, ask id) nobody waits for
    refusal: Exception | None = None  # the input belongs in the dead-letter topic


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Copies to write in one transaction: changelog rows and the offsets to resume from."""

    rows: tuple[tuple[bytes, bytes], ...]
    offsets: dict[str, int]


@dataclass(slots=True)
class _Cell:
    """One stage's knowledge of one contact."""

    state: Any  # the machine's own state type
    revisions: int = 0


@dataclass(slots=True)
class _Contact:
    cells: dict[str, _Cell] = field(default_factory=dict)
    asks: dict[str, dict[str, tuple[Ask, int]]] = field(default_factory=dict)  # stage -> id -> (ask, cause)
    audio: deque[tuple[int, int]] = field(default_factory=deque)  # (offset, end ms) of input that may be needed again


class Task:
    """See the module; one instance lives from an assignment to its loss and has one epoch."""

    def __init__(self, group: Group, machines: dict[str, Machine[Any]], epoch: int, offsets: dict[str, int]) -> None:
        """Begin at `offsets`, the next offset of each input topic, with outputs held back until `release`."""
        self._group = group
        self._machines = machines
        self._epoch = epoch
        self._positions = dict(offsets)
        self._contacts: dict[bytes, _Contact] = {}
        self._parked: set[bytes] = set()
        self._changed: set[tuple[str, bytes]] = set()
        self._has_moved = False
        self._held: dict[object, Output] | None = {}
        self._readers = {
            topic: tuple(stage for stage in group.stages if topic in stage.inputs)
            for stage in group.stages
            for topic in stage.inputs
        }
        self._replayers = tuple(
            stage.name
            for stage in group.stages
            if type(machines[stage.name]).replay_from_ms is not Machine.replay_from_ms
        )

    @property
    def positions(self) -> dict[str, int]:
        """The next offset of each input topic."""
        return self._positions

    @property
    def is_caught_up(self) -> bool:
        """Whether outputs leave at once."""
        return self._held is None

    @property
    def open_questions(self) -> int:
        """How many asks wait for an answer."""
        return sum(len(asks) for contact in self._contacts.values() for asks in contact.asks.values())

    def restore(self, row: bytes, value: bytes) -> None:
        """Take one row of the changelog back."""
        stage, _, key = row.partition(b"\0")
        if stage == PARKED.encode():
            self._parked.add(key)
            return
        revisions, snapshot = msgspec.msgpack.decode(value, type=tuple[int, bytes])
        machine = self._machines[stage.decode()]
        self._contact(key).cells[stage.decode()] = _Cell(machine.restore(snapshot), revisions)

    def resume(self) -> Effects:
        """Open the asks that restored states leave open."""
        effects = Effects()
        for key, contact in self._contacts.items():
            self._renew_asks(key, contact, contact.cells, 0, effects)
        return self._hold(effects)

    def feed(self, given: Input) -> Effects:
        """Advance by one record: through every stage that reads it, and on along the chain."""
        self.skip(given.topic, given.offset)
        effects = Effects()
        if given.key in self._parked:
            effects.refusal = EngineFault("an earlier record of this contact was refused")
            return effects
        contact = self._contact(given.key)
        self._remember_audio(contact, given)
        work = deque((stage, given.record) for stage in self._readers[given.topic])
        try:
            self._run(given.key, contact, work, given.cause_ms, effects)
        except EngineFault:
            raise
        except Exception as refusal:  # noqa: BLE001 - any failure of a machine is the record's; it is dead-lettered
            return self._park(given.key, refusal)
        return self._hold(effects)

    def skip(self, topic: str, offset: int) -> None:
        """Pass one record; also what `feed` does first."""
        self._positions[topic] = offset + 1
        self._has_moved = True

    def reply(self, stage: str, key: bytes, ask: Ask, answer: object) -> Effects:
        """Advance by the answer to an open ask; an answer nobody waits for changes nothing."""
        contact = self._contact(key)
        effects = Effects()
        _, cause_ms = contact.asks.get(stage, {}).pop(ask.ask_id, (ask, -1))
        if cause_ms < 0 or key in self._parked:
            return effects
        row = next(row for row in self._group.stages if row.name == stage)
        cell = contact.cells[stage]
        work: deque[tuple[Stage, Record]] = deque()
        self._emit(row, key, cell, self._machines[stage].on_reply(cell.state, ask, answer), cause_ms, work, effects)
        self._run(key, contact, work, cause_ms, effects, touched={stage})
        return self._hold(effects)

    def release(self) -> Sequence[Output]:
        """End catch-up: return what was collected, the latest of each identity, oldest first."""
        held, self._held = self._held or {}, None
        return tuple(held.values())

    def checkpoint(self) -> Checkpoint:
        """Copy what changed since the last checkpoint, with the offsets to resume from.

        Raises:
            EngineFault: outputs are still held back; a checkpoint would lose them.
        """
        if self._held is not None:
            raise EngineFault("no checkpoint before the task has caught up")
        rows = tuple(self._row(stage, key) for stage, key in sorted(self._changed))
        self._changed.clear()
        self._has_moved = False
        return Checkpoint(rows, self._resume_offsets())

    def keep(self, refused: Checkpoint) -> None:
        """Take back a checkpoint that was not committed: its rows belong to the next one."""
        self._has_moved = True
        for row, _ in refused.rows:
            stage, _, key = row.partition(b"\0")
            self._changed.add((stage.decode(), key))

    @property
    def has_moved(self) -> bool:
        """Whether a checkpoint would write anything."""
        return self._has_moved

    def _contact(self, key: bytes) -> _Contact:
        contact = self._contacts.get(key)
        if contact is None:
            contact = self._contacts[key] = _Contact()
        return contact

    def _run(
        self,
        key: bytes,
        contact: _Contact,
        work: deque[tuple[Stage, Record]],
        cause_ms: int,
        effects: Effects,
        *,
        touched: Iterable[str] = (),
    ) -> None:
        """Drain the chain: what a stage emits goes at once to the stages of this group that read it."""
        seen = set(touched)
        while work:
            stage, record = work.popleft()
            seen.add(stage.name)
            machine = self._machines[stage.name]
            cell = contact.cells.get(stage.name)
            if cell is None:
                cell = contact.cells[stage.name] = _Cell(machine.state())
            self._emit(stage, key, cell, machine.on_record(cell.state, record), cause_ms, work, effects)
        self._changed.update((name, key) for name in seen)
        self._has_moved = True
        self._renew_asks(key, contact, seen, cause_ms, effects)

    def _emit(
        self,
        stage: Stage,
        key: bytes,
        cell: _Cell,
        records: Sequence[Record],
        cause_ms: int,
        work: deque[tuple[Stage, Record]],
        effects: Effects,
    ) -> None:
        for record in records:
            topic = stage.outputs[0] if isinstance(record, Watermark) else topic_of(record)
            if topic not in stage.outputs:
                raise EngineFault(f"{stage.name} may not write {topic}")
            stamped = self._stamp(cell, record)
            effects.outputs.append(Output(topic, key, stamped, cause_ms))
            work.extend((reader, stamped) for reader in self._readers.get(topic, ()))

    def _stamp(self, cell: _Cell, record: Record) -> Record:
        if not hasattr(record, "rev"):
            return record
        cell.revisions += 1
        revised: Record = replace(record, rev=self._epoch * REVISIONS_PER_EPOCH + cell.revisions)  # type: ignore[type-var, assignment]  # every record is a dataclass, which Protocol cannot say
        return revised

    def _renew_asks(
        self, key: bytes, contact: _Contact, stages: Iterable[str], cause_ms: int, effects: Effects
    ) -> None:
        """Start the asks that a state opened and withdraw those that it closed."""
        for name in stages:
            machine, cell = self._machines[name], contact.cells[name]
            wanted = machine.open_asks(cell.state)
            flying = contact.asks.get(name)
            if not wanted and not flying:
                continue
            flying = contact.asks.setdefault(name, {})
            ids = {ask.ask_id for ask in wanted}
            for ask_id in [ask_id for ask_id in flying if ask_id not in ids]:
                del flying[ask_id]
                effects.withdrawn.append((name, key, ask_id))
            for ask in wanted:
                if ask.ask_id not in flying:
                    flying[ask.ask_id] = (ask, cause_ms)
                    effects.questions.append(Question(name, key, ask, machine.request(cell.state, ask), cause_ms))

    def _hold(self, effects: Effects) -> Effects:
        if self._held is not None:
            for output in effects.outputs:
                place = (output.topic, output.record.identity)
                self._held.pop(place, None)
                self._held[place] = output
            effects.outputs = []
        return effects

    def _park(self, key: bytes, refusal: Exception) -> Effects:
        self._parked.add(key)
        self._changed.add((PARKED, key))
        return Effects(refusal=refusal)

    def _row(self, stage: str, key: bytes) -> tuple[bytes, bytes]:
        name = stage.encode() + b"\0" + key
        if stage == PARKED:
            return name, b"1"
        cell = self._contacts[key].cells[stage]
        snapshot = self._machines[stage].snapshot(cell.state)
        return name, msgspec.msgpack.encode((cell.revisions, snapshot))

    def _remember_audio(self, contact: _Contact, given: Input) -> None:
        if self._replayers and isinstance(given.record, AudioFrame):
            contact.audio.append((given.offset, _end_ms(given.record)))

    def _resume_offsets(self) -> dict[str, int]:
        """The positions, but on the lead topic no later than the oldest audio that some contact needs again."""
        offsets = dict(self._positions)
        lead = self._group.inputs[0]
        for contact in self._contacts.values():
            needed = self._needed_from_ms(contact)
            while contact.audio and (needed is None or contact.audio[0][1] <= needed):
                contact.audio.popleft()
            if contact.audio:
                offsets[lead] = min(offsets[lead], contact.audio[0][0])
        return offsets

    def _needed_from_ms(self, contact: _Contact) -> int | None:
        times = [
            time_ms
            for name in self._replayers
            if name in contact.cells
            and (time_ms := self._machines[name].replay_from_ms(contact.cells[name].state)) is not None
        ]
        return min(times, default=None)


def _end_ms(frame: AudioFrame) -> int:
    """The later end of the two tracks: audio up to here is spared only when neither track needs it."""
    customer = frame.customer_first_sample + len(frame.customer_pcm) // 2
    agent = frame.agent_first_sample + len(frame.agent_pcm) // 2
    return max(customer, agent) // SAMPLES_PER_MS
