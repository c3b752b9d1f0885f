"""`trunkline demo` as a child process, watched from outside: its page, its workers, its records.

Owns starting it in a folder of its own, waiting for what it prints, killing one of its workers and stopping it. What is
made of it belongs to the reports.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from connectors import files, tenant_keys
from pipeline import broker, call
from pipeline.app import SUBJECT_KEY
from pipeline.results import Entry
from pipeline.settings import BOOTSTRAP_VARIABLE, PREFIX, Settings

REPOSITORY = Path(__file__).parents[1]
JARS = REPOSITORY / ".kafka" / f"libs-{broker.KAFKA_VERSION}"
DEMO_FILES = Path(str(resources.files("pipeline.demo")))
SCRIPTED = f"scripted:{DEMO_FILES / 'reference.json'}"
LIMIT_S = 300.0  # of a start, of an end; a shared machine may be slow
_POLL_S = 0.02


class Child:
    """A command that runs, and what it has printed so far."""

    def __init__(self, command: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> None:
        """Start it in a session of its own: a Ctrl-C at this terminal is not the command's."""
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    @property
    def out(self) -> str:
        """What it has printed."""
        return _content(self._out.fileno())

    @property
    def err(self) -> str:
        """What it has complained of."""
        return _content(self._err.fileno())

    def wait_for(self, text: str, limit_s: float = LIMIT_S) -> str:
        """Return the first whole line that holds a text.

        Raises:
            RuntimeError: the command ended without it, or the time is over.
        """
        until_s = time.monotonic() + limit_s
        while True:
            has_ended = self.process.poll() is not None
            for line in self.out.splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line.rstrip("\n")
            if has_ended or time.monotonic() > until_s:
                raise RuntimeError(f"{text!r} was not printed:\n{self.out}\n{self.err}")
            time.sleep(_POLL_S)

    def end(self, limit_s: float = LIMIT_S) -> int:
        """Wait until it has ended; return its exit code."""
        return self.process.wait(limit_s)


@dataclass(frozen=True, slots=True)
class Recording:
    """The two tracks of a call, and who hears it; paths are absolute, since a demo has a folder of its own."""

    customer: Path = DEMO_FILES / "customer.wav"
    agent: Path = DEMO_FILES / "agent.wav"
    asr: str = SCRIPTED

    @classmethod
    def chosen(cls, given: argparse.Namespace) -> "Recording":
        """Take what `add_options` has declared."""
        kind, _, reference = given.asr.partition(":")
        asr = f"{kind}:{Path(reference).absolute()}" if reference else kind
        return cls(given.customer.absolute(), given.agent.absolute(), asr)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of a report, with this recording as default."""
        parser.add_argument("--customer", type=Path, default=self.customer, help="WAV of the customer's track")
        parser.add_argument("--agent", type=Path, default=self.agent, help="WAV of the agent's track")
        parser.add_argument("--asr", default=self.asr, help="moonshine, whisper, two-pass, or scripted:REF.json")

    @property
    def call(self) -> files.Call:
        """The samples."""
        return files.read_call(self.customer, self.agent)


DEFAULT = Recording()


class WatchedDemo:
    """`trunkline demo --keep` that has been told to play a recording."""

    def __init__(self, child: Child, folder: Path, contact_id: str) -> None:
        """Take over a demo that has been started in a folder."""
        self.child = child
        self.contact_id = contact_id
        self.page = child.wait_for("page http").split()[1]
        self._run_dir = folder / ".trunkline" / "run"
        self.settings = opening(_told(self.pid("postgres")), folder)

    def pid(self, group: str) -> int:
        """The process id of a group's worker at this moment."""
        return int((self._run_dir / f"{group}-1.pid").read_text())

    def wait_for_call(self) -> float:
        """Wait until the call begins; return when that was, in seconds since the epoch, within 50 ms."""
        self.child.wait_for("the call begins")
        return time.time()

    def wait_for_end(self, limit_s: float = LIMIT_S) -> None:
        """Wait until the call is over and stored."""
        self.child.wait_for("stays open", limit_s)

    def kill(self, group: str) -> int:
        """End a group's worker with SIGKILL; return its process id."""
        pid = self.pid(group)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_back(self, group: str, dead_pid: int, limit_s: float = 90.0) -> None:
        """Wait until another worker stands in for a dead one and is ready.

        Raises:
            RuntimeError: none has come in time.
        """
        if not wait_until(lambda: self._is_back(group, dead_pid), limit_s):
            raise RuntimeError(f"{group} has not come back within {limit_s:.0f} s:\n{self.child.err}")

    def entries(self) -> list[Entry]:
        """Read every record of the call's topics."""
        return call.collect(self.settings)

    def _is_back(self, group: str, dead_pid: int) -> bool:
        if self.pid(group) == dead_pid:
            return False
        return is_ready(self._run_dir / f"{group}-1")


@contextmanager
def watched(folder: Path, recording: Recording, speed: float, **variables: str) -> Iterator[WatchedDemo]:
    """Run a demo in a folder until the body ends.

    Args:
        folder: made if missing; everything that the demo leaves is below it.
        recording: the call.
        speed: N times real time.
        variables: more of the environment.
    """
    prepare(folder)
    tracks = ("--customer", recording.customer, "--agent", recording.agent)
    command = (sys.executable, "-m", "pipeline", "demo", *tracks, "--speed", str(speed), "--keep")
    own = {PREFIX + "ASR": recording.asr, PREFIX + "GATEWAY_PORT": "0"}
    # A worker that is started again finds its modules compiled, as in any installation.
    compiled = {"PYTHONPYCACHEPREFIX": str(folder / ".compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    child = Child(command, folder, plain_environment() | compiled | own | variables)
    try:
        yield WatchedDemo(child, folder, recording.call.contact_id)
    finally:
        child.process.send_signal(signal.SIGINT)
        child.end()


def prepare(folder: Path) -> None:
    """Make a working folder that knows the jars of the repository."""
    (folder / ".kafka").mkdir(parents=True, exist_ok=True)
    link = folder / ".kafka" / JARS.name
    if JARS.is_dir() and not link.exists():
        link.symlink_to(JARS)


def is_ready(stem: Path) -> bool:
    """Ask the health page of the worker whose files in the run folder begin with `stem`."""
    with suppress(OSError, ValueError):
        port = int(stem.with_suffix(".port").read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    return False


def plain_environment() -> dict[str, str]:
    """The variables of this process without any that are settings."""
    return {name: v for name, v in os.environ.items() if not name.startswith(PREFIX) and name != BOOTSTRAP_VARIABLE}


def wait_until(is_true: Callable[[], bool], limit_s: float) -> bool:
    """Ask again and again; return whether it became true in time."""
    until_s = time.monotonic() + limit_s
    while not (answer := is_true()) and time.monotonic() < until_s:
        time.sleep(_POLL_S)
    return answer


def _told(pid: int) -> Settings:
    """What a worker was told, from its environment."""
    pairs = (item.partition("=") for item in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    told = {name: value for name, _, value in pairs}
    known = {name: told[PREFIX + name.upper()] for name in Settings.model_fields if PREFIX + name.upper() in told}
    return Settings.model_validate(known)


def opening(settings: Settings, folder: Path) -> Settings:
    """Return settings that open, and seal, as workers do that run in a folder."""
    tenant_keys.made_at(folder / SUBJECT_KEY)
    names = folder / "subjects.toml"
    names.write_text(f'[keys]\n"*" = "file:{SUBJECT_KEY}"\n')
    return settings.model_copy(update={"subject_keys": str(names)})


def _content(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
