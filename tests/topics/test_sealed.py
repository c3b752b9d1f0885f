"""A sealed value opens with its key, in its place, unchanged; and no nonce comes twice."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordRefused
from topics import codec
from topics.records import Watermark
from topics.sealed import ID_BYTES, KEY_BYTES, OpeningKey, SealingKey, key_id_of

PLAIN, ID = bytes(range(KEY_BYTES)), bytes(range(ID_BYTES))
PLACE = b"transcript.raw|acme|c"
HEAD = 1 + ID_BYTES


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_sealed_opens_in_its_place(content: bytes, place: bytes) -> None:
    sealed = SealingKey(ID, PLAIN).seal(place, content)
    assert ID == key_id_of(sealed)
    assert len(content) + 45 == len(sealed)
    assert content == OpeningKey(PLAIN).open(place, sealed)


@given(st.data())
def test_a_changed_byte_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(SealingKey(ID, PLAIN).seal(PLACE, b"four one one one"))
    sealed[data.draw(st.integers(HEAD, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordRefused):
        OpeningKey(PLAIN).open(PLACE, bytes(sealed))


@given(st.integers(0, 60))
def test_a_cut_value_is_refused(length: int) -> None:
    sealed = SealingKey(ID, PLAIN).seal(PLACE, b"four one one one")
    with pytest.raises(RecordRefused):
        OpeningKey(PLAIN).open(PLACE, sealed[:length])


def test_another_place_or_key_is_refused() -> None:
    sealed = SealingKey(ID, PLAIN).seal(PLACE, b"four")
    for key, place in ((PLAIN, PLACE + b"2"), (os.urandom(KEY_BYTES), PLACE)):
        with pytest.raises(RecordRefused):
            OpeningKey(key).open(place, sealed)


def test_threads_share_a_key_and_no_nonce_comes_twice() -> None:
    key = SealingKey(ID, PLAIN)
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda _: key.seal(PLACE, b"same"), range(4_000)))
    assert 4_000 == len({one[HEAD : HEAD + 12] for one in sealed})


def test_a_record_is_not_taken_for_a_sealed_value() -> None:
    assert key_id_of(codec.encode(Watermark("acme", "c", 0, 1, is_end=False))) is None
