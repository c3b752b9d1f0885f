"""What a stream holds: its fragments, with numbers, timestamps and retention, the newest of them still growing.

A block is encoded once, when it comes; every connection sends the same bytes. What belongs to one connection (how
far it is behind) is made in `connection.py`.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.kvs_emulator import matroska

# A block is whole after its 64 ms; the rest is a guess at the way to the service.
ARRIVAL_MS: Final = 100
# Real numbers have 47 digits, grow, and leave gaps: facts seen in the field, no rule that a reader may lean on.
_NUMBER_BASE: Final = 91_343_852_333_181 * 10**33
_NUMBERS_PER_MS: Final = 10**20
_SMALLEST_STEP: Final = 2


@dataclass(frozen=True, slots=True)
class Opening:
    """What a producer says of a fragment before its first block.

    Attributes:
        producer_ms: epoch milliseconds of the first sample, and the Cluster's timecode.
        head: EBML header, Segment, Info and Tracks.
        identity_before: Tags of the producer that precede the Cluster, or nothing.
        identity_after: Tags of the producer that follow it, or nothing.
        is_numbered: False leaves the service's own Tags out.
    """

    producer_ms: int
    head: bytes
    identity_before: bytes = b""
    identity_after: bytes = b""
    is_numbered: bool = True


@dataclass(slots=True)
class Fragment:
    """One fragment, growing until it is closed.

    Attributes:
        number: the fragment number; text on the wire.
        opening: what the producer said of it.
        server_ms: epoch milliseconds at which the service received its first block.
        blocks: SimpleBlocks as sent.
        length_ms: from the first block's start to the last one's end.
        closed_at_s: the stream's clock when it was closed; None while it grows.
        next: the fragment after it, once there is one.
    """

    number: int
    opening: Opening
    server_ms: int
    blocks: list[bytes] = field(default_factory=list)
    length_ms: int = 0
    closed_at_s: float | None = None
    next: "Fragment | None" = None

    @property
    def producer_ms(self) -> int:
        """Epoch milliseconds of the first sample."""
        return self.opening.producer_ms

    @property
    def is_closed(self) -> bool:
        """Whether nothing follows."""
        return self.closed_at_s is not None

    @property
    def token(self) -> str:
        """The continuation token: go on after this fragment."""
        return f"after.{self.number:x}"

    @property
    def size_bytes(self) -> int:
        """The length of what was produced, without the Tags of a reply."""
        opening = self.opening
        whole = len(opening.head) + len(opening.identity_before) + len(opening.identity_after)
        return whole + len(matroska.cluster(opening.producer_ms)) + sum(map(len, self.blocks))

    def beginning(self, server: str = "SERVER", producer: str = "PRODUCER") -> bytes:
        """Return everything up to the first block.

        Args:
            server: how the reply's API calls the server's timestamp.
            producer: and the producer's.
        """
        service = b""
        if self.opening.is_numbered:
            service = matroska.tags(
                (
                    ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", str(self.number)),
                    (f"AWS_KINESISVIDEO_{server}_TIMESTAMP", _seconds(self.server_ms)),
                    (f"AWS_KINESISVIDEO_{producer}_TIMESTAMP", _seconds(self.producer_ms)),
                )
            )
        return self.opening.head + self.opening.identity_before + service + matroska.cluster(self.producer_ms)


class Stream:
    """One stream: a producer pushes, connections follow.

    Owns numbers, order and retention. It knows neither HTTP nor what the audio is.
    """

    def __init__(self, name: str, retention_s: float, now_ms: Callable[[], int], seed: int = 0) -> None:
        """Make an empty stream.

        Args:
            name: of letters, digits, `_`, `.` and `-`.
            retention_s: how long a fragment can be read, by its server timestamp.
            now_ms: the clock, epoch milliseconds.
            seed: of the fragment numbers.
        """
        self.name = name
        self.arn = f"arn:aws:kinesisvideo:us-east-1:000000000000:stream/{name}/{now_ms()}"
        self.now_ms = now_ms
        self.newest: Fragment | None = None
        self._retention_ms = int(retention_s * 1_000)
        self._held: list[Fragment] = []
        self._dice = random.Random(f"{seed}|{name}")
        self._waiting: list[asyncio.Future[None]] = []

    def held(self) -> Sequence[Fragment]:
        """Return the fragments within retention, oldest first; the last may still grow."""
        oldest_ms = self.now_ms() - self._retention_ms
        gone = 0
        while gone < len(self._held) and self._held[gone].server_ms < oldest_ms:
            gone += 1
        del self._held[:gone]
        return self._held

    def first(self, is_wanted: Callable[[Fragment], bool]) -> Fragment | None:
        """Return the oldest fragment that is wanted, if it is there yet."""
        return next(filter(is_wanted, self.held()), None)

    def open(self, opening: Opening) -> None:
        """Begin a fragment; the one before is closed."""
        self.close()
        self.held()  # memory is bounded by the retention, whether or not anybody reads
        before = self.newest
        server_ms = max(opening.producer_ms + ARRIVAL_MS, before.server_ms if before else 0)
        self.newest = Fragment(self._number(server_ms), opening, server_ms)
        if before is not None:
            before.next = self.newest
        self._held.append(self.newest)

    def add(self, blocks: Sequence[bytes], end_ms: int) -> None:
        """Add blocks to the open fragment and let every connection send them.

        Args:
            blocks: SimpleBlocks.
            end_ms: epoch milliseconds at which the last of them ends.
        """
        fragment = self.newest
        assert fragment is not None and not fragment.is_closed
        fragment.blocks.extend(blocks)
        fragment.length_ms = end_ms - fragment.producer_ms
        self._wake()

    def close(self) -> None:
        """End the open fragment, if there is one."""
        if self.newest is not None and not self.newest.is_closed:
            self.newest.closed_at_s = self.now_ms() / 1_000
            self._wake()

    def changed(self) -> "asyncio.Future[None]":
        """Return what is done once the stream has grown."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _number(self, server_ms: int) -> int:
        earliest = self.newest.number + _SMALLEST_STEP if self.newest else 0
        by_time = _NUMBER_BASE + server_ms * _NUMBERS_PER_MS
        return max(earliest, by_time) + self._dice.randrange(_NUMBERS_PER_MS // 1_000)


def _seconds(epoch_ms: int) -> str:
    return f"{epoch_ms // 1_000}.{epoch_ms % 1_000:03}"
