"""Keep the redacted audio of a contact: segments of both tracks, then a manifest.

Owns which samples may be stored and what covers them; it leaves the tone to `audio/tone.py` and the storing
to the service `objects` (`connectors/objects.py`). Audio and redactions arrive on two topics in any order, so
what a segment holds depends on its samples and on the redactions alone:

- a track is stored in segments of one length, counted from its sample 0; only its last one is shorter;
- spans are merged into runs. When `decided` moves on, the runs that end before it are settled and never
  change; a run that reaches it may still grow, so the segment that holds its beginning waits for it;
- a segment is stored once all its samples are settled and have arrived. Holes in the audio are zeros.
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
    AudioStored,
    DecidedUntil,
    Record,
    Track,
    Watermark,
)

SERVICE = "objects"
BYTES_PER_SAMPLE = 2
# Turns without an unsettled span whose revision is remembered, so that a redaction delivered again cannot
# undo a later one.
QUIET_TURNS_LIMIT = 64

_MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Extent:
    """Samples [start, end) of one track."""

    track: Track
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class PutAudio:
    """Store one segment of redacted audio; storing it again with the same content changes nothing.

    Attributes:
        pcm: int16 little-endian, mono, 8 kHz.
    """

    tenant: str
    contact_id: str
    track: Track
    first_sample: int
    pcm: bytes

    @property
    def end_sample(self) -> int:
        """The sample after the last."""
        return self.first_sample + len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Say that a contact's audio is complete: every segment is stored, and these samples are tone."""

    tenant: str
    contact_id: str
    segments: tuple[Extent, ...]
    spans: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """The service's answer when what was asked is safe on disk."""


@dataclass(frozen=True, slots=True)
class ArchiveConfig:
    """How audio is cut.

    Attributes:
        segment_samples: length of a stored segment; 10 s are 160 kB of WAV.
    """

    segment_samples: int = 10 * SAMPLE_RATE_HZ


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
        settled_until: no sample before it can become covered any more.
        settled: limits of the settled runs (start, end, start, ...), each as distance from the one before.
        end_sample: the track's length, once its audio has ended.
        attempt: how often storing the next segment has failed.
        received: PCM from `stored_until` on.
    """

    stored_until: int = 0
    settled_until: int = 0
    settled: list[int] = field(default_factory=list)
    end_sample: int | None = None
    attempt: int = 0
    received: Received = field(default_factory=Received)

    def runs(self) -> Iterator[Span]:
        """Yield the settled runs in order."""
        limits = accumulate(self.settled)
        return zip(limits, limits, strict=True)

    def settle(self, runs: list[Span]) -> None:
        """Append runs that begin after the last one ends."""
        last = sum(self.settled)
        for start, end in runs:
            self.settled += (start - last, end - start)
            last = end


class TurnSpans(NamedTuple):
    """The unsettled spans that one turn asks for."""

    rev: int
    spans: tuple[tuple[Track, int, int], ...]


@dataclass(slots=True)
class ArchiveState:
    """What the archive knows about a contact.

    Attributes:
        turns: unsettled spans by turn id without the contact's, oldest first.
        is_decided: every span is settled.
        is_complete: the manifest is stored.
        attempt: how often storing the manifest has failed.
    """

    tenant: str = ""
    contact_id: str = ""
    customer: TrackState = field(default_factory=TrackState)
    agent: TrackState = field(default_factory=TrackState)
    turns: dict[str, TurnSpans] = field(default_factory=dict)
    is_decided: bool = False
    is_complete: bool = False
    attempt: int = 0

    def track(self, track: Track) -> TrackState:
        """Return the state of one track."""
        return self.customer if track == "customer" else self.agent

    def tracks(self) -> tuple[tuple[Track, TrackState], ...]:
        """Return both tracks with their states."""
        return ("customer", self.customer), ("agent", self.agent)


class Archive(Machine[ArchiveState]):
    """Store redacted audio as far as it is decided, each segment once, the manifest last."""

    state = ArchiveState

    def __init__(self, config: ArchiveConfig | None = None) -> None:
        """Cut audio as `config` says."""
        self._config = config or ArchiveConfig()

    def on_record(self, state: ArchiveState, record: Record) -> Sequence[Record]:
        """Take audio, spans or progress; nothing follows yet, `open_asks` says what to store.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        match record:
            case AudioFrame():
                _on_audio(state, record)
            case AudioRedaction():
                _on_redaction(state, record)
            case DecidedUntil():
                _on_decided(state, record)
            case Watermark():
                _on_watermark(state, record)
            case _:
                raise RecordRefused("archive does not read this type")
        state.tenant, state.contact_id = record.tenant, record.contact_id
        return ()

    def open_asks(self, state: ArchiveState) -> Sequence[Ask]:
        """Ask for the next segment of each track, and for the manifest when both are done."""
        if state.is_complete:
            return ()
        if state.is_decided and all(_is_stored(own) for _, own in state.tracks()):
            return (Ask(f"{_MANIFEST}/{state.attempt}", SERVICE),)
        return tuple(
            Ask(f"{track}/{own.stored_until}/{own.attempt}", SERVICE)
            for track, own in state.tracks()
            if self._next_end(state, own) is not None
        )

    def request(self, state: ArchiveState, ask: Ask) -> PutAudio | PutManifest:
        """Build what to store: a segment under its tone, or the manifest.

        Raises:
            EngineFault: the ask is not open.
        """
        if ask.ask_id.startswith(_MANIFEST):
            return self._manifest(state)
        track = _track_of(ask)
        own = state.track(track)
        end = self._next_end(state, own)
        if end is None:
            raise EngineFault("the archive was asked for a segment that is not ready")
        pcm = apply_tone(_samples(own, end), own.stored_until, own.runs())
        return PutAudio(state.tenant, state.contact_id, track, own.stored_until, pcm.astype("<i2").tobytes())

    def on_reply(self, state: ArchiveState, ask: Ask, answer: object) -> Sequence[Record]:
        """Move on when the object is stored, and say so; a failure opens the ask again under another id."""
        if ask not in self.open_asks(state):
            return ()
        is_manifest = ask.ask_id.startswith(_MANIFEST)
        part = state if is_manifest else state.track(_track_of(ask))
        if isinstance(answer, Failed):
            part.attempt += 1
            return ()
        if isinstance(part, TrackState):
            self._advance(state, part)
        else:
            part.is_complete = True
        stored = (state.customer.stored_until, state.agent.stored_until)
        return (AudioStored(state.tenant, state.contact_id, *stored, is_complete=state.is_complete),)

    def replay_from_ms(self, state: ArchiveState) -> int | None:
        """Ask for the audio that is not stored yet; None once both tracks are."""
        waiting = [own.stored_until for _, own in state.tracks() if not _is_stored(own)]
        return min(waiting) // SAMPLES_PER_MS if waiting else None

    def _next_end(self, state: ArchiveState, own: TrackState) -> int | None:
        """Return the end of the track's next segment, None while it may not be stored."""
        end = own.stored_until + self._config.segment_samples
        if own.end_sample is not None:
            end = min(end, own.end_sample)
        is_settled = state.is_decided or end <= own.settled_until
        return end if own.stored_until < end <= own.received.until_sample and is_settled else None

    def _advance(self, state: ArchiveState, own: TrackState) -> None:
        end = self._next_end(state, own)
        if end is None:
            raise EngineFault("a segment was stored that was not ready")
        own.stored_until, own.attempt = end, 0
        chunks = own.received.chunks
        for first_sample in [first for first, pcm in chunks.items() if _end(first, pcm) <= end]:
            del chunks[first_sample]

    def _manifest(self, state: ArchiveState) -> PutManifest:
        length = self._config.segment_samples
        segments = tuple(
            Extent(track, start, min(start + length, own.stored_until))
            for track, own in state.tracks()
            for start in range(0, own.stored_until, length)
        )
        spans = tuple(Extent(track, *run) for track, own in state.tracks() for run in own.runs())
        return PutManifest(state.tenant, state.contact_id, segments, spans)


def _on_audio(state: ArchiveState, frame: AudioFrame) -> None:
    for track, own in state.tracks():
        first_sample, pcm = frame.track(track)
        end, received = _end(first_sample, pcm), own.received
        is_after_end = own.end_sample is not None and end > own.end_sample
        # After a takeover the same audio may come again, cut otherwise.
        if is_after_end or end <= own.stored_until or len(pcm) <= len(received.chunks.get(first_sample, b"")):
            continue
        received.chunks[first_sample] = pcm
        received.until_sample = max(received.until_sample, end)


def _on_redaction(state: ArchiveState, redaction: AudioRedaction) -> None:
    """Replace what one turn asks for; what is settled stays."""
    name = redaction.turn_id.removeprefix(redaction.contact_id)
    # A redaction that no engine has stamped (`rev` 0) cannot be compared.
    if state.is_decided or (name in state.turns and 0 < redaction.rev <= state.turns[name].rev):
        return
    spans = tuple((span.track, span.start_sample, span.end_sample) for span in redaction.spans)
    state.turns[name] = TurnSpans(redaction.rev, spans)
    _forget_settled(state)


def _on_decided(state: ArchiveState, decided: DecidedUntil) -> None:
    if state.is_decided:
        return
    state.is_decided = decided.is_end
    _settle(state, "customer", decided.customer_sample)
    _settle(state, "agent", decided.agent_sample)
    _forget_settled(state)


def _settle(state: ArchiveState, track: Track, until: int) -> None:
    own = state.track(track)
    if until <= own.settled_until and not state.is_decided:
        return
    runs = merge_spans(_unsettled(state, track))
    done = [run for run in runs if run[1] < until or state.is_decided]
    own.settle(done)
    own.settled_until = max(own.settled_until, min([until, *(start for start, _ in runs[len(done) :])]))


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


def _track_of(ask: Ask) -> Track:
    return "customer" if ask.ask_id.startswith("customer") else "agent"


def _end(first_sample: int, pcm: bytes) -> int:
    return first_sample + len(pcm) // BYTES_PER_SAMPLE
