"""What holds for the events of any bytes at all, and what damage must leave alone."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

from connectors.kvs.events import Block, ClusterOpened, Damage, Event, FragmentClosed, FragmentOpened
from tests.connectors.kvs.documents import drawn, fragments, read

TIME_LIMIT_MS = 2**63


def broken(events: Sequence[Event]) -> list[str]:
    """Name the laws of order that a response's events break."""
    found: set[str] = set()
    blocks: int | None = None  # of the open fragment
    for before, event in pairwise([None, *events]):
        if isinstance(event, FragmentOpened):
            if blocks is not None:
                found.add("a fragment opened in another")
            blocks = 0
        elif isinstance(event, FragmentClosed):
            if event.blocks != blocks:
                found.add("a fragment closed with other blocks than it gave")
            if event.is_damaged != isinstance(before, Damage):
                found.add("a damaged fragment without its damage, or the other way round")
            blocks = None
        elif isinstance(event, Block | ClusterOpened):
            found |= misplaced(event, blocks)
            blocks = (blocks or 0) + isinstance(event, Block)
    if blocks is not None:
        found.add("a fragment that is never closed")
    return sorted(found)


def misplaced(event: Block | ClusterOpened, blocks: int | None) -> set[str]:
    found = {"sound outside a fragment"} if blocks is None else set()
    return found | ({"a time that no record holds"} if abs(event.time_ms) >= TIME_LIMIT_MS else set())


def check(response: bytes, seed: int) -> None:
    """Check one response, whole and in drawn feeds."""
    whole = read([response])
    assert [] == broken(whole)
    assert whole == read(drawn(response, seed))


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes from `start` to `end` of a response become others; an insertion has `start == end`."""

    start: int
    end: int
    content: bytes

    def made(self, response: bytes) -> bytes:
        return response[: self.start] + self.content + response[self.end :]


def drawn_change(response: bytes, seed: int) -> Change:
    """Draw a flip of one bit, or the insertion or deletion of 1 to 3,000 bytes."""
    rng = random.Random(seed)
    at, count = rng.randrange(len(response)), rng.choice((1, 2, 4, 30, 1_000, 3_000))
    count = rng.randint(1, count)
    kind = rng.choice(("flip", "insert", "delete"))
    if kind == "flip":
        return Change(at, at + 1, bytes([response[at] ^ 1 << rng.randrange(8)]))
    if kind == "insert":
        return Change(at, at, rng.randbytes(count) if rng.random() < 0.7 else response[at : at + count])
    return Change(at, min(at + count, len(response)), b"")


@cache
def as_written(part: bytes) -> tuple[Event, ...]:
    """Return the events of one whole fragment."""
    (only,) = fragments(read([part]))
    return only


def lost(parts: Sequence[bytes], change: Change) -> list[int]:
    """Return which fragments are not read as they were written although the change left their bytes alone."""
    written = [as_written(part) for part in parts]
    found = fragments(read([change.made(b"".join(parts))]))
    starts = [0, *accumulate(map(len, parts))]
    first, last = bisect_right(starts, change.start) - 1, bisect_right(starts, max(change.start, change.end - 1)) - 1
    if change.start == change.end and change.start in starts:
        last = first - 1  # between two fragments
    at, missing = 0, []
    for index, one in enumerate(written):
        if first <= index <= last:
            continue
        try:
            at = found.index(one, at) + 1
        except ValueError:
            missing.append(index)
    return missing
