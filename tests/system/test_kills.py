"""Workers die by SIGKILL in the middle of a call: nothing is lost, doubled or taken back."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from bench import kills
from bench.screen import Seen
from bench.watched import DEFAULT, watched
from connectors.gateway.board import Frame
from tests.system.commands import place
from tests.system.conftest import Called

pytestmark = pytest.mark.system

SPEED = 2.0
DEATHS = {"speech": 2, "language": 2, "postgres": 1, "gateway": 1}
PLAN = sorted((share, group) for group, count in DEATHS.items() for share in kills.moments(1, group, count))


@dataclass(frozen=True)
class Died:
    """A call with deaths, and the rows that it left in PostgreSQL."""

    outcome: kills.Outcome
    rows: dict[str, list[dict[str, object]]]


def died(folder: Path) -> Died:
    with place(folder) as shell, watched(shell.folder, DEFAULT, SPEED, **shell.environment) as demo:
        outcome = kills.play(demo, DEFAULT.call.duration_ms / 1_000 / SPEED, PLAN)
        with psycopg.connect(demo.settings.postgres_dsn.get_secret_value()) as connection:
            rows = {
                table: [
                    dict(row)
                    for (row,) in connection.execute(f"SELECT to_jsonb(t) FROM trunkline.{table} t").fetchall()
                ]
                for table in kills.IDENTITIES
            }
    return Died(outcome, rows)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Died:
    return died(tmp_path_factory.mktemp("kills") / "shell")


def test_every_planned_worker_died(ran: Died, capsys: pytest.CaptureFixture[str]) -> None:
    assert [group for _, group in PLAN] == [one.group for one in ran.outcome.kills]
    with capsys.disabled():
        for kill in ran.outcome.kills:
            late = "-" if kill.late_s is None else format(kill.late_s, ".2f")
            print(f"\n{kill.group}: back after {kill.back_s:.2f} s, outputs {late} s late", end="")  # noqa: T201 - the figures are the point


def test_the_turns_are_those_of_the_quiet_run(ran: Died, memory_call: Called) -> None:
    assert memory_call.final_turns() == json.loads(json.dumps(ran.outcome.turns))


def test_an_identity_has_one_row(ran: Died) -> None:
    for table, name in kills.IDENTITIES.items():
        counted = Counter(str(row[name]) for row in ran.rows[table])
        assert counted, table
        assert [] == [identity for identity, count in counted.items() if count > 1], table


def test_postgres_has_the_turns_of_the_quiet_run(ran: Died, memory_call: Called) -> None:
    stored = sorted((str(row["turn_id"]), str(row["text"])) for row in ran.rows["turns"])
    assert sorted((str(turn["turn_id"]), str(turn["text"])) for turn in memory_call.lines("turns.jsonl")) == stored


def test_the_screen_shows_no_older_revision_and_no_card_twice(ran: Died) -> None:
    assert [] == [line for line in ran.outcome.broken if "missing" not in line]


def test_a_screen_that_comes_back_has_lost_nothing(ran: Died) -> None:
    assert [] == [line for line in ran.outcome.broken if "missing" in line]


def shown(ran: Died, kind: str) -> list[Frame]:
    return [part for one in ran.outcome.seen for part in kills.parts(one.frame) if part["type"] == kind]


def test_the_screen_ends_with_the_texts_of_the_quiet_run(ran: Died, memory_call: Called) -> None:
    texts = {str(turn["turn_id"]): turn["text"] for turn in shown(ran, "turn") if turn["is_final"]}
    assert {str(turn["turn_id"]): turn["text"] for turn in memory_call.lines("turns.jsonl")} == texts


def test_the_screen_ends_with_the_cards_of_the_quiet_run(ran: Died, memory_call: Called) -> None:
    cards = {str(one["cause_id"]): one["hints"] for one in shown(ran, "guidance")}
    names = [
        str(hint["guidance_id"])
        for hints in cards.values()
        if isinstance(hints, list)
        for hint in hints
        if hint["kind"] != "summary"
    ]
    assert sorted(str(hint["guidance_id"]) for hint in memory_call.lines("guidance.jsonl")) == sorted(names)


def turn(rev: int, *, is_final: bool = True) -> Frame:
    return {"type": "turn", "turn_id": "t", "rev": rev, "is_final": is_final}


def cards(cause: str, rev: int, *names: str) -> Frame:
    return {"type": "guidance", "cause_id": cause, "rev": rev, "hints": [{"guidance_id": name} for name in names]}


def snapshot(*turns: Frame) -> Frame:
    return {"type": "snapshot", "turns": list(turns), "guidance": []}


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([turn(2), turn(1)], "after"),
        ([turn(1), turn(2, is_final=False)], "after"),
        ([turn(1), snapshot()], "missing"),
        ([cards("a", 2), cards("a", 1)], "after"),
        ([cards("a", 1, "x"), cards("b", 2, "x")], "shown twice"),
        ([cards("a", 1, "x", "x")], "twice in a set"),
    ],
)
def test_the_watch_notices_what_must_not_be(frames: list[Frame], reason: str) -> None:
    (line,) = kills.broken_promises([Seen(0, frame) for frame in frames])
    assert reason in line


def test_the_watch_lets_pass_what_may_be() -> None:
    frames = [
        turn(1, is_final=False),
        turn(2),
        snapshot(turn(2)),
        turn(3),
        cards("a", 1, "x"),
        cards("a", 2),
        cards("b", 1, "x"),
    ]
    assert [] == kills.broken_promises([Seen(0, frame) for frame in frames])
