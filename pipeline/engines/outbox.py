"""The worker's outputs on their way to the broker.

Owns the idempotent producer, back-pressure when its queue is full, and the answer to "has everything that was sent up
to here been delivered?", which a checkpoint waits for.
"""

import asyncio
import threading
import time
from functools import partial

from confluent_kafka import KafkaError, Message, Producer

from pipeline.errors import PeerUnavailable

Headers = list[tuple[str, str | bytes | None]]

_FULL_QUEUE_WAIT_S = 0.005
_POLL_S = 0.05


class Batch:
    """Records sent between two barriers; `sent` is counted by the loop's thread, `done` by the poll thread."""

    __slots__ = ("done", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.done = 0


Barrier = list[Batch]


class Outbox:
    """See the module."""

    def __init__(self, producer: Producer) -> None:
        """Serve the producer's delivery reports on a thread of its own."""
        self._producer = producer
        self._batch = Batch()
        self._open: Barrier = []
        self._fault: str | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)
        self._thread.start()

    async def send(
        self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Hand one record to the producer; waits while its queue is full.

        Raises:
            PeerUnavailable: an earlier record could not be delivered.
        """
        while True:
            self._check()
            batch = self._batch
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=partial(self._delivered, batch), headers=headers
                )
            except BufferError:
                await asyncio.sleep(_FULL_QUEUE_WAIT_S)
            else:
                batch.sent += 1
                return

    def barrier(self) -> Barrier:
        """Close the current batch and return all that must be delivered before a checkpoint may commit."""
        self._open = [batch for batch in self._open if batch.done < batch.sent]
        if self._batch.sent:
            self._open.append(self._batch)
            self._batch = Batch()
        return list(self._open)

    def wait(self, barrier: Barrier, timeout_s: float) -> None:
        """Block until a barrier is delivered; not for the loop's thread.

        Raises:
            PeerUnavailable: a record failed, or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while any(batch.done < batch.sent for batch in barrier):
            self._check()
            if time.monotonic() > deadline:
                raise PeerUnavailable("outputs were not delivered in time")
            time.sleep(0.001)
        self._check()

    def close(self, timeout_s: float) -> None:
        """Deliver what is left and stop."""
        self._producer.flush(timeout_s)
        self._is_closed = True
        self._thread.join()

    def _serve(self) -> None:
        while not self._is_closed:
            self._producer.poll(_POLL_S)

    def _delivered(self, batch: Batch, error: KafkaError | None, _: Message) -> None:
        batch.done += 1
        if error is not None:
            self._fault = error.name()

    def _check(self) -> None:
        if self._fault is not None:
            raise PeerUnavailable(f"a record could not be delivered: {self._fault}")
