"""Store redacted audio as objects.

Owns the layout, versions and what a reader may take for whole; it leaves what may be stored to
`pipeline/stages/archive.py` and where bytes lie to a `Place`. One contact is

    tenant=<tenant>/contact=<contact id>/track=<track>/seg-<start sample>-<end sample>-v<version>.flac
    tenant=<tenant>/contact=<contact id>/manifest-v<version>.json   written last; names each segment with its SHA-256

with ids percent-encoded, so that an id never leaves its folder. What waits for verification lies below `pending/`, to
which verification alone needs a right, with a manifest of its own. No object is ever overwritten by another content: a
change has the next version, and the one before is deleted. Whoever has written then looks what lies there: of two
versions the higher stays, even if a worker that has lost the contact is late with the lower; and where `erased` lies,
nothing else stays.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol
from urllib.parse import quote

import numpy as np

from pipeline.audio import flac
from pipeline.audio.tone import apply_tone
from pipeline.errors import EngineFault, PeerUnavailable, RecordRefused
from pipeline.machine import Failed
from pipeline.stages.archive import CoverAudio, EraseAudio, Extent, PutAudio, PutManifest, Request, Stored
from topics.records import SAMPLE_RATE_HZ, TRACKS

PENDING: Final = "pending/"
_ERASED: Final = "erased"
_AT_ONCE: Final = 8  # objects that a manifest reads or moves: three hours are 2,160, and an answer may take a minute


class Place(Protocol):
    """Where objects lie, by name. Every method may raise OSError or PeerUnavailable; threads share it."""

    def put(self, tenant: str, name: str, content: bytes) -> None:
        """Store an object whole, under the tenant's key."""

    def get(self, tenant: str, name: str) -> bytes:
        """Return an object.

        Raises:
            FileNotFoundError: there is none.
            RecordRefused: it was changed, or sealed by another key.
        """

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, in order."""

    def move(self, tenant: str, source: str, target: str) -> None:
        """Give an object another name.

        Raises:
            FileNotFoundError: there is none.
        """

    def delete(self, name: str) -> None:
        """Delete an object with all that the place keeps of it; one that is not there is deleted."""


class Objects:
    """The archive's service `objects`."""

    def __init__(self, place: Place, *, failure_pause_s: float = 1.0) -> None:
        """Store in a place; answer failures only after a pause.

        Args:
            place: where.
            failure_pause_s: the archive asks again at once, so the pace of its attempts is set here.
        """
        self._place = place
        self._failure_pause_s = failure_pause_s

    async def answer(self, request: object) -> Stored | Failed:
        """Do what is asked; the same request again changes nothing.

        Raises:
            EngineFault: the archive asks for nothing like it.
        """
        if not isinstance(request, Request):
            raise EngineFault("the object store was asked for something else")
        try:
            await asyncio.to_thread(self.store, request)
        except (OSError, PeerUnavailable, RecordRefused):
            await asyncio.sleep(self._failure_pause_s)
            return Failed("the objects could not be stored")
        return Stored()

    def store(self, request: Request) -> None:
        """Do what is asked, and return when it is safe.

        Raises:
            OSError: the place cannot be written, or lacks what is asked for.
            PeerUnavailable: the place or the tenant's key is away.
            RecordRefused: what lies there is not what the archive has stored.
        """
        match request:
            case PutAudio():
                folder = (PENDING if request.is_pending else "") + contact_folder(request.tenant, request.contact_id)
                self._put(request.tenant, folder, _segment_name(request.extent), flac.encode(request.pcm))
            case CoverAudio():
                self._cover(request)
            case PutManifest(is_pending=True):
                self._list(request)
            case PutManifest():
                self._finish(request)
            case EraseAudio():
                self._erase(request)

    def _put(self, tenant: str, folder: str, name: str, content: bytes) -> bool:
        """Store one version and delete the lower ones; return whether it stays."""
        self._place.put(tenant, folder + name, content)
        if self._place.names(folder + _ERASED):
            self._delete(self._place.names(folder + name))
            return False
        *lower, highest = self._place.names(folder + _stem(name))
        self._delete(lower)
        return highest == folder + name

    def _cover(self, request: CoverAudio) -> None:
        """Write a segment's version from the newest that is not beyond it."""
        tenant, segment = request.tenant, request.segment
        contact, name = contact_folder(tenant, request.contact_id), _segment_name(segment)
        places = [(folder, self._place.names(folder + _stem(name))) for folder in (PENDING + contact, contact)]
        folder, source = next(
            ((folder, max(usable)) for folder, found in places if (usable := [n for n in found if n <= folder + name])),
            ("", ""),
        )
        if any(name_of > at + name for at, found in places for name_of in found):
            return  # somebody has gone further
        if not source:
            raise FileNotFoundError("no version of the segment is there")
        pcm = np.frombuffer(flac.decode(self._place.get(tenant, source)), "<i2")
        if len(pcm) != segment.end_sample - segment.start_sample:
            raise RecordRefused("the stored segment has another length")
        covered = apply_tone(pcm, segment.start_sample, request.runs)
        self._put(tenant, folder, name, flac.encode(covered.astype("<i2").tobytes()))

    def _list(self, request: PutManifest) -> None:
        """Write a manifest of what is pending, or was let out in part by a worker that died."""
        contact = contact_folder(request.tenant, request.contact_id)
        names = [_segment_name(segment) for segment in request.segments]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            digests = pool.map(lambda name: _digest(fetch(self._place, request.tenant, contact + name)), names)
            content = _manifest(request, zip(names, digests, strict=True))
        self._put(request.tenant, PENDING + contact, _manifest_name(request.version), content)

    def _finish(self, request: PutManifest) -> None:
        """Let segments out that are pending, write the manifest, and delete what it does not name."""
        tenant, contact = request.tenant, contact_folder(request.tenant, request.contact_id)
        names = [_segment_name(segment) for segment in request.segments]
        there = set(self._place.names(contact))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            pending = [name for name in names if contact + name not in there]
            list(pool.map(lambda name: self._place.move(tenant, PENDING + contact + name, contact + name), pending))
            digests = pool.map(lambda name: _digest(self._place.get(tenant, contact + name)), names)
            manifest = _manifest_name(request.version)
            content = _manifest(request, zip(names, digests, strict=True))
        if self._put(tenant, contact, manifest, content):
            named = {contact + name for name in (*names, manifest)}
            left = [name for name in self._place.names(contact) if _is_versioned(name) and name not in named]
            self._delete([*left, *self._place.names(PENDING + contact)])

    def _erase(self, request: EraseAudio) -> None:
        contact = contact_folder(request.tenant, request.contact_id)
        for folder in (PENDING + contact, contact):
            self._place.put(request.tenant, folder + _ERASED, b"")
            self._delete(name for name in self._place.names(folder) if name != folder + _ERASED)

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self._place.delete(name)


def read(place: Place, tenant: str, contact_id: str) -> Iterator[tuple[Extent, bytes]]:
    """Yield what is stored of a contact, the newest version of each segment: int16 little-endian PCM.

    Raises:
        RecordRefused: an object was changed, or sealed by another key.
    """
    contact = contact_folder(tenant, contact_id)
    for track in TRACKS:
        newest = {_stem(name): name for name in place.names(f"{contact}track={track}/")}
        for name in newest.values():
            start, end, version = (int(part.lstrip("v")) for part in name.rpartition("/seg-")[2][:-5].split("-"))
            yield Extent(track, start, end, version), flac.decode(place.get(tenant, name))


def manifest(place: Place, tenant: str, contact_id: str) -> dict[str, Any] | None:
    """Return the manifest of a contact, None while its audio is not complete."""
    found = place.names(contact_folder(tenant, contact_id) + "manifest-v")
    content: dict[str, Any] | None = json.loads(place.get(tenant, found[-1])) if found else None
    return content


def fetch(place: Place, tenant: str, name: str) -> bytes:
    """Return an object whether it is pending or let out.

    Raises:
        FileNotFoundError: it is neither.
        RecordRefused: it was changed, or sealed by another key.
    """
    try:
        return place.get(tenant, PENDING + name)
    except FileNotFoundError:
        return place.get(tenant, name)


def manifest_of(place: Place, tenant: str, contact_id: str, version: int) -> dict[str, Any]:
    """Return one version of a contact's manifest, let out or pending.

    Raises:
        FileNotFoundError: it is not there.
        RecordRefused: it was changed, or sealed by another key.
    """
    content = fetch(place, tenant, contact_folder(tenant, contact_id) + _manifest_name(version))
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def contact_folder(tenant: str, contact_id: str) -> str:
    """Return what the names of a contact's objects begin with, once they are let out."""
    return f"tenant={quote(tenant, safe='')}/contact={quote(contact_id, safe='')}/"


def _segment_name(segment: Extent) -> str:
    place = f"{segment.start_sample:010d}-{segment.end_sample:010d}"
    return f"track={segment.track}/seg-{place}-v{segment.version:04d}.flac"


def _manifest_name(version: int) -> str:
    return f"manifest-v{version:04d}.json"


def _stem(name: str) -> str:
    """Return what the names of an object's versions begin with."""
    return name.rpartition("-v")[0] + "-v"


def _is_versioned(name: str) -> bool:
    return name.endswith((".flac", ".json"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(request: PutManifest, files: Iterable[tuple[str, str]]) -> bytes:
    content = {
        "tenant": request.tenant,
        "contact_id": request.contact_id,
        "version": request.version,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "segments": [
            _place_of(segment) | {"version": segment.version, "file": name, "sha256": digest}
            for segment, (name, digest) in zip(request.segments, files, strict=True)
        ],
        "spans": [_place_of(extent) for extent in request.spans],
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _place_of(extent: Extent) -> dict[str, str | int]:
    return {"track": extent.track, "start_sample": extent.start_sample, "end_sample": extent.end_sample}
