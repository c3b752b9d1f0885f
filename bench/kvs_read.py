"""How long a block of a live contact is in the reader of Kinesis Video Streams, many contacts in one process.

    inside    from the moment its last byte came out of the socket until the contact has given it
    record    from the moment the last bytes of an audio record came out of the socket until the record has left
    whole     from the moment a block is due at the emulator (it sends on a beat of 4 ms) until the contact has given it
    held      the same for the first fragment, which waits until it says whose it is

The emulator runs in a process of its own and plays the demo call in real time on a stream for each contact; each
contact's sound is compared with what was pushed. CPU is that of the reading process.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Final

import aiohttp
import numpy as np
from aiohttp.client_proto import ResponseHandler
from botocore.credentials import Credentials

from bench.report import Report
from bench.watched import DEMO_FILES
from connectors import kvs_emulator
from connectors.files import Call, read_call
from connectors.kvs import service
from connectors.kvs.account import Account
from connectors.kvs.contact import Contact
from connectors.kvs.facts import Fact, FragmentDone, Piece
from connectors.kvs.outflow import Outflow
from connectors.kvs.reading import Patience, Reading
from connectors.kvs_emulator.fragments import Stream
from topics.records import SAMPLES_PER_MS, Track

MUST_P99_MS: Final = 5.0
_BEGIN_S: Final = 1.0  # the readers are there before the first block
_PATIENCE: Final = Patience(quiet_s=2.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; the must counts for the default."""
    parser.add_argument("--contacts", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the demo call, 74 at most")


def run(given: argparse.Namespace) -> Report:
    """Play and read."""
    call = _demo(given.seconds)
    ours, theirs = multiprocessing.Pipe()
    emulator = multiprocessing.get_context("spawn").Process(
        target=_emulate, args=(given.seconds, given.contacts, theirs)
    )
    emulator.start()
    try:
        url, start_ms = ours.recv()
        began_s = time.process_time()
        readers = asyncio.run(_read(url, start_ms, given.contacts))
        cpu_s = time.process_time() - began_s
    finally:
        emulator.terminate()
        emulator.join()
    return _report(call, readers, cpu_s, given.seconds)


class _Reader:
    """One contact's sound and how late each block was."""

    def __init__(self) -> None:
        self.contact = Contact("c-1")
        self.arrived_s = 0.0
        self.outflow = Outflow("local", "c-1", 0, None)
        self.inside_ms: list[float] = []
        self.record_ms: list[float] = []
        self.whole_ms: list[float] = []
        self.held_ms: list[float] = []
        self.is_named = False
        self.sound: dict[Track, bytearray] = {"customer": bytearray(), "agent": bytearray()}

    async def give(self, facts: Sequence[Fact]) -> None:
        now_s, now_ms = time.perf_counter(), time.time() * 1_000
        start_ms = self.contact.start_ms or 0  # known with the first piece
        for fact in facts:
            if isinstance(fact, Piece):
                end = fact.first_sample + len(fact.pcm) // 2
                self.inside_ms.append((now_s - self.arrived_s) * 1_000)
                (self.whole_ms if self.is_named else self.held_ms).append(now_ms - start_ms - end / SAMPLES_PER_MS)
                self.sound[fact.track] += fact.pcm
        self.outflow.take(facts, now_s)
        left = [*self.outflow.frames(now_s)]
        self.record_ms += [(time.perf_counter() - self.arrived_s) * 1_000] * len(left)
        self.is_named = self.is_named or any(isinstance(fact, FragmentDone) for fact in facts)


class _Handler(ResponseHandler):
    """Notes when bytes came out of the socket."""

    came_s = 0.0

    def data_received(self, data: bytes) -> None:
        self.came_s = time.perf_counter()
        super().data_received(data)


class _Stream(service.Service):
    """Tells its reader when the bytes came that it takes."""

    def __init__(self, http: aiohttp.ClientSession, account: Account, stream: str, reader: _Reader) -> None:
        super().__init__(http, account, stream)
        self._reader = reader

    async def media(self, selector: object) -> service.Response:
        return _Response((await super().media(selector))._response, self._reader)  # type: ignore[arg-type]  # as given


class _Response(service.Response):
    def __init__(self, response: aiohttp.ClientResponse, reader: _Reader) -> None:
        super().__init__(response)
        self._reader = reader
        connection = response.connection
        self._handler = connection.protocol if connection else None

    async def read(self) -> bytes:
        data = await super().read()
        if isinstance(self._handler, _Handler):
            self._reader.arrived_s = self._handler.came_s
        return data


async def _read(url: str, start_ms: int, contacts: int) -> list[_Reader]:
    account = Account("us-east-1", url, lambda: Credentials("any", "any"))
    async with service.session() as http:
        connector = http.connector
        assert connector is not None
        loop = asyncio.get_running_loop()
        connector._factory = lambda: _Handler(loop=loop)  # type: ignore[assignment]  # where aiohttp makes its handlers
        readers = [_Reader() for _ in range(contacts)]
        readings = [
            Reading(_Stream(http, account, f"s{number}", one), one.contact, start_ms, one.give, _PATIENCE)
            for number, one in enumerate(readers)
        ]
        await asyncio.gather(*(reading.run() for reading in readings))
    return readers


def _demo(seconds: float) -> Call:
    call, end = read_call(DEMO_FILES / "customer.wav", DEMO_FILES / "agent.wav"), int(seconds * 1_000) * SAMPLES_PER_MS
    return Call(call.customer[:end], call.agent[:end])


def _emulate(seconds: float, contacts: int, told: Connection) -> None:
    asyncio.run(_serve(_demo(seconds), contacts, told))


async def _serve(call: Call, contacts: int, told: Connection) -> None:
    async with kvs_emulator.serve(kvs_emulator.Serving(limits=kvs_emulator.Limits(idle_s=2.0))) as server:
        streams = [server.stream(f"s{number}") for number in range(contacts)]
        told.send((server.url, kvs_emulator.wall_ms()))
        await asyncio.sleep(_BEGIN_S)
        await asyncio.gather(*(_play(stream, call) for stream in streams))
        await asyncio.Event().wait()


async def _play(stream: Stream, call: Call) -> None:
    start_ms = kvs_emulator.wall_ms()  # of each stream: the first block of all of them takes a while
    take = kvs_emulator.Take(call.customer.tobytes(), call.agent.tobytes(), "c-1", start_ms)
    await kvs_emulator.play(stream, take)


def _report(call: Call, readers: Sequence[_Reader], cpu_s: float, seconds: float) -> Report:
    expected = {"customer": call.customer.tobytes(), "agent": call.agent.tobytes()}
    exact = sum(expected == {track: bytes(sound) for track, sound in one.sound.items()} for one in readers)
    rows = {
        "inside": np.array([late for one in readers for late in one.inside_ms]),
        "record": np.array([late for one in readers for late in one.record_ms]),
        "whole": np.array([late for one in readers for late in one.whole_ms]),
        "held": np.array([late for one in readers for late in one.held_ms]),
    }
    figures: dict[str, object] = {
        "contacts": len(readers),
        "exact": exact,
        "blocks": len(rows["inside"]),
        "cpu_per_contact_percent": round(cpu_s / seconds / len(readers) * 100, 2),
    }
    lines = [f"{'':<8} {'p50':>8} {'p99':>8} {'max':>8}  ms"]
    for name, row in rows.items():
        p50, p99, most = (float(np.percentile(row, at)) for at in (50, 99, 100))
        figures[f"{name}_ms"] = {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(most, 2)}
        lines.append(f"{name:<8} {p50:>8.2f} {p99:>8.2f} {most:>8.2f}")
    p99s = {name: float(np.percentile(rows[name], 99)) for name in ("inside", "record")}
    is_good = exact == len(readers) and all(p99 < MUST_P99_MS for p99 in p99s.values())
    lines += [
        "",
        *(
            f"{name} p99: {p99:.2f} ms (must {MUST_P99_MS:.0f}): {'met' if p99 < MUST_P99_MS else 'NOT met'}"
            for name, p99 in p99s.items()
        ),
        f"{exact} of {len(readers)} contacts sample by sample; "
        f"{figures['cpu_per_contact_percent']} % of a core a contact",
    ]
    return Report(figures, lines, is_good)
