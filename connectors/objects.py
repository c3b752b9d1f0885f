"""Store redacted audio as files.

Owns the layout below one folder and that a file is there whole or not at all; it leaves what may be stored to
`pipeline/stages/archive.py`. One contact is

    tenant=<tenant>/contact=<contact id>/track=<track>/seg-<start sample>-<end sample>.wav
    tenant=<tenant>/contact=<contact id>/manifest.json      written last; names every segment with its SHA-256

with ids percent-encoded, so that an id never leaves its folder.
"""

import asyncio
import hashlib
import io
import json
import os
import wave
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import EngineFault
from pipeline.machine import Failed
from pipeline.stages.archive import BYTES_PER_SAMPLE, Extent, PutAudio, PutManifest, Stored
from topics.records import SAMPLE_RATE_HZ


class LocalObjects:
    """The archive's service `objects` on a local file system."""

    def __init__(self, root: Path, *, failure_pause_s: float = 1.0) -> None:
        """Store below `root`, which is made when needed; answer failures only after a pause.

        Args:
            root: the folder.
            failure_pause_s: the archive asks again at once, so the pace of its attempts is set here.
        """
        self._root = root
        self._failure_pause_s = failure_pause_s

    async def answer(self, request: object) -> Stored | Failed:
        """Store a segment or a manifest; the same request again changes nothing.

        Raises:
            EngineFault: the request is neither.
        """
        if not isinstance(request, PutAudio | PutManifest):
            raise EngineFault("the object store was asked for something else")
        try:
            await asyncio.to_thread(self._store, request)
        except OSError:
            await asyncio.sleep(self._failure_pause_s)
            return Failed("the object could not be written")
        return Stored()

    def _store(self, request: PutAudio | PutManifest) -> None:
        folder = contact_folder(self._root, request.tenant, request.contact_id)
        if isinstance(request, PutManifest):
            _write(folder / "manifest.json", _manifest(folder, request))
            return
        extent = Extent(request.track, request.first_sample, request.end_sample)
        _write(folder / _segment_name(extent), _wav(request.pcm))


def contact_folder(root: Path, tenant: str, contact_id: str) -> Path:
    """Return the folder of one contact's objects."""
    return root / f"tenant={quote(tenant, safe='')}" / f"contact={quote(contact_id, safe='')}"


def _segment_name(extent: Extent) -> str:
    return f"track={extent.track}/seg-{extent.start_sample:010d}-{extent.end_sample:010d}.wav"


def _wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(BYTES_PER_SAMPLE)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes(pcm)
    return buffer.getvalue()


def _manifest(folder: Path, request: PutManifest) -> bytes:
    """Describe the contact's objects.

    Raises:
        OSError: a segment is missing.
    """
    content = {
        "tenant": request.tenant,
        "contact_id": request.contact_id,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "segments": [_place(extent) | _proof(folder, extent) for extent in request.segments],
        "spans": [_place(extent) for extent in request.spans],
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _place(extent: Extent) -> dict[str, str | int]:
    return {"track": extent.track, "start_sample": extent.start_sample, "end_sample": extent.end_sample}


def _proof(folder: Path, extent: Extent) -> dict[str, str | int]:
    name = _segment_name(extent)
    return {"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one, the new one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two owners of a contact may write the same segment during a takeover; each has a name of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
