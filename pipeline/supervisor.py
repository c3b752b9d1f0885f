"""Keeps the worker processes of groups running, each under its own static member id.

Owns starting, restarting and draining child processes and their pid files under `.trunkline/run`. It knows nothing of
Kafka: a worker that dies is started again at once under the same member id, and the broker hands it back its
partitions without a rebalance.
"""

import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import processes
from pipeline.errors import Fenced, PeerUnavailable
from pipeline.settings import Settings, environment

EXIT_FENCED = 78  # the worker's: another process holds its member id
DRAIN_S = 15.0
_BACKOFF_AFTER = 3  # deaths within the window
_BACKOFF_WINDOW_S = 60.0
_BACKOFF_LIMIT_S = 30.0
_POLL_S = 0.02

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One supervised process."""

    group: str
    number: int
    pid_file: Path
    process: subprocess.Popen[bytes]
    deaths_s: list[float] = field(default_factory=list)
    due_s: float = 0.0  # when a backed-off restart is due; 0 while it runs


class Supervisor:
    """See the module. Use as a context manager: leaving it drains every child."""

    def __init__(self, settings: Settings, run_dir: Path) -> None:
        """Prepare; `start` makes children."""
        self._settings = settings
        self._run_dir = run_dir
        self._children: list[Child] = []
        self._is_draining = False
        self._is_drained = False
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self.fault: PeerUnavailable | None = None
        self.restarts = 0

    def start(self, group: str, workers: int = 1) -> None:
        """Start the workers of a group."""
        for _ in range(workers):
            number = processes.claim_number(self._run_dir, group)
            pid_file = self._run_dir / f"{group}-{number}.pid"
            self._children.append(Child(group, number, pid_file, self._spawn(group, number, pid_file)))
        if not self._watcher.is_alive():
            self._watcher.start()

    def pids(self, group: str) -> tuple[int, ...]:
        """The process ids of a group's workers."""
        return tuple(child.process.pid for child in self._children if child.group == group)

    @property
    def port_files(self) -> tuple[Path, ...]:
        """Where each child writes the port of its health page."""
        return tuple(child.pid_file.with_suffix(".port") for child in self._children)

    def check(self) -> None:
        """Raise what made a child stay down.

        Raises:
            Fenced: another process holds a child's member id.
        """
        if self.fault is not None:
            raise self.fault

    def drain(self) -> None:
        """Stop every child: SIGTERM, and SIGKILL for what does not go."""
        self._is_draining = True
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + DRAIN_S
        for child in self._children:
            try:
                child.process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _log.error("a worker did not drain and was killed", extra={"group": child.group})
                child.process.kill()
                child.process.wait()
            child.pid_file.unlink(missing_ok=True)
            child.pid_file.with_suffix(".port").unlink(missing_ok=True)
        self._is_drained = True

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def _spawn(self, group: str, number: int, pid_file: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.worker", group, str(number), str(self._run_dir)],
            env=environment(self._settings),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor, which drains in order
        )
        waiting = pid_file.with_suffix(".tmp")
        waiting.write_text(str(process.pid))
        waiting.replace(pid_file)
        return process

    def _watch(self) -> None:
        # A child's death signal is tied to the thread that started it, so this one outlives the drain.
        while not self._is_drained:
            for child in self._children:
                self._tend(child)
            time.sleep(_POLL_S)

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.due_s:
            if now_s >= child.due_s and not self._is_draining:
                child.due_s = 0.0
                child.process = self._spawn(child.group, child.number, child.pid_file)
                self.restarts += 1
            return
        code = child.process.poll()
        if code is None or self._is_draining or self.fault is not None:
            return
        if code == EXIT_FENCED:
            self.fault = Fenced(f"another process runs as member {child.group}-{child.number}")
            return
        child.deaths_s = [*(d for d in child.deaths_s if now_s - d < _BACKOFF_WINDOW_S), now_s]
        child.due_s = now_s + _backoff_s(len(child.deaths_s)) + _POLL_S
        _log.warning("a worker died", extra={"group": child.group, "number": child.number, "code": code})


def _backoff_s(deaths: int) -> float:
    """Restart at once at first; after three deaths in a minute wait 1, 2, 4 ... 30 s."""
    if deaths < _BACKOFF_AFTER:
        return 0.0
    return float(min(2 ** (deaths - _BACKOFF_AFTER), _BACKOFF_LIMIT_S))
