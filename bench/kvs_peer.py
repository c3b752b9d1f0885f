"""The peer of `kvs`: how AWS's Python consumer library reads a response; run by an environment that has ebmlite.

`python kvs_peer.py RESPONSE` prints how fast it was, how many fragments came out, and a digest of each track's sound.
Written from a description of its algorithm; ebmlite is the parser that the library brings along.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import ebmlite

READ_BYTES = 1_024
BLOCK_HEAD_BYTES = 4  # track number, time, flags


def fragments(response: bytes) -> tuple[float, int, dict[int, list[bytes]]]:
    """Read a response; return the CPU seconds, the number of fragments and the blocks of each track."""
    schema = ebmlite.loadSchema("matroska.xml")
    tracks: dict[int, list[bytes]] = {1: [], 2: []}
    buffer, count = b"", 0
    began_s = time.process_time()
    for at in range(0, len(response), READ_BYTES):
        buffer += response[at : at + READ_BYTES]
        # ebmlite 3.4 leaves a document's first header out of its elements: the one that it gives is the next one's.
        header = next((one.offset for one in schema.loads(buffer) if one.name == "EBML"), None)
        if header is not None:
            listen(schema.loads(buffer[:header]), tracks)
            buffer, count = buffer[header:], count + 1
    return time.process_time() - began_s, count, tracks


def listen(fragment: ebmlite.Document, tracks: dict[int, list[bytes]]) -> None:
    """Read a fragment's tags and blocks."""
    for section in next(one for one in fragment if one.name == "Segment"):
        if section.name == "Tags":
            section.dump()
        elif section.name == "Cluster":
            for block in (one.value for one in section if one.name == "SimpleBlock"):
                tracks[block[0] & 0x7F].append(bytes(block[BLOCK_HEAD_BYTES:]))


if __name__ == "__main__":
    given = Path(sys.argv[1]).read_bytes()
    spent_s, told, heard = fragments(given)
    sound = [hashlib.sha256(b"".join(heard[number])).hexdigest() for number in (1, 2)]
    print(json.dumps({"mb_per_s": len(given) / 1e6 / spent_s, "fragments": told, "sound": sound}))
