"""Every metric a worker exposes, in one place. Labels are bounded: never a contact, never a word."""

import time
from collections.abc import Iterator
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from topics.records import Record, RedactedTurn, SegmentWords, SpeechMark

RECORDS_IN = Counter("trunkline_records_in", "Records read.", ["group", "topic"])
RECORDS_OUT = Counter("trunkline_records_out", "Records written.", ["group", "topic"])
RECORDS_DEAD = Counter("trunkline_records_dead", "Records sent to a dead-letter topic.", ["group", "topic"])
EGRESS_REFUSED = Counter(
    "trunkline_egress_refused", "Records that nothing proves to be redacted: not stored, shown or sent.", ["place"]
)
LATENCY = Histogram(
    "trunkline_latency_seconds",
    "From the broker time of the group's input record to the hand-over of the output to the producer.",
    ["group", "topic"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
TURN = Histogram(
    "trunkline_turn_seconds",
    "Where the time of a final turn went, as far as a process knows it: vad (audio record on Kafka to the closing"
    " mark), queue, provider, redaction (words on Kafka to the redacted turn), push (from there to the screens).",
    ["span"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
CHECKPOINT = Histogram(
    "trunkline_checkpoint_seconds",
    "From the copy of the states to the committed transaction.",
    ["group"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
CHECKPOINTS_REFUSED = Counter("trunkline_checkpoints_refused", "Checkpoints that were aborted and retried.", ["group"])
TAKEOVER = Histogram(
    "trunkline_takeover_seconds",
    "From the assignment of a partition to the release of its outputs.",
    ["group"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
QUESTIONS = Gauge("trunkline_open_questions", "Asks that wait for a service.", ["group"])
PARTITIONS = Gauge("trunkline_partitions", "Partitions this worker holds.", ["group"])
RECOGNISER_CONNECTIONS = Gauge("trunkline_recogniser_connections", "Open connections to a recogniser.", ["recogniser"])
RECOGNISER_FAILURES = Counter(
    "trunkline_recogniser_failures", "Connections that were not opened or have ended.", ["recogniser", "cause"]
)
RECOGNISER_REFUSED = Counter(
    "trunkline_recogniser_refused", "Questions that had no connection.", ["recogniser", "cause"]
)
RECOGNISER_FALLBACKS = Counter(
    "trunkline_recogniser_fallbacks", "Finals that the second recogniser answered for the first.", ["cause"]
)


class GroupMetrics:
    """The metrics of one group, with the label lookup done: it costs 1 us, several times a record."""

    def __init__(self, group: str) -> None:
        self.checkpoint = CHECKPOINT.labels(group)
        self.checkpoints_refused = CHECKPOINTS_REFUSED.labels(group)
        self.takeover = TAKEOVER.labels(group)
        self.questions = QUESTIONS.labels(group)
        self.partitions = PARTITIONS.labels(group)
        self.records_in = cache(lambda topic: RECORDS_IN.labels(group, topic))
        self.records_out = cache(lambda topic: RECORDS_OUT.labels(group, topic))
        self.records_dead = cache(lambda topic: RECORDS_DEAD.labels(group, topic))
        self.latency = cache(lambda topic: LATENCY.labels(group, topic))
        self.turn = cache(TURN.labels)

    def count_output(self, topic: str, record: Record, cause_ms: int) -> None:
        """Count a record that leaves, and the time since its cause (broker time; 0 where there was none)."""
        self.records_out(topic).inc()
        if cause_ms > 0:
            waited_s = max(time.time() - cause_ms / 1_000, 0.0)
            self.latency(topic).observe(waited_s)
            for span, spent_s in spans(record, waited_s):
                self.turn(span).observe(spent_s)


def spans(record: Record, waited_s: float) -> Iterator[tuple[str, float]]:
    """Name the spans of `pipeline/latency.py` that a worker knows when a record of a final turn leaves, in seconds.

    It knows neither the call's clock, for `detector` and `capture`, nor the rest that is `asr`: words that waited for
    an earlier segment's carry its cause. `assembly` is in `redaction`: both leave in one step.

    Args:
        record: what leaves.
        waited_s: since the broker's time of its cause.
    """
    match record:
        case SpeechMark() if record.end_sample is not None:
            yield "vad", waited_s
        case SegmentWords(is_final=True):
            yield "queue", record.queue_ms / 1_000
            yield "provider", record.provider_ms / 1_000
        case RedactedTurn(is_final=True, redaction_rev=0):
            yield "redaction", waited_s
