"""What screens may say, and that nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.gateway.messages import Feedback, Refusal, Resume, parse

pytestmark = pytest.mark.unit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["resume", "seq", "x"]), inner),
)


def test_resume() -> None:
    assert Resume("abc", 7) == parse('{"resume": {"epoch": "abc", "seq": 7}}')
    assert Resume(None, 0) == parse('{"resume": {"epoch": null, "seq": 0}}')


def test_feedback() -> None:
    text = '{"feedback": {"guidance_id": "card", "action": "dismissed"}}'
    assert Feedback("card", "dismissed") == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 4_000,
        "null",
        '{"resume": {}}',
        '{"resume": {"epoch": null, "seq": -1}}',
        '{"resume": {"epoch": null, "seq": true}}',
        '{"resume": {"epoch": 5, "seq": 1}}',
        '{"resume": {"epoch": null, "seq": 1e3}}',
        '{"resume": {"epoch": null, "seq": 0}, "feedback": {}}',
        '{"resume": {"epoch": null, "seq": 0, "admin": true}}',
        '{"feedback": {"guidance_id": "card", "action": "deleted"}}',
        '{"feedback": {"guidance_id": 5, "action": "accepted"}}',
        '{"feedback": {"guidance_id": "' + "x" * 513 + '", "action": "accepted"}}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert isinstance(parse(text), Refusal)


@given(st.text() | JSON.map(repr))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert isinstance(parse(text), Refusal)


@given(st.text(min_size=20, alphabet="0123456789"))
def test_a_refusal_quotes_nothing(text: str) -> None:
    refused = parse(text)
    assert isinstance(refused, Refusal)
    assert text not in refused.reason
