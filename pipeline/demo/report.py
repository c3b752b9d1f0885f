"""What the demo prints at its end: what came of the call, how long each stage took, where everything is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from redis import Redis
from rich.console import Console
from rich.table import Table

from connectors.objects import contact_folder
from connectors.postgres import Counts, PostgresSink
from connectors.redis import SHARDS
from pipeline import latency, results
from pipeline.call import Request
from pipeline.results import SUMMARY, Entry
from pipeline.settings import Settings

_HOW_TO_LOOK = ("the rest", "ended with the demo; --keep leaves page, stores and topics up and says how to look")
_LOOK = "select speaker, text from trunkline.turns order by start_ms"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the call is stored, and how to look at it."""

    page: str
    rows: Counts
    postgres_dsn: str
    redis_url: str
    stream: str
    stream_length: int
    folder: Path
    bootstrap: str
    prefix: str

    @classmethod
    def of(cls, settings: Settings, request: Request, page: str) -> "Places":
        """Ask each store what it holds of the call."""
        dsn, url = settings.postgres_dsn.get_secret_value(), settings.redis_url.get_secret_value()
        sink = PostgresSink(dsn)
        stream, length = _longest_stream(url, settings.topic_prefix)
        try:
            rows = sink.counts(request.contact_id)
        finally:
            sink.close()
        folder = settings.objects_dir / contact_folder(request.tenant, request.contact_id)
        return cls(page, rows, dsn, url, stream, length, folder, settings.kafka_bootstrap, settings.topic_prefix)


def print_report(
    console: Console,
    request: Request,
    entries: Sequence[Entry],
    began_ms: int,
    places: Places | None,
    *,
    is_kept_open: bool,
) -> None:
    """Print the tables; how to look at the stores only where they stay up."""
    console.print(_outcome(entries))
    if request.speed:
        console.print(_latency(request, entries, began_ms))
    if places is not None:
        console.print(_stored(places))
        for name, how in _ways(places) if is_kept_open else [("objects", str(places.folder)), _HOW_TO_LOOK]:
            console.print(f"{name:>12}  {how}", highlight=False, soft_wrap=True)


def _outcome(entries: Sequence[Entry]) -> Table:
    hints = results.hints(entries)
    summary = next((hint for hint in hints if hint.kind == SUMMARY), None)
    table = Table(title="The call", title_justify="left")
    for name in ("turns", "partials", "guidance", "redactions", "summary points"):
        table.add_column(name, justify="right")
    counts = (
        len(results.turns(entries)),
        len(results.partials(entries)),
        sum(hint.kind != SUMMARY for hint in hints),
        len(results.spans(entries)),
        len(summary.points) if summary else 0,
    )
    table.add_row(*map(str, counts))
    return table


def _latency(request: Request, entries: Sequence[Entry], began_ms: int) -> Table:
    """From each group's input to the stage's output on the broker; the last row from the end of speech."""
    figures = latency.figures(entries, began_ms if request.speed == 1 else 0, 0, 0, 0)
    table = Table(title="Latency, ms", title_justify="left")
    for name in ("stage", "records", "p50", "p95", "max"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    stages = cast("dict[str, dict[str, float | None]]", figures["stages"])
    rows = [*stages.items(), ("speech end to screen text", cast("dict[str, float | None]", figures["end_to_end"]))]
    for name, row in rows:
        if row["count"]:
            table.add_row(name, *(f"{row[key]:.0f}" for key in ("count", "p50_ms", "p95_ms", "max_ms")))
    return table


def _stored(places: Places) -> Table:
    table = Table(title="Where it is", title_justify="left")
    table.add_column("store")
    table.add_column("what")
    rows = places.rows
    table.add_row(
        "PostgreSQL",
        f"{rows.turns} turns, {rows.guidance} cards, {rows.audio_redactions} audio spans, {rows.summaries} summary",
    )
    table.add_row("Valkey", f"{places.stream_length} guidance revisions")
    segments = len(list(places.folder.rglob("*.flac")))
    table.add_row("object store", f"{segments} redacted audio segments and a manifest")
    table.add_row("Kafka", f"every hop, topics {places.prefix}*")
    return table


def _ways(places: Places) -> list[tuple[str, str]]:
    return [
        ("page", places.page),
        (
            "PostgreSQL",
            f"psql '{places.postgres_dsn}' -c '{_LOOK}'",
        ),
        ("Valkey", f"valkey-cli -u '{places.redis_url}' xlen {places.stream}"),
        ("objects", str(places.folder)),
        ("Kafka", f"KAFKA_BOOTSTRAP={places.bootstrap} TRUNKLINE_TOPIC_PREFIX={places.prefix} trunkline lag"),
    ]


def _longest_stream(url: str, prefix: str) -> tuple[str, int]:
    with Redis.from_url(url) as client:
        lengths = {name: cast("int", client.xlen(name)) for name in (f"{prefix}guidance:{n}" for n in range(SHARDS))}
    name = max(lengths, key=lambda one: lengths[one])
    return name, sum(lengths.values())
