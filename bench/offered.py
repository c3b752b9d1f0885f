"""An open-loop load and what comes out of it.

A record is due at a time that was fixed before the first was sent; it is sent then, whatever became of the ones before,
and its latency counts from then. So a pause of the generator, the broker or the worker is in the figures of every
record that it held up (coordinated omission is avoided). A record's timestamp is when it was due.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message, Producer, TopicPartition
from hdrh.histogram import HdrHistogram

from topics import clients

HIGHEST_US = 600_000_000
DIGITS = 3  # significant digits of a latency
_STEP_S = 0.02
_SILENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Due:
    """One record of a load."""

    at_s: float  # since the load's begin
    topic: str
    partition: int
    key: bytes
    value: bytes


def offer(producer: Producer, load: Iterable[Due], began_s: float) -> None:
    """Send each record when it is due.

    Args:
        producer: its queue is never full.
        load: in the order of time.
        began_s: the load's begin, in seconds since the epoch.
    """
    for due in load:
        at_s = began_s + due.at_s
        while (early_s := at_s - time.time()) > 0:
            producer.poll(0)
            time.sleep(min(early_s, _STEP_S))
        producer.produce(due.topic, due.value, due.key, due.partition, timestamp=round(at_s * 1_000))
    producer.flush(_SILENCE_S)


class Tail:
    """Reads topics of a few partitions from outside any group."""

    def __init__(self, bootstrap: str, topics: Sequence[str], partitions: int) -> None:
        """Connect; nothing is fetched before `records`."""
        self._consumer = clients.tail_consumer(bootstrap)
        self._places = [TopicPartition(topic, n) for topic in topics for n in range(partitions)]

    def counts(self) -> int:
        """How many records the topics hold; true where nobody writes in transactions."""
        return sum(self._consumer.get_watermark_offsets(place, timeout=_SILENCE_S)[1] for place in self._places)

    def wait(self, count: int, limit_s: float) -> bool:
        """Wait until the topics hold so many records; say whether they do."""
        until_s = time.monotonic() + limit_s
        while self.counts() < count:
            if time.monotonic() > until_s:
                return False
            time.sleep(_STEP_S)
        return True

    def records(self, take: Callable[[Message], None]) -> None:
        """Read what the topics hold at this time."""
        left = self.counts()
        self._consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in self._places])
        while left:
            messages = self._consumer.consume(min(left, 1_000), _SILENCE_S)
            if not messages:
                raise RuntimeError("the broker stopped answering")
            for message in messages:
                if clients.sound(message):
                    take(message)
                    left -= 1

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class Latencies:
    """A histogram of milliseconds, kept in microseconds with three significant digits."""

    def __init__(self) -> None:
        """Begin empty."""
        self._histogram = HdrHistogram(1, HIGHEST_US, DIGITS)

    def add(self, ms: float) -> None:
        """Count one record; the broker's clock has milliseconds, so a record may seem to be early."""
        self._histogram.record_value(min(max(round(ms * 1_000), 1), HIGHEST_US))

    def merge(self, other: "Latencies") -> None:
        """Count another's records too."""
        self._histogram.add(other._histogram)

    @property
    def count(self) -> int:
        """How many records were counted."""
        return int(self._histogram.get_total_count())

    def at(self, percentile: float) -> float | None:
        """Return a percentile in milliseconds; None where nothing was counted."""
        if not self.count:
            return None
        return float(round(self._histogram.get_value_at_percentile(percentile) / 1_000, 3))

    def row(self) -> Mapping[str, object]:
        """The usual percentiles, and the whole histogram in the form that HdrHistogram's tools read."""
        named = {f"p{percentile:g}_ms": self.at(percentile) for percentile in (50, 90, 99, 99.9)}
        return {**named, "max_ms": self.at(100), "samples": self.count, "hdr": self._histogram.encode().decode()}
