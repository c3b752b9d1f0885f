"""EBML (RFC 8794) as far as Matroska needs it: where an element begins and ends, and what a document begins with."""

import re

UNKNOWN_SIZE = -1
HEADER_REACH = 96  # bytes: no match of `HEADER` is longer

# A whole EBML header: its id, a size of one, two or eight bytes, and a DocType of "matroska" among its first children,
# with no second header between them. Producers write 24 to 43 bytes.
HEADER = re.compile(
    rb"\x1a\x45\xdf\xa3(?:[\x80-\xfe]|[\x40-\x7f].|\x01.{7})(?:(?!\x1a\x45\xdf\xa3).){0,64}?"
    rb"\x42\x82(?:\x88|\x40\x08|\x01\x00{6}\x08)matroska",
    re.DOTALL,
)


class Malformed(Exception):
    """Bytes that no writer of Matroska makes; the text is static."""


def head(data: bytearray, at: int) -> tuple[int, int, int]:
    """Read the id and size of the element at `at`.

    Returns:
        Its id with the marker bits, where its content begins, and its length or `UNKNOWN_SIZE`.

    Raises:
        IndexError: some of these bytes have not come.
        Malformed: an id of more than four bytes or a size of more than eight.
    """
    first = data[at]
    if first >= 0x80:
        identity, at = first, at + 1
    elif first >= 0x40:
        identity, at = first << 8 | data[at + 1], at + 2
    else:
        identity, at = _long_id(data, at)
    lead = data[at]
    if 0x80 <= lead < 0xFF:
        return identity, at + 1, lead & 0x7F
    if 0x40 <= lead < 0x7F:
        return identity, at + 2, (lead & 0x3F) << 8 | data[at + 1]
    return identity, *_long_size(data, at)


def _long_id(data: bytearray, at: int) -> tuple[int, int]:
    first = data[at]
    if first >= 0x20:
        return first << 16 | data[at + 1] << 8 | data[at + 2], at + 3
    if first >= 0x10:
        return first << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3], at + 4
    raise Malformed("an element id of more than four bytes")


def _long_size(data: bytearray, at: int) -> tuple[int, int]:
    lead = data[at]
    if not lead:
        raise Malformed("an element size of more than eight bytes")
    start = at + 9 - lead.bit_length()
    data[start - 1]  # the last byte of the size
    ones = (1 << 7 * (start - at)) - 1
    size = int.from_bytes(data[at:start], "big") & ones
    return start, UNKNOWN_SIZE if size == ones else size


def number(content: bytes) -> int:
    """Read an unsigned integer.

    Raises:
        Malformed: more than eight bytes.
    """
    if len(content) > 8:
        raise Malformed("an integer of more than eight bytes")
    return int.from_bytes(content, "big")


def text(content: bytes) -> str:
    """Read a string; EBML pads them with zero bytes, and what is no UTF-8 becomes replacement characters."""
    return content.partition(b"\0")[0].decode("utf-8", "replace")
