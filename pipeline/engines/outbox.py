"""The worker's outputs on their way to the broker.

Owns the idempotent producer, what waits while its queue is full, and the answer to "has everything that was put here
up to now been delivered?", which a checkpoint waits for. `put` never waits: all outputs of a step count before the
loop does anything else, so a copy of the states never lacks an output that they imply, and nothing overtakes.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.errors import PeerUnavailable

Headers = Sequence[tuple[str, bytes]]

_FULL_QUEUE_WAIT_S = 0.005
# Delivery reports are for checkpoints alone; a thread that is woken for each takes the interpreter from the loop.
_SERVE_S = 0.02
_WAIT_STEP_S = 0.001


class Batch:
    """Records put between two barriers; `sent` is counted by the loop's thread, `done` by the poll thread."""

    __slots__ = ("_faults", "done", "sent")

    def __init__(self, faults: list[str]) -> None:
        self.sent = 0
        self.done = 0
        self._faults = faults

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        """Take a delivery report."""
        if error is not None:
            self._faults.append(error.name())
        self.done += 1


Barrier = list[Batch]
_Record = tuple[str, int, bytes, bytes | None, Headers, Batch]


class Outbox:
    """See the module."""

    def __init__(self, producer: Producer) -> None:
        """Serve the producer's delivery reports on a thread of its own."""
        self._producer = producer
        self._faults: list[str] = []
        self._batch = Batch(self._faults)
        self._open: Barrier = []
        self._waiting: deque[_Record] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)
        self._thread.start()

    def put(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        """Take one record; the next step waits for `room`.

        Raises:
            PeerUnavailable: an earlier record could not be delivered, or this one never can.
        """
        self._check()
        self._batch.sent += 1
        record = (topic, partition, key, value, headers, self._batch)
        if self._waiting or not self._produce(record):
            self._waiting.append(record)

    async def room(self) -> None:
        """Wait until the producer has taken everything.

        Raises:
            PeerUnavailable: a record could not be delivered.
        """
        while not self.has_room():
            await asyncio.sleep(_FULL_QUEUE_WAIT_S)

    def has_room(self) -> bool:
        """Say whether the producer has taken everything, after another try where it had not.

        Raises:
            PeerUnavailable: a record could not be delivered.
        """
        if self._waiting:
            self.push()
        return not self._waiting

    def push(self) -> None:
        """Hand what waits to the producer, as far as its queue has room.

        Raises:
            PeerUnavailable: a record could not be delivered.
        """
        self._check()
        while self._waiting and self._produce(self._waiting[0]):
            self._waiting.popleft()

    def barrier(self) -> Barrier:
        """Close the current batch and return all that must be delivered before a checkpoint may commit."""
        self._open = [batch for batch in self._open if batch.done < batch.sent]
        if self._batch.sent:
            self._open.append(self._batch)
            self._batch = Batch(self._faults)
        return list(self._open)

    def wait(self, barrier: Barrier, timeout_s: float) -> None:
        """Block until a barrier is delivered; not for the loop's thread.

        Raises:
            PeerUnavailable: a record failed, or the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while any(batch.done < batch.sent for batch in barrier):
            self._check()
            if time.monotonic() > deadline_s:
                raise PeerUnavailable("outputs were not delivered in time")
            time.sleep(_WAIT_STEP_S)
        self._check()

    def close(self, timeout_s: float) -> None:
        """Stop, after what is left has been delivered or the time is over."""
        self._is_closed = True
        self._thread.join()
        self._producer.flush(timeout_s)

    def _produce(self, record: _Record) -> bool:
        topic, partition, key, value, headers, batch = record
        try:
            self._producer.produce(topic, value, key, partition, on_delivery=batch.delivered, headers=list(headers))
        except BufferError:
            return False
        except KafkaException as failure:
            raise PeerUnavailable(f"a record could not be sent: {failure.args[0].name()}") from None
        return True

    def _serve(self) -> None:
        while not self._is_closed:
            time.sleep(_SERVE_S)
            self._producer.poll(0)

    def _check(self) -> None:
        if self._faults:
            raise PeerUnavailable(f"a record could not be delivered: {self._faults[0]}")
