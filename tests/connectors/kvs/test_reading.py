"""One contact read over real sockets from the emulator: both tracks sample by sample, whatever goes wrong."""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from connectors.kvs import service
from connectors.kvs.contact import Contact
from connectors.kvs.facts import Broken, Fact, Failed, FragmentDone, Gap, GapFound, Piece, Reconnected, ServiceError
from connectors.kvs.reading import Reading
from connectors.kvs.service import StreamFailed
from connectors.kvs_emulator import Hole, Plan, ShortBlock, Take, play
from connectors.kvs_emulator.faults import Close, Expire, Fault, Garbage, Move, Refuse, Report, SlowStart, Stall
from connectors.kvs_emulator.takes import push, ticks
from tests.connectors.kvs.reads import CALM, QUICK, Heard, account, heard, reading
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, STREAM, emulating, faulty, noise, numbers, take
from topics.records import Track

pytestmark = pytest.mark.simulation

SEEDS = int(os.environ.get("TRUNKLINE_EXAMPLES", "4"))
OTHER = "00000000-0000-4000-8000-000000000002"
BEFORE = "00000000-0000-4000-8000-000000000003"
BOTH: dict[Track, bytes] = {"customer": noise(100), "agent": noise(100, 2)}
BLOCK = 512  # samples


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests follow each other at once; one test looks at their pace."""
    monkeypatch.setattr(service, "_WINDOW_S", 0.01)


def without(pcm: bytes, first: int, end: int) -> bytes:
    """Return PCM with zeros for some samples."""
    return pcm[: first * 2] + bytes((end - first) * 2) + pcm[end * 2 :]


def reasons(found: Heard) -> list[str]:
    return [one.reason for one in found.all(Reconnected)]


# As it should be


async def test_both_tracks_come_whole_and_placed() -> None:
    async with emulating(take()) as (server, _):
        found = await heard(server)
        assert [str(number) for number in numbers(server)] == [one.number for one in found.all(FragmentDone)]
    assert BOTH == found.pcm
    assert ("no more audio", 6_400) == (found.end.reason, found.end.at_ms)
    assert (51_200, 51_200) == (found.end.customer_end, found.end.agent_end)


@pytest.mark.parametrize(
    "odd",
    [
        {"order": ("agent", "customer")},
        {"has_legacy_name": True},
        {"identity": "before"},
        {"identity": "both"},
        {"untagged": (2, 3)},
        {"untagged": (-1,)},
        {"anonymous": (0, 3, -1)},
        {"untagged": (0,)},
    ],
    ids=str,
)
async def test_oddities_of_the_field_change_nothing(odd: dict[str, Any]) -> None:
    async with emulating(replace(take(), **odd)) as (server, _):
        assert BOTH == (await heard(server)).pcm


async def test_short_block_leaves_zeros_and_what_follows_stays_in_its_place() -> None:
    short = ShortBlock("agent", 20, samples=96)
    async with emulating(replace(take(), short_blocks=(short,))) as (server, _):
        found = await heard(server)
    agent = without(BOTH["agent"], 20 * BLOCK + 96, 21 * BLOCK)
    assert {"customer": BOTH["customer"], "agent": agent} == found.pcm
    assert [] == found.all(GapFound)


async def test_tracks_end_where_they_end() -> None:
    async with emulating(Take(noise(40), noise(100, 2)[:-300], CONTACT, START_MS)) as (server, _):
        found = await heard(server)
    assert {"customer": noise(40), "agent": noise(100, 2)[:-300]} == found.pcm


async def test_contact_before_and_after_on_the_same_stream_are_not_heard() -> None:
    before = take(30, BEFORE, START_MS - 30 * 64)
    after = take(30, OTHER, START_MS + 120 * 64)
    async with emulating(before, take(), after) as (server, _):
        found = await heard(server)
    assert BOTH == found.pcm
    assert "other contact" == found.end.reason


async def test_contact_that_is_not_there_gives_nothing() -> None:
    async with emulating(take()) as (server, _):
        found = await heard(server, OTHER, patience=replace(QUICK, idle_s=0.5))
    assert {"customer": b"", "agent": b""} == found.pcm
    assert "idle" == found.end.reason


# Connections that end


@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_response_that_ends_every_two_fragments_is_gone_on_with(how: Any) -> None:
    async with emulating(take(), plan=faulty(Close(how=how, after_fragments=2, calls=(1, 2)))) as (server, _):
        found = await heard(server, patience=CALM)
    assert BOTH == found.pcm
    assert len(found.all(Reconnected)) >= 2


@pytest.mark.parametrize("how", ["close", "end"])
@pytest.mark.parametrize("place", [1, 700, 5_000, 39_999])
async def test_response_that_ends_within_a_fragment_loses_and_repeats_nothing(how: Any, place: int) -> None:
    async with emulating(take(), plan=faulty(Close(how=how, after_bytes=place, calls=(1, 2)))) as (server, _):
        found = await heard(server, patience=CALM)
    assert BOTH == found.pcm
    assert [] == found.all(GapFound)


async def test_forced_end_in_a_live_call_is_not_its_end() -> None:
    async with emulating(clock=None, session_s=0.4, idle_s=10) as (server, _):
        stream = server.stream(STREAM)
        playing = asyncio.ensure_future(play(stream, take(), speed=4))
        found = await heard(server, patience=CALM)
        await playing
    assert BOTH == found.pcm
    assert reasons(found).count("the response ended") >= 3
    assert [] == found.all(GapFound)


async def test_pause_after_a_clean_end_is_not_the_end_of_the_call() -> None:
    steps = [*ticks(take())]
    async with emulating() as (server, _):
        push(server.stream(STREAM), steps[:51])
        running = asyncio.ensure_future(heard(server, patience=replace(QUICK, quiet_s=2)))
        while server.calls["getMedia", STREAM] < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        push(server.stream(STREAM), steps[51:])
        found = await running
    assert BOTH == found.pcm
    assert "the response ended" == reasons(found)[0]


async def test_connections_that_bring_nothing_are_not_the_end_of_the_call() -> None:
    cuts = (Close(how="end", after_fragments=2, calls=(1,)), Close(after_bytes=0, calls=tuple(range(2, 9))))
    async with emulating(take(), plan=faulty(*cuts)) as (server, _):
        found = await heard(server, patience=replace(QUICK, quiet_s=0.05))
    assert BOTH == found.pcm


async def test_hand_over_leaves_the_old_response_once_the_next_one_speaks() -> None:
    async with emulating(clock=None, idle_s=0.5) as (server, _):
        stream = server.stream(STREAM)
        playing = asyncio.ensure_future(play(stream, take(), speed=4))
        found = await heard(server, patience=replace(CALM, session_s=0.5))
        await playing
    assert BOTH == found.pcm
    assert reasons(found).count("hand-over") >= 2
    assert [] == found.all(GapFound)


async def test_dead_connection_is_left_for_another() -> None:
    async with emulating(take(), plan=faulty(Stall(after_bytes=30_000, calls=(1,)))) as (server, _):
        found = await heard(server, dead_s=0.4)
    assert BOTH == found.pcm
    assert "nothing came for too long" == reasons(found)[0]


async def test_stall_that_ends_costs_nothing() -> None:
    async with emulating(take(), plan=faulty(Stall(after_bytes=30_000, for_s=0.3, calls=(1,)))) as (server, _):
        assert BOTH == (await heard(server)).pcm


# Refusals


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refuse(error="InvalidArgumentException", calls=(1,)), "invalid"),
        (Refuse(error="NotAuthorizedException", calls=(1,)), "refused"),
        (Refuse(error="ExpiredTokenException", calls=(1,)), "refused"),
        (Refuse(error="AccessDeniedException", calls=(1,)), "refused"),
        (Refuse(error="ResourceNotFoundException", calls=(1,)), "gone"),
        (Refuse(error="InternalFailureException", calls=(1,)), "passing"),
        (Refuse(error="ServiceUnavailableException", calls=(1,)), "passing"),
        (Refuse(error="ClientLimitExceededException", calls=(1, 2)), "throttled"),
        (Refuse(error="ConnectionLimitExceededException", calls=(1, 2)), "throttled"),
        (Refuse(error="ServiceUnavailableException", api="getDataEndpoint", calls=(1,)), "passing"),
        (Move(calls=(1,)), "moved"),
        (SlowStart(for_s=0.2, calls=(1,)), None),
    ],
    ids=lambda value: getattr(value, "error", None),
)
async def test_refusal_passes(fault: Fault, kind: str | None) -> None:
    async with emulating(take(), plan=faulty(fault)) as (server, _):
        found = await heard(server)
    assert BOTH == found.pcm
    assert ({kind} if kind else set()) == {one.kind for one in found.all(Failed)}


async def test_refusal_in_mid_call_passes() -> None:
    plan = faulty(Close(after_fragments=2, calls=(1,)), Refuse(error="InvalidArgumentException", calls=(2,)))
    async with emulating(take(), plan=plan) as (server, _):
        found = await heard(server)
    assert BOTH == found.pcm


async def test_throttle_of_the_service_is_never_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan = faulty(Close(after_fragments=1))
    async with emulating(take(), plan=plan, calls_per_s=5) as (server, _):
        found = await heard(server)
    assert BOTH == found.pcm
    assert [] == found.all(Failed)


async def test_expired_token_is_replaced_by_the_next() -> None:
    async with emulating(take(), plan=faulty(Expire(calls=(1,)))) as (server, _), service.session() as http:
        found = Heard()
        stream = service.Service(http, account(server.url, "old", "next"), STREAM)
        await Reading(stream, Contact(CONTACT), START_MS, found.give, QUICK).run()
    assert BOTH == found.pcm


async def test_refused_credentials_end_the_reading() -> None:
    async with emulating(take(), plan=faulty(Refuse(error="AccessDeniedException"))) as (server, _):
        with pytest.raises(StreamFailed, match="AccessDenied"):
            await heard(server)


async def test_stream_that_does_not_exist_ends_the_reading() -> None:
    async with emulating(take(), plan=faulty(Refuse(error="ResourceNotFoundException"))) as (server, _):
        with pytest.raises(StreamFailed, match="ResourceNotFound"):
            await heard(server)


# What the stream says


@pytest.mark.parametrize(("error_id", "action"), [(3002, "wait"), (4000, "restart"), (4500, "park"), (5000, "wait")])
@pytest.mark.parametrize("is_own_document", [True, False])
async def test_error_in_the_stream_is_told_and_survived(error_id: Any, action: str, is_own_document: bool) -> None:
    report = Report(error_id=error_id, after_blocks=70, is_own_document=is_own_document, calls=(1,))
    async with emulating(take(), plan=faulty(report)) as (server, _):
        found = await heard(server)
    assert BOTH == found.pcm
    assert [(str(error_id), action)] == [(one.error_id, one.action) for one in found.all(ServiceError)]
    assert (action == "restart") == (found.all(Reconnected)[0].after is None)
    assert [] == found.all(GapFound)


@pytest.mark.parametrize("place", [500, 9_000, 33_000, 60_017])
async def test_damage_is_read_again(place: int) -> None:
    async with emulating(take(), plan=faulty(Garbage(after_bytes=place, count=333, calls=(1,)))) as (server, _):
        found = await heard(server)
    ends = (found.end.customer_end, found.end.agent_end)
    assert BOTH == {"customer": found.pcm["customer"][: ends[0] * 2], "agent": found.pcm["agent"][: ends[1] * 2]}
    assert found.all(Broken)


async def test_damage_that_stays_loses_its_own_fragment_alone() -> None:
    async with emulating(take()) as (server, _):
        fragment = server.stream(STREAM).held()[2]
        del fragment.blocks[4:]
        fragment.blocks.append(b"\xa3\x00\x01")
        found = await heard(server)
    assert len(BOTH["customer"]) == len(found.pcm["customer"])
    gaps = found.all(Gap)
    assert {"customer", "agent"} == {gap.track for gap in gaps}
    for gap in gaps:
        assert without(BOTH[gap.track], gap.first_sample, gap.end_sample) == found.pcm[gap.track]
        assert gap.end_sample - gap.first_sample < 17 * BLOCK


# Holes


def holed() -> Take:
    return replace(take(), holes=(Hole(1_600, 2_880, "agent"),))


async def test_hole_that_nobody_can_fill_is_zeros_and_told() -> None:
    async with emulating(holed()) as (server, _):
        found = await heard(server)
    assert {"customer": BOTH["customer"], "agent": without(BOTH["agent"], 12_800, 23_040)} == found.pcm
    assert [Gap("agent", 12_800, 23_040)] == found.all(Gap)


async def test_hole_is_filled_from_the_archive() -> None:
    async with emulating(holed()) as (server, _):
        whole = [list(tick.blocks) for tick in ticks(take())]
        async with reading(server, patience=replace(QUICK, looks_s=(0.3, 0.3))) as (one, found):
            running = asyncio.ensure_future(one.run())
            while not found.all(GapFound):
                await asyncio.sleep(0.01)
            at = 0
            for fragment in server.stream(STREAM).held():
                steps = fragment.length_ms // 64
                fragment.blocks[:] = [block for blocks in whole[at : at + steps] for block in blocks]
                at += steps
            await running
    assert BOTH == found.pcm
    assert [] == found.all(Gap)


async def test_small_hole_is_no_gap() -> None:
    async with emulating(replace(take(), holes=(Hole(1_600, 1_728),))) as (server, _):
        found = await heard(server)
    assert [] == found.all(GapFound)
    assert {track: without(pcm, 12_800, 13_824) for track, pcm in BOTH.items()} == found.pcm


# Going on and leaving


async def test_another_reader_goes_on_at_a_checkpoint() -> None:
    async with emulating(take()) as (server, _):
        whole = await heard(server)
        for done in whole.all(FragmentDone):
            found = await heard(server, checkpoint=done.checkpoint)
            pieces = found.all(Piece)
            first = {
                track: min((piece.first_sample for piece in pieces if piece.track == track), default=51_200)
                for track in found.tracks
            }
            assert {"customer": done.checkpoint.customer_end, "agent": done.checkpoint.agent_end} == first
            for track, pcm in found.pcm.items():
                assert not any(pcm[: first[track] * 2])
                assert BOTH[track][first[track] * 2 :] == pcm[first[track] * 2 :]


async def test_cancelled_reading_leaves_nothing_open() -> None:
    async with emulating(clock=None, idle_s=30) as (server, _):
        playing = asyncio.ensure_future(play(server.stream(STREAM), holed(), speed=8))
        async with reading(server, patience=replace(QUICK, session_s=0.2, looks_s=(5, 5))) as (one, found):
            running = asyncio.ensure_future(one.run())
            while not found.all(GapFound):
                await asyncio.sleep(0.01)
            running.cancel()
            async with asyncio.timeout(2):
                await asyncio.wait([running])
            assert running.cancelled()
        playing.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task(), playing}
        assert not [task for task in others if "connectors/kvs/" in str(task.get_coro())]
        assert not [task for task in others if "Reading" in str(task.get_coro())]


async def test_reading_waits_for_who_takes() -> None:
    """A consumer that is slower than `idle_s` does not make the contact idle."""
    async with emulating(take(20)) as (server, _), service.session() as http:
        found = Heard()

        async def slow(facts: Sequence[Fact]) -> None:
            await asyncio.sleep(0.5)
            found.take(facts)

        stream = service.Service(http, account(server.url), STREAM)
        await Reading(stream, Contact(CONTACT), START_MS, slow, replace(QUICK, idle_s=0.4)).run()
    assert {"customer": noise(20), "agent": noise(20, 2)} == found.pcm


PLAN: tuple[Fault, ...] = (
    Close(how="end", within_bytes=60_000, chance=0.4),
    Close(how="close", within_bytes=90_000, chance=0.3),
    Close(how="reset", within_bytes=200_000, chance=0.2),
    Garbage(after_fragments=1, count=200, calls=(2,)),  # within a block it may pass for sound
    Report(error_id=5000, after_blocks=50, chance=0.2),
    Report(error_id=4000, after_blocks=90, is_own_document=False, chance=0.2),
    Refuse(error="ServiceUnavailableException", chance=0.2),
    Refuse(error="ConnectionLimitExceededException", chance=0.1),
    Move(chance=0.1),
)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_any_drawn_mischance_is_survived_sample_by_sample(seed: int) -> None:
    oddities = random.Random(seed)
    odd = replace(
        take(300),
        order=oddities.choice((("customer", "agent"), ("agent", "customer"))),
        identity=oddities.choice(("before", "after", "both")),
        untagged=(oddities.randrange(1, 17),),
        anonymous=(oddities.randrange(1, 17),),
    )
    async with emulating(odd, plan=Plan(faults=PLAN, seed=seed)) as (server, _):
        found = await heard(server, patience=CALM)
    ends = {"customer": found.end.customer_end, "agent": found.end.agent_end}
    assert {"customer": noise(300), "agent": noise(300, 2)} == {
        track: pcm[: ends[track] * 2] for track, pcm in found.pcm.items()
    }
    assert [] == found.all(Gap)
