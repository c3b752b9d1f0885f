"""Read back what the archive has stored, compare it with the tone, and hear what stands beside it.

Owns the reading; what is required, and what of the words is a finding, is decided in
`pipeline/verification/listening.py`. Everything comes from the place where readers get it, opened by the tenant's key,
and nothing from the archive's memory. The recogniser (270 MB) is loaded with the first audio that is to be heard; the
43 s around the six spans of the demo call take it 2.8 CPU s.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from connectors.objects import Place, contact_folder, fetch, manifest_of
from pipeline.audio import flac, pcm
from pipeline.errors import EngineFault, PeerUnavailable, RecordRefused
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from pipeline.verification import listening
from pipeline.verification.listening import CompareAudio, Compared, HearAudio, Overheard, Piece
from topics.records import TRACKS, Track, Word

Recogniser = Callable[[Transcribe], Awaitable[Transcript | Failed]]

# 48 dB below full scale: the loudest sample is 55 dB below it in pauses of the demo call, and 10 dB in talk. In a pause
# a recogniser hears words that nobody said.
QUIET: Final = 128
_AT_HAND: Final = 4  # decoded segments, 160 kB each

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of stored audio that is to be heard: int16 little-endian, mono, 8 kHz."""

    place: listening.Place
    pcm: bytes


class Playback:
    """The verification's service `playback`. Use it from one event loop."""

    def __init__(
        self, place: Place, recogniser: Callable[[], Recogniser] | None, *, failure_pause_s: float = 1.0
    ) -> None:
        """Read from a place.

        Args:
            place: where the archive stores.
            recogniser: makes what hears, or raises; None where nothing is to be heard.
            failure_pause_s: verification asks again at once, so the pace of its attempts is set here.
        """
        self._place = place
        self._make = recogniser
        self._recogniser: Recogniser | None = None
        self._loading = asyncio.Lock()
        self._failure_pause_s = failure_pause_s

    async def answer(self, request: object) -> Compared | Overheard | Failed:
        """Compare or hear.

        Raises:
            EngineFault: verification asks for nothing like it.
        """
        if not isinstance(request, CompareAudio | HearAudio):
            raise EngineFault("playback was asked for something else")
        try:
            if isinstance(request, CompareAudio):
                compared = await asyncio.to_thread(self.compare, request)
                await asyncio.sleep(self._failure_pause_s if compared.is_damaged else 0)
                return compared
            return await self._hear(request)
        except (OSError, PeerUnavailable, RecordRefused):
            await asyncio.sleep(self._failure_pause_s)
            return Failed("the stored audio could not be read")

    def compare(self, request: CompareAudio) -> Compared:
        """Compare every segment that a manifest names with its digest, its length and the tone.

        Raises:
            OSError: the place cannot be read.
            PeerUnavailable: the place or the tenant's key is away.
        """
        try:
            stored = _Stored(self._place, request.tenant, request.contact_id, request.version)
            shown: list[listening.Place] = []
            for track in TRACKS:
                if not stored.is_continuous(track):
                    return Compared(is_damaged=True)
                for segment in stored.segments(track):
                    samples = pcm.samples(stored.read(segment))
                    wrong = listening.shown(samples, int(segment["start_sample"]), stored.runs(track))
                    shown += ((track, *run) for run in wrong)
        except (FileNotFoundError, RecordRefused):
            return Compared(is_damaged=True)
        uncovered = listening.uncovered(request.required, stored.tones)
        return Compared(tuple(uncovered), tuple(dict.fromkeys(shown)))

    def stretches(self, request: HearAudio) -> tuple[list[Stretch], Overheard]:
        """Return what is to be heard now, and the answer as if nothing were heard in it.

        Raises:
            OSError: the place cannot be read, or lacks what the manifest names.
            PeerUnavailable: the place or the tenant's key is away.
            RecordRefused: what lies there was changed.
        """
        stored = _Stored(self._place, request.tenant, request.contact_id, request.version)
        ends = {track: stored.end(track) for track in TRACKS}
        places = listening.places_to_hear(stored.tones, request.around, ends)
        left = [place for place in places if place[1] >= request.from_sample]
        now, next_sample = listening.at_once(left)
        found = (Stretch(place, stored.samples(*place)) for place in now)
        audible = [one for one in found if np.abs(pcm.samples(one.pcm).astype(np.int32)).max(initial=0) >= QUIET]
        return audible, Overheard((), tuple(stored.tones), next_sample)

    async def _hear(self, request: HearAudio) -> Overheard:
        stretches, heard = await asyncio.to_thread(self.stretches, request)
        if not stretches:
            return heard
        recogniser = await self._loaded()
        if recogniser is None:
            return Overheard(is_deaf=True)
        pieces = []
        is_deaf = False
        for stretch in stretches:
            words = await _words(recogniser, request, stretch)
            is_deaf = is_deaf or words is None
            pieces.append(Piece(stretch.place, words or ()))
        return Overheard(tuple(pieces), heard.tones, heard.next_sample, is_deaf)

    async def _loaded(self) -> Recogniser | None:
        async with self._loading:
            if self._recogniser is None and self._make is not None:
                try:
                    self._recogniser = self._make()
                except Exception as error:  # noqa: BLE001 - whatever it lacks, the verdict says that it is deaf
                    _log.error("redacted audio has no recogniser", extra={"error": type(error).__name__})
            return self._recogniser


async def _words(recogniser: Recogniser, request: HearAudio, stretch: Stretch) -> tuple[Word, ...] | None:
    """Return what is said in a stretch, None where the recogniser has failed."""
    track, start, end = stretch.place
    asked = Transcribe(
        request.tenant, request.contact_id, track, start, end, stretch.pcm, start, True, None, is_cut=False
    )
    try:
        answer = await recogniser(asked)
    except Exception as error:  # noqa: BLE001 - whatever it is, the samples were compared and the verdict says the rest
        _log.error("redacted audio could not be heard", extra={"error": type(error).__name__})
        return None
    return answer.words if isinstance(answer, Transcript) and not answer.gap else None


class _Stored:
    """What one manifest of a contact names."""

    def __init__(self, place: Place, tenant: str, contact_id: str, version: int) -> None:
        self._place = place
        self._tenant = tenant
        self._folder = contact_folder(tenant, contact_id)
        self._manifest = manifest_of(place, tenant, contact_id, version)
        self.tones: list[listening.Place] = [
            (span["track"], span["start_sample"], span["end_sample"]) for span in self._manifest["spans"]
        ]
        self._decoded = lru_cache(_AT_HAND)(self._read)

    def segments(self, track: Track) -> list[dict[str, Any]]:
        """Return the entries of one track."""
        return [segment for segment in self._manifest["segments"] if segment["track"] == track]

    def runs(self, track: Track) -> list[tuple[int, int]]:
        """Return the runs of tone on one track."""
        return [(start, end) for on, start, end in self.tones if on == track]

    def end(self, track: Track) -> int:
        """Return the length of a track in samples."""
        return max((int(segment["end_sample"]) for segment in self.segments(track)), default=0)

    def is_continuous(self, track: Track) -> bool:
        """Whether a track's segments follow each other from its first sample on."""
        ends = [0, *(segment["end_sample"] for segment in self.segments(track))]
        return ends[:-1] == [segment["start_sample"] for segment in self.segments(track)]

    def read(self, segment: dict[str, Any]) -> bytes:
        """Return one segment: int16 little-endian.

        Raises:
            FileNotFoundError: it is not there.
            RecordRefused: it is not what the manifest says.
        """
        return self._decoded(
            str(segment["file"]), str(segment["sha256"]), int(segment["end_sample"]) - int(segment["start_sample"])
        )

    def samples(self, track: Track, start: int, end: int) -> bytes:
        """Return a stretch of a track: int16 little-endian."""
        parts = []
        for segment in self.segments(track):
            first, last = int(segment["start_sample"]), int(segment["end_sample"])
            if first < end and start < last:
                low, high = max(start, first) - first, min(end, last) - first
                parts.append(self.read(segment)[low * pcm.BYTES_PER_SAMPLE : high * pcm.BYTES_PER_SAMPLE])
        return b"".join(parts)

    def _read(self, name: str, digest: str, length: int) -> bytes:
        content = fetch(self._place, self._tenant, self._folder + name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise RecordRefused("the segment is not the one that the manifest names")
        decoded = flac.decode(content)
        if len(decoded) != length * pcm.BYTES_PER_SAMPLE:
            raise RecordRefused("the segment has another length than the manifest says")
        return decoded
