"""Reading topics whole: changelogs at a takeover, global tables before the first record and ever after."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import TopicMetadata  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.engines.task import NAME_ROW, Span
from pipeline.errors import EngineFault, PeerUnavailable
from topics import clients

_log = logging.getLogger(__name__)

_WAIT_S = 1.0
_SILENCE_LIMIT_S = 30.0
_ANSWER_S = 10.0
_END_WAIT_MS = 10  # the broker waits so long for more before it says that this is the end
# The broker marks offsets and changelog of one transaction as committed one after the other, milliseconds apart.
_MATCH_LIMIT_S = 20.0
_MATCH_STEP_S = 0.02

Rows = dict[bytes, bytes]
T = TypeVar("T")


def read_changelogs(bootstrap: str, changelog: str, names: dict[int, str | None]) -> dict[int, Rows]:
    """Return the newest committed value of each row of some partitions.

    Args:
        bootstrap: the broker's address.
        changelog: the topic.
        names: by partition, the name of the checkpoint that the committed offsets belong to; None takes any.

    Raises:
        EngineFault: the rows are of another checkpoint than the offsets, and stay so.
        PeerUnavailable: the broker stopped answering.
    """
    deadline_s = time.monotonic() + _MATCH_LIMIT_S
    while True:
        found = _newest(bootstrap, changelog, list(names))
        wrong = [n for n, name in names.items() if name not in (None, found[n].get(NAME_ROW, b"").decode())]
        if not wrong:
            return found
        if time.monotonic() > deadline_s:
            raise EngineFault(f"offsets and changelog of partition {wrong[0]} are of two checkpoints")
        time.sleep(_MATCH_STEP_S)


def _newest(bootstrap: str, changelog: str, partitions: list[int]) -> dict[int, Rows]:
    found: dict[int, Rows] = {n: {} for n in partitions}
    for message in read_whole(bootstrap, [TopicPartition(changelog, n) for n in partitions]):
        rows, row, value = found[message.partition() or 0], message.key() or b"", message.value()
        if value is None:
            rows.pop(row, None)
        else:
            rows[row] = value
    return found


def read_whole(bootstrap: str, partitions: list[TopicPartition]) -> Iterator[Message]:
    """Yield every committed record of some partitions, up to their ends at this time.

    Raises:
        PeerUnavailable: the broker stopped answering.
    """
    consumer = clients.tail_consumer(bootstrap, **{"enable.partition.eof": True, "fetch.wait.max.ms": _END_WAIT_MS})
    try:
        for topic in {one.topic for one in partitions}:
            _listed(consumer, topic)  # a client that does not know the leaders yet looks again after 500 ms
        yield from _to_the_end(consumer, _from_the_beginning(partitions))
    finally:
        consumer.close()


def read_spans(bootstrap: str, place: TopicPartition, spans: Mapping[bytes, Span]) -> Iterator[Message]:
    """Yield the records of some keys from each one's first to its last offset, as far as retention has left them.

    Raises:
        PeerUnavailable: the broker stopped answering.
    """
    if not spans:
        return
    consumer = clients.tail_consumer(bootstrap, **{"enable.partition.eof": True, "fetch.wait.max.ms": _END_WAIT_MS})
    try:
        low, _ = _asked(lambda: consumer.get_watermark_offsets(place, timeout=_ANSWER_S))
        for first, last in _joined(spans.values()):
            at = TopicPartition(place.topic, place.partition, max(first, low))
            for message in _to_the_end(consumer, [at]):
                offset = message.offset() or 0
                if offset > last:
                    break
                own = spans.get(message.key() or b"")
                if own and own[0] <= offset <= own[1]:
                    yield message
    finally:
        consumer.close()


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join what overlaps."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def _to_the_end(consumer: Consumer, partitions: list[TopicPartition]) -> Iterator[Message]:
    """Assign and read until each partition has reported its end; control records have no message of their own."""
    left = {(one.topic, one.partition) for one in partitions}
    consumer.assign(partitions)
    silent_s = 0.0
    while left:
        message = consumer.poll(_WAIT_S)
        if message is None:
            silent_s += _WAIT_S
            if silent_s >= _SILENCE_LIMIT_S:
                raise PeerUnavailable("the broker stopped answering while a topic was read")
            continue
        silent_s = 0.0
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard((message.topic(), message.partition()))
        elif not error.retriable():
            raise PeerUnavailable(f"a topic could not be read: {error.name()}")


def _listed(consumer: Consumer, topic: str | None = None) -> dict[str, TopicMetadata]:
    """Ask for one topic or all.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    found: dict[str, TopicMetadata] = _asked(lambda: consumer.list_topics(topic, timeout=_ANSWER_S)).topics
    return found


def _asked(ask: Callable[[], T]) -> T:
    try:
        return clients.patiently(ask)
    except KafkaException as failure:
        raise PeerUnavailable(f"the broker does not answer: {failure.args[0].name()}") from None


def _from_the_beginning(partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    return [TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in partitions]


class Tables:
    """Follows global tables on a thread of its own, so that what is published later reaches live workers."""

    def __init__(self, bootstrap: str, topics: list[str], take: Callable[[Message], None]) -> None:
        """Prepare; `take` is called on the thread of `load`, later on the follower's."""
        self._bootstrap = bootstrap
        self._topics = topics
        self._take = take
        self._consumer: Consumer | None = None
        self._is_stopping = threading.Event()

    def load(self) -> None:
        """Read every table to its end, then keep following.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        if not self._topics:
            return
        self._consumer = clients.tail_consumer(self._bootstrap, **{"enable.partition.eof": True})
        for message in _to_the_end(self._consumer, _from_the_beginning(self._partitions(self._consumer))):
            self._take(message)
        threading.Thread(target=self._follow, args=(self._consumer,), name="tables", daemon=True).start()

    def stop(self) -> None:
        """End the follower; it closes its consumer."""
        self._is_stopping.set()

    def _partitions(self, consumer: Consumer) -> list[TopicPartition]:
        listed = _listed(consumer)
        missing = [topic for topic in self._topics if topic not in listed]
        if missing:
            raise PeerUnavailable(f"topics are missing: {', '.join(missing)}; run `trunkline topics apply`")
        return [TopicPartition(topic, n) for topic in self._topics for n in listed[topic].partitions]

    def _follow(self, consumer: Consumer) -> None:
        while not self._is_stopping.is_set():
            message = consumer.poll(_WAIT_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._take(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                _log.warning("a global table could not be read", extra={"error": error.name()})
        consumer.close()
