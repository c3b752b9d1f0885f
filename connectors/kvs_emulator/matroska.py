"""Write Matroska the way a live media stream of Amazon Connect looks when Kinesis Video Streams gives it back.

Owns the bytes of one fragment's parts. It leaves what a fragment holds to `takes.py`, and numbers and times to
`fragments.py`.

    EBML header                      one for each fragment
    Segment, size unknown
      Info, Tracks                   no Audio master; CodecID says AAC, the payload is int16 little-endian
      Tags                           of the service: fragment number, both timestamps
      Cluster, size unknown          Timecode in epoch milliseconds, then SimpleBlocks of 64 ms
      Tags                           of the producer: ContactId and others, before or after the Cluster
      Tags                           of the service: how far behind now, and the token, always last

Element ids: RFC 9559, section 5; sizes and headers: RFC 8794, sections 5 and 11.2.
"""

import struct
from collections.abc import Sequence
from typing import Final

_UNKNOWN_SIZE: Final = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_TIMECODE_SCALE_NS: Final = 1_000_000  # a timecode is a millisecond
_AUDIO: Final = 2  # TrackType
_PRODUCER: Final = b"Kinesis Video SDK (emulated)"
_BLOCK_HEAD: Final = struct.Struct(">BhB")  # track number as a one-byte size, timecode, flags
_BLOCK_HEAD_BYTES: Final = 4
_TWO_BYTE_SIZE: Final = 0x4000


def size(count: int) -> bytes:
    """Return a length as the shortest EBML size; all ones is reserved for unknown."""
    width = 1
    while count >= (1 << 7 * width) - 1:
        width += 1
    return (count | 1 << 7 * width).to_bytes(width, "big")


def element(identifier: int, body: bytes) -> bytes:
    """Return one element of known size."""
    return identifier.to_bytes(-(-identifier.bit_length() // 8), "big") + size(len(body)) + body


def number(identifier: int, value: int) -> bytes:
    """Return an unsigned integer element in as few bytes as it takes, at least one."""
    return element(identifier, value.to_bytes(max(-(-value.bit_length() // 8), 1), "big"))


EBML: Final = element(
    0x1A45DFA3,
    number(0x4286, 1)  # EBMLVersion
    + number(0x42F7, 1)  # EBMLReadVersion
    + number(0x42F2, 4)  # EBMLMaxIDLength
    + number(0x42F3, 8)  # EBMLMaxSizeLength
    + element(0x4282, b"matroska")  # DocType
    + number(0x4287, 2)  # DocTypeVersion
    + number(0x4285, 2),  # DocTypeReadVersion
)
SEGMENT: Final = b"\x18\x53\x80\x67" + _UNKNOWN_SIZE


def head(segment_uid: bytes, tracks: Sequence[tuple[int, str]]) -> bytes:
    """Return what a fragment begins with: EBML header, Segment, Info and Tracks.

    Args:
        segment_uid: 16 bytes, the same in all fragments of one recording.
        tracks: TrackUID and Name in the order of their numbers, which begin at 1.
    """
    info = element(
        0x1549A966,
        element(0x73A4, segment_uid)
        + number(0x2AD7B1, _TIMECODE_SCALE_NS)
        + element(0x7BA9, _PRODUCER)  # Title
        + element(0x4D80, _PRODUCER)  # MuxingApp
        + element(0x5741, _PRODUCER),  # WritingApp
    )
    entries = (_track(number, uid, name) for number, (uid, name) in enumerate(tracks, 1))
    return EBML + SEGMENT + info + element(0x1654AE6B, b"".join(entries))


def tags(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return one Tags element of names and texts."""
    simple = (element(0x67C8, element(0x45A3, name.encode()) + element(0x4487, text.encode())) for name, text in pairs)
    return element(0x1254C367, element(0x7373, element(0x63C0, b"") + b"".join(simple)))


def cluster(timecode_ms: int) -> bytes:
    """Return the beginning of a Cluster of unknown size; its blocks follow."""
    return b"\x1f\x43\xb6\x75" + _UNKNOWN_SIZE + number(0xE7, timecode_ms) + number(0xA7, 0)  # Timecode, Position


def block(track_number: int, relative_ms: int, pcm: bytes) -> bytes:
    """Return a SimpleBlock; its time counts from the Cluster's.

    Args:
        track_number: 1 to 126.
        relative_ms: at most 32,767, the field's limit.
        pcm: at most 16 KiB.
    """
    length = len(pcm) + _BLOCK_HEAD_BYTES
    # Two bytes of size hold every block of telephone audio; RFC 8794 allows sizes longer than needed.
    return (
        b"\xa3"
        + (_TWO_BYTE_SIZE | length).to_bytes(2, "big")
        + _BLOCK_HEAD.pack(0x80 | track_number, relative_ms, 0)
        + pcm
    )


def _track(track_number: int, uid: int, name: str) -> bytes:
    return element(
        0xAE,
        number(0xD7, track_number)
        + number(0x73C5, uid)
        + number(0x83, _AUDIO)
        + element(0x536E, name.encode())
        + element(0x86, b"A_AAC")
        + element(0x63A2, b"\x11\x90"),  # CodecPrivate
    )
