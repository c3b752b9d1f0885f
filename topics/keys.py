"""Keys: which records share a partition, and which partition that is.

The key of every contact topic is `tenant|root`, so that all legs, both tracks, chat and contact records of one
conversation meet on one partition and every join is local.
"""

from pipeline.errors import RecordRefused

_LEG = b"\0"  # between the conversation's key and a later leg's id


def contact_key(tenant: str, root: str) -> bytes:
    """Return the key of one conversation.

    Args:
        tenant: customer of the contact centre platform; holds no `|`.
        root: InitialContactId, or ContactId where that is null.
    """
    return f"{tenant}|{root}".encode()


def parts_of(key: bytes) -> tuple[str, str]:
    """Return tenant and root of what `contact_key` returned.

    Raises:
        RecordRefused: it is no such key.
    """
    try:
        tenant, separator, root = key.decode().partition("|")
    except UnicodeDecodeError:
        raise RecordRefused("the record's key is no text") from None
    if not separator:
        raise RecordRefused("the record's key names no tenant")
    return tenant, root


def leg_key(key: bytes, contact_id: str) -> bytes:
    """Return what names one leg's state: the conversation's key for its first leg, and more for each later one."""
    own = contact_id.encode()
    return key if key.partition(b"|")[2] == own else key + _LEG + own


def conversation_of(leg: bytes) -> bytes:
    """Return the conversation's key of what `leg_key` returned."""
    return leg.partition(_LEG)[0]


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that every client must choose: murmur2, as Kafka's Java client does.

    librdkafka's default is another hash: 17 of 300 keys agreed. `clients.producer` sets `murmur2_random`.
    """
    return (_murmur2(key) & 0x7FFF_FFFF) % partitions


def _murmur2(data: bytes) -> int:
    """32-bit murmur2 with seed 0x9747b28c (org.apache.kafka.common.utils.Utils)."""
    m, mask = 0x5BD1_E995, 0xFFFF_FFFF
    h = 0x9747_B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
