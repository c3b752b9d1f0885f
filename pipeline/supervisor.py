"""Keeps the worker processes of groups running, each under its own static member id.

Owns starting, restarting and draining child processes and their pid files under `.trunkline/run`. It knows nothing of
Kafka: a worker that dies is started again at once under the same member id, and the broker hands it back its
partitions without a rebalance.

One thread starts every child and outlives them all: the kernel ties a child's death signal to the thread that made it.
A spare process stands by with everything imported, which is most of a worker's start: it becomes the next to restart.

A worker that died three times without progress is started careful, to find the record that kills it; what dies on is
waited for longer and longer.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import processes
from pipeline.errors import Fenced, InputError, PeerUnavailable, TrunklineError
from pipeline.processes import Who
from pipeline.progress import KILLS, mark_file, suspect_file
from pipeline.settings import Settings, environment

EXIT_INPUT = 2  # the worker's: a setting is wrong, so another start would end the same way
EXIT_FENCED = 78  # the worker's: another process holds its member id
DRAIN_S = 15.0
_CAREFUL_AFTER = 3  # deaths without progress between them
_CAREFUL_LIVES = 1 + KILLS  # the first tells who is suspected
_WINDOW_S = 60.0
_RESTARTS = 10  # within the window, whatever the progress: more would only heat the machine
_BACKOFF_LIMIT_S = 30.0
_POLL_S = 0.02
_SPARE_AFTER_S = 5.0  # leave the processor to the workers that have just been started

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One supervised process."""

    who: Who
    stem: Path  # its files in the run folder, without suffix
    process: subprocess.Popen[bytes] | None = None
    deaths_s: list[float] = field(default_factory=list)
    fruitless: int = 0  # deaths since the last progress
    due_s: float | None = 0.0  # when its next start is due; None while it runs

    @property
    def pid_file(self) -> Path:
        """Names the process for whoever looks from outside."""
        return self.stem.with_suffix(".pid")

    @property
    def pid(self) -> int:
        """Of the running process, or of the last one."""
        assert self.process is not None  # `Supervisor.start` waits for the first
        return self.process.pid


class Supervisor:
    """See the module. Use as a context manager: leaving it drains every child."""

    def __init__(self, settings: Settings, run_dir: Path) -> None:
        """Prepare; `start` makes children."""
        self._settings = settings
        self._run_dir = run_dir
        self._children: list[Child] = []
        self._is_draining = False
        self._is_drained = threading.Event()
        self._spare: subprocess.Popen[bytes] | None = None
        self._spare_due_s = 0.0
        self._turn = threading.Condition()  # held by whoever starts or stops children
        self._starter = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self.fault: TrunklineError | None = None
        self.restarts = 0

    def start(self, group: str, workers: int = 1, generation: int = 1) -> None:
        """Start the workers of a group in one generation of topics.

        Raises:
            PeerUnavailable: the machine refuses another process.
        """
        with self._turn:
            for _ in range(workers):
                number = processes.claim_number(self._run_dir, processes.family(group, generation))
                who = Who(group, generation, number)
                self._children.append(Child(who, self._run_dir / who.name))
            if not self._starter.is_alive():
                self._starter.start()
            self._turn.wait_for(lambda: self.fault or all(child.process for child in self._children))
        self.check()

    def stop(self, group: str, generation: int) -> None:
        """Drain the workers of a group in one generation; the others go on."""
        with self._turn:
            kept: list[Child] = []
            gone: list[Child] = []
            for child in self._children:
                is_gone = (child.who.group, child.who.generation) == (group, generation)
                (gone if is_gone else kept).append(child)
            self._children = kept
        self._end(gone)

    def pids(self, group: str) -> tuple[int, ...]:
        """The process ids of a group's workers."""
        return tuple(child.pid for child in self._children if child.who.group == group)

    @property
    def port_files(self) -> tuple[Path, ...]:
        """Where each child writes the port of its health page."""
        return tuple(child.stem.with_suffix(".port") for child in self._children)

    def check(self) -> None:
        """Raise what made a child stay down.

        Raises:
            Fenced: another process holds a child's member id.
            InputError: a child found a wrong setting; its log line says which.
            PeerUnavailable: a child could not be started.
        """
        if self.fault is not None:
            raise self.fault

    def drain(self) -> None:
        """Stop every child: SIGTERM, and SIGKILL for what does not go."""
        with self._turn:
            self._is_draining = True
        self._end(self._children, self._spare)
        self._children.clear()
        self._spare = None
        self._is_drained.set()

    def _end(self, children: Sequence[Child], spare: subprocess.Popen[bytes] | None = None) -> None:
        running = [process for process in (spare, *(child.process for child in children)) if process]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + DRAIN_S
        for process in running:
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _log.error("a worker did not drain and was killed", extra={"pid": process.pid})
                process.kill()
                process.wait()
        for child in children:
            for file in (
                child.pid_file,
                child.stem.with_suffix(".port"),
                mark_file(child.stem),
                suspect_file(child.stem),
            ):
                file.unlink(missing_ok=True)
            who = child.who
            processes.release_number(self._run_dir, processes.family(who.group, who.generation), who.number)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def _watch(self) -> None:
        while not self._is_drained.wait(_POLL_S):
            with self._turn:
                if self._is_draining or self.fault is not None:
                    continue
                try:
                    for child in self._children:
                        self._tend(child)
                    if self._spare is None and time.monotonic() >= self._spare_due_s:
                        self._spare = self._make()
                except OSError as failure:
                    self.fault = PeerUnavailable(f"a worker could not be started: {failure.strerror}")
                self._turn.notify_all()

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.due_s is not None:
            if now_s >= child.due_s:
                self.restarts += child.process is not None
                child.process = self._start(child)
                child.due_s = None
            return
        assert child.process is not None  # nothing is due
        code = child.process.poll()
        if code is not None:
            self._note_death(child, code, now_s)

    def _note_death(self, child: Child, code: int, now_s: float) -> None:
        _log.warning("a worker died", extra={"worker": child.who.name, "code": code})
        if code == EXIT_FENCED:
            self.fault = Fenced(f"another process runs as member {child.who.name}")
        elif code == EXIT_INPUT:
            self.fault = InputError(f"a worker of {child.who.group} refused its settings")
        child.fruitless = 0 if mark_file(child.stem).exists() else child.fruitless + 1
        child.deaths_s = [*(d for d in child.deaths_s if now_s - d < _WINDOW_S), now_s]
        child.due_s = now_s + backoff_s(child.fruitless, len(child.deaths_s))

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        """Tell the spare, or a process that is made now, whom it runs as."""
        mark_file(child.stem).unlink(missing_ok=True)
        process = self._spare if self._spare and self._spare.poll() is None else self._make()
        self._spare, self._spare_due_s = None, time.monotonic() + _SPARE_AFTER_S
        waiting = child.pid_file.with_suffix(".tmp")
        waiting.write_text(str(process.pid))
        waiting.replace(child.pid_file)
        assert process.stdin is not None  # `_make` asks for it
        with contextlib.suppress(BrokenPipeError):  # it has just died, as the next look will show
            careful = "careful" if child.fruitless >= _CAREFUL_AFTER else ""
            who = child.who
            line = f"{who.group}\t{who.generation}\t{who.number}\t{self._run_dir}\t{careful}\n"
            process.stdin.write(line.encode())
            process.stdin.close()
        return process

    def _make(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.worker", str(os.getpid())],
            env=environment(self._settings),
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the supervisor, which drains in order
        )


def backoff_s(fruitless: int, deaths: int) -> float:
    """Return how long to wait after a death: nothing at first, then 1, 2, 4 ... 30 s.

    Args:
        fruitless: deaths since the last progress; a careful worker needs three to find the record that kills it.
        deaths: within the last minute.
    """
    steps = max(fruitless - _CAREFUL_AFTER - _CAREFUL_LIVES, deaths - _RESTARTS)
    return min(2.0 ** (steps - 1), _BACKOFF_LIMIT_S) if steps > 0 else 0.0
