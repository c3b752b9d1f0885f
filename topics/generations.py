"""Generations of contact topics: to which one a contact belongs, and the list of them on the broker.

A keyed topic never changes its partition count, because that would move contacts in mid-call. An environment grows by
another generation: the same topics, changelogs, groups and members under one more prefix. Generation 1 has none
(`audio.frames`), generation 2 is `g2.audio.frames` after the environment's own prefix. What is not keyed (`policies`
and the list itself) is there once.

A contact belongs to the newest generation that was open when it started. That is a function of the list and of a time
which the contact brings along, so every producer agrees, also after a restart, and nothing is stored for a contact.
The list is the compacted topic `generations`; without it there is generation 1 alone.
"""

import re
import time
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.errors import InputError, PeerUnavailable
from topics import clients, codec
from topics.catalogue import GENERATIONS
from topics.records import Generation

FIRST = 1
# From the writing of a generation to its opening. Until then every producer has read it or knows that it has not: a
# list that was read less than TRUST_MS ago is whole for every contact that starts now. The rest is for the commit of
# the list, and for clocks that differ.
OPENS_IN_MS = 10_000
TRUST_MS = 4_000
LOOK_S = 1.0  # between two looks of whoever follows the list
_ANSWER_S = 5.0
_STEP_S = 0.05
_MISSING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
}
_NAME = re.compile(r"g([2-9]|[1-9]\d+)\.")


def prefix_of(prefix: str, number: int) -> str:
    """Return what stands before the names of one generation.

    Args:
        prefix: the environment's.
        number: from 1.
    """
    return prefix if number == FIRST else f"{prefix}g{number}."


def parts(name: str) -> tuple[int, str]:
    """Return the generation of a topic, and the name that the catalogue gives it.

    Args:
        name: without the environment's prefix.
    """
    found = _NAME.match(name)
    return (int(found[1]), name[found.end() :]) if found else (FIRST, name)


def is_mistakable(prefix: str) -> bool:
    """Whether an environment's prefix looks like a generation's."""
    last = prefix.removesuffix(".").rpartition(".")[2] + "."
    return _NAME.fullmatch(last) is not None


def belonging(listed: Iterable[Generation], started_ms: int) -> int:
    """Return the number of the generation that a contact belongs to.

    Args:
        listed: every generation, removed ones too, in any order.
        started_ms: when the conversation's first contact started, ms since 1970.
    """
    return max((one.number for one in listed if one.opens_at_ms <= started_ms), default=FIRST)


def living(listed: Iterable[Generation]) -> tuple[int, ...]:
    """Return the numbers of the generations whose topics are there, oldest first."""
    known = {one.number: one for one in listed}
    return tuple(sorted(n for n in known.keys() | ({FIRST} - known.keys()) if _is_living(known.get(n))))


def _is_living(one: Generation | None) -> bool:
    return one is None or one.removed_at_ms is None


class GenerationList:
    """The list as a broker has it. One thread looks; any thread may ask."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        """Prepare; nothing is known before the first look.

        Args:
            bootstrap: `host:port`, several separated by commas.
            prefix: the environment's.
        """
        self.listed: tuple[Generation, ...] = ()
        self._consumer = clients.tail_consumer(bootstrap, **{"enable.partition.eof": True})
        self._place = TopicPartition(prefix + GENERATIONS.name, 0, 0)
        self._seen = 0  # the end of the topic at the last look
        self._known_until_ms = 0

    @property
    def living(self) -> tuple[int, ...]:
        """The numbers of the generations whose topics are there, oldest first."""
        return living(self.listed)

    def look(self, limit_s: float = _ANSWER_S) -> None:
        """Read what has been written since the last look; costs one request, of `limit_s` at most, if nothing has.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        asked_ms = _now_ms()
        try:
            end = clients.patiently(lambda: self._end(limit_s), limit_s)
            if end > self._seen:
                self._read()
                self._seen = end
        except KafkaException as failure:
            raise PeerUnavailable(
                f"the broker does not tell the list of generations: {failure.args[0].name()}"
            ) from None
        self._known_until_ms = asked_ms + TRUST_MS

    def knows(self, started_ms: int) -> bool:
        """Say whether the last look tells where a contact belongs that starts then."""
        return started_ms <= self._known_until_ms

    def of(self, started_ms: int) -> int:
        """Return the number of the generation that a contact belongs to.

        Raises:
            PeerUnavailable: the last look is so old that a generation may have opened since.
        """
        if not self.knows(started_ms):
            raise PeerUnavailable("the list of generations has not been read for too long")
        return belonging(self.listed, started_ms)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _end(self, limit_s: float) -> int:
        try:
            return int(self._consumer.get_watermark_offsets(self._place, timeout=limit_s)[1])
        except KafkaException as failure:
            # An unknown partition is also what librdkafka says of a broker that is away.
            if failure.args[0].code() not in _MISSING or self._is_there(limit_s):
                raise
            return 0

    def _is_there(self, limit_s: float) -> bool:
        name = self._place.topic
        return self._consumer.list_topics(name, timeout=limit_s).topics[name].error is None

    def _read(self) -> None:
        """Read to the end; what is not committed yet moves the end once more when it is."""
        if not self._seen:
            self._consumer.assign([self._place])
        known = {one.number: one for one in self.listed}
        while True:
            message = self._consumer.poll(_ANSWER_S)
            if message is None:
                raise PeerUnavailable("the broker stopped answering while the list of generations was read")
            error = message.error()
            if error is None:
                record = codec.decode(message.value() or b"")
                if isinstance(record, Generation):
                    known[record.number] = record
            elif error.code() == KafkaError._PARTITION_EOF:
                break
            elif not error.retriable():
                raise KafkaException(error)
        self.listed = tuple(known[number] for number in sorted(known))


def read(bootstrap: str, prefix: str) -> tuple[Generation, ...]:
    """Return the list, removed generations too, by number.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    found = GenerationList(bootstrap, prefix)
    try:
        found.look()
        return found.listed
    finally:
        found.close()


def write(bootstrap: str, prefix: str, before: Sequence[Generation], changes: Sequence[Generation]) -> None:
    """Change the list if it still is as it was read; of two that change it at once, one is refused.

    Args:
        bootstrap: `host:port`, several separated by commas.
        prefix: the environment's.
        before: the list as the caller knows it.
        changes: what is new or different.

    Raises:
        InputError: the list has been changed since.
        PeerUnavailable: the broker does not answer.
    """
    # The transactional id is the lock: whoever takes it later ends what another had not committed.
    producer = clients.transactional_producer(bootstrap, prefix + GENERATIONS.name)
    found = GenerationList(bootstrap, prefix)
    try:
        producer.init_transactions(clients.PATIENCE_S)
        found.look()
        if found.listed != tuple(before):
            raise InputError("the list of generations has been changed by another; plan again")
        producer.begin_transaction()
        for one in changes:
            producer.produce(prefix + GENERATIONS.name, codec.encode(one), one.contact_id.encode(), 0)
        producer.commit_transaction(_ANSWER_S)
        _wait_until_told(found, changes)
    except KafkaException as failure:
        raise PeerUnavailable(f"the list of generations was not written: {failure.args[0].name()}") from None
    finally:
        found.close()


def _wait_until_told(found: GenerationList, changes: Sequence[Generation]) -> None:
    """Look until the changes are there: the broker marks a transaction as committed a moment after it says so."""
    give_up_s = time.monotonic() + _ANSWER_S
    while not set(changes) <= set(found.listed):
        if time.monotonic() > give_up_s:
            raise PeerUnavailable("the list of generations was written and is not told")
        found.look()
        time.sleep(_STEP_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
