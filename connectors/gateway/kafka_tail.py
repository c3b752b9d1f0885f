"""Topics read to their end and beyond, without a group: the blocking half of the feed, in its own thread.

It owns where reading starts and whether Kafka answers; what the bytes mean is the feed's.
"""

import sys
import time
from collections.abc import Mapping
from functools import partial

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.errors import PeerUnavailable
from topics.clients import patiently, tail_consumer
from topics.generations import LOOK_S, GenerationList, parts, prefix_of

BATCH_RECORDS = 200  # one batch is applied in one step of the loop: some 10 ms
READ_S = 0.1
PROBE_S = 1.0  # how long to wait for a sign of life
ASK_S = 5.0


class KafkaTail:
    """Every partition of some topics in every living generation, from a while ago onwards.

    Attributes:
        is_answered: whether the broker gave a sign of life when it was last asked, about once a second.
    """

    def __init__(self, bootstrap: str, prefix: str, look_back_ms: Mapping[str, int]) -> None:
        """Find the positions and start to read.

        Args:
            bootstrap: `host:port` of Kafka.
            prefix: the environment's.
            look_back_ms: by topic without prefix, how far back its reading starts, in Kafka's time.

        Raises:
            PeerUnavailable: Kafka does not answer, or a topic does not exist yet.
        """
        self.is_answered = True
        self._looked_s = 0.0
        self._prefix = prefix
        self._look_back_ms = look_back_ms
        self._behind: dict[tuple[str, int], int] = {}
        self._covered: tuple[int, ...] = ()  # generations
        self._listed = GenerationList(bootstrap, prefix)
        self._consumer = tail_consumer(bootstrap)
        try:
            self._look()
        except PeerUnavailable:
            self.close()
            raise

    @property
    def has_caught_up(self) -> bool:
        """Whether everything was read that was there at the start."""
        return not self._behind

    def read(self) -> list[Message]:
        """Return what has arrived, waiting `READ_S` for a first record.

        Raises:
            PeerUnavailable: a position is lost, or the topic: only opening again helps.
        """
        self._look()
        first = self._consumer.poll(READ_S)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(BATCH_RECORDS - 1, timeout=0)]
        sound = [message for message in messages if self._check_off(message)]
        self.is_answered = True
        return sound

    def close(self) -> None:
        """Leave."""
        self._listed.close()
        self._consumer.close()

    def _look(self) -> None:
        """Follow the list of generations; its answer is a sign of life, which a silent consumer does not give."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        try:
            self._listed.look(PROBE_S if self._covered else ASK_S)
        except PeerUnavailable:
            if not self._covered:
                raise
            self.is_answered = False
        else:
            self.is_answered = True
        self._looked_s = time.monotonic()
        if self._listed.living != self._covered:
            self._cover(self._listed.living)

    def _cover(self, living: tuple[int, ...]) -> None:
        try:
            for number in set(self._covered) - set(living):
                gone = {prefix_of(self._prefix, number) + topic for topic in self._look_back_ms}
                self._consumer.incremental_unassign([p for p in self._consumer.assignment() if p.topic in gone])
                self._behind = {place: end for place, end in self._behind.items() if place[0] not in gone}
            for number in set(living) - set(self._covered):
                own = prefix_of(self._prefix, number)
                back_ms = {own + topic: back_ms for topic, back_ms in self._look_back_ms.items()}
                # Topics that have just been made have no leaders for a moment.
                self._behind |= patiently(partial(_assign, self._consumer, back_ms), ASK_S)
        except KafkaException as error:
            raise PeerUnavailable(f"Kafka does not tell positions: {error.args[0].name()}") from None
        self._covered = living

    def _check_off(self, message: Message) -> bool:
        """Count a record; False for what Kafka says of the topics of a generation that has been removed."""
        error = message.error()
        if error is not None:
            self._looked_s = 0.0
            self._look()
            if parts((message.topic() or "").removeprefix(self._prefix))[0] in self._covered:
                raise PeerUnavailable(f"Kafka took a position away: {error.name()}")
            return False
        # A message without an error has a place; the client's types do not say so.
        place = (message.topic() or "", message.partition() or 0)
        if (message.offset() or 0) + 1 >= self._behind.get(place, sys.maxsize):
            del self._behind[place]
        return True


def _assign(consumer: Consumer, look_back_ms: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """Assign every partition; return the end offset of each that has something to catch up with."""
    now_ms = int(time.time() * 1000)
    places = [
        TopicPartition(topic, partition, now_ms - back_ms)
        for topic, back_ms in look_back_ms.items()
        for partition in _partitions(consumer, topic)
    ]
    # The ends come first: a record that arrives between the two questions must not be skipped.
    ends = [consumer.get_watermark_offsets(place, timeout=ASK_S)[1] for place in places]
    starts = consumer.offsets_for_times(places, timeout=ASK_S)
    behind = {}
    for start, end in zip(starts, ends, strict=True):
        if start.error is not None:
            raise KafkaException(start.error)
        if start.offset < 0:  # nothing is that young
            start.offset = end
        if start.offset < end:
            behind[(start.topic, start.partition)] = end
    consumer.incremental_assign(starts)
    return behind


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=ASK_S).topics[topic]
    if found.error is not None:
        raise PeerUnavailable(f"no topic {topic}: {found.error.name()}")
    return sorted(found.partitions)
