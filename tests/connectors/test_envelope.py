"""Sealed objects: the same bytes for the same object, and no nonce twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.envelope import VERSION, Envelope
from connectors.sealing import NONCE_BYTES
from pipeline.errors import RecordRefused

pytestmark = pytest.mark.unit

KEY = bytes(range(32))
MINE = Envelope(KEY, "local|c1")

objects_of_a_contact = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=40)), min_size=2, unique=True)


def nonce(sealed: bytes) -> bytes:
    return sealed[len(VERSION) : len(VERSION) + NONCE_BYTES]


@given(st.text(max_size=20), st.binary(max_size=200))
def test_object_opens_and_is_sealed_to_the_same_bytes(name: str, content: bytes) -> None:
    sealed = MINE.seal(name, content)
    assert content == MINE.open(name, sealed)
    assert sealed == Envelope(KEY, "local|c1").seal(name, content)


@given(objects_of_a_contact)
def test_no_two_objects_meet_one_nonce(found: list[tuple[str, bytes]]) -> None:
    assert len(found) == len({nonce(MINE.seal(name, content)) for name, content in found})


def test_end_of_a_name_is_not_the_beginning_of_content() -> None:
    assert nonce(MINE.seal("a", b"bc")) != nonce(MINE.seal("ab", b"c"))


@pytest.mark.parametrize(
    "other", [Envelope(bytes(32), "local|c1"), Envelope(KEY, "local|c2"), Envelope(KEY, "other|c1")]
)
def test_another_key_contact_or_tenant_opens_nothing(other: Envelope) -> None:
    with pytest.raises(RecordRefused):
        other.open("name", MINE.seal("name", b"audio"))


@given(st.integers(0, 33), st.integers(1, 255))
def test_changed_or_moved_object_is_refused(at: int, flip: int) -> None:
    sealed = bytearray(MINE.seal("name", b"audio"))
    with pytest.raises(RecordRefused):
        MINE.open("other", bytes(sealed))
    sealed[at] ^= flip
    with pytest.raises(RecordRefused):
        MINE.open("name", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(40), b"\x01" + bytes(12)])
def test_anything_else_is_refused(sealed: bytes) -> None:
    with pytest.raises(RecordRefused):
        MINE.open("name", sealed)
