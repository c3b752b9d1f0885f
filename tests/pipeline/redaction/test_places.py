"""Street addresses in answers: parts over turns, and what is no address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction.languages import ENGLISH
from tests.pipeline.redaction.test_detect import redacted

pytestmark = pytest.mark.unit

ASKED = "a: what is the new address"


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        ((ASKED, "c: sure 91 zelwood", "c: st"), ("sure [ADDRESS]", "[ADDRESS]")),
        (("a: where should we ship it", "c: 75", "c: zelwood street"), ("[ADDRESS]", "[ADDRESS]")),
        (("c: my address is ninety seven valley road", "a: okay", "c: apartment fifteen"), ("okay", "[ADDRESS]")),
        ((ASKED, "c: it's 12 zelwood and i moved in march"), ("it's [ADDRESS] and i moved in march",)),
        ((ASKED, "c: one five zelwood road", "c: sticks seven nine five one"), ("[ADDRESS]", "[ADDRESS]")),
        (
            ("c: expiration four slash twenty six", ASKED, "c: then double seven zelwood parkway"),
            (ASKED[3:], "then [ADDRESS]"),
        ),
    ],
)
def test_part_of_an_address_is_masked(lines: tuple[str, ...], texts: tuple[str, ...]) -> None:
    assert list(texts) == redacted(*lines)[-len(texts) :]


@pytest.mark.parametrize(
    "lines",
    [
        (ASKED, "c: i have two questions first"),
        (ASKED, "c: no rush let me look"),
        ("a: the address is on your bill", "c: 3 devices are offline"),
        ("c: i was on highway twenty nine",),
        ("a: is that your email address", "c: twelve times"),
    ],
)
def test_talk_stays(lines: tuple[str, ...]) -> None:
    assert lines[-1][3:] == redacted(*lines)[-1]


WORDS = st.text("bcdfghklmnprtvz", min_size=4, max_size=8).filter(lambda one: one not in ENGLISH.ordinary)


@given(st.integers(10, 99), WORDS, st.sampled_from(sorted(ENGLISH.streets)), st.data())
def test_address_that_is_told_over_two_turns_is_masked(house: int, name: str, street: str, data: st.DataObject) -> None:
    words = f"{house} {name} {street}".split()
    cut = data.draw(st.integers(1, 2))
    told = redacted(ASKED, f"c: {' '.join(words[:cut])}", f"c: {' '.join(words[cut:])}")
    assert told[1:] == ["[ADDRESS]", "[ADDRESS]"]
