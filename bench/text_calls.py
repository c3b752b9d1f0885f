"""Calls as group `language` reads them: seeded words of both tracks, partials once a second, finals, watermarks.

Owns what is said and when it is due; `transcript.words` is all that a recogniser would have written. Every fifth turn
holds digits of a card or something that a policy of the demo notices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bench.hop_stage import SPOKEN, WORDS
from topics.records import SAMPLES_PER_MS, TRACKS, Record, SegmentWords, Track, Watermark, Word

TENANT = "local"
WORD_MS = 300
PAUSE_MS = 400  # between two turns
ASR_MS = 250  # from the end of speech to its words
NOTABLE = (
    "thank you for calling how can i help you with your contract today",
    "can you read me the card number please so that i can check it",
    "four nine one seven four eight four five eight nine eight nine",
    "my internet has been down since monday and i want to cancel my subscription",
    "okay thank you my name is jane miller and i wait for it",
)


@dataclass(frozen=True, slots=True)
class Said:
    """One record of one call and when it is due, in milliseconds of the call."""

    at_ms: int
    contact: str
    record: Record


def call(seed: int, number: int, duration_ms: int) -> Iterator[Said]:
    """Say what one call's recogniser writes, in the order of time."""
    random = Random(f"{seed}/{number}")
    contact = f"contact-{number:03d}"
    at_ms, rev, turns = random.randrange(5_000), 0, 0
    while at_ms < duration_ms:
        line = _line(random, turns)
        for end in range(0, len(line) * WORD_MS, 1_000)[1:]:
            rev += 1
            yield Said(at_ms + end + ASR_MS, contact, _heard(contact, turns, at_ms, line[: end // WORD_MS], rev))
            yield Said(at_ms + end + ASR_MS, contact, Watermark(TENANT, contact, 1, at_ms - 1, is_end=False))
        rev, end_ms = rev + 1, at_ms + len(line) * WORD_MS
        yield Said(end_ms + ASR_MS, contact, _heard(contact, turns, at_ms, line, rev, is_final=True))
        yield Said(end_ms + ASR_MS, contact, Watermark(TENANT, contact, 1, end_ms, is_end=False))
        at_ms, turns = end_ms + PAUSE_MS, turns + 1


def _line(random: Random, turn: int) -> list[str]:
    if turn % 5 == 4:
        return random.choice(NOTABLE).split()
    return [random.choice(SPOKEN) for _ in range(WORDS)]


def _heard(contact: str, turn: int, at_ms: int, line: list[str], rev: int, *, is_final: bool = False) -> SegmentWords:
    track: Track = TRACKS[turn % 2]
    words = tuple(Word(text, at_ms + WORD_MS * n, at_ms + WORD_MS * n + 250) for n, text in enumerate(line))
    end_sample = (at_ms + WORD_MS * len(line)) * SAMPLES_PER_MS
    return SegmentWords(
        TENANT, contact, 1, track, at_ms * SAMPLES_PER_MS, end_sample, is_final, words, "bench", 0.9, rev
    )
