"""Where the board's records come from: Kafka's redacted topics, and Redis for guidance while it answers.

Kafka is read in every living generation of topics; a contact is in one of them, so nothing is mixed.

Guidance comes both ways. Redis is the way meant for it; Kafka's copy waits `GRACE_S` for it and then counts
for nothing, because the board has seen the revision. While Redis is silent (away, or its sink stands still)
the copy is what the screens get, so there is no switching and nothing to lose in between. What each way
brought first is counted.

Verdicts of verification come this way too, where somebody reviews them.

A record that cannot be read, is of a type its topic must not carry, or that the gate refuses, is counted, logged
without payload and skipped: the screens have other records to show, and dead letters are the engine's.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from confluent_kafka import Message

from connectors.gateway.board import Frame, Shown, is_shown
from connectors.gateway.hub import Hub
from connectors.gateway.kafka_tail import KafkaTail
from connectors.gateway.review.cases import Case, Cases
from connectors.redis import RedisGuidanceTail
from pipeline.egress import Gate
from pipeline.errors import EgressRefused, PeerUnavailable, RecordRefused
from pipeline.metrics import EGRESS_REFUSED, TURN
from topics import generations
from topics.catalogue import DAY_MS, HOUR_MS, TOPICS
from topics.codec import decode
from topics.records import Guidance, Record, RedactedTurn, RedactionVerification

# How far back a new gateway reads. Events are few a contact: enough of them tell who is live and since when.
LOOK_BACK_MS: Final = {
    "transcript.redacted": HOUR_MS,
    "contact.events": 12 * HOUR_MS,
    "guidance.feedback": HOUR_MS,
    "guidance": HOUR_MS,
}
REVIEW_LOOK_BACK_MS: Final = {"redaction.verifications": 7 * DAY_MS}  # all that the topic keeps
GRACE_S: Final = 0.3  # guidance is on the screen within 1 s of Kafka's time, whatever Redis does
FRESH_S: Final = 5.0  # older guidance is history: Redis brings it no sooner
BACKOFF_S: Final = (0.2, 0.4, 0.8, 1.6, 2.0)
QUIET_FAILURES: Final = 4  # in a row, about three seconds

_LOG: Final = logging.getLogger(__name__)


class Feed:
    """The way of records to the hub.

    Attributes:
        counts: by name: `guidance_by_redis`, `guidance_by_kafka` (which came first), `skipped`,
            `kafka_retries`, `redis_retries`.
    """

    def __init__(self, hub: Hub, prefix: str, gate: Gate, cases: Cases | None = None) -> None:
        """Bind the feed.

        Args:
            hub: the screens.
            prefix: stands before every topic's name.
            gate: stands before every screen.
            cases: take the verdicts; None where nobody reviews them.
        """
        self._cases = cases
        self._look_back_ms = LOOK_BACK_MS | (REVIEW_LOOK_BACK_MS if cases is not None else {})
        self.counts: Counter[str] = Counter()
        self._hub = hub
        self._prefix = prefix
        self._gate = gate
        self._has_caught_up = False
        self._is_redis_heard = False
        self._push = TURN.labels("push")

    def readiness(self) -> Frame:
        """Return the answer of /readyz."""
        return {
            "ready": self._has_caught_up and not self._hub.is_degraded,
            "kafka": not self._hub.is_degraded,
            "redis": self._is_redis_heard,
            "counts": dict(self.counts),
        }

    async def follow_kafka(self, bootstrap: str) -> None:
        """Read Kafka until cancelled."""
        await self._keep_trying("kafka", lambda: self._follow_kafka(bootstrap))

    async def follow_redis(self, url: str) -> None:
        """Read guidance from Redis until cancelled."""
        tail = RedisGuidanceTail(url, self._prefix)
        try:
            await self._keep_trying("redis", lambda: self._follow_redis(tail))
        finally:
            await tail.close()

    async def _keep_trying(self, peer: str, follow: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            begun_s = time.monotonic()
            try:
                await follow()
            except PeerUnavailable as failure:
                self.counts[f"{peer}_retries"] += 1
                # Topics that have just been made have no leaders for a moment.
                level = logging.WARNING if failures >= QUIET_FAILURES else logging.INFO
                _LOG.log(level, "a peer is tried again", extra={"peer": peer, "reason": str(failure)})
            if time.monotonic() - begun_s > BACKOFF_S[-1]:
                failures = 0
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.5, 1.0))
            failures += 1

    async def _follow_kafka(self, bootstrap: str) -> None:
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1, "gateway-kafka")  # a consumer belongs to one thread
        opening = loop.run_in_executor(pool, KafkaTail, bootstrap, self._prefix, self._look_back_ms)
        try:
            tail = await opening
            while True:
                self._take_batch(await loop.run_in_executor(pool, tail.read))
                self._has_caught_up = self._has_caught_up or tail.has_caught_up
                self._hub.degrade(is_degraded=not tail.is_answered)
        except PeerUnavailable:
            self._hub.degrade(is_degraded=True)
            raise
        finally:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                await loop.run_in_executor(pool, opening.result().close)
            pool.shutdown(wait=False)

    async def _follow_redis(self, tail: RedisGuidanceTail) -> None:
        try:
            await tail.open()
            self._is_redis_heard = True
            async for key, record in tail:
                if isinstance(record, Guidance) and self._may_pass(record):
                    self._show_guidance("redis", record, key, 0)
                else:
                    self._skip("redis", None, None)
        except RecordRefused:  # it counts as read: the next round goes on behind it
            self._skip("redis", None, None)
        finally:
            self._is_redis_heard = False

    def _take_batch(self, messages: list[Message]) -> None:
        for message in messages:
            record = self._read(message)
            key, logged_ms, generation = message.key() or b"", message.timestamp()[1], self._parts(message)[0]
            if isinstance(record, RedactionVerification):
                if self._cases is not None:
                    self._cases.take(Case(record, key, generation, logged_ms))
            elif record is not None:
                self._take(record, key, logged_ms, generation)

    def _take(self, record: Shown, key: bytes, logged_ms: int, generation: int) -> None:
        if not isinstance(record, Guidance):
            is_changed = self._hub.take(record, key, logged_ms, generation)
            # What is read on the way to the present is history.
            if is_changed and self._has_caught_up and isinstance(record, RedactedTurn) and record.is_final:
                self._push.observe(max(time.time() - logged_ms / 1_000, 0.0))
        elif self._is_redis_heard and time.time() - logged_ms / 1000 < FRESH_S:
            loop = asyncio.get_running_loop()
            loop.call_later(GRACE_S, self._show_guidance, "kafka", record, key, logged_ms)
        else:
            self._show_guidance("kafka", record, key, logged_ms)

    def _show_guidance(self, way: str, guidance: Guidance, key: bytes, logged_ms: int) -> None:
        if self._hub.take(guidance, key, logged_ms):
            self.counts[f"guidance_by_{way}"] += 1

    def _read(self, message: Message) -> Shown | RedactionVerification | None:
        """Decode a record; None for one that no screen shows, or that its topic must not carry."""
        _, topic = self._parts(message)
        try:
            record = decode(message.value() or b"")
        except RecordRefused:
            record = None
        if isinstance(record, TOPICS[topic].records):
            if not isinstance(record, Shown | RedactionVerification):
                return None
            if not isinstance(record, RedactionVerification) and not is_shown(record):
                return None
            if self._may_pass(record):
                return record
        self._skip(topic, message.partition(), message.offset())
        return None

    def _may_pass(self, record: Record) -> bool:
        """Ask the gate; a refusal is counted."""
        try:
            self._gate.check(record)
        except EgressRefused:
            EGRESS_REFUSED.labels("gateway").inc()
            return False
        return True

    def _parts(self, message: Message) -> tuple[int, str]:
        """Return generation and topic of a record."""
        return generations.parts((message.topic() or "").removeprefix(self._prefix))

    def _skip(self, place: str, partition: int | None, offset: int | None) -> None:
        self.counts["skipped"] += 1
        _LOG.warning("a record was skipped", extra={"topic": place, "partition": partition, "offset": offset})
