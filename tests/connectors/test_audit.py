"""The audit's chain: what it holds, what a crash leaves, and that nothing can be changed unseen."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors import audit
from connectors.audit import AuditSink, Head
from connectors.base import Delivered
from pipeline.errors import DifferenceFound, PeerUnavailable
from tests.connectors.gateway import screenplay as play
from tests.proven import KEY, RECEIPTS
from topics.records import AccessEvent

pytestmark = pytest.mark.unit

NAME = "p.redaction.receipts-0"
LINES = 5


def delivered(offset: int, partition: int = 0) -> Delivered:
    receipt, _ = RECEIPTS.issue(play.turn(f"turn {offset}", offset * 1_000), "", 1, "all")
    return Delivered("redaction.receipts", partition, offset, play.KEY, receipt, play.LOGGED_MS)


def sink(folder: Path, file_bytes: int = audit.FILE_BYTES) -> AuditSink:
    made = AuditSink(folder, "p.", KEY, file_bytes)
    made.prepare()
    return made


def offsets(folder: Path, name: str = NAME) -> list[int]:
    return [json.loads(line)["offset"] for path in sorted(folder.glob(f"{name}.*.jsonl")) for line in path.open()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sink(tmp_path).write([delivered(n) for n in range(LINES)])
    return tmp_path


def test_each_receipt_stands_once_in_order_of_its_offset(tmp_path: Path) -> None:
    made = sink(tmp_path)
    made.write([delivered(1), delivered(0), delivered(0, partition=1)])
    made.write([delivered(1), delivered(2)])
    sink(tmp_path).write([delivered(n) for n in range(4)])
    made.write([delivered(4)])
    assert [0, 1, 2, 3, 4] == offsets(tmp_path)
    found = audit.verify(tmp_path, KEY)
    assert {NAME: (5, 4), "p.redaction.receipts-1": (1, 0)} == {n: (h.lines, h.offset) for n, h in found.items()}


def test_who_has_looked_is_a_chain_beside_the_receipts(folder: Path) -> None:
    event = AccessEvent(play.TENANT, play.CONTACT, "turn", "maria", "revealed", "the customer asks")
    sink(folder).write([Delivered("access.events", 0, 7, play.KEY, event, play.LOGGED_MS), delivered(LINES)])
    found = audit.verify(folder, KEY)
    assert {NAME: LINES, "p.access.events-0": 7} == {name: head.offset for name, head in found.items()}
    path = folder / "p.access.events-0.000001.jsonl"
    assert ("maria", "revealed") == ((said := json.loads(path.read_text())["access"])["person"], said["action"])
    path.write_text(path.read_text().replace("maria", "sally"))
    with pytest.raises(DifferenceFound, match=r"access\.events-0\.000001\.jsonl:1"):
        audit.verify(folder, KEY)


def test_a_line_holds_the_receipt(folder: Path) -> None:
    line = json.loads((folder / f"{NAME}.000001.jsonl").read_text().splitlines()[0])
    assert ["offset", "at_ms", "receipt", "chain"] == list(line)
    assert RECEIPTS.issue(play.turn("turn 0", 0), "", 1, "all")[0].mac == line["receipt"]["mac"]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    made = sink(tmp_path, file_bytes=1_500)
    for n in range(9):
        made.write([delivered(n)])
    assert 3 <= len(list(tmp_path.glob("*.jsonl")))
    assert [*range(9)] == offsets(tmp_path)
    assert 9 == audit.verify(tmp_path, KEY)[NAME].lines


Harm = Callable[[list[bytes]], list[bytes]]
HARMS: dict[str, tuple[Harm, str]] = {
    "changed": (lambda lines: [lines[0], lines[1].replace(b"all", b"alt"), *lines[2:]], "jsonl:2"),
    "removed": (lambda lines: [*lines[:2], *lines[3:]], "jsonl:3"),
    "inserted": (lambda lines: [*lines[:2], lines[0], *lines[2:]], "jsonl:3"),
    "doubled": (lambda lines: [*lines[:2], lines[1], *lines[2:]], "jsonl:3"),
    "reordered": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "jsonl:2"),
    "first removed": (lambda lines: lines[1:], "jsonl:1"),
    "end removed": (lambda lines: lines[:-1], "4 lines, and there were 5: the end is missing"),
    "end torn": (lambda lines: [*lines[:-1], lines[-1][:-9]], "jsonl:5"),
    "garbage": (lambda lines: [*lines[:3], b"\xff\x00\n", *lines[3:]], "jsonl:4"),
    "all removed": (lambda _: [], "0 lines, and there were 5: the end is missing"),
}


@pytest.mark.parametrize("kind", HARMS)
def test_harm_is_found_where_it_is(kind: str, folder: Path) -> None:
    harm, place = HARMS[kind]
    path = folder / f"{NAME}.000001.jsonl"
    path.write_bytes(b"".join(harm(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DifferenceFound, match=place):
        audit.verify(folder, KEY)
    with pytest.raises(PeerUnavailable, match="the audit is not whole"):
        sink(folder).write([delivered(LINES)])


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    made = sink(tmp_path, file_bytes=1)
    for n in range(3):
        made.write([delivered(n)])
    (tmp_path / f"{NAME}.000002.jsonl").unlink()
    with pytest.raises(DifferenceFound, match="file 2 is missing"):
        audit.verify(tmp_path, KEY)


def test_the_head_is_part_of_the_chain(folder: Path) -> None:
    head = folder / f"{NAME}.head"
    said = head.read_text()
    for changed, place in ((said.replace("5", "4", 1), "was changed"), ("x", "is no head"), ("", "is no head")):
        head.write_text(changed)
        with pytest.raises(DifferenceFound, match=place):
            audit.verify(folder, KEY)
    head.unlink()
    with pytest.raises(DifferenceFound, match="head is missing"):
        audit.verify(folder, KEY)


def test_a_chain_belongs_to_its_name_and_key(folder: Path) -> None:
    with pytest.raises(DifferenceFound):
        audit.verify(folder, bytes(32))
    for path in folder.glob(f"{NAME}.*"):
        path.rename(folder / path.name.replace("-0.", "-1."))
    with pytest.raises(DifferenceFound):
        audit.verify(folder, KEY)


@pytest.mark.parametrize("torn", [b'{"offset": 5', b"\xff", b'{"offset": 5, "chain": "'])
def test_what_a_crash_leaves_behind_the_head_is_no_harm(torn: bytes, folder: Path) -> None:
    with (folder / f"{NAME}.000001.jsonl").open("ab") as file:
        file.write(torn)
    assert LINES == audit.verify(folder, KEY)[NAME].lines
    sink(folder).write([delivered(LINES)])
    assert [*range(LINES + 1)] == offsets(folder)
    assert LINES + 1 == audit.verify(folder, KEY)[NAME].lines


def test_lines_without_their_head_count(folder: Path) -> None:
    """A crash between the two: the batch comes again and adds nothing."""
    head = folder / f"{NAME}.head"
    before = head.read_text()
    sink(folder).write([delivered(LINES), delivered(LINES + 1)])
    head.write_text(before)
    assert LINES + 2 == audit.verify(folder, KEY)[NAME].lines
    sink(folder).write([delivered(n) for n in range(LINES, LINES + 3)])
    assert [*range(LINES + 3)] == offsets(folder)


KILLED = """
import os, signal, sys
from pathlib import Path
from random import Random
from connectors import audit
from tests.connectors import test_audit as t

random = Random(int(sys.argv[2]))
written = os.fsync

def fsync(handle):
    if random.random() < 0.2:
        os.kill(os.getpid(), signal.SIGKILL)
    written(handle)

os.fsync = fsync
made = t.sink(Path(sys.argv[1]), 2_000)
for n in range(30):
    made.write([t.delivered(3 * n + k) for k in range(3)])
"""


def test_kills_in_the_midst_lose_and_double_nothing(tmp_path: Path) -> None:
    codes = [
        subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(seed)], check=False, timeout=60).returncode
        for seed in range(8)
    ]
    assert -signal.SIGKILL in codes
    sink(tmp_path, 2_000).write([delivered(n) for n in range(90)])
    assert [*range(90)] == offsets(tmp_path)
    assert 90 == audit.verify(tmp_path, KEY)[NAME].lines


def test_two_that_think_they_own_a_partition_write_one_chain(tmp_path: Path) -> None:
    one, other = sink(tmp_path), sink(tmp_path)
    for n in range(0, 10, 2):
        one.write([delivered(n), delivered(n + 1)])
        other.write([delivered(n + 1), delivered(n + 2)])
    assert [*range(11)] == offsets(tmp_path)
    assert Head(11, 10, audit.verify(tmp_path, KEY)[NAME].chain) == audit.verify(tmp_path, KEY)[NAME]


def test_a_place_that_is_no_folder_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PeerUnavailable, match="the audit's folder"):
        AuditSink(tmp_path / "file", "", KEY).prepare()


def verified(folder: Path, *arguments: str) -> tuple[int, str]:
    told = {"TRUNKLINE_RECEIPT_KEY": KEY.hex(), "TRUNKLINE_AUDIT_DIR": str(folder)}
    command = [sys.executable, "-m", "pipeline", "audit", "verify", *arguments]
    done = subprocess.run(
        command, check=False, timeout=60, capture_output=True, text=True, cwd=folder, env=os.environ | told
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_says_whether_the_chains_are_whole(folder: Path) -> None:
    assert (0, f"{NAME}: 5 lines, last offset 4\n") == verified(folder)
    assert (0, f"{NAME}: 5 lines, last offset 4\n") == verified(folder, str(folder))
    assert (2, "trunkline: none is no folder\n") == verified(folder, "none")
    path = folder / f"{NAME}.000001.jsonl"
    path.write_text(path.read_text().replace('"rev": 1', '"rev": 2').replace("redacted_turn", "guidance", 1))
    assert (3, f"trunkline: {NAME}.000001.jsonl:1: the chain is broken here\n") == verified(folder)
