"""Which legs are listened to, from where, and when one is over."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.errors import EngineFault
from pipeline.machine import STATE_LIMIT_BYTES, Ask, Failed
from pipeline.stages.capture import Capture, CaptureConfig, CaptureState, Heard, Listen
from topics.records import (
    AudioCoverage,
    AudioFrame,
    ContactEvent,
    MediaStarted,
    MissingAudio,
    Record,
    Track,
    Watermark,
)

pytestmark = pytest.mark.unit

TOLD_MS = 1_800_000_000_000
STARTED = MediaStarted("t", "c1", "arn:stream", TOLD_MS, "91")
SECOND = replace(STARTED, contact_id="c2", stream="arn:other")
ENDED = ContactEvent("t", "c1", 0, "ended", 0, "")
NOTHING = Heard((), b"", None)


class Desk:
    """A machine with its state, and the answers that it is given."""

    def __init__(self, config: CaptureConfig | None = None) -> None:
        self.machine = Capture(config) if config else Capture()
        self.state = CaptureState()

    def take(self, *records: Record) -> list[Record]:
        return [told for record in records for told in self.machine.on_record(self.state, record)]

    def asks(self) -> Sequence[Ask]:
        return self.machine.open_asks(self.state)

    def asked(self) -> list[Listen]:
        return [self.machine.request(self.state, ask) for ask in self.asks()]

    def answer(self, answer: object, leg: int = 0) -> list[Record]:
        return list(self.machine.on_reply(self.state, self.asks()[leg], answer))


def heard(until: int, *, agent: int | None = None, over: str = "", missing: tuple[MissingAudio, ...] = ()) -> Heard:
    """Answer with one record that ends at a sample."""
    agent = until if agent is None else agent
    frame = AudioFrame("t", "c1", 0, until - 512, bytes(1_024), agent - 512, bytes(1_024))
    return Heard((frame,), b"place %d" % until, TOLD_MS + 70, missing, over)


def coverage(told: Sequence[Record]) -> list[AudioCoverage]:
    return [record for record in told if isinstance(record, AudioCoverage)]


def marks(told: Sequence[Record]) -> list[tuple[int, bool]]:
    return [(record.time_ms, record.is_end) for record in told if isinstance(record, Watermark)]


def test_leg_whose_audio_flows_is_listened_to_from_its_start() -> None:
    desk = Desk()
    assert [] == desk.take(STARTED)
    assert [Listen("t", "c1", 0, "arn:stream", TOLD_MS, b"", 0)] == desk.asked()


def test_what_is_known_already_changes_nothing() -> None:
    desk = Desk()
    desk.take(STARTED)
    before = desk.asks()
    desk.take(STARTED, replace(STARTED, start_ms=1), ContactEvent("t", "c1", 0, "started", 0, "ann"))
    assert before == desk.asks()


def test_each_answer_opens_the_next_question_at_its_place() -> None:
    desk = Desk()
    desk.take(STARTED)
    first = desk.asks()
    told = desk.answer(heard(1_536))
    assert [AudioFrame, AudioCoverage] == [type(record) for record in told]
    assert first != desk.asks()
    assert [(b"place 1536", 1)] == [(listen.place, listen.number) for listen in desk.asked()]


def test_answer_of_another_life_is_dropped() -> None:
    desk = Desk()
    desk.take(STARTED)
    (stale,) = desk.asks()
    desk.answer(heard(1_536))
    assert () == desk.machine.on_reply(desk.state, stale, heard(9_999))
    assert 1_536 == desk.state.legs[0].customer_sample


def test_failed_answer_asks_again_at_the_same_place() -> None:
    desk = Desk()
    desk.take(STARTED)
    desk.answer(heard(1_536))
    assert [] == desk.answer(Failed("the service raised"))
    assert [(b"place 1536", 2)] == [(listen.place, listen.number) for listen in desk.asked()]


def test_legs_of_a_conversation_are_numbered_as_they_become_known_and_read_side_by_side() -> None:
    desk = Desk()
    desk.take(STARTED, SECOND)
    assert [("c1", 0), ("c2", 1)] == [(listen.contact_id, listen.leg) for listen in desk.asked()]
    desk.answer(heard(1_536), leg=1)
    assert [b"", b"place 1536"] == [listen.place for listen in desk.asked()]


@pytest.mark.parametrize("is_said_first", [True, False])
def test_contact_that_connect_has_ended_is_over_when_nothing_more_comes(is_said_first: bool) -> None:
    desk = Desk()
    both: list[Record] = [ENDED, STARTED] if is_said_first else [STARTED, ENDED]
    desk.take(*both)
    assert [] == marks(desk.answer(heard(1_536)))
    told = desk.answer(replace(heard(2_049), over="no more audio"))
    assert [(257, True)] == marks(told)
    assert [("no more audio", True, 2_049)] == [(one.reason, one.is_end, one.customer_sample) for one in coverage(told)]
    assert [] == desk.asks()


def test_contact_that_another_one_follows_needs_no_word() -> None:
    desk = Desk()
    desk.take(STARTED)
    assert [(192, True)] == marks(desk.answer(heard(1_536, over="other contact")))


def test_quiet_contact_is_listened_to_again_until_it_is_long_quiet() -> None:
    desk = Desk(CaptureConfig(fruitless=3))
    desk.take(STARTED)
    desk.answer(heard(1_536))
    over = replace(NOTHING, place=b"place 1536", start_ms=TOLD_MS, over="idle")
    for answer in (over, over, heard(3_072, over="idle"), over, over):
        assert not any(is_end for _, is_end in marks(desk.answer(answer)))
    assert [(384, True)] == marks(desk.answer(over))


def test_coverage_says_where_audio_time_begins_and_then_what_is_missing() -> None:
    desk = Desk()
    desk.take(STARTED)
    assert [] == coverage(desk.answer(NOTHING))
    (first,) = coverage(desk.answer(heard(1_536)))
    assert (TOLD_MS + 70, (), False) == (first.start_ms, first.missing, first.is_end)
    assert [] == coverage(desk.answer(heard(3_072)))
    holes = MissingAudio("agent", 3_072, 9_216), MissingAudio("customer", 3_072, 9_216)
    (second,) = coverage(desk.answer(heard(10_752, missing=holes[:1])))
    (third,) = coverage(desk.answer(heard(12_288, missing=holes)))
    assert [holes[:1], holes] == [second.missing, third.missing]


def test_quiet_is_told_by_a_watermark_at_the_slower_track() -> None:
    desk = Desk()
    desk.take(STARTED)
    desk.answer(heard(80_000, agent=70_000))
    quiet = replace(NOTHING, start_ms=TOLD_MS)
    assert [(8_750, False)] == marks(desk.answer(quiet))
    assert [] == marks(desk.answer(quiet))


def test_track_that_stays_silent_does_not_hold_the_other_up() -> None:
    desk = Desk()
    desk.take(STARTED)
    told = [mark for until in range(8_000, 120_000, 4_000) for mark in marks(desk.answer(heard(until, agent=512)))]
    assert [(time_ms, False) for time_ms in range(1_000, 10_000, 1_000)] == told


def test_state_of_a_long_conversation_stays_small() -> None:
    desk = Desk()
    tracks: tuple[Track, ...] = ("customer", "agent")
    for number in range(8):
        desk.take(replace(STARTED, contact_id=f"00000000-0000-4000-8000-{number:012}"))
    for number in range(400):
        missing = MissingAudio(tracks[number % 2], 10_000 * number, 10_000 * number + 5_000)
        desk.answer(heard(10_000 * number + 6_000, missing=(missing,)))
    assert 200 == len(desk.state.legs[0].missing)
    assert 3_995_000 == max(one.end_sample for one in desk.state.legs[0].missing)
    assert STATE_LIMIT_BYTES > len(desk.machine.snapshot(desk.state))


def test_restored_state_asks_the_same() -> None:
    desk = Desk()
    desk.take(STARTED, SECOND)
    desk.answer(heard(1_536, missing=(MissingAudio("agent", 0, 512),)))
    asked = desk.asked()
    desk.state = desk.machine.restore(desk.machine.snapshot(desk.state))
    assert asked == desk.asked()


def test_record_of_another_topic_is_a_fault_of_the_engine() -> None:
    with pytest.raises(EngineFault):
        Desk().take(Watermark("t", "c1", 0, 0, is_end=False))
