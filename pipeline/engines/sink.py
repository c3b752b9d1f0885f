"""The sink engine: one loop that carries topics into one store.

Owns batches, offsets, dead letters and patience. A batch is written before its offsets are committed and
every write is idempotent, so a crash between the two repeats a write and changes nothing. While the store is
away the batch stays in hand and the partitions are paused, but polling goes on: the member stays in its
group, so nothing moves to another worker that would meet the same silence. What a store is, is in
`connectors/base.py`.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.base import Delivered, Sink
from pipeline import metrics
from pipeline.egress import Gate
from pipeline.engines.membership import Orphans, leave
from pipeline.errors import EgressRefused, EngineFault, PeerUnavailable, RecordRefused
from topics import clients, codec, deadletters
from topics.catalogue import TOPICS

BATCH_RECORDS = 500
POLL_S = 0.1  # the longest time until a stop is noticed
REQUEST_S = 10.0
ASSIGN_LIMIT_S = 60.0  # of asking for positions; well below max.poll.interval.ms, 5 minutes
BACKOFF_S = (0.1, 10.0)  # of the first and of the longest wait; each is drawn from 0 to there ("full jitter")
# So many refusals in a row, over several batches too, are no longer bad records but a wrong schema or store.
REFUSED_LIMIT = 500

_EARLIEST = -2  # Kafka's ListOffsets: the first offset that is still there
_log = logging.getLogger(__name__)

Readable = tuple[Message, Delivered]
Refused = tuple[Message, RecordRefused]


def run(  # noqa: PLR0913 - what a process is made of, named once
    sink: Sink,
    bootstrap: str,
    prefix: str,
    should_stop: threading.Event,
    *,
    gate: Gate,
    instance_id: str | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Carry the sink's topics into its store until told to stop; then commit what is written and leave.

    Args:
        sink: the store; closed at the end.
        bootstrap: the broker's address.
        prefix: put before every topic and the group.
        should_stop: noticed within about `POLL_S`, also while the store is away.
        gate: what it refuses is dead-lettered.
        instance_id: static member id; with it, a restart after a crash has its partitions back at once
            instead of after the session's 6 s.
        on_progress: called, often, while all that has come is written.

    Raises:
        EngineFault: a committed position is no longer in its topic, or hundreds of records in a row were
            refused.
        Fenced: another process holds this member id.
        PeerUnavailable: the broker refuses this consumer, or did not answer when a partition was assigned.
    """
    try:
        if _prepare(sink, should_stop):
            topics = [prefix + topic for topic in sink.topics]
            orphans = Orphans(bootstrap, prefix + sink.name, topics, instance_id)
            consumer = clients.consumer(bootstrap, prefix + sink.name, instance_id=instance_id, on_commit=_on_commit)
            _SinkLoop(sink, gate, consumer, clients.producer(bootstrap), prefix, should_stop, orphans).run(on_progress)
    finally:
        sink.close()


def _prepare(sink: Sink, should_stop: threading.Event) -> bool:
    """Wait until the store is ready; False if told to stop first."""
    attempt = 0
    while not should_stop.is_set():
        try:
            sink.prepare()
        except PeerUnavailable as fault:
            _report_away(sink, fault)
            should_stop.wait(_backoff_s(attempt))
            attempt += 1
        else:
            return True
    return False


class _SinkLoop:
    """One consumer and the batch that it has in hand."""

    def __init__(  # noqa: PLR0913 - as `run`
        self,
        sink: Sink,
        gate: Gate,
        consumer: Consumer,
        producer: Producer,
        prefix: str,
        should_stop: threading.Event,
        orphans: Orphans,
    ) -> None:
        self._sink = sink
        self._gate = gate
        self._prefix = prefix
        self._should_stop = should_stop
        self._consumer = consumer
        self._producer = producer
        self._orphans = orphans
        self._batch: list[Message] = []
        self._is_paused = False
        self._refused_in_row = 0

    def run(self, on_progress: Callable[[], None]) -> None:
        """Take, write, commit."""
        self._orphans.start()
        try:
            self._join()
            while not self._should_stop.is_set():
                self._take()
                self._settle()
                if self._orphans.are_found():
                    leave(self._consumer, REQUEST_S)
                    self._join()
                if not self._batch and self._consumer.assignment():
                    on_progress()
        except KafkaException as failure:
            raise clients.fault(failure.args[0]) from None
        finally:
            # Commits under way are answered before the member leaves.
            self._consumer.close()
            self._orphans.stop()

    def _join(self) -> None:
        topics = [self._prefix + topic for topic in self._sink.topics]
        self._consumer.subscribe(topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def _take(self) -> None:
        """Fill the batch: wait for a first record, then take what comes within the linger time."""
        first = self._consumer.poll(POLL_S)
        if first is None:
            return
        self._keep([first])
        # `consume` returns when it has as many as it was asked for, or at its timeout.
        self._keep(self._consumer.consume(BATCH_RECORDS - 1, self._sink.linger_ms / 1_000))

    def _keep(self, messages: Iterable[Message]) -> None:
        self._batch += [message for message in messages if clients.sound(message)]

    def _settle(self) -> None:
        """Write the batch in hand, however long the store is away, and commit it; a stop gives up."""
        attempt = 0
        while self._batch and not (attempt and self._should_stop.is_set()):
            try:
                refused = self._write()
            except PeerUnavailable as fault:
                _report_away(self._sink, fault)
                self._pause()
                self._wait(_backoff_s(attempt))
                attempt += 1
            else:
                self._commit(refused)
        self._resume()

    def _write(self) -> list[Refused]:
        """Write the batch, then the dead letters of what it holds that can never be written."""
        refused: list[Refused] = []
        readable: list[Readable] = []
        for message in self._batch:
            try:
                readable.append((message, self._read(message)))
            except RecordRefused as refusal:
                refused.append((message, refusal))
        refused += self._halve(readable)
        self._check_burst(refused)
        self._bury(refused)
        return refused

    def _read(self, message: Message) -> Delivered:
        record = codec.decode(message.value() or b"")
        topic, partition, offset = self._place(message)
        if type(record) not in TOPICS[topic].records:
            raise RecordRefused("the record's type does not belong on its topic")
        self._gate.check(record)
        return Delivered(topic, partition, offset, message.key() or b"", record, message.timestamp()[1])

    def _halve(self, batch: list[Readable]) -> list[Refused]:
        """Write a batch; while it is refused, halve it: k bad records of n cost about 2 k log2(n) writes."""
        if not batch:
            return []
        try:
            self._sink.write([delivered for _, delivered in batch])
        except RecordRefused as refusal:
            if len(batch) == 1:
                return [(batch[0][0], refusal)]
            middle = len(batch) // 2
            return self._halve(batch[:middle]) + self._halve(batch[middle:])
        return []

    def _check_burst(self, refused: list[Refused]) -> None:
        """Stop before a fault of the deployment drains a topic into its dead letters."""
        if len(refused) == len(self._batch) and self._refused_in_row + len(refused) > REFUSED_LIMIT:
            raise EngineFault(f"more than {REFUSED_LIMIT} records in a row were refused: {refused[-1][1]}")

    def _bury(self, refused: list[Refused]) -> None:
        """Write the dead letters and wait until the broker has them."""
        failures: list[str] = []
        for message, refusal in refused:
            topic, partition, offset = self._place(message)
            self._producer.produce(
                self._prefix + deadletters.name(topic),
                message.value(),
                message.key(),
                on_delivery=partial(_note_failure, failures),
                headers=list(deadletters.headers(topic, partition, offset, self._sink.name, refusal)),
            )
        if refused and (self._producer.flush(REQUEST_S) or failures):
            raise PeerUnavailable("a dead letter could not be written")

    def _commit(self, refused: list[Refused]) -> None:
        """Commit behind the batch without waiting: a lost commit repeats a write, which changes nothing."""
        is_all = len(refused) == len(self._batch)
        self._refused_in_row = self._refused_in_row + len(refused) if is_all else 0
        for message, refusal in refused:
            topic, partition, offset = self._place(message)
            if isinstance(refusal, EgressRefused):
                metrics.EGRESS_REFUSED.labels(self._sink.name).inc()
            metrics.RECORDS_DEAD.labels(self._sink.name, topic).inc()
            _log.error("a record was dead-lettered", extra={"topic": topic, "partition": partition, "offset": offset})
        ends: dict[tuple[str, int], int] = {}
        for message in self._batch:
            topic, partition, offset = self._place(message)
            metrics.RECORDS_IN.labels(self._sink.name, topic).inc()
            ends[topic, partition] = offset + 1
        self._batch = []
        self._consumer.commit(
            offsets=[TopicPartition(self._prefix + topic, partition, end) for (topic, partition), end in ends.items()]
        )

    def _pause(self) -> None:
        if not self._is_paused:
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True

    def _resume(self) -> None:
        if self._is_paused:
            self._consumer.resume(self._consumer.assignment())
            self._is_paused = False

    def _wait(self, delay_s: float) -> None:
        """Keep polling, which keeps the member in its group; a record that still comes joins the batch."""
        until_s = time.monotonic() + delay_s
        while (left_s := until_s - time.monotonic()) > 0 and not self._should_stop.is_set():
            message = self._consumer.poll(min(left_s, POLL_S))
            if message is not None:
                self._keep([message])

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        begins = self._positions(consumer, partitions)
        consumer.incremental_assign(begins)
        if self._is_paused:
            consumer.pause(begins)

    def _positions(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return where to begin, asking again while the broker does not answer."""
        until_s = time.monotonic() + ASSIGN_LIMIT_S
        while True:
            try:
                return _positions(consumer, partitions)
            except KafkaException as failure:
                # What a call of the client raises in a callback must be caught there: confluent-kafka 2.16.1
                # hands it on as a bare KafkaError, which no `except` catches because it is no exception.
                if self._should_stop.is_set() or time.monotonic() > until_s:
                    raise clients.fault(failure.args[0]) from None
                _log.warning("no position yet", extra={"error": failure.args[0].name()})

    def _revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget the records of partitions that are somebody else's: uncommitted, they come again there."""
        gone = {(one.topic, one.partition) for one in partitions}
        self._batch = [message for message in self._batch if (message.topic(), message.partition()) not in gone]

    def _place(self, message: Message) -> tuple[str, int, int]:
        """Return topic (without prefix), partition and offset; only an error lacks one of them."""
        topic = (message.topic() or "").removeprefix(self._prefix)
        return topic, message.partition() or 0, message.offset() or 0


def _positions(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return the committed positions; where there is none, commit the earliest: a later loss then shows."""
    committed = _checked(consumer.committed(partitions, timeout=REQUEST_S))
    asked = [TopicPartition(one.topic, one.partition, _EARLIEST) for one in committed if one.offset < 0]
    if not asked:
        return committed
    earliest = _checked(consumer.offsets_for_times(asked, timeout=REQUEST_S))
    consumer.commit(offsets=earliest)
    return [one for one in committed if one.offset >= 0] + earliest


def _checked(answers: list[TopicPartition]) -> list[TopicPartition]:
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return answers


def _on_commit(error: KafkaError | None, _: list[TopicPartition]) -> None:
    if error is not None:
        _log.warning("a commit was refused; its records may come again", extra={"error": error.name()})


def _note_failure(failures: list[str], error: KafkaError | None, _: Message) -> None:
    if error is not None:
        failures.append(error.name())


def _report_away(sink: Sink, fault: PeerUnavailable) -> None:
    _log.warning("a store is away; its batch is kept", extra={"sink": sink.name, "reason": str(fault)})


def _backoff_s(attempt: int) -> float:
    first_s, longest_s = BACKOFF_S
    return random.uniform(0, min(longest_s, first_s * 2 ** min(attempt, 16)))
