"""The source engine: loops that carry the messages of outside systems into topics.

Owns positions, dead letters, patience, and which process reads. A message's records are in Kafka before its position is
kept (topic `feed.positions`) or the message is let go; a crash in between repeats it, and a repeated record changes
nothing because its identity is the message's. While a system or Kafka is away the feed waits and asks for the same
messages again; nothing is dropped. What a message says is the connector's.

One process reads: the member of the group that owns the one partition of `feed.positions`. Others stand by. Two that
read at once, while one has not noticed that it lost the partition, repeat messages and lose none.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.base import Addressed, Arrived, Batch, Inlet
from pipeline import metrics
from pipeline.engines import failpoints
from pipeline.engines.membership import Orphans, leave
from pipeline.engines.tables import read_whole
from pipeline.errors import PeerUnavailable, RecordRefused
from topics import clients, codec, deadletters, generations
from topics.catalogue import POSITIONS, topic_of
from topics.generations import GenerationList, prefix_of
from topics.records import FeedPosition

GROUP = "contact-events"
POLL_S = 0.1  # the longest time until a stop is noticed by who owns the feeds
IDLE_S = 0.1  # between two looks at a feed without news; the inlets pace their requests themselves
REQUEST_S = 10.0
LEAVE_S = 2.0  # for the group to hear it; else another member waits until the session ends
FLUSH_S = 1.0  # between two looks for a stop
JOIN_S = 12.0  # for the feeds to end; below the 15 s that a worker has to drain
BACKOFF_S = (0.1, 10.0)  # of the first and of the longest wait; each is drawn from 0 to there ("full jitter")
# So many refusals in a row are no longer bad messages but a wrong instance, a wrong feed or another format.
REFUSED_LIMIT = 500
EVENTS = "contact.events"  # says which contacts a generation has, and its dead letters take what no topic can

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Feed:
    """One stream or queue.

    Attributes:
        says: what its messages are, for metrics.
        place: names it in positions and dead letters.
        inlet: makes what brings its messages, anew each time that this process begins to read: a thread that was left
            behind in a request shares nothing with the next.
        read: says what a message means; raises `RecordRefused` for one that means nothing.
    """

    says: str
    place: str
    inlet: Callable[[], Inlet]
    read: Callable[[bytes], Sequence[Addressed]]


def run(
    feeds: Sequence[Feed],
    bootstrap: str,
    prefix: str,
    should_stop: threading.Event,
    *,
    instance_id: str | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Read the feeds, or stand by, until told to stop.

    Args:
        feeds: each is read by a thread of its own.
        bootstrap: the broker's address.
        prefix: the environment's.
        should_stop: noticed within about two seconds.
        instance_id: static member id; with it, a restart after a crash reads at once instead of after the session's
            6 s.
        on_progress: called, often, while all that has come is in Kafka.

    Raises:
        Fenced: another process holds this member id.
        PeerUnavailable: the broker refuses this consumer.
    """
    topic = prefix + POSITIONS.name
    consumer = clients.consumer(bootstrap, prefix + GROUP, instance_id=instance_id)
    orphans = Orphans(bootstrap, prefix + GROUP, [topic], instance_id)
    homes = Homes(bootstrap, prefix)
    begin = partial(_begin, feeds, bootstrap, prefix, homes, on_progress)
    try:
        _Turns(consumer, topic, orphans, begin).run(should_stop)
    except KafkaException as failure:
        raise clients.fault(failure.args[0]) from None
    finally:
        homes.close()


def _begin(
    feeds: Sequence[Feed],
    bootstrap: str,
    prefix: str,
    homes: "Homes",
    on_progress: Callable[[], None],
) -> "_Reading":
    loops = [_FeedLoop(feed, clients.producer(bootstrap), prefix, homes) for feed in feeds]
    return _Reading(loops, partial(read_positions, bootstrap, prefix), on_progress)


def read_positions(bootstrap: str, prefix: str) -> dict[str, dict[str, str]]:
    """Return how far each part of each feed has been taken.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    found: dict[str, dict[str, str]] = {}
    newest = {
        message.key(): message.value()
        for message in read_whole(bootstrap, [TopicPartition(prefix + POSITIONS.name, 0)])
    }
    for value in filter(None, newest.values()):  # an operator deletes the position of a stream that was made anew
        record = codec.decode(value)
        if isinstance(record, FeedPosition):
            found.setdefault(record.feed, {})[record.part] = record.position
    return found


class _Turns:
    """The membership that says who reads."""

    def __init__(self, consumer: Consumer, topic: str, orphans: Orphans, begin: Callable[[], "_Reading"]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._orphans = orphans
        self._begin = begin
        self._is_owner = False

    def run(self, should_stop: threading.Event) -> None:
        """Read while this member owns the partition."""
        reading: _Reading | None = None
        self._orphans.start()
        try:
            self._join()
            while not should_stop.is_set():
                message = self._consumer.poll(POLL_S)
                if message is not None:
                    clients.sound(message)
                if self._orphans.are_found():
                    leave(self._consumer, REQUEST_S)
                    self._join()
                if self._is_owner and reading is None:
                    reading = self._begin()
                elif not self._is_owner and reading is not None:
                    reading.stop()
                    reading = None
                if reading is not None:
                    reading.check()
        finally:
            if reading is not None:
                reading.stop()
            leave(self._consumer, LEAVE_S)
            self._consumer.close()
            self._orphans.stop()

    def _join(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:  # owned, not read: positions are read whole, without the group
            ends = [TopicPartition(one.topic, one.partition, OFFSET_END) for one in partitions]
            consumer.incremental_assign(ends)
            consumer.pause(ends)
            self._is_owner = True

    def _revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._is_owner = self._is_owner and not partitions


class _Reading:
    """The threads of the feeds."""

    def __init__(
        self,
        loops: Sequence["_FeedLoop"],
        positions: Callable[[], Mapping[str, Mapping[str, str]]],
        on_progress: Callable[[], None],
    ) -> None:
        self._stop = threading.Event()
        self._fault: Exception | None = None
        self._positions = positions
        self._on_progress = on_progress
        self._threads = [
            threading.Thread(target=self._work, args=(loop,), name=loop.feed.says, daemon=True) for loop in loops
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every feed; one that hangs in a request is left behind, since what it would still write may repeat."""
        self._stop.set()
        until_s = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0))

    def check(self) -> None:
        """Raise what ended a feed."""
        if self._fault is not None:
            raise self._fault

    def _work(self, loop: "_FeedLoop") -> None:
        try:
            loop.run(self._stop, self._positions, self._on_progress)
        except Exception as fault:  # noqa: BLE001 - raised again by `check`, which ends the worker
            self._fault = fault


class _Outgoing(NamedTuple):
    """A record on its way: its generation's prefix, topic, key and encoded value."""

    prefix: str
    topic: str
    key: bytes
    value: bytes


class _FeedLoop:
    """One feed: pull, write, settle."""

    def __init__(self, feed: Feed, producer: Producer, prefix: str, homes: "Homes") -> None:
        self.feed = feed
        self._inlet = feed.inlet()
        self._producer = producer
        self._prefix = prefix
        self._homes = homes
        self._kept: dict[str, str] | None = None  # positions; None until they are read
        self._failures: list[str] = []
        self._refused_in_row = 0

    def run(
        self,
        stop: threading.Event,
        positions: Callable[[], Mapping[str, Mapping[str, str]]],
        on_progress: Callable[[], None],
    ) -> None:
        """Carry messages until told to stop; whatever is away is waited for."""
        attempt = 0
        has_begun = False
        while not stop.is_set():
            try:
                if self._kept is None:
                    self._kept = dict(positions().get(self.feed.place, {}))
                if not has_begun:
                    self._inlet.resume(self._kept)
                    has_begun = True
                has_news = self._turn(stop)
            except PeerUnavailable as fault:
                _log.warning("a feed waits", extra={"feed": self.feed.place, "reason": str(fault)})
                has_begun = False  # what was pulled and not written comes again
                stop.wait(_backoff_s(attempt))
                attempt += 1
            else:
                attempt = 0
                on_progress()
                if not has_news:
                    stop.wait(IDLE_S)

    def _turn(self, stop: threading.Event) -> bool:
        """Carry one batch; say whether there was one."""
        batch = self._inlet.pull()
        if not batch.arrived:
            return False
        self._write(batch)
        self._flush(stop)
        failpoints.reach("sent")
        self._inlet.settle(batch)
        self._keep(batch.positions, stop)
        return True

    def _write(self, batch: Batch) -> None:
        """Read the whole batch, then write it: what is away while it is read leaves nothing half-written."""
        refused: list[tuple[Arrived, RecordRefused]] = []
        read: list[_Outgoing] = []
        for arrived in batch.arrived:
            try:
                read += self._read(arrived.data)
            except RecordRefused as why:
                refused.append((arrived, why))
        is_all = len(refused) == len(batch.arrived)
        in_row = self._refused_in_row + len(refused) if is_all else 0
        if in_row > REFUSED_LIMIT:
            raise PeerUnavailable(f"more than {REFUSED_LIMIT} messages in a row were refused: {refused[-1][1]}")
        for one in read:
            self._produce(one.prefix + one.topic, one.value, one.key)
            metrics.RECORDS_OUT.labels(GROUP, one.topic).inc()
        for arrived, refusal in refused:
            self._bury(arrived, refusal)
        self._refused_in_row = in_row
        metrics.RECORDS_IN.labels(GROUP, self.feed.says).inc(len(batch.arrived))

    def _read(self, data: bytes) -> list[_Outgoing]:
        """Return all that one message says; it is refused as a whole."""
        return [
            _Outgoing(
                prefix_of(self._prefix, self._homes.of(one.key, one.started_ms)),
                topic_of(one.record),
                one.key,
                codec.encode(one.record),
            )
            for one in self.feed.read(data)
        ]

    def _bury(self, arrived: Arrived, refusal: RecordRefused) -> None:
        """Write the original bytes where an operator finds them, and why they mean nothing."""
        name = prefix_of(self._prefix, self._homes.newest()) + deadletters.name(EVENTS)
        place = f"{self.feed.place} {arrived.part}".strip()
        offset = int(arrived.position) if arrived.position.isdigit() else -1
        headers = deadletters.headers(place, 0, offset, GROUP, refusal)
        # Kinesis takes records of 10 MiB and Kafka does not; no feed of a contact centre comes near.
        self._produce(name, arrived.data[: codec.LIMIT_BYTES], self.feed.place.encode(), headers)
        metrics.RECORDS_DEAD.labels(GROUP, self.feed.says).inc()
        _log.error("a message was dead-lettered", extra={"feed": self.feed.place, "reason": str(refusal)})

    def _keep(self, positions: Mapping[str, str], stop: threading.Event) -> None:
        """Write the positions that have moved."""
        assert self._kept is not None  # `run` has read them
        moved = {part: position for part, position in positions.items() if self._kept.get(part) != position}
        for part, position in moved.items():
            record = FeedPosition(self.feed.place, part, position)
            self._produce(self._prefix + POSITIONS.name, codec.encode(record), record.contact_id.encode())
        if moved:
            self._flush(stop)
            self._kept |= moved

    def _produce(self, topic: str, value: bytes, key: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._producer.produce(topic, value, key, headers=list(headers), on_delivery=self._note)

    def _flush(self, stop: threading.Event) -> None:
        """Wait until Kafka has everything, so that a batch that is tried again never meets its own older copies."""
        self._failures.clear()
        while self._producer.flush(FLUSH_S):
            if stop.is_set():
                raise PeerUnavailable("told to stop before Kafka had what a feed brought")
        if self._failures:
            raise PeerUnavailable(f"Kafka does not take what a feed brings: {self._failures[0]}")

    def _note(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.name())


class Homes:
    """Which generation of topics a conversation is in. Threads may share it.

    With one living generation there is no question. While there are several, a conversation stays where its records
    are; one that nothing is known of goes where its start belongs, or to the newest if the message does not tell it.
    """

    def __init__(self, bootstrap: str, prefix: str) -> None:
        """Prepare; nothing is asked before the first question."""
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._listed = GenerationList(bootstrap, prefix)
        self._looked_s = float("-inf")
        self._known: dict[bytes, int] = {}
        self._covered: tuple[int, ...] = ()  # generations whose conversations are known
        self._turn = threading.Lock()

    def of(self, key: bytes, started_ms: int | None) -> int:
        """Return the generation of a conversation.

        Args:
            key: `tenant|root`.
            started_ms: when it started, ms since 1970, if the message says so.

        Raises:
            PeerUnavailable: the broker does not tell which generations there are.
        """
        with self._turn:
            living = self._look()
            if len(living) == 1:
                return living[0]
            found = self._known.get(key)
            if found not in living:
                now_ms = time.time_ns() // 1_000_000
                found = self._listed.of(now_ms if started_ms is None else min(started_ms, now_ms))
                found = found if found in living else self._listed.of(now_ms)
                self._known[key] = found
            return found

    def newest(self) -> int:
        """Return the newest living generation, which may not be open yet."""
        with self._turn:
            return self._look()[-1]

    def close(self) -> None:
        """Leave."""
        self._listed.close()

    def _look(self) -> tuple[int, ...]:
        if time.monotonic() - self._looked_s > generations.LOOK_S:
            self._listed.look()
            self._looked_s = time.monotonic()
        living = self._listed.living
        if len(living) == 1:
            self._known, self._covered = {}, ()
        elif living != self._covered:
            self._known |= self._read(living)
            self._covered = living
        return living

    def _read(self, living: tuple[int, ...]) -> dict[bytes, int]:
        """Return the conversations of all generations but the newest, which is empty or known."""
        found: dict[bytes, int] = {}
        partitions = {one.number: one.partitions for one in self._listed.listed}
        for number in living:
            topic = prefix_of(self._prefix, number) + EVENTS
            places = [TopicPartition(topic, n) for n in range(partitions[number])]
            for message in read_whole(self._bootstrap, places):
                found.setdefault(message.key() or b"", number)
        return found


def _backoff_s(attempt: int) -> float:
    first_s, longest_s = BACKOFF_S
    return random.uniform(0, min(longest_s, first_s * 2 ** min(attempt, 16)))
