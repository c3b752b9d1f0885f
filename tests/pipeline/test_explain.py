"""What `trunkline explain` prints.

`TRUNKLINE_GOLDEN=1 pytest tests/pipeline/test_explain.py` writes `tests/golden/topology.*` afresh.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import explain
from pipeline.app import CONTACT_EVENTS, GROUPS
from pipeline.topology import STAGES
from topics.catalogue import CATALOGUE

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden"
WIDEST = 120  # a terminal, and the width of the code


@pytest.mark.parametrize(
    ("name", "print_"),
    [("topology.txt", explain.text), ("topology.mmd", explain.mermaid), ("topology.json", explain.as_json)],
)
def test_topology_reads_as_its_golden_file(name: str, print_: Callable[[], str]) -> None:
    path = GOLDEN / name
    if os.environ.get("TRUNKLINE_GOLDEN") == "1":
        path.write_text(print_() + "\n")
    assert path.read_text() == print_() + "\n"


def test_text_fits_a_terminal() -> None:
    assert [] == [line for line in explain.text().splitlines() if len(line) > WIDEST]


def test_json_names_every_stage_group_and_topic_once() -> None:
    shown = json.loads(explain.as_json())
    groups = [group["name"] for group in shown["groups"]] + [sink["name"] for sink in shown["sinks"]]
    assert list(GROUPS) == [*groups, CONTACT_EVENTS, shown["gateway"]["name"]]
    assert [stage.name for stage in STAGES] == [s["name"] for group in shown["groups"] for s in group["stages"]]
    assert [topic.name for topic in CATALOGUE] == [topic["name"] for topic in shown["topics"]]


def test_picture_draws_every_way_in_and_out_of_a_topic() -> None:
    drawn = [line.strip().split(" --> ") for line in explain.mermaid().splitlines() if "-->" in line]
    ways = [(len(writers.split("&")), len(readers.split("&"))) for writers, _, readers in drawn]
    assert [(len(topic.producers), len(topic.consumers)) for topic in CATALOGUE] == ways


def test_picture_marks_restricted_topics() -> None:
    marked = {line.split('"')[1] for line in explain.mermaid().splitlines() if ":::restricted" in line}
    assert {topic.name for topic in CATALOGUE if topic.data == "restricted"} == marked
