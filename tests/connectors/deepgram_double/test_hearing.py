"""A word is heard when every sample of it was received, however it was encoded and cut."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import files
from connectors.deepgram_double.hearing import BLOCK_SAMPLES, Decoder, Ear, find
from connectors.deepgram_double.script import Script, read
from pipeline.audio.pcm import Samples
from pipeline.cli import demo_file
from pipeline.errors import InputError
from tests.connectors.deepgram_double.callers import SAID, a_law, mu_law, noise, pcm, script, silence, voice
from topics.records import SAMPLES_PER_MS

pytestmark = pytest.mark.unit


def hear(data: bytes, encoding: str = "linear16") -> list[tuple[str, int, int]]:
    """Return the words of a mono stream with their milliseconds on the connection."""
    decoder, ear = Decoder(encoding, 1, is_multichannel=False), Ear(script())
    heard = [word for step in decoder.steps(data) for word in ear.hear(step[0])]
    heard += ear.hear(decoder.rest()[0])
    return [(word.text, word.start_sample // SAMPLES_PER_MS, word.end_sample // SAMPLES_PER_MS) for word in heard]


COMPANDED = pytest.mark.parametrize(("encoding", "encoded"), [("mulaw", mu_law), ("alaw", a_law)])


def test_every_word_of_a_track_is_heard_at_its_place() -> None:
    assert list(SAID["customer"]) == hear(pcm("customer"))
    assert list(SAID["agent"]) == hear(pcm("agent"))


def test_word_needs_its_last_sample() -> None:
    whole = pcm(end_ms=700)
    assert [] == hear(whole[:-2])
    assert ["zero"] == [text for text, *_ in hear(whole)]


def test_word_needs_its_first_sample() -> None:
    assert ["zero", "one"] == [text for text, *_ in hear(pcm(start_ms=300, end_ms=1_500))]
    assert ["one"] == [text for text, *_ in hear(pcm(start_ms=300, end_ms=1_500)[2:])]


def test_word_needs_every_sample_between() -> None:
    data = bytearray(pcm(end_ms=1_500))
    data[900 * 16 : 900 * 16 + 2] = bytes(2)
    assert ["zero"] == [text for text, *_ in hear(bytes(data))]


def test_times_count_what_the_connection_received() -> None:
    assert [("one", 50, 400), ("two", 1_300, 1_700), ("three", 1_750, 2_200)] == hear(pcm(start_ms=700))
    assert [("one", 550, 900)] == hear(silence(500) + pcm(start_ms=700, end_ms=1_500))


def test_what_is_left_out_moves_what_follows() -> None:
    skipped = pcm(end_ms=1_200) + pcm(start_ms=1_900)
    assert [("zero", 300, 700), ("one", 750, 1_100), ("two", 1_300, 1_700), ("three", 1_750, 2_200)] == hear(skipped)


def test_audio_that_is_sent_again_is_heard_again() -> None:
    twice = pcm(end_ms=720) + pcm(start_ms=250, end_ms=720)
    assert [("zero", 300, 700), ("zero", 770, 1_170)] == hear(twice)


def test_stranger_is_not_understood() -> None:
    other = np.random.default_rng(9).integers(-8_000, 8_000, 16_000, np.int16)
    assert [] == hear(other.tobytes())


def test_silence_is_nowhere() -> None:
    assert find(np.zeros((BLOCK_SAMPLES, 2), np.int32), np.zeros(1_000, np.int32)) is None


@COMPANDED
def test_companded_audio_is_heard_as_well(encoding: str, encoded: Callable[[Samples], bytes]) -> None:
    assert list(SAID["customer"]) == hear(encoded(noise("customer")), encoding)


@COMPANDED
def test_one_companded_sample_that_is_wrong_loses_its_word(encoding: str, encoded: Callable[[Samples], bytes]) -> None:
    data = bytearray(encoded(noise("customer")))
    data[800 * SAMPLES_PER_MS] ^= 0x90
    assert ["zero", "two", "three"] == [text for text, *_ in hear(bytes(data), encoding)]


@COMPANDED
def test_bounds_of_all_codes_hold_every_sample(encoding: str, encoded: Callable[[Samples], bytes]) -> None:
    every = np.arange(-32_768, 32_768).astype(np.int16)
    decoder = Decoder(encoding, 1, is_multichannel=False)
    bounds = np.concatenate([*decoder.steps(encoded(every)), decoder.rest()], axis=1)[0]
    assert ((bounds[:, 0] <= every) & (every <= bounds[:, 1])).all()


def linear(samples: Samples) -> bytes:
    return samples.tobytes()


@pytest.mark.parametrize(("encoding", "encoded"), [("linear16", linear), ("mulaw", mu_law), ("alaw", a_law)])
def test_channels_are_heard_by_themselves(encoding: str, encoded: Callable[[Samples], bytes]) -> None:
    both = encoded(np.stack((noise("agent"), noise("customer")), axis=-1).reshape(-1))
    decoder, ears = Decoder(encoding, 2, is_multichannel=True), (Ear(script()), Ear(script()))
    heard: list[list[str]] = [[], []]
    for step in decoder.steps(both):
        for ear, block, texts in zip(ears, step, heard, strict=True):
            texts += [word.text for word in ear.hear(block)]
    assert [["four", "five"], ["zero", "one", "two", "three"]] == heard


def test_place_that_was_taken_for_another_is_mended() -> None:
    samples = noise("customer")
    samples[8_000:8_400] = samples[800:1_200]  # 50 ms from 100 ms on stand there again from 1,000 ms on
    ear = Ear(Script({"customer": voice(samples, [("mended", 1_010, 1_300)])}))
    blocks = Decoder("linear16", 1, is_multichannel=False).steps(samples[8_000:12_000].tobytes())
    (word,) = (word for block in blocks for word in ear.hear(block[0]))
    assert (10, 300) == (word.start_sample // SAMPLES_PER_MS, word.end_sample // SAMPLES_PER_MS)


def test_word_that_was_told_is_not_told_again_when_a_place_is_mended() -> None:
    samples = noise("customer")
    samples[8_000:12_000] = samples[:4_000]  # the first 500 ms, with their word, stand there again
    ear = Ear(
        Script({"customer": voice(samples, [("same", 100, 300), ("same", 1_100, 1_300), ("other", 1_450, 1_700)])})
    )
    blocks = Decoder("linear16", 1, is_multichannel=False).steps(samples[8_000:16_000].tobytes())
    heard = [(word.text, word.start_sample // SAMPLES_PER_MS) for block in blocks for word in ear.hear(block[0])]
    assert [("same", 100), ("other", 450)] == heard


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4_000), max_size=40))
def test_cuts_change_nothing(sizes: list[int]) -> None:
    data = pcm()
    decoder, ear = Decoder("linear16", 1, is_multichannel=False), Ear(script())
    heard = []
    for size in [*sizes, len(data)]:
        frame, data = data[:size], data[size:]
        heard += [word.text for step in decoder.steps(frame) for word in ear.hear(step[0])]
    assert ["zero", "one", "two", "three"] == heard


def test_demo_call_is_heard_word_by_word() -> None:
    call = files.read_call(demo_file("customer.wav"), demo_file("agent.wav"))
    script = read(demo_file("reference.json"), call.customer, call.agent)
    for track, samples in (("customer", call.customer), ("agent", call.agent)):
        decoder, ear = Decoder("linear16", 1, is_multichannel=False), Ear(script)
        heard = [word for step in decoder.steps(samples.tobytes()) for word in ear.hear(step[0])]
        reference = json.loads(demo_file("reference.json").read_bytes())["words"]
        expected = [(word["text"], word["start_ms"] * SAMPLES_PER_MS) for word in reference if word["track"] == track]
        assert expected == [(word.text, word.start_sample) for word in heard]


def test_reference_that_is_none_is_refused(tmp_path: Path) -> None:
    reference = tmp_path / "reference.json"
    reference.write_text('{"words": [{"track": "nobody"}]}')
    with pytest.raises(InputError, match="is not a reference transcript"):
        read(reference, noise("customer"), noise("agent"))
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "nothing.json", noise("customer"), noise("agent"))
