"""Nothing leaves but by the gate: every reader of what may be stored or shown is a stage, or stands behind it."""

import ast
from functools import partial
from pathlib import Path

import pytest

from connectors.gateway.review import raw
from pipeline import app
from pipeline.egress import PROVEN, UNGATED, WORDLESS, Gate
from pipeline.progress import Progress
from pipeline.runners import GatewayRunner, LoopRunner
from pipeline.settings import Settings, load
from pipeline.topology import STAGES
from topics.catalogue import CATALOGUE, TOPICS
from topics.records import Receipt

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
STAGE_NAMES = {stage.name for stage in STAGES}
OUTSIDE = sorted({reader for topic in CATALOGUE for reader in topic.consumers} - STAGE_NAMES)

# Who makes a record of Kafka's bytes, or of another place's, and who asks the gate what becomes of it.
DECODES = {
    "connectors/gateway/feed.py": "asks the gate itself",
    "connectors/gateway/review/reading.py": "hands what it reads to the desk, which asks, and to raw.py",
    "connectors/redis.py": "hands what it reads to the feed, which asks",
    "pipeline/call.py": "shows a call that this machine's user plays",
    "pipeline/growth.py": "looks for the contacts that a topic still holds",
    "pipeline/engines/kafka.py": "feeds stages with a global table",
    "pipeline/engines/payloads.py": "feeds stages and the files of a call",
    "pipeline/engines/subject_keys.py": "reads wrapped keys alone",
    "pipeline/engines/faust.py": "feeds stages with a global table",
    "pipeline/engines/sink.py": "asks the gate itself",
    "pipeline/replay.py": "counts turns and measures how late they came",
    "topics/generations.py": "reads the list of generations alone",
    "pipeline/engines/source.py": "reads positions of feeds alone",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load(
        kafka_bootstrap="127.0.0.1:9",
        postgres_dsn="postgresql://127.0.0.1:9/none",
        redis_url="redis://127.0.0.1:9/0",
        contact_feeds="",
    )


def gates_of(call: object) -> list[Gate]:
    """Return the gates among what a function is called with."""
    assert isinstance(call, partial)
    return [one for one in (*call.args, *call.keywords.values()) if isinstance(one, Gate)]


def test_who_reads_outside_the_stages_is_known() -> None:
    assert sorted((*app.SINKS, app.GATEWAY)) == OUTSIDE


@pytest.mark.parametrize("name", OUTSIDE)
def test_every_sink_and_the_gateway_stand_behind_the_gate(name: str, settings: Settings) -> None:
    runner = app.worker(settings, name, 1, 1, Progress(Path("progress"), is_careful=False))
    assert isinstance(runner, LoopRunner | GatewayRunner)
    called = runner._loop if isinstance(runner, LoopRunner) else runner._serve
    assert 1 == len(gates_of(called))


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_gate_knows_every_type_that_they_read(name: str) -> None:
    # A reviewer who may is shown a restricted turn, which no gate lets through: see test_topology.py.
    read = {
        kind for topic in CATALOGUE if name in topic.consumers and topic.name != raw.TOPIC for kind in topic.records
    }
    assert set() == read - {*PROVEN, *WORDLESS}


def test_what_redaction_writes_with_words_is_proved() -> None:
    redacted = {kind for topic in CATALOGUE if topic.data == "redacted" for kind in topic.records}
    (redaction,) = (stage for stage in STAGES if stage.name == "redaction")
    written = {kind for name in redaction.outputs for kind in TOPICS[name].records}
    assert {*PROVEN} == (written & redacted) - WORDLESS | {Receipt}


def test_a_service_without_a_gate_has_a_reason() -> None:
    # A model is none of them: `app.services` stands the gate before whatever else is asked.
    assert {service for stage in STAGES for service in stage.services} == UNGATED


def test_every_other_service_is_guarded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = app.services(settings, ("objects",))
    monkeypatch.setattr(app, "UNGATED", frozenset())
    guarded = app.services(settings, ("objects",))
    assert ["answer", "answer"] == [plain["objects"].__name__, guarded["objects"].__name__]
    assert plain["objects"].__qualname__ == "Objects.answer"
    assert guarded["objects"].__qualname__.startswith("guarded.")


def test_who_makes_records_of_bytes_is_known() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("pipeline", "connectors", "topics")
        for path in (ROOT / package).rglob("*.py")
        if decodes(ast.parse(path.read_text()))
    }
    assert set(DECODES) == found


def test_what_reads_behind_the_gate_is_used_by_the_desk_alone() -> None:
    users = {
        (name, path.name)
        for package in ("pipeline", "connectors", "topics")
        for path in (ROOT / package).rglob("*.py")
        for name, _ in _imported(ast.parse(path.read_text()))
        if name in ("raw_text", "records_of")
    }
    assert {("raw_text", "desk.py"), ("records_of", "process.py")} == users


@pytest.mark.parametrize(
    "path", ["connectors/gateway/feed.py", "connectors/gateway/review/desk.py", "pipeline/engines/sink.py"]
)
def test_who_asks_the_gate_asks_it(path: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Call)]
    assert "self._gate.check" in {ast.unparse(call) for call in calls}


def _imported(tree: ast.Module) -> set[tuple[str, str | None]]:
    """Return the names that a module imports, each with where from."""
    return {
        (alias.asname or alias.name, node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def decodes(tree: ast.Module) -> bool:
    """Whether a module calls the codec's `decode`."""
    imported = {name for name, module in _imported(tree) if module == "topics.codec"}
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return "codec.decode" in calls or bool({"decode"} & imported & calls)
