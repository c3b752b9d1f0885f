"""The source engine on a real broker: every message arrives, however the feed, Kafka and the process behave."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Message, TopicPartition

from connectors.base import Addressed, Arrived, Batch
from pipeline import broker as embedded
from pipeline.engines import source as engine
from pipeline.engines.source import Feed, Homes
from pipeline.engines.tables import read_whole
from pipeline.errors import PeerUnavailable, RecordRefused
from topics import admin, clients, codec, deadletters, generations
from topics.keys import contact_key
from topics.records import ContactEvent, Generation, MediaStarted

pytestmark = pytest.mark.kafka

REPOSITORY = Path(__file__).parents[3]
PARTITIONS = 2
LIMIT_S = 60.0
OPEN_MS = 1_790_000_000_000  # when the second generation opens; long past
PLACE = "arn:aws:kinesis:eu-central-1:111122223333:stream/starts"


class Shelf:
    """An inlet in memory: messages with their places, of which it remembers what was taken and what was let go."""

    def __init__(self, *messages: bytes, step: int = 2) -> None:
        self.messages = list(messages)
        self.begins: list[int] = []
        self.settled: list[bytes] = []
        self.away = 0  # how often the next pulls fail
        self.on_settle: Callable[[], None] = lambda: None
        self._step = step
        self._at = 0

    @property
    def taken(self) -> int:
        """How many messages have been pulled since the last begin, those before it included."""
        return self._at

    def resume(self, positions: Mapping[str, str]) -> None:
        self._at = int(positions.get("shard", 0))
        self.begins.append(self._at)

    def pull(self) -> Batch:
        if self.away:
            self.away -= 1
            raise PeerUnavailable("the shelf is away")
        taken = self.messages[self._at : self._at + self._step]
        arrived = [Arrived(one, "shard", str(n)) for n, one in enumerate(taken, self._at + 1)]
        self._at += len(taken)
        return Batch(tuple(arrived), {"shard": str(self._at)} if self._at else {})

    def settle(self, batch: Batch) -> None:
        self.on_settle()
        self.settled += [one.data for one in batch.arrived]


def read(data: bytes) -> Sequence[Addressed]:
    """Make two records of a message that is a contact id, one of an empty one, and refuse what begins with `bad`."""
    if data.startswith(b"bad"):
        raise RecordRefused("the message is bad")
    contact = data.decode()
    event = ContactEvent("acme", contact, 0, "started", 0, "", 1)
    media = MediaStarted("acme", contact, "arn", 1, "1")
    return [Addressed(contact_key("acme", contact), one, None) for one in (event, media)]


def feed(shelf: Shelf, place: str = PLACE) -> Feed:
    return Feed("starts", place, lambda: shelf, read)


def names(count: int, word: str = "contact") -> list[bytes]:
    return [f"{word}-{n}".encode() for n in range(count)]


@pytest.fixture
def topics(broker: str, prefix: str) -> str:
    admin.apply(broker, admin.plan(admin.declare(prefix, PARTITIONS, 1), ()))
    return prefix


@contextmanager
def running(broker: str, prefix: str, *feeds: Feed, instance_id: str | None = None) -> Iterator[Future[None]]:
    """Run the engine on a thread; leaving stops it in order and raises what it raised."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(engine.run, feeds, broker, prefix, stop, instance_id=instance_id)
        try:
            yield done
        finally:
            stop.set()
        done.result(LIMIT_S)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "the engine did not get there"
        time.sleep(0.05)


def written(broker: str, prefix: str, topic: str = "contact.events") -> list[Message]:
    partitions = 1 if topic == "feed.positions" else PARTITIONS
    return list(read_whole(broker, [TopicPartition(prefix + topic, n) for n in range(partitions)]))


def contacts(broker: str, prefix: str) -> list[str]:
    """Return the contacts of the events; each message made one event and one start of media."""
    records = [codec.decode(message.value() or b"") for message in written(broker, prefix)]
    events = sorted(one.contact_id for one in records if isinstance(one, ContactEvent))
    assert events == sorted(one.contact_id for one in records if isinstance(one, MediaStarted))
    return events


def test_every_message_is_written_under_its_conversation_and_then_let_go(broker: str, topics: str) -> None:
    shelf = Shelf(*names(5))
    counts: list[int] = []
    shelf.on_settle = lambda: counts.append(len(written(broker, topics)))
    with running(broker, topics, feed(shelf)):
        until(lambda: len(shelf.settled) == 5)
    assert [name.decode() for name in names(5)] == contacts(broker, topics)
    assert {contact_key("acme", name.decode()) for name in names(5)} == {m.key() for m in written(broker, topics)}
    assert [4, 8, 10] == counts  # when a batch of two messages is let go, Kafka has its four records


def test_next_run_goes_on_behind_what_was_kept(broker: str, topics: str) -> None:
    first, second = Shelf(*names(4)), Shelf(*names(6))
    with running(broker, topics, feed(first)):
        until(lambda: len(first.settled) == 4)
    with running(broker, topics, feed(second)):
        until(lambda: len(second.settled) == 2)
    assert ([0], [4]) == (first.begins, second.begins)
    assert [name.decode() for name in names(6)] == contacts(broker, topics)


def test_crash_before_the_position_is_kept_repeats_and_loses_nothing(broker: str, topics: str) -> None:
    shelf = Shelf(*names(4))

    def die() -> None:
        raise ZeroDivisionError  # as a crash does, it ends the feed behind Kafka and before the position

    shelf.on_settle = die
    with pytest.raises(ZeroDivisionError), running(broker, topics, feed(shelf)) as done:
        until(done.done)
    again = Shelf(*names(4))
    with running(broker, topics, feed(again)):
        until(lambda: len(again.settled) == 4)
    assert [0] == again.begins
    assert {name.decode() for name in names(4)} == set(contacts(broker, topics))
    assert len(contacts(broker, topics)) == 6


def test_feed_that_is_away_is_waited_for_and_holds_up_no_other(broker: str, topics: str) -> None:
    away, other = Shelf(*names(3)), Shelf(*names(3, "other"))
    away.away = 4
    with running(broker, topics, feed(away), feed(other, "queue")):
        until(lambda: len(other.settled) == 3 and len(away.settled) == 3)
    assert sorted(name.decode() for name in names(3) + names(3, "other")) == contacts(broker, topics)


def test_key_that_cannot_be_used_now_holds_its_messages_back(broker: str, topics: str) -> None:
    failures = iter(range(3))

    def locked(data: bytes) -> Sequence[Addressed]:
        if data == names(4)[1] and next(failures, None) is not None:
            raise PeerUnavailable("the key is away")
        return read(data)

    shelf = Shelf(*names(4))
    with running(broker, topics, Feed("starts", PLACE, lambda: shelf, locked)):
        until(lambda: len(shelf.settled) == 4)
    assert [name.decode() for name in names(4)] == contacts(broker, topics)  # nothing of a batch that waits is written
    assert [] == written(broker, topics, "contact.events.dead")


def test_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    jars = REPOSITORY / ".kafka" / f"libs-{embedded.KAFKA_VERSION}"
    bootstrap = embedded.start(tmp_path, libs=jars).bootstrap
    try:
        admin.apply(bootstrap, admin.plan(admin.declare("own.", PARTITIONS, 1), ()))
        shelf = Shelf(*names(2))
        with running(bootstrap, "own.", feed(shelf)):
            until(lambda: len(shelf.settled) == 2)
            embedded.stop(tmp_path)
            shelf.messages += names(4)[2:]
            until(lambda: shelf.taken == 4)
            assert 2 == len(shelf.settled)  # taken, and not let go while Kafka does not have it
            embedded.start(tmp_path, libs=jars)
            until(lambda: len(shelf.settled) == 4)
        assert {name.decode() for name in names(4)} == set(contacts(bootstrap, "own."))
    finally:
        embedded.stop(tmp_path)


def test_message_that_means_nothing_is_dead_lettered_whole_and_the_others_go_on(broker: str, topics: str) -> None:
    shelf = Shelf(b"contact-1", b"bad \xff\x00", b"contact-2")
    with running(broker, topics, feed(shelf)):
        until(lambda: len(shelf.settled) == 3)
    assert ["contact-1", "contact-2"] == contacts(broker, topics)
    (dead,) = written(broker, topics, deadletters.name("contact.events"))
    assert (b"bad \xff\x00", PLACE.encode()) == (dead.value(), dead.key())
    headers = dict(dead.headers() or [])
    why = {name.removeprefix(deadletters.PREFIX): headers[name] for name in headers}
    assert (f"{PLACE} shard".encode(), b"2", b"contact-events") == (why["topic"], why["offset"], why["connector.name"])
    assert b"the message is bad" == why["exception.message"]


def test_record_that_cannot_be_encoded_takes_its_whole_message_to_the_dead_letters(broker: str, topics: str) -> None:
    def half_bad(data: bytes) -> Sequence[Addressed]:
        event, media = read(data)
        return [event, Addressed(media.key, MediaStarted("acme", "c", "my \ud800 secret", 1, "1"), None)]

    shelf = Shelf(b"contact-1")
    with running(broker, topics, Feed("starts", PLACE, lambda: shelf, half_bad)):
        until(lambda: len(shelf.settled) == 1)
    assert [] == written(broker, topics)
    assert [b"contact-1"] == [message.value() for message in written(broker, topics, "contact.events.dead")]


def test_feed_of_refused_messages_alone_stands_still_instead_of_draining(
    broker: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "REFUSED_LIMIT", 4)
    wrong, right = Shelf(*names(10, "bad")), Shelf(*names(2))
    with running(broker, topics, feed(wrong), feed(right, "queue")):
        until(lambda: len(wrong.begins) > 2 and len(right.settled) == 2)
    assert 4 == len(wrong.settled)
    assert 4 == len(written(broker, topics, "contact.events.dead"))


def test_one_member_reads_and_the_other_takes_over(broker: str, topics: str) -> None:
    first, second = Shelf(*names(2)), Shelf(*names(4))
    with running(broker, topics, feed(second), instance_id="b") as waiting:
        until(lambda: len(second.begins) == 1)  # alone, it reads
        with running(broker, topics, feed(first), instance_id="a"):
            time.sleep(1)
        until(lambda: len(second.settled) == 4)
        assert not waiting.done()
    assert {name.decode() for name in names(4)} == set(contacts(broker, topics))


def grown(broker: str, prefix: str, *contacts_of_first: str) -> None:
    """Open a second generation, in which nothing has happened."""
    desired = admin.declare_generation(prefix, 2, PARTITIONS, 1)
    admin.apply(broker, admin.plan(desired, ()))
    producer = clients.producer(broker)
    for contact in contacts_of_first:
        (event, _) = read(contact.encode())
        producer.produce(f"{prefix}contact.events", codec.encode(event.record), event.key)
    assert 0 == producer.flush(LIMIT_S)
    listed = (Generation(1, PARTITIONS, 0, None), Generation(2, PARTITIONS, OPEN_MS, None))
    generations.write(broker, prefix, (), listed)


def test_conversation_stays_in_the_generation_of_its_records(broker: str, topics: str) -> None:
    grown(broker, topics, "known")
    homes = Homes(broker, topics)
    of = partial(homes.of, started_ms=None)
    try:
        assert (1, 2) == (of(b"acme|known"), of(b"acme|new"))
        assert 1 == homes.of(b"acme|old", OPEN_MS - 1)
        assert (1, 2) == (of(b"acme|old"), homes.of(b"acme|new", OPEN_MS - 1))
        assert 2 == homes.newest()
    finally:
        homes.close()


def test_messages_go_where_their_conversations_are(broker: str, topics: str) -> None:
    grown(broker, topics, "contact-0")
    shelf = Shelf(*names(3))
    with running(broker, topics, feed(shelf)):
        until(lambda: len(shelf.settled) == 3)
    second = generations.prefix_of(topics, 2)
    first_records = [codec.decode(message.value() or b"") for message in written(broker, topics)]
    assert {"contact-0"} == {one.contact_id for one in first_records}
    assert ["contact-1", "contact-2"] == contacts(broker, second)


def test_topic_whose_beginning_is_gone_is_read_whole(broker: str, topics: str) -> None:
    with running(broker, topics, feed(shelf := Shelf(*names(6)))):
        until(lambda: len(shelf.settled) == 6)
    places = [TopicPartition(f"{topics}contact.events", n, 1) for n in range(PARTITIONS)]
    client = clients.admin(broker)
    for done in client.delete_records(places).values():
        done.result(LIMIT_S)
    assert 12 - PARTITIONS == len(written(broker, topics))
