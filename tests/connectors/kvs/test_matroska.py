"""What GetMedia's Matroska means, and each way in which Connect's is unlike what one expects."""

import numpy as np
import pytest

from connectors.kvs.events import (
    Block,
    ClusterOpened,
    ErrorTold,
    FragmentClosed,
    FragmentOpened,
    Tag,
)
from connectors.kvs.matroska import LEAF_LIMIT_BYTES, Parser
from tests.connectors.kvs.documents import (
    CONTACT,
    HEADER,
    START_MS,
    UID,
    UNKNOWN_SIZE,
    VOICES,
    aws,
    block,
    blocks,
    bytewise,
    closed,
    cluster,
    damage,
    drawn,
    element,
    endless,
    fragment,
    fragments,
    heard,
    info,
    name,
    read,
    sound,
    tags,
    tracks,
)

pytestmark = pytest.mark.unit

SEGMENT = 0x18538067
TIMES = {"PRODUCER_TIMESTAMP": "1726677688.724", "SERVER_TIMESTAMP": "1726677689.974"}


def document(*parts: bytes) -> bytes:
    return HEADER + endless(SEGMENT, info(), tracks(VOICES), *parts)


def test_a_fragment_is_told_in_order_and_whole_at_its_token() -> None:
    assert [
        FragmentOpened(),
        Tag("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "0"),
        Tag("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1726677689.974"),
        Tag("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1726677688.724"),
        ClusterOpened(START_MS, UID, ((1, "AUDIO_FROM_CUSTOMER"), (2, "AUDIO_TO_CUSTOMER"))),
        Block(START_MS, 1, "customer", sound(1)),
        Block(START_MS, 2, "agent", sound(2)),
        Tag("ContactId", CONTACT),
        Tag("AUDIO_FROM_CUSTOMER", "1"),
        Tag("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "12"),
        Tag("AWS_KINESISVIDEO_CONTINUATION_TOKEN", "0"),
        FragmentClosed("0", START_MS, START_MS + 1_250, 12, "0", CONTACT, 2, False, False),
    ] == list(Parser().feed(fragment(0, count=1)))


def test_a_block_is_told_with_its_last_byte() -> None:
    before = document(element(0x1F43B675, element(0xE7, b"\5")))
    whole = block(1, 7, b"pcm!")
    parser = Parser()
    parser.feed(before)
    nothing = parser.feed(b"")
    assert [] == [event for byte in bytewise(whole[:-1]) for event in parser.feed(byte)]
    assert [Block(12, 1, "customer", b"pcm!")] == list(parser.feed(whole[-1:]))
    assert [] == list(nothing)  # what was returned does not change


def test_codec_id_says_aac_and_the_sound_is_given_as_it_is() -> None:
    pcm = np.arange(-256, 256, dtype="<i2")
    (given,) = heard(read([document(cluster(0, block(1, 0, pcm.tobytes())))]))
    assert np.array_equal(pcm, np.frombuffer(given.payload, "<i2"))


def test_track_order_and_tag_values_say_nothing_of_the_voice() -> None:
    swapped = fragment(0, count=1, names={1: "AUDIO_TO_CUSTOMER", 2: "AUDIO_FROM_CUSTOMER"})
    assert [("agent", sound(1)), ("customer", sound(2))] == [(one.track, one.payload) for one in heard(read([swapped]))]


@pytest.mark.parametrize(
    ("title", "voice"),
    [
        ("AUDIO_FROM_CUSTOMER", "customer"),
        ("AUDIO_TO_CUSTOMER", "agent"),
        ("Track_audio/L16", "customer"),
        ("kinesis_video", None),
        ("audio_from_customer", None),
    ],
)
def test_a_track_is_known_by_its_name(title: str, voice: str | None) -> None:
    assert [voice] == [
        one.track for one in heard(read([HEADER, endless(SEGMENT, tracks({1: title}), cluster(0, block(1, 0, b"")))]))
    ]


def test_a_track_may_have_its_name_before_its_number() -> None:
    entry = element(0xAE, element(0x536E, b"AUDIO_TO_CUSTOMER"), element(0xD7, b"\2"))
    events = read([HEADER + endless(SEGMENT, element(0x1654AE6B, entry), cluster(0, block(2, 0, b"")))])
    assert ["agent"] == [one.track for one in heard(events)]
    assert [((2, "AUDIO_TO_CUSTOMER"),)] == [one.tracks for one in events if isinstance(one, ClusterOpened)]


def test_a_short_block_moves_no_other() -> None:
    parts = (block(1, 0, sound(1)), block(1, 64, sound(2, 192)), block(1, 128, sound(3)))
    told = heard(read([document(cluster(START_MS, *parts))]))
    assert [(START_MS, 1_024), (START_MS + 64, 192), (START_MS + 128, 1_024)] == [
        (one.time_ms, len(one.payload)) for one in told
    ]


def test_a_fragment_without_tags_is_closed_by_the_next_and_tells_no_contact() -> None:
    events = read([fragment(0) + document(cluster(1, block(1, 0, b"a"))) + fragment(2)])
    assert [("0", CONTACT), (None, None), ("2", CONTACT)] == [(one.number, one.contact_id) for one in closed(events)]
    assert [False] * 3 == [one.is_truncated or one.is_damaged for one in closed(events)]


def test_the_last_fragment_without_tags_is_given_at_the_end_as_truncated() -> None:
    events = read([fragment(0) + document(cluster(1, block(1, 0, b"a")))])
    assert [False, True] == [one.is_truncated for one in closed(events)]
    assert b"a" == heard(events)[-1].payload


def test_another_contact_on_the_same_stream_is_told_per_fragment() -> None:
    events = read([fragment(0, contact="one") + fragment(1, contact="two") + fragment(2, contact="one")])
    assert ["one", "two", "one"] == [one.contact_id for one in closed(events)]


@pytest.mark.parametrize(
    "hidden", [b"\x1a\x45\xdf\xa3" * 256, HEADER, fragment(9)], ids=("magic", "header", "fragment")
)
def test_sound_that_holds_the_bytes_of_a_header_splits_nothing(hidden: bytes) -> None:
    response = fragment(0) + document(cluster(1, block(1, 0, hidden), block(2, 0, hidden))) + fragment(2)
    events = read(drawn(response, 1))
    assert 3 == len(closed(events)) and [] == damage(events)
    assert [hidden, hidden] == [one.payload for one in heard(events)[6:8]]


def test_identity_may_come_before_the_cluster() -> None:
    response = document(tags({"ContactId": "early"}), cluster(0, block(1, 0, b"a")), aws(CONTINUATION_TOKEN="7"))
    kinds = [type(event) for event in read([response])]
    assert kinds.index(Tag) < kinds.index(Block)
    assert ["early"] == [one.contact_id for one in closed(read([response]))]


def test_a_token_before_the_cluster_ends_nothing() -> None:
    response = document(aws(FRAGMENT_NUMBER="1", CONTINUATION_TOKEN="1"), cluster(0, block(1, 0, b"a")))
    assert [(1, False), (1, True)] == [(one.blocks, one.is_truncated) for one in closed(read([response * 2]))]


def test_a_cluster_of_known_size_reads_as_one_without() -> None:
    content = element(0xE7, b"\0\5") + blocks(0, 2)
    sizes = (element(0x1F43B675, content), endless(0x1F43B675, content))
    known, unknown = (read([document(one, aws(CONTINUATION_TOKEN="1"))]) for one in sizes)
    assert known == unknown
    assert 4 == len(heard(known))


def test_two_clusters_in_a_segment_are_one_fragment() -> None:
    events = read(
        [document(cluster(0, block(1, 0, b"a")), cluster(64, block(1, 0, b"b")), aws(CONTINUATION_TOKEN="1"))]
    )
    assert [0, 64] == [one.time_ms for one in heard(events)]
    assert [2] == [one.blocks for one in closed(events)]


def test_a_segment_without_a_header_begins_a_fragment() -> None:
    segment = endless(SEGMENT, tracks(VOICES), cluster(0, block(1, 0, b"a")))
    assert [1, 1, 1] == [one.blocks for one in closed(read([HEADER + segment * 3]))]


def test_a_cluster_after_the_token_begins_a_fragment_with_the_same_tracks() -> None:
    events = read([fragment(0, count=1) + cluster(9, block(2, 0, b"late"))])
    assert [False, True] == [one.is_truncated for one in closed(events)]
    assert Block(9, 2, "agent", b"late") == heard(events)[-1]
    assert (None, None) == (closed(events)[-1].number, closed(events)[-1].contact_id)


def test_a_tag_after_the_token_is_told_and_opens_nothing() -> None:
    events = read([fragment(0) + tags({"late": "tag"})])
    assert [FragmentClosed, Tag] == [type(event) for event in events[-2:]]


def test_times_count_in_the_segments_own_scale_and_may_be_before_the_cluster() -> None:
    parts = (block(1, -20, b"a"), block(1, 0, b"b"), block(1, 20, b"c"))
    response = HEADER + endless(SEGMENT, info(scale=100_000), tracks(VOICES), cluster(1_000, *parts))
    assert [98, 100, 102] == [one.time_ms for one in heard(read([response]))]


def test_a_track_number_may_have_two_bytes() -> None:
    long = element(0xA3, b"\x40\x02\0\0\0pcm")
    assert [(2, "agent", b"pcm")] == [
        (one.number, one.track, one.payload) for one in heard(read([document(cluster(0, long))]))
    ]


@pytest.mark.parametrize("size", [b"\x81", b"\x40\x01", b"\x20\x00\x01", b"\x10\0\0\1", b"\x01" + b"\0" * 6 + b"\1"])
def test_a_size_may_be_written_in_any_length(size: bytes) -> None:
    response = document(endless(0x1F43B675, name(0xE7) + size + b"\7", block(1, 0, b"a")))
    assert [7] == [one.time_ms for one in heard(read([response]))]


def test_unknown_elements_are_skipped() -> None:
    strange = element(0x4FFE, b"\x2a") + element(0x4FFF, element(0x536E, b"vendor"), element(0xD7, b"\7"))
    response = HEADER + endless(
        SEGMENT, strange, info(), tracks(VOICES), strange, cluster(0, strange, block(1, 0, b"a"))
    )
    events = read([response + strange])
    assert [Block(0, 1, "customer", b"a")] == heard(events) and [] == damage(events)


def test_a_tag_may_have_its_text_before_its_name() -> None:
    pair = element(0x67C8, element(0x4487, b"text"), element(0x45A3, b"name"))
    response = HEADER + endless(SEGMENT, element(0x1254C367, element(0x7373, pair)))
    assert Tag("name", "text") in read([response])


def test_padding_and_bad_utf8_are_no_text() -> None:
    pair = element(0x67C8, element(0x45A3, b"name\0\0"), element(0x4487, b"a\xff\0b"))
    response = HEADER + endless(SEGMENT, element(0x1254C367, element(0x7373, pair)))
    assert Tag("name", "a\ufffd") in read([response])


def test_an_error_in_a_document_without_a_cluster_is_told() -> None:
    response = fragment(0) + HEADER + endless(SEGMENT, aws(ERROR_CODE="InternalError", ERROR_ID="5000"))
    events = read([response])
    assert ErrorTold("InternalError", "5000", None) == events[-2]
    assert [6, 0] == [one.blocks for one in closed(events)]


def test_the_names_of_the_fragment_list_tell_the_same() -> None:
    facts = {"PRODUCER_SIDE_TIMESTAMP": "1726677688.724", "SERVER_SIDE_TIMESTAMP": "1726677689.974"}
    short, long = (closed(read([document(aws(**names), cluster(0))]))[0] for names in (TIMES, facts))
    assert short == long and (1_726_677_688_724, 1_726_677_689_974) == (long.producer_ms, long.server_ms)
    failed = document(aws(EXCEPTION_ERROR_CODE="ResourceNotFound", EXCEPTION_MESSAGE="gone"))
    assert [ErrorTold("ResourceNotFound", None, None), ErrorTold("ResourceNotFound", None, "gone")] == [
        event for event in read([failed]) if isinstance(event, ErrorTold)
    ]


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("0", 0),
        ("1.5", 1_500),
        ("1.23456", 1_234),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("9" * 5_000, None),
        (".5", None),
    ],
)
def test_a_time_is_read_or_left_out(text: str, time_ms: int | None) -> None:
    assert time_ms == closed(read([document(aws(PRODUCER_TIMESTAMP=text), cluster(0))]))[0].producer_ms


@pytest.mark.parametrize("flags", [0x02, 0x04, 0x06])
def test_a_laced_block_is_damage(flags: int) -> None:
    refuses("a laced block", cluster(0, block(1, 0, b"\1aabb", flags)))


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        ("a block group", cluster(0, element(0xA0, element(0xA1, b"\x81\0\0\0pcm")))),
        ("a block outside a cluster", tags({"a": "b"}) + block(1, 0, b"pcm")),
        ("a block before its cluster's time", endless(0x1F43B675, block(1, 0, b"pcm"))),
        ("two times in one cluster", cluster(0, element(0xE7, b"\1"))),
        ("a block of an undeclared track", cluster(0, block(3, 0, b"pcm"))),
        ("a block without its head", cluster(0, element(0xA3, b"\x81\0\0"))),
        ("a block without a track number", cluster(0, element(0xA3, b""))),
        ("an integer of more than eight bytes", endless(0x1F43B675, element(0xE7, b"\0" * 9))),
        ("a cluster without a possible time", endless(0x1F43B675, element(0xE7, b"\xff" * 8))),
        ("an element without end or beyond the size limit", cluster(0, name(0xA3) + UNKNOWN_SIZE)),
        ("an element without end or beyond the size limit", cluster(0, name(0xA3) + b"\xff")),
        ("an element without end or beyond the size limit", cluster(0, name(0xA3) + b"\x7f\xff")),
        ("an element without end or beyond the size limit", element(0x4FFE, bytes(LEAF_LIMIT_BYTES + 1))),
        ("an element id of more than four bytes", b"\x08\x81\x00"),
        ("an element size of more than eight bytes", b"\xec\0"),
        ("too many tracks", tracks(dict.fromkeys(range(1, 18), "one"))),
        ("two numbers in one fragment", aws(FRAGMENT_NUMBER="1") + aws(FRAGMENT_NUMBER="2")),
    ],
)
def test_what_no_writer_makes_is_damage(reason: str, content: bytes) -> None:
    refuses(reason, content)


def refuses(reason: str, content: bytes) -> None:
    """Check that the fragment is closed as damaged, what came before is kept, and the next is read."""
    response = fragment(0) + document(cluster(5, block(1, 0, b"before")), content) + fragment(2)
    events = read(drawn(response, 1))
    assert [reason] == damage(events)
    assert [False, True, False] == [one.is_damaged for one in closed(events)]
    assert b"before" == heard(events)[6].payload
    assert fragments(read([fragment(2)])) == fragments(events)[2:]
