"""Contacts that stall without an end: their audio is read again by itself, and nobody else waits for it."""

from dataclasses import replace

import pytest

from pipeline.engines import task as task_module
from pipeline.engines.contacts import STALLED_MS, STEP_LIMIT_MS
from pipeline.engines.effects import Input
from pipeline.engines.task import Task, spans
from pipeline.topology import Stage
from tests.pipeline.engines.test_task import KEY, VOICE, Asker, Waiting, feed, frame, rows_of, task_of, values
from topics.records import Watermark

pytestmark = pytest.mark.unit


class Storer(Asker):
    """Needs audio after its end too, as the archive does until all is decided."""

    def replay_from_ms(self, state: Waiting) -> int | None:
        return state.floor_ms


def stalled(stages: tuple[Stage, ...] = VOICE, *, is_ended: bool = False) -> Task:
    """A contact whose audio stopped, and another that talks."""
    task = task_of(stages)
    for offset in range(30):
        feed(task, frame(offset * 100), offset, "audio.frames", at_ms=1_000)
    if is_ended:
        feed(task, Watermark("t", "c", 1, 3_000, True), 30, "audio.frames", at_ms=1_000)
    for n in range(1, STALLED_MS // STEP_LIMIT_MS + 1):
        at_ms = 1_000 + n * STEP_LIMIT_MS
        feed(task, frame(0, "other"), 30 + n, "audio.frames", at_ms=at_ms, key=b"t|other")
    return task


def taken_over(rows: dict[bytes, bytes]) -> Task:
    """Restore a task and read again what the changelog says."""
    task = task_of(VOICE, rows, epoch=2, is_live=False)
    for key, (first, last) in spans(rows).items():
        for offset in range(first, last + 1):
            task.hear_again(Input("audio.frames", offset, key, frame(offset * 100), 0))
    task.resume()
    task.release()
    return task


def test_contact_that_stalls_holds_no_takeover_back() -> None:
    task = stalled()
    assert 31 == task.checkpoint().offsets["audio.frames"]
    feed(task, frame(2_000, "other"), 33, "audio.frames", key=b"t|other")
    assert 33 == task.checkpoint().offsets["audio.frames"]


def test_audio_of_a_contact_that_stalled_is_held_again_when_it_goes_on() -> None:
    rows = rows_of(stalled())
    assert {KEY: (19, 29)} == spans(rows)  # the last second
    task = taken_over(rows)
    task.skip("audio.frames", 32)
    still = task.checkpoint()
    assert (33, {KEY: (19, 29)}) == (still.offsets["audio.frames"], spans(rows | values(still)))
    feed(task, frame(3_000), 33, "audio.frames")
    back = task.checkpoint()
    assert (20, {}) == (back.offsets["audio.frames"], spans(values(back)))
    assert None is dict(back.rows)[b"parked\0t|c"]
    feed(task, frame(4_100), 34, "audio.frames")
    assert 34 == task.checkpoint().offsets["audio.frames"]


def test_audio_of_a_contact_that_has_ended_is_not_parked() -> None:
    """What it waits for would be waited for no longer: its end is read again with it."""
    storer = (replace(VOICE[0], machine=Storer),)
    assert (31, 19) == tuple(
        stalled(storer, is_ended=is_ended).checkpoint().offsets["audio.frames"] for is_ended in (False, True)
    )


def test_more_audio_than_a_takeover_should_read_is_not_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_module, "PARKED_LIMIT_MS", 500)
    assert 19 == stalled().checkpoint().offsets["audio.frames"]
