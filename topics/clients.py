"""The one factory of Kafka clients: every setting that a promise of ours rests on stands here.

It owns settings, what a client's error means and the place of librdkafka's log lines; loops, retries and topics belong
to the callers.
Figures without a source here are from section 1 of `docs/architecture.md`.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from pipeline.errors import EngineFault, Fenced, PeerUnavailable, TrunklineError

Setting = str | int | float | bool | Callable[..., Any]  # librdkafka's callbacks have a signature each
T = TypeVar("T")
GroupProtocol = Literal["classic", "consumer"]

# What the codec lets through (1 MiB) and ample room for key, headers and batch; `admin.py` tells topics the
# same. The default of librdkafka, 1,000,000, is below Kafka's and below the codec's.
MESSAGE_LIMIT_BYTES = 2 << 20

LOST = "a committed position is outside its topic: records were lost to retention"
# What a consumer reports and cannot mend by going on.
_FINAL = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._FATAL,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}

# What a reader meets while a broker starts, a topic is young or an owner's transaction is being resolved.
_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}
# A dead owner's open transaction keeps its offsets unstable until the broker aborts it: `transaction.timeout.ms` (5 s)
# and the broker's look for such transactions (every 10 s by default).
PATIENCE_S = 30.0
_RETRY_S = 0.1
# What ends the wait of a consumer that gathers: a tenth of a second of audio of 160 calls.
GATHER_BYTES = 1 << 19
GATHERED_LINGER_MS = 5  # what was gathered leaves together: each request costs client and broker about 0.1 ms

# Without a handler, the `logging` module prints warnings raw to stderr.
_RDKAFKA_LOG = logging.getLogger("trunkline.kafka")
_RDKAFKA_LOG.addHandler(logging.NullHandler())
_log = logging.getLogger(__name__)  # ours; the one above is librdkafka's

_ANY_CLIENT: Mapping[str, Setting] = {
    "client.id": "trunkline",
    # librdkafka's default is 10 s, longer than a broker takes to restart.
    "reconnect.backoff.max.ms": 1_000,
    "socket.nagle.disable": True,
}
_PRODUCER: Mapping[str, Setting] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 1,
    "message.max.bytes": MESSAGE_LIMIT_BYTES,
    # The default of librdkafka is CRC32: 17 of 300 keys met the partition that the Java client chooses.
    "partitioner": "murmur2_random",
}
_TRANSACTIONAL: Mapping[str, Setting] = {
    # A commit takes 51 ms instead of 178.
    "retry.backoff.ms": 5,
    # How long a dead worker's open transaction may hold back readers: over before its session is (6 s), so that who
    # takes over waits for the session alone. With 10 s (KIP-447) two of four takeovers took 11 to 12 s.
    "transaction.timeout.ms": 5_000,
}
_CONSUMER: Mapping[str, Setting] = {
    # A lost position is said, never guessed.
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 100,
    "isolation.level": "read_committed",
}
# The classic protocol leaves these to the client, KIP-848 to the broker: librdkafka refuses them there.
_CLASSIC: Mapping[str, Setting] = {
    # Members hear of a rebalance with their next heartbeat, in each of its two rounds.
    "heartbeat.interval.ms": 300,
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 6_000,
}


def producer(bootstrap: str, **overrides: Setting) -> Producer:
    """Open an idempotent producer that agrees with `keys.partition_of`.

    Args:
        bootstrap: `host:port`, several separated by commas.
        overrides: settings by librdkafka's names; they win over ours.
    """
    return Producer(_settings(bootstrap, _PRODUCER, overrides), logger=_RDKAFKA_LOG)


def transactional_producer(bootstrap: str, transactional_id: str, **overrides: Setting) -> Producer:
    """Open the producer of checkpoints; its owner calls `init_transactions` before the first.

    Args:
        bootstrap: `host:port`, several separated by commas.
        transactional_id: the static member id, so that a restarted worker aborts its own open transaction.
        overrides: settings by librdkafka's names; they win over ours.
    """
    own: Mapping[str, Setting] = {"transactional.id": transactional_id}
    return Producer(_settings(bootstrap, _PRODUCER, _TRANSACTIONAL, own, overrides), logger=_RDKAFKA_LOG)


def consumer(
    bootstrap: str,
    group: str,
    *,
    instance_id: str | None = None,
    protocol: GroupProtocol = "classic",
    **overrides: Setting,
) -> Consumer:
    """Open a group's consumer that commits only when it is told to.

    Args:
        bootstrap: `host:port`, several separated by commas.
        group: consumer group, prefix included.
        instance_id: static member id `<host>-<group>-<n>`; a restart under it takes over in 0.36 s.
        protocol: `consumer` is KIP-848, which takes over a dead member in 7.6 s instead of 6.0 s.
        overrides: settings by librdkafka's names; they win over ours.
    """
    own: dict[str, Setting] = {"group.id": group, "group.protocol": protocol}
    if instance_id is not None:
        own["group.instance.id"] = instance_id
    spoken = _CLASSIC if protocol == "classic" else {}
    return Consumer(_settings(bootstrap, _CONSUMER, spoken, own, overrides), logger=_RDKAFKA_LOG)


def tail_consumer(bootstrap: str, **overrides: Setting) -> Consumer:
    """Open a consumer that assigns itself partitions: a reader of tables and changelogs, the gateway.

    It joins no group and commits nothing; librdkafka wants a group name all the same.
    """
    own: Mapping[str, Setting] = {"group.id": f"tail-{uuid4().hex}"}
    return Consumer(_settings(bootstrap, _CONSUMER, own, overrides), logger=_RDKAFKA_LOG)


def gathering(wait_ms: int) -> Mapping[str, Setting]:
    """Return the overrides of a consumer that the broker lets wait for more records; none for 0."""
    return {"fetch.wait.max.ms": wait_ms, "fetch.min.bytes": GATHER_BYTES} if wait_ms else {}


def lingering(wait_ms: int) -> Mapping[str, Setting]:
    """Return the overrides of a producer whose records come from a consumer that gathers for `wait_ms`."""
    return {"linger.ms": GATHERED_LINGER_MS} if wait_ms else {}


def admin(bootstrap: str, **overrides: Setting) -> AdminClient:
    """Open a client for topics, groups and offsets."""
    return AdminClient(_settings(bootstrap, overrides), logger=_RDKAFKA_LOG)


def _settings(bootstrap: str, *layers: Mapping[str, Setting]) -> dict[str, Any]:  # as confluent_kafka declares it
    settings: dict[str, Any] = {"bootstrap.servers": bootstrap, **_ANY_CLIENT}
    for layer in layers:
        settings |= layer
    return settings


def sound(message: Message) -> bool:
    """Say whether a polled message is a record; a passing error of the consumer is logged.

    Raises:
        EngineFault: see `fault`.
        Fenced: see `fault`.
        PeerUnavailable: see `fault`.
    """
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in _FINAL:
        raise fault(error)
    _log.warning("the consumer reported a passing error", extra={"error": error.name()})
    return False


def fault(error: KafkaError) -> TrunklineError:
    """Say what an error that a consumer cannot outlive means.

    Returns:
        `Fenced`, `EngineFault` where records were lost to retention, else `PeerUnavailable`.
    """
    if is_fenced(error):
        return Fenced("another process holds this member id")
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        return EngineFault(LOST)
    return PeerUnavailable(f"the consumer failed: {error.name()}")


def patiently(ask: Callable[[], T], limit_s: float = PATIENCE_S) -> T:
    """Ask again while the broker's trouble is of the passing kind.

    Raises:
        KafkaException: it is of another kind, or does not pass within `limit_s`.
    """
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as failure:
            if failure.args[0].code() not in _PASSING or time.monotonic() > deadline_s:
                raise
        time.sleep(_RETRY_S)


def is_fenced(error: KafkaError) -> bool:
    """Whether another process has taken this one's static member id.

    The consumer reports it as `_FATAL`, whose text alone names the cause (librdkafka 2.16).
    """
    if error.code() == KafkaError._FATAL:
        return "fenced" in error.str().lower()
    return error.code() == KafkaError.FENCED_INSTANCE_ID
