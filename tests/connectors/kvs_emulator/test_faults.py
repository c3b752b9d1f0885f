"""Fault plans: what a file may say, and which calls a plan strikes."""

from pathlib import Path

import pytest

from connectors.kvs_emulator import faults
from connectors.kvs_emulator.faults import Close, Garbage, Move, Plan, Refuse, Report
from pipeline.errors import InputError

pytestmark = pytest.mark.unit


def written(folder: Path, text: str) -> Path:
    path = folder / "faults.yaml"
    path.write_text(text)
    return path


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    expected = Plan(faults=(Close(how="reset", after_bytes=5_000, calls=(1,)), Report(error_id=4500)), seed=7)
    yaml = """
    seed: 7
    faults:
      - {fault: close, how: reset, after_bytes: 5000, calls: [1]}
      - {fault: report, error_id: 4500}
    """
    json = """{"seed": 7, "faults": [{"fault": "close", "how": "reset", "after_bytes": 5000, "calls": [1]},
        {"fault": "report", "error_id": 4500}]}"""
    assert expected == faults.read(written(tmp_path, yaml))
    assert expected == faults.read(written(tmp_path, json))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("faults: [{fault: slam}]", "slam"),
        ("faults: [{fault: close, how: slam}]", "$.faults[0].how"),
        ("faults: [{fault: close, after_bites: 4}]", "after_bites"),
        ("faults: [{fault: close, after_bytes: -1}]", "$.faults[0].after_bytes"),
        ("faults: [{fault: close, after_bytes: 1, after_blocks: 2}]", "a fault has one place"),
        ("faults: [{fault: stall, api: listFragments}]", "replies of listFragments are whole"),
        ("faults: [{fault: report}]", "error_id"),
        ("faults: [{fault: report, error_id: 1}]", "$.faults[0].error_id"),
        ("faults: [{fault: refuse, error: SomeException}]", "$.faults[0].error"),
        ("faults: [{fault: move, chance: 2}]", "$.faults[0].chance"),
        ("faults: [{fault: move, calls: [0]}]", "$.faults[0].calls"),
        ("fault: [", ":1: no valid YAML"),
        ("", "is no fault plan"),
        ("\x00", "no valid YAML"),
    ],
)
def test_mistake_is_one_error_that_says_where(text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        faults.read(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        faults.read(tmp_path / "none.yaml")


def test_rule_strikes_its_api_stream_and_calls_alone() -> None:
    plan = Plan(faults=(Refuse(error="InternalFailureException", api="listFragments", stream="one", calls=(2, 3)),))
    calls = [
        (api, stream, call)
        for api in ("listFragments", "getMedia")
        for stream in ("one", "two")
        for call in (1, 2, 3, 4)
        if plan.of(api, stream, call).chosen
    ]
    assert [("listFragments", "one", 2), ("listFragments", "one", 3)] == calls


def test_chance_is_drawn_from_the_seed() -> None:
    def struck(seed: int) -> list[int]:
        plan = Plan(faults=(Move(chance=0.3),), seed=seed)
        return [call for call in range(1, 1_001) if plan.of("getMedia", "stream", call).chosen]

    assert struck(1) == struck(1) != struck(2)
    assert 250 < len(struck(1)) < 350


def test_place_within_bytes_and_garbage_are_drawn_from_the_seed() -> None:
    plan = Plan(faults=(Garbage(within_bytes=10_000),), seed=3)
    places = [plan.of("getMedia", "stream", call).within()[0].place for call in (1, 1, 2)]
    assert places[0] == places[1] != places[2]
    assert all(0 <= place < 10_000 for place in places)
