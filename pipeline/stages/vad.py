"""Speech segments of both tracks.

Owns where a segment starts, ends and is cut. It does not know Kafka, clocks or the ASR. Two detectors share
the work, so that silence is cheap and every decision is a function of the samples alone:

- a level and webrtcvad, a fresh one on each aligned window of 192 ms, are the gate: its state cannot be saved, so none
  is.
- silero judges each 32 ms of a window that passes the gate, and of every window that starts inside speech. A
  window that is gated out clears its memory.

Marks leave in audio time, whatever the size of the records: a mark waits until both tracks are judged as far.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from pipeline.audio import pcm, silero, webrtc
from pipeline.errors import EngineFault
from pipeline.machine import Machine, Volatile
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, Record, SpeechMark, Track, Watermark

GATE_SAMPLES: Final = webrtc.STRETCH_SAMPLES
WINDOW_SAMPLES: Final = silero.WINDOW_SAMPLES
WATERMARK_SAMPLES: Final = 5 * GATE_SAMPLES  # 960 ms: about once a second, where windows of both detectors end


@dataclass(frozen=True, slots=True)
class VadConfig:
    """The numbers of the segment rule; the probabilities are silero's own defaults (0.5, and 0.15 less).

    Attributes:
        start_probability: a window at least this probable may start a segment.
        end_probability: once started, a window at least this probable goes on.
        min_speech_samples: 96 ms of speech in a row open a segment; a click is shorter.
        hangover_samples: 320 ms without speech close it; pauses between words are mostly shorter.
        tail_samples: 100 ms kept after the last speech, for a final consonant.
        longest_samples: 8 s; what the ASR decodes in real time.
        cut_search_windows: a segment that is too long is cut at the quietest place of its last 1.5 s.
        patience_samples: a track that is two minutes behind the other counts as silent, or what waits for it
            would outgrow the state (80 bytes a decision, about one a second).
    """

    start_probability: float = 0.5
    end_probability: float = 0.35
    min_speech_samples: int = 3 * WINDOW_SAMPLES
    hangover_samples: int = 10 * WINDOW_SAMPLES
    tail_samples: int = 800
    longest_samples: int = 64_000
    cut_search_windows: int = 47
    patience_samples: int = 120 * 8_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What the detector says of the six windows of one aligned stretch, before the stage comes to them.

    Attributes:
        first_sample: of the stretch.
        memory: silero's after the last window.
    """

    first_sample: int
    probabilities: list[float]
    levels: list[int]
    memory: bytes


class Ahead(Volatile):
    """What was found of a track's next stretch together with other contacts'.

    Attributes:
        silent_at: first sample of a stretch that the gate keeps out; -1 where there is none.
        judged: of a stretch that it lets pass.
    """

    def __init__(self) -> None:
        self.silent_at = -1
        self.judged: Judged | None = None

    def at(self, sample: int) -> tuple[float, int, bytes | None] | None:
        """Return probability, level and, after the last window, memory of the window at a sample, if it is here."""
        if self.judged is None:
            return None
        number, rest = divmod(sample - self.judged.first_sample, WINDOW_SAMPLES)
        if rest or not 0 <= number < len(self.judged.probabilities):
            return None
        memory = self.judged.memory if number == len(self.judged.probabilities) - 1 else None
        return self.judged.probabilities[number], self.judged.levels[number], memory


@dataclass(slots=True)
class Ear:
    """One track.

    Attributes:
        next_sample: the first sample that is not known.
        audio_until: the end of the audio that was received; from there to `next_sample` is padding.
        judged_until: the first sample without a decision.
        rest: PCM from `judged_until` to `next_sample`.
        memory: silero's; empty after a window that was gated out.
        run_first: first sample of the run of speech that goes on; None in silence.
        is_open: the run is long enough and is a segment.
        speech_until: end of the last speech window of the run.
        levels: mean amplitude of the last windows that silero judged.
        ahead: see `Vad.anticipate`.
    """

    next_sample: int = 0
    audio_until: int = 0
    judged_until: int = 0
    rest: bytes = b""
    memory: bytes = b""
    run_first: int | None = None
    is_open: bool = False
    speech_until: int = 0
    levels: list[int] = field(default_factory=list)
    ahead: Ahead = field(default_factory=Ahead)


@dataclass(frozen=True, slots=True)
class Held:
    """A decision of one track that waits for the other track.

    Attributes:
        decided_at: the end of the window that decided it.
        first_sample: of the segment; for `progress`, no segment of this track starts before it.
    """

    decided_at: int
    track: Track
    kind: Literal["opened", "closed", "progress"]
    first_sample: int
    end_sample: int | None = None


@dataclass(slots=True)
class VadState:
    """Everything known about one contact's speech: about 2.5 kB between aligned records, at most 7 kB."""

    customer: Ear = field(default_factory=Ear)
    agent: Ear = field(default_factory=Ear)
    held: list[Held] = field(default_factory=list)
    customer_progress: int = 0
    sent_ms: int = 0
    is_ended: bool = False

    def ear(self, track: Track) -> Ear:
        """Return one track."""
        return self.customer if track == "customer" else self.agent


class Vad(Machine[VadState]):
    """Turn PCM of both tracks into speech segments."""

    state = VadState

    def __init__(self, config: VadConfig = VadConfig(), model: silero.Model | None = None) -> None:
        """Judge windows with the installed model, or with one that gives the same and remembers it."""
        self._config = config
        self._silero = model or silero.load()

    def on_record(self, state: VadState, record: Record) -> Sequence[Record]:
        """Advance one contact by one audio record or watermark.

        Returns:
            Marks in audio time, customer before agent, and a `Watermark` about once a second. Where a long
            segment is cut, the mark that opens its second part comes before the mark that closes the first.

        Raises:
            FrameGap: a sample counter jumps by more than an hour; the state is unchanged.
        """
        match record:
            case AudioFrame():
                self._check(state, record)
                return () if state.is_ended else self._hear(state, record)
            case Watermark():
                return () if state.is_ended else self._pass(state, record)
            case _:
                raise EngineFault("vad was given a record that it does not read")

    def anticipate(self, waiting: Sequence[tuple[VadState, Record]]) -> None:
        """Judge the next stretch of many tracks at once: 35 us a window where 32 tracks speak, 146 us for one alone.

        Only tracks whose block is a whole aligned stretch: the stage does the rest.
        """
        ears, blocks = [], []
        for state, record in waiting:
            if isinstance(record, AudioFrame) and not state.is_ended:
                for track in TRACKS:
                    ear, (first_sample, block) = state.ear(track), record.track(track)
                    if _is_stretch(ear, first_sample, block):
                        ears.append(ear)
                        blocks.append(pcm.samples(block))
        if not ears:
            return
        stretches = np.stack(blocks)
        heard = _heard(ears, stretches)
        if heard:
            self._judge_together([ears[n] for n in heard], stretches[heard])

    def _judge_together(self, ears: list[Ear], blocks: pcm.Samples) -> None:
        windows = blocks.reshape(len(ears), -1, WINDOW_SAMPLES)
        levels = np.abs(windows.astype(np.int32)).mean(axis=2).astype(int).tolist()
        memory = silero.Memory.together([ear.memory for ear in ears])
        probabilities = []
        for number in range(windows.shape[1]):
            probability, memory = self._silero.judge(windows[:, number], memory)
            probabilities.append(probability)
        each = np.stack(probabilities, axis=1).tolist()
        for n, ear in enumerate(ears):
            ear.ahead.judged = Judged(ear.judged_until, each[n], levels[n], memory.of_track(n).to_bytes())

    def _check(self, state: VadState, frame: AudioFrame) -> None:
        for track in TRACKS:
            pcm.check_block(state.ear(track).next_sample, *frame.track(track))

    def _hear(self, state: VadState, frame: AudioFrame) -> Sequence[Record]:
        for track in TRACKS:
            first_sample, block = frame.track(track)
            ear = state.ear(track)
            hole, fresh = pcm.unheard(ear.next_sample, first_sample, block)
            if fresh:
                ear.audio_until = ear.next_sample + hole + len(fresh) // pcm.BYTES_PER_SAMPLE
                self._pad(state, track, hole)
                self._feed(state, track, fresh)
        latest = max(state.customer.next_sample, state.agent.next_sample)
        for track in TRACKS:
            self._pad(state, track, latest - self._config.patience_samples - state.ear(track).next_sample)
        return list(self._release(state, frame))

    def _pass(self, state: VadState, mark: Watermark) -> Sequence[Record]:
        """Take silence for what a track has not sent up to a watermark: by its promise it is not coming."""
        until = mark.time_ms * SAMPLES_PER_MS
        pcm.check_block(max(state.customer.next_sample, state.agent.next_sample), until, pcm.silence(1))
        if mark.is_end:
            until = max(until, state.customer.next_sample, state.agent.next_sample)
            until += -until % GATE_SAMPLES
        for track in TRACKS:
            self._pad(state, track, until - state.ear(track).next_sample)
        if not mark.is_end:
            return list(self._release(state, mark))
        return self._end(state, mark)

    def _end(self, state: VadState, mark: Watermark) -> Sequence[Record]:
        for track in TRACKS:
            ear = state.ear(track)
            if ear.is_open:
                self._close(state, track, ear.judged_until)
        marks = list(self._release(state, mark))
        state.is_ended = True
        # Whoever reads audio.frames too knows the audio's end: progress beyond it says that no mark is due.
        return [*marks, replace(mark, time_ms=mark.time_ms + 1, is_end=False), mark]

    def _pad(self, state: VadState, track: Track, count: int) -> None:
        for start in range(0, count, GATE_SAMPLES):
            self._feed(state, track, pcm.silence(min(GATE_SAMPLES, count - start)))

    def _feed(self, state: VadState, track: Track, block: bytes) -> None:
        """Take the samples that follow, and judge every window that they complete."""
        ear = state.ear(track)
        ear.rest += block
        ear.next_sample += len(block) // pcm.BYTES_PER_SAMPLE
        while ear.next_sample - ear.judged_until >= WINDOW_SAMPLES:
            is_heard = ear.judged_until % GATE_SAMPLES or ear.run_first is not None or ear.ahead.at(ear.judged_until)
            if is_heard or _is_voiced(ear):
                self._listen(state, track)
            elif ear.next_sample - ear.judged_until >= GATE_SAMPLES:
                ear.memory = b""
                _judged(state, track, GATE_SAMPLES)
            else:
                return

    def _listen(self, state: VadState, track: Track) -> None:
        """Let silero judge the next window, unless it has."""
        ear = state.ear(track)
        probability, level, memory = ear.ahead.at(ear.judged_until) or self._judge(ear)
        if memory is not None:
            ear.memory, ear.ahead.judged = memory, None
        ear.levels = [*ear.levels, level][-self._config.cut_search_windows :]
        self._decide(state, track, probability)
        _judged(state, track, WINDOW_SAMPLES)

    def _judge(self, ear: Ear) -> tuple[float, int, bytes]:
        """Return probability and level of the next window, and silero's memory after it."""
        window = pcm.samples(ear.rest[: WINDOW_SAMPLES * pcm.BYTES_PER_SAMPLE])
        probability, memory = self._silero.judge(window[np.newaxis], silero.Memory.from_bytes(ear.memory))
        return float(probability[0]), int(np.abs(window.astype(np.int32)).mean()), memory.to_bytes()

    def _decide(self, state: VadState, track: Track, probability: float) -> None:
        ear, config = state.ear(track), self._config
        end = ear.judged_until + WINDOW_SAMPLES
        if probability >= (config.start_probability if ear.run_first is None else config.end_probability):
            self._go_on(state, track, end)
        elif ear.is_open and end - ear.speech_until >= config.hangover_samples:
            self._close(state, track, end)
        elif not ear.is_open:
            ear.run_first = None

    def _go_on(self, state: VadState, track: Track, end: int) -> None:
        """Take one more window of speech, which ends at `end`."""
        ear = state.ear(track)
        if ear.run_first is None:
            if ear.judged_until >= ear.audio_until:
                return  # padding after the last received sample starts nothing
            ear.run_first = ear.judged_until
        ear.speech_until = end
        if not ear.is_open and end - ear.run_first >= self._config.min_speech_samples:
            ear.is_open = True
            state.held.append(Held(end, track, "opened", ear.run_first))
        if end - ear.run_first >= self._config.longest_samples:
            self._cut(state, track, end)

    def _close(self, state: VadState, track: Track, decided_at: int) -> None:
        ear = state.ear(track)
        assert ear.run_first is not None  # an open segment has a first sample
        end_sample = min(ear.speech_until + self._config.tail_samples, ear.audio_until)
        state.held.append(Held(decided_at, track, "closed", ear.run_first, end_sample))
        ear.run_first, ear.is_open = None, False

    def _cut(self, state: VadState, track: Track, end: int) -> None:
        ear = state.ear(track)
        assert ear.run_first is not None  # only an open segment is cut
        place = end - _quietest(ear.levels)
        state.held.append(Held(end, track, "opened", place))
        state.held.append(Held(end, track, "closed", ear.run_first, place))
        ear.run_first = place

    def _release(self, state: VadState, cause: AudioFrame | Watermark) -> Iterator[Record]:
        """Let go what both tracks have passed, in audio time, customer before agent."""
        until = min(state.customer.judged_until, state.agent.judged_until)
        state.held.sort(key=lambda held: (held.decided_at, TRACKS.index(held.track)))
        ready = [held for held in state.held if held.decided_at <= until]
        state.held = state.held[len(ready) :]
        for held in ready:
            if held.kind != "progress":
                yield _mark(held, cause)
            elif held.track == "customer":
                state.customer_progress = held.first_sample
            else:
                yield from _watermark(state, held, cause)


def _is_stretch(ear: Ear, first_sample: int, block: bytes) -> bool:
    """Say whether a block is one aligned stretch, the next one of its track."""
    is_next = first_sample == ear.next_sample == ear.judged_until and first_sample % GATE_SAMPLES == 0
    return is_next and len(block) == GATE_SAMPLES * pcm.BYTES_PER_SAMPLE


def _heard(ears: Sequence[Ear], stretches: pcm.Samples) -> list[int]:
    """Return which stretches silero has to judge; note which the gate keeps out."""
    quiet = [n for n, ear in enumerate(ears) if ear.run_first is None]
    for n, is_voiced in zip(quiet, webrtc.are_voiced(stretches[quiet]), strict=True):
        ears[n].ahead.silent_at = -1 if is_voiced else ears[n].judged_until
    return [n for n, ear in enumerate(ears) if ear.run_first is not None or ear.ahead.silent_at < 0]


def _is_voiced(ear: Ear) -> bool:
    """Say whether the gate lets what is there of the next stretch pass."""
    return ear.ahead.silent_at != ear.judged_until and webrtc.is_voiced(ear.rest)


def _judged(state: VadState, track: Track, count: int) -> None:
    """Leave `count` judged samples behind; about once a second note how far the track has come."""
    ear = state.ear(track)
    ear.rest = ear.rest[count * pcm.BYTES_PER_SAMPLE :]
    ear.judged_until += count
    if ear.judged_until % WATERMARK_SAMPLES == 0:
        progress = ear.judged_until if ear.run_first is None else ear.run_first
        state.held.append(Held(ear.judged_until, track, "progress", progress))


def _quietest(levels: list[int]) -> int:
    """Return how many samples before the end the quietest 96 ms have their middle.

    The last three windows stay out, so that the next segment starts with speech.
    """
    sums = [sum(levels[start : start + 3]) for start in range(len(levels) - 5)]
    middle = sums.index(min(sums)) + 1
    return (len(levels) - middle) * WINDOW_SAMPLES - WINDOW_SAMPLES // 2


def _mark(held: Held, cause: AudioFrame | Watermark) -> SpeechMark:
    return SpeechMark(cause.tenant, cause.contact_id, cause.leg, held.track, held.first_sample, held.end_sample)


def _watermark(state: VadState, agent: Held, cause: AudioFrame | Watermark) -> Iterator[Watermark]:
    """Send the progress of the slower track; the customer's at the same limit has just been noted."""
    time_ms = min(state.customer_progress, agent.first_sample) // SAMPLES_PER_MS
    if time_ms > state.sent_ms:
        state.sent_ms = time_ms
        yield Watermark(cause.tenant, cause.contact_id, cause.leg, time_ms, is_end=False)
