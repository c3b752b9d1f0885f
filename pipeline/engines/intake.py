"""What a worker does with a batch before the loop takes it: decode it, and let models judge ahead.

Everything here runs on the consumer's thread, which is also the pool of such models: their libraries leave the
interpreter to the loop meanwhile. The thread waits until the loop has taken a portion before it prepares the next, so
no state is read while a record changes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from pipeline.engines.effects import Input
from pipeline.engines.payloads import Payloads
from pipeline.engines.task import Task
from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import Record

TOGETHER = 64  # records of a portion: two tracks each are 25 ms of the voice detector's time


@dataclass(slots=True)
class Arrival:
    """One message, read.

    Attributes:
        topic: without prefix.
        given: what a task takes, or why it cannot be read.
    """

    message: Message
    topic: str
    partition: int
    offset: int
    given: Input | RecordRefused


class Intake:
    """See the module."""

    def __init__(
        self,
        prefix: str,
        machines: Mapping[str, Machine[Any]],
        task_of: Callable[[int], Task | None],
        payloads: Payloads,
        *,
        seals: bool,
    ) -> None:
        """Read for the tasks of one worker.

        Args:
            prefix: what stands before every topic's name.
            machines: by stage.
            task_of: the task of a partition, if the worker holds it.
            payloads: what opens records.
            seals: what comes of them is sealed, under keys that are published before a portion is taken.
        """
        self._payloads = payloads
        self._seals = seals
        self._prefix = prefix
        self._machines = {name: machine for name, machine in machines.items() if _anticipates(machine)}
        self._task_of = task_of

    def portions(self, batch: Sequence[Message], *, is_careful: bool) -> Iterator[Sequence[Arrival]]:
        """Yield a batch in portions, oldest first; each must be taken before the next is asked for.

        Args:
            batch: messages without error.
            is_careful: one record at a time, and none is judged ahead: what kills must be known by its place.
        """
        if is_careful:
            for message in batch:
                portion = [self.read(message)]
                self._payloads.publish()
                yield portion
            return
        for some in _once_each(batch) if self._machines else _cut(batch):
            portion = [self.read(message) for message in some]
            self._payloads.publish()
            self._anticipate(portion)
            yield portion

    def read(self, message: Message) -> Arrival:
        """Read one message."""
        topic = (message.topic() or "").removeprefix(self._prefix)
        partition, offset = message.partition() or 0, message.offset() or 0
        return Arrival(message, topic, partition, offset, self._given(topic, offset, message))

    def _given(self, topic: str, offset: int, message: Message) -> Input | RecordRefused:
        key = message.key()
        if key is None:
            return RecordRefused("the record has no key")
        try:
            record = self._payloads.decode(topic, key, message.value() or b"")
            if self._seals:
                self._payloads.expect(key)
        except RecordRefused as refusal:
            return refusal
        return Input(topic, offset, key, record, message.timestamp()[1])

    def _anticipate(self, portion: Sequence[Arrival]) -> None:
        """Show each machine that wants it the next record of each contact."""
        for name, machine in self._machines.items():
            waiting: list[tuple[object, Record]] = []
            for arrival in portion:
                task = self._task_of(arrival.partition)
                if task is not None and isinstance(arrival.given, Input):
                    waiting += task.next_of(name, arrival.given)
            if waiting:
                machine.anticipate(waiting)


def _cut(batch: Sequence[Message]) -> Iterator[Sequence[Message]]:
    return (batch[at : at + TOGETHER] for at in range(0, len(batch), TOGETHER))


def _once_each(batch: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut a batch wherever a contact comes again: its next state is known when the last record has been taken."""
    some: list[Message] = []
    keys: set[bytes | None] = set()
    for message in batch:
        key = message.key()
        if key in keys or len(some) == TOGETHER:
            yield some
            some, keys = [], set()
        some.append(message)
        keys.add(key)
    yield some


def _anticipates(machine: Machine[Any]) -> bool:
    return type(machine).anticipate is not Machine.anticipate
