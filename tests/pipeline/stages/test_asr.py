"""One final for each closed segment, in order, whatever the service and the process do."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest

from pipeline.errors import EngineFault, FrameGap
from pipeline.machine import STATE_LIMIT_BYTES, Ask, Failed
from pipeline.stages.asr import Asr, AsrConfig, AsrState, Transcribe, Transcript
from topics.records import AudioFrame, ContactEvent, Record, SegmentWords, SpeechMark, Track, Watermark, Word

pytestmark = pytest.mark.unit

RECORD = 1_536
STREAMING = AsrConfig(streaming=frozenset({"t"}))
SIGNAL = {
    "customer": np.random.default_rng(1).integers(-9_000, 9_000, 400_000).astype("<i2").tobytes(),
    "agent": np.random.default_rng(2).integers(-9_000, 9_000, 400_000).astype("<i2").tobytes(),
}


def _frame(first: int, count: int = RECORD) -> AudioFrame:
    part = slice(2 * first, 2 * (first + count))
    return AudioFrame("t", "c", 1, first, SIGNAL["customer"][part], first, SIGNAL["agent"][part])


def _mark(track: Track, first: int, end: int | None = None) -> SpeechMark:
    return SpeechMark("t", "c", 1, track, first, end)


def _pass(time_ms: int, *, is_end: bool = False) -> Watermark:
    return Watermark("t", "c", 1, time_ms, is_end)


def _script() -> list[Record]:
    """Half a minute in which both talk, one segment is cut, and the last mark comes after the audio's end."""
    marks: list[tuple[int, Record]] = [
        (9_000, _mark("agent", 8_000)),
        (7_680, _pass(960)),
        (31_000, _mark("agent", 8_000, 28_800)),
        (33_000, _mark("customer", 31_232)),
        (60_000, _mark("agent", 57_600)),
        (63_000, _mark("agent", 57_600, 60_500)),
        (63_001, _pass(3_904)),
        (97_000, _mark("customer", 90_112)),  # a cut: the second part opens first
        (97_000, _mark("customer", 31_232, 90_112)),
        (99_840, _pass(11_264)),
        (130_000, _mark("customer", 90_112, 126_400)),
        (138_240, _pass(17_280)),
        (150_000, _mark("agent", 148_992)),
        (199_680, _pass(18_624)),
        (215_040, _mark("agent", 148_992, 213_000)),
    ]
    records: list[Record] = []
    for first in range(0, 215_040, RECORD):
        records.append(_frame(first))
        records += [mark for at, mark in marks if first < at <= first + RECORD and at != 215_040]
    return [*records, _pass(26_880, is_end=True), marks[-1][1], _pass(26_881), _pass(26_880, is_end=True)]


def _hear(request: Transcribe) -> Transcript:
    """Hear a word that depends on every sample, so that other audio shows."""
    length = len(request.pcm) // 2 - (request.end_sample - request.pcm_first_sample)
    post_roll = STREAMING.reach_samples if request.is_cut else STREAMING.post_roll_samples
    assert length == 0 or (length == post_roll and request.is_final)
    text = sha256(request.pcm).hexdigest()[:12]
    return Transcript((Word(text, request.first_sample // 8, request.end_sample // 8),), "test", 0.5)


@dataclass
class Desk:
    """The smallest engine: it asks what the state asks, and answers when told to."""

    asr: Asr = field(default_factory=Asr)
    state: AsrState = field(default_factory=AsrState)
    waiting: dict[str, tuple[Ask, Transcribe]] = field(default_factory=dict)
    out: list[Record] = field(default_factory=list)

    def feed(self, record: Record) -> None:
        self._after(self.asr.on_record(self.state, record))

    def answer(self, ask_id: str, answer: object = None) -> None:
        ask, request = self.waiting.pop(ask_id)
        self._after(self.asr.on_reply(self.state, ask, answer or _hear(request)))

    def answer_all(self) -> None:
        while self.waiting:
            self.answer(next(iter(self.waiting)))

    def _after(self, records: Iterable[Record]) -> None:
        self.out += records
        asks = {ask.ask_id: ask for ask in self.asr.open_asks(self.state)}
        self.waiting = {key: value for key, value in self.waiting.items() if key in asks}
        for ask_id, ask in asks.items():
            if ask_id not in self.waiting:
                self.waiting[ask_id] = (ask, self.asr.request(self.state, ask))

    @property
    def finals(self) -> list[SegmentWords]:
        return [record for record in self.out if isinstance(record, SegmentWords) and record.is_final]

    @property
    def partials(self) -> list[SegmentWords]:
        return [record for record in self.out if isinstance(record, SegmentWords) and not record.is_final]


def _quiet(config: AsrConfig) -> Desk:
    desk = Desk(Asr(config))
    for record in _script():
        desk.feed(record)
        desk.answer_all()
    return desk


QUIET = _quiet(AsrConfig())
END = _pass(26_880, is_end=True)


def test_every_closed_segment_has_one_final_in_closing_order() -> None:
    closed = [(mark.track, mark.first_sample, mark.end_sample) for mark in _script() if isinstance(mark, SpeechMark)]
    expected = [span for span in closed if span[2] is not None]
    assert expected == [(final.track, final.first_sample, final.end_sample) for final in QUIET.finals]


def test_the_end_follows_the_last_final() -> None:
    assert END == QUIET.out[-1]
    assert 1 == QUIET.out.count(END)


def test_a_watermark_passes_no_words_to_come() -> None:
    for place, mark in enumerate(QUIET.out):
        if isinstance(mark, Watermark) and not mark.is_end:
            later = [record for record in QUIET.out[place:] if isinstance(record, SegmentWords)]
            assert all(words.first_sample // 8 - 500 >= mark.time_ms for words in later if words.is_final)


def test_a_partial_comes_each_second_and_never_after_its_final() -> None:
    spans = [(part.first_sample, part.end_sample) for part in QUIET.partials if part.first_sample == 31_232]
    assert [8_000, 16_000] <= [end - first for first, end in spans[:2]]
    assert all(8_000 <= b - a <= 8_000 + 2 * RECORD for (_, a), (_, b) in pairwise(spans))
    closed: set[tuple[str, int]] = set()
    for record in QUIET.out:
        if isinstance(record, SegmentWords):
            assert (record.track, record.first_sample) not in closed
            if record.is_final:
                closed.add((record.track, record.first_sample))


def test_a_cut_segment_has_no_pre_roll_and_says_that_it_is_cut() -> None:
    asked: list[Transcribe] = []
    desk = Desk()
    for record in _script():
        desk.feed(record)
        asked += [request for _, request in desk.waiting.values() if request.is_final]
        desk.answer_all()
    first, second = (request for request in asked if request.track == "customer")
    assert (True, 90_112, None) == (first.is_cut, first.end_sample, first.previous_end_sample)
    assert (31_232 - 2_400, 90_112) == (first.pcm_first_sample, second.pcm_first_sample)
    assert (False, 90_112) == (second.is_cut, second.previous_end_sample)


def test_marks_that_the_audios_end_has_overtaken_are_waited_for() -> None:
    desk = Desk()
    for record in (_frame(0), _frame(RECORD), _pass(384, is_end=True)):
        desk.feed(record)
    assert [] == desk.out
    for mark in (_mark("agent", 800), _mark("agent", 800, 3_000), _pass(385)):
        desk.feed(mark)
    desk.answer_all()
    assert [800] == [final.first_sample for final in desk.finals]
    assert _pass(384, is_end=True) == desk.out[-1]


def test_what_is_missing_before_the_audio_is_silence() -> None:
    desk = Desk()
    for record in (_frame(RECORD), _frame(2 * RECORD), _mark("agent", 2_000), _mark("agent", 2_000, 4_000)):
        desk.feed(record)
    ((_, request),) = desk.waiting.values()
    assert 0 == request.pcm_first_sample
    assert bytes(2 * RECORD) + SIGNAL["agent"][2 * RECORD : 8_000] == request.pcm


def test_an_earlier_segment_is_waited_for() -> None:
    desk = Desk()
    for record in _script():
        desk.feed(record)
    first, *others = [ask_id for ask_id in desk.waiting if ask_id.startswith("final/")]
    for ask_id in others:
        desk.answer(ask_id)
    assert [] == desk.finals
    desk.answer(first)
    assert QUIET.finals == desk.finals


@pytest.mark.parametrize("seed", range(25))
def test_answers_in_any_order_give_the_same_finals(seed: int) -> None:
    rng, desk = random.Random(seed), Desk()
    for record in _script():
        desk.feed(record)
        if rng.random() < 0.2:
            desk.feed(record)
        while desk.waiting and rng.random() < 0.3:
            desk.answer(rng.choice(sorted(desk.waiting)), Failed("busy") if rng.random() < 0.1 else None)
    desk.answer_all()
    given = [final for final in desk.finals if final.asr != "none"]
    assert [final for final in QUIET.finals if final in given] == given
    assert len(QUIET.finals) == len(desk.finals)
    assert END == desk.out[-1]


@pytest.mark.parametrize("config", [AsrConfig(), STREAMING], ids=["by the second", "streaming"])
@pytest.mark.parametrize("seed", range(25))
def test_a_crash_and_a_replay_give_the_same_finals(seed: int, config: AsrConfig) -> None:
    """Crash now and then: the snapshot is old, the outputs since have left, the audio is read again."""
    rng, desk, script = random.Random(seed), Desk(Asr(config)), _script()
    saved, place, crashes = (desk.asr.snapshot(desk.state), 0), 0, 0
    while place < len(script):
        desk.feed(script[place])
        place += 1
        while desk.waiting and rng.random() < 0.3:
            desk.answer(rng.choice(sorted(desk.waiting)))
        if rng.random() < 0.1:
            saved = (desk.asr.snapshot(desk.state), place)
        if rng.random() < 0.03 and crashes < 5:
            crashes += 1
            desk, place = _restart(desk, saved, script)
    desk.answer_all()
    once, expected = {(final.track, final.first_sample): final for final in desk.finals}, _quiet(config).finals
    assert expected == list(once.values())
    assert all(final in expected for final in desk.finals)
    assert END == desk.out[-1]


def _end_ms(frame: AudioFrame) -> int:
    return (frame.customer_first_sample + RECORD) // 8


def _restart(desk: Desk, saved: tuple[bytes, int], script: list[Record]) -> tuple[Desk, int]:
    snapshot, place = saved
    fresh = Desk(desk.asr, desk.asr.restore(snapshot), out=desk.out)
    from_ms = fresh.asr.replay_from_ms(fresh.state)
    for record in script[:place]:
        if isinstance(record, AudioFrame) and from_ms is not None and _end_ms(record) > from_ms:
            fresh.feed(record)
    return fresh, place


def test_the_replay_starts_with_the_pre_roll_of_the_oldest_segment_without_final() -> None:
    desk = Desk()
    for record in (_mark("agent", 8_000), _mark("agent", 8_000, 28_800), _pass(3_904)):
        desk.feed(record)
    assert (8_000 - 2_400) // 8 == desk.asr.replay_from_ms(desk.state)


def test_the_replay_starts_with_the_pre_roll_of_a_segment_to_come() -> None:
    desk = Desk()
    desk.feed(_pass(960))
    assert 960 - 300 == desk.asr.replay_from_ms(desk.state)


def test_nothing_is_replayed_after_the_end() -> None:
    assert QUIET.asr.replay_from_ms(QUIET.state) is None


def test_a_segment_is_asked_when_its_audio_is_here() -> None:
    desk = Desk()
    desk.feed(_mark("agent", 800))
    desk.feed(_mark("agent", 800, 2_000))
    desk.feed(_frame(0))
    assert {} == desk.waiting
    desk.feed(_frame(RECORD))
    assert ["final/agent/800/1"] == list(desk.waiting)


def test_three_failures_make_an_empty_final() -> None:
    desk = Desk()
    for record in (_frame(0), _frame(RECORD), _mark("agent", 800, 2_000)):
        desk.feed(record)
    for attempt in (1, 2, 3):
        assert [f"final/agent/800/{attempt}"] == list(desk.waiting)
        desk.answer(f"final/agent/800/{attempt}", Failed("busy"))
    assert [((), "none", None, "busy")] == [(one.words, one.asr, one.confidence, one.gap) for one in desk.finals]


def test_a_failed_partial_is_not_published() -> None:
    desk = Desk()
    desk.feed(_mark("agent", 800))
    for first in range(0, 10_752, RECORD):
        desk.feed(_frame(first))
    (ask_id,) = desk.waiting
    desk.answer(ask_id, Failed("busy"))
    assert [] == desk.out


def test_a_streaming_recogniser_is_given_each_record_at_once() -> None:
    desk = Desk(Asr(STREAMING))
    desk.feed(_mark("agent", 800))
    for number, first in enumerate(range(0, 10 * RECORD, RECORD), 1):
        desk.feed(_frame(first))
        assert [f"partial/agent/800/{number * RECORD}"] == list(desk.waiting)
        assert all(ask.is_standing for ask, _ in desk.waiting.values())
        if number % 3 == 0:
            desk.answer_all()
            assert {} == desk.waiting  # until there is more audio
    assert [3 * RECORD, 6 * RECORD, 9 * RECORD] == [part.end_sample for part in desk.partials]


def test_a_final_of_a_streaming_recogniser_waits_for_its_post_roll() -> None:
    desk = Desk(Asr(STREAMING))
    for record in (_frame(0), _frame(RECORD), _mark("agent", 800), _mark("agent", 800, 2_000)):
        desk.feed(record)
    assert {} == desk.waiting
    desk.feed(_frame(2 * RECORD))
    ((_, request),) = desk.waiting.values()
    assert (2_000, SIGNAL["agent"][: 2 * 3_200]) == (request.end_sample, request.pcm)


def test_a_streaming_recogniser_hears_the_word_that_is_spoken_at_a_cut() -> None:
    """Also where it has not heard the audio behind the cut before, as its partials did before a restore."""
    desk = Desk(Asr(STREAMING))
    records: list[Record] = [*(_frame(at * RECORD) for at in range(5)), _mark("agent", 800), _mark("agent", 2_300)]
    for record in records:
        desk.feed(record)
    cut = desk.waiting["final/agent/800/1"][1]
    assert (2_300, SIGNAL["agent"][: 2 * (2_300 + STREAMING.reach_samples)]) == (cut.end_sample, cut.pcm)


@pytest.mark.parametrize("passed", [_pass(600), _pass(1_152, is_end=True)])
def test_a_post_roll_that_has_been_heard_is_read_again_after_a_restore(passed: Watermark) -> None:
    desk = Desk(Asr(STREAMING))
    frames = [_frame(at * RECORD) for at in range(6)]
    records: list[Record] = [*frames, _mark("agent", 800, 3_000), passed]
    for record in records:
        desk.feed(record)
    ((_, before),) = desk.waiting.values()
    again = Desk(desk.asr, desk.asr.restore(desk.asr.snapshot(desk.state)))
    for record in frames:
        again.feed(record)
    ((_, request),) = again.waiting.values()
    assert before == request


@pytest.mark.parametrize("passed", [_pass(600), _pass(384, is_end=True)])
def test_a_post_roll_that_never_comes_is_silence(passed: Watermark) -> None:
    desk = Desk(Asr(STREAMING))
    for record in (_frame(0), _frame(RECORD), _mark("agent", 800, 3_000), passed):
        desk.feed(record)
    ((_, request),) = desk.waiting.values()
    assert SIGNAL["agent"][: 4 * RECORD] + bytes(2 * (4_200 - 2 * RECORD)) == request.pcm


def test_the_figures_of_an_answer_leave_with_its_words() -> None:
    desk = Desk()
    for record in (_frame(0), _frame(RECORD), _mark("agent", 800, 2_000)):
        desk.feed(record)
    desk.answer("final/agent/800/1", Transcript((), "test", None, queue_ms=3, provider_ms=250))
    assert [(3, 250)] == [(final.queue_ms, final.provider_ms) for final in desk.finals]


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    asr, state = Asr(), AsrState()
    before = asr.snapshot(state)
    answer = Transcript((), "test", None)
    assert () == asr.on_reply(state, Ask("final/agent/800/1", "asr"), answer)
    assert () == asr.on_reply(state, Ask("partial/agent/None/None", "asr"), answer)
    assert before == asr.snapshot(state)


def test_a_question_that_the_state_does_not_ask_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        Asr().request(AsrState(), Ask("partial/agent/None/None", "asr"))


def test_a_record_of_another_topic_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        Asr().on_record(AsrState(), ContactEvent("t", "c", 1, "started", 0, ""))


def test_a_refused_frame_changes_nothing() -> None:
    desk = Desk()
    desk.feed(_frame(0))
    before = desk.asr.snapshot(desk.state)
    with pytest.raises(FrameGap):
        desk.feed(AudioFrame("t", "c", 1, RECORD, bytes(200), 40_000_000, bytes(200)))
    assert before == desk.asr.snapshot(desk.state)


def test_the_state_stays_small_while_the_service_is_silent() -> None:
    desk, first = Desk(), 0
    for number in range(120):  # a quarter of an hour of segments that nobody answers
        first = number * 64_000
        desk.feed(_mark("agent", first))
        desk.feed(_mark("agent", first, first + 60_000))
    assert STATE_LIMIT_BYTES > len(desk.asr.snapshot(desk.state))


def test_audio_that_nothing_needs_is_forgotten() -> None:
    desk = Desk()
    for first in range(0, 384_000, RECORD):
        desk.feed(_frame(first))
        desk.feed(_pass(first // 8))
    assert desk.state.agent.pcm.end_sample - desk.state.agent.pcm.first_sample <= 2_400 + 3 * RECORD
