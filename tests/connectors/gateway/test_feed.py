"""The whole gateway process on a real broker and a real Valkey, and what it does while either is away."""

import asyncio
import json
import socket as sockets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import TopicPartition
from prometheus_client import REGISTRY

from connectors.base import Delivered
from connectors.gateway import process
from connectors.redis import RedisGuidanceSink
from pipeline import broker as embedded
from pipeline import stores
from pipeline.errors import PeerUnavailable
from tests.connectors.gateway import screenplay as play
from tests.proven import GATE, proven
from topics import admin, generations
from topics.catalogue import topic_of
from topics.clients import producer, tail_consumer
from topics.codec import decode, encode
from topics.records import Generation, Guidance, Record

pytestmark = pytest.mark.kafka

PARTITIONS = 3
CARD = play.hint("policy", 3_000)
CLICK = {"feedback": {"guidance_id": CARD.guidance_id, "action": "accepted"}}
Json = dict[str, Any]  # a frame as the wire has it


@dataclass(slots=True)
class Topics:
    """The write side of a test's topics."""

    bootstrap: str
    prefix: str

    def create(self) -> None:
        desired = admin.declare(self.prefix, PARTITIONS, 1)
        admin.apply(self.bootstrap, admin.plan(desired, ()))

    def open_second(self) -> "Topics":
        """Open generation 2; return its write side."""
        desired = admin.declare_generation(self.prefix, 2, PARTITIONS, 1)
        admin.apply(self.bootstrap, admin.plan(desired, ()))
        listed = (Generation(1, PARTITIONS, 0, None), Generation(2, PARTITIONS, 1, None))
        generations.write(self.bootstrap, self.prefix, (), listed)
        return Topics(self.bootstrap, f"{self.prefix}g2.")

    def remove_first(self) -> None:
        """Give generation 1 up, and delete its topics when nobody reads them any more."""
        before = generations.read(self.bootstrap, self.prefix)
        generations.write(self.bootstrap, self.prefix, before, (replace(before[0], removed_at_ms=2),))
        time.sleep(2 * generations.LOOK_S)
        names = [topic.name for topic in admin.declare_generation(self.prefix, 1, PARTITIONS, 1)]
        admin.remove_generation(self.bootstrap, names, ())

    def write(self, *records: Record) -> None:
        self.write_bytes(*((topic_of(record), encode(proven(record))) for record in records))

    def write_bytes(self, *values: tuple[str, bytes]) -> None:
        writer = producer(self.bootstrap)
        for topic, value in values:
            writer.produce(self.prefix + topic, value, play.KEY)
        assert 0 == writer.flush(20)

    def feedback(self) -> tuple[bytes | None, Record]:
        """Return the first key and record of guidance.feedback."""
        reader = tail_consumer(self.bootstrap)
        topic = f"{self.prefix}guidance.feedback"
        reader.assign([TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
        message = reader.poll(20)
        reader.close()
        assert message is not None
        return message.key(), decode(message.value() or b"")


@dataclass(slots=True)
class Gateway:
    """A running gateway process, seen from outside."""

    url: str
    http: aiohttp.ClientSession
    task: asyncio.Future[None]

    async def readiness(self) -> Json:
        async with self.http.get(f"{self.url}/readyz") as reply:
            answer: Json = await reply.json()
        return answer

    async def until(self, is_so: Callable[[Json], object]) -> Json:
        async with asyncio.timeout(30):
            while True:
                answer = await self.readiness()
                if is_so(answer):
                    return answer
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def screen(self) -> AsyncIterator["Screen"]:
        async with self.http.ws_connect(f"{self.url}/socket?contact={play.CONTACT}") as socket:
            await socket.send_json({"resume": {"epoch": None, "seq": 0}})
            yield Screen(socket)

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@dataclass(slots=True)
class Screen:
    """One socket that has resumed."""

    socket: aiohttp.ClientWebSocketResponse

    async def next(self, kind: str) -> Json:
        """Return the next frame of a type; a broker on a busy machine may need most of the limit."""
        async with asyncio.timeout(60):
            while True:
                frame: Json = await self.socket.receive_json()
                if frame["type"] == kind:
                    return frame


def pushes() -> float:
    """How many final turns this process has handed to screens."""
    return REGISTRY.get_sample_value("trunkline_turn_seconds_count", {"span": "push"}) or 0.0


@asynccontextmanager
async def gateway(topics: Topics, redis_url: str | None = None) -> AsyncIterator[Gateway]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = process.run(topics.bootstrap, topics.prefix, redis_url, GATE, on_ready=port.set_result)
    task = asyncio.ensure_future(serving)
    async with aiohttp.ClientSession() as http:
        running = Gateway(f"http://127.0.0.1:{await port}", http, task)
        try:
            yield running
        finally:
            await running.stop()


@pytest.fixture
def topics(broker: str, prefix: str) -> Topics:
    made = Topics(broker, prefix)
    made.create()
    return made


async def test_history_then_the_present(topics: Topics) -> None:
    topics.write(play.started(), play.turn("before the gateway", 0), play.guidance("cause", CARD))
    pushed = pushes()
    async with gateway(topics) as running:
        await running.until(lambda answer: answer["ready"])
        async with running.screen() as screen:
            snapshot = await screen.next("snapshot")
            topics.write(play.turn("while it runs", 3_000, is_final=False))
            await screen.next("turn")
            topics.write(play.turn("while it runs", 3_000, rev=2))
            live = await screen.next("turn")
    assert (["before the gateway"], [CARD.guidance_id], "Daniel", "while it runs") == (
        [turn["text"] for turn in snapshot["turns"]],
        [hint["guidance_id"] for cause in snapshot["guidance"] for hint in cause["hints"]],
        snapshot["contact"]["agent"],
        live["text"],
    )
    assert pushed + 1 == pushes()


async def test_click_becomes_a_record_under_the_contacts_key_and_comes_back(topics: Topics) -> None:
    topics.write(play.started(), play.guidance("cause", CARD))
    async with gateway(topics) as running:
        await running.until(lambda answer: answer["ready"])
        async with running.screen() as screen:
            await screen.next("snapshot")
            await screen.socket.send_json(CLICK)
            assert "accepted" == (await screen.next("feedback"))["action"]
    assert (play.KEY, play.feedback(CARD.guidance_id)) == topics.feedback()


async def test_contact_of_a_later_generation_is_shown_and_its_click_goes_there(topics: Topics) -> None:
    topics.write(play.turn("of the first", 0))
    async with gateway(topics) as running:
        await running.until(lambda answer: answer["ready"])
        async with running.screen() as screen:
            await screen.next("snapshot")
            second = await asyncio.to_thread(topics.open_second)
            second.write(play.started(), play.guidance("cause", CARD))
            assert [CARD.guidance_id] == [hint["guidance_id"] for hint in (await screen.next("guidance"))["hints"]]
            await screen.socket.send_json(CLICK)
            assert "accepted" == (await screen.next("feedback"))["action"]
            await asyncio.to_thread(topics.remove_first)
            second.write(play.turn("after the first", 3_000))
            assert "after the first" == (await screen.next("turn"))["text"]
    assert (play.KEY, play.feedback(CARD.guidance_id)) == second.feedback()


async def test_undecodable_and_foreign_records_are_skipped_without_a_word_of_them(
    topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    secret = b"4917484589897107"
    unredacted = encode(play.raw_turn(secret.decode()))
    topics.write_bytes(("transcript.redacted", secret), ("transcript.redacted", unredacted))
    topics.write(play.media_started(), play.held(), play.turn("good words", 0))
    async with gateway(topics) as running:
        answer = await running.until(lambda answer: answer["ready"])
        async with running.screen() as screen:
            snapshot = await screen.next("snapshot")
    assert (2, ["good words"]) == (answer["counts"]["skipped"], [turn["text"] for turn in snapshot["turns"]])
    assert secret.decode() not in caplog.text + json.dumps(snapshot)


async def test_what_redaction_has_not_proved_is_on_no_screen(topics: Topics, redis_url: str) -> None:
    topics.write_bytes(("transcript.redacted", encode(play.turn("not proved", 0))))
    topics.write_bytes(("guidance", encode(sentence(1))))
    topics.write(play.turn("good words", 3_000))
    before = REGISTRY.get_sample_value("trunkline_egress_refused_total", {"place": "gateway"}) or 0.0
    async with gateway(topics, redis_url) as running:
        await running.until(lambda answer: answer["ready"] and answer["redis"])
        sink = RedisGuidanceSink(redis_url, topics.prefix)
        sink.write([Delivered("guidance", 0, 0, play.KEY, sentence(2), play.LOGGED_MS)])
        sink.close()
        await running.until(lambda answer: answer["counts"].get("skipped") == 3)
        async with running.screen() as screen:
            snapshot = await screen.next("snapshot")
    assert ["good words"] == [turn["text"] for turn in snapshot["turns"]]
    assert "not proved" not in json.dumps(snapshot)
    assert [] == snapshot["guidance"]
    assert before + 3 == REGISTRY.get_sample_value("trunkline_egress_refused_total", {"place": "gateway"})


async def test_guidance_comes_by_redis_then_kafka_then_redis_again(topics: Topics, tmp_path: Path) -> None:
    valkey = stores.start_valkey(tmp_path)
    port = int(valkey.url.rpartition(":")[2].partition("/")[0])
    try:
        async with gateway(topics, valkey.url) as running:
            await running.until(lambda answer: answer["ready"] and answer["redis"])
            async with running.screen() as screen:
                await screen.next("snapshot")
                say(topics, valkey.url, 1)
                assert 1 == (await screen.next("guidance"))["rev"]
                assert {"guidance_by_redis": 1} == await counts_of_guidance(running)

                valkey.stop()
                await running.until(lambda answer: not answer["redis"])
                topics.write(sentence(2))
                said_s = asyncio.get_running_loop().time()
                assert 2 == (await screen.next("guidance"))["rev"]
                assert asyncio.get_running_loop().time() - said_s < 1.0
                assert {"guidance_by_redis": 1, "guidance_by_kafka": 1} == await counts_of_guidance(running)

                valkey = stores.start_valkey(tmp_path, port)
                await running.until(lambda answer: answer["redis"] and answer["counts"]["redis_retries"])
                say(topics, valkey.url, 3)
                assert 3 == (await screen.next("guidance"))["rev"]
                assert {"guidance_by_redis": 2, "guidance_by_kafka": 1} == await counts_of_guidance(running)
    finally:
        valkey.stop()


async def test_guidance_that_only_kafka_has_arrives_within_a_second(topics: Topics, redis_url: str) -> None:
    """Redis answers, but its sink stands still."""
    async with gateway(topics, redis_url) as running:
        await running.until(lambda answer: answer["ready"] and answer["redis"])
        async with running.screen() as screen:
            await screen.next("snapshot")
            topics.write(sentence(1))
            said_s = asyncio.get_running_loop().time()
            await screen.next("guidance")
            assert asyncio.get_running_loop().time() - said_s < 1.0


def sentence(rev: int) -> Guidance:
    return play.guidance("cause", play.hint(f"policy-{rev}", rev * 1_000), rev=rev)


def say(topics: Topics, redis_url: str, rev: int) -> None:
    """Do what redaction and the Redis sink do with one revision."""
    topics.write(sentence(rev))
    sink = RedisGuidanceSink(redis_url, topics.prefix)
    sink.write([Delivered("guidance", 0, 0, play.KEY, proven(sentence(rev)), play.LOGGED_MS)])
    sink.close()


async def counts_of_guidance(running: Gateway) -> Json:
    counts = (await running.readiness())["counts"]
    return {name: count for name, count in counts.items() if name.startswith("guidance_by")}


async def test_broker_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Pages say that the transcript stands still, and it goes on by itself."""
    jars = Path(__file__).parents[3] / ".kafka" / f"libs-{embedded.KAFKA_VERSION}"
    running_broker = embedded.start(tmp_path, libs=jars)
    topics = Topics(running_broker.bootstrap, "test.")
    topics.create()
    try:
        async with gateway(topics) as running:
            await running.until(lambda answer: answer["ready"])
            async with running.screen() as screen:
                await screen.next("status")
                await asyncio.to_thread(embedded.stop, tmp_path)
                assert "degraded" == (await screen.next("status"))["state"]
                await asyncio.to_thread(embedded.start, tmp_path, libs=jars)
                assert "live" == (await screen.next("status"))["state"]
                await asyncio.to_thread(topics.write, play.turn("back again", 0))
                assert "back again" == (await screen.next("turn"))["text"]
    finally:
        embedded.stop(tmp_path)


async def test_gateway_starts_before_its_topics(broker: str, prefix: str) -> None:
    topics = Topics(broker, prefix)
    async with gateway(topics) as running:
        await running.until(lambda answer: answer["counts"].get("kafka_retries"))
        assert not (await running.readiness())["ready"]
        await asyncio.to_thread(topics.create)
        await running.until(lambda answer: answer["ready"])


async def test_taken_port_is_one_clear_line(topics: Topics) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PeerUnavailable, match=f"port {port} of 127.0.0.1 is taken"):
            await process.run(topics.bootstrap, topics.prefix, None, GATE, port=port)


async def test_stop_closes_sockets_with_1012(topics: Topics) -> None:
    async with gateway(topics) as running, running.screen() as screen:
        await screen.next("snapshot")
        stopping = asyncio.ensure_future(running.stop())
        while (await screen.socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        await stopping
    assert 1012 == screen.socket.close_code
