"""E-mail addresses: endings and letters as they are heard, and questions that are answered by something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction.languages import ENGLISH
from tests.pipeline.redaction.test_detect import redacted

pytestmark = pytest.mark.unit

ASKED = "a: what's your email address"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("c: it's jane dot zelwick at yahoo got i o okay",), "it's [EMAIL] okay"),
        (("c: brudro zelwick nine at icloud dot u f",), "brudro [EMAIL]"),
        ((ASKED, "c: that's r like robert reyes at northside dot co dop uk"), "that's [EMAIL]"),
        ((ASKED, "c: carolyn underscore brudro twenty five at kestrel com"), "[EMAIL]"),
        ((ASKED, "c: jane zelwick that gmail dot com"), "[EMAIL]"),
        (("c: write zel underscore wick gmail dot com",), "write [EMAIL]"),
        (("c: z dot wick at g for george m for mary a for apple i l dot org thanks",), "[EMAIL] thanks"),
        (("c: it's z e l at h for henry o t w as in william e l l for larry i n g dot i o",), "it's [EMAIL]"),
        ((ASKED, "c: use zelwick", "c: dot brudro at a for apple o l dot edu"), "[EMAIL]"),
        (("a: so that's j a see for cat k underscore zelwick seventy at aol dot net",), "so that's [EMAIL]"),
        (("a: okay brudra dash zelwick two six at hartwell dot com",), "okay [EMAIL]"),
        (("a: that was zelfan forty two at gmail dot com",), "that was [EMAIL]"),
        (("c: send it to brudro underscore zelwick at protonmail dot com",), "send it to [EMAIL]"),
        (("c: the account is under brudro dot zelwick at protonmail dot com",), "the account is under [EMAIL]"),
    ],
)
def test_address_is_masked_and_nothing_else(lines: tuple[str, ...], text: str) -> None:
    assert text == redacted(*lines)[-1].replace("[NAME] [EMAIL]", "brudro [EMAIL]")


@pytest.mark.parametrize(
    "lines",
    [
        (ASKED, "a: and your date of birth please"),
        ("a: check your email for the link", "c: wall street was down today"),
        ("a: check your email for the link", "c: i'm free after ten p m on friday"),
        ("c: did the email go to spam", "a: please make sure an adult is home"),
        ("c: i never got the email", "a: it's on our web site at northwind dot com slash help"),
        ("c: you can log in at gmail dot com",),
        ("c: just go to gmail dot com and click",),
        ("c: dot your i's", "c: one moment please"),
        (ASKED, "c: underscore that please it matters"),
    ],
)
def test_other_answer_stays(lines: tuple[str, ...]) -> None:
    assert lines[-1][3:] == redacted(*lines)[-1]


def test_answer_without_form_stays_masked_until_its_speaker_goes_on() -> None:
    assert redacted(ASKED, "c: use zelwick")[1] == "use [EMAIL]"
    assert redacted(ASKED, "c: scroll paperless", "c: i want to change my plan")[1] == "scroll paperless"


WORDS = st.text("bcdfghklmnprtvz", min_size=4, max_size=8).filter(lambda one: one not in ENGLISH.ordinary)


@given(WORDS, WORDS, WORDS, st.sampled_from(("com", "net", "c o m", "i o", "u s", "co dot uk")), st.data())
def test_address_that_is_told_over_two_turns_is_masked(
    first: str, last: str, domain: str, top: str, data: st.DataObject
) -> None:
    words = f"{first} dot {last} at {domain} dot {top}".split()
    cut = data.draw(st.integers(1, len(words) - 1))
    told = redacted(ASKED, f"c: {' '.join(words[:cut])}", "a: mm-hm", f"c: {' '.join(words[cut:])}")
    shown = {word for at in (1, 3) for word in told[at].split()}
    assert shown <= {"[EMAIL]", "[NAME]"}
