"""Every metric a worker exposes, in one place. Labels are bounded: never a contact, never a word."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

RECORDS_IN = Counter("trunkline_records_in", "Records read.", ["group", "topic"])
RECORDS_OUT = Counter("trunkline_records_out", "Records written.", ["group", "topic"])
RECORDS_DEAD = Counter("trunkline_records_dead", "Records sent to a dead-letter topic.", ["group", "topic"])
LATENCY = Histogram(
    "trunkline_latency_seconds",
    "From the broker time of the group's input record to the hand-over of the output to the producer.",
    ["group", "topic"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
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
