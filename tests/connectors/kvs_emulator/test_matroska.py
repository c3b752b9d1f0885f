"""The bytes of a fragment, judged by somebody else's parser and by fixtures of the shape that Connect produces."""

import pytest

from connectors.kvs_emulator import Hole, ShortBlock, Take, matroska
from connectors.kvs_emulator.fragments import Stream
from connectors.kvs_emulator.takes import push, ticks
from tests.connectors.kvs_emulator import seen
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, TICK_BYTES, noise

pytestmark = pytest.mark.unit

# What the stream of a real instance was seen to have and the fixtures leave out.
BEYOND_FIXTURES = {"Events"}


def emitted(take: Take) -> list[seen.Seen]:
    """What an archive read of a whole recording gives, without HTTP."""
    stream = Stream("stream", 1e9, lambda: START_MS)
    push(stream, list(ticks(take)))
    parts = [[one.beginning(), *one.blocks, one.opening.identity_after] for one in stream.held()]
    return seen.documents(b"".join(part for fragment in parts for part in fragment))


def grid(document: seen.Seen) -> list[tuple[int, int, int]]:
    return [(block.track_number, block.relative_ms, len(block.pcm)) for block in document.blocks]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "80"), (126, "fe"), (127, "407f"), (16_382, "7ffe"), (16_383, "203fff"), (2**56 - 2, "01fffffffffffffe")],
)
def test_size_is_the_shortest_that_is_not_reserved(count: int, expected: str) -> None:
    assert expected == matroska.size(count).hex()


def test_header_names_matroska_with_seven_children() -> None:
    (document,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS))
    assert 7 == len(document.header)
    assert "matroska" == document.header["DocType"]


def test_fragment_has_the_elements_and_tags_of_the_fixture() -> None:
    (fixture,) = seen.fixture("connect_real_shape")
    (document,) = emitted(Take(noise(2), noise(2), CONTACT, START_MS, identity="both"))
    # The last Tags of the fixture belong to a live reply: test_server.py.
    assert fixture.order[:-1] == document.order
    assert fixture.info.keys() == document.info.keys()
    assert [entry.keys() for entry in fixture.tracks] == [entry.keys() for entry in document.tracks]
    expected = [group.keys() for group in fixture.tag_groups[:-1]]
    assert expected == [group.keys() - BEYOND_FIXTURES for group in document.tag_groups]
    assert [one.track_number for one in fixture.blocks] == [one.track_number for one in document.blocks]


def test_codec_lies_as_it_does_in_the_field() -> None:
    (fixture,) = seen.fixture("connect_real_shape")
    (document,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS))
    for field in ("CodecID", "CodecPrivate", "TrackType", "TrackUID", "Name", "TrackNumber"):
        assert [entry[field] for entry in fixture.tracks] == [entry[field] for entry in document.tracks]
    assert "audio/L16;rate=8000;channels=1;" == document.tags["MimeType"]


def test_swapped_tracks_keep_names_with_uids_and_constants_in_tags() -> None:
    (fixture,) = seen.fixture("track_order_swapped")
    (document,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS, order=("agent", "customer")))
    for field in ("TrackNumber", "TrackUID", "Name"):
        assert [entry[field] for entry in fixture.tracks] == [entry[field] for entry in document.tracks]
    for tag in ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER"):
        (straight,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS))
        assert straight.tags[tag] == document.tags[tag]


def test_short_block_leaves_the_next_on_the_grid() -> None:
    (fixture,) = seen.fixture("short_block_mid_track")
    short = ShortBlock("customer", 1)
    (document,) = emitted(Take(noise(3), noise(3), CONTACT, START_MS, short_blocks=(short,)))
    assert grid(fixture) == grid(document)
    expected = noise(3)[:1_216] + bytes(832) + noise(3)[2_048:]
    assert expected == seen.pcm([document], START_MS)["customer"]


def test_tail_without_tags_is_the_last_fragment() -> None:
    fixture = seen.fixture("tagless_tail")
    documents = emitted(Take(noise(50), noise(50), CONTACT, START_MS, identity="both", untagged=(-1,)))
    assert fixture[-1].order == documents[-1].order == ("Info", "Tracks", "Cluster")
    assert [CONTACT] * (len(documents) - 1) == [one.tags["ContactId"] for one in documents[:-1]]
    assert 1 == len({bytes(one.info["SegmentUID"]) for one in documents})


def test_middle_without_tags_and_with_the_services_alone() -> None:
    partial = seen.fixture("partial_tags")[1]
    documents = emitted(Take(noise(80), noise(80), CONTACT, START_MS, untagged=(1,), anonymous=(2,)))
    assert {} == documents[1].tags
    assert "ContactId" not in partial.tags
    assert "ContactId" not in documents[2].tags
    assert "AWS_KINESISVIDEO_FRAGMENT_NUMBER" in documents[2].tags


@pytest.mark.parametrize(
    ("identity", "order"),
    [
        ("before", ("Info", "Tracks", "Tags", "Tags", "Cluster")),
        ("after", ("Info", "Tracks", "Tags", "Cluster", "Tags")),
        ("both", ("Info", "Tracks", "Tags", "Tags", "Cluster", "Tags")),
    ],
)
def test_identity_stands_before_or_after_the_cluster(identity: str, order: tuple[str, ...]) -> None:
    where: dict[str, object] = {"identity": identity}
    (document,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS, **where))  # type: ignore[arg-type]
    assert order == document.order
    assert CONTACT == document.tags["ContactId"]


def test_legacy_stream_names_the_customers_track_after_its_format() -> None:
    (document,) = emitted(Take(noise(1), noise(1), CONTACT, START_MS, has_legacy_name=True))
    assert ["Track_audio/L16", "AUDIO_TO_CUSTOMER"] == [entry["Name"] for entry in document.tracks]


def test_fragments_have_32_or_34_blocks_on_the_grid_of_64_ms() -> None:
    documents = emitted(Take(noise(200), noise(200), CONTACT, START_MS))
    assert {32, 34} == {len(one.blocks) for one in documents[:-1]}
    for one in documents:
        assert grid(one) == [(n % 2 + 1, n // 2 * 64, TICK_BYTES) for n in range(len(one.blocks))]
    times = [one.timecode_ms for one in documents]
    assert START_MS == times[0]
    assert sorted(set(times)) == times  # type: ignore[type-var]


def test_tracks_of_any_length_come_back_to_the_byte() -> None:
    customer, agent = noise(40)[: -333 * 2], noise(33, seed=2)[: -5 * 2]
    documents = emitted(Take(customer, agent, CONTACT, START_MS))
    assert {"customer": customer, "agent": agent} == seen.pcm(documents, START_MS)


def test_stop_cuts_both_tracks() -> None:
    documents = emitted(Take(noise(40), noise(40, 2), CONTACT, START_MS, stop_ms=1_500))
    end = 1_500 * 16
    assert {"customer": noise(40)[:end], "agent": noise(40, 2)[:end]} == seen.pcm(documents, START_MS)


def test_hole_of_one_track_leaves_the_other_alone() -> None:
    hole = Hole(640, 1_280, "customer")
    documents = emitted(Take(noise(40), noise(40, 2), CONTACT, START_MS, holes=(hole,)))
    expected = noise(40)[: 10 * TICK_BYTES] + bytes(10 * TICK_BYTES) + noise(40)[20 * TICK_BYTES :]
    assert {"customer": expected, "agent": noise(40, 2)} == seen.pcm(documents, START_MS)


def test_hole_of_both_tracks_makes_no_empty_fragments() -> None:
    hole = Hole(640, 6_400)
    documents = emitted(Take(noise(200), noise(200), CONTACT, START_MS, holes=(hole,)))
    assert all(one.blocks for one in documents)
    times = [
        one.timecode_ms + block.relative_ms - START_MS
        for one in documents
        for block in one.blocks
        if one.timecode_ms is not None
    ]
    assert [] == [at for at in times if 640 <= at < 6_400]
    assert 6_400 in times


def test_audio_full_of_magic_is_audio() -> None:
    magic = bytes.fromhex("1a45dfa3") * 256
    documents = emitted(Take(magic * 20, noise(20), CONTACT, START_MS))
    assert magic * 20 == seen.pcm(documents, START_MS)["customer"]
