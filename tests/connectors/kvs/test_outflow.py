"""What leaves in which order, and the place behind it, whatever the archive finds."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from connectors.kvs.facts import Checkpoint, Fact, FragmentDone, Gap, GapFound, Piece, Retracted, Settled
from connectors.kvs.outflow import Outflow
from connectors.kvs.pairing import WAIT_S
from tests.connectors.kvs.taken import Taken
from topics.records import TRACKS, MissingAudio, Track

pytestmark = pytest.mark.unit

BLOCK = 512
SIGNAL: dict[Track, bytes] = {
    track: np.random.default_rng(n).integers(-9_000, 9_000, 160 * BLOCK, np.int16).tobytes()
    for n, track in enumerate(TRACKS)
}
LATER_S = 10 * WAIT_S


def piece(track: Track, number: int, *, is_late: bool = False) -> Piece:
    first = number * BLOCK
    return Piece(track, first, SIGNAL[track][2 * first : 2 * (first + BLOCK)], is_late)


def pieces(start: int, end: int, tracks: Sequence[Track] = TRACKS) -> list[Fact]:
    return [piece(track, number) for number in range(start, end) for track in tracks]


def done(number: int, customer: int, agent: int) -> FragmentDone:
    checkpoint = Checkpoint(str(number), 1_800_000_000_000, customer * BLOCK, agent * BLOCK, None)
    return FragmentDone(str(number), 0, 64 * max(customer, agent), 2, 0, checkpoint)


def outflow(checkpoint: Checkpoint | None = None, firsts: tuple[int, int] = (0, 0)) -> Outflow:
    return Outflow("t", "c", 0, checkpoint, firsts)


def left(flow: Outflow, now_s: float = LATER_S) -> Taken:
    return Taken.of(flow.frames(now_s))


def test_place_is_told_once_everything_before_it_has_left() -> None:
    flow = outflow()
    flow.take([*pieces(0, 16), done(1, 16, 16)], 0.0)
    assert flow.checkpoint(*left(flow, 0.0).ends) is None
    flow.take(pieces(16, 18), 1.0)
    assert flow.checkpoint(*left(flow, 1.0).ends) == done(1, 16, 16).checkpoint


def test_track_waits_at_a_hole_while_the_other_goes_on() -> None:
    flow = outflow()
    flow.take(pieces(0, 6), 0.0)
    flow.take([*pieces(6, 12, ["customer"]), piece("agent", 12), GapFound("agent", 6 * BLOCK, 12 * BLOCK)], 0.0)
    flow.take([*pieces(12, 15, ["customer"]), *pieces(13, 15, ["agent"]), done(1, 15, 15)], 0.0)
    assert (15 * BLOCK, 6 * BLOCK) == left(flow).ends
    assert flow.checkpoint(15 * BLOCK, 6 * BLOCK) is None
    for number in (9, 7, 6, 8, 10, 11):
        flow.take([piece("agent", number, is_late=True)], LATER_S)
    flow.take(pieces(15, 18), LATER_S)
    taken = left(flow, LATER_S)
    assert SIGNAL["agent"][2 * 6 * BLOCK : 2 * 18 * BLOCK] == taken.pcm["agent"][2 * 6 * BLOCK :]
    assert flow.checkpoint(*taken.ends) == done(1, 15, 15).checkpoint


def test_hole_that_stays_is_told_and_what_waited_behind_it_leaves() -> None:
    flow = outflow()
    flow.take([*pieces(0, 6), piece("agent", 12), GapFound("agent", 6 * BLOCK, 12 * BLOCK)], 0.0)
    flow.take([piece("agent", 8, is_late=True)], 0.0)
    assert () == flow.missing()
    assert (6 * BLOCK, 6 * BLOCK) == left(flow).ends
    flow.take([Gap("agent", 6 * BLOCK, 8 * BLOCK), Gap("agent", 9 * BLOCK, 12 * BLOCK)], LATER_S)
    taken = Taken.of(flow.rest())
    assert [(8 * BLOCK, 9 * BLOCK), (12 * BLOCK, 13 * BLOCK)] == taken.ranges("agent")
    expected = MissingAudio("agent", 6 * BLOCK, 8 * BLOCK), MissingAudio("agent", 9 * BLOCK, 12 * BLOCK)
    assert expected == flow.missing()
    assert () == flow.missing()


def test_audio_of_another_contact_that_has_not_left_never_does() -> None:
    flow = outflow()
    flow.take(pieces(0, 5), 0.0)
    flow.take([Retracted(track, 2 * BLOCK + 100) for track in TRACKS], 0.0)
    taken = Taken.of(flow.rest())
    assert {track: SIGNAL[track][: 2 * (2 * BLOCK + 100)] for track in TRACKS} == taken.pcm


def test_it_goes_on_at_a_checkpoint_and_lets_nothing_go_again() -> None:
    place = Checkpoint("7", 1_800_000_000_000, 7 * BLOCK, 8 * BLOCK, None)
    flow = outflow(place, (9 * BLOCK, 8 * BLOCK))
    assert place == flow.checkpoint(9 * BLOCK, 8 * BLOCK)
    flow.take([piece("customer", 7), *pieces(8, 20)], 0.0)
    taken = left(flow)
    assert [(9 * BLOCK, 18 * BLOCK)] == taken.ranges("customer")
    assert [(8 * BLOCK, 18 * BLOCK)] == taken.ranges("agent")


def test_what_waits_is_counted() -> None:
    flow = outflow()
    flow.take([*pieces(0, 3), piece("agent", 12), GapFound("agent", 3 * BLOCK, 12 * BLOCK)], 0.0)
    assert 4 * 64 == flow.waiting_ms
    left(flow)
    assert 64 == flow.waiting_ms


@pytest.mark.parametrize("seed", range(200))
def test_holes_in_any_order_leave_each_track_in_order(seed: int) -> None:
    """Blocks are lost, and later found or given up, in any order; what is found arrives, and each once."""
    draw = random.Random(seed)
    flow, taken, lost, open_holes = outflow(), Taken(), set[tuple[Track, int]](), list[tuple[Track, int, int]]()
    upto: dict[Track, int] = dict.fromkeys(TRACKS, 0)
    now_s = 0.0

    def settle() -> None:
        track, start, end = open_holes.pop(draw.randrange(len(open_holes)))
        for number in draw.sample(range(start, end), end - start):
            if draw.random() < 0.5:
                flow.take([piece(track, number, is_late=True)], now_s)
            else:
                lost.add((track, number))
        gone = [Gap(track, n * BLOCK, (n + 1) * BLOCK) for n in range(start, end) if (track, n) in lost]
        flow.take(gone, now_s)

    while max(upto.values()) < 150:
        now_s += draw.choice((0.0, 0.01, 0.1))
        track = draw.choice(TRACKS)
        start = upto[track]
        end = start if draw.random() < 0.9 else start + draw.randrange(3, 8)
        told: list[Fact] = [piece(track, end)]
        if end > start:
            told.append(GapFound(track, start * BLOCK, end * BLOCK))
            open_holes.append((track, start, end))
        flow.take(told, now_s)
        upto[track] = end + 1
        if open_holes and draw.random() < 0.2:
            settle()
        taken.take(flow.frames(now_s))
    while open_holes:
        settle()
    taken.take(flow.rest())
    for track in TRACKS:
        expected = bytearray(SIGNAL[track][: upto[track] * BLOCK * 2])
        for number in [number for whose, number in lost if whose == track]:
            expected[number * BLOCK * 2 : (number + 1) * BLOCK * 2] = bytes(BLOCK * 2)
        assert bytes(expected) == taken.pcm[track]
        assert [*taken.ranges(track)] == sorted(taken.ranges(track))
    assert 0 == taken.repeated


def test_hole_that_nobody_looks_for_any_more_holds_nothing_up() -> None:
    flow = outflow()
    flow.take([*pieces(0, 6), piece("agent", 12), GapFound("agent", 6 * BLOCK, 12 * BLOCK)], 0.0)
    flow.take([Settled("agent", 6 * BLOCK, 12 * BLOCK)], 0.0)
    assert [(0, 6 * BLOCK), (12 * BLOCK, 13 * BLOCK)] == Taken.of(flow.rest()).ranges("agent")
