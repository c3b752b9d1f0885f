"""Bytes a second of one core: our parser of GetMedia's Matroska beside the way of AWS's Python consumer library.

    feeds   this parser, fed 1, 4, 16 and 64 KiB at a time, until each block has been an event
    peer    reads of 1 KiB are collected, at each the whole buffer is read again with ebmlite, and a fragment comes out
            when the header of the next one is there; then its tags and blocks are read

All read a response of the look of Amazon Connect's, made of the demo call (`bench/connect_stream.py`), and must give
its sound byte for byte, the peer that of the fragments that it gives. Rounds take turns; the peer reads the first
fragments alone, since its speed does not depend on how many there are. Seconds are CPU time of the process.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import connect_stream, environments
from bench.report import Report
from bench.watched import DEMO_FILES
from connectors.files import Call, read_call
from connectors.kvs.events import Block
from connectors.kvs.matroska import Parser

KIB = 1_024
FEEDS_KIB = (1, 4, 16, 64)
PEER_FRAGMENTS = 12
MUST_RATIO, GOAL_MB_PER_S = 8.0, 90.0
Sound = tuple[str, str]  # digests of the tracks 1 and 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=4, help="how often the demo call is in the response")


def run(given: argparse.Namespace) -> Report:
    """Measure each feed and the peer in turns."""
    call = read_call(DEMO_FILES / "customer.wav", DEMO_FILES / "agent.wav")
    fragments = list(connect_stream.fragments(call, given.repeats))
    response = b"".join(fragments)
    rows: dict[str, list[float]] = {}
    exact = []
    told = 0
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "start.mkv")
        start.write_bytes(b"".join(fragments[:PEER_FRAGMENTS]))
        for _ in range(given.rounds):
            for feed_kib in FEEDS_KIB:
                mb_per_s, sound = ours(response, feed_kib * KIB)
                rows.setdefault(f"{feed_kib} KiB", []).append(mb_per_s)
                exact.append(sound == expected(call, len(fragments)))
            mb_per_s, sound, told = peer(start)
            rows.setdefault("peer", []).append(mb_per_s)
            exact.append(sound == expected(call, told))
    return _report(rows, all(exact), len(response), told)


def ours(response: bytes, feed_bytes: int) -> tuple[float, Sound]:
    """Read a response with this parser; return MB/s and the sound."""
    feeds = [response[at : at + feed_bytes] for at in range(0, len(response), feed_bytes)]
    tracks: dict[int, list[bytes]] = {1: [], 2: []}
    parser = Parser()
    began_s = time.process_time()
    for feed in feeds:
        for event in parser.feed(feed):
            if type(event) is Block:
                tracks[event.number].append(event.payload)
    spent_s = time.process_time() - began_s
    parser.end()
    return len(response) / 1e6 / spent_s, _digests(b"".join(tracks[1]), b"".join(tracks[2]))


def peer(response: Path) -> tuple[float, Sound, int]:
    """Let the peer read a response; return MB/s, the sound and how many fragments it gave."""
    python = environments.python_with("ebmlite", environments.EBMLITE)
    script = Path(__file__).with_name("kvs_peer.py")
    done = subprocess.run([python, script, response], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return told["mb_per_s"], (told["sound"][0], told["sound"][1]), told["fragments"]


def expected(call: Call, fragments: int) -> Sound:
    """Return what the first fragments of a response say."""
    return _digests(*(connect_stream.sound(track, fragments) for track in (call.customer, call.agent)))


def _digests(*tracks: bytes) -> Sound:
    first, second = (hashlib.sha256(track).hexdigest() for track in tracks)
    return first, second


def _report(rows: Mapping[str, Sequence[float]], is_exact: bool, response_bytes: int, told: int) -> Report:
    medians = {name: statistics.median(row) for name, row in rows.items()}
    ratio, slowest = medians["1 KiB"] / medians["peer"], min(medians[f"{kib} KiB"] for kib in FEEDS_KIB)
    figures = {
        "response_mb": round(response_bytes / 1e6, 2),
        "mb_per_s": {name: {"median": round(medians[name], 1), "rounds": _rounded(row)} for name, row in rows.items()},
        "ratio_at_1_kib": round(ratio, 1),
        "peer_fragments": {"sent": PEER_FRAGMENTS, "given": told},
        "is_sound_exact": is_exact,
    }
    verdicts = (
        f"1 KiB / peer: {ratio:.1f} (must {MUST_RATIO:.0f})",
        f"slowest feed: {slowest:.1f} MB/s (goal {GOAL_MB_PER_S:.0f})",
    )
    lines = [
        f"{'':<8} {'MB/s':>7}  rounds",
        *(f"{name:<8} {medians[name]:>7.1f}  {' '.join(map(str, _rounded(row)))}" for name, row in rows.items()),
        "",
        *(
            f"{verdict}: {'met' if is_met else 'NOT met'}"
            for verdict, is_met in zip(verdicts, (ratio >= MUST_RATIO, slowest >= GOAL_MB_PER_S), strict=True)
        ),
        f"sound: {'byte for byte' if is_exact else 'DIFFERENT'}; the peer gave {told} of {PEER_FRAGMENTS} fragments",
    ]
    return Report(figures, lines, is_exact and ratio >= MUST_RATIO)


def _rounded(row: Sequence[float]) -> list[float]:
    return [round(one, 1) for one in sorted(row)]
