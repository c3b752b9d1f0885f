"""Clicks and decisions on their way to Kafka: one record each, acknowledged before the screen hears of it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.gateway.board import Card
from pipeline.errors import PeerUnavailable
from topics.catalogue import topic_of
from topics.clients import producer
from topics.codec import encode
from topics.generations import prefix_of
from topics.records import Record

ACK_LIMIT_S = 4.0  # a person waits for it


class FeedbackWriter:
    """The one producer of a gateway process."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._producer = producer(bootstrap, **{"delivery.timeout.ms": int(ACK_LIMIT_S * 1000)})
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(1, "gateway-feedback")

    async def send(self, card: Card) -> None:
        """Write an answer to a card; see `write`."""
        await self.write(card.feedback, card.key, card.generation)

    async def write(self, record: Record, key: bytes, generation: int) -> None:
        """Write one record under the contact's key, to its generation.

        Raises:
            PeerUnavailable: Kafka has not acknowledged it in time; it may or may not be there.
        """
        await asyncio.get_running_loop().run_in_executor(self._pool, self._write, record, key, generation)

    def close(self) -> None:
        """Stop after the record that is under way."""
        self._pool.shutdown(wait=False)

    def _write(self, record: Record, key: bytes, generation: int) -> None:
        failures: list[KafkaError | None] = []

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            failures.append(error)

        topic = prefix_of(self._prefix, generation) + topic_of(record)
        try:
            self._producer.produce(topic, encode(record), key, on_delivery=on_delivery)
            self._producer.flush(ACK_LIMIT_S + 1)
        except (KafkaException, BufferError):
            raise PeerUnavailable("a record was not taken") from None
        # Not `failures != [None]`: a KafkaError that is compared with None leaves an error behind (2.16.1).
        if not failures or failures[0] is not None:
            raise PeerUnavailable("a record was not acknowledged")
