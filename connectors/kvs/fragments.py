"""What the elements of a GetMedia response mean: fragments, their blocks and their tags.

Owns where a fragment begins and ends, whose voice a track is, when a block sounds, and the service's own tags. It is
given elements one by one and does not know bytes in transit, feeds or how reading goes on after damage
(`matroska.py`). It has no opinion: which contact, which gap and which error matter is decided by who reads.

Masters are not tracked: an element is known by its id and by whether the last section that began was a cluster. That
is what an unknown-size Segment and Cluster need, and a wrong size of a master does no harm.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.kvs import ebml
from connectors.kvs.ebml import Malformed
from connectors.kvs.events import (
    Block,
    ClusterOpened,
    ErrorTold,
    Event,
    FragmentClosed,
    FragmentOpened,
    Tag,
)
from topics.records import Track

# Ids of RFC 9559, in the order of its section 5.1.
EBML: Final = 0x1A45DFA3
SEGMENT: Final = 0x18538067
INFO: Final = 0x1549A966
SEGMENT_UID: Final = 0x73A4
TIMECODE_SCALE: Final = 0x2AD7B1
CLUSTER: Final = 0x1F43B675
TIMECODE: Final = 0xE7
POSITION: Final = 0xA7
PREV_SIZE: Final = 0xAB
SIMPLE_BLOCK: Final = 0xA3
BLOCK_GROUP: Final = 0xA0
TRACKS: Final = 0x1654AE6B
TRACK_ENTRY: Final = 0xAE
TRACK_NUMBER: Final = 0xD7
TRACK_NAME: Final = 0x536E
TAGS: Final = 0x1254C367
TAG: Final = 0x7373
SIMPLE_TAG: Final = 0x67C8
TAG_NAME: Final = 0x45A3
TAG_STRING: Final = 0x4487
VOID: Final = 0xEC
CRC_32: Final = 0xBF

SECTIONS: Final = frozenset(  # what ends a cluster of unknown size: the document, the segment and its children
    {EBML, SEGMENT, INFO, CLUSTER, TRACKS, TAGS, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770}
)
_MASTERS: Final = frozenset({EBML, SEGMENT, INFO, CLUSTER, TRACKS, TRACK_ENTRY, TAGS, TAG, SIMPLE_TAG})
_CLUSTER_SKIPPED: Final = frozenset({POSITION, PREV_SIZE, VOID, CRC_32})
_SKIPPED: Final = frozenset(  # what responses of the service hold elsewhere and nothing here needs, by parent
    {VOID, CRC_32, 0x114D9B74, 0x1C53BB6B}
    | {0x4286, 0x42F7, 0x42F2, 0x42F3, 0x4282, 0x4287, 0x4285}  # EBML
    | {0x4489, 0x4461, 0x7BA9, 0x4D80, 0x5741}  # Info
    | {0x73C5, 0x83, 0x9C, 0x6DE7, 0x86, 0x63A2, 0x23E383, 0x22B59C, 0xE0, 0xE1}  # TrackEntry
    | {0x63C0, 0x68CA, 0x63CA, 0x63C5, 0x447A, 0x4484}  # Tag
)
_SKIPPED_BYTES: Final = 4_096  # recorded responses have 4,029 of Void; a damaged size is mostly larger

_VOICES: Final[dict[str, Track]] = {
    "AUDIO_FROM_CUSTOMER": "customer",
    "AUDIO_TO_CUSTOMER": "agent",
    "Track_audio/L16": "customer",  # what Connect called it when it sent the customer alone
}
_TIME_AND_FLAGS: Final = struct.Struct(">hB").unpack_from  # of a block, after its track number
_LACING: Final = 0x06  # bits of the flags
_TRACKS_LIMIT: Final = 16  # Connect writes two
_DEFAULT_SCALE_NS: Final = 1_000_000  # RFC 9559, section 5.1.2.9
_TIME_LIMIT_MS: Final = 2**62  # a record's time is a signed integer of 64 bits
_NS_PER_MS: Final = 1_000_000

Leaves = Mapping[int, Callable[[bytes], None]]  # what takes the content of a leaf, by its id

# GetMedia and GetMediaForFragmentList have different names for the same facts.
_PREFIX: Final = "AWS_KINESISVIDEO_"
_TOKEN: Final = "CONTINUATION_TOKEN"  # noqa: S105  the name of a place in a stream
_PRODUCER_TIMES: Final = ("PRODUCER_TIMESTAMP", "PRODUCER_SIDE_TIMESTAMP")
_SERVER_TIMES: Final = ("SERVER_TIMESTAMP", "SERVER_SIDE_TIMESTAMP")
_ERRORS: Final = {
    "ERROR_CODE": "code",
    "EXCEPTION_ERROR_CODE": "code",
    "ERROR_ID": "error_id",
    "EXCEPTION_MESSAGE": "message",
}


@dataclass(slots=True)
class _Fragment:
    """One fragment so far."""

    has_segment: bool = False
    has_cluster: bool = False
    segment_uid: bytes | None = None
    scale_ns: int = _DEFAULT_SCALE_NS
    tracks: dict[int, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # the service's facts, without their prefix
    errors: dict[str, str] = field(default_factory=dict)
    contact_id: str | None = None
    blocks: int = 0

    def goes_on(self) -> "_Fragment":
        """Return one for a cluster after the end, which has no header of its own."""
        return _Fragment(
            has_segment=True, segment_uid=self.segment_uid, scale_ns=self.scale_ns, tracks=dict(self.tracks)
        )

    def closed(self, *, is_damaged: bool, is_truncated: bool) -> FragmentClosed:
        """Tell all that was told."""
        return FragmentClosed(
            self.told.get("FRAGMENT_NUMBER"),
            _time_ms(self._told(_PRODUCER_TIMES)),
            _time_ms(self._told(_SERVER_TIMES)),
            _whole(self.told.get("MILLIS_BEHIND_NOW", "")),
            self.told.get(_TOKEN),
            self.contact_id,
            self.blocks,
            is_damaged,
            is_truncated,
        )

    def _told(self, names: tuple[str, ...]) -> str:
        return next((self.told[name] for name in names if name in self.told), "")


class Fragments:
    """Makes events of elements.

    A fragment is whole at its continuation token once it has a cluster, since Connect sends that last; else where the
    next EBML header or Segment begins. Some writers put the token before the cluster.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_open = False  # whether a fragment has begun and not ended
        self._fragment = _Fragment()
        self._cluster_ticks: int | None = None
        self._voices: dict[int, Track | None] = {}  # of the tracks that the fragment had declared before its cluster
        self._entry: tuple[int | None, str] = (None, "")  # the track entry at hand: number and name
        self._tag: tuple[str | None, str | None] = (None, None)  # the tag at hand: name and text
        self._outside: Final[Leaves] = {
            SEGMENT_UID: self._take_segment_uid,
            TIMECODE_SCALE: self._take_scale,
            TRACK_NUMBER: self._take_track_number,
            TRACK_NAME: self._take_track_name,
            TAG_NAME: self._take_tag_name,
            TAG_STRING: self._take_tag_text,
        }
        self._inside: Final[Leaves] = {SIMPLE_BLOCK: self._take_block, TIMECODE: self._take_timecode}
        self.leaves: Leaves = self._outside  # what may be read here

    @property
    def has_cluster(self) -> bool:
        """Whether the fragment that is open, or else the last one, has begun a cluster."""
        return self._fragment.has_cluster

    @property
    def _in_cluster(self) -> bool:
        return self.leaves is self._inside

    def enters(self, identity: int) -> bool:
        """Step into an element that is none of `leaves`, if it is a master that may stand here.

        Raises:
            Malformed: a block group, or a block outside a cluster.
        """
        if identity in SECTIONS:
            self.leaves = self._inside if identity == CLUSTER else self._outside
        elif self._in_cluster:
            if identity == BLOCK_GROUP:
                raise Malformed("a block group")
            return False
        elif identity in {SIMPLE_BLOCK, BLOCK_GROUP}:
            raise Malformed("a block outside a cluster")
        if identity not in _MASTERS:
            return False
        self._enter(identity)
        return True

    def expects(self, identity: int, size: int) -> bool:
        """Tell whether an element that is not read is one that writers put here; others are skipped all the same."""
        return size <= _SKIPPED_BYTES and identity in (_CLUSTER_SKIPPED if self._in_cluster else _SKIPPED)

    def close(self, *, is_damaged: bool = False, is_truncated: bool = False) -> None:
        """End the fragment, if one is open."""
        if self.is_open:
            self.events.append(self._fragment.closed(is_damaged=is_damaged, is_truncated=is_truncated))
            self.is_open = False
        self.leaves = self._outside

    def _enter(self, identity: int) -> None:
        fragment = self._fragment
        if identity == EBML or identity == SEGMENT and (fragment.has_segment or not self.is_open):
            self.close()
            self._open(_Fragment())
        elif identity == CLUSTER:
            if not self.is_open:
                self._open(fragment.goes_on())
            self._fragment.has_cluster = True
            self._cluster_ticks = None
        elif identity == TRACK_ENTRY:
            self._entry = (None, "")
        elif identity == SIMPLE_TAG:
            self._tag = (None, None)
        if identity == SEGMENT:
            self._fragment.has_segment = True

    def _open(self, fragment: _Fragment) -> None:
        self._fragment, self.is_open = fragment, True
        self.events.append(FragmentOpened())

    def _take_timecode(self, content: bytes) -> None:
        ticks, fragment = ebml.number(content), self._fragment
        if self._cluster_ticks is not None:
            raise Malformed("two times in one cluster")
        if not 0 < fragment.scale_ns * max(ticks, 1) < _TIME_LIMIT_MS * _NS_PER_MS:
            raise Malformed("a cluster without a possible time")
        self._cluster_ticks = ticks
        self._voices = {number: _VOICES.get(name) for number, name in fragment.tracks.items()}
        time_ms = ticks * fragment.scale_ns // _NS_PER_MS
        self.events.append(ClusterOpened(time_ms, fragment.segment_uid, tuple(fragment.tracks.items())))

    def _take_block(self, content: bytes) -> None:
        number, at = (content[0] & 0x7F, 1) if content[:1] >= b"\x80" else _long_track_number(content)
        if len(content) < at + 3:
            raise Malformed("a block without its head")
        relative, flags = _TIME_AND_FLAGS(content, at)
        if flags & _LACING:
            raise Malformed("a laced block")
        if self._cluster_ticks is None:
            raise Malformed("a block before its cluster's time")
        if self._voices and number not in self._voices:
            raise Malformed("a block of an undeclared track")
        fragment = self._fragment
        fragment.blocks += 1
        time_ms = (self._cluster_ticks + relative) * fragment.scale_ns // _NS_PER_MS
        self.events.append(Block(time_ms, number, self._voices.get(number), content[at + 3 :]))

    def _take_segment_uid(self, content: bytes) -> None:
        self._fragment.segment_uid = content

    def _take_scale(self, content: bytes) -> None:
        self._fragment.scale_ns = ebml.number(content)

    def _take_track_number(self, content: bytes) -> None:
        self._declare(ebml.number(content), self._entry[1])

    def _take_track_name(self, content: bytes) -> None:
        self._declare(self._entry[0], ebml.text(content))

    def _declare(self, number: int | None, name: str) -> None:
        self._entry = number, name
        tracks = self._fragment.tracks
        if number is not None:
            tracks[number] = name
        if len(tracks) > _TRACKS_LIMIT:
            raise Malformed("too many tracks")

    def _take_tag_name(self, content: bytes) -> None:
        name, text = ebml.text(content), self._tag[1]
        self._tag = name, text
        if text is not None:
            self._tell(name, text)

    def _take_tag_text(self, content: bytes) -> None:
        name, text = self._tag[0], ebml.text(content)
        self._tag = name, text
        if name is not None:
            self._tell(name, text)

    def _tell(self, name: str, text: str) -> None:
        self._tag = None, None
        fragment = self._fragment
        fact = name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""
        if fact == "FRAGMENT_NUMBER" and self.is_open and fragment.told.get(fact, text) != text:
            raise Malformed("two numbers in one fragment")
        self.events.append(Tag(name, text))
        if name == "ContactId":
            fragment.contact_id = text
        elif fact in _ERRORS:
            fragment.errors[_ERRORS[fact]] = text
            told = fragment.errors
            self.events.append(ErrorTold(told.get("code"), told.get("error_id"), told.get("message")))
        elif fact in _FACTS:
            fragment.told[fact] = text
        if fact == _TOKEN and fragment.has_cluster:
            self.close()


_FACTS: Final = frozenset({"FRAGMENT_NUMBER", "MILLIS_BEHIND_NOW", _TOKEN, *_PRODUCER_TIMES, *_SERVER_TIMES})


def _long_track_number(content: bytes) -> tuple[int, int]:
    """Read a block's track number of more than one byte; return it and where its time begins."""
    if not content or not content[0]:
        raise Malformed("a block without a track number")
    length = 9 - content[0].bit_length()
    return int.from_bytes(content[:length], "big") & (1 << 7 * length) - 1, length


def _time_ms(seconds: str) -> int | None:
    """Read seconds with up to three decimals, as the service writes its times."""
    whole, _, fraction = seconds.partition(".")
    return _whole(whole + f"{fraction:0<3.3}") if whole else None


def _whole(digits: str) -> int | None:
    """Read what is decimal digits alone, at most as many as 64 bits hold."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
