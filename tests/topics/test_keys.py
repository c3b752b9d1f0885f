"""The partition of a key is the one that Kafka's Java client chooses."""

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from topics.keys import contact_key, conversation_of, leg_key, partition_of

pytestmark = pytest.mark.unit

SIGN_MASK = 0x7FFF_FFFF

# org.apache.kafka.common.utils.UtilsTest#testMurmur2, apache/kafka
JAVA_VECTORS = {
    b"21": -973_932_308,
    b"foobar": -790_332_482,
    b"a-little-bit-long-string": -985_981_536,
    b"a-little-bit-longer-string": -1_486_304_829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58_897_971,
    b"abc": 479_470_107,
}


@pytest.mark.parametrize(("key", "java_hash"), JAVA_VECTORS.items(), ids=lambda value: str(value)[:12])
def test_hash_is_javas(key: bytes, java_hash: int) -> None:
    assert java_hash & SIGN_MASK == partition_of(key, partitions=1 << 31)


@given(key=st.binary(max_size=70), partitions=st.integers(1, 1_000))
def test_partition_agrees_with_aiokafka(key: bytes, partitions: int) -> None:
    assert (murmur2(key) & SIGN_MASK) % partitions == partition_of(key, partitions)


def test_legs_of_a_conversation_share_a_key() -> None:
    assert b"acme|root-1" == contact_key("acme", "root-1")


def test_tenants_with_one_contact_id_are_apart() -> None:
    assert contact_key("acme", "root-1") != contact_key("other", "root-1")


def test_first_leg_goes_by_the_key_of_its_conversation_and_later_ones_by_more() -> None:
    key = contact_key("t", "root")
    assert key == leg_key(key, "root")
    assert key != leg_key(key, "later") != leg_key(key, "last")
    assert {key} == {conversation_of(leg_key(key, contact)) for contact in ("root", "later", "t|root")}
