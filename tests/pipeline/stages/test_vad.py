"""Segments are a function of the samples: not of records, restarts or repetitions."""

import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import webrtcvad

from bench import corpus
from connectors.files import read_wav
from pipeline.audio import webrtc
from pipeline.errors import FrameGap, RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.vad import Vad, VadState
from topics.records import SAMPLE_RATE_HZ, AudioFrame, KeyPress, Record, SpeechMark, Watermark

pytestmark = pytest.mark.speech

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"
DEMO = ROOT / "pipeline" / "demo"
RECORD_SAMPLES = 1_536
KEY_SAMPLES = 1_600  # of `corpus.keys`: a tone of 100 ms and a pause as long


def _read(name: str, start_s: float = 0, length_s: float = 60, folder: Path = DATA) -> bytes:
    path = folder / name
    if not path.is_file():
        pytest.skip(f"the recording {name} is not in ../shared/data")
    return read_wav(path)[int(start_s * SAMPLE_RATE_HZ) :][: int(length_s * SAMPLE_RATE_HZ)].tobytes()


@pytest.fixture(scope="module", params=["recorded", "demo"])
def call(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """A minute in which both talk and the customer presses keys, between words and in them: (customer, agent)."""
    if request.param == "demo":
        customer, agent = (_read(f"{track}.wav", folder=DEMO) for track in ("customer", "agent"))
    else:
        customer, agent = (_read(f"calls/auto-repairs-40-{track}.wav", 90) for track in ("customer", "agent"))
    return _mixed(customer, corpus.keys("40713"), 100_000), agent


def _mixed(track: bytes, sound: "np.ndarray[tuple[int], np.dtype[np.int16]]", first_sample: int) -> bytes:
    samples = np.frombuffer(track, "<i2").astype(np.int32)
    samples[first_sample : first_sample + len(sound)] += sound
    return np.clip(samples, -32_768, 32_767).astype("<i2").tobytes()


def _frame(customer_first: int, customer: bytes, agent_first: int, agent: bytes) -> AudioFrame:
    return AudioFrame("t", "c", 1, customer_first, customer, agent_first, agent)


def _end(customer: bytes, agent: bytes) -> Watermark:
    return Watermark("t", "c", 1, max(len(customer), len(agent)) // 16, is_end=True)


def _records(customer: bytes, agent: bytes, count: int = RECORD_SAMPLES) -> Iterator[Record]:
    """Yield a call as the connectors send it."""
    for first in range(0, max(len(customer), len(agent)) // 2, count):
        part = slice(2 * first, 2 * (first + count))
        yield _frame(first, customer[part], first, agent[part])
    yield _end(customer, agent)


def _listen(records: Iterable[Record], vad: Vad | None = None) -> list[Record]:
    vad, state = vad or Vad(), VadState()
    return [mark for record in records for mark in vad.on_record(state, record)]


def _segments(marks: Sequence[Record]) -> list[tuple[str, int, int]]:
    return [
        (mark.track, mark.first_sample, mark.end_sample)
        for mark in marks
        if isinstance(mark, SpeechMark) and mark.end_sample is not None
    ]


@pytest.fixture(scope="module")
def quiet_run(call: tuple[bytes, bytes]) -> list[Record]:
    return _listen(_records(*call))


def _chunks(rng: random.Random, pcm: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a track at random, 1 to 400 ms, with an overlap now and then."""
    first = 0
    while first * 2 < len(pcm):
        count = rng.randint(8, 3_200)
        back = rng.randint(0, min(first, 500)) if rng.random() < 0.2 else 0
        yield first - back, pcm[2 * (first - back) : 2 * (first + count)]
        first += count


def _split_apart(rng: random.Random, customer: bytes, agent: bytes, lead_samples: int) -> Iterator[Record]:
    """Yield both tracks in random pieces, the customer's up to `lead_samples` ahead."""
    pieces = [(first, "customer", block) for first, block in _chunks(rng, customer)]
    pieces += [(first + lead_samples, "agent", block) for first, block in _chunks(rng, agent)]
    for place, track, block in sorted(pieces):
        if track == "customer":
            yield _frame(place, block, 0, b"")
        else:
            yield _frame(0, b"", place - lead_samples, block)
    yield _end(customer, agent)


def test_the_laws_are_of_segments_and_keys(quiet_run: list[Record]) -> None:
    assert len(_segments(quiet_run)) > 10
    assert len([mark for mark in quiet_run if isinstance(mark, KeyPress)]) >= 5


@pytest.mark.parametrize("contacts", [1, 2, 5, 32])
def test_contacts_judged_together_give_the_same_marks(call: tuple[bytes, bytes], contacts: int) -> None:
    """Twins that begin at different times and are restored now and then; most of their records are anticipated."""
    rng, vad = random.Random(contacts), Vad()
    customer, agent = (track[: 2 * 20 * SAMPLE_RATE_HZ] for track in call)
    quiet_run = _listen(_records(customer, agent))
    waiting = [list(_records(customer, agent)) for _ in range(contacts)]
    states, marks = [VadState() for _ in waiting], [list[Record]() for _ in waiting]
    while any(waiting):
        going = [n for n, records in enumerate(waiting) if records and rng.random() < 0.7]
        vad.anticipate([(states[n], waiting[n][0]) for n in going if rng.random() < 0.9])
        for n in going:
            if rng.random() < 0.05:
                states[n] = vad.restore(vad.snapshot(states[n]))
            marks[n] += vad.on_record(states[n], waiting[n].pop(0))
    assert [quiet_run] * len(marks) == marks


@pytest.mark.parametrize("seed", range(4))
def test_other_chunks_give_the_same_marks(call: tuple[bytes, bytes], quiet_run: list[Record], seed: int) -> None:
    """Pieces and restores at random; what would be a stretch is anticipated."""
    rng, vad, state = random.Random(seed), Vad(), VadState()
    marks: list[Record] = []
    for record in _split_apart(rng, *call, lead_samples=rng.choice([0, 512, 40_000])):
        if rng.random() < 0.1:
            state = vad.restore(vad.snapshot(state))
        vad.anticipate([(state, record)])
        marks += vad.on_record(state, record)
    assert quiet_run == marks


@pytest.mark.parametrize("count", [80, 160, 1_024, 9_999])
def test_records_of_another_length_give_the_same_marks(
    call: tuple[bytes, bytes], quiet_run: list[Record], count: int
) -> None:
    assert quiet_run == _listen(_records(*call, count=count))


def test_one_track_after_the_other_gives_the_same_marks(call: tuple[bytes, bytes], quiet_run: list[Record]) -> None:
    customer, agent = call
    marks = _listen([_frame(0, customer, 0, b""), _frame(0, b"", 0, agent), _end(*call)])
    assert quiet_run == marks


def test_every_record_twice_gives_the_same_marks(call: tuple[bytes, bytes], quiet_run: list[Record]) -> None:
    assert quiet_run == _listen(record for record in _records(*call) for _ in range(2))


@pytest.mark.parametrize("count", [RECORD_SAMPLES, 1_000])
def test_restores_change_nothing(call: tuple[bytes, bytes], quiet_run: list[Record], count: int) -> None:
    marks: list[Record] = []
    vad, state = Vad(), VadState()
    for number, record in enumerate(_records(*call, count=count)):
        if number % 20 == 0:
            snapshot = vad.snapshot(state)
            vad = Vad()
            state = vad.restore(snapshot)
            assert snapshot == vad.snapshot(state)
        marks += vad.on_record(state, record)
    assert quiet_run == marks


@pytest.mark.parametrize(("count", "limit_bytes"), [(RECORD_SAMPLES, 5_600), (1_000, 7_500)])
def test_the_state_is_small(call: tuple[bytes, bytes], count: int, limit_bytes: int) -> None:
    """Less than a whole window waits in it only after the call's last record, if records are as long as windows."""
    vad, state, sizes = Vad(), VadState(), []
    for record in _records(*call, count=count):
        vad.on_record(state, record)
        sizes.append(len(vad.snapshot(state)))
    assert limit_bytes > max(sizes)


def test_segments_of_a_track_are_in_order_and_apart(quiet_run: list[Record]) -> None:
    for track in ("customer", "agent"):
        spans = [(first, end) for of, first, end in _segments(quiet_run) if of == track]
        assert all(first < end for first, end in spans)
        assert all(end <= first for (_, end), (first, _) in pairwise(spans))


def test_each_segment_opens_and_closes_once(quiet_run: list[Record]) -> None:
    opened = [(m.track, m.first_sample) for m in quiet_run if isinstance(m, SpeechMark) and m.end_sample is None]
    closed = [(track, first) for track, first, _ in _segments(quiet_run)]
    assert len(set(opened)) == len(opened) > 10
    assert sorted(opened) == sorted(closed)


def test_a_watermark_passes_no_open_segment(quiet_run: list[Record]) -> None:
    time_ms = -1
    for mark in quiet_run:
        if isinstance(mark, Watermark):
            assert mark.time_ms > time_ms or mark.is_end
            time_ms = mark.time_ms
        elif isinstance(mark, SpeechMark):
            assert mark.first_sample // 8 >= time_ms


def test_a_closing_mark_is_half_a_second_late_at_most(call: tuple[bytes, bytes]) -> None:
    vad, state = Vad(), VadState()
    for record in _records(*call, count=512):  # KVS blocks of 64 ms
        for _, _, end in _segments(vad.on_record(state, record)):
            is_cut_or_end = isinstance(record, Watermark) or end % 256 == 128
            assert is_cut_or_end or state.customer.next_sample - (end - 800) <= 4_000


def test_the_end_closes_what_is_open_inside_the_audio(call: tuple[bytes, bytes], quiet_run: list[Record]) -> None:
    long = next(first for track, first, end in _segments(quiet_run) if track == "customer" and end - first > 12_000)
    cut = long + 9_001  # in mid-word, where no window ends
    customer, agent = call[0][: 2 * cut], call[1][: 2 * (cut + 30_000)]
    marks = _listen(_records(customer, agent))
    assert ("customer", long, cut) in _segments(marks)
    time_ms = (cut + 30_000) // 8
    assert [
        Watermark("t", "c", 1, time_ms + 1, is_end=False),
        Watermark("t", "c", 1, time_ms, is_end=True),
    ] == marks[-2:]


def test_silence_makes_the_detector_forget(call: tuple[bytes, bytes]) -> None:
    speech, pause = call[1][: 2 * 20 * webrtc.STRETCH_SAMPLES], bytes(2 * 10 * webrtc.STRETCH_SAMPLES)
    alone = _segments(_listen(_records(bytes(len(speech)), speech)))
    later = len(pause) // 2 + len(speech) // 2
    track = speech + pause + speech
    both = [
        (of, first - later, end - later) for of, first, end in _segments(_listen(_records(bytes(len(track)), track)))
    ]
    assert alone
    assert alone == both[-len(alone) :]


def test_nothing_follows_the_end(call: tuple[bytes, bytes]) -> None:
    vad, state = Vad(), VadState()
    for record in _records(call[0][:64_000], call[1][:64_000]):
        vad.on_record(state, record)
    assert () == vad.on_record(state, _frame(40_000, call[0][:6_000], 40_000, call[1][:6_000]))


def test_long_speech_is_cut_at_a_quiet_place() -> None:
    reading = np.frombuffer(_read("speech/librivox/sense_and_sensibility_01_austen_64kb-0870.wav"), "<i2")
    voiced = reading[np.convolve(np.abs(reading.astype(np.int64)), np.ones(400) / 400, "same") > 300]
    speech = np.resize(voiced, 30 * SAMPLE_RATE_HZ).tobytes()
    marks = _listen(_records(speech, bytes(len(speech))))
    spans = [(first, end) for _, first, end in _segments(marks)]
    assert all(end - first <= 66_000 for first, end in spans)
    cuts = [end for (_, end), (first, _) in pairwise(spans) if end == first]
    assert len(cuts) >= 2
    order = [mark for mark in marks if isinstance(mark, SpeechMark) and cuts[0] in {mark.first_sample, mark.end_sample}]
    assert [None, cuts[0]] == [mark.end_sample for mark in order[:2]]  # the second part opens first
    samples = np.abs(np.frombuffer(speech, "<i2").astype(np.int64))
    around = [samples[cut - 384 : cut + 384].mean() for cut in cuts]
    assert np.mean(around) < 0.6 * samples.mean()


@pytest.mark.parametrize("name", ["macroform-cold_day_20s", "reno_project-system_20s"])
def test_hold_music_is_no_speech(name: str) -> None:
    music = _read(f"speech/music/{name}.wav")
    assert [] == _segments(_listen(_records(music, bytes(len(music)))))


def test_a_click_opens_nothing() -> None:
    track = np.zeros(4 * SAMPLE_RATE_HZ, np.int16)
    track[8_000:8_040] = 30_000
    track[20_000:20_400] = np.random.default_rng(1).integers(-20_000, 20_000, 400)
    assert [] == _segments(_listen(_records(track.tobytes(), bytes(2 * len(track)))))


def test_the_gate_hears_nothing_in_digital_silence() -> None:
    """So the stage need not ask it: a hole of an hour has 18,750 windows on each track."""
    gate = webrtcvad.Vad(webrtc.MODE)
    assert not any(gate.is_speech(bytes(2 * webrtc.FRAME_SAMPLES), SAMPLE_RATE_HZ) for _ in range(1_000))


def test_a_hole_counts_as_silence(call: tuple[bytes, bytes]) -> None:
    holed = call[1][: 2 * 80_000] + bytes(2 * 16_000) + call[1][2 * 96_000 :]
    whole = _listen(_records(call[0], holed))
    records = [
        r
        for r in _records(*call, count=8_000)
        if not isinstance(r, AudioFrame) or r.agent_first_sample not in {80_000, 88_000}
    ]
    missing = [_frame(first, call[0][2 * first : 2 * first + 16_000], 0, b"") for first in (80_000, 88_000)]
    assert whole == _listen([*records[:10], *missing, *records[10:]])


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (_frame(1_536, bytes(100), 40_000_000, bytes(100)), FrameGap),
        (_frame(1_536, bytes(100), -1, bytes(100)), FrameGap),
        (_frame(1_536, bytes(100), 1_536, bytes(99)), RecordRefused),
        (Watermark("t", "c", 1, 9_000_000, is_end=False), FrameGap),
    ],
)
def test_a_refused_record_changes_nothing(record: Record, error: type[Exception]) -> None:
    vad, state = Vad(), VadState()
    vad.on_record(state, _frame(0, bytes(2 * webrtc.STRETCH_SAMPLES), 0, bytes(2 * webrtc.STRETCH_SAMPLES)))
    before = vad.snapshot(state)
    with pytest.raises(error):
        vad.on_record(state, record)
    assert before == vad.snapshot(state)


def test_a_lone_track_waits_for_the_watermark(call: tuple[bytes, bytes]) -> None:
    vad, state = Vad(), VadState()
    agent = call[1][: 2 * 160_000]
    assert [] == list(vad.on_record(state, _frame(0, b"", 0, agent)))
    expected = [s for s in _segments(_listen(_records(bytes(len(agent)), agent))) if s[2] < 150_000]
    assert expected == _segments(vad.on_record(state, Watermark("t", "c", 1, 20_000, is_end=False)))[: len(expected)]


def test_the_state_stays_bounded_when_one_track_never_comes(call: tuple[bytes, bytes]) -> None:
    vad, state = Vad(), VadState()
    for number in range(6):  # six minutes of one side
        vad.on_record(state, _frame(0, b"", number * 480_000, call[1]))
    assert STATE_LIMIT_BYTES > len(vad.snapshot(state))


def _pressed(marks: Sequence[Record]) -> list[tuple[int, int]]:
    return [(mark.first_sample, mark.end_sample) for mark in marks if isinstance(mark, KeyPress)]


def _sound(sound: "np.ndarray[tuple[int], np.dtype[np.int16]]", pause: int = 8_000) -> list[Record]:
    """Return what is marked on a customer's track with a sound between two pauses."""
    track = _mixed(bytes(2 * (len(sound) + 2 * pause)), sound, pause)
    return _listen(_records(track, bytes(len(track))))


@pytest.mark.parametrize("offset", [0, 37, 64, 100])
def test_each_key_is_marked_where_it_is_pressed(offset: int) -> None:
    found = _pressed(_sound(corpus.keys(corpus.KEYS), 8_000 + offset))
    tones = [(8_000 + offset + n * KEY_SAMPLES, 8_800 + offset + n * KEY_SAMPLES) for n in range(len(corpus.KEYS))]
    assert len(tones) == len(found)
    for tone, mark in zip(tones, found, strict=True):  # to a block of 16 ms
        assert all(abs(at - of) < 128 for at, of in zip(mark, tone, strict=True))


def test_no_mark_and_no_state_says_which_key() -> None:
    marks, snapshots = [], []
    for key in corpus.KEYS:
        vad, state = Vad(), VadState()
        track = _mixed(bytes(2 * 8_000), corpus.keys(key)[:800], 4_000)
        half = 2 * 4_480  # inside the tone
        marks.append([*vad.on_record(state, _frame(0, track[:half], 0, bytes(half)))])
        snapshots.append({**msgspec.msgpack.decode(vad.snapshot(state))["customer"], "rest": b"", "memory": b""})
        marks[-1] += [*vad.on_record(state, _frame(4_480, track[half:], 4_480, bytes(half)))]
        marks[-1] += vad.on_record(state, _end(track, track))
    assert 1 == len(_pressed(marks[0]))
    assert [marks[0]] * len(marks) == marks
    assert 3_968 == snapshots[0]["key_first"]
    assert [snapshots[0]] * len(snapshots) == snapshots


def test_a_short_tone_is_no_key() -> None:
    """ITU-T Q.24 asks that 23 ms are none and 40 ms are one."""
    tone = corpus.keys("5")
    assert [] == _pressed(_sound(tone[:184]))
    assert all(1 == len(_pressed(_sound(tone[:320], 8_000 + offset))) for offset in range(0, 128, 16))


def test_a_long_tone_is_marked_in_parts() -> None:
    """So that it holds nobody's progress back."""
    at = np.arange(20 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.rint(4_000 * (np.sin(2 * np.pi * 770 * at) + np.sin(2 * np.pi * 1_336 * at))).astype(np.int16)
    spans = _pressed(_sound(tone))
    assert [64_000, 64_000] == [end - first for first, end in spans[:2]]
    assert 3 == len(spans)


@pytest.mark.parametrize(("end", "first"), [(9_060, 8_320), (6 * RECORD_SAMPLES, 8_448)])
def test_a_tone_that_goes_on_at_the_end_is_marked_inside_the_audio(end: int, first: int) -> None:
    track = _mixed(bytes(2 * end), corpus.keys("5")[:800], end - 800)
    assert [(first, end)] == _pressed(_listen(_records(track, bytes(len(track)))))


def test_keys_alone_are_no_speech() -> None:
    assert [] == _segments(_sound(corpus.keys(corpus.KEYS * 3)))


def test_hold_music_presses_no_key() -> None:
    music = _read("speech/music/macroform-cold_day_20s.wav")
    assert [] == _pressed(_listen(_records(music, bytes(len(music)))))


def test_noise_leaves_the_memory_and_silence_clears_it() -> None:
    """A model that has heard nothing takes background voices for speech."""
    hum = np.rint(300 * np.sin(2 * np.pi * 50 * np.arange(10 * RECORD_SAMPLES) / SAMPLE_RATE_HZ)).astype("<i2")
    assert ["noise"] * 10 == webrtc.sounds(hum.reshape(10, RECORD_SAMPLES))
    heard = np.resize(corpus.keys("5")[:800], 5 * RECORD_SAMPLES)
    vad, state, kept = Vad(), VadState(), []
    for first, block in enumerate(np.concatenate([heard, hum, np.zeros_like(hum)]).reshape(-1, RECORD_SAMPLES)):
        vad.on_record(state, _frame(first * RECORD_SAMPLES, block.tobytes(), 0, b""))
        kept.append(state.customer.memory)
    assert kept[4]
    assert [kept[4]] * 10 == kept[5:15]
    assert [b""] * 10 == kept[15:]


def test_webrtcvad_alone_needs_no_model() -> None:
    """Chosen by setting, it finds speech and neither loads silero nor its runtime."""
    program = f"""
import sys
from connectors.files import read_wav
from pipeline import app, settings
from pathlib import Path
from topics.records import AudioFrame, SpeechMark
rows = app.stages(settings.load(vad="webrtcvad"))
vad = next(row for row in rows if row.name == "vad").machine()
pcm = read_wav(Path({str(DEMO / "agent.wav")!r}))[:80_000].tobytes()
marks = vad.on_record(vad.state(), AudioFrame("t", "c", 0, 0, pcm, 0, pcm))
assert [mark for mark in marks if isinstance(mark, SpeechMark)]
assert not [name for name in sys.modules if name.partition(".")[0] == "onnxruntime" or name.endswith("silero")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
