"""One group's work on one partition, without any I/O.

A `Task` owns the states of its contacts and does everything about them that is the same in memory and on Kafka:
it chains the group's stages, stamps revisions, keeps track of open asks, collects outputs until it has caught up,
shuts contacts whose record was refused, and says what a checkpoint must hold. Engines feed it and carry out the
`Effects` it returns; an exception means that its states are in doubt, so the engine abandons it and restores another.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.engines import revisions
from pipeline.engines.catchup import CatchUp
from pipeline.engines.contacts import QUIET_MS, SILENT_MS, Cell, Contact, Contacts
from pipeline.engines.effects import Checkpoint, Effects, Input, Output, Question
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Ask, Machine
from pipeline.topology import Group, Stage
from topics import keys
from topics.catalogue import TOPICS, topic_of
from topics.records import SAMPLES_PER_MS, AudioFrame, Record, Watermark

NAME_ROW = b"checkpoint\0"  # holds the name of the last checkpoint
# A changelog row beside the stages': the first and the last offset between which a parked contact's audio lies.
PARKED = "parked"
SHUT = "shut"  # a changelog row beside the stages': why no further record of a contact is let in, and since when
REFUSED = "an earlier record of this contact was refused"
OVER = "the contact is over"
PARKED_LIMIT_MS = 60_000  # of audio: more would make a takeover slow, which parking is against
_TIDY_MS = 60_000  # of broker time between two looks for outdated markers

_Shut = tuple[str, int]
_Row = tuple[int, bytes]  # revision and snapshot
Span = tuple[int, int]  # first and last offset


@dataclass(slots=True)
class _Step:
    """One record or answer on its way through the stages."""

    key: bytes  # of the state
    contact: Contact
    cause_ms: int
    effects: Effects = field(default_factory=Effects)
    work: deque[tuple[Stage, Record]] = field(default_factory=deque)
    touched: set[str] = field(default_factory=set)


class Task:
    """See the module; one instance lives from an assignment to its loss and has one epoch."""

    def __init__(
        self,
        group: Group,
        machines: dict[str, Machine[Any]],
        epoch: int,
        offsets: dict[str, int],
        *,
        can_park: bool = True,
    ) -> None:
        """Begin at `offsets`, the next offset of each input topic, with outputs held back until `release`.

        Args:
            group: its stages.
            machines: by stage.
            epoch: stamped on what they write.
            offsets: by input topic.
            can_park: the engine reads the `spans` of a changelog again.
        """
        self.epoch = epoch
        self._can_park = can_park
        self.positions = dict(offsets)  # the next offset of each input topic
        self._lead = group.inputs[0]
        self._is_by_leg = group.keyed_by == "leg"
        self._machines = machines
        self._contacts = Contacts(QUIET_MS if AudioFrame in TOPICS[self._lead].records else SILENT_MS)
        self._changed: set[tuple[str, bytes]] = set()
        self._has_moved = False
        self._checkpoints = 0
        self._tidied_ms = 0
        self._catch_up: CatchUp | None = CatchUp()
        self._stages = {stage.name: stage for stage in group.stages}
        self._readers = {
            topic: tuple(stage for stage in group.stages if topic in stage.inputs)
            for stage in group.stages
            for topic in stage.inputs
        }
        self._drops_late = {
            topic: frozenset.intersection(*(frozenset(machines[stage.name].drops_late) for stage in readers))
            for topic, readers in self._readers.items()
        }
        self._replayers = tuple(name for name in self._stages if _overrides(machines[name], "replay_from_ms"))
        self._reviewed = tuple(name for name in self._stages if _overrides(machines[name], "awaits"))
        self._retention_ms = max(TOPICS[topic].retention_ms for topic in group.inputs)

    @property
    def is_caught_up(self) -> bool:
        """Whether outputs leave at once."""
        return self._catch_up is None

    @property
    def has_moved(self) -> bool:
        """Whether a checkpoint would write anything."""
        return self._has_moved

    @property
    def contacts(self) -> int:
        """How many contacts have a state here."""
        return len(self._contacts)

    def restore(self, row: bytes, value: bytes) -> None:
        """Take one row of the changelog back."""
        if row == NAME_ROW:
            return
        stage, key = _parts(row)
        if stage == SHUT:
            self._contacts.shut[key] = msgspec.msgpack.decode(value, type=_Shut)
            return
        if stage == PARKED:
            self._contacts.touch(key).is_parked = True
            return
        rev, snapshot = msgspec.msgpack.decode(value, type=_Row)
        contact = self._contacts.touch(key)
        contact.cells[stage] = Cell(self._machines[stage].restore(snapshot), rev)
        self._note_waiting(contact, stage)

    def hear_again(self, given: Input) -> Effects:
        """Take one record of `spans`, before `resume`; it counts where it is a parked contact's audio."""
        key = self.key_of(given)
        contact = self._contacts.find(key)
        if contact is None or not contact.is_parked or not isinstance(given.record, AudioFrame):
            return Effects()
        self._contacts.keep_audio(key, contact, given.offset, _end_ms(given.record))
        return self._advance(key, contact, given)

    def resume(self) -> Effects:
        """Open the asks that restored states leave open."""
        effects = Effects()
        for key, contact in self._contacts.items():
            if key not in self._contacts.shut:
                self._renew_asks(_Step(key, contact, 0, effects), contact.cells)
        return self._hold(effects)

    def feed(self, given: Input) -> Effects:
        """Advance by one record: through every stage that reads it, and on along the chain.

        A machine's refusal shuts the contact; what the stages before it made of the record stands.

        Raises:
            EngineFault: a promise between the engine and a stage is broken.
        """
        self.skip(given.topic, given.offset)
        if given.topic == self._lead:
            self._contacts.pass_time(given.cause_ms)
        key = self.key_of(given)
        shut = self._contacts.shut.get(key)
        if shut is not None and shut[0] == OVER and type(given.record) in self._drops_late[given.topic]:
            return Effects()
        if shut is not None:
            return Effects(refusal=RecordRefused(shut[0]), is_follower=True)
        contact = self._contacts.touch(key)
        if given.topic == self._lead and (not contact.audio or given.offset > contact.audio[-1][0]):
            self._unpark(key, contact)
        if self._replayers and isinstance(given.record, AudioFrame):
            self._contacts.keep_audio(key, contact, given.offset, _end_ms(given.record))
        return self._advance(key, contact, given)

    def _advance(self, key: bytes, contact: Contact, given: Input) -> Effects:
        step = _Step(key, contact, given.cause_ms)
        step.work.extend([(stage, given.record) for stage in self._readers[given.topic]])
        if isinstance(given.record, Watermark) and given.record.is_end:
            contact.is_ended = True
        try:
            self._run(step)
        except EngineFault:
            raise
        except Exception as refusal:  # noqa: BLE001 - any failure of a machine is the record's; it is dead-lettered
            self._refuse(step, refusal)
        self._changed.update((name, key) for name in step.touched)
        return self._hold(step.effects)

    def key_of(self, given: Input) -> bytes:
        """Return what names the state that a record belongs to."""
        return keys.leg_key(given.key, given.record.contact_id) if self._is_by_leg else given.key

    def next_of(self, stage: str, given: Input) -> Sequence[tuple[object, Record]]:
        """Return the state that a record will meet in a stage, and the record; nothing where there is none yet."""
        key = self.key_of(given)
        contact = self._contacts.find(key)
        cell = contact.cells.get(stage) if contact and key not in self._contacts.shut else None
        is_to_come = given.offset >= self.positions[given.topic]
        return [(cell.state, given.record)] if cell and is_to_come else ()

    def refuse(self, given: Input, refusal: RecordRefused) -> Effects:
        """Pass one record that no machine may see, and shut its contact."""
        self.skip(given.topic, given.offset)
        key = self.key_of(given)
        step = _Step(key, self._contacts.touch(key), given.cause_ms)
        self._refuse(step, refusal)
        return self._hold(step.effects)

    def skip(self, topic: str, offset: int) -> None:
        """Pass one record; also what `feed` does first."""
        self.positions[topic] = offset + 1
        self._has_moved = True

    def reply(self, stage: str, key: bytes, ask: Ask, answer: object) -> Effects:
        """Advance by the answer to an open ask; an answer nobody waits for changes nothing."""
        contact = self._contacts.find(key)
        waiting = contact.asks.get(stage, {}) if contact else {}
        if contact is None or ask.ask_id not in waiting:
            return Effects()
        _, cause_ms = waiting.pop(ask.ask_id)
        self._contacts.touch(key)
        step = _Step(key, contact, cause_ms, touched={stage})
        cell = contact.cells[stage]
        self._emit(step, self._stages[stage], self._machines[stage].on_reply(cell.state, ask, answer))
        self._run(step)
        self._changed.update((name, key) for name in step.touched)
        self._has_moved = True
        return self._hold(step.effects)

    def release(self) -> Sequence[Output]:
        """End catch-up: return what was collected, the latest of each identity."""
        held, self._catch_up = self._catch_up, None
        return held.release() if held else ()

    def checkpoint(self) -> Checkpoint:
        """Copy what has changed since the last one, in one step.

        Raises:
            EngineFault: the task has not caught up, so outputs that the copies imply have not left.
        """
        if not self.is_caught_up:
            raise EngineFault("no checkpoint before the task has caught up")
        self._tidy()
        offsets = self._resume_offsets()
        self._checkpoints += 1
        name = f"{self.epoch}.{self._checkpoints}@{self.positions[self._lead]}"
        rows = [(_row(stage, key), self._value(stage, key)) for stage, key in sorted(self._changed)]
        self._changed.clear()
        self._has_moved = False
        return Checkpoint((*rows, (NAME_ROW, name.encode())), offsets, name)

    def keep(self, refused: Checkpoint) -> None:
        """Take back a checkpoint that was not committed: its rows belong to the next one."""
        self._has_moved = True
        self._changed.update(_parts(row) for row, _ in refused.rows if row != NAME_ROW)

    def _run(self, step: _Step) -> None:
        """Drain the chain: what a stage emits goes at once to the stages of this group that read it."""
        contact = step.contact
        while step.work:
            stage, record = step.work.popleft()
            cell = contact.cells.get(stage.name)
            machine = self._machines[stage.name]
            if cell is None:
                cell = contact.cells[stage.name] = Cell(machine.state())
            step.touched.add(stage.name)
            self._emit(step, stage, machine.on_record(cell.state, record))
        self._renew_asks(step, step.touched)

    def _emit(self, step: _Step, stage: Stage, records: Sequence[Record]) -> None:
        cell = step.contact.cells[stage.name]
        for record in records:
            topic = stage.outputs[0] if isinstance(record, Watermark) else topic_of(record)
            if topic not in stage.outputs:
                raise EngineFault(f"{stage.name} may not write {topic}")
            if revisions.is_revised(type(record)):
                cell.rev = revisions.following(cell.rev, self.epoch)
                record = revisions.stamp(record, cell.rev)  # noqa: PLW2901 - the stamped copy is the record
            step.effects.outputs.append(Output(topic, keys.conversation_of(step.key), record, step.cause_ms))
            step.work.extend((reader, record) for reader in self._readers.get(topic, ()))

    def _renew_asks(self, step: _Step, stages: Iterable[str]) -> None:
        """Start the asks that a state opened and withdraw those that it closed."""
        for name in stages:
            machine, cell = self._machines[name], step.contact.cells[name]
            self._note_waiting(step.contact, name)
            wanted = machine.open_asks(cell.state)
            if not wanted and not step.contact.asks.get(name):
                continue
            flying = step.contact.asks.setdefault(name, {})
            ids = {ask.ask_id for ask in wanted}
            for ask_id in [ask_id for ask_id in flying if ask_id not in ids]:
                del flying[ask_id]
                step.effects.withdrawn.append((name, step.key, ask_id))
            for ask in wanted:
                if ask.ask_id not in flying:
                    request = machine.request(cell.state, ask)
                    cause_ms = 0 if ask.is_standing else step.cause_ms
                    flying[ask.ask_id] = (ask, cause_ms)
                    step.effects.questions.append(Question(name, step.key, ask, request, cause_ms))

    def _note_waiting(self, contact: Contact, stage: str) -> None:
        if stage not in self._reviewed:
            return
        if self._machines[stage].awaits(contact.cells[stage].state):
            contact.awaiting.add(stage)
        else:
            contact.awaiting.discard(stage)

    def _hold(self, effects: Effects) -> Effects:
        if self._catch_up is not None:
            self._catch_up.hold(effects.outputs)
            effects.outputs = []
        return effects

    def _refuse(self, step: _Step, refusal: Exception) -> None:
        """Shut the contact; what has left its stages stands, and nobody waits for an answer any more."""
        step.effects.refusal = refusal
        step.effects.questions = []
        step.effects.withdrawn += self._withdraw(step.key, step.contact)
        self._shut(step.key, REFUSED)

    def _shut(self, key: bytes, reason: str) -> None:
        self._contacts.shut_down(key, reason)
        self._changed.add((SHUT, key))

    def _withdraw(self, key: bytes, contact: Contact) -> list[tuple[str, bytes, str]]:
        open_asks = [(stage, key, ask_id) for stage, asks in contact.asks.items() for ask_id in asks]
        contact.asks.clear()
        self._unpark(key, contact)
        contact.audio.clear()
        return open_asks

    def _tidy(self) -> None:
        """Forget contacts that are over, and markers that have done their work."""
        for key in self._contacts.over():
            gone = self._contacts.drop(key)
            self._changed.update((stage, key) for stage in gone.cells)
            self._unpark(key, gone)
            if key not in self._contacts.shut:
                self._shut(key, OVER)
        if self._contacts.broker_ms - self._tidied_ms < _TIDY_MS:
            return
        self._tidied_ms = self._contacts.broker_ms
        for key in self._contacts.outdated(self._retention_ms):
            del self._contacts.shut[key]
            self._changed.add((SHUT, key))

    def _value(self, stage: str, key: bytes) -> bytes | None:
        if stage == SHUT:
            shut = self._contacts.shut.get(key)
            return msgspec.msgpack.encode(shut) if shut else None
        contact = self._contacts.find(key)
        if stage == PARKED:
            audio = contact.audio if contact and contact.is_parked else None
            return msgspec.msgpack.encode((audio[0][0], audio[-1][0])) if audio else None
        cell = contact.cells.get(stage) if contact else None
        return msgspec.msgpack.encode((cell.rev, self._machines[stage].snapshot(cell.state))) if cell else None

    def _resume_offsets(self) -> dict[str, int]:
        """The positions, but on the lead topic no later than the oldest audio that some contact needs again.

        One that stalls without an end is parked: where its audio lies goes to the changelog, and the others go on.
        """
        offsets = dict(self.positions)
        for key, contact in self._contacts.replaying:
            needed = self._needed_from_ms(contact)
            while contact.audio and (needed is None or contact.audio[0][1] <= needed):
                contact.audio.popleft()
            if not contact.audio:
                self._unpark(key, contact)
            elif not contact.is_parked and self._may_park(contact):
                contact.is_parked = True
                self._changed.add((PARKED, key))
            if contact.audio and not contact.is_parked:
                offsets[self._lead] = min(offsets[self._lead], contact.audio[0][0])
        self._contacts.forget_audio()
        return offsets

    def _may_park(self, contact: Contact) -> bool:
        length_ms = contact.audio[-1][1] - contact.audio[0][1]
        return self._can_park and self._contacts.is_stalled(contact) and length_ms <= PARKED_LIMIT_MS

    def _unpark(self, key: bytes, contact: Contact) -> None:
        if contact.is_parked:
            contact.is_parked = False
            self._changed.add((PARKED, key))

    def _needed_from_ms(self, contact: Contact) -> int | None:
        times = [
            time_ms
            for name in self._replayers
            if name in contact.cells
            and (time_ms := self._machines[name].replay_from_ms(contact.cells[name].state)) is not None
        ]
        return min(times, default=None)


def read_until(name: str) -> int:
    """Return up to which offset the lead topic had been read at a checkpoint; what is before is read again at most."""
    return int(name.partition("@")[2] or 0)


def spans(rows: Mapping[bytes, bytes]) -> dict[bytes, Span]:
    """Return the first and last offset between which the lead topic is read again, by the key of its records."""
    found: dict[bytes, Span] = {}
    for row, value in rows.items():
        if row != NAME_ROW and (place := _parts(row))[0] == PARKED:
            first, last = msgspec.msgpack.decode(value, type=Span)
            key = keys.conversation_of(place[1])
            known = found.get(key, (first, last))
            found[key] = min(first, known[0]), max(last, known[1])
    return found


def _overrides(machine: Machine[Any], method: str) -> bool:
    return getattr(type(machine), method) is not getattr(Machine, method)


def _row(stage: str, key: bytes) -> bytes:
    return stage.encode() + b"\0" + key


def _parts(row: bytes) -> tuple[str, bytes]:
    stage, _, key = row.partition(b"\0")
    return stage.decode(), key


def _end_ms(frame: AudioFrame) -> int:
    """The later end of the two tracks: audio up to here is spared only when neither track needs it."""
    customer = frame.customer_first_sample + len(frame.customer_pcm) // 2
    agent = frame.agent_first_sample + len(frame.agent_pcm) // 2
    return -(-max(customer, agent) // SAMPLES_PER_MS)
