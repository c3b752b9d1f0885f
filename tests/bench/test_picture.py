"""Bars of a report: each part where the one before ends, as long as its share, in the colour of its name."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest

from bench import picture

pytestmark = pytest.mark.unit

RECT, TEXT = (f"{{http://www.w3.org/2000/svg}}{name}" for name in ("rect", "text"))
PARTS = ("heard", "asked", "shown")


def drawn(*rows: Mapping[str, float]) -> ET.Element:
    return ET.fromstring(picture.bars([(f"row {n}", spans) for n, spans in enumerate(rows)], PARTS, "from x"))


def bar(svg: ET.Element, row: int) -> list[tuple[float, float, str]]:
    """Return left, right and colour of each part of a row."""
    parts = [one.attrib for one in svg.iter(RECT) if one.get("y") == str(picture.MARGIN + picture.STEP * row)]
    return [(float(p["x"]), round(float(p["x"]) + float(p["width"]), 1), p["fill"]) for p in parts]


def test_parts_follow_each_other_in_their_colours() -> None:
    svg = drawn({"heard": 300, "asked": 0, "shown": 100}, {"heard": 100, "shown": 100})
    right = picture.WIDTH - picture.MARGIN
    middle = picture.LEFT + 0.75 * (right - picture.LEFT)
    green, red, blue = picture.COLOURS[:3]
    assert [(picture.LEFT, middle, green), (middle, middle, red), (middle, right, blue)] == bar(svg, 0)
    assert [green, blue] == [colour for *_, colour in bar(svg, 1)]


def test_sum_names_and_legend_are_written() -> None:
    texts = [one.text for one in drawn({"heard": 1_300, "shown": 200}).iter(TEXT)]
    assert {*PARTS, "row 0", "from x", "1,500", "0 ms", "1,400 ms"} <= set(texts)
