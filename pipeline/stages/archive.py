"""Keep the redacted audio of a contact: segments of both tracks, then a manifest.

Owns which samples may be stored and what covers them; it leaves the tone to `audio/tone.py` and the storing
to the service `objects` (`connectors/objects.py`). Audio and redactions arrive on two topics in any order, so
what a segment holds depends on its samples and on the redactions alone:

- a track is stored in segments of one length, counted from its sample 0; only its last one is shorter;
- spans are merged into runs. When `decided` moves on, the runs that end before it are settled and never
  change; a run that reaches it may still grow, so the segment that holds its beginning waits for it;
- a segment is stored once all its samples are settled and have arrived. Holes in the audio are zeros;
- a span that comes later covers what is settled too: it is never taken back, each segment that it changes has the
  next version, and one that is stored is read back and covered again, for which nothing of the original is needed.
  Versions count in the order of the redactions, so a version of a segment has one content, whoever writes it;
- where audio waits for verification, segments are pending until the manifest, and what is rejected is erased. A
  pending manifest lists them for verification, which reads what is stored; the verdict lets all of it out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.tone import Span, apply_tone, merge_spans
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Ask, Failed, Machine, Volatile
from topics.records import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    AudioFrame,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    DecidedUntil,
    Record,
    RedactionVerification,
    Track,
    Watermark,
)

SERVICE = "objects"
BYTES_PER_SAMPLE = 2
# Turns without an unsettled span whose revision is remembered, so that a redaction delivered again cannot
# undo a later one. Of a turn beyond them it would cover again what was withdrawn: more than needed, never less.
QUIET_TURNS_LIMIT = 64

FOREVER = 2**62

_MANIFEST = "manifest"
_LISTING = "listing"  # a pending manifest
_ERASURE = "erasure"
_VERIFICATION = ""  # what verification covers stands among the turns under this name


@dataclass(frozen=True, slots=True)
class Extent:
    """Samples [start, end) of one track; `version` counts the late changes of a segment."""

    track: Track
    start_sample: int
    end_sample: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class PutAudio:
    """Store one segment of redacted audio; storing it again with the same content changes nothing.

    Attributes:
        pcm: int16 little-endian, mono, 8 kHz.
        version: how often late spans have changed it.
        is_pending: it waits for verification.
    """

    tenant: str
    contact_id: str
    track: Track
    first_sample: int
    pcm: bytes
    version: int = 0
    is_pending: bool = False

    @property
    def extent(self) -> Extent:
        """Which segment it is."""
        end_sample = self.first_sample + len(self.pcm) // BYTES_PER_SAMPLE
        return Extent(self.track, self.first_sample, end_sample, self.version)


@dataclass(frozen=True, slots=True)
class CoverAudio:
    """Make a segment's next version: the stored one with the tone over `runs`, which include all that were covered."""

    tenant: str
    contact_id: str
    segment: Extent
    runs: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Say that a contact's audio is complete: every segment is stored, and these samples are tone.

    Attributes:
        is_pending: nothing is let out; whoever verifies finds the segments by it.
    """

    tenant: str
    contact_id: str
    segments: tuple[Extent, ...]
    spans: tuple[Extent, ...]
    version: int = 0
    is_pending: bool = False


@dataclass(frozen=True, slots=True)
class EraseAudio:
    """Delete all that is stored of a contact."""

    tenant: str
    contact_id: str


Request = PutAudio | CoverAudio | PutManifest | EraseAudio


@dataclass(frozen=True, slots=True)
class Stored:
    """The service's answer when what was asked is safe on disk."""


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """How audio is cut.

    Attributes:
        segment_samples: length of a stored segment; 10 s of speech are about 50 kB of FLAC.
        is_verified_first: segments stay pending and there is no manifest before redaction has been verified.
    """

    segment_samples: int = 10 * SAMPLE_RATE_HZ
    is_verified_first: bool = False


class Received(Volatile):
    """PCM of one track that is not stored yet; lost in a restore and read again from the topic.

    Attributes:
        chunks: int16 little-endian PCM by first sample.
        until_sample: end of the audio that has arrived.
    """

    __slots__ = ("chunks", "until_sample")

    def __init__(self) -> None:
        self.chunks: dict[int, bytes] = {}
        self.until_sample = 0


@dataclass(slots=True)
class TrackState:
    """Progress of one track.

    Attributes:
        stored_until: every sample before it is stored.
        settled_until: what covers a sample before it has come late; `FOREVER` once all is decided.
        settled: limits of the settled runs (start, end, start, ...), each as distance from the one before.
        end_sample: the track's length, once its audio has ended.
        attempt: how often storing the next segment, or the next version of one, has failed.
        versions: how often late spans have changed a segment, by its first sample; unchanged ones are left out.
        behind: first samples of the segments whose stored version is not their last.
        received: PCM from `stored_until` on.
    """

    stored_until: int = 0
    settled_until: int = 0
    settled: list[int] = field(default_factory=list)
    end_sample: int | None = None
    attempt: int = 0
    versions: dict[int, int] = field(default_factory=dict)
    behind: list[int] = field(default_factory=list)
    received: Received = field(default_factory=Received)

    def runs(self) -> Iterator[Span]:
        """Yield the settled runs in order."""
        limits = accumulate(self.settled)
        return zip(limits, limits, strict=True)

    def settle(self, runs: Sequence[Span], segment_samples: int) -> bool:
        """Cover more, and say whether that changes what may be stored already."""
        before = set(self.runs())
        merged = merge_spans([*before, *runs])
        limits = [limit for run in merged for limit in run]
        self.settled = [limit - last for last, limit in zip([0, *limits], limits, strict=False)]
        changed = {
            first
            for start, end in set(merged) - before
            if start < self.settled_until
            for first in range(start - start % segment_samples, min(end, self.settled_until), segment_samples)
        }
        for first in sorted(changed):
            self.versions[first] = self.versions.get(first, 0) + 1
        self.behind = sorted({*self.behind, *(first for first in changed if first < self.stored_until)})
        return bool(changed)


class TurnSpans(NamedTuple):
    """The unsettled spans that one turn asks for."""

    rev: int
    spans: tuple[tuple[Track, int, int], ...]


@dataclass(slots=True)
class ArchiveState:
    """What the archive knows about a contact.

    Attributes:
        turns: unsettled spans by turn id without the contact's, oldest first.
        version: of the manifest; counts the late changes.
        is_decided: every span is settled.
        is_complete: the manifest is stored, and nothing has changed since.
        is_released: a manifest has been let out; no segment is pending any more.
        listed: version of the pending manifest.
        redactions_rev: revision of the last redaction of audio.
        judged_rev: revision of the last verdict of verification.
        is_verified: that verdict lets the audio out.
        is_under_review: that verdict leaves it to a person.
        is_rejected: a verdict has asked to erase everything.
        is_erased: everything is erased, and nothing is stored any more.
        attempt: how often storing the manifest, or erasing, has failed.
    """

    tenant: str = ""
    contact_id: str = ""
    customer: TrackState = field(default_factory=TrackState)
    agent: TrackState = field(default_factory=TrackState)
    turns: dict[str, TurnSpans] = field(default_factory=dict)
    version: int = 0
    is_decided: bool = False
    is_complete: bool = False
    is_released: bool = False
    listed: int = -1
    redactions_rev: int = 0
    judged_rev: int = 0
    is_verified: bool = False
    is_under_review: bool = False
    is_rejected: bool = False
    is_erased: bool = False
    attempt: int = 0

    @property
    def manifest_version(self) -> int:
        """Version of the manifest that names all that is stored, -1 while there is none."""
        is_there = self.is_complete or self.listed == self.version
        return self.version if is_there and not self.is_rejected else -1

    def track(self, track: Track) -> TrackState:
        """Return the state of one track."""
        return self.customer if track == "customer" else self.agent

    def tracks(self) -> tuple[tuple[Track, TrackState], ...]:
        """Return both tracks with their states."""
        return ("customer", self.customer), ("agent", self.agent)


class Archive(Machine[ArchiveState]):
    """Store redacted audio as far as it is decided, each version of a segment once, the manifest last."""

    state = ArchiveState

    def __init__(self, config: ArchiveConfig | None = None) -> None:
        """Cut audio as `config` says."""
        self._config = config or ArchiveConfig()

    def on_record(self, state: ArchiveState, record: Record) -> Sequence[Record]:
        """Take audio, spans, progress or a verdict; `open_asks` says what to store.

        A redaction that comes after the end is confirmed, since it may change nothing that is stored.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        redactions_rev = state.redactions_rev
        match record:
            case AudioFrame():
                _on_audio(state, record)
            case AudioRedaction():
                self._on_redaction(state, record)
            case DecidedUntil():
                self._on_decided(state, record)
            case RedactionVerification():
                self._on_verification(state, record)
            case Watermark():
                _on_watermark(state, record)
            case _:
                raise RecordRefused("archive does not read this type")
        state.tenant, state.contact_id = record.tenant, record.contact_id
        return (_stored(state),) if state.is_decided and state.redactions_rev > redactions_rev else ()

    def open_asks(self, state: ArchiveState) -> Sequence[Ask]:
        """Ask for what comes next of each track, for a manifest when both are done, or for the erasure."""
        if state.is_rejected:
            return () if state.is_erased else (Ask(f"{_ERASURE}/{state.attempt}", SERVICE),)
        if state.is_complete:
            return ()
        if _is_whole(state):
            if self._is_let_out(state):
                return (Ask(f"{_MANIFEST}/{state.version}/{state.attempt}", SERVICE),)
            is_listed = state.listed == state.version
            return () if is_listed else (Ask(f"{_LISTING}/{state.version}/{state.attempt}", SERVICE),)
        nexts = ((track, own, self._next(own)) for track, own in state.tracks())
        return tuple(
            Ask(f"{track}/{segment[0]}/{own.versions.get(segment[0], 0)}/{own.attempt}", SERVICE)
            for track, own, segment in nexts
            if segment is not None
        )

    def request(self, state: ArchiveState, ask: Ask) -> Request:
        """Build what to do: a segment under its tone, a segment's next version, the manifest, or the erasure.

        Raises:
            EngineFault: the ask is not open.
        """
        kind = _kind(ask)
        if kind == _ERASURE:
            return EraseAudio(state.tenant, state.contact_id)
        if kind in (_MANIFEST, _LISTING):
            return self._manifest(state, is_pending=kind == _LISTING)
        return self._segment(state, _track_of(ask))

    def on_reply(self, state: ArchiveState, ask: Ask, answer: object) -> Sequence[Record]:
        """Move on when it is done, and say so; a failure opens the ask again under another id."""
        if ask not in self.open_asks(state):
            return ()
        kind = _kind(ask)
        part = state if kind in (_MANIFEST, _LISTING, _ERASURE) else state.track(_track_of(ask))
        if isinstance(answer, Failed):
            part.attempt += 1
            return ()
        part.attempt = 0
        if isinstance(part, TrackState):
            self._advance(part)
        elif kind == _MANIFEST:
            state.is_complete = state.is_released = True
        elif kind == _LISTING:
            state.listed = state.version
        else:
            _erased(state)
        return (_stored(state),)

    def replay_from_ms(self, state: ArchiveState) -> int | None:
        """Ask for the audio that is not stored yet; None once both tracks are, or it shall not be."""
        waiting = [own.stored_until for _, own in state.tracks() if not _is_stored(own)]
        return min(waiting) // SAMPLES_PER_MS if waiting and not state.is_rejected else None

    def awaits(self, state: ArchiveState) -> bool:
        """Say whether a reviewer may still have more of the contact covered, let it out or have it erased."""
        return state.is_under_review

    def _on_redaction(self, state: ArchiveState, redaction: AudioRedaction) -> None:
        """Replace what one turn asks for; what is settled stays covered, and more of it may be."""
        state.redactions_rev = max(state.redactions_rev, redaction.rev)
        name = redaction.turn_id.removeprefix(redaction.contact_id)
        # A redaction that no engine has stamped (`rev` 0) cannot be compared.
        if name in state.turns and 0 < redaction.rev <= state.turns[name].rev:
            return
        self._cover(state, name, TurnSpans(redaction.rev, _limits(redaction.spans)))

    def _on_decided(self, state: ArchiveState, decided: DecidedUntil) -> None:
        if state.is_decided:
            return
        state.is_decided = decided.is_end
        self._settle(state, "customer", decided.customer_sample)
        self._settle(state, "agent", decided.agent_sample)
        _forget_settled(state)

    def _on_verification(self, state: ArchiveState, verdict: RedactionVerification) -> None:
        """Take a verdict; what it covers is added to what earlier ones did, and an erasure is for ever."""
        if state.is_rejected or 0 < verdict.rev <= state.judged_rev:
            return
        state.judged_rev = verdict.rev
        state.is_verified = verdict.outcome in ("verified", "auto_fixed") and verdict.audio != "awaited"
        state.is_under_review = verdict.outcome == "needs_review"
        earlier = state.turns.get(_VERIFICATION, TurnSpans(0, ())).spans
        if verdict.spans:
            self._cover(state, _VERIFICATION, TurnSpans(verdict.rev, (*earlier, *_limits(verdict.spans))))
        if verdict.outcome == "rejected":
            state.is_rejected, state.attempt = True, 0
            for _, own in state.tracks():
                own.received.chunks.clear()

    def _cover(self, state: ArchiveState, name: str, wanted: TurnSpans) -> None:
        """Note what one turn asks for, and cover at once what of it is settled already."""
        state.turns[name] = wanted
        for track, own in state.tracks():
            late = [
                (start, min(end, own.settled_until))
                for on, start, end in wanted.spans
                if on == track and start < min(end, own.settled_until)
            ]
            self._add(state, own, late)
        _forget_settled(state)

    def _settle(self, state: ArchiveState, track: Track, until: int) -> None:
        own = state.track(track)
        if state.is_decided:
            until = FOREVER
        if until <= own.settled_until:
            return
        runs = merge_spans(_unsettled(state, track))
        done = [run for run in runs if run[1] < until]
        self._add(state, own, done)
        own.settled_until = max(own.settled_until, min([until, *(start for start, _ in runs[len(done) :])]))

    def _add(self, state: ArchiveState, own: TrackState, runs: list[Span]) -> None:
        if runs and own.settle(runs, self._config.segment_samples):
            state.version += 1
            state.is_complete = False

    def _is_let_out(self, state: ArchiveState) -> bool:
        return state.is_verified or state.is_released or not self._config.is_verified_first

    def _next(self, own: TrackState) -> Span | None:
        """Return the segment that a track stores next; what is to be covered again comes first."""
        if own.behind:
            return own.behind[0], min(own.behind[0] + self._config.segment_samples, own.stored_until)
        end = self._next_end(own)
        return None if end is None else (own.stored_until, end)

    def _next_end(self, own: TrackState) -> int | None:
        """Return the end of the track's next segment, None while it may not be stored."""
        end = own.stored_until + self._config.segment_samples
        if own.end_sample is not None:
            end = min(end, own.end_sample)
        return end if own.stored_until < end <= min(own.received.until_sample, own.settled_until) else None

    def _segment(self, state: ArchiveState, track: Track) -> PutAudio | CoverAudio:
        own = state.track(track)
        segment = self._next(own)
        if segment is None:
            raise EngineFault("the archive was asked for a segment that is not ready")
        start, end = segment
        version = own.versions.get(start, 0)
        if own.behind:
            runs = tuple(run for run in own.runs() if run[0] < end and run[1] > start)
            return CoverAudio(state.tenant, state.contact_id, Extent(track, start, end, version), runs)
        pcm = apply_tone(_samples(own, end), start, own.runs()).astype("<i2").tobytes()
        is_pending = self._config.is_verified_first and not state.is_released
        return PutAudio(state.tenant, state.contact_id, track, start, pcm, version, is_pending)

    def _advance(self, own: TrackState) -> None:
        if own.behind:
            del own.behind[0]
            return
        end = self._next_end(own)
        if end is None:
            raise EngineFault("a segment was stored that was not ready")
        own.stored_until = end
        chunks = own.received.chunks
        for first_sample in [first for first, pcm in chunks.items() if _end(first, pcm) <= end]:
            del chunks[first_sample]

    def _manifest(self, state: ArchiveState, *, is_pending: bool) -> PutManifest:
        length = self._config.segment_samples
        segments = tuple(
            Extent(track, start, min(start + length, own.stored_until), own.versions.get(start, 0))
            for track, own in state.tracks()
            for start in range(0, own.stored_until, length)
        )
        spans = tuple(Extent(track, *run) for track, own in state.tracks() for run in own.runs())
        return PutManifest(state.tenant, state.contact_id, segments, spans, state.version, is_pending)


def _is_whole(state: ArchiveState) -> bool:
    """Whether everything that a manifest names is there."""
    return state.is_decided and all(_is_stored(own) and not own.behind for _, own in state.tracks())


def _stored(state: ArchiveState) -> AudioStored:
    stored = (state.customer.stored_until, state.agent.stored_until)
    return AudioStored(
        state.tenant,
        state.contact_id,
        *stored,
        is_complete=state.is_complete,
        manifest_version=state.manifest_version,
        redactions_rev=state.redactions_rev,
    )


def _on_audio(state: ArchiveState, frame: AudioFrame) -> None:
    if state.is_rejected:
        return
    for track, own in state.tracks():
        first_sample, pcm = frame.track(track)
        end, received = _end(first_sample, pcm), own.received
        is_after_end = own.end_sample is not None and end > own.end_sample
        # After a takeover the same audio may come again, cut otherwise.
        if is_after_end or end <= own.stored_until or len(pcm) <= len(received.chunks.get(first_sample, b"")):
            continue
        received.chunks[first_sample] = pcm
        received.until_sample = max(received.until_sample, end)


def _limits(spans: Sequence[AudioSpan]) -> tuple[tuple[Track, int, int], ...]:
    return tuple((span.track, span.start_sample, span.end_sample) for span in spans)


def _erased(state: ArchiveState) -> None:
    """Forget what was stored; the state stays, so that nothing is stored again."""
    state.is_erased, state.is_complete = True, False
    for _, own in state.tracks():
        own.stored_until, own.behind = 0, []


def _unsettled(state: ArchiveState, track: Track) -> Iterator[Span]:
    """Yield the live spans of a track, less what is settled."""
    own = state.track(track)
    for turn in state.turns.values():
        for on, start, end in turn.spans:
            if on == track and end > own.settled_until:
                yield max(start, own.settled_until), end


def _forget_settled(state: ArchiveState) -> None:
    """Drop spans that are settled, and the oldest of the turns that have none left."""
    for name, turn in state.turns.items():
        live = tuple(span for span in turn.spans if span[2] > state.track(span[0]).settled_until)
        if len(live) < len(turn.spans):
            state.turns[name] = turn._replace(spans=live)
    quiet = [name for name, turn in state.turns.items() if not turn.spans]
    for name in quiet[:-QUIET_TURNS_LIMIT]:
        del state.turns[name]


def _on_watermark(state: ArchiveState, mark: Watermark) -> None:
    if not mark.is_end:
        return
    for _, own in state.tracks():
        if own.end_sample is None:
            own.end_sample = max(own.stored_until, own.received.until_sample)


def _samples(own: TrackState, end: int) -> NDArray[np.int16]:
    """Lay the received chunks out from `stored_until` to `end`; holes are zeros."""
    start = own.stored_until
    samples = np.zeros(end - start, np.int16)
    for first_sample, pcm in own.received.chunks.items():
        low, high = max(start, first_sample), min(end, _end(first_sample, pcm))
        if low < high:
            chunk = np.frombuffer(pcm, "<i2")
            samples[low - start : high - start] = chunk[low - first_sample : high - first_sample]
    return samples


def _is_stored(own: TrackState) -> bool:
    return own.end_sample is not None and own.stored_until >= own.end_sample


def _kind(ask: Ask) -> str:
    return ask.ask_id.partition("/")[0]


def _track_of(ask: Ask) -> Track:
    return "customer" if _kind(ask) == "customer" else "agent"


def _end(first_sample: int, pcm: bytes) -> int:
    return first_sample + len(pcm) // BYTES_PER_SAMPLE
