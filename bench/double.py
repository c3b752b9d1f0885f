"""`python -m bench.double NOTES CUTS SEED LATENCY_MS CUSTOMER AGENT REFERENCE`: the double of Deepgram by itself.

It prints where it serves, answers each line of its input with what it has seen so far, and ends with its input. What
it hears and says goes to the file NOTES, one JSON object a line, with times of this machine's clock.
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import BinaryIO

import msgspec

from bench.watched import REPOSITORY, Recording, plain_environment
from connectors import files
from connectors.deepgram_double import Limits, Message, Plan, Serving, read_script, serve
from connectors.deepgram_double.faults import Close, Drop, Fault, HalfOpen, Placed, Refuse, SlowStart, Stall
from connectors.deepgram_double.hearing import Whence
from topics.records import SAMPLE_RATE_HZ, Track

CONNECTIONS = 10_000  # at once: the service's limit is not what is measured
CUT_WITHIN_S = 6.0  # of audio on a connection; most segments of the demo call are shorter
SAMPLE_S = 1 / SAMPLE_RATE_HZ
KINDS = ("reset", "hang up", "close", "deaf", "mute", "half open", "refused", "slow start")
_CODES = (1011, 1012, 1013)  # after which a client comes again


class Heard(msgspec.Struct, frozen=True, tag=True):
    """Audio came.

    Attributes:
        connection: number of its handshake.
        at_ms: when, since the epoch.
        sample: of the connection, the end of what has come.
        track: where it is from; None where that is not known, as of digital silence.
        offset: sample of the track less sample of the connection.
    """

    connection: int
    at_ms: float
    sample: int
    track: Track | None
    offset: int


class Said(msgspec.Struct, frozen=True, tag=True):
    """A result was sent.

    Attributes:
        connection: number of its handshake.
        at_ms: when, since the epoch.
        until: sample of the connection, the end of what it covers.
        words_until: likewise, of its last word; None where it has none.
        is_finalize: whether it answers a Finalize.
    """

    connection: int
    at_ms: float
    until: int
    words_until: int | None
    is_finalize: bool


class Told(msgspec.Struct, frozen=True):
    """What the double has seen.

    Attributes:
        handshakes: refused ones too.
        cuts: faults that have struck, by kind.
    """

    handshakes: int
    cuts: dict[str, int]


def cuts(seed: int, count: int) -> list[tuple[str, Fault]]:
    """Draw what befalls each of the first connections, with the name of its kind."""
    random = Random(seed)
    return [(kind := random.choice(KINDS), _fault(kind, n, random)) for n in range(1, count + 1)]


def _fault(kind: str, connection: int, random: Random) -> Fault:
    where, after_s = (connection,), random.uniform(0, CUT_WITHIN_S)
    match kind:
        case "reset":
            return Drop(connections=where, after_s=after_s, how="reset")
        case "hang up":
            return Drop(connections=where, after_s=after_s, how="close")
        case "close":
            return Close(random.choice(_CODES), connections=where, after_s=after_s)
        case "deaf":
            return Stall(connections=where, after_s=after_s, side="read")
        case "mute":
            return Stall(connections=where, after_s=after_s, side="send")
        case "half open":
            return HalfOpen(connections=where, after_s=after_s)
        case "refused":
            return Refuse(random.choice((429, 503)), connections=where)
    return SlowStart(connections=where, for_s=random.uniform(0.5, 3.0))


class Notes:
    """Writes down what it witnesses."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to a file."""
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def heard(self, connection: int, at_s: float, size_bytes: int, whence: Whence | None) -> None:
        """See `Witness`."""
        track, offset = whence or (None, 0)
        self._write(Heard(connection, at_s * 1_000, size_bytes // 2, track, offset))

    def said(self, connection: int, message: Message) -> None:
        """See `Witness`."""
        if message["type"] == "Results":
            self._write(said(connection, time.time() * 1_000, message))

    def _write(self, one: Heard | Said) -> None:
        self._file.write(self._encoder.encode(one) + b"\n")


def said(connection: int, at_ms: float, message: Message) -> Said:
    """Note a result."""
    words = message["channel"]["alternatives"][0]["words"]
    until = round((message["start"] + message["duration"]) * SAMPLE_RATE_HZ)
    words_until = round(words[-1]["end"] * SAMPLE_RATE_HZ) if words else None
    return Said(connection, at_ms, until, words_until, message["from_finalize"])


class Double:
    """The double as a child."""

    def __init__(self, recording: Recording, notes: Path, latency_ms: float, plan: tuple[int, int] = (0, 0)) -> None:
        """Start it and wait until it serves; `plan` is how many cuts, and their seed."""
        what = (notes, *plan, latency_ms, recording.customer, recording.agent, recording.asr.partition(":")[2])
        self._notes = notes
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.double", *map(str, what)],
            env=plain_environment() | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.url = self._line().strip()

    def told(self) -> Told:
        """Ask it what it has seen."""
        print(file=self._process.stdin, flush=True)
        return msgspec.json.decode(self._line(), type=Told)

    def stop(self) -> None:
        """End it; once more changes nothing."""
        self._process.communicate()

    def notes(self) -> list[Heard | Said]:
        """Return what it noted, in the order of time; it has been stopped."""
        return [msgspec.json.decode(line, type=Heard | Said) for line in self._notes.read_bytes().splitlines()]

    def _line(self) -> str:
        assert self._process.stdout is not None  # a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the double has ended")
        return line


async def _serve(notes: BinaryIO, plan: Sequence[tuple[str, Fault]], latency_s: float, sources: Sequence[Path]) -> None:
    customer, agent, reference = sources
    call = files.read_call(customer, agent)
    script = replace(read_script(reference, call.customer, call.agent), latency_s=latency_s)
    faults = Plan(tuple(fault for _, fault in plan))
    async with serve(script, Serving(limits=Limits(CONNECTIONS), plan=faults, witness=Notes(notes))) as server:
        print(server.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            received_s = {connection.number: connection.received_s for connection in server.connections}
            told = Told(server.handshakes, struck(plan, server.handshakes, received_s))
            print(msgspec.json.encode(told).decode(), flush=True)


def struck(plan: Sequence[tuple[str, Fault]], handshakes: int, received_s: Mapping[int, float]) -> dict[str, int]:
    """Count the faults of a plan that have happened, each to the connection of its number, by kind.

    Args:
        plan: of the first connections.
        handshakes: that there were, refused ones too.
        received_s: audio of each connection that was admitted.
    """
    found = Counter[str]()
    for number, (kind, fault) in enumerate(plan[:handshakes], 1):
        # One within a connection happens before the first sample that is past its place.
        is_reached = not isinstance(fault, Placed) or received_s.get(number, -1.0) > fault.after_s - SAMPLE_S
        found[kind] += is_reached
    return dict(found)


def main() -> None:
    """See the module."""
    notes, count, seed, latency_ms, *sources = sys.argv[1:]
    with Path(notes).open("wb") as file:
        asyncio.run(_serve(file, cuts(int(seed), int(count)), float(latency_ms) / 1_000, list(map(Path, sources))))


if __name__ == "__main__":
    main()
