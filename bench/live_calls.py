"""Live calls as a load: each line plays one recording again and again in real time, every time as another contact.

`python -m bench.live_calls BOOTSTRAP PREFIX PARTITIONS LINES SECONDS CUSTOMER AGENT` prints when it
began and, at its end, what it has sent as JSON. The lines begin evenly within the recording's length, so that the load
is the same at any time after it. A record is sent when it is due, whatever became of the ones before (open loop); how
late it was sent is told.
"""

import heapq
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from bench.offered import Latencies
from connectors import files
from topics import clients, codec
from topics.keys import contact_key, partition_of

TENANT = "local"
PAUSE_S = 1.0  # of a line, between two calls
LINGER_MS = 5  # of a source: a connector's record waits longer for its slower track
TICK_S = 0.005
_PLACEHOLDER = "live-00000-00000"


def contact_of(line: int, number: int) -> str:
    """Name the contact of a line's call; as long as every other."""
    return f"live-{line:05d}-{number:05d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """When calls begin.

    Attributes:
        length_s: of the recording.
        lines: how many calls at once.
    """

    length_s: float
    lines: int

    @property
    def warm_s(self) -> float:
        """After so long every line has begun."""
        return self.length_s + PAUSE_S

    def begins_s(self, contact: str) -> float:
        """When a contact's audio begins, from the load's begin."""
        _, line, number = contact.split("-")
        return (int(line) / self.lines + int(number)) * self.warm_s


@dataclass(frozen=True, slots=True)
class Part:
    """One record of the recording, encoded for a contact of the same length of name."""

    due_s: float
    topic: str
    value: bytes


class Sent(msgspec.Struct, frozen=True):
    """What was sent.

    Attributes:
        late_p99_ms: how late, 99 of 100 records at most.
        ended: the contacts whose call was sent whole.
    """

    late_p99_ms: float
    ended: tuple[str, ...]


def parts(customer: Path, agent: Path) -> list[Part]:
    """Encode a recording once."""
    call = files.read_call(customer, agent)
    return [
        Part(due.due_ms / 1_000, due.topic, codec.encode(due.record))
        for due in files.frames(call, TENANT, _PLACEHOLDER)
    ]


def due(recording: list[Part], plan: Plan, seconds: float) -> Iterator[tuple[float, str, Part]]:
    """Yield what is due, in the order of time: when, whose, what; calls begin within `seconds` and are cut there."""
    heap = [(plan.begins_s(contact_of(line, 0)), line, 0, 0) for line in range(plan.lines)]
    heapq.heapify(heap)
    while heap:
        at_s, line, number, at = heap[0]
        if at_s > seconds:
            return
        contact = contact_of(line, number)
        yield at_s, contact, recording[at]
        number, at = (number, at + 1) if at + 1 < len(recording) else (number + 1, 0)
        begins_s = plan.begins_s(contact_of(line, number))
        heapq.heapreplace(heap, (begins_s + recording[at].due_s, line, number, at))


def send(bootstrap: str, prefix: str, partitions: int, plan: Plan, recording: list[Part], seconds: float) -> None:
    """Send the load and print what was sent."""
    producer = clients.producer(bootstrap, **{"linger.ms": LINGER_MS})
    began_s, late, ended = time.time(), Latencies(), list[str]()

    @cache
    def place(contact: str) -> tuple[bytes, int]:
        key = contact_key(TENANT, contact)
        return key, partition_of(key, partitions)

    print(began_s, flush=True)
    for at_s, contact, part in due(recording, plan, seconds):
        if (early_s := began_s + at_s - time.time()) > 0:
            producer.poll(0)
            time.sleep(max(early_s, TICK_S))
        key, n = place(contact)
        producer.produce(prefix + part.topic, part.value.replace(_PLACEHOLDER.encode(), contact.encode()), key, n)
        late.add(max((time.time() - began_s - at_s) * 1_000, 0.0))
        if part is recording[-1]:
            ended.append(contact)
    producer.flush(30)
    sent = Sent(late.at(99) or 0.0, tuple(ended))
    print(msgspec.json.encode(sent).decode(), flush=True)


def main() -> None:
    """See the module."""
    bootstrap, prefix, partitions, lines, seconds, customer, agent = sys.argv[1:]
    recording = parts(Path(customer), Path(agent))
    plan = Plan(recording[-1].due_s, int(lines))
    send(bootstrap, prefix, int(partitions), plan, recording, float(seconds))


if __name__ == "__main__":
    main()
