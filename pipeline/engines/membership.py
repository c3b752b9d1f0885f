"""Being a member of a group: to leave it at once, and to join again when it has left partitions without an owner.

A cooperative rebalance has two rounds. In the first a member gives partitions up, and it joins again so that the second
gives them to another. If it dies in between and comes back under its static id, the broker hands it what the first
round left it and sees no reason for a second: those partitions have no owner, in a group that calls itself stable,
until something else makes it rebalance (`bench crash`; Kafka 4.3, classic protocol). So the members look, and the one
with the fewest partitions leaves and joins again.
"""

import logging
import struct
import threading
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException

from topics import clients

LOOK_S = 1.0
STANDS_S = 3.0  # the second round comes when what was given up has its last checkpoint
REQUEST_S = 5.0
STABLE = "Stable"
LEAVE_POLL_S = 0.01

_log = logging.getLogger(__name__)

Place = tuple[str, int]


def leave(consumer: Consumer, limit_s: float) -> None:
    """Leave the group before closing: a static member that only closes is waited for until its session ends (6 s).

    The client says the word once its unassignment is done, some polls after `unsubscribe`, and then has no id.
    """
    consumer.unsubscribe()
    until_s = time.monotonic() + limit_s
    while consumer.memberid() and time.monotonic() < until_s:
        consumer.poll(LEAVE_POLL_S)


class Orphans:
    """Looks on a thread of its own for partitions that nobody owns."""

    def __init__(self, bootstrap: str, group: str, topics: Sequence[str], instance_id: str | None) -> None:
        """Prepare; `start` begins to look.

        Args:
            bootstrap: the broker's address.
            group: consumer group, prefix included.
            topics: what its members subscribe to.
            instance_id: this member's; None where there is nothing to look for, because it is no static member or
                the broker assigns (KIP-848).
        """
        self._group = group
        self._topics = topics
        self._instance_id = instance_id
        self._client = clients.admin(bootstrap)
        self._all: frozenset[Place] = frozenset()
        self._seen: Mapping[str, frozenset[Place]] = {}
        self._seen_s = 0.0
        self._is_called = threading.Event()
        self._is_stopping = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        if self._instance_id is None:
            return
        threading.Thread(target=self._work, name="orphans", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopping.set()

    def are_found(self) -> bool:
        """Say, once, that this member shall leave and join again."""
        is_called = self._is_called.is_set()
        self._is_called.clear()
        return is_called

    def _work(self) -> None:
        while not self._is_stopping.wait(LOOK_S):
            try:
                self._look()
            except KafkaException:  # what is not known cannot be mended; the consumer reports a broker that is away
                self._seen = {}
            except Exception as fault:  # noqa: BLE001 - the next look may succeed; without any, orphans would stay
                _log.error("partitions without an owner cannot be looked for", extra={"error": type(fault).__name__})
                self._seen = {}

    def _look(self) -> None:
        # Not `describe_consumer_groups`: librdkafka 2.16 aborts the process where its broker goes away meanwhile
        # (assertion in rd_kafka_enq_once_del_source_return, its issue 4605).
        answer = self._client.list_groups(self._group, timeout=REQUEST_S)
        if not answer:  # nobody has joined yet
            return
        found = answer[0]
        owners = {str(member.id): _assigned(member.assignment or b"") for member in found.members}
        orphans = self._places() - frozenset[Place]().union(*owners.values())
        if not orphans or found.state != STABLE or owners != self._seen:
            self._seen, self._seen_s = owners, time.monotonic()
        elif time.monotonic() - self._seen_s > STANDS_S:
            self._seen = {}
            if _instance_of(_chosen(owners)) == self._instance_id:
                _log.warning("nobody owns some partitions: joining again", extra={"partitions": len(orphans)})
                self._is_called.set()

    def _places(self) -> frozenset[Place]:
        """Return what is to be owned; keyed topics never change their number of partitions."""
        if not self._all:
            self._all = frozenset((topic, n) for topic in self._topics for n in self._partitions(topic))
        return self._all

    def _partitions(self, topic: str) -> Sequence[int]:
        told = self._client.list_topics(topic, timeout=REQUEST_S).topics[topic]
        if told.error is not None:
            raise KafkaException(told.error)
        return list(told.partitions)


def _assigned(assignment: bytes) -> frozenset[Place]:
    """Read the consumer protocol's assignment: version, then topics, each with its partitions; big-endian."""
    if not assignment:
        return frozenset()
    places: set[Place] = set()
    (topics,), at = struct.unpack_from(">i", assignment, 2), 6
    for _ in range(topics):
        (size,) = struct.unpack_from(">h", assignment, at)
        topic, at = assignment[at + 2 : at + 2 + size].decode(), at + 2 + size
        (count,) = struct.unpack_from(">i", assignment, at)
        places |= {(topic, n) for n in struct.unpack_from(f">{count}i", assignment, at + 4)}
        at += 4 + 4 * count
    return frozenset(places)


def _instance_of(member_id: str) -> str:
    """Return the static id: the broker puts it before a UUID."""
    return member_id[:-37]


def _chosen(owners: Mapping[str, frozenset[Place]]) -> str:
    return min(owners, key=lambda member: (len(owners[member]), member))
