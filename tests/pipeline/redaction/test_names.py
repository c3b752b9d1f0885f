"""Names: the answer to a question for one, what is spelled, and what comes again."""

from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction.languages import ENGLISH
from tests.pipeline.redaction.test_detect import redacted

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("a: who am i speaking with", "c: tariq zelwick"), "[NAME]"),
        (("a: and you are", "c: hello this is brudro"), "hello this is [NAME]"),
        (("a: whose name is it under", "c: hang on", "a: sure", "c: found it", "c: brudro zelwick"), "[NAME]"),
        (("a: can i get your name", "c: yeah it's", "c: brudro", "a: mm-hm", "c: zelwick"), "[NAME]"),
        (("c: zelwick calling about my bill",), "[NAME] calling about my bill"),
        (("a: how is that spelled", "c: it's z e l w i c k"), "it's [NAME]"),
        (("a: could i get the spelling", "c: That's Z E L Oh P."), "that's [NAME]"),
        (("a: spell that one for me", "c: sure l e w i like igloo s"), "sure [NAME]"),
        (("a: spell that please", "c: m c as in cat double l for larry i s"), "[NAME]"),
        (("a: spell it please", "c: z e", "a: okay", "c: l w i c k"), "[NAME]"),
        (("c: n as in nancy o as in oscar v like victor a k",), "[NAME]"),
        (("c: november oscar victor alpha kilo",), "[NAME]"),
        (("c: z e l w i c k", "a: one moment mister zelwick", "c: so zelwick is not on it"), "so [NAME] is not on it"),
    ],
)
def test_name_is_masked(lines: tuple[str, ...], text: str) -> None:
    assert text == redacted(*lines)[-1]


@pytest.mark.parametrize(
    "lines",
    [
        ("a: who am i speaking with", "c: hang on"),
        ("a: your name please", "c: scroll down to the bottom"),
        ("c: telemarketers calling me all day",),
        ("c: it's a v p n on a u s b stick and the w i f i is down",),
        ("c: the confirmation number is g b x",),
        ("c: it says model s x k four five",),
        ("c: can one of your people call me", "c: the routing number is on the check"),
        ("c: at ten a m or nine p m",),
        ("c: i like igloo ice",),
    ],
)
def test_talk_stays(lines: tuple[str, ...]) -> None:
    assert lines[-1][3:] == redacted(*lines)[-1]


LETTERS = st.text("bdfghjklnpqrstvwxz", min_size=4, max_size=10).filter(lambda text: text not in ENGLISH.abbreviations)


@given(LETTERS, st.booleans())
def test_spelled_name_is_masked_and_known_later(name: str, is_upper: bool) -> None:
    letters = " ".join(name.upper() if is_upper else name)
    first, *_, last = redacted(f"c: it goes {letters} thanks", "a: okay", f"a: did {name} sign it")
    assert first == "it goes [NAME] thanks"
    assert last == "did [NAME] sign it"


@given(st.sampled_from(sorted(one for one in ENGLISH.abbreviations if not {"a", "i"} & {one[0], one[-1]})))
def test_abbreviation_is_no_name(letters: str) -> None:
    assert "[NAME]" not in redacted(f"c: we have the {' '.join(letters)} here")[0]


@given(st.text(ascii_lowercase, min_size=1, max_size=9), st.integers(1, 8))
def test_letters_over_two_turns_are_masked_when_asked_for(name: str, cut: int) -> None:
    parts = [" ".join(part) for part in (name[:cut], name[cut:]) if len(part) > 1]
    told = redacted("a: please spell your last name", *(f"c: {part}" for part in parts))[1:]
    words = {word for text in told for word in text.split()}
    assert words <= {"[NAME]", *ENGLISH.letter_words}
