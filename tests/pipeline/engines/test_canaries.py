"""What was said is nowhere but in restricted topics, sealed, though the worker dies between deciding and writing.

`SOAK=1` makes 50 calls, each with a death of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest
from confluent_kafka import Message, TopicPartition
from prometheus_client import generate_latest
from psycopg import sql

from connectors import audit
from connectors.audit import AuditSink
from connectors.postgres import PostgresSink
from pipeline.engines.payloads import Payloads
from pipeline.engines.tables import read_whole
from pipeline.errors import RecordRefused
from tests.pipeline.engines.canaries import Canary, canaries
from tests.pipeline.engines.stations import LIMIT_S, Place
from tests.pipeline.engines.test_sink import running
from tests.proven import KEY
from tests.simulation import scripts
from topics import admin, clients, codec, deadletters
from topics.catalogue import RESTRICTED, TOPICS
from topics.records import AudioFrame, Guidance, Record

CALLS = 50 if "SOAK" in os.environ else 3
pytestmark = [pytest.mark.stores, pytest.mark.timeout(60 * CALLS)]

PARTITIONS = 1
PROBABILITY = 0.5  # of each record that writes something
LEFT = 20  # records of a call that a worker still has before it when it may die: it does
BAD = b"local|bad"  # sends what is no record
REPOSITORY = Path(__file__).parents[3]
WORKER = """
import asyncio, sys
from pathlib import Path
from pipeline import app, health, logs, settings
from pipeline.engines import failpoints
from pipeline.progress import Progress

async def main():
    stem = Path(sys.argv[1])
    stem.with_suffix(".port").unlink(missing_ok=True)
    worker = app.worker(settings.load(), "language", 1, 1, Progress(stem, is_careful=False))
    async with health.serve(worker, 0, stem.with_suffix(".port")):
        running = asyncio.create_task(worker.run(asyncio.Event()))
        while not worker.is_ready and not running.done():
            await asyncio.sleep(0.02)
        if running.done():
            running.result()
        await asyncio.sleep(1.2)  # what came before the death is in a checkpoint, or no life would get on
        failpoints.arm(float(sys.argv[2]), "decided")
        print("armed", flush=True)
        await running

logs.configure("language-1", "DEBUG")
asyncio.run(main())
"""


@pytest.fixture
def place(broker: str, prefix: str) -> Place:
    made = Place(broker, prefix, PARTITIONS)
    admin.apply(broker, admin.plan(admin.declare(prefix, PARTITIONS, 1, changelogs=("language",)), ()))
    made.send(("policies", b"policy", policy) for policy in scripts.POLICIES)
    return made


class Lives:
    """One worker after the other under the same member id, and what they say."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.deaths = 0
        self.metrics = ""
        self._log = (folder / "worker.log").open("w+b")
        self._stem = folder / "language-1"
        own = {"KAFKA_BOOTSTRAP": place.bootstrap, "TRUNKLINE_TOPIC_PREFIX": place.prefix}
        own |= {
            "TRUNKLINE_PARTITIONS": str(PARTITIONS),
            "TRUNKLINE_RECEIPT_KEY": KEY.hex(),
            "PYTHONPATH": str(REPOSITORY),
        }
        self._environment = os.environ | own

    @contextmanager
    def life(self, probability: float) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a worker that has caught up and will die; leaving it ends it."""
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, self._stem, str(probability)],
            env=self._environment,
            cwd=self._stem.parent,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            assert process.stdout is not None
            assert b"armed\n" == process.stdout.readline(), self.log[-2_000:]
            self.metrics += self.page()
            yield process
        finally:
            process.kill()
            process.wait(LIMIT_S)
            assert process.stdout is not None
            process.stdout.close()

    def die(self, process: "subprocess.Popen[bytes]") -> None:
        assert -signal.SIGKILL == process.wait(LIMIT_S)
        self.deaths += 1

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def page(self) -> str:
        port = self._stem.with_suffix(".port").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return str(answer.read().decode())


def test_no_place_shows_what_was_said(
    place: Place,
    postgres_dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    calls, lives, payloads = canaries(1, CALLS), Lives(place, tmp_path), place.payloads
    schema = f"canary_{place.prefix[5:13]}"
    stored, chained = PostgresSink(postgres_dsn, schema), AuditSink(tmp_path / "audit", place.prefix, KEY)
    with running(stored, place.bootstrap, place.prefix), running(chained, place.bootstrap, place.prefix):
        for number, call in enumerate(calls):
            events = [(one.topic, one.key, payloads.encode(one.topic, one.key, one.record)) for one in call.events]
            cut = Random(number).randrange(len(events) - LEFT)
            place.send(events[:cut])
            with lives.life(PROBABILITY) as process:
                place.send(events[cut:])
                place.send([("transcript.words", BAD, call.card.encode())])
                lives.die(process)
        with lives.life(0):
            place.until(["guidance"], lambda records: len(summaries(records)) == CALLS)
            stored_rows = wait_for_rows(postgres_dsn, schema, CALLS * len(calls[0].lines))
            time.sleep(2)  # the last receipts are on their way into the audit
            lives.metrics += lives.page()
    seen, restricted = look(place, payloads)
    seen |= stored_rows | {"log": lives.log, "metrics": lives.metrics + generate_latest().decode()}
    seen |= {f"audit {path.name}": path.read_text() for path in (tmp_path / "audit").iterdir()}
    assert CALLS <= lives.deaths
    assert all(call.leaks(restricted) for call in calls), "the canaries are not where they must be"
    assert {} == {name: found for name, text in seen.items() if (found := leaks(calls, text))}
    assert_all_there(seen)
    assert audit.verify(tmp_path / "audit", KEY)
    with capsys.disabled():
        size = sum(len(text) for text in seen.values())
        print(f"\n{CALLS} calls, {lives.deaths} deaths, {len(seen)} places, {size:,} characters: 0 leaks")  # noqa: T201 - a figure for whoever runs it


def assert_all_there(seen: dict[str, str]) -> None:
    """Empty places prove nothing."""
    wanted = {"transcript.words sealed", "transcript.raw sealed", "guidance.drafts sealed", "changelog.language sealed"}
    wanted |= {"transcript.redacted", "guidance", "redaction.receipts", "moments", "audio.redactions"}
    assert set() == {name for name in wanted if not seen[name]}
    tokens = {*re.findall(r"\[[A-Z]+\]", seen["postgres turns"])}
    assert {"[CREDITCARD]", "[NAME]", "[EMAIL]"} <= tokens
    assert "exception.class.name" in seen["transcript.words.dead keys and headers"]
    assert "dead-lettered" in seen["log"]
    assert "trunkline_records_out_total" in seen["metrics"]
    assert any("chain" in text for name, text in seen.items() if name.startswith("audit "))


@pytest.mark.parametrize(
    "form", ["{card}", "{spaced}", "{words}", "{name}", "{email}", "{joined}", '{{"a": "{words}"}}']
)
def test_the_search_finds_each_form(form: str) -> None:
    (call,) = canaries(7, 1)
    card = call.card
    text = form.format(
        card=f"x{card}y",
        spaced=" ".join(card[at : at + 4] for at in range(0, 16, 4)),
        words=call.lines[4][1],
        name=call.name,
        email=call.email,
        joined=call.email.replace(" dot ", ".").replace(" at ", "@"),
    )
    assert call.leaks(text)
    assert not call.leaks("thank you for calling my internet has been down")


def leaks(calls: list[Canary], text: str) -> list[str]:
    return [leak for call in calls for leak in call.leaks(text)]


def summaries(records: list[Record]) -> set[str]:
    return {one.cause_id for one in records if isinstance(one, Guidance) and one.cause_id.endswith("/summary")}


def wait_for_rows(dsn: str, schema: str, turns: int) -> dict[str, str]:
    """Return every row of every table once all turns are stored."""
    until_s = time.monotonic() + LIMIT_S
    while True:
        found = rows(dsn, schema)
        if len(found["postgres turns"].splitlines()) == turns or time.monotonic() > until_s:
            assert turns == len(found["postgres turns"].splitlines())
            return found
        time.sleep(0.2)


def rows(dsn: str, schema: str) -> dict[str, str]:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    with psycopg.connect(dsn) as connection:
        names = [str(name) for (name,) in connection.execute(tables, (schema,)).fetchall()]
        query = sql.SQL("SELECT to_jsonb(t)::text FROM {} t")
        return {
            f"postgres {name}": "\n".join(
                str(row) for (row,) in connection.execute(query.format(sql.Identifier(schema, name)))
            )
            for name in names
        }


def look(place: Place, payloads: Payloads) -> tuple[dict[str, str], str]:
    """Read every topic: what is open, the bytes of what is sealed, keys and headers of all, and what is restricted.

    What another system sends in the clear stands so where it was sent, and among the dead letters.
    """
    listed = clients.admin(place.bootstrap).list_topics(timeout=10).topics
    seen: dict[str, str] = {}
    restricted = ""
    for name in (*TOPICS, "changelog.language"):
        is_restricted = name in RESTRICTED or name not in TOPICS
        for topic in (name, deadletters.name(name)):
            found = listed.get(place.prefix + topic)
            partitions = [TopicPartition(place.prefix + topic, n) for n in (found.partitions if found else ())]
            messages = list(read_whole(place.bootstrap, partitions)) if partitions else []
            if is_restricted:
                sealed = [one for one in messages if one.key() != BAD]
                seen[f"{topic} sealed"] = "\n".join(repr(one.value()) for one in sealed)
                restricted += "\n".join(_text(payloads, name, one) for one in sealed if name in TOPICS)
            else:
                seen[topic] = "\n".join(_text(payloads, name, one) for one in messages)
            seen[f"{topic} keys and headers"] = "\n".join(f"{one.key()!r} {one.headers()!r}" for one in messages)
    return seen, restricted


def _text(payloads: Payloads, topic: str, message: Message) -> str:
    value = message.value() or b""
    try:
        record = payloads.decode(topic, message.key() or b"", value)
    except RecordRefused:
        return repr(value)
    return "audio" if isinstance(record, AudioFrame) else f"{json.dumps(codec.to_json(record))}\n{value!r}"
