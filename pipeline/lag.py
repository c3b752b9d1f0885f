"""How far each group is behind, in every living generation of topics: records, seconds and the trend.

Seconds are exact, not interpolated: now minus the broker's time of the record at the committed offset. The lag of a
group that holds an offset back for replay (the speech group keeps the audio of open segments) includes that audio.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exports it without saying so
    AdminClient,
    OffsetSpec,
)
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline import environment
from pipeline.app import SINKS
from pipeline.errors import PeerUnavailable
from pipeline.settings import Settings
from pipeline.topology import group_names, group_of
from topics import clients

Trend = Literal["growing", "shrinking", "steady"]

_REQUEST_S = 10.0
_SAMPLE_S = 1.0
_FIRST, _END = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition of one group."""

    group: str
    topic: str
    partition: int
    records_behind: int
    seconds_behind: float
    trend: Trend

    def row(self) -> dict[str, object]:
        """Return the object that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Place:
    group: str
    topic: str
    partition: int


def inputs() -> dict[str, tuple[str, ...]]:
    """Name each group's input topics."""
    from connectors.audit import AuditSink
    from connectors.postgres import PostgresSink
    from connectors.redis import RedisGuidanceSink

    stored = dict(zip(SINKS, (PostgresSink.topics, RedisGuidanceSink.topics, AuditSink.topics), strict=True))
    return {name: group_of(name).inputs for name in group_names()} | stored


def sample(settings: Settings) -> list[Lag]:
    """Return every partition's lag, with the trend over one second.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    before = behind(settings)
    time.sleep(_SAMPLE_S)
    return measure(settings, before)


def measure(settings: Settings, before: dict[_Place, int]) -> list[Lag]:
    """Return every partition's lag, with the trend since `before`, an earlier answer of `behind`."""
    consumer = clients.tail_consumer(settings.kafka_bootstrap)
    try:
        return [
            Lag(
                place.group,
                place.topic,
                place.partition,
                end - committed,
                _age_s(consumer, settings, place, committed) if end > committed else 0.0,
                _trend(before.get(place), end - committed),
            )
            for place, committed, end in _everywhere(settings, consumer, inputs())
        ]
    except KafkaException as failure:
        raise PeerUnavailable(f"the broker does not answer: {failure.args[0].name()}") from None
    finally:
        consumer.close()


def behind(settings: Settings, groups: Iterable[str] | None = None) -> dict[_Place, int]:
    """Return how many records each partition of each group (or of those named) is behind."""
    wanted = {name: topics for name, topics in inputs().items() if groups is None or name in groups}
    consumer = clients.tail_consumer(settings.kafka_bootstrap)
    try:
        return {place: end - committed for place, committed, end in _everywhere(settings, consumer, wanted)}
    except KafkaException as failure:
        raise PeerUnavailable(f"the broker does not answer: {failure.args[0].name()}") from None
    finally:
        consumer.close()


def unread(own: Settings) -> tuple[dict[str, int], frozenset[str]]:
    """Return how many records each group is behind in one generation, and which groups have ever committed there.

    Args:
        own: the generation's namespace.
    """
    behind: dict[str, int] = dict.fromkeys(inputs(), 0)
    begun: set[str] = set()
    consumer = clients.tail_consumer(own.kafka_bootstrap)
    try:
        for place, committed, low, high in _positions(own, consumer, inputs()):
            behind[place.group] += high - max(committed, low)  # what retention has taken keeps nobody
            if committed >= 0:
                begun.add(place.group)
    except KafkaException as failure:
        raise PeerUnavailable(f"the broker does not answer: {failure.args[0].name()}") from None
    finally:
        consumer.close()
    return behind, frozenset(begun)


def _everywhere(
    settings: Settings, consumer: Consumer, groups: dict[str, tuple[str, ...]]
) -> Iterator[tuple[_Place, int, int]]:
    """Yield place, committed offset and end of each partition of every living generation."""
    for own in environment.namespaces(settings):
        inside = own.topic_prefix.removeprefix(settings.topic_prefix)
        for place, committed, low, high in _positions(own, consumer, groups):
            yield replace(place, topic=inside + place.topic), committed if committed >= 0 else low, high


def _positions(
    settings: Settings, consumer: Consumer, groups: dict[str, tuple[str, ...]]
) -> Iterator[tuple[_Place, int, int, int]]:
    """Yield place, committed offset (below 0 for none), beginning and end of each partition of one generation."""
    known = consumer.list_topics(timeout=_REQUEST_S).topics
    admin = clients.admin(settings.kafka_bootstrap)
    for group, topics in groups.items():
        partitions = [
            TopicPartition(settings.topic_prefix + topic, n)
            for topic in topics
            if settings.topic_prefix + topic in known
            for n in known[settings.topic_prefix + topic].partitions
        ]
        if not partitions:
            continue
        lows, highs = (_offsets(admin, partitions, spec) for spec in (_FIRST, _END))
        for one in _committed(settings, group, partitions):
            if one.error is not None:
                raise KafkaException(one.error)
            at = (one.topic, one.partition)
            place = _Place(group, one.topic.removeprefix(settings.topic_prefix), one.partition)
            yield place, one.offset, lows[at], highs[at]


def _committed(settings: Settings, group: str, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Ask as a consumer that joins nothing.

    Not by the admin client's `list_consumer_group_offsets`: librdkafka 2.16 aborts the process where the group's
    coordinator goes away meanwhile (its issue 4605).
    """
    # What a transaction has under way does not count: the request must not wait for its end.
    own: dict[str, str] = {"group.id": settings.topic_prefix + group, "isolation.level": "read_uncommitted"}
    consumer = clients.tail_consumer(settings.kafka_bootstrap, **own)
    try:
        return clients.patiently(lambda: consumer.committed(partitions, timeout=_REQUEST_S), _REQUEST_S)
    finally:
        consumer.close()


def _offsets(admin: AdminClient, partitions: Sequence[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    """Ask for one end of many partitions in one request."""

    def ask() -> dict[tuple[str, int], int]:
        answers = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=_REQUEST_S)
        return {(one.topic, one.partition): answer.result(_REQUEST_S).offset for one, answer in answers.items()}

    return clients.patiently(ask, _REQUEST_S)  # a topic that has just been made has no leader yet


def _age_s(consumer: Consumer, settings: Settings, place: _Place, offset: int) -> float:
    """Return the age of the record at an offset; 0 when it cannot be read in time."""
    consumer.assign([TopicPartition(settings.topic_prefix + place.topic, place.partition, offset)])
    message = consumer.poll(_REQUEST_S)
    if message is None or message.error() is not None:
        return 0.0
    return round(max(time.time() - message.timestamp()[1] / 1_000, 0.0), 3)


def _trend(before: int | None, now: int) -> Trend:
    if before is None or before == now:
        return "steady"
    return "growing" if now > before else "shrinking"


def total(lags: Sequence[Lag]) -> dict[tuple[str, str], tuple[int, float, Trend]]:
    """Add partitions up by group and topic: records, the oldest age, the trend of the largest."""
    added: dict[tuple[str, str], tuple[int, float, Trend]] = {}
    for lag in sorted(lags, key=lambda one: one.records_behind):
        records, seconds, _ = added.get((lag.group, lag.topic), (0, 0.0, "steady"))
        added[lag.group, lag.topic] = (records + lag.records_behind, max(seconds, lag.seconds_behind), lag.trend)
    return added


def show(settings: Settings, *, is_watched: bool, is_json: bool) -> None:
    """Print the lag once, or every two seconds."""
    if is_json:
        while True:
            for lag in sample(settings):
                print(json.dumps(lag.row()), flush=True)  # noqa: T201 - stdout is this command's product
            if not is_watched:
                return
    console = Console()
    if not is_watched:
        console.print(_table(sample(settings)))
        return
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            live.update(_table(sample(settings)))
            time.sleep(_SAMPLE_S)


def _table(lags: Sequence[Lag]) -> Table:
    table = Table()
    for name in ("group", "topic", "records behind", "seconds behind", "trend"):
        table.add_column(name, justify="right" if "behind" in name else "left")
    for (group, topic), (records, seconds, trend) in total(lags).items():
        table.add_row(group, topic, str(records), f"{seconds:.1f}", trend)
    return table
