"""A recorded call from the emulator through the connector to Kafka: both tracks, sample by sample, whatever goes wrong.

Each fault of a stream has a contact and a stream of its own, all captured side by side by one worker. Faults of the
connector and of Kafka strike supervised workers, as `trunkline run --group capture` starts them.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from connectors import files
from connectors.contact_events import contact_record
from connectors.contact_events.facts import Owner
from connectors.kvs import service
from connectors.kvs.listening import Listener
from connectors.kvs.reading import Patience
from connectors.kvs_emulator import Hole, Limits, Plan, Server, Serving, ShortBlock, Take, play, serve
from connectors.kvs_emulator.faults import Close, Expire, Fault, Move, Refuse, Report, Stall
from pipeline import broker as embedded
from pipeline import settings
from pipeline.supervisor import Supervisor
from tests.connectors.contact_events.documents import INSTANCE, iso, message
from tests.connectors.kvs.capturing import CAPTURE, TENANT, ended
from tests.connectors.kvs.reads import account
from tests.connectors.kvs.taken import Taken
from tests.connectors.kvs_emulator.callers import noise
from tests.pipeline.engines.stations import Place
from tests.pipeline.engines.test_supervised import shares
from topics import clients
from topics.keys import contact_key, partition_of
from topics.records import (
    AudioCoverage,
    AudioFrame,
    ContactRecord,
    MediaStarted,
    MissingAudio,
    Record,
    Track,
    Watermark,
)

pytestmark = pytest.mark.system

START_MS = 1_800_000_000_000
PARTITIONS = 4
IS_SOAK = "SOAK" in os.environ  # `make soak`: as often and as long as docs/acceptance.md says
KILLS = 20 if IS_SOAK else 3  # within a minute the supervisor restarts ten at once, and then waits longer and longer
CUT_S = 40  # of the call, where many contacts are read side by side
# Fragments are there at once, so what is waited for is shorter than in life; a busy machine must not seem quiet.
PATIENCE = Patience(idle_s=30, quiet_s=4.0, delays_s=(0, 0.05, 0.1), looks_s=(0.2, 0.2))
CALL_S = 120 if IS_SOAK else 48  # of the call in which it is killed
OUTAGE_S = 60.0
LIMIT_S = 300.0

Tracks = dict[Track, bytes]


@dataclass(frozen=True)
class Case:
    """A contact with what is odd about its stream.

    Attributes:
        faults: of its stream.
        odd: changes of the recording.
        others: recordings before and after it, on its stream.
        lost: what no reader can have.
        missing: what of it must be told; a short block is no hole.
    """

    faults: tuple[Fault, ...] = ()
    odd: dict[str, Any] = field(default_factory=dict)
    others: Sequence[int] = ()
    lost: tuple[MissingAudio, ...] = ()
    missing: tuple[MissingAudio, ...] = ()
    starts: int = 1


def refused(error: Any, status: Any = None, times: int = 1) -> Case:
    return Case((Refuse(error=error, status=status, calls=tuple(range(1, times + 1))),))


def reported(error_id: Any) -> Case:
    return Case((Report(error_id=error_id, after_blocks=300, calls=(1,)),))


HOLE = MissingAudio("agent", 80_384, 90_112)  # 157 and 176 blocks of 512 samples
SHORT = MissingAudio("customer", 200 * 512 + 96, 201 * 512)
CASES = {
    "as it should be": Case(),
    "connection cut every 3 fragments": Case((Close(after_fragments=3),)),
    "forced end every 2 s": Case((Close(how="end", after_fragments=2),)),
    "stall": Case((Stall(after_bytes=200_000, for_s=1.0, calls=(1,)),)),
    "400": refused("InvalidArgumentException"),
    "401": refused("NotAuthorizedException", 401),
    "403": refused("AccessDeniedException"),
    "404": refused("ResourceNotFoundException"),
    "500": refused("InternalFailureException"),
    "503": refused("ServiceUnavailableException"),
    "expired credentials": Case((Expire(calls=(1,)),)),
    "throttling": refused("ClientLimitExceededException", times=3),
    "moved endpoint": Case((Move(calls=(1,)),)),
    "in-band 3002": reported(3002),
    "in-band 4000": reported(4000),
    "in-band 4501": reported(4501),
    "in-band 5000": reported(5000),
    "swapped tracks": Case(odd={"order": ("agent", "customer")}),
    "short block": Case(odd={"short_blocks": (ShortBlock("customer", 200, 96),)}, lost=(SHORT,)),
    "fragments without tags": Case(odd={"untagged": (2, 3, -1)}),
    "another contact on the same stream": Case(others=(-60_000, 60_000)),
    "duplicate start records": Case(starts=3),
    "hole": Case(odd={"holes": (Hole(10_048, 11_264, "agent"),)}, lost=(HOLE,), missing=(HOLE,)),
}


def contact_of(name: str) -> str:
    return f"c-{list(CASES).index(name):02}"


def stream_of(name: str) -> str:
    return f"stream-{contact_of(name)}"


@pytest.fixture(scope="module")
def call(recorded_call: tuple[Path, Path]) -> Tracks:
    read = files.read_call(*recorded_call)
    return {"customer": read.customer.tobytes(), "agent": read.agent.tobytes()}


@pytest.fixture
def place(broker: str, prefix: str) -> Place:
    made = Place(broker, prefix, PARTITIONS)
    made.create(CAPTURE)
    return made


def take(call: Tracks, contact_id: str, seconds: int | None = None, start_ms: int = START_MS) -> Take:
    end = None if seconds is None else seconds * 16_000
    return Take(call["customer"][:end], call["agent"][:end], contact_id, start_ms)


def without(pcm: bytes, lost: MissingAudio) -> bytes:
    gone = bytes(2 * (lost.end_sample - lost.first_sample))
    return pcm[: 2 * lost.first_sample] + gone + pcm[2 * lost.end_sample :]


def announced(contact_id: str, stream: str) -> tuple[str, bytes, Record]:
    key = contact_key(TENANT, contact_id)
    return "contact.events", key, MediaStarted(TENANT, contact_id, stream, START_MS, "0")


def over(contact_id: str) -> tuple[str, bytes, Record]:
    return "contact.events", contact_key(TENANT, contact_id), ended(contact_id)


class Heard:
    """What stands on audio.frames and audio.coverage, read as it comes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._taken: dict[str, Taken] = {}
        self._coverage: dict[str, AudioCoverage] = {}
        self._ended: set[str] = set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def taken(self, contact_id: str) -> Taken:
        with self._lock:
            return self._taken.setdefault(contact_id, Taken())

    def coverage(self, contact_id: str) -> AudioCoverage:
        with self._lock:
            return self._coverage[contact_id]

    @property
    def ended(self) -> set[str]:
        with self._lock:
            return {*self._ended} & {name for name, one in self._coverage.items() if one.is_end}

    def _read(self) -> None:
        consumer, payloads = clients.tail_consumer(self._place.bootstrap), self._place.payloads
        topics = [self._place.prefix + name for name in ("audio.frames", "audio.coverage")]
        consumer.assign([TopicPartition(topic, n, 0) for topic in topics for n in range(PARTITIONS)])
        while not self._is_closed.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                topic = (message.topic() or "").removeprefix(self._place.prefix)
                record = payloads.decode(topic, message.key() or b"", message.value() or b"")
                with self._lock:
                    self._take(record)
        consumer.close()

    def _take(self, record: Record) -> None:
        match record:
            case AudioFrame():
                self._taken.setdefault(record.contact_id, Taken()).take([record])
            case AudioCoverage():
                known = self._coverage.get(record.contact_id)
                if known is None or known.rev < record.rev:
                    self._coverage[record.contact_id] = record
            case Watermark(is_end=True):
                self._ended.add(record.contact_id)


@pytest.fixture
def heard(place: Place) -> Iterator[Heard]:
    made = Heard(place)
    yield made
    made.close()


async def until(what: str, is_so: Callable[[], object], limit_s: float = LIMIT_S) -> float:
    """Wait until something is so; return how long it took."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < limit_s, what
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


@asynccontextmanager
async def emulating(plan: Plan | None = None) -> AsyncIterator[Server]:
    limits = Limits(idle_s=0.3, calls_per_s=10_000, listed_after_s=0.0)
    async with serve(Serving(limits=limits, plan=plan or Plan())) as server:
        yield server


async def test_faults_of_the_stream(place: Place, heard: Heard, call: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_WINDOW_S", 0.05)
    named = [(name, fault) for name, case in CASES.items() for fault in case.faults]
    plan = Plan(tuple(type(fault)(**_fields(fault) | {"stream": stream_of(name)}) for name, fault in named), seed=7)
    async with emulating(plan) as server:
        for name, case in CASES.items():
            stream = server.stream(stream_of(name))
            for away_ms in sorted((*case.others, 0)):
                other = take(call, f"other{away_ms}", 20, START_MS + away_ms)
                own = replace(take(call, contact_of(name), CUT_S), **case.odd)
                await play(stream, other if away_ms else own, speed=0)
            place.send([announced(contact_of(name), stream_of(name))] * case.starts + [over(contact_of(name))])
        # Each refusal takes the next token, and the one that expires may be any of them.
        tokens = map(str, range(len(CASES)))
        listener = Listener(account(server.url, *tokens), PATIENCE, pace=1_000)
        async with place.working(CAPTURE, services={"kvs": listener.answer}) as (_, running):
            everyone = set(map(contact_of, CASES))
            await until("captured", lambda: heard.ended >= everyone or running.done())
        await listener.close()
        # A contact is read twice again at its end, whatever happens.
        quietly = {name for name in CASES if server.calls["getMedia", stream_of(name)] < 4}
    assert not {name for name, case in CASES.items() if case.faults and name != "stall"} & quietly
    wrong = []
    for name, case in CASES.items():
        expected = {track: pcm[: CUT_S * 16_000] for track, pcm in call.items()}
        for lost in case.lost:
            expected[lost.track] = without(expected[lost.track], lost)
        told = heard.coverage(contact_of(name))
        if expected != heard.taken(contact_of(name)).pcm or case.missing != told.missing:
            wrong.append(name)
    assert [] == wrong


async def test_contact_record_makes_up_for_a_lost_start(place: Place, heard: Heard, call: Tracks) -> None:
    """No flow event came: the record that Amazon Connect writes after the call names the stream, which has it still."""
    end_ms = START_MS + CUT_S * 1_000
    async with emulating() as server:
        stream = server.stream("calls")
        await play(stream, take(call, "c", CUT_S), speed=0)
        audio = {
            "StorageType": "KINESIS_VIDEO_STREAM",
            "MediaStreamType": "AUDIO",
            "Location": stream.arn,
            "StartTimestamp": iso(START_MS),
        }
        record = message(
            "contact_record",
            ContactId="c",
            Recordings=[audio],
            DisconnectTimestamp=iso(end_ms),
            LastUpdateTimestamp=iso(end_ms + 60_000),
        )
        owner = Owner(TENANT, INSTANCE.replace(INSTANCE.split(":")[4], stream.arn.split(":")[4]))
        facts = contact_record.read(owner, record | {"InstanceARN": owner.instance})
        place.send(
            ("contact.events", contact_key(TENANT, fact.root), fact.record)
            for fact in facts
            if not isinstance(fact.record, ContactRecord)
        )
        listener = Listener(account(server.url), PATIENCE, pace=1_000)
        async with place.working(CAPTURE, services={"kvs": listener.answer}):
            await until("captured", lambda: heard.ended)
        await listener.close()
    assert {track: pcm[: CUT_S * 16_000] for track, pcm in call.items()} == heard.taken("c").pcm
    assert () == heard.coverage("c").missing


def _fields(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__struct_fields__}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def supervised(place: Place, server: Server, folder: Path) -> Supervisor:
    loaded = settings.load(
        kafka_bootstrap=place.bootstrap,
        topic_prefix=place.prefix,
        partitions=place.partitions,
        kvs_endpoint_url=server.url,
    )
    return Supervisor(loaded, folder)


async def heard_until(heard: Heard, sample: int) -> None:
    await until("heard on", lambda: heard.taken("c").ends[0] > sample)


async def kill_at(sample: int, supervisor: Supervisor, heard: Heard) -> None:
    """End the connector once a sample has been heard; wait until another one runs."""
    await heard_until(heard, sample)
    pids = supervisor.pids("capture")
    os.kill(pids[0], signal.SIGKILL)
    await until("restarted", lambda: supervisor.pids("capture") != pids)


@pytest.mark.usefixtures("credentials")
async def test_connector_killed_at_seeded_points(place: Place, heard: Heard, call: Tracks, tmp_path: Path) -> None:
    seconds, speed = CALL_S, 4.0
    expected = {track: pcm[: seconds * 16_000] for track, pcm in call.items()}
    points = sorted(Random(11).sample(range(2 * 8_000, (seconds - 4) * 8_000), KILLS))
    async with emulating() as server:
        with supervised(place, server, tmp_path) as supervisor:
            await asyncio.to_thread(supervisor.start, "capture")
            recording = replace(take(call, "c"), stop_ms=seconds * 1_000)
            playing = asyncio.ensure_future(play(server.stream("calls"), recording, speed=speed))
            place.send([announced("c", "calls")])
            for point in points:
                await kill_at(point, supervisor, heard)
            await playing
            place.send([over("c")])
            await until("captured", lambda: heard.ended)
    assert expected == heard.taken("c").pcm
    assert () == heard.coverage("c").missing


@pytest.mark.usefixtures("credentials")
async def test_two_connectors_are_offered_one_contact(place: Place, heard: Heard, call: Tracks, tmp_path: Path) -> None:
    """One of them reads it; stopped for longer than its session and woken, it changes nothing."""
    seconds = 24
    async with emulating() as server:
        with supervised(place, server, tmp_path) as supervisor:
            await asyncio.to_thread(supervisor.start, "capture", 2)
            stream = server.stream("calls")
            playing = asyncio.ensure_future(play(stream, replace(take(call, "c"), stop_ms=seconds * 1_000), speed=1))
            place.send([announced("c", "calls")])
            await until("heard", lambda: heard.taken("c").ends[0] > 4 * 8_000)
            assert 1 == server._open["getMedia", "calls"]
            partition = partition_of(contact_key(TENANT, "c"), PARTITIONS)
            mine = [n for n, share in enumerate(shares(supervisor)) if str(partition) in share]
            assert 1 == len(mine)
            owner = supervisor.pids("capture")[mine[0]]
            os.kill(owner, signal.SIGSTOP)
            stopped_at = heard.taken("c").ends[0]
            pause_s = await until("taken over", lambda: heard.taken("c").ends[0] > stopped_at + 8_000)
            os.kill(owner, signal.SIGCONT)
            await playing
            place.send([over("c")])
            await until("captured", lambda: heard.ended)
    assert pause_s < 20
    assert {track: pcm[: seconds * 16_000] for track, pcm in call.items()} == heard.taken("c").pcm
    assert () == heard.coverage("c").missing


@pytest.mark.skipif(not IS_SOAK, reason="takes two minutes: make soak")
@pytest.mark.usefixtures("credentials")
async def test_kafka_is_away(call: Tracks, tmp_path: Path) -> None:
    """A broker of its own is stopped, as a deployment would, and comes back."""
    home = tmp_path / "kafka"
    jars = embedded.libs_folder(Path(__file__).parents[2])
    running = await asyncio.to_thread(embedded.start, home, libs=jars)
    seconds = int(OUTAGE_S) + 20
    try:
        place = Place(running.bootstrap, "away.", PARTITIONS)
        place.create(CAPTURE)
        heard = Heard(place)
        async with emulating() as server:
            with supervised(place, server, tmp_path) as supervisor:
                await asyncio.to_thread(supervisor.start, "capture")
                recording = replace(take(call, "c"), stop_ms=seconds * 1_000)
                playing = asyncio.ensure_future(play(server.stream("calls"), recording, speed=1))
                place.send([announced("c", "calls")])
                await until("heard", lambda: heard.taken("c").ends[0] > 4 * 8_000)
                await asyncio.to_thread(embedded.stop, home)
                await asyncio.sleep(OUTAGE_S)
                assert 3 > supervisor.restarts
                await asyncio.to_thread(embedded.start, home, libs=jars)
                await playing
                place.send([over("c")])
                await until("captured", lambda: heard.ended)
        heard.close()
    finally:
        await asyncio.to_thread(embedded.stop, home)
    assert {track: pcm[: seconds * 16_000] for track, pcm in call.items()} == heard.taken("c").pcm
    assert () == heard.coverage("c").missing


async def test_two_hours_with_three_restarts_and_a_hole_on_one_track(place: Place, heard: Heard) -> None:
    """On a compressed clock; a part of it in `make test`. What comes twice has the same samples (`Taken`)."""
    seconds = 7_200 if IS_SOAK else 600
    steps = seconds * 1_000 // 64
    hole = MissingAudio("agent", 512 * (steps // 2), 512 * (steps // 2 + 157))  # 10 s
    sound: Tracks = {"customer": noise(steps), "agent": noise(steps, 2)}
    holes = (Hole(hole.first_sample // 8, hole.end_sample // 8, "agent"),)
    async with emulating() as server:
        await play(server.stream("calls"), Take(sound["customer"], sound["agent"], "c", START_MS, holes=holes), speed=0)
        place.send([announced("c", "calls"), over("c")])
        for part in (1, 2, 3, 4):
            listener = Listener(account(server.url), PATIENCE, pace=1_000)
            async with place.working(CAPTURE, services={"kvs": listener.answer}):
                if part < 4:
                    await heard_until(heard, 512 * steps * part // 4)
                else:
                    await until("captured", lambda: heard.ended)
            await listener.close()
    sound["agent"] = without(sound["agent"], hole)
    assert sound == heard.taken("c").pcm
    assert (hole,) == heard.coverage("c").missing
