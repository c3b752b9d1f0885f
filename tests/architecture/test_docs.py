"""The docs against the code: links, functions, tables and the picture.

`TRUNKLINE_GOLDEN=1 pytest tests/architecture/test_docs.py` writes tables and picture afresh.
"""

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from typer.main import get_command

from pipeline import cli, explain, metrics
from pipeline.settings import BOOTSTRAP_VARIABLE, PREFIX, Settings

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(path for name in ("pipeline", "topics", "connectors", "bench") for path in (ROOT / name).rglob("*.py"))
README_LINES = 160
# A place of one machine says nothing to a reader on another.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:work|root|home|tmp|mnt|Users|usr/local)/")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def parts(page: Path, name: str) -> tuple[str, str, str]:
    """Return a page up to a marker, what stands behind it, and the rest from the closing marker."""
    found = re.fullmatch(rf"(.*<!-- {name}\b[^>]*-->\n)(.*?)(<!-- /{name} -->.*)", page.read_text(), re.DOTALL)
    assert found is not None, f"{page.name} has no markers for {name}"
    return found[1], found[2], found[3]


def table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in lines)


def settings_table() -> str:
    def default(value: object) -> str:
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return f"`{shown}`" if shown else "empty"

    def variable(name: str) -> str:
        own = f"`{PREFIX}{name.upper()}`"
        return f"{own}, `{BOOTSTRAP_VARIABLE}`" if name == "kafka_bootstrap" else own

    rows = [
        (f"`{name}`", variable(name), default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return table(("key", "variable", "default", "what"), *rows)


def metrics_table() -> str:
    found = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    rows = [(f"`{exposed(one)}`", kind(one), labels(one), one._documentation) for one in found]
    return table(("metric", "kind", "labels", "what"), *rows)


def exposed(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


def kind(metric: MetricWrapperBase) -> str:
    return "counter" if isinstance(metric, Counter) else "histogram" if isinstance(metric, Histogram) else "gauge"


def labels(metric: MetricWrapperBase) -> str:
    return ", ".join(metric._labelnames)


def picture() -> str:
    return f"```mermaid\n{explain.mermaid()}\n```\n"


@pytest.mark.parametrize(
    ("name", "place", "make"),
    [
        ("topology", "README.md", picture),
        ("settings", "docs/cli.md", settings_table),
        ("metrics", "docs/operating.md", metrics_table),
    ],
)
def test_generated_part_is_current(name: str, place: str, make: Callable[[], str]) -> None:
    page = ROOT / place
    if os.environ.get("TRUNKLINE_GOLDEN") == "1":
        begin, _, end = parts(page, name)
        page.write_text(begin + make() + end)
    assert make() == parts(page, name)[1]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < README_LINES


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [] == [link for link in local if not (page.parent / link).exists()]


@every_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:pipeline|topics|schemas|connectors|bench|tests|docs)/[\w./-]+)`", prose(page))
    assert [] == [name for name in named if not (ROOT / name).exists()]


@every_page
def test_functions_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|js)):([\w.]+)`", page.read_text())
    assert [] == [f"{file}:{name}" for file, name in named if name not in names_in(ROOT / file)]


@every_page
def test_page_names_no_place_of_one_machine(page: Path) -> None:
    assert [] == MACHINE_PATH.findall(page.read_text())


def test_pages_that_the_code_names_exist() -> None:
    named = {name for source in SOURCES for name in re.findall(r"docs/[\w/-]+\.md", source.read_text())}
    assert set() == {name for name in named if not (ROOT / name).is_file()}


def test_the_walk_goes_from_the_files_to_the_page() -> None:
    hops = re.findall(r"`([\w./-]+\.(?:py|js)):[\w.]+`", (ROOT / "docs/call.md").read_text())
    assert "connectors/files.py" == hops[0]
    assert any(hop.startswith("connectors/gateway/page/") for hop in hops[-6:])
    assert {"pipeline/engines/task.py", "pipeline/stages/redaction.py"} <= {*hops}


def test_the_walk_visits_every_stage() -> None:
    hops = set(re.findall(r"`pipeline/stages/(\w+)\.py:", (ROOT / "docs/call.md").read_text()))
    assert {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__"} == hops


def test_every_command_and_option_is_in_the_contract() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    missing = [
        f"{words} {option}" for words, option in options(get_command(cli.app), "trunkline") if option not in text
    ]
    assert [] == missing


def options(command: Any, words: str) -> Iterator[tuple[str, str]]:  # click's classes, vendored by typer
    for name, inner in getattr(command, "commands", {}).items():
        yield words, name
        yield from options(inner, f"{words} {name}")
    for parameter in command.params:
        yield from ((words, option) for option in parameter.opts if option not in ("--help", "--version"))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def names_in(file: Path) -> set[str]:
    """Return the functions, classes and methods of a source file."""
    if not file.is_file():
        return set()
    if file.suffix == ".js":
        return set(
            re.findall(r"^(?:export )?(?:async )?(?:function|class|const) (\w+)", file.read_text(), re.MULTILINE)
        )
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found
