"""What Kafka holds of one contact, read when a reviewer asks for it.

Owns the reading of one partition of some topics up to their ends; the caller decides what may be shown.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.errors import PeerUnavailable, RecordRefused
from topics import codec
from topics.clients import tail_consumer
from topics.generations import prefix_of
from topics.keys import partition_of
from topics.records import Record

ANSWER_S: Final = 5.0
LIMIT_S: Final = 60.0  # a person waits for it
BATCH_RECORDS: Final = 2_000

Decode = Callable[[str, bytes, bytes], Record]  # of topic without prefix, record key and value
Read = Callable[[Sequence[str], bytes, int, int], list[Record]]  # `records_of` of one environment


def decode_plain(_topic: str, _key: bytes, value: bytes) -> Record:
    """Read a record of a topic that is not sealed.

    Raises:
        RecordRefused: it is no record.
    """
    return codec.decode(value)


def records_of(  # noqa: PLR0913 - the first three are one environment's
    bootstrap: str, prefix: str, decode: Decode, topics: Sequence[str], key: bytes, since_ms: int, generation: int
) -> list[Record]:
    """Return the records of one conversation, of each topic in its order; what cannot be read is left out.

    Args:
        bootstrap: `host:port` of Kafka.
        prefix: the environment's.
        decode: opens what is sealed.
        topics: without prefix.
        key: of the conversation.
        since_ms: Kafka's time of the first record, ms since 1970.
        generation: of the topics.

    Raises:
        PeerUnavailable: Kafka does not answer, or not in time.
    """
    consumer = tail_consumer(bootstrap, **{"enable.partition.eof": True})
    try:
        own = prefix_of(prefix, generation)
        places = [_place(consumer, own + topic, key, since_ms) for topic in topics]
        own_messages = (message for message in _read(consumer, places) if message.key() == key)
        read = (_record(decode, (message.topic() or "").removeprefix(own), message) for message in own_messages)
        return [record for record in read if record is not None]
    except KafkaException as error:
        raise PeerUnavailable(f"Kafka does not tell a contact: {error.args[0].name()}") from None
    finally:
        consumer.close()


def _place(consumer: Consumer, topic: str, key: bytes, since_ms: int) -> TopicPartition:
    found = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    if found.error is not None:
        raise PeerUnavailable(f"no topic {topic}: {found.error.name()}")
    place = TopicPartition(topic, partition_of(key, len(found.partitions)), since_ms)
    (start,) = consumer.offsets_for_times([place], timeout=ANSWER_S)
    if start.error is not None:
        raise KafkaException(start.error)
    if start.offset < 0:  # nothing is that young
        start.offset = consumer.get_watermark_offsets(place, timeout=ANSWER_S)[1]
    return start


def _read(consumer: Consumer, places: list[TopicPartition]) -> Iterator[Message]:
    """Yield what stands in partitions up to the end of each."""
    until_s = time.monotonic() + LIMIT_S
    left = {place.topic for place in places}
    consumer.assign(places)
    while left:
        if time.monotonic() > until_s:
            raise PeerUnavailable("Kafka did not tell a contact in time")
        for message in consumer.consume(BATCH_RECORDS, timeout=0.1):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.topic() or "")
            elif not error.retriable():
                raise KafkaException(error)


def _record(decode: Decode, topic: str, message: Message) -> Record | None:
    try:
        return decode(topic, message.key() or b"", message.value() or b"")
    except RecordRefused:
        return None
