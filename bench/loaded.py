"""A worker of `bench/load_worker.py` under load, its broker and its topics."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.load_worker import READY, STANDS_BY, Told, rows
from bench.offered import Due, offer
from bench.site import cpu_s
from bench.watched import REPOSITORY, plain_environment
from topics import admin, clients, deadletters
from topics.catalogue import changelog

SETTLE_S = 3.0  # more than two checkpoints
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOOK_S = 0.2
_LIMIT_S = 120.0
_SOURCE = ("audio.frames", "contact.events")  # what a source writes


class Loaded:
    """One worker with topics of its own; `close` ends it."""

    def __init__(self, bootstrap: str, folder: Path, kind: str, partitions: int, asr: str, prefix: str) -> None:
        """Make the topics that are missing, start the worker and wait until it is ready."""
        group = rows(kind)
        self.prefix = prefix
        self.partitions = partitions
        self.producer = clients.producer(bootstrap)
        names = {*_SOURCE, *group.inputs, *map(deadletters.name, group.inputs), *group.tables, changelog(group.name)}
        names |= {topic for stage in group.stages for topic in stage.outputs}
        every = admin.declare(self.prefix, partitions, -1, changelogs=[group.name])
        wanted = [one for one in every if one.name.removeprefix(self.prefix) in names]
        admin.apply(bootstrap, admin.plan(wanted, admin.read(bootstrap, prefix)))
        self._command = [sys.executable, "-m", "bench.load_worker", kind, bootstrap, self.prefix, asr]
        self._log = folder / f"{kind}.log"
        self._process = self._made()
        self._begin()

    @property
    def cpu_s(self) -> float:
        """CPU time of the worker so far."""
        return cpu_s(self._process.pid)

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the worker."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def told(self) -> Told:
        """Ask the worker what it holds."""
        return msgspec.json.decode(self._asked(), type=Told)

    def offer(self, load: Iterator[Due], began_s: float) -> tuple[int, float]:
        """Send a load when it is due and wait until the worker has read it; return its size and the seconds it took.

        Raises:
            RuntimeError: the worker does not come to its end.
        """
        sent, wanted = 0, self.told().records

        def counted() -> Iterator[Due]:
            nonlocal sent
            for due in load:
                sent += 1
                yield due

        offer(self.producer, counted(), began_s)
        until_s = time.monotonic() + _LIMIT_S
        while self.told().records < wanted + sent:
            if time.monotonic() > until_s:
                raise RuntimeError(f"the worker is behind after {_LIMIT_S:.0f} s")
            time.sleep(_LOOK_S)
        return sent, time.time() - began_s

    def die(self) -> float:
        """End the worker with SIGKILL, start it again from a process that stands by; return the s until it is ready."""
        spare = self._made()
        began_s = time.monotonic()
        self.close()
        self._process = spare
        self._begin()
        return time.monotonic() - began_s

    def close(self) -> None:
        """End the worker with SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def _made(self) -> "subprocess.Popen[str]":
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                env=plain_environment() | {"PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None  # a pipe was asked for
        self._expect(process.stdout.readline(), STANDS_BY)
        return process

    def _begin(self) -> None:
        self._expect(self._asked(), READY)

    def _expect(self, line: str, wanted: str) -> None:
        if line.rstrip("\n") != wanted:
            raise RuntimeError(f"the worker does not start:\n{self._log.read_text()[-2_000:]}")

    def _asked(self) -> str:
        process = self._process
        assert process.stdin is not None  # a pipe was asked for
        assert process.stdout is not None
        print(file=process.stdin, flush=True)
        return process.stdout.readline()
