"""Contacts as audio records: from the emulator through reading and the stage, over real sockets."""

import asyncio
import time
from dataclasses import replace

import pytest

from connectors.kvs import listening, service
from connectors.kvs.listening import Listener
from connectors.kvs_emulator import Hole, Take, play
from connectors.kvs_emulator.faults import Close, Fault, Garbage, Refuse, Report
from connectors.kvs_emulator.takes import push, ticks
from pipeline.engines.memory import MemoryEngine
from pipeline.errors import PeerUnavailable
from pipeline.stages.capture import Heard, Listen
from tests.connectors.kvs.capturing import CAPTURE, capture, contents, ended, started
from tests.connectors.kvs.reads import CALM, QUICK, account
from tests.connectors.kvs.taken import Taken
from tests.connectors.kvs.test_reading import BOTH, OTHER, without
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, STREAM, emulating, faulty, noise, take
from topics.records import AudioFrame, MissingAudio

pytestmark = pytest.mark.simulation

LISTEN = Listen("t", CONTACT, 0, STREAM, START_MS, b"", 0)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_WINDOW_S", 0.01)


async def test_contact_becomes_records_of_192_ms_a_coverage_and_an_end() -> None:
    async with emulating(take()) as (server, _):
        found = contents(await capture(server))
    assert BOTH == found.taken.pcm
    assert 0 == found.taken.repeated
    assert [1_536] * 33 + [512] == [len(frame.customer_pcm) // 2 for frame in found.frames]
    assert [(START_MS, False, ""), (START_MS, True, "no more audio")] == [
        (one.start_ms, one.is_end, one.reason) for one in found.coverage
    ]
    assert (51_200, 51_200, ()) == (
        found.coverage[-1].customer_sample,
        found.coverage[-1].agent_sample,
        found.coverage[-1].missing,
    )
    assert [(6_400, True)] == [(mark.time_ms, mark.is_end) for mark in found.marks if mark.is_end]


@pytest.mark.parametrize(
    "fault",
    [
        Close(how="end", after_fragments=2, calls=(1, 2)),
        Close(how="reset", after_bytes=30_000, calls=(1, 2)),
        Report(error_id=4000, after_blocks=70, calls=(1,)),
        Garbage(after_bytes=33_000, count=333, calls=(1,)),
        Refuse(error="AccessDeniedException", calls=(1,)),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_fault_of_the_stream_leaves_no_trace_in_the_records(fault: Fault) -> None:
    async with emulating(take(), plan=faulty(fault)) as (server, _):
        found = contents(await capture(server, patience=CALM))
    assert BOTH == found.taken.pcm
    assert () == found.coverage[-1].missing


async def test_hole_that_nobody_can_fill_is_left_out_and_told() -> None:
    holed = replace(take(), holes=(Hole(1_600, 2_880, "agent"),))
    async with emulating(holed) as (server, _):
        found = contents(await capture(server))
    assert {"customer": BOTH["customer"], "agent": without(BOTH["agent"], 12_800, 23_040)} == found.taken.pcm
    assert [(0, 12_800), (23_040, 51_200)] == found.taken.ranges("agent")
    assert (MissingAudio("agent", 12_800, 23_040),) == found.coverage[-1].missing


async def test_hole_that_the_archive_fills_is_in_its_place() -> None:
    holed = replace(take(), holes=(Hole(1_600, 2_880, "agent"),))
    async with emulating(holed) as (server, _):
        capturing = asyncio.ensure_future(capture(server, patience=replace(QUICK, looks_s=(0.3, 0.3))))
        await asyncio.sleep(0.15)
        at, whole = 0, [list(tick.blocks) for tick in ticks(take())]
        for fragment in server.stream(STREAM).held():
            steps = fragment.length_ms // 64
            fragment.blocks[:] = [block for blocks in whole[at : at + steps] for block in blocks]
            at += steps
        found = contents(await capturing)
    assert BOTH == found.taken.pcm
    assert [(0, 51_200)] == found.taken.ranges("agent")
    assert () == found.coverage[-1].missing


async def test_contacts_of_one_stream_are_two() -> None:
    after = take(30, OTHER, START_MS + 120 * 64)
    async with emulating(take(), after) as (server, _):
        log = await capture(server, started(), ended(), started(OTHER, start_ms=START_MS + 120 * 64), ended(OTHER))
    assert BOTH == contents(log).taken.pcm
    assert "other contact" == contents(log).coverage[-1].reason
    assert {"customer": noise(30), "agent": noise(30, 2)} == contents(log, OTHER).taken.pcm


async def test_stream_that_does_not_exist_is_an_end_with_nothing() -> None:
    async with emulating(take(), plan=faulty(Refuse(error="ResourceNotFoundException"))) as (server, _):
        found = contents(await capture(server))
    assert [] == found.frames
    assert [("no such stream", True)] == [(one.reason, one.is_end) for one in found.coverage]


async def test_refused_credentials_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FAILED_S", 0.01)
    plan = faulty(Refuse(error="AccessDeniedException", calls=tuple(range(1, 8))))
    async with emulating(take(), plan=plan) as (server, _):
        assert BOTH == contents(await capture(server)).taken.pcm


async def test_contact_that_stays_refused_is_over_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FAILED_S", 0.01)
    monkeypatch.setattr(listening, "GIVE_UP_MS", time.time() * 1_000 + 500 - START_MS)
    async with emulating(take(), plan=faulty(Refuse(error="AccessDeniedException"))) as (server, _):
        found = contents(await capture(server))
        assert server.calls["getMedia", STREAM] > 4
    assert [("not readable", True)] == [(one.reason, one.is_end) for one in found.coverage]


async def test_call_goes_on_after_a_pause_unless_it_has_ended() -> None:
    steps = [*ticks(take())]
    async with emulating() as (server, _):
        push(server.stream(STREAM), steps[:51])
        listener = Listener(account(server.url), replace(QUICK, idle_s=0.5), pace=1_000)
        engine = MemoryEngine({"kvs": listener.answer}, CAPTURE)
        engine.start()
        engine.log.append("contact.events", b"t|c", started())
        await engine.pump()
        running = asyncio.ensure_future(engine.finish())
        await asyncio.sleep(1.5)  # it has seemed over, twice
        assert not [one for one in contents(engine.log).coverage if one.is_end]
        push(server.stream(STREAM), steps[51:])
        engine.log.append("contact.events", b"t|c", ended())
        await asyncio.wait_for(running, 20)
        await listener.close()
    assert BOTH == contents(engine.log).taken.pcm


async def listened(listener: Listener, first: Listen, limit: int) -> tuple[list[AudioFrame], list[Heard]]:
    """Ask until a contact is over or a number of answers is reached."""
    frames, answers, listen = list[AudioFrame](), list[Heard](), first
    while len(answers) < limit and not (answers and answers[-1].over):
        answers.append(await listener.answer(listen))
        frames += answers[-1].frames
        customer, agent = Taken.of(frames).ends
        number = listen.number + 1
        listen = replace(listen, place=answers[-1].place, number=number, customer_sample=customer, agent_sample=agent)
    return frames, answers


@pytest.mark.parametrize("limit", [1, 2, 5, 9, 20, 33])
async def test_another_listener_goes_on_at_the_place_of_any_answer(limit: int) -> None:
    async with emulating(take()) as (server, _):
        one = Listener(account(server.url), QUICK, pace=1_000, frames=1)
        before, answers = await listened(one, LISTEN, limit)
        await one.close()
        other = Listener(account(server.url), QUICK, pace=1_000)
        customer, agent = Taken.of(before).ends
        listen = replace(LISTEN, place=answers[-1].place, number=limit, customer_sample=customer, agent_sample=agent)
        after, _ = await listened(other, listen, 1_000)
        await other.close()
    assert BOTH == Taken.of([*before, *after]).pcm
    assert 0 == Taken.of([*before, *after]).repeated


async def test_question_of_an_older_state_begins_anew_where_that_was() -> None:
    async with emulating(take()) as (server, _):
        listener = Listener(account(server.url), QUICK, pace=1_000, frames=4)
        await listened(listener, LISTEN, 3)
        frames, _ = await listened(listener, LISTEN, 1_000)
        await listener.close()
    assert BOTH == Taken.of(frames).pcm
    assert 0 == Taken.of(frames).repeated


async def test_cancelled_question_hangs_up() -> None:
    async with emulating(clock=None, idle_s=30) as (server, _):
        playing = asyncio.ensure_future(play(server.stream(STREAM), take(), speed=1))
        listener = Listener(account(server.url), QUICK)
        await listener.answer(LISTEN)
        waiting = asyncio.ensure_future(listener.answer(replace(LISTEN, number=1)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not [task for task in asyncio.all_tasks() if "Reading" in str(task.get_coro())]
        playing.cancel()
        await listener.close()


async def test_session_that_nobody_asks_hangs_up_and_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "UNASKED_S", 0.2)
    async with emulating(take()) as (server, _):
        listener = Listener(account(server.url), QUICK, pace=1_000, frames=4)
        before, answers = await listened(listener, LISTEN, 3)
        await asyncio.sleep(0.4)
        assert not [task for task in asyncio.all_tasks() if "Reading" in str(task.get_coro())]
        after, _ = await listened(listener, replace(LISTEN, place=answers[-1].place, number=3), 1_000)
        await listener.close()
    assert BOTH == Taken.of([*before, *after]).pcm


async def test_stream_waits_for_an_engine_that_does_not_ask() -> None:
    """Nothing is read ahead without bound, and nothing is lost by waiting."""
    long = Take(noise(1_000), noise(1_000, 2), CONTACT, START_MS)
    async with emulating(long) as (server, _):
        listener = Listener(account(server.url), QUICK, pace=1_000)
        before, answers = await listened(listener, LISTEN, 1)
        await asyncio.sleep(0.5)
        (session,) = listener._sessions.values()
        # One read brings what the socket has buffered.
        assert 32_000 > listening.FRAME_MS * len(session._ready) > listening.AHEAD_MS
        after, _ = await listened(listener, replace(LISTEN, place=answers[-1].place, number=1), 1_000)
        await listener.close()
    assert {"customer": noise(1_000), "agent": noise(1_000, 2)} == Taken.of([*before, *after]).pcm


async def test_who_is_far_behind_catches_up_at_a_pace() -> None:
    async with emulating(take(300)) as (server, _):  # 19 s, all of it there
        listener = Listener(account(server.url), QUICK, pace=20)
        began_s = asyncio.get_running_loop().time()
        frames, _ = await listened(listener, LISTEN, 1_000)
        took_s = asyncio.get_running_loop().time() - began_s
        await listener.close()
    assert {"customer": noise(300), "agent": noise(300, 2)} == Taken.of(frames).pcm
    assert took_s > (19 - 5 - 2) / 20


async def test_failure_is_told_and_the_next_question_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FAILED_S", 0.01)
    plan = faulty(Refuse(error="AccessDeniedException", calls=(1, 2)))
    async with emulating(take(), plan=plan) as (server, _):
        listener = Listener(account(server.url), QUICK, pace=1_000)
        with pytest.raises(PeerUnavailable, match="AccessDenied"):
            await listener.answer(LISTEN)
        frames, _ = await listened(listener, replace(LISTEN, number=1), 1_000)
        await listener.close()
    assert BOTH == Taken.of(frames).pcm


@pytest.mark.parametrize("frames", [1, 4, 9, 10, 11])
async def test_engine_that_is_slower_than_the_contact_gets_its_last_samples(frames: int) -> None:
    async with emulating(take(31)) as (server, _):  # ten records and a block
        listener = Listener(account(server.url), QUICK, pace=1_000, frames=frames)
        before, answers = await listened(listener, LISTEN, 1)
        await asyncio.sleep(1.0)  # the contact is over before it is asked for again
        customer, agent = Taken.of(before).ends
        asked = replace(LISTEN, place=answers[-1].place, number=1, customer_sample=customer, agent_sample=agent)
        after, _ = await listened(listener, asked, 1_000)
        await listener.close()
    assert {"customer": noise(31), "agent": noise(31, 2)} == Taken.of([*before, *after]).pcm


async def test_outage_is_no_end_of_a_contact_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as nothing answers, the contact is asked for again; then it is read to its end."""
    monkeypatch.setattr(listening, "FAILED_S", 0.01)
    cut = Close(after_fragments=2, calls=(1,))
    away = Refuse(error="ServiceUnavailableException", calls=tuple(range(2, 200)))
    async with emulating(take(), plan=faulty(cut, away)) as (server, _):
        found = contents(await capture(server, patience=replace(QUICK, idle_s=0.3)))
        assert 200 <= server.calls["getMedia", STREAM]
    assert BOTH == found.taken.pcm
    assert () == found.coverage[-1].missing
