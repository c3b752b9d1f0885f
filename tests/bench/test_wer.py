"""Words heard wrong, counted by hand."""

import pytest

from bench.wer import Heard, errors, interval, rate, words_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("reference", "heard", "wrong"),
    [
        ("press one now", "press one now", 0),
        ("press one now", "press won now", 1),
        ("press one now", "press now", 1),
        ("press one now", "please press one now", 1),
        ("press one now", "", 3),
        ("", "hello", 1),
        ("a b c d", "b c d e", 2),
    ],
)
def test_an_error_is_a_word_replaced_left_out_or_put_in(reference: str, heard: str, wrong: int) -> None:
    assert wrong == errors(reference.split(), heard.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Press 4, please!", "press four please"),
        ("Your MAIL BOX is full.", "your mailbox is full"),
        ("You cannot re-enter it, OK?", "you can not reenter it okay"),
        ("It\u2019s 42 at 0800", "it is forty two at zero eight zero zero"),
        ("I'm afraid that's a file name", "i am afraid that is a filename"),
        ("mailboxes cannoted", "mailboxes cannoted"),
    ],
)
def test_what_is_written_in_two_ways_is_compared_as_one(text: str, words: str) -> None:
    assert words.split() == words_of(text)


def test_the_rate_is_over_all_words_of_the_reference() -> None:
    assert 3 / 20 == rate([Heard("a", 15, 0, ""), Heard("b", 5, 3, "")])


def test_the_interval_holds_the_rate_and_narrows_with_clips() -> None:
    few = [Heard("x", 10, n % 2, "") for n in range(10)]
    (low, high), (narrow_low, narrow_high) = interval(few, 1), interval(few * 20, 1)
    assert low < narrow_low < 0.05 < narrow_high < high
    assert (low, high) == interval(few, 1)
    assert (0.1, 0.1) == interval([Heard("x", 10, 1, "")] * 5, 1)
