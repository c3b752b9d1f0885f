"""The files of a captured contact."""

import json
from pathlib import Path

import pytest

from connectors import files
from connectors.kvs.service import StreamFailed
from connectors.kvs_emulator.faults import Close, Refuse
from pipeline import capture
from tests.connectors.kvs.reads import account
from tests.connectors.kvs.test_reading import BOTH, holed, without
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, STREAM, emulating, faulty, take

pytestmark = pytest.mark.unit


def request(folder: Path) -> capture.Request:
    return capture.Request(STREAM, CONTACT, START_MS, folder, idle_s=20)


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [row for row in rows if row["type"] == kind]


async def test_hole_is_zeros_an_event_and_a_line(tmp_path: Path) -> None:
    async with emulating(holed()) as (server, _):
        captured = await capture.run(request(tmp_path), account(server.url))
    call = files.read_call(tmp_path / "customer.wav", tmp_path / "agent.wav")
    assert BOTH["customer"] == call.customer.tobytes()
    assert without(BOTH["agent"], 12_800, 23_040) == call.agent.tobytes()
    detail = {"end_ms": 2_880, "first_sample": 12_800, "end_sample": 23_040}
    assert [{"type": "gap", "at_ms": 1_600, "track": "agent", "detail": detail}] == events(tmp_path, "gap")
    assert ["gap on the agent's track from 1.600 s to 2.880 s: zeros"] == captured.gap_lines()
    assert "customer 6.400 s, agent 6.400 s, 6 fragments, 1 gaps" in captured.report(tmp_path)


async def test_what_came_before_a_refusal_is_kept(tmp_path: Path) -> None:
    plan = faulty(Close(after_fragments=2, calls=(1,)), Refuse(error="AccessDeniedException", calls=(2, 3)))
    async with emulating(take(), plan=plan) as (server, _):
        with pytest.raises(StreamFailed):
            await capture.run(request(tmp_path), account(server.url))
    call = files.read_call(tmp_path / "customer.wav", tmp_path / "agent.wav")
    assert 2 * 17 * 512 == len(call.customer)
    assert BOTH["customer"].startswith(call.customer.tobytes())
    (end,) = events(tmp_path, "end")
    assert "AccessDenied" in json.dumps(end)


async def test_nothing_that_came_leaves_no_file_after_a_refusal(tmp_path: Path) -> None:
    async with emulating(take(), plan=faulty(Refuse(error="AccessDeniedException"))) as (server, _):
        with pytest.raises(StreamFailed):
            await capture.run(request(tmp_path), account(server.url))
    assert [] == [*tmp_path.iterdir()]
