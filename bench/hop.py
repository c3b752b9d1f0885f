"""Latency and CPU per record: one text hop on four engines side by side, and group `language` chained.

    text hop    12-word turns in Avro from `transcript.words` to `transcript.raw`, a total of each contact kept: this
                engine, a plain confluent-kafka loop (nothing kept), a stock Faust agent with a table, Quix Streams
    language    the real stages over 100 calls, from a record of `transcript.words` to the last record that follows
                from it on any topic; the first minute of the calls is offered at once, so that the windows are full

CPU is the worker process's own, all threads, over the measured seconds. Latency counts from when a record was due to
the broker time of the output, which has milliseconds. An engine that does not keep up shows in `reached`, and its
latencies say nothing but that.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from confluent_kafka import Message
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from bench import environments, hop_stage, picture, text_calls
from bench.offered import Due, Latencies, Tail, offer
from bench.report import RESULTS, Report
from bench.site import broker_alone, cpu_s
from bench.watched import DEMO_FILES, REPOSITORY
from connectors import policies
from pipeline.engines.kafka import CAUSE_HEADER
from pipeline.topology import group_of
from topics import clients, codec, deadletters
from topics.catalogue import changelog
from topics.keys import contact_key, partition_of
from topics.records import SegmentWords, Turn

ENGINES = ("trunkline", "confluent_loop", "quix", "faust")
INPUT, OUTPUT = "transcript.words", "transcript.raw"
PARTITIONS = 4
WARM_S = 2.0  # of load before the measured seconds
START_LIMIT_S = 60.0
GRACE_S = 3.0  # after the last record was due; what is not there then did not keep up
HISTORY_MS = 60_000  # redaction's window
HISTORY_PER_S = 1_000.0  # how fast the history of the calls is offered
CALLS = 100
# Of CPU at 1,500 records a second, and of 100 calls.
MUST = {"faust / trunkline": 8.0, "trunkline / confluent_loop": 1.5, "language p50_ms": 8.0, "language p99_ms": 75.0}
GOAL = {"faust / trunkline": 12.0, "trunkline / confluent_loop": 1.2, "language p50_ms": 4.0, "language p99_ms": 30.0}
_NUMBERS = count()  # of the workers, each with topics of its own


@dataclass(slots=True)
class Row:
    """What was seen of one engine at one rate; one entry of `cpu_us` a round."""

    offered_per_s: float
    handled: int = 0
    wall_s: float = 0.0
    cpu_us: list[float] = field(default_factory=list)
    latencies: Latencies = field(default_factory=Latencies)

    def figures(self) -> Mapping[str, object]:
        """For the report."""
        return {
            "offered_per_s": round(self.offered_per_s, 1),
            "reached_per_s": round(self.handled / self.wall_s, 1),
            "cpu_us_per_record": round(statistics.median(self.cpu_us), 1),
            "cpu_us_of_rounds": [round(one, 1) for one in self.cpu_us],
            **self.latencies.row(),
        }


class Place:
    """One worker's topics and load on the broker."""

    def __init__(self, bootstrap: str, name: str, topics: Sequence[str], compacted: Sequence[str]) -> None:
        """Make the topics, each of `PARTITIONS`."""
        self.bootstrap = bootstrap
        self.prefix = f"{name}."
        settings = {"message.timestamp.type": "CreateTime"}
        wanted = [NewTopic(self.prefix + INPUT, PARTITIONS, 1, config=settings)]
        wanted += [NewTopic(self.prefix + topic, PARTITIONS, 1) for topic in topics]
        wanted += [
            NewTopic(self.prefix + topic, PARTITIONS, 1, config={"cleanup.policy": "compact"}) for topic in compacted
        ]
        client = clients.admin(bootstrap)
        for created in client.create_topics(wanted).values():
            created.result(START_LIMIT_S)
        self.producer = clients.producer(bootstrap)

    def due(self, at_s: float, key: bytes, value: bytes) -> Due:
        """Place a record of the input."""
        return Due(at_s, self.prefix + INPUT, partition_of(key, PARTITIONS), key, value)

    @contextmanager
    def working(self, engine: str, folder: Path) -> Iterator[int]:
        """Run an engine's worker; yield its process id."""
        with (folder / f"{engine}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(engine, folder), cwd=folder, env=_environment(), stdout=log, stderr=log
            )
            try:
                yield process.pid
                if process.poll() is not None:
                    raise RuntimeError(f"{engine} has ended:\n{(folder / f'{engine}.log').read_text()[-2_000:]}")
            finally:
                process.kill()
                process.wait()

    def _command(self, engine: str, folder: Path) -> list[str]:
        if engine != "quix":
            return [sys.executable, "-m", "bench.hop_worker", engine, self.bootstrap, self.prefix]
        python = environments.python_with("quix", environments.QUIX)
        header = (b"\0" + codec.schema_id(Turn.schema).to_bytes(4, "big")).hex()
        state = folder / f"{self.prefix}state"
        script, schemas = REPOSITORY / "bench" / "hop_quix.py", REPOSITORY / "schemas" / "avro"
        return [str(part) for part in (python, script, self.bootstrap, self.prefix, state, header, schemas)]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY)}


def measure(place: Place, pid: int, load: Sequence[Due], tail: Tail, row: Row, expected: int | None) -> float:
    """Offer a load and count what came of it.

    Args:
        place: the worker's.
        pid: the worker.
        load: what is measured.
        tail: of the outputs.
        row: takes the CPU and the count.
        expected: how many outputs the load has; None where only the worker's rest says that it is done.

    Returns:
        When the load began, in seconds since the epoch.
    """
    before, cpu_before_s = tail.counts(), cpu_s(pid)
    began_s = time.time()
    offer(place.producer, load, began_s)
    if expected is None:
        time.sleep(GRACE_S)
        handled = len(load)
    else:
        tail.wait(before + expected, GRACE_S)
        handled = min(tail.counts() - before, expected)
    row.wall_s += time.time() - began_s
    row.handled += handled
    row.cpu_us.append((cpu_s(pid) - cpu_before_s) * 1e6 / max(handled, 1))
    return began_s


def hop(bootstrap: str, folder: Path, engine: str, load: "Load", row: Row) -> None:
    """Run one engine for one round."""
    name = f"{engine}-{next(_NUMBERS)}"
    place = Place(bootstrap, name, (OUTPUT, deadletters.name(INPUT)), (changelog("hop"), "hop-totals-changelog"))
    tail = Tail(bootstrap, [place.prefix + OUTPUT], PARTITIONS)
    warm = [place.due(at_s, key, value) for at_s, key, value in load.warm]
    measured = [place.due(at_s, key, value) for at_s, key, value in load.measured]
    with place.working(engine, folder) as pid:
        offer(place.producer, warm, time.time())
        if not tail.wait(len(warm), START_LIMIT_S):
            raise RuntimeError(f"{engine} does not start:\n{(folder / f'{engine}.log').read_text()[-2_000:]}")
        began_s = measure(place, pid, measured, tail, row, len(measured))

    def take(message: Message) -> None:
        record = codec.decode(message.value() or b"")
        assert isinstance(record, Turn)
        at = record.first_sample - len(warm)
        if at >= 0:
            row.latencies.add(message.timestamp()[1] - (began_s + measured[at].at_s) * 1_000)

    tail.records(take)
    tail.close()


@dataclass(frozen=True, slots=True)
class Load:
    """The records of a rate: (due, key, value), first those that warm up."""

    rate_per_s: int
    warm: list[tuple[float, bytes, bytes]]
    measured: list[tuple[float, bytes, bytes]]


def drawn(seed: int, rate_per_s: int, seconds: float) -> Load:
    """Draw a load."""
    warm, measured = round(rate_per_s * WARM_S), round(rate_per_s * seconds)
    records = hop_stage.heard(seed, warm + measured)
    return Load(rate_per_s, *(list(_paced(islice(records, size), rate_per_s)) for size in (warm, measured)))


def _paced(records: Iterator[SegmentWords], rate_per_s: int) -> Iterator[tuple[float, bytes, bytes]]:
    for number, record in enumerate(records):
        yield number / rate_per_s, contact_key(record.tenant, record.contact_id), codec.encode(record)


def language(bootstrap: str, folder: Path, seed: int, seconds: float) -> Row:
    """Run the real group over many calls; CPU is per input record."""
    group = group_of("language")
    written = dict.fromkeys(topic for stage in group.stages for topic in stage.outputs)
    place = Place(bootstrap, "language", (*written, *group.inputs[1:]), (changelog(group.name), *group.tables))
    tail = Tail(bootstrap, [place.prefix + topic for topic in written], PARTITIONS)
    said = [one for n in range(CALLS) for one in text_calls.call(seed, n, HISTORY_MS + round(seconds * 1_000))]
    said.sort(key=lambda one: one.at_ms)
    rows = [(one.at_ms, contact_key(text_calls.TENANT, one.contact), codec.encode(one.record)) for one in said]
    history = [place.due(n / HISTORY_PER_S, *row[1:]) for n, row in enumerate(rows) if row[0] < HISTORY_MS]
    load = [place.due((row[0] - HISTORY_MS) / 1_000, *row[1:]) for row in rows if row[0] >= HISTORY_MS]
    for policy in policies.load(DEMO_FILES / "policies.yaml"):
        place.producer.produce(place.prefix + "policies", codec.encode(policy), policy.policy_id.encode())
    place.producer.flush()
    place.producer = clients.producer(bootstrap, **{"linger.ms": 0})  # the source's own wait is not the pipeline's
    row = Row(len(load) / load[-1].at_s)
    with place.working("language", folder) as pid:
        offer(place.producer, history, time.time())
        _wait_until_quiet(tail)
        began_s = measure(place, pid, load, tail, row, None)
    row.wall_s -= GRACE_S
    last: dict[tuple[bytes | None, int], int] = {}

    def take(message: Message) -> None:
        cause_ms = int(dict(message.headers() or ())[CAUSE_HEADER] or 0)
        place_of = (message.key(), cause_ms)
        last[place_of] = max(last.get(place_of, 0), message.timestamp()[1])

    tail.records(take)
    tail.close()
    for (_, cause_ms), at_ms in last.items():
        if cause_ms >= began_s * 1_000:
            row.latencies.add(at_ms - cause_ms)
    return row


def _wait_until_quiet(tail: Tail) -> None:
    until_s, count = time.monotonic() + START_LIMIT_S, 0
    while (latest := tail.counts()) != count or not count:
        if time.monotonic() > until_s:
            raise RuntimeError("language does not come to rest")
        count = latest
        time.sleep(1.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen; must and goal count for the defaults."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, of each engine in each round")
    parser.add_argument("--rounds", type=int, default=3, help="of the last rate; the others have one")
    parser.add_argument("--rates", default="300,1500", help="records a second, the last is the one that counts")
    parser.add_argument("--engines", default=",".join(ENGINES), help="some of them, for a look")
    parser.add_argument("--no-language", action="store_true", help="leave the real group out")


def run(given: argparse.Namespace) -> Report:
    """Start a broker and measure."""
    engines, rates = given.engines.split(","), [int(rate) for rate in given.rates.split(",")]
    with broker_alone("hop") as (bootstrap, folder):
        rows = {rate: {engine: Row(rate) for engine in engines} for rate in rates}
        for rate in rates:
            load = drawn(given.seed, rate, given.seconds)
            if rate == rates[0]:  # a broker that has just started would burden the first engine
                hop(bootstrap, folder, engines[-1], load, Row(rate))
            for _ in range(given.rounds if rate == rates[-1] else 1):
                for engine in engines:
                    hop(bootstrap, folder, engine, load, rows[rate][engine])
        chained = None if given.no_language else language(bootstrap, folder, given.seed, 3 * given.seconds)
    return _report(given, rows, chained)


def _report(given: argparse.Namespace, rows: dict[int, dict[str, Row]], chained: Row | None) -> Report:
    by_rate = {rate: {engine: row.figures() for engine, row in of.items()} for rate, of in rows.items()}
    final = list(rows.values())[-1]
    reached = _reached(final, chained)
    figures = {
        "seed": given.seed,
        "seconds": given.seconds,
        "rounds": given.rounds,
        "words": hop_stage.WORDS,
        "engines": list(by_rate.values())[-1],
        "rates": {str(rate): of for rate, of in by_rate.items()},
        "language": None if chained is None else {"calls": CALLS, **chained.figures()},
        "reached": reached,
        "must": MUST,
        "goal": GOAL,
    }
    lines = [f"{'':<24} {'offered/s':>9} {'reached/s':>9} {'CPU us':>8} {'p50 ms':>8} {'p99 ms':>9} {'max ms':>9}"]
    named = [(f"{rate}/s {engine}", row) for rate, of in rows.items() for engine, row in of.items()]
    named += [] if chained is None else [(f"language, {CALLS} calls", chained)]
    lines += [_line(name, row) for name, row in named]
    lines += [_judged(name, value) for name, value in reached.items()]
    (RESULTS / "hop.svg").write_text(picture.draw([(name, row.latencies) for name, row in named]))
    return Report(figures, lines)


def _reached(final: Mapping[str, Row], chained: Row | None) -> dict[str, float | None]:
    cpu = {engine: statistics.median(row.cpu_us) for engine, row in final.items()}
    pairs = [name for name in MUST if " / " in name and all(part in cpu for part in name.split(" / "))]
    found: dict[str, float | None] = {}
    for name in pairs:
        over, under = name.split(" / ")
        found[name] = round(cpu[over] / cpu[under], 2)
    if chained is not None:
        found |= {"language p50_ms": chained.latencies.at(50), "language p99_ms": chained.latencies.at(99)}
    return found


def _judged(name: str, value: float | None) -> str:
    is_more_better = name.startswith("faust")
    met = [
        word
        for word, limits in (("must", MUST), ("goal", GOAL))
        if value is not None and (value >= limits[name] if is_more_better else value <= limits[name])
    ]
    return f"{name}: {value} (must {MUST[name]}, goal {GOAL[name]}): {' and '.join(met) or 'NEITHER'} met"


def _line(name: str, row: Row) -> str:
    given = row.figures()
    cells = [
        given[key] for key in ("offered_per_s", "reached_per_s", "cpu_us_per_record", "p50_ms", "p99_ms", "max_ms")
    ]
    widths = (9, 9, 8, 8, 9, 9)
    return f"{name:<24} " + " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
