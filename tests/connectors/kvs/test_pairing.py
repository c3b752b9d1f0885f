"""Pieces of two tracks as audio records, whatever comes late, short or never."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from connectors.files import FRAME_SAMPLES
from connectors.kvs.pairing import WAIT_S, Pairing
from topics.records import TRACKS, AudioFrame, Track

pytestmark = pytest.mark.unit

BLOCK = 512  # samples, 64 ms
SIGNAL: dict[Track, bytes] = {
    track: np.random.default_rng(n).integers(-9_000, 9_000, 60 * BLOCK, np.int16).tobytes()
    for n, track in enumerate(TRACKS)
}


def block(track: Track, number: int) -> tuple[int, bytes]:
    first = number * BLOCK
    return first, SIGNAL[track][2 * first : 2 * (first + BLOCK)]


def pairing() -> Pairing:
    return Pairing("t", "c", 1)


def firsts(records: Iterator[AudioFrame]) -> list[tuple[int, int, int, int]]:
    """Name each record by first sample and length of both tracks, customer first."""
    return [
        (one.customer_first_sample, len(one.customer_pcm) // 2, one.agent_first_sample, len(one.agent_pcm) // 2)
        for one in records
    ]


def test_record_leaves_with_the_last_block_of_its_slower_track() -> None:
    made = pairing()
    for number in range(3):
        made.add("agent", *block("agent", number), 0.0)
        made.add("customer", *block("customer", number), 0.0)
        assert (number == 2) == bool(leaving := firsts(made.records(0.0)))
    assert [(0, FRAME_SAMPLES, 0, FRAME_SAMPLES)] == leaving
    assert made.due_s is None


def test_record_waits_a_block_for_the_slower_track_which_then_follows() -> None:
    made = pairing()
    for number in range(3):
        made.add("agent", *block("agent", number), 1.0)
    assert [] == firsts(made.records(1.0 + 0.9 * WAIT_S))
    assert 1.0 + WAIT_S == made.due_s
    assert [(0, 0, 0, FRAME_SAMPLES)] == firsts(made.records(1.0 + WAIT_S))
    for number in range(3, 6):
        made.add("agent", *block("agent", number), 1.1)
    for number in range(6):
        made.add("customer", *block("customer", number), 1.1)
    assert [(0, FRAME_SAMPLES, FRAME_SAMPLES, FRAME_SAMPLES), (FRAME_SAMPLES, FRAME_SAMPLES, 2 * FRAME_SAMPLES, 0)] == (
        firsts(made.records(1.1))
    )


def test_track_that_is_away_is_waited_for_once_not_for_each_record() -> None:
    """A burst, as in catch-up, keeps its speed."""
    made = pairing()
    for number in range(30):
        made.add("agent", *block("agent", number), 1.0)
    assert 10 == len(firsts(made.records(1.0 + WAIT_S)))


def test_hole_ends_a_run_and_is_not_filled() -> None:
    made = pairing()
    for number in (0, 2, 3, 4, 5):
        made.add("agent", *block("agent", number), 0.0)
        made.add("customer", *block("customer", number), 0.0)
    assert [
        (0, BLOCK, 0, BLOCK),
        (2 * BLOCK, BLOCK, 2 * BLOCK, BLOCK),
        (3 * BLOCK, 3 * BLOCK, 3 * BLOCK, 3 * BLOCK),
    ] == (firsts(made.records(0.0)))


def test_hole_of_an_hour_costs_nothing() -> None:
    made = pairing()
    for track in TRACKS:
        made.add(track, *block(track, 0), 0.0)
        made.add(track, 3_600 * 8_000, block(track, 1)[1], 0.0)
    assert [(0, BLOCK, 0, BLOCK)] == firsts(made.records(0.0))
    assert 1 == len(firsts(made.rest()))


@pytest.mark.parametrize("seed", range(200))
def test_every_sample_leaves_once_and_soon(seed: int) -> None:
    """Blocks are late, short, missing or said twice, and the tracks drift apart."""
    rng = random.Random(seed)
    arrivals = []
    for track in TRACKS:
        at_s = 0.0
        for number in range(60):
            at_s = max(at_s, (number + 1) * 0.064 + rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 0.5))))
            first, data = block(track, number)
            if rng.random() < 0.05:
                continue
            data = data[: 2 * rng.randint(1, BLOCK)] if rng.random() < 0.05 else data
            arrivals += [(at_s, track, first, data)] * rng.choice((1, 1, 1, 2))
    arrivals.sort(key=lambda one: (one[0], one[2]))
    made, sent, truth = pairing(), list[tuple[float, AudioFrame]](), dict[Track, dict[int, bytes]]()
    for now_s, track, first, data in arrivals:
        while (due_s := made.due_s) is not None and due_s <= now_s:
            sent += [(due_s, one) for one in made.records(due_s)]
        made.add(track, first, data, now_s)
        truth.setdefault(track, {})[first] = data
        sent += [(now_s, one) for one in made.records(now_s)]
    sent += [(arrivals[-1][0], one) for one in made.rest()]
    for track in TRACKS:
        heard = bytearray(len(SIGNAL[track]))
        until = 0
        for _, one in sent:
            first, data = one.track(track)
            if data:
                assert until <= first
                assert len(data) <= 2 * FRAME_SAMPLES
                heard[2 * first : 2 * first + len(data)] = data
                until = first + len(data) // 2
        expected = bytearray(len(SIGNAL[track]))
        for first, data in truth[track].items():
            expected[2 * first : 2 * first + len(data)] = data
        assert expected == heard
