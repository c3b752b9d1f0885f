"""The bars of redaction on generated calls; `bench` runs more of the same."""

from random import Random

import pytest

from tests.pipeline.redaction.played import audio_of, is_clean, play, turns_of
from tests.pipeline.redaction.spoken_calls import BENIGN, Said, plain, secret_call

pytestmark = pytest.mark.unit

CALLS = 60
FULLY_CLEAN = 0.98
MASKED_BENIGN = 0.01


@pytest.mark.parametrize("noise", [0.0, 0.1], ids=["heard well", "one homophone in ten misheard"])
def test_generated_calls_are_fully_clean(noise: float) -> None:
    clean = sum(is_clean(play(call, seed), call) for seed in range(CALLS) for call in [secret_call(seed, noise)])
    assert clean >= FULLY_CLEAN * CALLS


def test_ordinary_talk_stays() -> None:
    masked = words = 0
    for seed in range(20):
        random = Random(seed)
        call = [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(20)]
        played = play(call, seed)
        masked += played.masked_plain
        words += played.plain
    assert masked <= MASKED_BENIGN * words


def test_audio_covers_every_secret_word() -> None:
    for seed in range(20):
        call = secret_call(seed, 0.0)
        played = play(call, seed)
        if not is_clean(played, call):
            continue
        spans = [span for row in audio_of(played).values() for span in row.spans]
        for turn, said in zip(turns_of(call), call, strict=True):
            for word, spoken in zip(turn.words, said.words, strict=True):
                if spoken.secret:
                    assert any(
                        span.track == turn.track
                        and span.start_sample <= word.start_ms * 8
                        and span.end_sample >= word.end_ms * 8
                        for span in spans
                    )
