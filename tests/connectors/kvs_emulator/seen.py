"""What somebody else's parser sees in emitted bytes: ebmlite, one document at a time.

ebmlite takes an unknown size for the rest of its input, so documents are told apart first: by the whole of an EBML
header and a Segment's beginning, which no audio of these tests contains.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import ebmlite
import pytest

from topics.records import Track

DATA = Path(__file__).parents[4] / "shared" / "data" / "kvs" / "connect-shape-fixtures"

_BEGINNING = re.compile(rb"\x1a\x45\xdf\xa3.\x42\x86\x81\x01.{0,60}?\x18\x53\x80\x67\x01\xff{7}", re.DOTALL)
_TRACKS: dict[str, Track] = {
    "AUDIO_FROM_CUSTOMER": "customer",
    "Track_audio/L16": "customer",
    "AUDIO_TO_CUSTOMER": "agent",
}
SAMPLES_PER_MS = 8


@dataclass(frozen=True)
class Block:
    """One SimpleBlock."""

    track_number: int
    relative_ms: int
    pcm: bytes


@dataclass(frozen=True)
class Seen:
    """One document."""

    header: dict[str, Any]  # of ebmlite, values of any type
    order: tuple[str, ...]  # of the Segment's children
    info: dict[str, Any]
    tracks: tuple[dict[str, Any], ...]
    tag_groups: tuple[dict[str, str], ...]  # one for each Tags element
    timecode_ms: int | None
    blocks: tuple[Block, ...]

    @property
    def tags(self) -> dict[str, str]:
        return {name: text for group in self.tag_groups for name, text in group.items()}

    @property
    def number(self) -> int:
        return int(self.tags["AWS_KINESISVIDEO_FRAGMENT_NUMBER"])

    @property
    def is_whole(self) -> bool:
        return "AWS_KINESISVIDEO_CONTINUATION_TOKEN" in self.tags

    def track(self, block: Block) -> Track:
        names = {entry["TrackNumber"]: entry["Name"] for entry in self.tracks}
        return _TRACKS[names[block.track_number]]


def documents(data: bytes) -> list[Seen]:
    """Parse emitted bytes."""
    starts = [found.start() for found in _BEGINNING.finditer(data)]
    assert starts[:1] in ([0], [])
    return [_document(data[start:end]) for start, end in pairwise([*starts, len(data)])]


def fixture(name: str) -> list[Seen]:
    """Parse a fixture of the Connect shape, or skip the test where the fixtures are not at hand."""
    path = DATA / f"{name}.ebml.hex"
    if not path.is_file():
        pytest.skip(f"the fixture {name} is not in ../shared/data")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return documents(bytes.fromhex("".join(lines)))


def pcm(seen: list[Seen], start_ms: int) -> dict[Track, bytes]:
    """Place every block by its time; what is missing between two is zeros."""
    placed: dict[Track, bytearray] = {"customer": bytearray(), "agent": bytearray()}
    for document in seen:
        for block in document.blocks:
            assert document.timecode_ms is not None
            into = placed[document.track(block)]
            at = (document.timecode_ms + block.relative_ms - start_ms) * SAMPLES_PER_MS * 2
            into.extend(bytes(max(at - len(into), 0)))
            into[at : at + len(block.pcm)] = block.pcm
    return {track: bytes(into) for track, into in placed.items()}


@cache
def _schema() -> Any:  # ebmlite has no types
    return ebmlite.loadSchema("matroska.xml")


def _document(data: bytes) -> Seen:
    parsed = _schema().loads(data)
    (segment,) = (element for element in parsed if element.name == "Segment")
    children = list(segment)
    known = {child.name: child for child in children}
    cluster = list(known["Cluster"]) if "Cluster" in known else []
    return Seen(
        header=dict(parsed.info),
        order=tuple(child.name for child in children),
        info=known["Info"].dump() if "Info" in known else {},
        tracks=tuple(known["Tracks"].dump()["TrackEntry"]) if "Tracks" in known else (),
        tag_groups=tuple(dict(_pairs(child)) for child in children if child.name == "Tags"),
        timecode_ms=next((one.value for one in cluster if one.name == "Timecode"), None),
        blocks=tuple(_block(bytes(one.value)) for one in cluster if one.name == "SimpleBlock"),
    )


def _pairs(tags: Any) -> Iterator[tuple[str, str]]:  # an element of ebmlite
    for tag in tags.dump()["Tag"]:
        for simple in tag.get("SimpleTag", []):
            yield simple["TagName"], simple["TagString"]


def _block(body: bytes) -> Block:
    assert body[0] & 0x80
    return Block(body[0] & 0x7F, int.from_bytes(body[1:3], "big", signed=True), body[4:])
