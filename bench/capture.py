"""Live contacts from Kinesis Video Streams to Kafka: how many a core of the connector reads, and how late they are.

One supervised worker of group `capture` reads contacts from the emulator, which runs in a process of its own and plays
the demo call in real time on a stream for each contact, one beginning after the other within a record's length. Each
contact's audio on `audio.frames` is compared with what was played.

    cores       CPU of the worker while every contact is read, its Kafka producer included; calls a core are the
                contacts divided by it
    latency     from the moment the last block of an audio record is due at the emulator, which sends on a beat of
                4 ms, until the record stands in Kafka: the emulator's lateness and the broker's time are in it
"""

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

from confluent_kafka import Message

from bench.offered import Latencies, Tail
from bench.report import Report, judged
from bench.site import Site, cpu_s
from bench.spoken import AUDIO
from bench.watched import DEFAULT
from connectors import kvs_emulator
from connectors.files import Call
from connectors.kvs_emulator.fragments import Stream
from pipeline import app, broker
from topics import clients, codec
from topics.keys import contact_key, partition_of
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, ContactEvent, MediaStarted, Record, Track, Watermark

GROUP: Final = "capture"
CALLS_MUST: Final = 300
P99_MUST_MS, P99_GOAL_MS = 25.0, 15.0
_PARTITIONS: Final = 2
_SPREAD_S: Final = 1.0  # between the first contact's start and the last one's: a fragment
_BEGIN_S: Final = 2.0  # until the first contact
_SETTLE_S: Final = 6.0  # after the first contact's start: measured from then on
_LIMIT_S: Final = 180.0
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(slots=True)
class Step:
    """What was seen at one number of contacts.

    Attributes:
        cores: CPU time by process over the measured seconds, in cores.
        exact: contacts of which both tracks are as they were played.
    """

    contacts: int
    cores: dict[str, float] = field(default_factory=dict)
    exact: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def calls_a_core(self) -> float:
        """Contacts divided by the worker's cores."""
        return self.contacts / self.cores[GROUP]

    def lines(self) -> list[str]:
        """Say it for people."""
        each = ", ".join(f"p{at} {self.latencies.at(at)}" for at in (50, 95, 99, 100))
        cores = ", ".join(f"{name} {used:.2f}" for name, used in self.cores.items())
        return [
            f"{self.contacts} contacts: {self.calls_a_core:.0f} calls a core; cores: {cores}",
            f"    {self.latencies.count} records, latency ms: {each}",
            f"    {self.exact} of {self.contacts} contacts sample by sample",
        ]

    def figures(self) -> dict[str, object]:
        """Say it for programs."""
        return {
            "contacts": self.contacts,
            "cores": self.cores,
            "exact": self.exact,
            "calls_a_core": self.calls_a_core,
            "latency": self.latencies.row(),
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the musts count for the defaults."""
    parser.add_argument("--contacts", default="20,100,300", help="one step each")
    parser.add_argument("--seconds", type=float, default=40.0, help="of the demo call, 74 at most")


def run(given: argparse.Namespace) -> Report:
    """Measure each step."""
    whole, end = DEFAULT.call, int(given.seconds * 1_000) * SAMPLES_PER_MS
    call = Call(whole.customer[:end], whole.agent[:end])
    steps = []
    for contacts in map(int, given.contacts.split(",")):
        steps.append(_step(call, contacts, given.seconds))
        print("\n".join(steps[-1].lines()), file=sys.stderr, flush=True)
    most = steps[-1]
    p99 = steps[0].latencies.at(99) or 0.0
    lines = [line for step in steps for line in step.lines()]
    lines += [
        "",
        f"calls a core at {most.contacts}: {most.calls_a_core:.0f} (must {CALLS_MUST})",
        judged(f"latency p99 at {steps[0].contacts}, ms", p99, P99_MUST_MS, P99_GOAL_MS),
    ]
    is_good = all(step.exact == step.contacts for step in steps) and most.calls_a_core >= CALLS_MUST
    return Report({"steps": [step.figures() for step in steps]}, lines, is_good)


def _step(call: Call, contacts: int, seconds: float) -> Step:
    step = Step(contacts)
    ours, theirs = multiprocessing.Pipe()
    emulator = multiprocessing.get_context("spawn").Process(target=_emulate, args=(call, contacts, theirs))
    emulator.start()
    try:
        url = ours.recv()
        variables = _KEYS | {"TRUNKLINE_KVS_ENDPOINT_URL": url}
        with Site.opened(GROUP, DEFAULT, (GROUP,), 1, _PARTITIONS, variables) as site:
            began_ms = kvs_emulator.wall_ms() + round(_BEGIN_S * 1_000)
            ours.send(began_ms)
            _sleep_until(began_ms / 1_000 + _SPREAD_S)
            _announce(site, contacts, began_ms)
            running = broker.status(site.folder)
            assert running is not None  # `Site` has started it
            pids = {GROUP: site.pid(GROUP, 1), "broker": running.pid, "emulator": emulator.pid or 0}
            _sleep_until(began_ms / 1_000 + _SETTLE_S)
            before, from_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.time()
            _sleep_until(began_ms / 1_000 + seconds - 1.0)
            took_s = time.time() - from_s
            step.cores = {name: (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
            _compare(site, step, call, began_ms)
    finally:
        emulator.terminate()
        emulator.join()
    return step


def _sleep_until(at_s: float) -> None:
    time.sleep(max(at_s - time.time(), 0.0))


def _start_ms(began_ms: int, number: int, contacts: int) -> int:
    return began_ms + round(1_000 * _SPREAD_S * number / contacts)


def _announce(site: Site, contacts: int, began_ms: int) -> None:
    producer = clients.producer(site.settings.kafka_bootstrap)
    for number in range(contacts):
        contact, start_ms = f"c-{number}", _start_ms(began_ms, number, contacts)
        key = contact_key("local", contact)
        records: Sequence[Record] = (
            MediaStarted("local", contact, f"s-{number}", start_ms, "0"),
            ContactEvent("local", contact, 0, "ended", 0, ""),  # so that it is over when nothing more comes
        )
        for record in records:
            producer.produce("contact.events", codec.encode(record), key, partition_of(key, _PARTITIONS))
    producer.flush(_LIMIT_S)


def _compare(site: Site, step: Step, call: Call, began_ms: int) -> None:
    """Wait until every contact is over; then hold its audio against what was played."""
    sound: dict[str, dict[Track, bytearray]] = {}
    ended: set[str] = set()
    payloads = app.payloads(site.settings)

    def take(message: Message) -> None:
        record = payloads.decode(AUDIO, message.key() or b"", message.value() or b"")
        if isinstance(record, Watermark) and record.is_end:
            ended.add(record.contact_id)
        if isinstance(record, AudioFrame):
            tracks = sound.setdefault(record.contact_id, {track: bytearray() for track in TRACKS})
            last = 0
            for track in TRACKS:
                first, pcm = record.track(track)
                last = max(last, first + len(pcm) // 2)
                tracks[track][2 * first : 2 * first + len(pcm)] = pcm
            start_ms = _start_ms(began_ms, int(record.contact_id.removeprefix("c-")), step.contacts)
            due_ms = start_ms + last / SAMPLES_PER_MS
            if due_ms > began_ms + 1_000 * _SETTLE_S:
                step.latencies.add(message.timestamp()[1] - due_ms)

    until_s = time.monotonic() + _LIMIT_S
    while len(ended) < step.contacts and time.monotonic() < until_s:
        time.sleep(5.0)
        sound.clear()
        ended.clear()
        step.latencies = Latencies()
        tail = Tail(site.settings.kafka_bootstrap, [AUDIO], _PARTITIONS)
        tail.records(take)
        tail.close()
    expected = {"customer": call.customer.tobytes(), "agent": call.agent.tobytes()}
    step.exact = sum(expected == {track: bytes(pcm) for track, pcm in tracks.items()} for tracks in sound.values())


def _emulate(call: Call, contacts: int, told: Connection) -> None:
    asyncio.run(_serve(call, contacts, told))


async def _serve(call: Call, contacts: int, told: Connection) -> None:
    async with kvs_emulator.serve(kvs_emulator.Serving(limits=kvs_emulator.Limits(idle_s=2.0))) as server:
        streams = [server.stream(f"s-{number}") for number in range(contacts)]
        told.send(server.url)
        began_ms = await asyncio.to_thread(told.recv)
        starts = (_start_ms(began_ms, number, contacts) for number in range(contacts))
        plays = (
            _play(stream, call, number, start)
            for number, (stream, start) in enumerate(zip(streams, starts, strict=True))
        )
        await asyncio.gather(*plays)
        await asyncio.Event().wait()


async def _play(stream: Stream, call: Call, number: int, start_ms: int) -> None:
    await asyncio.sleep((start_ms - kvs_emulator.wall_ms()) / 1_000)
    take = kvs_emulator.Take(call.customer.tobytes(), call.agent.tobytes(), f"c-{number}", start_ms)
    await kvs_emulator.play(stream, take)
