"""A user at a terminal: a working folder, commands typed into it, and what they leave behind.

Every process of a place carries the place's mark in its environment, and so do its children: whatever is left over is
found by it, whoever its parent is by then.
"""

import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.watched import Child, plain_environment, prepare, wait_until

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "pipeline" / "demo"
REFERENCE = DEMO / "reference.json"
SCRIPTED = f"scripted:{REFERENCE}"
BIN = Path(sys.executable).parent
TRUNKLINE = (BIN / "trunkline",)
MODULE = (BIN / "python", "-m", "pipeline")

Variables = Mapping[str, str]
NONE: Variables = {}

LIMIT_S = 300.0  # of a command; the machine is shared
END_LIMIT_S = 60.0  # of processes that are on their way out
_MARK = "SYSTEM_TEST_PLACE"
# Compiled modules beside pytest's cache: a command that compiles everything anew takes 3 s instead of 1.
_COMPILED = REPOSITORY / ".pytest_cache" / "compiled"


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    took_s: float

    @property
    def said(self) -> list[str]:
        """The lines on stderr."""
        return self.err.splitlines()


@dataclass(frozen=True)
class Place:
    """A working folder and the variables of the user's shell."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        """What each command of this place sees."""
        compiled = {"PYTHONPYCACHEPREFIX": str(_COMPILED), "PYTHONDONTWRITEBYTECODE": ""}
        return plain_environment() | compiled | {_MARK: self.mark} | self.variables

    def type(
        self, *arguments: str | Path, command: Sequence[str | Path] = TRUNKLINE, variables: Variables = NONE
    ) -> Child:
        """Start a command; `variables` are for it alone."""
        return Child((*command, *arguments), self.folder, {**self.environment, **variables})

    def run(
        self, *arguments: str | Path, command: Sequence[str | Path] = TRUNKLINE, variables: Variables = NONE
    ) -> Ran:
        """Run a command to its end."""
        return ended(self.type(*arguments, command=command, variables=variables))

    def processes(self) -> dict[int, str]:
        """Every process of this place that lives, with its command line."""
        mark = f"{_MARK}={self.mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def left_over(self, limit_s: float = END_LIMIT_S) -> dict[int, str]:
        """Processes that are still there after a while in which they may end."""
        wait_until(lambda: not self.processes(), limit_s)
        return self.processes()

    def run_files(self) -> list[str]:
        """The names under `.trunkline/run` but the locks: the kernel drops a lock with its process, not its file."""
        folder = self.folder / ".trunkline" / "run"
        return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")

    def demo_folders(self) -> list[str]:
        """The folders of demos under `.trunkline`."""
        return sorted(path.name for path in (self.folder / ".trunkline").glob("demo-*"))

    def end_all(self) -> None:
        """End what is left, by process id."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def ended(child: Child) -> Ran:
    """Wait until a command has ended."""
    began_s = time.monotonic()
    code = child.end(LIMIT_S)
    return Ran(code, child.out, child.err, time.monotonic() - began_s)


@contextmanager
def place(folder: Path, **variables: str) -> Iterator[Place]:
    """Make a working folder that knows the jars of the repository, and end what its commands left behind."""
    prepare(folder)
    made = Place(folder, variables)
    try:
        yield made
    finally:
        made.end_all()
