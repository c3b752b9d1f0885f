"""The Kafka engine on a real broker, in this process: what it writes, commits, refuses and hands over."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from pipeline import broker as embedded
from pipeline.engines.kafka import KafkaWorker
from pipeline.errors import EngineFault
from pipeline.machine import Machine
from pipeline.topology import Stage
from tests.pipeline.engines.stations import COUNTER, LIMIT_S, Place, said
from tests.simulation import scripts
from tests.simulation.crashes import quiet
from tests.simulation.outcome import finals
from topics import clients, deadletters
from topics.clients import GroupProtocol
from topics.records import AudioFrame, ContactEvent, Moments, Record, SpeechMark, Turn

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

WORDS, EVENTS, MOMENTS = "transcript.words", "contact.events", "moments"
REPOSITORY = Path(__file__).parents[3]
SESSION_S = 6.0  # of a static member (`topics/clients.py`)

both_protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])


@pytest.fixture
def place(broker: str, prefix: str) -> Place:
    made = Place(broker, prefix)
    made.create(COUNTER)
    return made


def counted(place: Place, count: int) -> list[Moments]:
    records = place.until([MOMENTS], lambda records: len(records) >= count)
    return [record for record in records if isinstance(record, Moments)]


@both_protocols
async def test_the_language_group_ends_as_on_the_memory_engine(
    broker: str, prefix: str, protocol: GroupProtocol
) -> None:
    place, script = Place(broker, prefix, 2, protocol), scripts.text()
    place.create(script.stages)
    place.send(("policies", b"policy", policy) for policy in script.policies)
    place.send((event.topic, event.key, event.record) for event in script.events)
    expected = finals(quiet(script).log)
    topics = sorted({topic for topic, _, _ in expected} - {"policies"})
    expected = {at: record for at, record in expected.items() if at[0] != "policies"}
    async with place.working(script.stages):
        log = await asyncio.to_thread(place.log, topics, lambda log: finals(log) == expected)
    assert expected == finals(log)


@both_protocols
async def test_a_takeover_reads_first_what_waits_beside_the_lead_topic(
    broker: str, prefix: str, protocol: GroupProtocol
) -> None:
    place = Place(broker, prefix, 1, protocol)
    place.create(COUNTER)
    place.send([(WORDS, b"t|c", said(n)) for n in range(500)])
    place.send([(EVENTS, b"t|c", ContactEvent("t", "c", 1, "hold_began", n, "")) for n in range(300)])
    async with place.working(COUNTER):
        found = await asyncio.to_thread(counted, place, 800)
        place.send([(EVENTS, b"t|c", ContactEvent("t", "c", 1, "hold_ended", 0, "")), (WORDS, b"t|c", said(500))])
        found = await asyncio.to_thread(counted, place, 802)
    assert {f"{n}/300" for n in range(1, 501)} == {one.turn_id for one in found[300:800]}
    assert "501/301" in {one.turn_id for one in found}


async def test_undecodable_bytes_go_to_the_dead_letters_as_they_came(place: Place) -> None:
    place.send([(WORDS, b"t|c", b"\x00junk"), (WORDS, b"t|c", said(0))])
    async with place.working(COUNTER):
        (record,) = await asyncio.to_thread(counted, place, 1)
        dead = await asyncio.to_thread(lambda: next(place.messages([deadletters.name(WORDS)])))
    headers = dict(dead.headers() or [])
    assert "1/0" == record.turn_id
    assert (b"\x00junk", b"t|c") == (dead.value(), dead.key())
    assert b"0" == headers["__connect.errors.offset"]
    assert WORDS.encode() == headers["__connect.errors.topic"]


async def test_a_burst_of_refusals_stops_the_worker(place: Place) -> None:
    place.send((WORDS, b"t|c", b"junk") for _ in range(300))
    with pytest.raises(EngineFault):
        async with place.working(COUNTER) as (_, running):
            await asyncio.wait({running}, timeout=LIMIT_S)
    (committed,) = place.committed("counter", [WORDS])
    assert committed.offset < 300


async def test_a_position_that_was_lost_to_retention_is_said(place: Place) -> None:
    """It is found inside the client's assign callback, whose exceptions must not vanish there."""
    place.send((WORDS, b"t|c", said(n)) for n in range(3))
    async with place.working(COUNTER):
        await asyncio.to_thread(counted, place, 3)
    place.send((WORDS, b"t|c", said(n)) for n in range(3, 6))
    client = clients.admin(place.bootstrap)
    for deleted in client.delete_records([TopicPartition(place.prefix + WORDS, 0, 5)]).values():
        deleted.result(LIMIT_S)
    with pytest.raises(EngineFault, match="retention"):
        async with place.working(COUNTER) as (_, running):
            await asyncio.wait({running}, timeout=LIMIT_S)


@dataclass
class Heard:
    frames: int = 0


class Keeper(Machine[Heard]):
    """Counts audio records, and may need every one of them again."""

    state = Heard

    def on_record(self, state: Heard, record: Record) -> Sequence[Record]:
        assert isinstance(record, AudioFrame)
        state.frames += 1
        return (SpeechMark("t", "c", 1, "agent", record.agent_first_sample, state.frames),)

    def replay_from_ms(self, state: Heard) -> int | None:
        return 0


KEEPER = (Stage("keeper", "keeper", ("audio.frames",), ("speech.marks",), Keeper),)


async def test_audio_that_would_only_be_read_again_may_be_gone(broker: str, prefix: str) -> None:
    """A contact without an end holds it back; overnight nothing comes, and retention takes it."""
    place = Place(broker, prefix)
    place.create(KEEPER)

    def frame(n: int) -> tuple[str, bytes, Record]:
        return "audio.frames", b"t|c", AudioFrame("t", "c", 1, 8 * n, b"\0" * 16, 8 * n, b"\0" * 16)

    place.send(frame(n) for n in range(3))
    async with place.working(KEEPER):
        await asyncio.to_thread(place.until, ["speech.marks"], lambda found: len(found) == 3)
    (committed,) = place.committed("keeper", ["audio.frames"])
    assert 0 == committed.offset
    client = clients.admin(broker)
    for deleted in client.delete_records([TopicPartition(prefix + "audio.frames", 0, 2)]).values():
        deleted.result(LIMIT_S)
    async with place.working(KEEPER):
        place.send([frame(3)])
        found = await asyncio.to_thread(place.until, ["speech.marks"], lambda found: marks(found)[-1] == (24, 5))
    assert [(0, 1), (8, 2), (16, 3)] == marks(found)[:3]


def marks(found: list[Record]) -> list[tuple[int, int | None]]:
    return [(one.first_sample, one.end_sample) for one in found if isinstance(one, SpeechMark)]


async def test_a_failing_service_is_an_answer(place: Place) -> None:
    async def broken(_: object) -> object:
        raise OSError("secret")

    place.send([(WORDS, b"t|c", said(7, is_final=False))])
    async with place.working(COUNTER, services={"oracle": broken}):
        (record,) = await asyncio.to_thread(place.until, ["transcript.raw"], bool)
    assert isinstance(record, Turn)
    assert "Failed" in record.asr
    assert "secret" not in record.asr


@both_protocols
async def test_partitions_move_to_a_second_worker_with_all_their_inputs(
    broker: str, prefix: str, protocol: GroupProtocol
) -> None:
    place = Place(broker, prefix, 4, protocol)
    place.create(COUNTER)
    contacts = [f"c{n}" for n in range(12)]
    rounds = 6

    def round_of(n: int) -> list[tuple[str, bytes, Record | bytes]]:
        if n % 2:
            return [(WORDS, f"t|{contact}".encode(), said(n, contact)) for contact in contacts]
        return [(EVENTS, f"t|{one}".encode(), ContactEvent("t", one, n, "started", n, "")) for one in contacts]

    def ended(records: list[Record]) -> bool:
        """Whether some state of each contact has seen all of both topics."""
        moments = [record for record in records if isinstance(record, Moments)]
        return {one.contact_id for one in moments if one.turn_id == f"{rounds // 2}/{rounds // 2}"} == set(contacts)

    async with place.working(COUNTER, "one") as (one, _):
        place.send(round_of(0) + round_of(1))
        await asyncio.to_thread(counted, place, 2 * len(contacts))
        assert (0, 1, 2, 3) == one.assigned
        async with place.working(COUNTER, "two") as (two, _):
            place.send(round_of(2) + round_of(3))
            await asyncio.to_thread(wait_for_shares, one, two)
            place.send(round_of(4) + round_of(5))
            await asyncio.to_thread(place.until, [MOMENTS], ended)
            assert {0, 1, 2, 3} == {*one.assigned, *two.assigned}
            assert not {*one.assigned} & {*two.assigned}


def wait_for_shares(one: KafkaWorker, two: KafkaWorker) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while (len(one.assigned), len(two.assigned)) != (2, 2):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


async def test_a_drained_worker_is_not_waited_for_until_its_session_ends(broker: str, prefix: str) -> None:
    place = Place(broker, prefix, partitions=4)
    place.create(COUNTER)
    async with place.working(COUNTER, "one") as (one, _):
        async with place.working(COUNTER, "two") as (two, _):
            await asyncio.to_thread(wait_for_shares, one, two)
        began_s = time.monotonic()
        while (0, 1, 2, 3) != one.assigned:
            assert time.monotonic() - began_s < SESSION_S / 2
            await asyncio.sleep(0.05)


async def test_a_worker_without_partitions_is_ready(place: Place) -> None:
    async with place.working(COUNTER, "one") as (one, _), place.working(COUNTER, "two") as (two, _):
        assert 1 == len(one.assigned) + len(two.assigned)
        assert [True, True] == [one.is_ready, two.is_ready]


async def test_a_broker_that_comes_back_loses_nothing(tmp_path: Path) -> None:
    libs = REPOSITORY / ".kafka" / f"libs-{embedded.KAFKA_VERSION}"
    running = embedded.start(tmp_path, libs=libs)
    try:
        place = Place(running.bootstrap, "back.")
        place.create(COUNTER)
        async with place.working(COUNTER) as (_, work):
            place.send((WORDS, b"t|c", said(n)) for n in range(5))
            await asyncio.to_thread(counted, place, 5)
            await asyncio.to_thread(embedded_restart, tmp_path, libs, running.pid)
            place.send((WORDS, b"t|c", said(n)) for n in range(5, 10))
            expected = [f"{n}/0" for n in range(1, 11)]
            await asyncio.to_thread(place.until, [MOMENTS], lambda records: expected == in_order(records))
            assert not work.done()
        (committed,) = place.committed("counter", [WORDS])
        assert 10 == committed.offset
    finally:
        embedded.stop(tmp_path)


def in_order(records: list[Record]) -> list[str]:
    """Name what was counted, each once: a takeover on the way says some of it again."""
    return list(dict.fromkeys(record.turn_id for record in records if isinstance(record, Moments)))


def embedded_restart(home: Path, libs: Path, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    time.sleep(2.5)  # a checkpoint is due in the meantime
    embedded.start(home, libs=libs)
