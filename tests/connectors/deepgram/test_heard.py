"""Which words a segment has, and when nothing more will come."""

import pytest

from connectors.deepgram.heard import Heard, Said, Spoken, confidence, in_time
from connectors.deepgram.sent import Sent
from topics.records import Word

pytestmark = pytest.mark.unit

SECOND = 8_000


def hearing(first_sample: int = 0, samples: int = 10 * SECOND) -> Heard:
    made = Sent()
    made.add(first_sample, samples)
    return Heard(made)


def said(until_s: float, *words: tuple[str, float, float], is_final: bool = True, is_forced: bool = False) -> Said:
    return Said(tuple(Spoken(*word, 0.5) for word in words), until_s, is_final, is_forced)


def texts(heard: Heard, start_s: float = 0, end_s: float = 10, *, is_final: bool = False) -> list[str]:
    found = heard.words(round(start_s * SECOND), round(end_s * SECOND), is_final=is_final)
    return [word.text for word in found]


def test_words_that_are_not_final_are_replaced() -> None:
    heard = hearing()
    heard.take(said(1, ("for", 0.2, 0.6), is_final=False))
    heard.take(said(2, ("forty", 0.2, 0.7), ("nine", 1.2, 1.6), is_final=False))
    assert ["forty", "nine"] == texts(heard)
    assert [] == texts(heard, is_final=True)


def test_words_that_are_final_stay() -> None:
    heard = hearing()
    heard.take(said(1, ("forty", 0.2, 0.7)))
    heard.take(said(2, ("nine", 1.2, 1.6), is_final=False))
    assert (["forty", "nine"], ["forty"]) == (texts(heard), texts(heard, is_final=True))


def test_word_is_the_segments_that_holds_its_middle() -> None:
    heard = hearing()
    heard.take(said(3, ("one", 0.8, 1.1), ("two", 0.9, 1.2)))
    assert (["one"], ["two"]) == (texts(heard, 0, 1), texts(heard, 1, 2))


def test_everything_is_final_where_results_reach() -> None:
    heard = hearing()
    heard.take(said(1.99))
    assert heard.is_complete(2 * SECOND)
    assert not heard.is_complete(3 * SECOND)


def test_answer_that_was_asked_for_may_end_before_a_word_that_was_not_over() -> None:
    heard = hearing(samples=2 * SECOND)
    heard.force()
    assert heard.is_forced(2 * SECOND)
    heard.take(said(1.6, is_forced=True))
    assert heard.is_complete(2 * SECOND)
    assert not heard.is_forced(2 * SECOND)


def test_answer_is_to_the_first_question_that_is_open() -> None:
    heard = hearing(samples=2 * SECOND)
    heard.force()
    heard.sent.add(2 * SECOND, 2 * SECOND)
    heard.force()
    heard.take(said(1.5, is_forced=True))
    assert (True, False) == (heard.is_complete(2 * SECOND), heard.is_complete(4 * SECOND))


def test_question_to_which_nothing_was_left_to_say_is_not_waited_for() -> None:
    heard = hearing(samples=2 * SECOND)
    heard.take(said(2.0))
    heard.force()
    heard.sent.add(2 * SECOND, 2 * SECOND)
    heard.force()
    heard.take(said(3.5, is_forced=True))
    assert heard.is_complete(4 * SECOND)


def test_late_answer_with_nothing_more_is_not_the_next_questions() -> None:
    heard = hearing(samples=2 * SECOND)
    heard.force()
    heard.take(said(1.99))
    heard.sent.add(2 * SECOND, 2 * SECOND)
    heard.force()
    heard.take(said(2.0, is_forced=True))
    assert not heard.is_complete(4 * SECOND)
    heard.take(said(3.5, is_forced=True))
    assert heard.is_complete(4 * SECOND)


def test_words_never_overlap_and_stay_in_their_segment() -> None:
    heard = hearing()
    heard.take(said(3, ("one", 0.5, 1.02), ("two", 1.0, 1.5), ("three", 1.9, 2.05)))
    words = heard.words(0, 2 * SECOND, is_final=True)
    assert (Word("one", 500, 1_020), Word("two", 1_020, 1_500), Word("three", 1_900, 2_000)) == in_time(
        words, 2 * SECOND
    )
    assert (0.5, None) == (confidence(words), confidence([]))
