"""What a double noted and what stands on the topic, joined by hand."""

import pytest

from bench.asr_times import Load, Times, Written, arrived_ms, lines, measure, releasing, saying, to_socket
from bench.double import Heard, Said
from topics.records import SegmentWords, Track, Word

pytestmark = pytest.mark.unit

RECORD = 1_536  # 192 ms
BEGAN_MS = 1_000_000.0
# Each record arrives 5 ms after its last sample was spoken.
ARRIVALS = [(RECORD * n, BEGAN_MS + 192 * n + 5) for n in range(1, 30)]


def heard(late_ms: float, sample: int, offset: int = 0, connection: int = 1, track: Track | None = "agent") -> Heard:
    """Bytes up to a sample of the connection, so late after the track's sample was spoken."""
    return Heard(connection, BEGAN_MS + (sample + offset) / 8 + late_ms, sample, track, offset)


def words(at_ms: float, first_sample: int, end_sample: int, *ends_ms: int, is_final: bool = False) -> Written:
    said = tuple(Word("so", end - 200, end) for end in ends_ms)
    record = SegmentWords("t", "c", 1, "agent", first_sample, end_sample, is_final, said, "deepgram", 0.9)
    return Written(record, round(BEGAN_MS + at_ms), round(BEGAN_MS + end_sample / 8))


# To the socket


def test_record_is_at_the_socket_with_its_last_sample() -> None:
    reads = [heard(15, 3 * RECORD), heard(16, 4 * RECORD - 500), heard(17, 4 * RECORD)]
    assert [10.0, 12.0] == list(to_socket(ARRIVALS, reads))


def test_audio_from_before_a_segment_was_detected_is_not_late() -> None:
    pre_roll = [heard(700, 1_600, 4_000), heard(700, 3_200, 4_000)]  # ends within records
    assert [25.0] == list(to_socket(ARRIVALS, [*pre_roll, heard(30, 4 * RECORD, 4_000 - 4_000 % RECORD)]))


def test_records_that_were_passed_over_count_until_the_read_that_holds_them() -> None:
    reads = [heard(15, RECORD), heard(15, 4 * RECORD)]
    assert [10.0, 394.0, 202.0, 10.0] == list(to_socket(ARRIVALS, reads))


def test_audio_that_is_sent_again_does_not_count_again() -> None:
    again = [heard(900, 3 * RECORD + 800, -800), heard(15, 4 * RECORD + 800, -800)]
    assert [10.0, 10.0, 10.0] == list(to_socket(ARRIVALS, [heard(15, 2 * RECORD), heard(15, 3 * RECORD), *again]))


# Whose connection


def test_connection_is_of_the_call_that_began_last_before_its_promptest_audio() -> None:
    notes: list[Heard | Said] = [
        heard(900, RECORD),
        heard(20, 2 * RECORD),
        heard(800, 3 * RECORD),
        heard(780, RECORD, connection=2),
    ]
    begins = {"a": BEGAN_MS - 750, "b": BEGAN_MS, "c": BEGAN_MS + 750}
    assert [("b", "agent"), ("c", "agent")] == [line.place for line in lines(notes, begins)]


def test_connection_on_which_nothing_is_recognised_is_nobodys() -> None:
    assert [] == lines([heard(20, RECORD, track=None), Said(1, BEGAN_MS, RECORD, None, False)], {"a": BEGAN_MS})


def test_silence_that_is_not_recognised_says_nothing_of_its_place() -> None:
    notes: list[Heard | Said] = [heard(-500, 1_600, track=None), heard(20, 1_600 + RECORD, -1_600)]
    assert [("c", "agent")] == [line.place for line in lines(notes, {"b": BEGAN_MS - 750, "c": BEGAN_MS})]


# To the topic


def said(at_ms: float, until: int, words_until: int | None = None, *, is_finalize: bool = False) -> Said:
    return Said(1, BEGAN_MS + at_ms, until, words_until, is_finalize)


# The connection's first 8,000 samples are the track's from 8,000 on, the next are those from 24,000 on.
NOTES: list[Heard | Said] = [
    heard(20, 4_000, 8_000),
    heard(20, 8_000, 8_000),
    said(2_300, 8_000, 6_400),
    said(2_310, 8_000, 6_400),
    said(2_600, 8_000, 7_200, is_finalize=True),
    heard(20, 16_000, 16_000),
    said(4_300, 16_000, 12_000),
    said(4_500, 16_000, None),
]
TOPIC = [
    words(2_312, 9_000, 14_000),
    words(2_320, 9_000, 14_000, 1_500, 1_800),
    words(2_330, 9_000, 14_000, 1_500, 1_800),
    words(2_630, 9_000, 15_500, 1_500, 1_900, is_final=True),
    words(4_340, 25_000, 32_000, 3_500),
]


def test_sample_of_the_connection_is_the_tracks_by_the_read_that_brought_it() -> None:
    (only,) = lines(NOTES, {"c": BEGAN_MS})
    assert [15_999, 16_000, 24_001, 32_000] == [only.on_track(sample) for sample in (7_999, 8_000, 8_001, 16_000)]


def test_result_that_says_more_is_on_the_topic_with_the_first_record_that_says_as_much() -> None:
    (only,) = lines(NOTES, {"c": BEGAN_MS})
    found = [(one.at_ms - BEGAN_MS, topic, is_first) for one, topic, is_first in saying(only, TOPIC)]
    assert [(2_300, TOPIC[1], True), (4_300, TOPIC[4], True)] == found


def test_result_that_the_topic_never_says_is_told() -> None:
    (only,) = lines(NOTES, {"c": BEGAN_MS})
    assert [None, None] == [topic for _, topic, _ in saying(only, TOPIC[:1])]


def test_forced_result_lets_the_next_final_go_that_it_covers() -> None:
    (only,) = lines(NOTES, {"c": BEGAN_MS})
    before = words(2_500, 100, 800, 90, is_final=True)
    after = words(2_650, 30_000, 31_000, is_final=True)
    assert [TOPIC[3]] == [final for _, final in releasing(only, [before, after, *TOPIC])]


def test_audio_arrives_with_the_record_that_brings_its_last_sample() -> None:
    assert [ARRIVALS[1][1], ARRIVALS[2][1]] == [arrived_ms(ARRIVALS, 2 * RECORD), arrived_ms(ARRIVALS, 2 * RECORD + 1)]


# All together


def measured(since_ms: float = 0.0) -> Times:
    load = Load({"c": ARRIVALS}, TOPIC, {"c": BEGAN_MS}, 250.0, BEGAN_MS + since_ms)
    return measure(load, NOTES)


def test_figures_of_a_load() -> None:
    times = measured()
    assert [20.0, 40.0] == pytest.approx([times.partial_to_topic.at(0), times.partial_to_topic.at(100)], abs=0.1)
    assert times.final_to_topic.at(100) == pytest.approx(30.0, abs=0.1)
    assert [10] == times.between_ms
    assert (2, 0, 2, 1) == (
        times.first_cursor.count,
        times.next_cursor.count,
        times.first_partial.count,
        times.closing.count,
    )
    # The segment's last sample was spoken at 1,937.5 ms.
    assert times.closing.at(100) == pytest.approx(2_630 - 1_938 - 250, abs=1)
    # The first result ends at the track's sample 16,000, which the record brought that arrived at 2,117 ms.
    assert times.first_cursor.at(0) == pytest.approx(2_320 - 2_117, abs=1)


def test_result_of_a_segment_that_is_closed_is_overtaken_by_its_final() -> None:
    times = measure(Load({"c": ARRIVALS}, TOPIC[3:], {"c": BEGAN_MS}, 250.0, BEGAN_MS), NOTES)
    assert (1, 1, 0) == (times.overtaken, times.partial_to_topic.count, times.unsaid)


def test_what_was_before_is_not_counted() -> None:
    times = measured(4_000.0)
    assert (1, 0, 1, 0) == (
        times.partial_to_topic.count,
        times.final_to_topic.count,
        times.first_partial.count,
        times.closing.count,
    )


def test_partials_are_steady_between_half_a_second_and_one_and_a_half() -> None:
    times = Times(between_ms=[499, 500, 1_500, 1_501, 9_000])
    assert 0.4 == times.steady
    assert {"250": 1, "500": 1, "1500": 2, "4000": 1} == {step: n for step, n in times.histogram().items() if n}
