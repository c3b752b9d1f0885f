"""What ebmlite finds in responses: a script for an environment that has it, without an import of ours.

`python ebmlite_reading.py FILE...` prints a JSON list for each file: tags, clusters and blocks in their order.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ebmlite

Told = list[object]


def told(response: bytes) -> Iterator[Told]:
    """Yield what each segment says, with the time scale and tracks of its own."""
    for segment in ebmlite.loadSchema("matroska.xml").loads(response):
        if segment.name == "Segment":
            yield from in_segment(segment, len(response))


def in_segment(segment: Any, end: int) -> Iterator[Told]:  # Any: ebmlite has no types
    scale = 1_000_000
    tracks: list[Told] = []
    for section in segment:
        if section.name == "Info":
            scale = next((one.value for one in section if one.name == "TimecodeScale"), scale)
        elif section.name == "Tracks":
            tracks = [numbered(one) for one in section if one.name == "TrackEntry"]
        elif section.name == "Tags":
            yield from (pair for tag in section if tag.name == "Tag" for pair in in_tag(tag))
        elif section.name == "Cluster":
            yield from in_cluster(section, scale, tracks, end)


def numbered(entry: Any) -> Told:  # Any: ebmlite has no types
    facts = {one.name: one.value for one in entry}
    return [facts["TrackNumber"], facts.get("Name", "")]


def in_tag(tag: Any) -> Iterator[Told]:  # Any: ebmlite has no types
    for pair in (one for one in tag if one.name == "SimpleTag"):
        facts = {one.name: one.value for one in pair}
        yield ["tag", facts["TagName"], facts["TagString"]]


def in_cluster(cluster: Any, scale: int, tracks: list[Told], end: int) -> Iterator[Told]:  # Any: ebmlite has no types
    ticks = 0
    for one in cluster:
        if one.name == "Timecode":
            ticks = one.value
            yield ["cluster", ticks * scale // 1_000_000, tracks]
        elif one.name == "SimpleBlock" and one.offset + one.size <= end:
            relative = int.from_bytes(one.value[1:3], "big", signed=True)
            digest = hashlib.sha256(one.value[4:]).hexdigest()
            yield ["block", one.value[0] & 0x7F, (ticks + relative) * scale // 1_000_000, digest]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(list(told(Path(name).read_bytes()))))  # noqa: T201 - a command line
