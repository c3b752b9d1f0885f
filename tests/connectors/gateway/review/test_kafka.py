"""The review on a real broker: what reviewers do is on Kafka and in the chain, and nothing is shown without it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exports them without saying so
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from connectors import audit
from connectors.audit import AuditSink
from connectors.gateway import process
from connectors.gateway.review.reading import decode_plain, records_of
from pipeline.engines import sink
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.review.reviewing import BENIGN, LEFT, MARIA, RAW, RAW_TEXT, verdict
from tests.pipeline.engines.stations import Place
from tests.proven import GATE, KEY, proven
from topics import admin, clients
from topics.catalogue import topic_of
from topics.clients import producer
from topics.records import AccessEvent, Record, ReviewDecision

pytestmark = pytest.mark.kafka

PARTITIONS = 3
WHY = "the customer disputes ticket 4711"
REVEAL = {"contact_id": play.CONTACT, "turn_id": LEFT.turn_id, "reason": WHY}
APPROVE = {"contact_id": play.CONTACT, "verdict_rev": 1, "decision": "approved", "marks": []}


def write(broker: str, prefix: str, *records: Record) -> None:
    writer, payloads = producer(broker), Place(broker, prefix).payloads
    for record in records:
        topic = topic_of(record)
        writer.produce(prefix + topic, payloads.encode(topic, play.KEY, proven(record)), play.KEY)
    assert 0 == writer.flush(20)


def written(broker: str, prefix: str, topic: str) -> list[Record]:
    return records_of(broker, prefix, decode_plain, (topic,), play.KEY, 0, 1)


@asynccontextmanager
async def reviewing(broker: str, prefix: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a gateway process, and log in."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    decode = Place(broker, prefix).payloads.decode
    serving = process.run(broker, prefix, None, GATE, 0, (MARIA,), decode, port.set_result)
    task = asyncio.ensure_future(serving)
    url = f"http://127.0.0.1:{await port}"
    try:
        async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            async with http.post("/review/session", json={"token": "maria"}) as reply:
                assert 200 == reply.status
            async with asyncio.timeout(60):
                while not await queue(http):
                    await asyncio.sleep(0.05)
            yield http
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def queue(http: aiohttp.ClientSession) -> list[str]:
    async with http.get("/review/queue") as reply:
        return [one["contact_id"] for one in (await reply.json())["cases"]]


async def post(http: aiohttp.ClientSession, path: str, said: Mapping[str, object]) -> tuple[int, str]:
    async with http.post(f"/review/{path}", json=said) as reply:
        return reply.status, await reply.text()


@pytest.fixture
def topics(broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where the keys are
    admin.apply(broker, admin.plan(admin.declare(prefix, PARTITIONS, 1), ()))
    write(broker, prefix, BENIGN, LEFT, RAW, verdict())
    return prefix


async def test_queue_contact_words_and_decision(broker: str, topics: str) -> None:
    async with reviewing(broker, topics) as http:
        assert [play.CONTACT] == await queue(http)
        async with http.get("/review/contact", params={"id": play.CONTACT}) as reply:
            assert [LEFT.text.split(), BENIGN.text.split()] == [turn["words"] for turn in (await reply.json())["turns"]]
        status, answer = await post(http, "reveal", REVEAL)
        assert (200, True) == (status, RAW_TEXT in answer)
        assert 202 == (await post(http, "decision", APPROVE))[0]
        write(broker, topics, verdict(rev=2, outcome="verified"))
        async with asyncio.timeout(60):
            while await queue(http):
                await asyncio.sleep(0.05)
    assert [
        AccessEvent(play.TENANT, play.CONTACT, LEFT.turn_id, "maria", "revealed", WHY),
        AccessEvent(play.TENANT, play.CONTACT, "", "maria", "approved", ""),
    ] == written(broker, topics, "access.events")
    decided = ReviewDecision(play.TENANT, play.CONTACT, 0, "maria", "approved", ())
    assert [decided] == written(broker, topics, "redaction.reviews")


async def test_the_queue_survives_the_gateway(broker: str, topics: str) -> None:
    for _ in range(2):
        async with reviewing(broker, topics) as http:
            assert [play.CONTACT] == await queue(http)


async def test_words_are_not_shown_where_the_log_is_not_taken(broker: str, topics: str) -> None:
    async with reviewing(broker, topics) as http:
        none = ConfigEntry("max.message.bytes", "1", incremental_operation=AlterConfigOpType.SET)
        place = ConfigResource(ResourceType.TOPIC, f"{topics}access.events", incremental_configs=[none])
        client = clients.admin(broker)
        client.incremental_alter_configs([place])[place].result()
        status, answer = await post(http, "reveal", REVEAL)
    assert (503, False) == (status, RAW_TEXT in answer)


def test_who_looked_and_why_is_in_the_chain(broker: str, topics: str, tmp_path: Path) -> None:
    write(broker, topics, AccessEvent(play.TENANT, play.CONTACT, LEFT.turn_id, "maria", "revealed", WHY))
    stop = threading.Event()
    chained = AuditSink(tmp_path, topics, KEY)
    running = threading.Thread(target=partial(sink.run, chained, broker, topics, stop, gate=GATE))
    running.start()
    until_s = time.monotonic() + 60
    while not (lines := [*tmp_path.glob(f"{topics}access.events-*.jsonl")]) and time.monotonic() < until_s:
        time.sleep(0.05)
    stop.set()
    running.join()
    assert [1] == [head.lines for head in audit.verify(tmp_path, KEY).values() if head.lines]
    assert ['"person": "maria"', WHY] == [said for said in ('"person": "maria"', WHY) if said in lines[0].read_text()]
