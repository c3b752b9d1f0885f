"""Fields of a message: null is nothing, another type is refused, no value is quoted."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contact_events import fields
from connectors.contact_events.feeds import READERS
from pipeline.errors import RecordRefused
from tests.connectors.contact_events.documents import BASE_MS, OWNER, message

pytestmark = pytest.mark.unit

NAMES = {"starts": "flow_event", "agents": "agent_event", "records": "contact_record", "events": "contact_event"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"7", b'"text"', b"null"])
def test_what_is_no_json_object_is_refused_without_being_quoted(data: bytes) -> None:
    with pytest.raises(RecordRefused) as refusal:
        fields.parse(data)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or not refusal.value.__context__


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-09-21T14:13:20Z", BASE_MS),
        ("2026-09-21T14:13:20.007Z", BASE_MS + 7),
        ("2026-09-21T16:13:20.999+02:00", BASE_MS + 999),
        ("1969-12-31T23:59:59.999Z", -1),
        (None, None),
        ("", None),
    ],
)
def test_time_is_counted_from_1970(text: str | None, expected: int | None) -> None:
    assert expected == fields.time_ms({"at": text}, "at")


@pytest.mark.parametrize("text", ["yesterday", "2026-09-21T14:13:20", 7, True, {}])
def test_time_of_another_form_is_refused(text: object) -> None:
    with pytest.raises(RecordRefused, match="field at"):
        fields.time_ms({"at": text}, "at")


def test_truth_is_no_number() -> None:
    with pytest.raises(RecordRefused):
        fields.count({"holds": True}, "holds")


def test_private_part_is_the_same_bytes_for_the_same_content() -> None:
    assert fields.private({"a": {"x": 1, "y": 2}}, "a") == fields.private({"b": 1, "a": {"y": 2, "x": 1}}, "a", "c")


@pytest.mark.parametrize("says", READERS)
@given(draws=st.data())
def test_nothing_but_a_refusal_escapes_from_a_damaged_message(says: str, draws: st.DataObject) -> None:
    content = message(NAMES[says])
    place = content
    while True:
        name = draws.draw(st.sampled_from(sorted(place)))
        if not (isinstance(place[name], dict) and place[name] and draws.draw(st.booleans())):
            break
        place = place[name]
    place[name] = draws.draw(JSON)
    with suppress(RecordRefused):
        READERS[says](OWNER, content)
