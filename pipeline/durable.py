"""Files and folders that are whole and on disk when a call returns."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one, the new one or none."""
    temporary = _temporary(path, content)
    temporary.replace(path)
    sync_folder(path.parent)


def write_once(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file unless there is one: of several that make it at once one does."""
    temporary = _temporary(path, content, mode)
    with suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()
    sync_folder(path.parent)


def _temporary(path: Path, content: bytes, mode: int = 0o666) -> Path:
    """Write the content beside `path`, under a name of its own: a thread or process may write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
