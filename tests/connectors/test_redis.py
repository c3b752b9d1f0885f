"""Guidance in Redis: what the fence lets through, and what a tail sees, against a real Valkey."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from connectors.base import Delivered
from connectors.redis import FENCE_TTL_S, SHARDS, RedisGuidanceSink, RedisGuidanceTail
from pipeline import stores
from pipeline.errors import PeerUnavailable
from topics import codec, keys
from topics.records import Guidance, Hint, Record

pytestmark = pytest.mark.stores

Seen = list[tuple[bytes, Record]]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex[:12]}."


@pytest.fixture
def sink(redis_url: str, prefix: str) -> Iterator[RedisGuidanceSink]:
    fresh = RedisGuidanceSink(redis_url, prefix)
    fresh.prepare()
    yield fresh
    fresh.close()


def guidance(rev: int, *, contact: str = "c1", cause: str = "t1", tenant: str = "acme") -> Guidance:
    hint = Hint(f"{cause}/g", "card", f"revision {rev}", "p", 1, (cause,), 10, None)
    return Guidance(tenant, contact, 0, cause, (hint,), rev)


def delivered(*records: Guidance) -> list[Delivered]:
    offsets = count()
    return [
        Delivered("guidance", 0, next(offsets), keys.contact_key(one.tenant, one.contact_id), one, 0) for one in records
    ]


async def take(tail: RedisGuidanceTail, number: int) -> Seen:
    seen: Seen = []
    async with asyncio.timeout(20):
        async for pair in tail:
            seen.append(pair)
            if len(seen) == number:
                break
    return seen


def stored(url: str, prefix: str) -> list[Record]:
    """Return every entry of every shard."""
    with Redis.from_url(url) as client:
        shards = [client.xrange(f"{prefix}guidance:{shard}") for shard in range(SHARDS)]
    return [codec.decode(fields[b"value"]) for shard in shards for _, fields in shard]


def test_only_later_revisions_of_a_cause_are_appended(sink: RedisGuidanceSink, redis_url: str, prefix: str) -> None:
    sink.write(delivered(guidance(2), guidance(1), guidance(2), guidance(2**53 - 1)))
    sink.write(delivered(guidance(2**53 - 2)))
    assert [guidance(2), guidance(2**53 - 1)] == stored(redis_url, prefix)


def test_a_repeated_batch_appends_nothing(sink: RedisGuidanceSink, redis_url: str, prefix: str) -> None:
    batch = delivered(*(guidance(rev, cause=f"t{turn}") for rev in (1, 2) for turn in range(50)))
    sink.write(batch)
    sink.write(batch)
    assert 100 == len(stored(redis_url, prefix))


def test_causes_contacts_and_tenants_do_not_fence_each_other(
    sink: RedisGuidanceSink, redis_url: str, prefix: str
) -> None:
    records = [
        guidance(9),
        guidance(1, cause="t2"),
        guidance(1, contact="c2"),
        guidance(1, tenant="other"),
    ]
    sink.write(delivered(*records))
    assert 4 == len(stored(redis_url, prefix))


def test_fence_goes_after_a_quiet_day(sink: RedisGuidanceSink, redis_url: str, prefix: str) -> None:
    sink.write(delivered(guidance(1)))
    with Redis.from_url(redis_url) as client:
        assert 0 < FENCE_TTL_S - client.ttl(f"{prefix}guidance:rev:acme|c1") + 1 < 60


def test_shards_keep_about_ten_thousand_entries(sink: RedisGuidanceSink, redis_url: str, prefix: str) -> None:
    for first in range(0, 12_000, 500):
        sink.write(delivered(*(guidance(rev) for rev in range(first + 1, first + 501))))
    with Redis.from_url(redis_url) as client:
        length = client.xlen(f"{prefix}guidance:{keys.partition_of(b'acme|c1', SHARDS)}")
    assert 10_000 <= length < 10_200


async def test_tail_from_the_start_sees_the_history_then_the_present(
    sink: RedisGuidanceSink, redis_url: str, prefix: str
) -> None:
    tail = RedisGuidanceTail(redis_url, prefix, from_start=True)
    await asyncio.to_thread(sink.write, delivered(guidance(1)))
    assert [(b"acme|c1", guidance(1))] == await take(tail, 1)
    await asyncio.to_thread(sink.write, delivered(guidance(2)))
    assert [(b"acme|c1", guidance(2))] == await take(tail, 1)
    await tail.close()


async def test_open_tail_misses_nothing_that_comes_between_its_reads(
    sink: RedisGuidanceSink, redis_url: str, prefix: str
) -> None:
    contacts = [f"c{n}" for n in range(50)]
    await asyncio.to_thread(sink.write, delivered(*(guidance(1, contact=each) for each in contacts)))
    tail = RedisGuidanceTail(redis_url, prefix)
    await tail.open()
    for rev in (2, 3, 4):
        # Each round begins with one shard alone, which is read while the others still wait.
        records = [guidance(rev, contact=each) for each in contacts]
        await asyncio.to_thread(sink.write, delivered(records[0]))
        seen = await take(tail, 1)
        await asyncio.to_thread(sink.write, delivered(*records[1:]))
        seen += await take(tail, len(records) - 1)
        assert sorted(contacts) == sorted(record.contact_id for _, record in seen)
        assert {rev} == {codec.to_json(record)["rev"] for _, record in seen}
    await tail.close()


async def test_absent_server_is_said_by_both_sides_and_the_tail_goes_on_when_it_is_back(
    tmp_path: Path, prefix: str
) -> None:
    first = stores.start_valkey(tmp_path)
    port = int(first.url.rpartition(":")[2].partition("/")[0])
    sink = RedisGuidanceSink(first.url, prefix)
    tail = RedisGuidanceTail(first.url, prefix)
    await tail.open()
    first.stop()
    with pytest.raises(PeerUnavailable, match="ConnectionError"):
        sink.write(delivered(guidance(1)))
    with pytest.raises(PeerUnavailable, match="ConnectionError"):
        await take(tail, 1)
    second = stores.start_valkey(tmp_path, port)
    sink.write(delivered(guidance(2)))
    assert [(b"acme|c1", guidance(2))] == await take(tail, 1)
    sink.close()
    await tail.close()
    second.stop()
