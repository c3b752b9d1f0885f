"""`trunkline replay`: one recording as many concurrent calls, sent to a running environment and followed to their ends.

Owns the load and its honesty: calls are sent when they are due, whatever the pipeline does with the last ones, and how
late they were sent is printed beside what came back.
"""

import asyncio
import contextlib
import heapq
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors import files
from connectors.files import Call, Due
from pipeline import app, environment
from pipeline.call import SHOWN, publish_policies
from pipeline.errors import InputError, PeerUnavailable
from pipeline.play import play
from pipeline.results import SUMMARY
from pipeline.settings import Settings
from topics import clients, codec, generations
from topics.generations import GenerationList
from topics.keys import contact_key
from topics.records import SAMPLES_PER_MS, Guidance, Policy, RedactedTurn

RAMP_MS = 10_000  # the calls begin within so long, evenly: no second has more of their silence than another
PATIENCE_S = 60.0  # without news of any call
_REQUEST_S = 10.0
_QUIET_S = 1.0
_FULL_QUEUE_WAIT_S = 0.01


@dataclass(slots=True)
class Heard:
    """What came of one call.

    Attributes:
        begins_ms: audio time 0, counted from the first call's.
        generation: of topics; None before it begins.
        finals: latency of each final turn by its id, ms from the end of its speech to the broker; 0 at speed 0.
    """

    begins_ms: float
    generation: int | None = None
    finals: dict[str, float] = field(default_factory=dict)
    hints: set[str] = field(default_factory=set)
    is_summed_up: bool = False


@dataclass(slots=True)
class Replay:
    """See the module.

    Attributes:
        call: the recording.
        calls: how many at once.
        speed: N times real time; 0 as fast as the broker takes it.
        settings: of the running environment, located.
    """

    call: Call
    calls: int
    speed: float
    settings: Settings
    heard: dict[str, Heard] = field(init=False)
    late_ms: list[float] = field(default_factory=list)
    started_ms: int = 0
    sending_s: float = 0.0
    _listed: GenerationList = field(init=False)
    _tailed: set[int] = field(init=False)  # the generations that are read

    def __post_init__(self) -> None:
        """Name the contacts: new ones each time, because a contact that has ended takes nothing more."""
        run = uuid.uuid4().hex[:8]
        self.heard = {f"replay-{run}-{n}": Heard(n * RAMP_MS / self.calls) for n in range(self.calls)}

    async def run(self, policies: tuple[Policy, ...]) -> None:
        """Publish the policies, send every call and wait for its summary.

        Raises:
            InputError: the environment's topics have not been applied.
            PeerUnavailable: the broker failed, or a call's summary does not come.
        """
        if environment.plan(self.settings).creates:
            raise InputError("topics are missing: run `trunkline topics apply`")
        await asyncio.to_thread(publish_policies, self.settings, policies)
        self._listed = GenerationList(self.settings.kafka_bootstrap, self.settings.topic_prefix)
        await asyncio.to_thread(self._listed.look)
        consumer = await asyncio.to_thread(self._tail)
        looking = asyncio.create_task(self._keep_looking())
        sending = asyncio.create_task(self._send())
        try:
            await asyncio.to_thread(self._follow, consumer, sending)
            await sending
        finally:
            for task in (sending, looking):
                task.cancel()
            await asyncio.wait({looking})
            self._listed.close()
            consumer.close()

    def report(self) -> str:
        """Say what was offered and what came back."""
        finals = [late for one in self.heard.values() for late in one.finals.values()]
        hints = sum(len(one.hints) for one in self.heard.values())
        rate = len(self.late_ms) / self.sending_s
        late = f"sent late: {_percentiles(self.late_ms)} ms" if self.speed else "sent as fast as the broker took them"
        lines = [
            f"{self.calls} calls, {len(self.late_ms)} records, {rate:.0f} a second; {late}",
            f"{len(finals)} turns, {hints} hints, {sum(one.is_summed_up for one in self.heard.values())} summaries",
        ]
        if self.speed == 1 and finals:
            lines.append(f"end of speech to redacted text: {_percentiles(finals)} ms")
        return "\n".join(lines)

    def _records(self) -> Iterator[Due]:
        """Merge the calls by time."""
        length = self.call.samples
        tracks = (np.pad(track, (0, length - len(track))) for track in (self.call.customer, self.call.agent))
        padded = Call(*tracks)
        each = (
            _later(files.frames(padded, "local", contact_id), one.begins_ms) for contact_id, one in self.heard.items()
        )
        return heapq.merge(*each, key=lambda due: due.due_ms)

    async def _send(self) -> None:
        producer, payloads = clients.producer(self.settings.kafka_bootstrap), app.payloads(self.settings)
        began_s = time.monotonic()

        async def send(due: Due) -> None:
            key = contact_key(due.record.tenant, due.record.contact_id)
            generation = await self._generation_of(due.record.contact_id)
            prefix = generations.prefix_of(self.settings.topic_prefix, generation)
            value = payloads.encode(due.topic, key, due.record)
            while True:
                try:
                    producer.produce(prefix + due.topic, value, key)
                except BufferError:
                    await asyncio.sleep(_FULL_QUEUE_WAIT_S)
                else:
                    break
            producer.poll(0)
            due_s = due.due_ms / 1_000 / self.speed if self.speed else 0.0
            self.late_ms.append((time.monotonic() - began_s - due_s) * 1_000)

        self.started_ms = time.time_ns() // 1_000_000
        await play(self._records(), self.speed, send)
        self.sending_s = time.monotonic() - began_s
        if await asyncio.to_thread(producer.flush, 30):
            raise PeerUnavailable("the broker did not take the audio")

    async def _generation_of(self, contact_id: str) -> int:
        """Say where a call belongs when it begins; what it starts with decides, and it stays there."""
        one = self.heard[contact_id]
        if one.generation is None:
            begins_ms = self.started_ms + round(one.begins_ms / self.speed if self.speed else 0)
            give_up_s = time.monotonic() + PATIENCE_S
            while not self._listed.knows(begins_ms) and time.monotonic() < give_up_s:
                await asyncio.sleep(_FULL_QUEUE_WAIT_S)
            one.generation = self._listed.of(begins_ms)
        return one.generation

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(PeerUnavailable):  # a call that begins meanwhile waits
                await asyncio.to_thread(self._listed.look)
            await asyncio.sleep(generations.LOOK_S)

    def _places(self, number: int) -> list[TopicPartition]:
        own = next((one for one in self._listed.listed if one.number == number), None)
        prefix = generations.prefix_of(self.settings.topic_prefix, number)
        partitions = own.partitions if own else self.settings.partitions
        return [TopicPartition(prefix + topic, n) for topic in SHOWN for n in range(partitions)]

    def _tail(self) -> Consumer:
        """Read from the present ends on: nothing of another run."""
        consumer = clients.tail_consumer(self.settings.kafka_bootstrap)
        self._tailed = set(self._listed.living)
        places = [place for number in self._tailed for place in self._places(number)]
        try:
            for place in places:
                _, place.offset = clients.patiently(partial(consumer.get_watermark_offsets, place, timeout=_REQUEST_S))
        except KafkaException as failure:
            raise clients.fault(failure.args[0]) from None
        consumer.incremental_assign(places)
        return consumer

    def _tail_more(self, consumer: Consumer) -> None:
        """Read a generation that has opened since, from its beginning."""
        for number in set(self._listed.living) - self._tailed:
            self._tailed.add(number)
            consumer.incremental_assign([TopicPartition(one.topic, one.partition, 0) for one in self._places(number)])

    def _follow(self, consumer: Consumer, sending: "asyncio.Task[None]") -> None:
        """Read until every call has its summary; not for the loop's thread."""
        news_s = time.monotonic()
        while not all(one.is_summed_up for one in self.heard.values()):
            self._tail_more(consumer)
            message = consumer.poll(0.2)
            if sending.done() and sending.exception() is not None:
                return
            if message is not None and self._take(message):
                news_s = time.monotonic()
            elif sending.done() and time.monotonic() - news_s > PATIENCE_S:
                missing = sum(not one.is_summed_up for one in self.heard.values())
                raise PeerUnavailable(f"{missing} of {self.calls} calls came to no end: are all groups running?")
        # A summary is written last; turns of another partition or topic may still be on their way to this reader.
        while (message := consumer.poll(_QUIET_S)) is not None:
            self._take(message)

    def _take(self, message: Message) -> bool:
        """Note one record; False if it is of another run, or none."""
        if message.error() is not None:
            return False
        record = codec.decode(message.value() or b"")
        one = self.heard.get(getattr(record, "contact_id", ""))
        if one is None:
            return False
        if isinstance(record, RedactedTurn) and record.is_final:
            spoken_ms = self.started_ms + one.begins_ms + record.end_sample / SAMPLES_PER_MS
            one.finals.setdefault(record.turn_id, message.timestamp()[1] - spoken_ms)
        elif isinstance(record, Guidance):
            one.hints |= {hint.guidance_id for hint in record.hints if hint.kind != SUMMARY}
            one.is_summed_up |= record.cause_id == f"{record.contact_id}/{SUMMARY}"
        return True


def _later(records: Iterator[Due], by_ms: float) -> Iterator[Due]:
    return (replace(due, due_ms=due.due_ms + by_ms) for due in records)


def _percentiles(values_ms: list[float]) -> str:
    p50, p95, p99, worst = np.percentile(values_ms, (50, 95, 99, 100))
    return f"p50 {p50:,.0f}, p95 {p95:,.0f}, p99 {p99:,.0f}, max {worst:,.0f}"
