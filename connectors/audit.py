"""The audit: every receipt and every access, in files to which lines are only added, each bound to the one before.

Owns the form of the files and the chain. A partition of a topic is a chain of its own:

    <dir>/<prefix><topic>-<partition>.<number>.jsonl   lines, at most `FILE_BYTES` a file
    <dir>/<prefix><topic>-<partition>.head             how many lines there are at least, and the last one

A line is a JSON object; its last field, `chain`, is an HMAC of the `chain` before and of what stands before it in the
line. The offset is in the line, so a batch that comes again after a crash adds nothing. A batch is synced before its
offsets are committed, and the head follows the lines: behind it, a crash may have left lines, or a part of one.

With the key one can write another chain; without it, one can remove all files of a chain with its head, or put all of
them back as they were: only what is kept elsewhere shows that. Group `audit` has committed an offset on Kafka, and
`audit verify` prints the last one of each chain.
"""

import fcntl
import hmac
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from connectors.base import Delivered
from pipeline.durable import sync_folder, write
from pipeline.errors import DifferenceFound, PeerUnavailable
from pipeline.receipts import derived
from topics.codec import to_json

FILE_BYTES: Final = 64 << 20
_NAMES: Final = {"redaction.receipts": "receipt", "access.events": "access"}  # of a record in its line
_CHAIN: Final = ', "chain": "'
_TAIL_BYTES: Final = 1 << 20  # the codec's limit of a record, so a line is shorter


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends.

    Attributes:
        lines: how many there are, in all files.
        offset: of the last line's record; -1 where there is none.
        chain: of the last line.
    """

    lines: int
    offset: int
    chain: str


class AuditSink:
    """Adds records to the chain of their partition."""

    name = "audit"
    topics = tuple(_NAMES)
    linger_ms = 200

    def __init__(self, folder: Path, prefix: str, key: bytes, file_bytes: int = FILE_BYTES) -> None:
        """Write nothing yet.

        Args:
            folder: of the files; made if missing.
            prefix: put before every chain's name.
            key: of receipts.
            file_bytes: a file that is longer is followed by another.
        """
        self._folder = folder
        self._prefix = prefix
        self._key = derived(key, b"audit")
        self._file_bytes = file_bytes
        self._known: dict[str, tuple[int, Head]] = {}  # by chain: bytes in its files, and where it ends

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            PeerUnavailable: it cannot be made.
        """
        with _ours():
            self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: Sequence[Delivered]) -> None:
        """Add what is not there, and sync it.

        Raises:
            PeerUnavailable: the folder cannot be written, or what stands there is no whole chain.
        """
        for topic, partition in sorted({(one.topic, one.partition) for one in batch}):
            name = f"{self._prefix}{topic}-{partition}"
            with _ours(), _locked(self._folder / f"{name}.lock"):
                self._extend(name, [one for one in batch if (one.topic, one.partition) == (topic, partition)])

    def close(self) -> None:
        """Nothing is open between two batches."""

    def _extend(self, name: str, batch: Sequence[Delivered]) -> None:
        head = self._head(name)
        new = [one for one in sorted(batch, key=lambda one: one.offset) if one.offset > head.offset]
        if not new:
            return
        written = []
        for one in new:
            line, head = _line(self._key, one, head)
            written.append(line)
        with self._open(name) as file:
            file.write("".join(written).encode())
            file.flush()
            os.fsync(file.fileno())
        _write_head(self._folder / f"{name}.head", self._key, name, head)
        self._known[name] = _size(self._folder, name), head

    def _head(self, name: str) -> Head:
        """Return where the chain ends, read again if another process has added to it."""
        size, head = self._known.get(name, (-1, Head(0, -1, "")))
        if size == _size(self._folder, name):
            return head
        path = self._folder / f"{name}.head"
        if not path.exists() and not _files(self._folder, name):
            _write_head(path, self._key, name, Head(0, -1, _genesis(self._key, name)))
        _cut_tail(self._folder, name)
        try:
            return _verified(self._folder, name, self._key)
        except DifferenceFound as difference:
            raise PeerUnavailable(f"the audit is not whole: {difference}") from None

    def _open(self, name: str) -> BinaryIO:
        """Open the file to add to; a full one is followed by another."""
        files = _files(self._folder, name)
        if files and files[-1].stat().st_size < self._file_bytes:
            return files[-1].open("ab")
        file = (self._folder / f"{name}.{len(files) + 1:06}.jsonl").open("xb")
        sync_folder(self._folder)
        return file


def verify(folder: Path, key: bytes) -> dict[str, Head]:
    """Read every chain of a folder to its end; returns where each ends, by name.

    Raises:
        DifferenceFound: a line was changed, removed, added or moved, or the end is missing; names the first place.
    """
    names = {path.name.removesuffix(".head") for path in folder.glob("*.head")}
    names |= {path.name.rsplit(".", 2)[0] for path in folder.glob("*.jsonl")}
    return {name: _verified(folder, name, derived(key, b"audit")) for name in sorted(names)}


def _verified(folder: Path, name: str, key: bytes) -> Head:
    promised = _read_head(folder / f"{name}.head", key, name)
    head = Head(0, -1, _genesis(key, name))
    is_met = promised == head
    for number, path in enumerate(files := _files(folder, name), 1):
        if path.name != f"{name}.{number:06}.jsonl":
            raise DifferenceFound(f"{name}: file {number} is missing")
        for line_number, line in enumerate(path.open("rb"), 1):
            if not line.endswith(b"\n") and path is files[-1] and head.lines >= promised.lines:
                break  # a crash, behind what was promised
            head = _followed(key, head, line, f"{path.name}:{line_number}")
            is_met = is_met or head == promised
    if not is_met:
        raise DifferenceFound(f"{name}: {head.lines} lines, and there were {promised.lines}: the end is missing")
    return head


def _followed(key: bytes, head: Head, line: bytes, place: str) -> Head:
    """Return the head behind a line.

    Raises:
        DifferenceFound: the line does not follow.
    """
    said, mark, rest = line.decode(errors="replace").rpartition(_CHAIN)
    chain = _chained(key, head.chain, said)
    if not mark or not hmac.compare_digest(f'{chain}"}}\n'.encode(), rest.encode()):
        raise DifferenceFound(f"{place}: the chain is broken here")
    return Head(head.lines + 1, int(json.loads(said + "}")["offset"]), chain)


def _line(key: bytes, one: Delivered, head: Head) -> tuple[str, Head]:
    said = json.dumps({"offset": one.offset, "at_ms": one.timestamp_ms, _NAMES[one.topic]: to_json(one.record)})[:-1]
    chain = _chained(key, head.chain, said)
    return f'{said}{_CHAIN}{chain}"}}\n', Head(head.lines + 1, one.offset, chain)


def _chained(key: bytes, before: str, said: str) -> str:
    return hmac.digest(key, before.encode() + said.encode(), "sha256").hex()


def _genesis(key: bytes, name: str) -> str:
    """Stand before the first line: a chain under another name is another chain."""
    return hmac.digest(key, name.encode(), "sha256").hex()


def _files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}.[0-9]*.jsonl"))


def _size(folder: Path, name: str) -> int:
    return sum(path.stat().st_size for path in _files(folder, name))


def _cut_tail(folder: Path, name: str) -> None:
    """Drop the part of a line that a crash has left at the end."""
    files = _files(folder, name)
    if not files:
        return
    with files[-1].open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        file.truncate(start + file.read().rfind(b"\n") + 1)


def _head_text(key: bytes, name: str, head: Head) -> str:
    said = f"{head.lines} {head.offset} {head.chain}"
    return f"{said} {hmac.digest(key, f'{name} {said}'.encode(), 'sha256').hex()}\n"


def _write_head(path: Path, key: bytes, name: str, head: Head) -> None:
    write(path, _head_text(key, name, head).encode())


def _read_head(path: Path, key: bytes, name: str) -> Head:
    try:
        lines, offset, chain, _ = (text := path.read_text()).split()
        head = Head(int(lines), int(offset), chain)
    except FileNotFoundError:
        raise DifferenceFound(f"{path.name} is missing") from None
    except ValueError:
        raise DifferenceFound(f"{path.name} is no head") from None
    if not hmac.compare_digest(text.encode(), _head_text(key, name, head).encode()):
        raise DifferenceFound(f"{path.name} was changed")
    return head


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Be the only process that adds to a chain: who lost its partition may not know yet."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PeerUnavailable(f"the audit's folder: {error.strerror}") from None
