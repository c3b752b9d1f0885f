"""When an audio record was processed for the first time, from marks that come late, twice or only in part."""

import pytest

from bench.failover import first_times
from topics.records import Record, SpeechMark, Watermark

pytestmark = pytest.mark.unit


def reached(time_ms: int) -> Watermark:
    return Watermark("t", "c", 1, time_ms, is_end=False)


def mark(first_sample: int, end_sample: int | None = None) -> SpeechMark:
    return SpeechMark("t", "c", 1, "agent", first_sample, end_sample)


QUIET: list[tuple[float, Record]] = [(1.0, reached(960)), (1.5, mark(8_000)), (2.5, mark(8_000, 16_000))]


def test_what_comes_again_counts_once() -> None:
    written: list[tuple[float, Record]] = [(11.0, reached(960)), (11.5, mark(8_000)), (12.5, mark(8_000, 16_000))]
    again = [(at_s + 60, record) for at_s, record in written]
    assert [(1.0, 11.0), (1.5, 11.5), (2.5, 12.5)] == list(first_times(QUIET, [*written, *again]))


def test_the_latest_alone_says_what_came_before() -> None:
    written: list[tuple[float, Record]] = [(13.0, mark(8_000, 16_000)), (13.1, reached(2_880))]
    assert [(1.0, 13.1), (1.5, 13.0), (2.5, 13.0)] == list(first_times(QUIET, written))


def test_a_later_end_is_not_an_earlier_one() -> None:
    assert [(1.0, None), (1.5, 13.0), (2.5, None)] == list(
        first_times(QUIET, [(13.0, mark(8_000)), (13.1, reached(480))])
    )
