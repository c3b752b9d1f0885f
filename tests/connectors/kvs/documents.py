"""Bytes of GetMedia responses, element by element; the recorded and published ones; what the parser makes of them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from connectors.kvs.events import Block, Damage, Event, FragmentClosed, FragmentOpened
from connectors.kvs.matroska import LEAF_LIMIT_BYTES, Parser

DATA = Path(__file__).parents[4] / "shared" / "data" / "kvs"
FIXTURES = DATA / "connect-shape-fixtures"
TITLES = (
    "connect_real_shape false_ebml_magic_in_pcm filter_mismatch gap known_size_cluster multi_cluster multi_segment "
    "partial_tags scaled_timestamps short_block_mid_track stream_reuse tagless_consecutive tagless_single tagless_tail "
    "tail_last_fragment topology_basic track_order_swapped two_tracks unknown_elements"
).split()
RECORDED = (
    "empty-mkv-with-tags output-get-media-non-increasing-timecode output_get_media output_get_media_sparse_fragments "
    "test_mixed_tags test_tags_empty_cluster"
).split()
VIDEO_LIMIT_BYTES = 256 * 1_024  # key frames of the recorded video have up to 112 kB

CONTACT = "11111111-2222-4333-8444-555555555555"
VOICES = {1: "AUDIO_FROM_CUSTOMER", 2: "AUDIO_TO_CUSTOMER"}
START_MS = 1_726_677_688_724
UID = bytes(range(16))
UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def element(identity: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return name(identity) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def endless(identity: int, *parts: bytes) -> bytes:
    return name(identity) + UNKNOWN_SIZE + b"".join(parts)


def name(identity: int) -> bytes:
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big")


HEADER = element(0x1A45DFA3, element(0x4286, b"\1"), element(0x4282, b"matroska"))


def info(uid: bytes = UID, scale: int = 1_000_000) -> bytes:
    return element(0x1549A966, element(0x73A4, uid), element(0x2AD7B1, scale.to_bytes(4, "big")))


def tracks(names: Mapping[int, str]) -> bytes:
    entries = (
        element(
            0xAE,
            element(0xD7, bytes([number])),
            element(0x73C5, bytes([number ^ 0xFF])),
            element(0x86, b"A_AAC"),
            element(0x63A2, b"\x11\x90"),
            element(0x536E, text.encode()),
        )
        for number, text in names.items()
    )
    return element(0x1654AE6B, *entries)


def tags(texts: Mapping[str, str]) -> bytes:
    pairs = (element(0x67C8, element(0x45A3, one.encode()), element(0x4487, texts[one].encode())) for one in texts)
    return element(0x1254C367, element(0x7373, *pairs))


def aws(**facts: str) -> bytes:
    return tags({f"AWS_KINESISVIDEO_{fact}": text for fact, text in facts.items()})


def block(track: int, relative_ms: int, payload: bytes, flags: int = 0) -> bytes:
    return element(0xA3, bytes([0x80 | track]) + relative_ms.to_bytes(2, "big", signed=True) + bytes([flags]) + payload)


def cluster(time_ms: int, *blocks: bytes) -> bytes:
    return endless(0x1F43B675, element(0xE7, time_ms.to_bytes(6, "big")), *blocks)


def sound(seed: int, count: int = 1_024) -> bytes:
    return random.Random(seed).randbytes(count)


def blocks(number: int, count: int) -> bytes:
    """Return so many blocks of each of two tracks."""
    return b"".join(
        block(track, 64 * step, sound(number * 1_000 + step * 2 + track)) for step in range(count) for track in (1, 2)
    )


def fragment(number: int, count: int = 3, contact: str = CONTACT, names: Mapping[int, str] = VOICES) -> bytes:
    """Return one fragment as Connect writes it, with so many blocks of each track."""
    start_ms = START_MS + 64 * count * number
    return b"".join(
        (
            HEADER,
            endless(0x18538067, info(), tracks(names)),
            aws(
                FRAGMENT_NUMBER=str(number),
                SERVER_TIMESTAMP=f"{(start_ms + 1_250) / 1_000:.3f}",
                PRODUCER_TIMESTAMP=f"{start_ms / 1_000:.3f}",
            ),
            cluster(start_ms, blocks(number, count)),
            tags({"ContactId": contact, "AUDIO_FROM_CUSTOMER": "1"}),
            aws(MILLIS_BEHIND_NOW="12", CONTINUATION_TOKEN=str(number)),
        )
    )


def fixture(title: str) -> bytes:
    path = FIXTURES / f"{title}.ebml.hex"
    if not path.is_file():
        pytest.skip(f"the fixture {title} is not in ../shared/data/kvs")
    return bytes.fromhex("".join(line for line in path.read_text().splitlines() if not line.startswith("#")))


def recorded(title: str) -> bytes:
    path = DATA / "kvs-getmedia-mkv" / f"{title}.mkv"
    if not path.is_file():
        pytest.skip(f"the response {title} is not in ../shared/data/kvs")
    return path.read_bytes()


def read(feeds: Iterable[bytes], limit_bytes: int = LEAF_LIMIT_BYTES) -> list[Event]:
    """Return all events of a response that comes in these feeds."""
    parser = Parser(limit_bytes)
    events = [event for feed in feeds for event in parser.feed(feed)]
    return [*events, *parser.end()]


def bytewise(response: bytes) -> Iterable[bytes]:
    return (response[at : at + 1] for at in range(len(response)))


def drawn(response: bytes, seed: int) -> Iterable[bytes]:
    """Cut a response into feeds of drawn lengths, from empty ones to large ones."""
    rng, at = random.Random(seed), 0
    while at < len(response):
        length = rng.choice((0, 1, 2, 3, 7, 64, 300, 1_024, 5_000)) * rng.randint(1, 3)
        yield response[at : at + length]
        at += length


def fragments(events: Sequence[Event]) -> list[tuple[Event, ...]]:
    """Group the events of each fragment, without what stands between them."""
    found: list[list[Event]] = []
    is_open = False
    for event in events:
        if isinstance(event, FragmentOpened):
            found.append([])
            is_open = True
        if is_open:
            found[-1].append(event)
        if isinstance(event, FragmentClosed):
            is_open = False
    return [tuple(one) for one in found]


def closed(events: Sequence[Event]) -> list[FragmentClosed]:
    return [event for event in events if isinstance(event, FragmentClosed)]


def heard(events: Sequence[Event]) -> list[Block]:
    return [event for event in events if isinstance(event, Block)]


def damage(events: Sequence[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Damage)]
