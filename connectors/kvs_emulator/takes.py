"""What a producer sends: a pair of tracks as Amazon Connect cuts them, with the oddities that were seen in the field.

Owns fragments, blocks, tags and their order; pure but for `play`, which sends each block when it is due.
"""

import asyncio
import math
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from connectors.kvs_emulator import matroska
from connectors.kvs_emulator.fragments import Opening, Stream
from topics.records import SAMPLES_PER_MS, Track

BLOCK_MS: Final = 64
BLOCK_BYTES: Final = BLOCK_MS * SAMPLES_PER_MS * 2
# 32 to 34 blocks a fragment were seen, of both tracks together.
TICKS_PER_FRAGMENT: Final = (16, 17)
# Streams are served on a common beat, up to so much late: a wake-up costs more than what a block needs.
BEAT_S: Final = 0.004
_NAMES: Final[dict[Track, str]] = {"customer": "AUDIO_FROM_CUSTOMER", "agent": "AUDIO_TO_CUSTOMER"}
_LEGACY_NAME: Final = "Track_audio/L16"  # of the customer's track
_UIDS: Final[dict[Track, int]] = {"customer": 0xA001, "agent": 0xA002}
_RECORDINGS: Final = uuid.UUID("5c1b1d9e-9f60-5b5e-8a1e-0d9b6ad2f0c7")  # namespace of segment UIDs


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of the audio that never reached the stream: blocks that begin within it are missing.

    Attributes:
        start_ms: from the recording's start.
        end_ms: half-open.
        track: None means both.
    """

    start_ms: int
    end_ms: int
    track: Track | None = None

    def covers(self, track: Track, at_ms: int) -> bool:
        """Tell whether a block is missing."""
        return self.track in (None, track) and self.start_ms <= at_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class ShortBlock:
    """A block that carries less than its 64 ms; the samples that it lacks are lost and the next is on the grid.

    Attributes:
        track: whose.
        index: of the block within its track.
        samples: what it carries; 96 (192 bytes) were seen in the middle of a track.
    """

    track: Track
    index: int
    samples: int = 96


@dataclass(frozen=True, slots=True)
class Take:
    """One recording of one contact.

    Attributes:
        customer: int16 little-endian, mono, 8 kHz.
        agent: the same; each track ends by itself.
        contact_id: what each fragment's tag says.
        start_ms: epoch milliseconds of the first sample of both tracks.
        instance_id: of the Connect instance.
        order: the tracks by their numbers, 1 and 2.
        has_legacy_name: the customer's track has the name of older streams.
        identity: where the producer's tags stand, relative to the Cluster.
        untagged: fragments without any tags, by index; negative from the end.
        anonymous: fragments with the service's tags alone.
        holes: audio that is missing.
        short_blocks: blocks of which a part is missing.
        stop_ms: media streaming stops here, counted from the start; None at the end of both tracks.
        seed: of the lengths of fragments.
    """

    customer: bytes
    agent: bytes
    contact_id: str
    start_ms: int
    instance_id: str = "00000000-0000-4000-8000-0000000000aa"
    order: tuple[Track, Track] = ("customer", "agent")
    has_legacy_name: bool = False
    identity: Literal["before", "after", "both"] = "after"
    untagged: tuple[int, ...] = ()
    anonymous: tuple[int, ...] = ()
    holes: tuple[Hole, ...] = ()
    short_blocks: tuple[ShortBlock, ...] = ()
    stop_ms: int | None = None
    seed: int = 0

    def pcm(self, track: Track) -> bytes:
        """Return one track up to the stop."""
        whole = self.customer if track == "customer" else self.agent
        return whole if self.stop_ms is None else whole[: self.stop_ms * SAMPLES_PER_MS * 2]

    @property
    def duration_ms(self) -> int:
        """The length of the longer track, up to the stop."""
        return -(-max(len(self.pcm("customer")), len(self.pcm("agent"))) // (SAMPLES_PER_MS * 2))


class Tick(NamedTuple):
    """What both tracks send for one step of 64 ms.

    Attributes:
        blocks: SimpleBlocks, one for each track that has audio.
        end_ms: epoch milliseconds at which the last of them ends.
        due_ms: when it is whole, counted from the recording's start.
        opening: of the fragment that it begins; None within one.
        is_last: whether it ends its fragment.
    """

    blocks: Sequence[bytes]
    end_ms: int
    due_ms: int
    opening: Opening | None
    is_last: bool


def ticks(take: Take) -> Iterator[Tick]:
    """Yield a recording, step by step; each is encoded when it is asked for."""
    audio = _Audio(take)
    head = matroska.head(_segment_uid(take), [(_UIDS[track], audio.name(track)) for track in take.order])
    fragments = list(_fragments(take, audio))
    untagged, anonymous = ({index % len(fragments) for index in odd} for odd in (take.untagged, take.anonymous))
    for index, steps in enumerate(fragments):
        identity = b"" if index in untagged or index in anonymous else _identity(take)
        start_ms = take.start_ms + steps[0] * BLOCK_MS
        opening = Opening(
            producer_ms=start_ms,
            head=head,
            identity_before=identity if take.identity != "after" else b"",
            identity_after=identity if take.identity != "before" else b"",
            is_numbered=index not in untagged,
        )
        for step in steps:
            blocks, length_ms = audio.blocks(step, (step - steps[0]) * BLOCK_MS)
            yield Tick(
                blocks=blocks,
                end_ms=take.start_ms + step * BLOCK_MS + length_ms,
                due_ms=(step + 1) * BLOCK_MS,
                opening=opening if step == steps[0] else None,
                is_last=step == steps[-1],
            )


async def play(stream: Stream, take: Take, speed: float = 1.0, *, is_by_fragment: bool = False) -> None:
    """Push a recording, each block when it is due, whatever the readers do.

    Args:
        stream: where to.
        take: what.
        speed: audio seconds a second; 0 pushes all of it at once.
        is_by_fragment: blocks wait for the end of their fragment; nobody has seen which of both Connect does.
    """
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    kept: list[Tick] = []
    for tick in ticks(take):
        kept.append(tick)
        if is_by_fragment and not tick.is_last:
            continue
        if speed:
            await asyncio.sleep(_on_beat(start_s + tick.due_ms / 1_000 / speed) - loop.time())
        push(stream, kept)
        kept.clear()
        if not speed and tick.is_last:
            await asyncio.sleep(0)  # readers take their turn


def _on_beat(due_s: float) -> float:
    return math.ceil(due_s / BEAT_S) * BEAT_S


def push(stream: Stream, steps: list[Tick]) -> None:
    """Push steps at once."""
    for tick in steps:
        if tick.opening is not None:
            stream.open(tick.opening)
        stream.add(tick.blocks, tick.end_ms)
        if tick.is_last:
            stream.close()


class _Audio:
    """Cuts both tracks into blocks and leaves out what the take says is missing."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._tracks = [(number, track, take.pcm(track)) for number, track in enumerate(take.order, 1)]
        self._short = {(odd.track, odd.index): odd.samples * 2 for odd in take.short_blocks}
        self.steps = -(-max(len(pcm) for _, _, pcm in self._tracks) // BLOCK_BYTES)

    def name(self, track: Track) -> str:
        return _LEGACY_NAME if self._take.has_legacy_name and track == "customer" else _NAMES[track]

    def is_heard(self, step: int) -> bool:
        return any(self._pcm(track, pcm, step) for _, track, pcm in self._tracks)

    def blocks(self, step: int, relative_ms: int) -> tuple[list[bytes], int]:
        """Return the blocks of one step and the length of the longest in milliseconds."""
        blocks, longest = [], 0
        for track_number, track, pcm in self._tracks:
            part = self._pcm(track, pcm, step)
            if part:
                blocks.append(matroska.block(track_number, relative_ms, part))
                longest = max(longest, len(part))
        return blocks, -(-longest // (SAMPLES_PER_MS * 2))

    def _pcm(self, track: Track, pcm: bytes, step: int) -> bytes:
        first = step * BLOCK_BYTES
        if any(hole.covers(track, step * BLOCK_MS) for hole in self._take.holes):
            return b""
        return pcm[first : first + self._short.get((track, step), BLOCK_BYTES)]


def _fragments(take: Take, audio: _Audio) -> Iterator[list[int]]:
    """Yield the steps of each fragment; one that no track has audio for does not exist."""
    dice = random.Random(take.seed)
    first = 0
    while first < audio.steps:
        end = min(first + dice.choice(TICKS_PER_FRAGMENT), audio.steps)
        heard = [step for step in range(first, end) if audio.is_heard(step)]
        if heard:
            yield heard
        first = end


def _identity(take: Take) -> bytes:
    return matroska.tags(
        (
            ("ContactId", take.contact_id),
            ("InstanceId", take.instance_id),
            ("MimeType", "audio/L16;rate=8000;channels=1;"),
            # Constants, whichever track has which number: only a track's Name tells the direction.
            ("AUDIO_FROM_CUSTOMER", "1"),
            ("AUDIO_TO_CUSTOMER", "2"),
            ("Events", "[]"),
        )
    )


def _segment_uid(take: Take) -> bytes:
    return uuid.uuid5(_RECORDINGS, f"{take.contact_id}|{take.start_ms}|{take.seed}").bytes
