"""Speech segments of both tracks.

Owns where a segment starts, ends and is cut, and where keys are pressed. It does not know Kafka, clocks or the ASR. Two
detectors share the work, so that silence is cheap and every decision is a function of the samples alone:

- a level and webrtcvad, a fresh one on each aligned stretch of 192 ms, are the gate: its state cannot be saved, so none
  is.
- silero judges each 32 ms of a stretch that passes the gate, and of every stretch that starts inside speech. One below
  the level clears its memory; one of noise does not, for a model that has heard nothing takes background voices for
  speech (bench/results/profiles/vad.txt).

What passes is searched for the tones of keys, too. A mark never says which key: they are card numbers and PINs.

Marks leave in audio time, whatever the size of the records: a mark waits until both tracks are judged as far.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from pipeline.audio import keypad, pcm, webrtc
from pipeline.audio.model import WINDOW_SAMPLES, Memory, Model
from pipeline.errors import EngineFault
from pipeline.machine import Machine, Volatile
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame, KeyPress, Record, SpeechMark, Track, Watermark

GATE_SAMPLES: Final = webrtc.STRETCH_SAMPLES
WATERMARK_SAMPLES: Final = 5 * GATE_SAMPLES  # 960 ms: about once a second, where windows of both detectors end


@dataclass(frozen=True, slots=True)
class VadConfig:
    """The numbers of the rules; where those of a segment come from is in bench/results/profiles/vad.txt.

    Attributes:
        start_probability: a window at least this probable may start a segment.
        end_probability: once started, a window at least this probable goes on.
        min_speech_samples: 96 ms of speech in a row open a segment; a click is shorter.
        hangover_samples: 320 ms without speech close it; pauses between words are mostly shorter.
        tail_samples: 100 ms kept after the last speech, for a final consonant.
        longest_samples: 8 s; what the ASR decodes in real time. A key's tone is cut there, too.
        cut_search_windows: a segment that is too long is cut at the quietest place of its last 1.5 s.
        patience_samples: a track that is two minutes behind the other counts as silent, or what waits for it
            would outgrow the state (80 bytes a decision, about one a second).
        min_key_samples: 32 ms of tone, two blocks, are a key; ITU-T Q.24 asks for 40 ms, which fill two.
    """

    start_probability: float = 0.7
    end_probability: float = 0.5
    min_speech_samples: int = 3 * WINDOW_SAMPLES
    hangover_samples: int = 10 * WINDOW_SAMPLES
    tail_samples: int = 800
    longest_samples: int = 64_000
    cut_search_windows: int = 47
    patience_samples: int = 120 * 8_000
    min_key_samples: int = 2 * keypad.BLOCK_SAMPLES


@dataclass(frozen=True, slots=True)
class Judged:
    """What is found in windows that follow one another; a stretch has six.

    Attributes:
        levels: mean amplitude of each.
        tones: for each block of each, whether it is part of a key's tone.
        memory: the model's after the last window.
    """

    probabilities: list[float]
    levels: list[int]
    tones: list[list[bool]]
    memory: bytes


class Ahead(Volatile):
    """What was found of a track's next stretch together with other contacts'.

    Attributes:
        first_sample: of the stretch; -1 where there is none.
        sound: what the gate says.
        judged: where the gate lets it pass.
    """

    __slots__ = ("first_sample", "judged", "sound")

    def __init__(self) -> None:
        self.first_sample = -1
        self.sound: webrtc.Sound = "silence"
        self.judged: Judged | None = None

    def take(self, sample: int) -> Judged | None:
        """Hand over what is known of the windows from a sample on."""
        judged, self.judged = self.judged, None
        return judged if self.first_sample == sample else None


@dataclass(slots=True)
class Ear:
    """One track.

    Attributes:
        next_sample: the first sample that is not known.
        audio_until: the end of the audio that was received; from there to `next_sample` is padding.
        judged_until: the first sample without a decision.
        rest: PCM from `judged_until` to `next_sample`.
        memory: the model's; empty after a stretch below the level.
        run_first: first sample of the run of speech that goes on; None in silence.
        is_open: the run is long enough and is a segment.
        speech_until: end of the last speech window of the run.
        levels: mean amplitude of the last windows of the run.
        key_first: first sample of a key's tone that goes on.
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
    key_first: int | None = None
    ahead: Ahead = field(default_factory=Ahead)


@dataclass(frozen=True, slots=True)
class Held:
    """A decision of one track that waits for the other track.

    Attributes:
        decided_at: the end of the window that decided it.
        first_sample: of the segment or the tone; for `progress`, neither of this track starts before it.
    """

    decided_at: int
    track: Track
    kind: Literal["opened", "closed", "key", "progress"]
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
    """Turn PCM of both tracks into speech segments and the places of pressed keys."""

    state = VadState

    def __init__(self, config: VadConfig = VadConfig(), model: Model | None = None) -> None:
        """Judge windows with silero, or with another model."""
        self._config = config
        self._model = model or _silero()

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
            judged = self._judge(stretches[heard], [ears[n].memory for n in heard])
            for n, each in zip(heard, judged, strict=True):
                ears[n].ahead.judged = each

    def _judge(self, blocks: pcm.Samples, memories: Sequence[bytes]) -> list[Judged]:
        """Judge all windows of the next blocks of some tracks; a track's result does not depend on the others."""
        windows = blocks.reshape(len(blocks), -1, WINDOW_SAMPLES)
        levels = np.abs(windows.astype(np.int32)).sum(axis=2) // WINDOW_SAMPLES
        memory = Memory.together(memories)
        probabilities = []
        for number in range(windows.shape[1]):
            probability, memory = self._model.judge(windows[:, number], memory)
            probabilities.append(probability)
        each = np.stack(probabilities, axis=1).tolist(), levels.tolist(), keypad.are_tones(windows).tolist()
        return [Judged(*one) for one in zip(*each, memory.apart(), strict=True)]

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
            self._release_key(state, track, ear.judged_until, ear.judged_until)
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
        while (waiting := ear.next_sample - ear.judged_until) >= WINDOW_SAMPLES:
            sound = _sound(ear)
            if sound == "speech":
                self._listen(state, track)
            elif waiting >= GATE_SAMPLES:
                self._skip(state, track, sound)
            else:
                return

    def _skip(self, state: VadState, track: Track, sound: webrtc.Sound) -> None:
        """Leave the next stretch behind, of which the gate says that it is no speech."""
        ear = state.ear(track)
        if sound == "silence":
            ear.memory = b""
        self._release_key(state, track, ear.judged_until, ear.judged_until + GATE_SAMPLES)
        _judged(state, track, GATE_SAMPLES)

    def _listen(self, state: VadState, track: Track) -> None:
        """Take what the model says of the next window, or of as many as were judged ahead."""
        ear = state.ear(track)
        judged = ear.ahead.take(ear.judged_until) or self._judge(_window(ear), [ear.memory])[0]
        ear.memory = judged.memory
        first = ear.judged_until
        for probability, level, tones in zip(judged.probabilities, judged.levels, judged.tones, strict=True):
            self._decide(state, track, first, probability, level)
            if ear.key_first is not None or True in tones:
                self._search(state, track, first, tones)
            first += WINDOW_SAMPLES
        _judged(state, track, first - ear.judged_until)

    def _decide(self, state: VadState, track: Track, first: int, probability: float, level: int) -> None:
        """Take the window that begins at `first`."""
        ear, config = state.ear(track), self._config
        # Padding after the last received sample starts nothing.
        if ear.run_first is None and (probability < config.start_probability or first >= ear.audio_until):
            return
        ear.levels = [*ear.levels, level][-config.cut_search_windows :]
        end = first + WINDOW_SAMPLES
        if probability >= config.end_probability:
            self._go_on(state, track, end)
        elif ear.is_open and end - ear.speech_until >= config.hangover_samples:
            self._close(state, track, end)
        elif not ear.is_open:
            _forget_run(ear)

    def _search(self, state: VadState, track: Track, first: int, tones: Sequence[bool]) -> None:
        """Take the blocks of the window that begins at `first`."""
        ear = state.ear(track)
        for at, is_tone in zip(range(first, first + WINDOW_SAMPLES, keypad.BLOCK_SAMPLES), tones, strict=True):
            if ear.key_first is not None and at - ear.key_first >= self._config.longest_samples:
                self._release_key(state, track, at, first + WINDOW_SAMPLES)
            if not is_tone:
                self._release_key(state, track, at, first + WINDOW_SAMPLES)
            elif ear.key_first is None:
                ear.key_first = at

    def _release_key(self, state: VadState, track: Track, end: int, decided_at: int) -> None:
        """End a key's tone, if one goes on, at the sample `end`."""
        ear = state.ear(track)
        if ear.key_first is not None and end - ear.key_first >= self._config.min_key_samples:
            state.held.append(Held(decided_at, track, "key", ear.key_first, min(end, ear.audio_until)))
        ear.key_first = None

    def _go_on(self, state: VadState, track: Track, end: int) -> None:
        """Take one more window of speech, which ends at `end`."""
        ear = state.ear(track)
        if ear.run_first is None:
            ear.run_first = end - WINDOW_SAMPLES
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
        _forget_run(ear)

    def _cut(self, state: VadState, track: Track, end: int) -> None:
        ear = state.ear(track)
        assert ear.run_first is not None  # only an open segment is cut
        place = end - _quietest(ear.levels)
        state.held.append(Held(end, track, "opened", place))
        state.held.append(Held(end, track, "closed", ear.run_first, place))
        ear.run_first = place

    def _release(self, state: VadState, cause: AudioFrame | Watermark) -> Iterator[Record]:
        """Let go what both tracks have passed, in audio time, customer before agent."""
        if not state.held:
            return
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
    """Return which stretches the model has to judge; note what the gate says of each."""
    asked = [n for n, ear in enumerate(ears) if ear.run_first is None]
    for ear in ears:
        ear.ahead.first_sample, ear.ahead.sound = ear.judged_until, "speech"
    for n, sound in zip(asked, webrtc.sounds(stretches[asked]), strict=True):
        ears[n].ahead.sound = sound
    return [n for n, ear in enumerate(ears) if ear.ahead.sound == "speech"]


def _sound(ear: Ear) -> webrtc.Sound:
    """Return what the gate says of the next window; inside speech or a stretch that it let pass, nobody asks it."""
    if ear.judged_until % GATE_SAMPLES or ear.run_first is not None:
        return "speech"
    return ear.ahead.sound if ear.ahead.first_sample == ear.judged_until else webrtc.sound(ear.rest)


def _window(ear: Ear) -> pcm.Samples:
    return pcm.samples(ear.rest[: WINDOW_SAMPLES * pcm.BYTES_PER_SAMPLE])[np.newaxis]


def _forget_run(ear: Ear) -> None:
    ear.run_first, ear.is_open, ear.levels = None, False, []


def _judged(state: VadState, track: Track, count: int) -> None:
    """Leave `count` judged samples behind; about once a second note how far the track has come."""
    ear = state.ear(track)
    ear.rest = ear.rest[count * pcm.BYTES_PER_SAMPLE :]
    ear.judged_until += count
    if ear.judged_until % WATERMARK_SAMPLES == 0:
        begun = [first for first in (ear.run_first, ear.key_first) if first is not None]
        state.held.append(Held(ear.judged_until, track, "progress", min(begun, default=ear.judged_until)))


def _quietest(levels: list[int]) -> int:
    """Return how many samples before the end the quietest 96 ms have their middle.

    The last three windows stay out, so that the next segment starts with speech.
    """
    sums = [sum(levels[start : start + 3]) for start in range(len(levels) - 5)]
    middle = sums.index(min(sums)) + 1
    return (len(levels) - middle) * WINDOW_SAMPLES - WINDOW_SAMPLES // 2


def _mark(held: Held, cause: AudioFrame | Watermark) -> SpeechMark | KeyPress:
    if held.kind == "key":
        assert held.end_sample is not None  # `_release_key` knows it
        return KeyPress(cause.tenant, cause.contact_id, cause.leg, held.track, held.first_sample, held.end_sample)
    return SpeechMark(cause.tenant, cause.contact_id, cause.leg, held.track, held.first_sample, held.end_sample)


def _watermark(state: VadState, agent: Held, cause: AudioFrame | Watermark) -> Iterator[Watermark]:
    """Send the progress of the slower track; the customer's at the same limit has just been noted."""
    time_ms = min(state.customer_progress, agent.first_sample) // SAMPLES_PER_MS
    if time_ms > state.sent_ms:
        state.sent_ms = time_ms
        yield Watermark(cause.tenant, cause.contact_id, cause.leg, time_ms, is_end=False)


def _silero() -> Model:
    from pipeline.audio import silero  # and onnxruntime: only where no other model judges

    return silero.load()
