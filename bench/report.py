"""A benchmark's report: figures with the machine, the commit and the command that made them."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found.

    Attributes:
        figures: for `--json`.
        lines: the same for people.
        is_good: whether everything was as promised; if not, the command exits 3.
    """

    figures: Mapping[str, object]
    lines: Sequence[str]
    is_good: bool = True


def write(report: Report, name: str, copy: Path | None) -> None:
    """Print a report and write it to `bench/results/<name>.json` and `.txt`, and its figures to a file of choice."""
    origin = {
        "command": " ".join(["python -m bench", *map(_without_folder, sys.argv[1:])]),
        "commit": _commit(),
        "machine": _machine(),
        "load_at_end": [round(one, 2) for one in os.getloadavg()],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(origin | dict(report.figures), indent=1) + "\n"
    head = [f"{name:>12}: {value}" for name, value in origin.items()]
    lines = "\n".join([*head, "", *report.lines, ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text)
    (RESULTS / f"{name}.txt").write_text(lines)
    if copy is not None:
        copy.write_text(text)
    print(lines)


def judged(name: str, value: float, must: float, goal: float) -> str:
    """Say which of its two limits a figure keeps; it must be below them."""
    verdict = "must and goal met" if value < goal else "must met" if value < must else "NEITHER met"
    return f"{name}: {value} (must {must}, goal {goal}): {verdict}"


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=RESULTS.parent)
        return done.stdout.strip()

    changes = git("status", "--short", "--", ":(top)", ":(top,exclude)bench/results")  # a report is no change
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changes else "")


def _machine() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory_gb:.0f} GB, {platform.system()} {platform.release()}"


def _without_folder(argument: str) -> str:
    """Return a file's name alone: where it lies on this machine tells nobody anything."""
    return Path(argument).name if argument.startswith("/") else argument
