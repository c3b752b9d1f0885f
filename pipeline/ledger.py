"""`trunkline ledger`: what became of a conversation's audio, second by second.

The figures are PostgreSQL's (`connectors/postgres_views.py`); this module owns how they are printed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from connectors.postgres import Ledger, PostgresSink
from pipeline.errors import InputError
from pipeline.settings import Settings

_STEPS = ("promised", "received", "transcribed", "redacted", "stored", "missing")


def read(settings: Settings, contact_id: str, tenant: str | None) -> list[Ledger]:
    """Return the ledgers of the conversations that have a contact, one for each tenant; none if it is unknown.

    Raises:
        InputError: there is no PostgreSQL.
        PeerUnavailable: it does not answer, or its sink has never run.
    """
    dsn = settings.postgres_dsn.get_secret_value()
    if not dsn:
        raise InputError("setting postgres_dsn is missing")
    store = PostgresSink(dsn)
    try:
        return store.ledgers(contact_id, tenant)
    finally:
        store.close()


def lines(ledgers: Iterable[Ledger]) -> Iterator[str]:
    """Return a JSON object for each conversation."""
    for ledger in ledgers:
        content = dict(ledger.conversation) | {"ledger": ledger.lines, "missing": ledger.missing}
        yield json.dumps(content, ensure_ascii=False)


def show(ledgers: Iterable[Ledger]) -> None:
    """Print each conversation and two tables: seconds by step, and what is missing."""
    console = Console()
    for ledger in ledgers:
        console.print(_heading(ledger.conversation), highlight=False, markup=False)
        console.print(_table(ledger))
        if ledger.missing:
            console.print(_missing(ledger))


def _heading(conversation: Mapping[str, object]) -> str:
    agents = conversation["agents"] or "nobody"
    return (
        f"{conversation['tenant']} {conversation['conversation_id']}: {conversation['status']},"
        f" {conversation['legs']} legs, {conversation['records']} contact records,"
        f" {_time(conversation['started_ms'])} to {_time(conversation['ended_ms'])}, agents: {agents}"
    )


def _table(ledger: Ledger) -> Table:
    table = Table(title="seconds")
    for name in ("contact", "track", "promised by"):
        table.add_column(name)
    for name in _STEPS:
        table.add_column(name, justify="right")
    for line in ledger.lines:
        table.add_row(
            *(str(line[name]) for name in ("contact_id", "track", "promised_by")),
            *(_seconds(line[f"{name}_ms"]) for name in _STEPS),
        )
    return table


def _missing(ledger: Ledger) -> Table:
    table = Table(title="missing")
    for name in ("contact", "track", "from", "to"):
        table.add_column(name, justify="left" if name in ("contact", "track") else "right")
    table.add_column("not")
    table.add_column("because")
    for gap in ledger.missing:
        times = (_seconds(gap["start_ms"]), _seconds(gap["end_ms"]))
        table.add_row(str(gap["contact_id"]), str(gap["track"]), *times, str(gap["step"]), str(gap["cause"]))
    return table


def _seconds(time_ms: object) -> str:
    return f"{int(str(time_ms)) / 1_000:.1f}"


def _time(time_ms: object) -> str:
    """Return a time as UTC; a call from a file has none, and one that goes on no end."""
    if time_ms is None:
        return "-"
    return datetime.fromtimestamp(int(str(time_ms)) / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
