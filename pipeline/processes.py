"""What a process must know about its parent, its pid file and its signals. Linux only."""

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its parent is gone, also after the parent's kill -9."""
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
    """Return the smallest n for which `<name>-<n>.pid` names no live process, and claim it for this one.

    Two supervisors of one group in one folder so get different members.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while not _claim(folder / f"{name}-{number}.pid"):
        number += 1
    return number


def _claim(path: Path) -> bool:
    try:
        if is_alive(int(path.read_text() or 0)):
            return False
        path.unlink()
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
