"""What real talk does to a value: questions cut in two, digits misheard, parts corrected, words between its parts."""

import pytest

from tests.pipeline.redaction.test_numbers import masked

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (("a: what's your date of", "a: birth", "c: that's august seventeenth two thousand"), 4),
        (("a: and your birthday for verification", "c: that's may"), 1),
        (("c: date of september seventeen nineteen sixty four",), 5),
        (("a: a card", "a: when is it valid to", "c: it says eleven two thousand thirty one"), 5),
        (("a: the expiry date of the card", "c: it's six slash"), 2),
        (("a: the card number please", "c: eight oh three two two double heaven wan six five"), 10),
        (("a: card number please", "c: four two one nine", "a: yep", "c: heaven", "a: yep", "c: six five"), 2),
        (("a: the security code please", "c: it's two"), 1),
        (("a: what's the c", "a: v c two", "c: nine four one"), 3),
        (("a: the security code", "c: let me turn it over five four six"), 3),
        (("a: go ahead with the card number", "c: one two three four", "a: okay", "c: oh exp date four"), 2),
        (("c: the card i used was sixty seven oh oh",), 4),
        (("a: a good number to reach you", "c: 8655519616 extension seven five seven"), 4),
        (("a: where do you live", "c: my address is 76 harrison avenue suite uh 9 denver colorado"), 8),
        (("c: the package went to one four three no wait seven", "c: jefferson terrace"), 2),
        (("c: i live at hate o four six willow court",), 6),
        (("a: your email", "c: sure hiroshi hyphen see r u z at kestrel dot com"), 10),
        (("a: your email", "c: use jane uh let me see six at verizon dot net"), 10),
        (("a: your email", "c: it's linda dash peterson seven that northside dot com"), 8),
        (("c: hi mateo flores here",), 2),
        (("a: your name", "c: okay i have it in front of me now nguyet hussain"), 2),
        (("c: you can talk to brigid begaye b e g a y e",), 8),
        (("a: good morning fatou here what can i do",), 1),
    ],
)
def test_the_words_of_a_value_are_masked(lines: tuple[str, ...], value: int) -> None:
    assert len(masked(*lines)) == value


@pytest.mark.parametrize(
    "lines",
    [
        ("a: your order number is t k nine five nine two eight",),
        ("c: i'm counting one two three four five six",),
        ("a: your date of birth", "c: first unplug it then wait thirty four seconds"),
        ("c: the trace number is seven three oh two eight",),
    ],
)
def test_the_numbers_of_talk_stay(lines: tuple[str, ...]) -> None:
    assert masked(*lines) == []


@pytest.mark.parametrize(
    "line", ["c: order number seven one eight", "a: look for", "a: that includes the equipment fee of five hundred"]
)
def test_a_partial_shows_the_numbers_of_talk(line: str) -> None:
    assert masked(line, is_final=False) == []
