"""The sink engine on a real broker: every record arrives once, however broker, store and process behave."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Message, TopicPartition
from prometheus_client import REGISTRY
from redis import Redis

from connectors.base import Delivered, Sink
from connectors.postgres import PostgresSink
from connectors.redis import SHARDS, RedisGuidanceSink
from pipeline import stores
from pipeline.engines import sink as engine
from pipeline.errors import EngineFault, PeerUnavailable, RecordRefused
from tests.proven import GATE, proven
from topics import admin, clients, codec, deadletters
from topics.catalogue import TOPICS
from topics.keys import contact_key, partition_of
from topics.records import Guidance, Hint, Moment, Moments, Record, Watermark

pytestmark = pytest.mark.stores

PARTITIONS = 2
LIMIT_S = 30.0

KILLED = """
import os, signal, sys, threading
from connectors.postgres import PostgresSink
from pipeline.engines import sink as engine
from tests.proven import GATE

class Killed(PostgresSink):
    def write(self, batch):
        super().write(batch)
        os.kill(os.getpid(), signal.SIGKILL)

dsn, bootstrap, prefix = sys.argv[1:]
engine.run(Killed(dsn, schema), bootstrap, prefix, threading.Event(), gate=GATE, instance_id="one")
"""


class Watched:
    """A sink that counts what happens to it; `inner` is the store, by default a list."""

    def __init__(self, inner: Sink | None = None) -> None:
        self.name = inner.name if inner else "watched"
        self.topics = inner.topics if inner else ("moments",)
        self.linger_ms = 0
        self.offered = 0
        self.is_away = False
        self.poison: set[str] = set()
        self.seen: list[Delivered] = []
        self.writes = 0
        self.failures = 0
        self.is_closed = False
        self._inner = inner
        self._changed = threading.Condition()

    def prepare(self) -> None:
        if self._inner:
            self._inner.prepare()

    def write(self, batch: Sequence[Delivered]) -> None:
        with self._changed:
            self.writes += 1
            self.offered = len(batch)
            try:
                self._write(batch)
            except PeerUnavailable:
                self.failures += 1
                raise
            finally:
                self._changed.notify_all()
            self.seen += batch

    def _write(self, batch: Sequence[Delivered]) -> None:
        if self.is_away:
            raise PeerUnavailable("away")
        if any(one.record.contact_id in self.poison for one in batch):
            raise RecordRefused("poison")
        if self._inner:
            self._inner.write(batch)

    def close(self) -> None:
        self.is_closed = True
        if self._inner:
            self._inner.close()

    def wait(self, condition: Callable[["Watched"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), LIMIT_S), "the sink did not get there"

    @property
    def contacts(self) -> list[str]:
        return sorted(one.record.contact_id for one in self.seen)


@pytest.fixture
def topics(broker: str, prefix: str) -> str:
    """Make the topics that sinks read, and return their prefix."""
    read = {*PostgresSink.topics, *RedisGuidanceSink.topics}
    wanted = {prefix + name for topic in read for name in (topic, deadletters.name(topic))}
    declared = [one for one in admin.declare(prefix, PARTITIONS, 1) if one.name in wanted]
    admin.apply(broker, admin.plan(declared, ()))
    return prefix


@contextmanager
def running(sink: Sink, broker: str, prefix: str, instance_id: str | None = None) -> Iterator[Future[None]]:
    """Run the engine on a thread; leaving stops it in order and raises what it raised."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(engine.run, sink, broker, prefix, stop, gate=GATE, instance_id=instance_id)
        try:
            yield done
        finally:
            stop.set()
        done.result(LIMIT_S)


def send(broker: str, prefix: str, *records: Record, topic: str = "moments", is_proven: bool = True) -> None:
    producer = clients.producer(broker)
    for record in records:
        key = contact_key(record.tenant, record.contact_id)
        producer.produce(prefix + topic, codec.encode(proven(record) if is_proven else record), key)
    assert 0 == producer.flush(LIMIT_S)


def send_bytes(broker: str, prefix: str, key: bytes, value: bytes | None) -> None:
    producer = clients.producer(broker)
    producer.produce(f"{prefix}moments", value, key)
    assert 0 == producer.flush(LIMIT_S)


def moments(contact: str, rev: int = 1) -> Moments:
    return Moments("acme", contact, 0, f"{contact}/customer/0", 10, (Moment("p", 1, "b"),), rev)


def many(first: int, end: int) -> list[Moments]:
    return [moments(f"c{n:04}") for n in range(first, end)]


def names(first: int, end: int) -> list[str]:
    return [one.contact_id for one in many(first, end)]


def committed(broker: str, prefix: str, group: str = "watched", topic: str = "moments") -> list[int]:
    reader = clients.consumer(broker, prefix + group)
    asked = [TopicPartition(prefix + topic, n) for n in range(PARTITIONS)]
    offsets = [one.offset for one in reader.committed(asked, timeout=LIMIT_S)]
    reader.close()
    return offsets


def dead_letters(broker: str, prefix: str, number: int, of: str = "moments") -> list[Message]:
    reader = clients.tail_consumer(broker)
    topic = prefix + deadletters.name(of)
    reader.assign([TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
    letters = reader.consume(number, LIMIT_S)
    reader.close()
    assert number == len(letters)
    return letters


def test_records_arrive_with_their_place_and_a_stop_commits_behind_them(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 40))
    first = Watched()
    with running(first, broker, topics):
        first.wait(lambda sink: len(sink.seen) == 40)
    assert names(0, 40) == first.contacts
    assert first.is_closed
    for one in first.seen:
        assert ("moments", partition_of(one.key, PARTITIONS)) == (one.topic, one.partition)
        assert one.timestamp_ms > 0
    assert 40 == sum(committed(broker, topics))
    send(broker, topics, *many(40, 50))
    second = Watched()
    with running(second, broker, topics):
        second.wait(lambda sink: len(sink.seen) == 10)
    assert names(40, 50) == second.contacts


def test_first_start_commits_where_it_begins_even_in_empty_partitions(broker: str, topics: str) -> None:
    send(broker, topics, moments("alone"))
    sink = Watched()
    with running(sink, broker, topics):
        sink.wait(lambda sink: len(sink.seen) == 1)
    assert [0, 1] == sorted(committed(broker, topics))


def test_lost_position_ends_the_engine_loudly(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 4))
    owner = clients.consumer(broker, f"{topics}watched")
    owner.commit(offsets=[TopicPartition(f"{topics}moments", 0, 1_000)], asynchronous=False)
    owner.close()
    with (
        pytest.raises(EngineFault, match="records were lost to retention"),
        running(Watched(), broker, topics) as done,
    ):
        done.result(LIMIT_S)


def test_broker_that_does_not_tell_positions_is_the_peers_fault(
    broker: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "REQUEST_S", 0.000_1)
    monkeypatch.setattr(engine, "ASSIGN_LIMIT_S", 0.1)
    with (
        pytest.raises(PeerUnavailable, match="_TIMED_OUT"),
        running(Watched(), broker, topics) as done,
    ):
        done.result(LIMIT_S)


def test_unreadable_records_go_to_the_dead_letters_as_they_came(broker: str, topics: str) -> None:
    send(broker, topics, moments("before"))
    send_bytes(broker, topics, b"acme|before", b"\x00no such schema 4929")
    send_bytes(broker, topics, b"acme|before", None)
    foreign = codec.encode(Guidance("acme", "c", 0, "t", ()))
    send_bytes(broker, topics, b"acme|before", foreign)
    send(broker, topics, moments("after"), Watermark("acme", "before", 0, 5, is_end=False))
    sink = Watched()
    with running(sink, broker, topics):
        sink.wait(lambda sink: len(sink.seen) == 3)
        letters = dead_letters(broker, topics, 3)
    assert [b"\x00no such schema 4929", None, foreign] == [letter.value() for letter in letters]
    assert {b"acme|before"} == {letter.key() for letter in letters}
    headers = dict(letters[0].headers() or [])
    assert b"watched" == headers["__connect.errors.connector.name"]
    assert b"moments" == headers["__connect.errors.topic"]
    assert str(partition_of(b"acme|before", PARTITIONS)).encode() == headers["__connect.errors.partition"]
    assert b"1" == headers["__connect.errors.offset"]
    assert b"pipeline.errors.RecordRefused" == headers["__connect.errors.exception.class.name"]
    assert not [value for value in headers.values() if b"4929" in (value or b"")]
    assert 6 == sum(committed(broker, topics))


def test_refused_records_are_found_by_halving_and_the_others_are_written(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 300))
    sink = Watched()
    sink.poison = {"c0007", "c0150", "c0299"}
    with running(sink, broker, topics):
        sink.wait(lambda sink: len(sink.seen) == 297)
        letters = dead_letters(broker, topics, 3)
    buried = sorted(codec.decode(letter.value() or b"").contact_id for letter in letters)
    assert sorted(sink.poison) == buried
    assert sorted(set(names(0, 300)) - sink.poison) == sink.contacts
    assert sink.writes < 100


def test_burst_of_refusals_stops_the_engine(broker: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "REFUSED_LIMIT", 20)
    send(broker, topics, *many(0, 30))
    sink = Watched()
    sink.poison = set(names(0, 30))
    with pytest.raises(EngineFault, match="20 records in a row"), running(sink, broker, topics) as done:
        done.result(LIMIT_S)


def test_absent_store_loses_nothing_and_the_member_stays(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 10))
    sink = Watched()
    sink.is_away = True
    with running(sink, broker, topics):
        sink.wait(lambda sink: sink.failures == 3)
        send(broker, topics, *many(10, 60))
        sink.wait(lambda sink: sink.failures == 6)
        assert {f"{topics}moments"} == assigned_topics(broker, topics)
        sink.is_away = False
        sink.wait(lambda sink: len(sink.seen) == 60)
    assert names(0, 60) == sink.contacts
    assert 60 == sum(committed(broker, topics))


def assigned_topics(broker: str, prefix: str) -> set[str]:
    group = f"{prefix}watched"
    client = clients.admin(broker)  # an answer comes only as long as its client lives
    described = client.describe_consumer_groups([group])[group].result(LIMIT_S)
    return {one.topic for member in described.members for one in member.assignment.topic_partitions}


def test_stop_while_the_store_is_away_leaves_the_batch_to_the_next_start(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 10))
    sink = Watched()
    sink.is_away = True
    with running(sink, broker, topics):
        sink.wait(lambda sink: sink.failures == 6)
        stopped_s = time.monotonic()
    assert time.monotonic() - stopped_s < 5
    assert [0, 0] == committed(broker, topics)
    sink.is_away = False
    with running(sink, broker, topics):
        sink.wait(lambda sink: len(sink.seen) == 10)
    assert names(0, 10) == sink.contacts


def test_stop_is_heard_while_the_store_is_not_ready(broker: str, topics: str) -> None:
    nowhere = PostgresSink("host=127.0.0.1 port=1")
    with running(nowhere, broker, topics):
        pass


def test_partitions_that_move_while_the_store_is_away_are_left_to_their_new_owner(broker: str, topics: str) -> None:
    send(broker, topics, *many(0, 40))
    ill, healthy = Watched(), Watched()
    ill.is_away = True
    ill.linger_ms = 1_000  # long enough to have both partitions in hand
    with running(ill, broker, topics):
        ill.wait(lambda sink: sink.offered == 40)
        with running(healthy, broker, topics):
            healthy.wait(lambda sink: len(sink.seen) > 0)
            ill.is_away = False
            ill.wait(lambda sink: len(sink.seen) > 0)
            healthy.wait(lambda sink: len(sink.seen) + len(ill.seen) >= 40)
    assert names(0, 40) == sorted(ill.contacts + healthy.contacts)
    assert 40 == sum(committed(broker, topics))


def test_kill_dash_nine_between_write_and_commit_leaves_no_double_row(
    broker: str, topics: str, postgres_dsn: str
) -> None:
    schema = topics.replace("-", "_").replace(".", "_")
    command = (sys.executable, "-c", KILLED.replace("schema)", f"{schema!r})"), postgres_dsn, broker, topics)
    written = 0
    for first in (0, 50, 100):
        send(broker, topics, *many(first, first + 50))
        done = subprocess.run(command, check=False, timeout=LIMIT_S, cwd=Path(__file__).parents[3])
        assert -signal.SIGKILL == done.returncode
        assert written < (written := len(stored(postgres_dsn, schema)))
        assert 0 == sum(committed(broker, topics, "postgres"))
    sink = Watched(PostgresSink(postgres_dsn, schema))
    with running(sink, broker, topics, instance_id="one"):
        sink.wait(lambda sink: len(sink.seen) == 150)
    assert names(0, 150) == stored(postgres_dsn, schema)
    assert 150 == sum(committed(broker, topics, "postgres"))


def stored(dsn: str, schema: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(f"SELECT contact_id FROM {schema}.moments ORDER BY 1".encode())
        return [name for (name,) in rows]


def test_postgres_that_restarts_in_the_middle_loses_nothing(broker: str, topics: str, store_home: Path) -> None:
    first = stores.start_postgres(store_home)
    sink = Watched(PostgresSink(first.url))
    with running(sink, broker, topics):
        send(broker, topics, *many(0, 100))
        sink.wait(lambda sink: len(sink.seen) == 100)
        first.stop()
        send(broker, topics, *many(100, 200))
        sink.wait(lambda sink: sink.failures == 5)
        second = stores.start_postgres(store_home, port_of(first))
        sink.wait(lambda sink: len(sink.seen) == 200)
    assert names(0, 200) == stored(second.url, "trunkline")
    second.stop()


def test_valkey_that_is_killed_in_the_middle_loses_nothing(broker: str, topics: str, store_home: Path) -> None:
    first = stores.start_valkey(store_home)
    sink = Watched(RedisGuidanceSink(first.url, topics))
    with running(sink, broker, topics):
        send(broker, topics, *cards(0, 100), topic="guidance")
        sink.wait(lambda sink: len(sink.seen) == 100)
        os.kill(first.pid, signal.SIGKILL)
        send(broker, topics, *cards(100, 200), topic="guidance")
        sink.wait(lambda sink: sink.failures == 5)
        first.stop()
        second = stores.start_valkey(store_home, port_of(first))
        sink.wait(lambda sink: len(sink.seen) == 200)
    with Redis.from_url(second.url) as client:
        shards = [client.xrange(f"{topics}guidance:{shard}") for shard in range(SHARDS)]
    kept = [codec.decode(fields[b"value"]).contact_id for shard in shards for _, fields in shard]
    # Without persistence, what was appended before the kill is gone; the gateway has Kafka for that.
    assert names(100, 200) == sorted(kept)
    second.stop()


def cards(first: int, end: int) -> list[Guidance]:
    return [
        Guidance("acme", name, 0, f"{name}/t", (Hint(f"{name}/g", "card", "b", "p", 1, (), 1, None),), 1)
        for name in names(first, end)
    ]


def port_of(server: stores.Server) -> int:
    return int(server.url.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("sink", [PostgresSink, RedisGuidanceSink])
def test_catalogue_names_the_sink_as_a_reader_of_its_topics(sink: type[PostgresSink]) -> None:
    named = {topic.name for topic in TOPICS.values() if sink.name in topic.consumers}
    assert named == set(sink.topics)


def test_what_redaction_has_not_proved_is_in_no_store(broker: str, topics: str) -> None:
    unproved = Guidance("acme", "c", 0, "c/t", (Hint("g", "card", "four nine one seven", "p", 1, (), 1, None),), 1)
    send(broker, topics, unproved, topic="guidance", is_proven=False)
    send(broker, topics, replace(unproved, cause_id="c/u"), topic="guidance")
    sink = Watched()
    sink.topics = ("guidance",)
    before = REGISTRY.get_sample_value("trunkline_egress_refused_total", {"place": "watched"}) or 0
    with running(sink, broker, topics):
        sink.wait(lambda sink: len(sink.seen) == 1)
        (letter,) = dead_letters(broker, topics, 1, "guidance")
    assert ["c/u"] == [getattr(one.record, "cause_id", "") for one in sink.seen]
    headers = dict(letter.headers() or [])
    assert b"the record has no valid receipt" == headers["__connect.errors.exception.message"]
    assert b"pipeline.errors.EgressRefused" == headers["__connect.errors.exception.class.name"]
    assert before + 1 == REGISTRY.get_sample_value("trunkline_egress_refused_total", {"place": "watched"})
