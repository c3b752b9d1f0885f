"""What counts as lost and as doubled among the words of a disturbed call."""

from dataclasses import replace

import pytest

from bench.asr_words import Comparison, finals
from topics.records import SegmentWords, Word

pytestmark = pytest.mark.unit

ASR = "deepgram nova-3"


def heard(first_sample: int, *texts: str, rev: int = 1, is_final: bool = True) -> SegmentWords:
    words = tuple(
        Word(text, first_sample // 8 + 300 * n, first_sample // 8 + 300 * n + 250) for n, text in enumerate(texts)
    )
    return SegmentWords("t", "c", 1, "agent", first_sample, first_sample + 8_000, is_final, words, ASR, 0.9, rev)


SAID = (heard(0, "yes", "yes", "please"), heard(16_000, "no"))
TRUTH = finals(SAID)


def judged(*said: SegmentWords) -> Comparison:
    comparison = Comparison()
    comparison.judge(said, TRUTH, ASR)
    return comparison


def test_same_finals_with_partials_and_again_after_a_takeover_are_whole() -> None:
    partial = heard(0, "yeah", is_final=False)
    again = replace(SAID[0], rev=9)
    found = judged(partial, *SAID, again, partial)
    assert Comparison(finals=2, words=4) == found
    assert found.is_whole


def test_word_that_is_missing_is_lost_and_one_that_is_there_twice_is_doubled() -> None:
    again = Word("please", 600, 850)
    found = judged(replace(SAID[0], words=(*SAID[0].words[1:], again)), SAID[1])
    assert (1, 1, False) == (found.lost, found.doubled, found.is_whole)
    assert {"agent/0": 1} == found.where


def test_word_at_another_time_is_lost_and_doubled() -> None:
    found = judged(SAID[0], heard(16_000, "", "no"))
    assert (1, 2) == (found.lost, found.doubled)


def test_final_that_never_came_lacks_all_its_words() -> None:
    found = judged(SAID[1])
    assert (1, 3, False) == (found.missing, found.lost, found.is_whole)


def test_final_of_a_segment_that_there_is_not_is_extra_with_all_its_words() -> None:
    found = judged(*SAID, heard(40_000, "hello"))
    assert (1, 1, False) == (found.extra, found.doubled, found.is_whole)


def test_later_revision_stands_and_two_of_one_revision_are_split() -> None:
    assert judged(heard(0, "yes", rev=0), *SAID, heard(16_000, "nope", rev=0)).is_whole
    found = judged(*SAID, replace(SAID[1], words=()))
    assert (1, False) == (found.split, found.is_whole)


def test_second_recognisers_words_are_its_own() -> None:
    found = judged(replace(heard(0, "yes", "fleas"), asr="moonshine"), SAID[1])
    assert Comparison(finals=2, words=1, stood_in=1) == found
    assert found.is_whole


def test_what_nobody_answered_is_lost() -> None:
    found = judged(replace(SAID[0], words=(), asr="none", gap="late"), SAID[1])
    assert (1, 3, False) == (found.gaps, found.lost, found.is_whole)
