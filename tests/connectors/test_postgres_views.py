"""What a person reads of conversations: the golden scenarios, in order, shuffled, duplicated and crashed, alike.

`TRUNKLINE_GOLDEN=1 pytest tests/connectors/test_postgres_views.py` writes what the scenarios expect afresh.
"""

import os
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from connectors.base import Delivered
from connectors.postgres import PostgresSink
from pipeline.engines.contacts import SILENT_MS, STEP_LIMIT_MS
from pipeline.engines.memory import MemoryLog, MemoryWorker
from pipeline.topology import STAGES, group_of
from tests.connectors import scenarios
from tests.connectors.scenarios import Scenario
from tests.simulation import crashes
from tests.simulation.world import Event, Script, World
from topics.keys import contact_key
from topics.records import ContactEvent

pytestmark = pytest.mark.stores

SHUFFLES, CRASHES = 2, 2
LATE = 2  # what a record that comes late says besides: that media started, and that the contact ended
STAGES_THAT_RUN = tuple(stage for stage in STAGES if stage.group in ("language", "contacts"))
BEST_EFFORT = ("contact.events", "contact.records")  # whatever order; every other topic keeps that of its key
TABLES = (
    *("contacts", "contact_records", "legs", "turns", "audio_coverage", "audio_decided", "audio_stored"),
    "audio_redactions",
)
VIEWS = {
    "conversations": (
        "SELECT tenant, conversation_id, status, legs, records, started_ms, ended_ms, agents, holds, hold_s"
        " FROM conversations ORDER BY 1, 2"
    ),
    "legs": (
        "SELECT tenant, contact_id, conversation_id, previous_contact_id AS previous, agent, queue, started_ms,"
        " agent_ms, ended_ms, is_heard FROM conversation_legs ORDER BY started_ms, 1, 2"
    ),
    "turns": "SELECT tenant, turn_id, speaker, text FROM conversation_turns ORDER BY 1, time_ms, start_ms, 2",
    "ledger": (
        "SELECT tenant, contact_id, track, promised_by, promised_ms, received_ms, transcribed_ms, redacted_ms,"
        " stored_ms, missing_ms FROM ledger ORDER BY 1, 2, 3 DESC"
    ),
    "missing": (
        "SELECT tenant, contact_id, track, step, start_ms, end_ms, cause FROM ledger_missing"
        " ORDER BY 1, 2, 3 DESC, 5, 4"
    ),
}
# Seconds of the day; every other time is one of the contact's audio.
OF_THE_DAY = {"conversations": ("started_ms", "ended_ms"), "legs": ("started_ms", "agent_ms", "ended_ms")}

Rows = Mapping[str, list[Mapping[str, object]]]

every_scenario = pytest.mark.parametrize("name", scenarios.names())


class Store:
    """A sink and a view of what it has made."""

    def __init__(self, dsn: str) -> None:
        self.schema = f"test_{uuid4().hex[:12]}"
        self.dsn = dsn
        self.sink = PostgresSink(dsn, self.schema)
        self.sink.prepare()
        self._connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self._connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema)))

    def fill(self, delivered: Iterable[Delivered], draw: random.Random) -> None:
        """Empty the tables and write records in batches of any size."""
        self._connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
        waiting = deque(delivered)
        while waiting:
            self.sink.write([waiting.popleft() for _ in range(min(draw.randint(1, 8), len(waiting)))])

    def select(self, query: str) -> list[Mapping[str, object]]:
        return list(self._connection.execute(query.encode()).fetchall())

    def tables(self) -> Rows:
        """What is stored, less what counts attempts."""
        rows = "SELECT to_jsonb(t) - 'rev' - 'redaction_rev' AS stored FROM {} AS t ORDER BY 1"
        return {table: self.select(rows.format(table)) for table in TABLES}

    def read(self, day_ms: int) -> Rows:
        """What a person reads, in seconds."""
        return {
            view: [_in_seconds(row, OF_THE_DAY.get(view, ()), day_ms) for row in self.select(query)]
            for view, query in VIEWS.items()
        }

    def close(self) -> None:
        self._connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.schema)))
        self._connection.close()
        self.sink.close()


def _in_seconds(row: Mapping[str, object], of_the_day: Sequence[str], day_ms: int) -> dict[str, object]:
    return {
        name.replace("_ms", "_s"): (value - day_ms * (name in of_the_day)) / 1_000
        if name.endswith("_ms") and isinstance(value, int)
        else value
        for name, value in row.items()
    }


@pytest.fixture(scope="module")
def store(postgres_dsn: str) -> Iterator[Store]:
    fresh = Store(postgres_dsn)
    yield fresh
    fresh.close()


def script(events: Sequence[Event]) -> Script:
    return Script(STAGES_THAT_RUN, (), tuple(events))


def quiet(events: Sequence[Event], _: int) -> MemoryLog:
    """Each record is processed to the end before the next."""
    world = World(script(events))
    world.play(events)
    return world.outcome.log


def shuffled(events: Sequence[Event], seed: int) -> MemoryLog:
    """Feeds tell in any order, and topics overtake each other."""
    draw = random.Random(seed)
    queues: defaultdict[object, deque[Event]] = defaultdict(deque)
    for number, event in enumerate(events):
        queues[number if event.topic in BEST_EFFORT else (event.topic, event.key)].append(event)
    places = [place for place, queue in queues.items() for _ in queue]
    draw.shuffle(places)
    return quiet([queues[place].popleft() for place in places], seed)


def duplicated(events: Sequence[Event], _: int) -> MemoryLog:
    """Everything comes twice at once, and all of it again."""
    return quiet([event for event in [*events, *events] for _ in range(2)], 0)


def crashed(events: Sequence[Event], seed: int) -> MemoryLog:
    """Workers die, become zombies, are revoked; records come twice; checkpoints are refused."""
    drawn = script(events)
    return crashes.played(drawn, crashes.schedule(drawn, seed)).log


def delivered(log: MemoryLog) -> list[Delivered]:
    """What the sink reads of a log."""
    return [
        Delivered(topic, 0, offset, entry.key, entry.record, 0)
        for topic in PostgresSink.topics
        for offset, entry in enumerate(log.topics[topic])
    ]


@cache
def quietly(store: Store, name: str) -> tuple[Scenario, tuple[Rows, Rows]]:
    """Return a scenario, and what is stored and read after it."""
    scenario = scenarios.load(name)
    store.fill(delivered(quiet(scenario.events, 0)), random.Random(0))
    return scenario, (store.tables(), store.read(scenario.day_ms))


@every_scenario
def test_scenario_reads_as_its_file_says(store: Store, name: str) -> None:
    _, (_, rows) = quietly(store, name)
    if os.environ.get("TRUNKLINE_GOLDEN") == "1":
        scenarios.write(name, rows)
    assert scenarios.load(name).expected == rows


@every_scenario
@pytest.mark.parametrize(
    ("way", "seed"),
    [
        *((shuffled, seed) for seed in range(SHUFFLES)),
        (duplicated, 0),
        *((crashed, seed) for seed in range(CRASHES)),
    ],
)
def test_no_way_for_records_to_come_changes_a_table(
    store: Store, name: str, way: Callable[[Sequence[Event], int], MemoryLog], seed: int
) -> None:
    scenario, expected = quietly(store, name)
    log, draw = way(scenario.events, seed), random.Random(seed)
    assert [] == log.dead
    came = delivered(log)
    draw.shuffle(came)
    store.fill([*came, *draw.choices(came, k=10)], draw)
    assert expected == (store.tables(), store.read(scenario.day_ms))


class Broker(MemoryLog):
    """A log that stamps its entries with a time that is set by hand."""

    def __init__(self) -> None:
        self.now_ms = 1
        super().__init__(lambda: self.now_ms)


def test_record_that_comes_when_the_conversation_is_forgotten_joins_all_the_same(store: Store) -> None:
    scenario, expected = quietly(store, "record-late")
    log = Broker()
    worker = MemoryWorker(log, group_of("contacts"))
    worker.restore()

    def take(events: Iterable[Event]) -> None:
        for event in events:
            log.append(event.topic, event.key, event.record)
            worker.step(event.topic)
        checkpoint = worker.checkpoint()
        assert checkpoint is not None
        worker.commit(checkpoint)

    other = ContactEvent("other", "o", 0, "started", 0, "", scenario.day_ms)
    read_here = [event for event in scenario.events if event.topic in worker.group.inputs]
    take(read_here[:-LATE])
    for _ in range(SILENT_MS // STEP_LIMIT_MS + 1):  # another call; a pause between two records counts so much at most
        log.now_ms += STEP_LIMIT_MS
        log.append("contact.events", contact_key("other", "o"), other)
        worker.step("contact.events")
    take([])
    assert b"over" in log.groups["contacts"].rows[b"shut\0acme|c1"]
    take(read_here[-LATE:])
    assert [] == log.dead
    words = quiet([event for event in scenario.events if event.topic not in worker.group.inputs], 0)
    mine = [one for one in [*delivered(log), *delivered(words)] if one.record.tenant == "acme"]
    store.fill(mine, random.Random(0))
    raw, read = store.tables(), store.read(scenario.day_ms)
    assert expected[0]["legs"] == raw["legs"]
    assert expected[1] == read
