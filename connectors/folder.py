"""Objects as files below one folder, sealed.

Owns that a file is there whole or not at all, and the data key of each contact; names are those of
`connectors/objects.py`. The wrapped data key lies beside the contact's objects as `key`, and goes with them when they
are erased.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from connectors.envelope import Envelope
from pipeline.durable import sync_folder, write, write_once
from pipeline.tenant_key import TenantKey

CONTACTS: Final = 4_096  # whose data keys are kept at hand
_KEY: Final = "key"


class Folder:
    """A `Place` on a local file system."""

    def __init__(self, root: Path, key_of: Callable[[str], TenantKey]) -> None:
        """Store below `root`, which is made when needed.

        Args:
            root: the folder.
            key_of: finds a tenant's key, or raises PeerUnavailable.
        """
        self._root = root
        self._key_of = key_of
        self._at_hand: OrderedDict[str, tuple[bytes, Envelope]] = OrderedDict()
        self._turn = Lock()

    def put(self, tenant: str, name: str, content: bytes) -> None:
        """See `Place`."""
        write(self._root / name, self._envelope(tenant, name, is_new=True).seal(_own(name), content))

    def get(self, tenant: str, name: str) -> bytes:
        """See `Place`."""
        sealed = (self._root / name).read_bytes()
        return self._envelope(tenant, name, is_new=False).open(_own(name), sealed)

    def names(self, prefix: str) -> list[str]:
        """See `Place`."""
        parent = (self._root / prefix).parent if not prefix.endswith("/") else self._root / prefix
        files = (path for path in parent.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self._root).as_posix() for path in files)
        return sorted(name for name in names if name.startswith(prefix))

    def move(self, tenant: str, source: str, target: str) -> None:
        """See `Place`; an object is sealed under its name without `pending/`, so its bytes stay."""
        new, old = self._root / target, self._root / source
        new.parent.mkdir(parents=True, exist_ok=True)
        old.replace(new)
        sync_folder(new.parent)
        sync_folder(old.parent)

    def delete(self, name: str) -> None:
        """See `Place`."""
        path = self._root / name
        with suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)

    def _envelope(self, tenant: str, name: str, *, is_new: bool) -> Envelope:
        """Return what seals a contact's objects; its key is read each time, because another worker may erase it."""
        contact = _contact(name)
        path = self._root / contact / _KEY
        belonging = f"{tenant}|{contact}"
        if is_new and not path.exists():
            write_once(path, self._key_of(tenant).make(belonging).wrapped)
        wrapped = path.read_bytes()
        with self._turn:
            known = self._at_hand.get(contact)
            if known is not None and known[0] == wrapped:
                self._at_hand.move_to_end(contact)
                return known[1]
        envelope = Envelope(self._key_of(tenant).unwrap(wrapped, belonging), belonging)
        with self._turn:
            self._at_hand[contact] = wrapped, envelope
            if len(self._at_hand) > CONTACTS:
                self._at_hand.popitem(last=False)
        return envelope


def _own(name: str) -> str:
    """Return an object's name within its contact, which stays when it is let out."""
    return name.partition("contact=")[2].partition("/")[2]


def _contact(name: str) -> str:
    parts = name.split("/")
    at = next(at for at, part in enumerate(parts) if part.startswith("contact="))
    return "/".join(parts[at - 1 : at + 1])
