"""What verification finds in published text, and what it leaves alone."""

import pytest

from pipeline.verification.rescan import Finding, rescan
from topics.records import RedactedTurn, Track, Word

pytestmark = pytest.mark.unit


def turn(text: str, at_ms: int = 0, track: Track = "customer") -> RedactedTurn:
    words = tuple(Word(word, at_ms + 300 * n, at_ms + 300 * n + 280) for n, word in enumerate(text.split()))
    name = f"{track}/{at_ms}"
    return RedactedTurn("t", "c", 0, name, 0, track, track, at_ms * 8, words[-1].end_ms * 8, True, words, (), "x", None)


def found(*turns: RedactedTurn) -> list[tuple[str, str]]:
    """Return what is found, as text, with its type."""
    words = {one.turn_id: [word.text for word in one.words] for one in turns}
    return [(" ".join(words[one.turn_id][one.first : one.last + 1]), one.type) for one in rescan(turns)]


@pytest.mark.parametrize(
    ("text", "left", "kind"),
    [
        ("it is four one one one one one one one one one one one one one one one", None, "CREDITCARD"),
        ("4111 1111 1111 1111", None, "CREDITCARD"),
        ("forty one eleven eleven eleven eleven eleven eleven eleven", None, "CREDITCARD"),
        ("four triple one one one one triple one triple one double one one", None, "CREDITCARD"),
        ("my social is one two three four five six seven eight nine", None, "SSN"),
        ("the security code is nine eight seven", "nine eight seven", "CVV"),
        ("it expires oh four twenty nine", "oh four twenty nine", "EXPIRY"),
        ("call me at five five five oh one nine nine two three four", None, "PHONE"),
        ("i was born on the third of may nineteen eighty two", "third of may nineteen eighty two", "DOB"),
        ("write to jane dot miller at example dot com", "jane dot miller at example dot com", "EMAIL"),
        ("jane@example.com works", "jane@example.com", "EMAIL"),
        ("my name is brudro", "brudro", "NAME"),
        ("that is m i l l e r", "m i l l e r", "NAME"),
        ("i live at two twenty one baker street", "two twenty one", "ADDRESS"),
        ("i moved to columbus ohio", "columbus ohio", "ADDRESS"),
        ("thank you for calling priya speaking", "priya", "NAME"),
        ("my card is [CREDITCARD] four two", "four two", "PII"),
        ("mi tarjeta es cuatro uno uno uno", None, ""),
    ],
)
def test_it_finds(text: str, left: str | None, kind: str) -> None:
    kinds = {one[1] for one in found(turn(text))}
    assert (kind in kinds) if kind else not kinds
    if left is not None:
        assert (left, kind) in found(turn(text))


@pytest.mark.parametrize(
    "text",
    [
        "it costs twenty five dollars and forty cents",
        "your order number is eight eight one two three four",
        "i have been waiting for twenty five minutes",
        "the year two thousand and twelve",
        "at ten thirty",
        "one of them is fine",
        "my card is [CREDITCARD] and the code is [CVV]",
        "it is on the fifth of may",
        "my name is [NAME]",
        "see you twenty four seven",
        "look at example dot com slash help then",
    ],
)
def test_it_leaves_alone(text: str) -> None:
    expected = [("look at example dot com", "EMAIL")] if "example" in text else []
    assert [one for one in found(turn(text)) if one not in expected] == []


def test_a_number_goes_on_over_turns_and_the_other_sides_words() -> None:
    turns = (
        turn("what is your card number", 0, "agent"),
        turn("four one one one", 3_000),
        turn("mm hm", 4_500, "agent"),
        turn("one one one one", 5_500),
        turn("one one one one one one one one", 8_000),
    )
    assert [("four one one one", "CREDITCARD")] == found(*turns)[:1]
    assert {"customer/3000", "customer/5500", "customer/8000"} == {one.turn_id for one in rescan(turns)}


def test_a_question_on_one_track_explains_the_answer_on_the_other() -> None:
    question = turn("and the three digits on the back", 0, "agent")
    assert [Finding("customer/3000", 0, 2, "CVV")] == rescan([question, turn("one two three", 3_000)])
    assert [] == rescan([question, turn("one two three", 60_000)])


def test_spanish_digits_are_read() -> None:
    text = "mi tarjeta es cuatro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno"
    assert ["CREDITCARD"] == [one.type for one in rescan([turn(text)], "es")]
