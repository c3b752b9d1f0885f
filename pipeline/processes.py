"""What a process must know about its parent, its number and its signals. Linux only."""

import ctypes
import fcntl
import os
import signal
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PORTS_A_GENERATION = 100  # of health pages, where the first is set

_held: dict[Path, TextIOWrapper] = {}  # lock files of this process's numbers


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a worker process runs as.

    Attributes:
        group: its group, without prefix.
        generation: of topics.
        number: among the group's workers in this generation and working folder, from 1.
    """

    group: str
    generation: int
    number: int

    @property
    def name(self) -> str:
        """Names its files and its log: `<group>-<n>`, in a later generation `<group>-g2-<n>`."""
        return f"{family(self.group, self.generation)}-{self.number}"

    @property
    def port_offset(self) -> int:
        """Where its health page stands behind the first worker's."""
        return _PORTS_A_GENERATION * (self.generation - 1) + self.number - 1


def family(group: str, generation: int) -> str:
    """Return the part of a worker's name that is not its number."""
    return group if generation == 1 else f"{group}-g{generation}"


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its parent is gone, also after the parent's kill -9.

    The kernel means the thread that started this process: it must live as long as the parent.

    Args:
        parent_pid: as the parent itself knows it; `os.getppid` is another's once it is gone.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call
        os._exit(1)


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def claim_number(folder: Path, name: str) -> int:
    """Return the smallest n that no other process has claimed for a name in this folder, and claim it.

    The claim is a locked file `<name>-<n>.lock`; the kernel drops it with this process, whatever ends it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while not _claim(_lock_file(folder, name, number)):
        number += 1
    return number


def release_number(folder: Path, name: str, number: int) -> None:
    """Give a claimed number back."""
    _held.pop(_lock_file(folder, name, number)).close()


def _lock_file(folder: Path, name: str, number: int) -> Path:
    return folder.resolve() / f"{name}-{number}.lock"


def _claim(path: Path) -> bool:
    if path in _held:
        return False
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held[path] = file
    return True
