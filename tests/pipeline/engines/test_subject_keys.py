"""Restricted topics on a real broker: sealed for each conversation, opened elsewhere, shredded by deleting its keys."""

import asyncio
import base64
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from connectors import tenant_keys
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.engines.payloads import Payloads
from pipeline.engines.subject_keys import SubjectKeys
from pipeline.engines.tables import read_whole
from pipeline.errors import EngineFault, KeyGone, RecordRefused
from pipeline.tenant_key import TenantKey
from pipeline.topology import group_of
from tests.pipeline.engines.stations import COUNTER, LIMIT_S, Place, echo, said
from topics import admin, clients
from topics.catalogue import SUBJECT_KEYS
from topics.keys import contact_key
from topics.records import Record, SegmentWords
from topics.sealed import ID_BYTES, key_id_of

pytestmark = pytest.mark.kafka

WORDS, MOMENTS, CHANGELOG = "transcript.words", "moments", "changelog.counter"
KEY = contact_key("t", "c")


@pytest.fixture
def place(broker: str, prefix: str) -> Place:
    admin.apply(broker, admin.plan(admin.declare(prefix, 1, 1, changelogs=("counter",)), ()))
    return Place(broker, prefix)


@pytest.fixture
def keys(tmp_path: Path) -> Mapping[str, TenantKey]:
    return tenant_keys.made_at(tmp_path / "subject.key")


def payloads(place: Place, keys: Mapping[str, TenantKey]) -> Payloads:
    """Return what one process has."""
    return Payloads(SubjectKeys(place.bootstrap, place.prefix, partial(tenant_keys.find, keys)))


def values(place: Place, topic: str) -> dict[bytes, bytes]:
    partition = TopicPartition(place.prefix + topic, 0)
    return {one.key() or b"": one.value() or b"" for one in read_whole(place.bootstrap, [partition])}


def send(place: Place, own: Payloads, *records: Record) -> None:
    place.send((WORDS, key_of(one), own.encode(WORDS, key_of(one), one)) for one in records)


def key_of(record: Record) -> bytes:
    return contact_key(record.tenant, record.contact_id)


def delete_keys(place: Place, subject: bytes) -> None:
    producer = clients.producer(place.bootstrap)
    for row in values(place, SUBJECT_KEYS.name):
        if row[: -ID_BYTES - 1] == subject:
            producer.produce(place.prefix + SUBJECT_KEYS.name, None, row, 0)
    assert 0 == producer.flush(LIMIT_S)


async def works(place: Place, own: Payloads, count: int) -> None:
    """Run a worker until it has written `count` moments in all."""
    config = WorkerConfig(place.bootstrap, place.prefix, f"{place.prefix}one")
    worker = KafkaWorker(config, group_of("counter", COUNTER), {"oracle": echo}, payloads=own)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    reading = asyncio.create_task(asyncio.to_thread(place.until, [MOMENTS], lambda found: len(found) >= count))
    await asyncio.wait({running, reading}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    await reading


def test_one_process_seals_and_another_opens(place: Place, keys: Mapping[str, TenantKey]) -> None:
    ours, theirs = payloads(place, keys), payloads(place, keys)
    theirs.load()
    record = said(1, asr="four one one one")
    value = ours.encode(WORDS, KEY, record)
    assert b"four one one one" not in value
    assert record == theirs.decode(WORDS, KEY, value)  # its follower may not have seen the key yet
    assert record == payloads(place, keys).decode(WORDS, KEY, value)  # nor one that follows nothing
    theirs.stop()


def test_what_is_not_restricted_stands_open(place: Place, keys: Mapping[str, TenantKey]) -> None:
    assert key_id_of(payloads(place, keys).encode("contact.events", KEY, said(1))) is None


def test_every_life_has_keys_of_its_own(place: Place, keys: Mapping[str, TenantKey]) -> None:
    lives = [payloads(place, keys).encode(WORDS, KEY, said(1)) for _ in range(3)]
    assert 3 == len({key_id_of(value) for value in lives})


def test_a_value_opens_under_no_other_record_key(place: Place, keys: Mapping[str, TenantKey]) -> None:
    own = payloads(place, keys)
    value = own.encode(WORDS, KEY, said(1))
    for topic, key in ((WORDS, contact_key("t", "d")), ("transcript.raw", KEY)):
        with pytest.raises(RecordRefused):
            own.decode(topic, key, value)


def test_deleted_keys_take_what_they_have_sealed(place: Place, keys: Mapping[str, TenantKey]) -> None:
    own, other = payloads(place, keys), contact_key("t", "d")
    gone, stays = own.encode(WORDS, KEY, said(1)), own.encode(WORDS, other, said(1, "d"))
    delete_keys(place, KEY)
    reader = payloads(place, keys)
    with pytest.raises(KeyGone):
        reader.decode(WORDS, KEY, gone)
    assert said(1, "d") == reader.decode(WORDS, other, stays)


def test_another_tenant_key_ends_the_worker_and_loses_nothing(
    place: Place, keys: Mapping[str, TenantKey], tmp_path: Path
) -> None:
    value = payloads(place, keys).encode(WORDS, KEY, said(1))
    (tmp_path / "other.key").write_bytes(base64.b64encode(bytes(32)))
    other = payloads(place, tenant_keys.made_at(tmp_path / "other.key"))
    with pytest.raises(EngineFault, match="subject_keys"):
        other.decode(WORDS, KEY, value)


async def test_states_are_sealed_and_the_next_owner_reads_them(place: Place, keys: Mapping[str, TenantKey]) -> None:
    sender = payloads(place, keys)
    send(place, sender, said(1))
    await works(place, payloads(place, keys), 1)
    rows = {row: value for row, value in values(place, CHANGELOG).items() if row.startswith(b"counter")}
    assert rows
    assert all(key_id_of(value) for value in rows.values())
    send(place, sender, said(2))
    await works(place, payloads(place, keys), 2)
    found = place.until([MOMENTS], lambda records: len(records) >= 2)
    assert ["1/0", "2/0"] == [one.turn_id for one in found]  # type: ignore[attr-defined]


async def test_a_conversation_whose_keys_are_gone_begins_anew_and_the_others_go_on(
    place: Place, keys: Mapping[str, TenantKey]
) -> None:
    sender = payloads(place, keys)
    send(place, sender, said(1), said(1, "d"))
    await works(place, payloads(place, keys), 2)
    delete_keys(place, KEY)
    sender = payloads(place, keys)
    send(place, sender, said(2), said(2, "d"))
    await works(place, payloads(place, keys), 4)
    found = place.until([MOMENTS], lambda records: len(records) >= 4)
    said_of = {name: [one.turn_id for one in found if one.contact_id == name] for name in "cd"}  # type: ignore[attr-defined]
    assert {"c": ["1/0", "1/0"], "d": ["1/0", "2/0"]} == said_of


async def test_a_tenant_without_a_key_is_dead_lettered(place: Place, keys: Mapping[str, TenantKey]) -> None:
    some = {"t": keys["*"]}
    send(place, payloads(place, keys), said(1))
    stranger = SegmentWords("u", "e", 1, "agent", 1, 2, True, (), "a", None, rev=1)
    place.send([(WORDS, key_of(stranger), stranger)])
    send(place, payloads(place, keys), said(2))
    await works(place, payloads(place, some), 2)
    letters = values(place, f"{WORDS}.dead")
    assert {contact_key("u", "e")} == set(letters)
