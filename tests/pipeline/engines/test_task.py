"""A task over tiny machines: what it promises whatever the stages do."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from pipeline.engines import contacts
from pipeline.engines.contacts import GIVE_UP_MS, QUIET_MS, STEP_LIMIT_MS
from pipeline.engines.effects import Checkpoint, Effects, Input, Output
from pipeline.engines.revisions import REVISIONS_PER_EPOCH
from pipeline.engines.task import NAME_ROW, Task, read_until
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Ask, Machine
from pipeline.topology import Stage, group_of
from topics.catalogue import DAY_MS
from topics.records import (
    AudioFrame,
    AudioRedaction,
    DecidedUntil,
    GuidanceDraft,
    GuidanceRequest,
    Moments,
    Record,
    SegmentWords,
    SpeechMark,
    Turn,
    Watermark,
)

pytestmark = pytest.mark.unit

KEY = b"t|c"


def words(first_sample: int, text: str = "", *, is_final: bool = True, contact: str = "c") -> SegmentWords:
    return SegmentWords(
        "t", contact, 1, "agent", first_sample, first_sample + 80, is_final, (), text or "a", None, rev=1
    )


@dataclass(slots=True)
class Count:
    seen: int = 0


class Transcriber(Machine[Count]):
    """Words to turns; each turn says how many came before it. Refuses the ASR named `poison`."""

    state = Count

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        if isinstance(record, Watermark):
            return (record,)
        assert isinstance(record, SegmentWords)
        if record.asr == "poison":
            raise RecordRefused("poison")
        state.seen += 1
        at = record.first_sample
        return (
            Turn(
                "t", record.contact_id, state.seen, f"turn/{at}", "agent", "agent", at, at, True, (), record.asr, None
            ),
        )


class Spotter(Machine[Count]):
    """Turns to moments, two records each; refuses the turn of the ASR named `late poison`."""

    state = Count

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        if not isinstance(record, Turn):
            return ()
        if record.asr == "late poison":
            raise ValueError("a bug")
        state.seen += 1
        return (
            Moments("t", record.contact_id, state.seen, record.turn_id, 0, ()),
            GuidanceRequest("t", record.contact_id, state.seen, record.turn_id, ()),
        )


class Drafter(Machine[Count]):
    """Requests to drafts."""

    state = Count

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        assert isinstance(record, GuidanceRequest)
        state.seen += 1
        return (GuidanceDraft("t", record.contact_id, state.seen, record.cause_id, ()),)


@dataclass(slots=True)
class Waiting:
    open: list[str] = field(default_factory=list)
    floor_ms: int = 0
    is_ended: bool = False


class Asker(Machine[Waiting]):
    """Asks one question per partial, withdraws all at a final, emits the answer; keeps audio of the last second."""

    state = Waiting

    def on_record(self, state: Waiting, record: Record) -> Sequence[Record]:
        match record:
            case AudioFrame():
                state.floor_ms = max(state.floor_ms, record.customer_first_sample // 8 - 1_000)
            case SpeechMark(end_sample=None):
                state.open.append(str(record.first_sample))
            case SpeechMark():
                state.open.clear()
            case Watermark(is_end=True):
                state.is_ended = True
        return ()

    def on_reply(self, state: Waiting, ask: Ask, answer: object) -> Sequence[Record]:
        state.open.remove(ask.ask_id)
        return (words(int(ask.ask_id), str(answer)),)

    def open_asks(self, state: Waiting) -> Sequence[Ask]:
        return tuple(Ask(name, "oracle") for name in state.open)

    def request(self, state: Waiting, ask: Ask) -> object:
        return ask.ask_id

    def replay_from_ms(self, state: Waiting) -> int | None:
        return None if state.is_ended else state.floor_ms


class Liar(Machine[Count]):
    """Writes a topic that its row does not name."""

    state = Count

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        return (SpeechMark("t", "c", 1, "agent", 0, None),)


TEXT = (
    Stage("transcriber", "text", ("transcript.words",), ("transcript.raw",), Transcriber),
    Stage("spotter", "text", ("transcript.raw",), ("moments", "guidance.requests"), Spotter),
    Stage("drafter", "text", ("guidance.requests",), ("guidance.drafts",), Drafter),
)
VOICE = (Stage("asker", "voice", ("audio.frames", "speech.marks"), ("transcript.words",), Asker, services=("oracle",)),)


def task_of(
    stages: tuple[Stage, ...], rows: dict[bytes, bytes] | None = None, *, epoch: int = 1, is_live: bool = True
) -> Task:
    group = group_of(stages[0].group, stages)
    task = Task(group, {stage.name: stage.machine() for stage in stages}, epoch, dict.fromkeys(group.inputs, 0))
    for row, value in (rows or {}).items():
        task.restore(row, value)
    if is_live:
        assert not task.release()
    return task


def rows_of(task: Task) -> dict[bytes, bytes]:
    return values(task.checkpoint())


def values(copied: Checkpoint) -> dict[bytes, bytes]:
    return {row: value for row, value in copied.rows if value is not None}


def feed(
    task: Task, record: Record, offset: int, topic: str = "transcript.words", at_ms: int = 0, key: bytes = KEY
) -> Effects:
    return task.feed(Input(topic, offset, key, record, at_ms))


def names(outputs: Sequence[Output]) -> list[tuple[str, int]]:
    return [(output.topic, rev_of(output.record) % REVISIONS_PER_EPOCH) for output in outputs]


def rev_of(record: Record) -> int:
    assert hasattr(record, "rev")
    return int(record.rev)


def test_a_record_runs_through_the_whole_chain_breadth_first() -> None:
    outputs = feed(task_of(TEXT), words(0), 0).outputs
    assert ["transcript.raw", "moments", "guidance.requests", "guidance.drafts"] == [one.topic for one in outputs]
    assert {KEY} == {one.key for one in outputs}


def test_revisions_count_per_contact_and_stage_above_the_epoch() -> None:
    task = task_of(TEXT, epoch=3)
    first, second = feed(task, words(0), 0).outputs, feed(task, words(80), 1).outputs
    assert [("transcript.raw", 1), ("moments", 1), ("guidance.requests", 2), ("guidance.drafts", 1)] == names(first)
    assert [("transcript.raw", 2), ("moments", 3), ("guidance.requests", 4), ("guidance.drafts", 2)] == names(second)
    assert {3} == {rev_of(one.record) // REVISIONS_PER_EPOCH for one in (*first, *second)}
    other = feed(task, words(0), 2, key=b"t|d").outputs
    assert names(first) == names(other)


def test_revisions_go_on_after_a_restore_even_if_the_epoch_was_lost() -> None:
    task = task_of(TEXT, epoch=7)
    before = feed(task, words(0), 0).outputs[0].record
    rows = rows_of(task)
    later = feed(task_of(TEXT, rows, epoch=8), words(80), 1).outputs[0].record
    lost = feed(task_of(TEXT, rows, epoch=1), words(80), 1).outputs[0].record
    assert [True, True] == [rev_of(before) < rev_of(after) for after in (later, lost)]
    assert 8 == rev_of(later) // REVISIONS_PER_EPOCH


def test_a_stage_may_write_its_own_topics_alone() -> None:
    task = task_of((Stage("liar", "text", ("transcript.words",), ("transcript.raw",), Liar),))
    with pytest.raises(EngineFault):
        feed(task, words(0), 0)


def mark(first_sample: int, end_sample: int | None = None) -> SpeechMark:
    return SpeechMark("t", "c", 1, "agent", first_sample, end_sample, rev=1)


def asks(effects: Effects) -> list[str]:
    return [question.ask.ask_id for question in effects.questions]


def test_questions_open_once_and_their_answer_goes_down_the_chain() -> None:
    task = task_of(VOICE)
    opened = feed(task, mark(0), 0, "speech.marks")
    assert ["0"] == asks(opened)
    assert [] == asks(feed(task, Watermark("t", "c", 1, 5, False), 1, "speech.marks"))
    question = opened.questions[0]
    assert ("asker", "0") == (question.stage, question.request)
    answered = task.reply(question.stage, question.key, question.ask, "hello")
    assert [words(0, "hello").identity] == [output.record.identity for output in answered.outputs]


def test_an_answer_nobody_waits_for_changes_nothing() -> None:
    task = task_of(VOICE)
    question = feed(task, mark(0), 0, "speech.marks").questions[0]
    withdrawn = feed(task, mark(0, 80), 1, "speech.marks")
    assert [("asker", KEY, "0")] == withdrawn.withdrawn
    task.checkpoint()
    late = task.reply(question.stage, question.key, question.ask, "late")
    unknown = task.reply(question.stage, b"t|nobody", question.ask, "late")
    assert [Effects(), Effects()] == [late, unknown]
    assert not task.has_moved
    assert 1 == task.contacts


def test_restored_states_ask_again() -> None:
    task = task_of(VOICE)
    feed(task, mark(0), 0, "speech.marks")
    feed(task, mark(80), 1, "speech.marks")
    again = task_of(VOICE, rows_of(task), epoch=2).resume()
    assert ["0", "80"] == asks(again)


def test_outputs_are_held_until_release_and_the_latest_of_each_identity_leaves() -> None:
    task = task_of(TEXT, is_live=False)
    held = [*feed(task, words(0), 0).outputs, *feed(task, words(80), 1).outputs, *feed(task, words(0), 2).outputs]
    assert [] == held
    released = task.release()
    raw = [output.record for output in released if output.topic == "transcript.raw"]
    assert [("turn/0", 3), ("turn/80", 2)] == [
        (turn.turn_id, rev_of(turn) % REVISIONS_PER_EPOCH) for turn in raw if isinstance(turn, Turn)
    ]
    assert feed(task, words(160), 3).outputs


class Decider(Machine[Count]):
    """Answers a turn whose ASR is `decide` with a decided-until, every other one with its redaction."""

    state = Count

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        assert isinstance(record, Turn)
        if record.asr == "decide":
            return (DecidedUntil("t", "c", 1, record.first_sample, record.first_sample, is_end=False),)
        return (AudioRedaction("t", "c", 1, record.turn_id, ()),)


@pytest.mark.parametrize(
    ("written", "released"),
    [(["a", "decide", "a"], ["a", "decide"]), (["decide", "a", "decide"], ["a", "decide"])],
    ids=["a revision after the promise", "a promise on either side"],
)
def test_a_promise_about_what_came_before_is_never_released_first(written: list[str], released: list[str]) -> None:
    """A decided-until that overtakes a redaction would let the archive store what it covers."""
    task = task_of((Stage("d", "text", ("transcript.raw",), ("audio.redactions",), Decider),), is_live=False)
    for offset, asr in enumerate(written):
        turn = Turn("t", "c", 1, asr, "agent", "agent", offset, 80, True, (), asr, None)
        feed(task, turn, offset, "transcript.raw")
    kinds = {AudioRedaction: "a", DecidedUntil: "decide"}
    assert released == [kinds[type(output.record)] for output in task.release()]


def test_contacts_of_one_id_and_two_tenants_are_both_released() -> None:
    task = task_of(TEXT, is_live=False)
    feed(task, words(0), 0)
    feed(task, words(0), 1, key=b"u|c")
    assert {KEY, b"u|c"} == {output.key for output in task.release()}


def test_no_checkpoint_before_release() -> None:
    task = task_of(TEXT, is_live=False)
    feed(task, words(0), 0)
    with pytest.raises(EngineFault):
        task.checkpoint()


def test_a_checkpoint_holds_what_changed_and_its_name() -> None:
    task = task_of(TEXT, epoch=2)
    feed(task, words(0), 4)
    first = task.checkpoint()
    assert ["checkpoint\0", "drafter\0t|c", "spotter\0t|c", "transcriber\0t|c"] == sorted(
        row.decode() for row, _ in first.rows
    )
    assert {"transcript.words": 5} == first.offsets
    assert ("2.1@5", b"2.1@5") == (first.name, dict(first.rows)[NAME_ROW])
    assert 5 == read_until(first.name)
    assert not task.has_moved
    task.skip("transcript.words", 5)
    assert [NAME_ROW] == [row for row, _ in task.checkpoint().rows]


def test_a_refused_checkpoint_belongs_to_the_next_one() -> None:
    task = task_of(TEXT)
    feed(task, words(0), 0)
    refused = task.checkpoint()
    task.keep(refused)
    assert task.has_moved
    feed(task, words(80, contact="d"), 1, key=b"t|d")
    rows = {row for row, _ in task.checkpoint().rows}
    assert {row for row, _ in refused.rows} < rows
    assert b"spotter\0t|d" in rows


def frame(at_ms: int, contact: str = "c") -> AudioFrame:
    return AudioFrame("t", contact, 1, at_ms * 8, b"\0" * 1_600, at_ms * 8, b"\0" * 1_600)


def test_audio_that_may_be_needed_again_holds_the_resume_offset_back() -> None:
    task = task_of(VOICE)
    for offset in range(30):
        feed(task, frame(offset * 100), offset, "audio.frames")
    feed(task, mark(0), 7, "speech.marks")
    assert {"audio.frames": 19, "speech.marks": 8} == task.checkpoint().offsets
    feed(task, Watermark("t", "c", 1, 3_000, True), 30, "audio.frames")
    assert 31 == task.checkpoint().offsets["audio.frames"]


def test_a_frame_that_ends_within_the_needed_millisecond_is_kept() -> None:
    task = task_of(VOICE)
    odd = AudioFrame("t", "c", 1, 0, b"\0" * (2 * 79), 0, b"")
    feed(task, odd, 0, "audio.frames")
    feed(task, AudioFrame("t", "c", 1, 8_075, b"", 0, b""), 1, "audio.frames")  # needed from sample 75: 9 ms
    assert 0 == task.checkpoint().offsets["audio.frames"]


def test_a_refusal_shuts_the_contact_and_no_other() -> None:
    task = task_of(TEXT)
    refused = feed(task, words(0, "poison"), 0)
    follower = feed(task, words(80), 1)
    assert [RecordRefused, RecordRefused] == [type(refused.refusal), type(follower.refusal)]
    assert [[], []] == [refused.outputs, follower.outputs]
    assert 4 == len(feed(task, words(0), 2, key=b"t|d").outputs)
    assert 3 == task.positions["transcript.words"]


def test_legs_of_a_conversation_have_states_of_their_own_and_one_key() -> None:
    task = task_of(TEXT)
    first = feed(task, words(0), 0).outputs
    second = feed(task, words(0, contact="later"), 1).outputs
    assert {KEY} == {output.key for output in (*first, *second)}
    assert [record.leg for record in (first[0].record, second[0].record) if isinstance(record, Turn)] == [1, 1]
    feed(task, words(80, "poison", contact="later"), 2)
    assert feed(task, words(80), 3).outputs
    again = task_of(TEXT, rows_of(task), epoch=2)
    assert [None, "RecordRefused"] == [
        refusal and type(refusal).__name__
        for refusal in (feed(again, words(160, contact=leg), n).refusal for n, leg in enumerate(("c", "later")))
    ]


def test_stage_of_the_conversation_has_one_state_for_all_legs() -> None:
    task = task_of(tuple(replace(stage, keyed_by="conversation") for stage in TEXT))
    for n, leg in enumerate(("c", "later")):
        (turn,) = [one.record for one in feed(task, words(0, contact=leg), n).outputs if isinstance(one.record, Turn)]
        assert n + 1 == turn.leg


class Listener(Machine[Count]):
    """Waits for news for ever, from a contact's first record on; records of one that is over are no loss."""

    state = Count
    drops_late = (AudioFrame,)

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        state.seen = max(state.seen, 1)
        return ()

    def on_reply(self, state: Count, ask: Ask, answer: object) -> Sequence[Record]:
        state.seen += 1
        return (words(state.seen, str(answer)),)

    def open_asks(self, state: Count) -> Sequence[Ask]:
        return (Ask(str(state.seen), "oracle", is_standing=True),)

    def request(self, state: Count, ask: Ask) -> object:
        return ask.ask_id


EAR = (Stage("ear", "ear", ("audio.frames",), ("transcript.words",), Listener, services=("oracle",)),)


def test_what_a_standing_question_brings_has_no_record_as_its_cause() -> None:
    task = task_of(EAR)
    (question,) = feed(task, frame(0), 0, "audio.frames", at_ms=77).questions
    answered = task.reply("ear", KEY, question.ask, "news")
    assert [0] == [output.cause_ms for output in answered.outputs]
    assert [("2", 0)] == [(one.ask.ask_id, one.cause_ms) for one in answered.questions]


def test_answers_keep_a_contact_from_being_over() -> None:
    task = task_of(EAR)
    (question,) = feed(task, frame(0), 0, "audio.frames", at_ms=1_000).questions
    for n in range(1, 2 * QUIET_MS // STEP_LIMIT_MS):
        feed(task, frame(0, "other"), n, "audio.frames", at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
        (question,) = task.reply("ear", KEY, question.ask, "news").questions
    task.checkpoint()
    assert 2 == task.contacts


def test_contact_may_be_silent_for_hours_in_a_group_that_does_not_hear_its_audio() -> None:
    """Its caller waits in a queue, or is called back."""
    task = task_of(TEXT)
    feed(task, words(0), 0, at_ms=1_000)
    for n in range(1, 2 * QUIET_MS // STEP_LIMIT_MS):
        feed(task, words(n, contact="other"), n, at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
    task.checkpoint()
    assert feed(task, words(80), 9_999).outputs


def test_late_record_of_a_contact_that_is_over_is_dropped_where_it_is_no_loss() -> None:
    task = task_of(EAR)
    feed(task, frame(0), 0, "audio.frames", at_ms=1_000)
    for n in range(1, QUIET_MS // STEP_LIMIT_MS + 2):
        feed(task, frame(0, "other"), n, "audio.frames", at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
    task.checkpoint()
    late = feed(task, frame(0), 9_999, "audio.frames")
    assert (None, [], []) == (late.refusal, late.outputs, late.questions)
    assert 10_000 == task.positions["audio.frames"]
    lost = feed(task, Watermark("t", "c", 0, 5, is_end=False), 10_000, "audio.frames")
    assert lost.refusal is not None


def test_a_shut_contact_stays_shut_after_a_restore() -> None:
    task = task_of(TEXT)
    feed(task, words(0), 0)
    feed(task, words(80, "poison"), 1)
    again = task_of(TEXT, rows_of(task), epoch=2)
    assert feed(again, words(160), 2).refusal is not None


def test_what_earlier_stages_made_of_a_refused_record_stands() -> None:
    task = task_of(TEXT)
    refused = feed(task, words(0, "late poison"), 0)
    assert isinstance(refused.refusal, ValueError)
    assert ["transcript.raw"] == [output.topic for output in refused.outputs]
    rows = dict(task.checkpoint().rows)
    assert b"transcriber\0t|c" in rows


def test_a_refusal_withdraws_the_questions_of_the_contact() -> None:
    task = task_of((Stage("asker", "voice", ("speech.marks",), ("transcript.words",), Choosy),))
    opened = feed(task, mark(0), 0, "speech.marks")
    shut = feed(task, mark(0, 80), 1, "speech.marks")
    assert [("asker", KEY, "0")] == shut.withdrawn
    assert Effects() == task.reply("asker", KEY, opened.questions[0].ask, "late")


class Choosy(Asker):
    """Refuses finals."""

    def on_record(self, state: Waiting, record: Record) -> Sequence[Record]:
        if isinstance(record, SpeechMark) and record.end_sample:
            raise RecordRefused("poison")
        return super().on_record(state, record)


def test_a_skipped_record_moves_the_position_alone() -> None:
    task = task_of(TEXT)
    task.skip("transcript.words", 8)
    assert ({"transcript.words": 9}, 0, True) == (task.positions, task.contacts, task.has_moved)


def pass_quiet(task: Task, from_ms: int, quiet_ms: int, contact: bytes = b"t|other", offset: int = 100) -> int:
    """Let a contact talk for so long that others seem quiet."""
    until_ms = from_ms + quiet_ms
    for at_ms in range(from_ms, until_ms + STEP_LIMIT_MS, STEP_LIMIT_MS):
        feed(task, words(0), offset, at_ms=at_ms, key=contact)
    return until_ms


def test_an_ended_contact_leaves_a_small_marker() -> None:
    task = task_of(TEXT)
    feed(task, words(0), 0, at_ms=1_000)
    feed(task, Watermark("t", "c", 1, 80, True), 1, at_ms=1_000)
    before = rows_of(task)
    pass_quiet(task, 1_000, QUIET_MS)
    after = dict(task.checkpoint().rows)
    assert {None} == {after[row] for row in before if row != NAME_ROW}
    marker = after[b"shut\0t|c"]
    assert marker is not None
    assert 100 > len(marker)
    assert 1 == task.contacts
    late = feed(task_of(TEXT, {b"shut\0t|c": marker}), words(80), 2)
    assert isinstance(late.refusal, RecordRefused)


class Reviewed(Transcriber):
    """Waits for a person until a turn is said by `reviewer`."""

    def on_record(self, state: Count, record: Record) -> Sequence[Record]:
        if isinstance(record, SegmentWords) and record.asr == "reviewer":
            state.seen = -1
            return ()
        return super().on_record(state, record)

    def awaits(self, state: Count) -> bool:
        return state.seen > 0


REVIEWED = (Stage("transcriber", "text", ("transcript.words",), ("transcript.raw",), Reviewed), *TEXT[1:])


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_contact_that_waits_for_a_person_is_not_over_until_they_decide(is_restored: bool) -> None:
    task = task_of(REVIEWED)
    feed(task, words(0), 0, at_ms=1_000)
    if is_restored:
        task = task_of(REVIEWED, rows_of(task))
    feed(task, Watermark("t", "c", 1, 80, True), 1, at_ms=1_000)
    until_ms = pass_quiet(task, 1_000, GIVE_UP_MS)
    task.checkpoint()
    assert feed(task, words(80), 2, at_ms=until_ms).outputs
    feed(task, words(160, "reviewer"), 3, at_ms=until_ms)
    assert 2 == task.contacts
    pass_quiet(task, until_ms, QUIET_MS, offset=200)
    task.checkpoint()
    assert 1 == task.contacts


def test_what_holds_an_offset_back_is_not_kept_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asker, "awaits", lambda _, state: True)
    task = task_of(VOICE)
    feed(task, mark(0), 0, "speech.marks")
    feed(task, Watermark("t", "c", 1, 80, True), 0, "audio.frames", at_ms=1_000)
    for n in range(GIVE_UP_MS // STEP_LIMIT_MS + 1):
        feed(task, frame(n), 1 + n, "audio.frames", at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
    task.checkpoint()
    assert 1 == task.contacts


def test_nobody_is_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "REVIEW_MS", 2 * QUIET_MS)
    task = task_of(REVIEWED)
    feed(task, words(0), 0, at_ms=1_000)
    until_ms = pass_quiet(task, 1_000, QUIET_MS)
    task.checkpoint()
    assert 2 == task.contacts
    pass_quiet(task, until_ms, QUIET_MS, offset=400)
    task.checkpoint()
    assert 1 == task.contacts


def test_a_marker_goes_when_no_input_holds_records_of_the_contact() -> None:
    task = task_of(TEXT)
    feed(task, Watermark("t", "c", 1, 80, True), 1, at_ms=1_000)
    until_ms = pass_quiet(task, 1_000, QUIET_MS)
    task.checkpoint()
    feed(task, words(0), 101, at_ms=until_ms + DAY_MS, key=b"t|other")
    after = dict(task.checkpoint().rows)
    assert after[b"shut\0t|c"] is None
    assert feed(task, words(0), 102).outputs


def test_a_pause_of_everything_makes_nobody_quiet() -> None:
    task = task_of(TEXT)
    feed(task, words(0), 0, at_ms=1_000)
    feed(task, words(0), 1, at_ms=1_000 + 10 * QUIET_MS, key=b"t|other")
    task.checkpoint()
    assert feed(task, words(80), 2, at_ms=1_000 + 10 * QUIET_MS).outputs


def test_an_abandoned_contact_stops_holding_the_resume_offset_back() -> None:
    task = task_of(VOICE)
    feed(task, frame(0), 0, "audio.frames", at_ms=1_000)
    for n in range(QUIET_MS // STEP_LIMIT_MS + 1):
        feed(task, frame(n * 2_000), 1 + n, "audio.frames", at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
    assert task.checkpoint().offsets["audio.frames"] > 100


def test_an_ended_contact_that_waits_for_an_answer_is_kept_for_hours() -> None:
    task = task_of(VOICE)
    feed(task, mark(0), 0, "speech.marks")
    feed(task, Watermark("t", "c", 1, 80, True), 0, "audio.frames", at_ms=1_000)
    for n in range(GIVE_UP_MS // STEP_LIMIT_MS):
        feed(task, frame(n), 1 + n, "audio.frames", at_ms=1_000 + n * STEP_LIMIT_MS, key=b"t|other")
        if n == QUIET_MS // STEP_LIMIT_MS + 1:
            task.checkpoint()
            assert 2 == task.contacts
    feed(task, frame(0), 9_999, "audio.frames", at_ms=2_000 + GIVE_UP_MS, key=b"t|other")
    task.checkpoint()
    assert 1 == task.contacts


def test_redelivered_records_of_a_restored_task_reach_the_stages_again() -> None:
    """The engine does not judge duplicates: machines do, by revision (the machine laws)."""
    task = task_of(TEXT)
    feed(task, words(0), 0)
    again = task_of(TEXT, rows_of(task), epoch=2)
    assert [("transcript.raw", 1)] == names(feed(again, words(0), 0).outputs)[:1]
