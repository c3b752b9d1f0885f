"""What was said in each speech segment.

Owns which audio is decoded, when, and in which order the answers leave. It knows no recogniser: the service
`asr` turns a `Transcribe` into a `Transcript`, or the engine answers `Failed`.

Every closed segment yields exactly one final, in the order in which the segments closed. The audio is not in
the snapshot: after a restore the engine replays it, and what was asked is asked again under the same id.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Final

from pipeline.audio import pcm
from pipeline.errors import EngineFault
from pipeline.machine import Ask, Failed, Machine, Volatile
from topics.records import (
    SAMPLES_PER_MS,
    TRACKS,
    AudioFrame,
    KeyPress,
    Record,
    SegmentWords,
    SpeechMark,
    Track,
    Watermark,
    Word,
)

SERVICE: Final = "asr"


@dataclass(frozen=True, slots=True)
class AsrConfig:
    """The numbers of the stage.

    Attributes:
        pre_roll_samples: 300 ms before the segment: the detector is late (architecture section 4.8).
        post_roll_samples: 150 ms after it, for finals of a streaming recogniser: its partials have gone further, and a
            word that ends there is whole for it. The detector waits longer before it closes a segment.
        reach_samples: 500 ms; no service places a word further before its segment (docs/cli.md, `scripted`). Also the
            post-roll of a segment that is cut: the word that is spoken there has its middle before the cut or after it.
        partial_samples: 1 s of audio between two partials; a streaming one is asked with each audio record.
        watermark_ms: at least so much progress between two watermarks.
        attempts: so often is a segment asked before its final leaves empty.
        streaming: tenants whose recogniser takes audio as it comes and answers when it has more to say. A partial that
            is asked takes the place of the one before; what that would have said belongs into the answer to this one.
    """

    pre_roll_samples: int = 2_400
    post_roll_samples: int = 1_200
    reach_samples: int = 4_000
    partial_samples: int = 8_000
    watermark_ms: int = 900
    attempts: int = 3
    streaming: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Transcribe:
    """One question to the service: what was said in this audio?

    Attributes:
        end_sample: of the segment for a final, of the audio so far for a partial.
        pcm: int16 little-endian, mono, 8 kHz, from `pcm_first_sample` to `end_sample`, or to the end of the post-roll
            where a streaming recogniser is asked for a final.
        previous_end_sample: end of the segment before on this track; equal to `first_sample` after a cut.
        is_cut: the speaker goes on after `end_sample`, in the next segment.
    """

    tenant: str
    contact_id: str
    track: Track
    first_sample: int
    end_sample: int
    pcm: bytes
    pcm_first_sample: int
    is_final: bool
    previous_end_sample: int | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """The service's answer: words in audio time, in order, without overlap; none where nothing was heard.

    Attributes:
        queue_ms: how long the question waited for the recogniser in this process; for figures alone, like the next.
        provider_ms: how long the recogniser took, from having all of the audio to its answer.
        gap: why nobody answered; empty where somebody did.
    """

    words: tuple[Word, ...]
    asr: str
    confidence: float | None
    queue_ms: int = 0
    provider_ms: int = 0
    gap: str = ""


class Pcm(Volatile):
    """The latest audio of one track; empty after a restore until the replay fills it.

    Blocks are kept as they came: one buffer that grows and shrinks leaves the worker's memory in pieces.

    Attributes:
        first_sample: of the first block.
        end_sample: the end of what is here; -1 while nothing is.
    """

    def __init__(self) -> None:
        self.first_sample = 0
        self.end_sample = -1
        self._blocks: deque[bytes] = deque()

    @property
    def size_bytes(self) -> int:
        """The memory of the blocks."""
        return sum(map(getsizeof, self._blocks))

    def append(self, first_sample: int, block: bytes) -> None:
        """Take a block; what is here already is skipped, a hole becomes silence."""
        if not self._blocks:
            self.first_sample = first_sample
        hole, fresh = pcm.unheard(max(self.end_sample, self.first_sample), first_sample, block)
        if not fresh:
            return
        if hole:
            self._blocks.append(pcm.silence(hole))
        self._blocks.append(fresh)
        self.end_sample = max(self.end_sample, self.first_sample) + hole + len(fresh) // pcm.BYTES_PER_SAMPLE

    def drop_before(self, sample: int) -> None:
        """Forget the blocks that lie before `sample`, but never the last."""
        while len(self._blocks) > 1:
            end_sample = self.first_sample + len(self._blocks[0]) // pcm.BYTES_PER_SAMPLE
            if end_sample > sample:
                return
            self._blocks.popleft()
            self.first_sample = end_sample

    def cut(self, first_sample: int, end_sample: int) -> bytes:
        """Return the PCM between two samples, with silence for what was before the first block or is not here."""
        missing = min(self.first_sample, end_sample) - first_sample
        start, end = (
            max(0, sample - self.first_sample) * pcm.BYTES_PER_SAMPLE for sample in (first_sample, end_sample)
        )
        found = pcm.silence(max(0, missing)) + b"".join(self._blocks)[start:end]
        return found.ljust((end_sample - first_sample) * pcm.BYTES_PER_SAMPLE, b"\0")


@dataclass(frozen=True, slots=True)
class Speech:
    """The segment that is open on a track."""

    first_sample: int
    previous_end_sample: int | None


@dataclass(slots=True)
class Voice:
    """One track.

    Attributes:
        heard_until: end of the audio that was received, over all lives of this state.
        closed_until: end of the last closed segment.
        partial_until: end of the audio of the last partial of the open segment.
        partial_asked: end of the audio of the partial that is being asked.
    """

    pcm: Pcm = field(default_factory=Pcm)
    heard_until: int = 0
    open: Speech | None = None
    closed_until: int | None = None
    partial_until: int = 0
    partial_asked: int | None = None


@dataclass(slots=True)
class Closed:
    """A closed segment whose final has not left."""

    track: Track
    first_sample: int
    end_sample: int
    previous_end_sample: int | None
    is_cut: bool
    attempt: int = 1
    answer: Transcript | None = None


@dataclass(slots=True)
class AsrState:
    """Everything known about one contact: below 1 kB, and the answers that wait for an earlier segment's."""

    tenant: str = ""
    contact_id: str = ""
    leg: int = 0
    customer: Voice = field(default_factory=Voice)
    agent: Voice = field(default_factory=Voice)
    closed: list[Closed] = field(default_factory=list)
    progress_ms: int = 0
    sent_ms: int = 0
    end_ms: int | None = None
    is_ended: bool = False

    def voice(self, track: Track) -> Voice:
        """Return one track."""
        return self.customer if track == "customer" else self.agent


class Asr(Machine[AsrState]):
    """Ask for the words of each segment and let them leave in order."""

    state = AsrState

    def __init__(self, config: AsrConfig = AsrConfig()) -> None:
        self._config = config

    def on_record(self, state: AsrState, record: Record) -> Sequence[Record]:
        """Advance one contact by one audio record, mark or watermark.

        Watermarks come from audio.frames and speech.marks, in any order. The end is complete when the marks
        have passed it: until then the audio's end may have overtaken the last marks.

        Raises:
            FrameGap: a sample counter jumps by more than an hour; the state is unchanged.
        """
        match record:
            case AudioFrame():
                self._hear(state, record)
            case SpeechMark():
                _name(state, record)
                self._mark(state, record)
            case Watermark():
                _name(state, record)
                self._pass(state, record)
            case KeyPress():
                return ()
            case _:
                raise EngineFault("asr was given a record that it does not read")
        return list(self._leave(state))

    def on_reply(self, state: AsrState, ask: Ask, answer: object) -> Sequence[Record]:
        """Take a `Transcript` or `Failed`; an answer that nothing waits for any more is dropped."""
        for segment in state.closed:
            if _final_id(segment) == ask.ask_id and segment.answer is None:
                self._answer(segment, answer)
                return list(self._leave(state))
        for track in TRACKS:
            voice = state.voice(track)
            if _partial_id(track, voice) == ask.ask_id:
                return list(self._partial(state, track, answer))
        return ()

    def open_asks(self, state: AsrState) -> Sequence[Ask]:
        """Name the finals, then the partials, whose audio is here."""
        finals = [
            Ask(_final_id(segment), SERVICE)
            for segment in state.closed
            if segment.answer is None and self._is_here(state, segment)
        ]
        # A streaming recogniser answers a partial when it has news: no record must be waited for until then.
        is_streaming = state.tenant in self._config.streaming
        partials = [
            Ask(ask_id, SERVICE, is_standing=is_streaming)
            for track in TRACKS
            if (ask_id := _partial_id(track, voice := state.voice(track)))
            and voice.pcm.end_sample >= (voice.partial_asked or 0)
        ]
        return [*finals, *partials]

    def request(self, state: AsrState, ask: Ask) -> Transcribe:
        """Build the `Transcribe` for one of the open asks."""
        for segment in state.closed:
            if _final_id(segment) == ask.ask_id:
                return self._request(state, segment, is_final=True)
        for track in TRACKS:
            voice = state.voice(track)
            if _partial_id(track, voice) == ask.ask_id and voice.open and voice.partial_asked:
                so_far = Closed(
                    track, voice.open.first_sample, voice.partial_asked, voice.open.previous_end_sample, False
                )
                return self._request(state, so_far, is_final=False)
        raise EngineFault("the state does not ask this")

    def replay_from_ms(self, state: AsrState) -> int | None:
        """Say from when audio is needed: the pre-roll of the oldest segment without final, or to come."""
        if state.is_ended:
            return None
        return min(self._keep_from(state, track) for track in TRACKS) // SAMPLES_PER_MS

    def _hear(self, state: AsrState, frame: AudioFrame) -> None:
        for track in TRACKS:
            pcm.check_block(state.voice(track).heard_until, *frame.track(track))
        if state.is_ended:
            return
        _name(state, frame)
        for track in TRACKS:
            first_sample, block = frame.track(track)
            voice = state.voice(track)
            if block:
                voice.pcm.append(first_sample, block)
                voice.heard_until = max(voice.heard_until, voice.pcm.end_sample)
                voice.pcm.drop_before(self._keep_from(state, track))
                self._want_partial(state, voice)

    def _mark(self, state: AsrState, mark: SpeechMark) -> None:
        """Open or close a segment; a mark that was seen before changes nothing."""
        voice = state.voice(mark.track)
        if mark.first_sample < (voice.closed_until or 0):
            return
        if voice.open is None or voice.open.first_sample < mark.first_sample:
            if voice.open is not None:  # a mark that opens inside a segment cuts it
                self._close(state, mark.track, mark.first_sample, is_cut=True)
            voice.open = Speech(mark.first_sample, voice.closed_until)
            voice.partial_until = mark.first_sample
        if mark.end_sample is not None:
            self._close(state, mark.track, mark.end_sample, is_cut=False)
        self._want_partial(state, voice)

    def _close(self, state: AsrState, track: Track, end_sample: int, *, is_cut: bool) -> None:
        voice = state.voice(track)
        assert voice.open is not None  # `_mark` opens what it closes
        previous = voice.open.previous_end_sample
        state.closed.append(Closed(track, voice.open.first_sample, end_sample, previous, is_cut))
        voice.open, voice.closed_until, voice.partial_asked = None, end_sample, None

    def _pass(self, state: AsrState, mark: Watermark) -> None:
        if mark.is_end:
            state.end_ms = mark.time_ms
        else:
            state.progress_ms = max(state.progress_ms, mark.time_ms)

    def _want_partial(self, state: AsrState, voice: Voice) -> None:
        """Ask for the open segment so far, one question at a time."""
        until = voice.pcm.end_sample
        if state.tenant in self._config.streaming:
            is_due = until > voice.partial_until
        else:
            is_due = voice.partial_asked is None and until >= voice.partial_until + self._config.partial_samples
        if voice.open is not None and is_due:
            voice.partial_asked = until

    def _answer(self, segment: Closed, answer: object) -> None:
        if isinstance(answer, Transcript):
            segment.answer = answer
        elif segment.attempt < self._config.attempts:
            segment.attempt += 1
        else:
            reason = answer.reason if isinstance(answer, Failed) else "no transcript"
            segment.answer = Transcript((), "none", None, gap=reason)

    def _partial(self, state: AsrState, track: Track, answer: object) -> Iterator[Record]:
        voice = state.voice(track)
        assert voice.open is not None and voice.partial_asked is not None  # its id has just been compared
        voice.partial_until, voice.partial_asked = voice.partial_asked, None
        if isinstance(answer, Transcript):
            yield _words(state, track, voice.open.first_sample, voice.partial_until, answer, is_final=False)
        self._want_partial(state, voice)

    def _request(self, state: AsrState, segment: Closed, *, is_final: bool) -> Transcribe:
        start = max(segment.first_sample - self._config.pre_roll_samples, segment.previous_end_sample or 0)
        end = segment.end_sample + (self._post_roll(state, segment) if is_final else 0)
        return Transcribe(
            tenant=state.tenant,
            contact_id=state.contact_id,
            track=segment.track,
            first_sample=segment.first_sample,
            end_sample=segment.end_sample,
            pcm=state.voice(segment.track).pcm.cut(start, end),
            pcm_first_sample=start,
            is_final=is_final,
            previous_end_sample=segment.previous_end_sample,
            is_cut=segment.is_cut,
        )

    def _post_roll(self, state: AsrState, segment: Closed) -> int:
        """Return how many samples after a closed segment are asked with it."""
        if state.tenant not in self._config.streaming:
            return 0
        return self._config.reach_samples if segment.is_cut else self._config.post_roll_samples

    def _is_here(self, state: AsrState, segment: Closed) -> bool:
        """Say whether the audio of a closed segment is here, with as much of its post-roll as there will be."""
        voice, wanted = state.voice(segment.track), segment.end_sample + self._post_roll(state, segment)
        if state.end_ms is not None or state.progress_ms * SAMPLES_PER_MS >= wanted:
            # No more will come than has come; after a restore that is read again.
            wanted = min(wanted, max(voice.heard_until, segment.end_sample))
        return voice.pcm.end_sample >= wanted

    def _keep_from(self, state: AsrState, track: Track) -> int:
        """Return the first sample of a track that may still be asked for."""
        return max(0, _oldest(state, track) - self._config.pre_roll_samples)

    def _leave(self, state: AsrState) -> Iterator[Record]:
        """Let the finals go that wait for nothing, then say how far the words have come."""
        while state.closed and (answer := state.closed[0].answer) is not None:
            done = state.closed.pop(0)
            yield _words(state, done.track, done.first_sample, done.end_sample, answer, is_final=True)
        if state.is_ended:
            return
        is_silent = not state.closed and state.customer.open is None and state.agent.open is None
        if state.end_ms is not None and state.progress_ms > state.end_ms and is_silent:
            state.is_ended = True
            state.customer.pcm, state.agent.pcm = Pcm(), Pcm()
            yield Watermark(state.tenant, state.contact_id, state.leg, state.end_ms, is_end=True)
            return
        oldest = min(_oldest(state, track) for track in TRACKS)
        time_ms = (oldest - self._config.reach_samples) // SAMPLES_PER_MS
        if time_ms >= state.sent_ms + self._config.watermark_ms:
            state.sent_ms = time_ms
            yield Watermark(state.tenant, state.contact_id, state.leg, time_ms, is_end=False)


def _name(state: AsrState, record: AudioFrame | SpeechMark | Watermark) -> None:
    state.tenant, state.contact_id, state.leg = record.tenant, record.contact_id, record.leg


def _oldest(state: AsrState, track: Track) -> int:
    """Return the first sample of the oldest segment of a track that may still get a final."""
    starts = [segment.first_sample for segment in state.closed if segment.track == track]
    voice = state.voice(track)
    if voice.open is not None:
        starts.append(voice.open.first_sample)
    return min([state.progress_ms * SAMPLES_PER_MS, *starts])


def _final_id(segment: Closed) -> str:
    return f"final/{segment.track}/{segment.first_sample}/{segment.attempt}"


def _partial_id(track: Track, voice: Voice) -> str | None:
    """Name the partial that a track is asking, if it asks one."""
    if voice.open is None or voice.partial_asked is None:
        return None
    return f"partial/{track}/{voice.open.first_sample}/{voice.partial_asked}"


def _words(
    state: AsrState, track: Track, first_sample: int, end_sample: int, answer: Transcript, *, is_final: bool
) -> SegmentWords:
    return SegmentWords(
        tenant=state.tenant,
        contact_id=state.contact_id,
        leg=state.leg,
        track=track,
        first_sample=first_sample,
        end_sample=end_sample,
        is_final=is_final,
        words=answer.words,
        asr=answer.asr,
        confidence=answer.confidence,
        gap=answer.gap,
        queue_ms=answer.queue_ms,
        provider_ms=answer.provider_ms,
    )
