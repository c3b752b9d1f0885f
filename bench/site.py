"""What a report works on: a broker in a folder of its own and, on it, supervised workers."""

import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

from bench.watched import JARS, Child, Recording, is_ready, opening, plain_environment, wait_until
from pipeline import broker, environment, settings
from pipeline.engines import failpoints
from pipeline.processes import is_alive
from pipeline.running import RUN_DIR

GROUPS = ("speech", "language")
WORKERS = 2
PARTITIONS = 4
_LIMIT_S = 60.0
_COMPLAINTS = 4_000  # characters
_START = ("-m", "pipeline", "run", "--workers")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, of all its threads, user and system."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) * _TICK_S


@contextmanager
def broker_alone(name: str) -> Iterator[tuple[str, Path]]:
    """Run a broker; yields its bootstrap and a folder that lives as long."""
    with tempfile.TemporaryDirectory(prefix=f"trunkline-{name}-") as folder:
        started = broker.start(Path(folder), libs=JARS)
        try:
            yield started.bootstrap, Path(folder)
        finally:
            broker.stop(Path(folder))


class Site:
    """A broker of its own, and supervised workers of each group."""

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        recording: Recording,
        groups: Sequence[str],
        workers: int,
        partitions: int,
    ) -> None:
        """Make the topics; nothing runs yet."""
        self.variables: Mapping[str, str] = {}
        self.folder = folder
        self.recording = recording
        self._groups = groups
        self._workers = workers
        self._run_dir = folder / RUN_DIR
        self._children: dict[str, list[Child]] = defaultdict(list)
        own = settings.load(kafka_bootstrap=bootstrap, partitions=partitions, asr=recording.asr)
        self.settings = opening(own, folder)
        environment.apply(self.settings, environment.plan(self.settings))

    @classmethod
    @contextmanager
    def opened(
        cls,
        name: str,
        recording: Recording,
        groups: Sequence[str] = GROUPS,
        workers: int = WORKERS,
        partitions: int = PARTITIONS,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Self]:
        """Run a broker and the workers of every group until the body ends.

        A body that fails is told with what the supervisors have complained of.

        Args:
            name: of the report.
            recording: what will be played.
            groups: which have workers.
            workers: of each group.
            partitions: of each topic.
            variables: of the supervisors' environment, besides those of every report.
        """
        with broker_alone(name) as (bootstrap, folder):
            site = cls(bootstrap, folder, recording, groups, workers, partitions)
            site.variables = variables
            try:
                site.start_all()
                yield site
            except Exception:  # whatever it is, it is raised again
                print(site.complaints(), file=sys.stderr)
                raise
            finally:
                site.stop_all()

    def start(self, group: str, workers: int, failpoint: float = 0.0) -> Child:
        """Start a supervisor of some workers."""
        told = {
            "KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "TRUNKLINE_PARTITIONS": str(self.settings.partitions),
            "TRUNKLINE_ASR": self.settings.asr,
            "TRUNKLINE_FAILPOINT": str(failpoint),
            "PYTHONPYCACHEPREFIX": str(self.folder / ".compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
            **self.variables,
        }
        child = Child(
            (sys.executable, *_START, str(workers), "--group", group), self.folder, plain_environment() | told
        )
        self._children[group].append(child)
        return child

    def start_all(self, failpoint: float = 0.0) -> None:
        """Start the workers of every group and wait until their partitions are theirs."""
        for group in self._groups:
            self.start(group, self._workers, failpoint)
        if not failpoint:
            self.wait_until_ready()

    def stop_all(self) -> None:
        """Drain every supervisor."""
        for children in self._children.values():
            for child in children:
                child.process.terminate()
        for children in self._children.values():
            for child in children:
                child.end()
        self._children.clear()

    def wait_until_ready(self) -> None:
        """Wait until every worker answers so.

        Raises:
            RuntimeError: one does not.
        """
        stems = [self._run_dir / f"{group}-{n}" for group in self._groups for n in range(1, self._workers + 1)]
        if not wait_until(lambda: all(is_ready(stem) for stem in stems), _LIMIT_S):
            raise RuntimeError(f"not every worker is ready after {_LIMIT_S:.0f} s")

    def pid(self, group: str, number: int) -> int:
        """Return the process id of a worker at this moment."""
        return int((self._run_dir / f"{group}-{number}.pid").read_text())

    def complaints(self) -> str:
        """What the supervisors that run have complained of lately."""
        each = [(group, child.err[-_COMPLAINTS:]) for group, children in self._children.items() for child in children]
        return "\n".join(f"{group}:\n{err}" for group, err in each if err)

    def deaths_at_failpoints(self) -> int:
        """Count those of the workers that run now."""
        return sum(child.err.count(failpoints.SAID) for children in self._children.values() for child in children)

    def kill_broker(self) -> None:
        """End the broker with SIGKILL and start it again."""
        running = broker.status(self.folder)
        assert running is not None  # `opened` has started it
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(running.pid), _LIMIT_S)
        broker.start(self.folder, libs=JARS)
