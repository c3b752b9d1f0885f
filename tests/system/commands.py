"""A user at a terminal: a working folder, commands typed into it, and what they leave behind.

Every process of a place carries the place's mark in its environment, and so do its children: whatever is left over is
found by it, whoever its parent is by then.
"""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import broker

REPOSITORY = Path(__file__).parents[2]
JARS = REPOSITORY / ".kafka" / f"libs-{broker.KAFKA_VERSION}"
DEMO = REPOSITORY / "pipeline" / "demo"
REFERENCE = DEMO / "reference.json"
SCRIPTED = f"scripted:{REFERENCE}"
TRUNKLINE = Path(sys.executable).parent / "trunkline"

LIMIT_S = 300.0  # of a command; the machine is shared
END_LIMIT_S = 60.0  # of processes that are on their way out
_MARK = "SYSTEM_TEST_PLACE"
_OURS = ("TRUNKLINE_", "KAFKA_BOOTSTRAP")
_POLL_S = 0.05


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


class Started:
    """A command that runs; its output is read line by line."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.began_s = time.monotonic()
        self._out = b""
        self._err = b""

    @property
    def out(self) -> str:
        """What has been read of stdout so far."""
        return self._out.decode()

    def wait_for(self, text: str, limit_s: float = LIMIT_S) -> str:
        """Read until stdout holds a text; return the line that holds it.

        Raises:
            AssertionError: the command ended, or the time is over.
        """
        until_s = time.monotonic() + limit_s
        while not any(text in line for line in self.out.splitlines(keepends=True) if line.endswith("\n")):
            assert time.monotonic() < until_s, f"no {text!r} within {limit_s} s:\n{self.out}\n{self._err.decode()}"
            assert self._read(_POLL_S), f"ended without {text!r}:\n{self.out}\n{self._err.decode()}"
        return next(line for line in self.out.splitlines() if text in line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone, not to its children."""
        self.process.send_signal(number)

    def end(self, limit_s: float = LIMIT_S) -> Ran:
        """Read until it ends."""
        until_s = time.monotonic() + limit_s
        while self._read(_POLL_S):
            assert time.monotonic() < until_s, f"has not ended:\n{self.out}\n{self._err.decode()}"
        code = self.process.wait(limit_s)
        return Ran(code, self.out, self._err.decode(), time.monotonic() - self.began_s)

    def _read(self, wait_s: float) -> bool:
        """Take what there is; False once the command has ended and all is read.

        A child that outlives the command may hold the pipes open, so their end is not waited for.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        pipes = [self.process.stdout.fileno(), self.process.stderr.fileno()]
        has_ended = self.process.poll() is not None
        ready, _, _ = select.select(pipes, [], [], 0 if has_ended else wait_s)
        got = {pipe: os.read(pipe, 1 << 16) for pipe in ready}
        self._out += got.get(pipes[0], b"")
        self._err += got.get(pipes[1], b"")
        if not has_ended and ready and not any(got.values()):
            time.sleep(wait_s)
        return not has_ended or any(got.values())


@dataclass(frozen=True)
class Place:
    """A working folder and the variables of the user's shell."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def type(self, *arguments: str | Path, command: Sequence[str | Path] = (TRUNKLINE,), **more: str) -> Started:
        """Start a command; `more` are variables for it alone."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        process = subprocess.Popen(
            [str(part) for part in (*command, *arguments)],
            cwd=self.folder,
            env=kept | {_MARK: self.mark} | self.variables | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the test run's terminal is not the command's
        )
        return Started(process)

    def run(
        self,
        *arguments: str | Path,
        command: Sequence[str | Path] = (TRUNKLINE,),
        limit_s: float = LIMIT_S,
        **more: str,
    ) -> Ran:
        """Run a command to its end."""
        return self.type(*arguments, command=command, **more).end(limit_s)

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
        """The names under `.trunkline/run`."""
        folder = self.folder / ".trunkline" / "run"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def demo_folders(self) -> list[str]:
        """The folders of demos under `.trunkline`."""
        return sorted(path.name for path in (self.folder / ".trunkline").glob("demo-*"))

    def end_all(self) -> None:
        """End what is left, by process id."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def place(folder: Path, **variables: str) -> Iterator[Place]:
    """Make a working folder that knows the jars of the repository, and end what its commands left behind."""
    (folder / ".kafka").mkdir(parents=True)
    if JARS.is_dir():
        (folder / ".kafka" / JARS.name).symlink_to(JARS)
    made = Place(folder, variables)
    try:
        yield made
    finally:
        made.end_all()


def wait_until(is_true: Callable[[], bool], limit_s: float) -> bool:
    """Ask again and again; whether it became true in time."""
    until_s = time.monotonic() + limit_s
    while not (answer := is_true()) and time.monotonic() < until_s:
        time.sleep(_POLL_S)
    return answer
