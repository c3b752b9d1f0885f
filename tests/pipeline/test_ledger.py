"""What `trunkline ledger` prints, over a real PostgreSQL."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from connectors.postgres import PostgresSink
from tests.connectors import scenarios
from tests.connectors.test_postgres_views import delivered, quiet

pytestmark = pytest.mark.stores


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A database of its own, with the tables where the command looks for them and two scenarios in them."""
    name = f"ledger_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield psycopg.conninfo.make_conninfo(postgres_dsn, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def stored(dsn: str) -> str:
    sink = PostgresSink(dsn)
    sink.prepare()
    for name in ("lost-seconds", "two-instances"):
        records = delivered(quiet(scenarios.load(name).events, 0))
        if name == "lost-seconds":
            records = [one for one in records if one.record.tenant == "acme"]
        else:
            records = [one for one in records if one.record.tenant == "other"]
        random.Random(name).shuffle(records)
        sink.write(records)
    sink.close()
    return dsn


def ran(dsn: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"TRUNKLINE_POSTGRES_DSN": dsn, "COLUMNS": "140"}
    command = [sys.executable, "-m", "pipeline", "ledger", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=variables)


def test_each_tenant_s_conversation_is_one_object(stored: str, tmp_path: Path) -> None:
    done = ran(stored, "c1", "--json", folder=tmp_path)
    first, second = map(json.loads, done.stdout.splitlines())
    assert [("acme", "final"), ("other", "ctr_missing")] == [(one["tenant"], one["status"]) for one in (first, second)]
    customer, agent = first["ledger"]
    assert (100_000, 87_000, 43_700, 47_700, 27_000, 77_000) == tuple(
        customer[f"{step}_ms"] for step in ("promised", "received", "transcribed", "redacted", "stored", "missing")
    )
    assert "agent" == agent["track"]
    assert ["hole in the stream", "the recogniser failed", "stopped", "stopped", "no more audio"] == [
        gap["cause"] for gap in first["missing"] if gap["track"] == "customer"
    ]
    assert [] == second["missing"]


def test_one_tenant_can_be_asked_for(stored: str, tmp_path: Path) -> None:
    done = ran(stored, "c1", "--json", "--tenant", "other", folder=tmp_path)
    assert ["other"] == [json.loads(line)["tenant"] for line in done.stdout.splitlines()]


def test_table_shows_each_step_and_each_cause(stored: str, tmp_path: Path) -> None:
    done = ran(stored, "c1", folder=tmp_path)
    assert 0 == done.returncode
    assert "acme c1: final, 1 legs, 1 contact records, 2026-09-21T" in done.stdout
    for shown in ("43.7", "the recogniser failed", "hole in the stream"):
        assert shown in done.stdout


@pytest.mark.parametrize(("dsn_is_set", "code", "says"), [(True, 1, "no such contact"), (False, 2, "postgres_dsn")])
def test_what_cannot_be_shown_is_one_line(stored: str, tmp_path: Path, dsn_is_set: bool, code: int, says: str) -> None:
    done = ran(stored if dsn_is_set else "", "nobody", folder=tmp_path)
    assert (code, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert says in done.stderr
