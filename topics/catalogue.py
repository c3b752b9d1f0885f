"""Where records flow: one row a topic.

Changelogs and dead letters derive from these rows and from `pipeline.topology.STAGES`; `admin.py` compares them with
a broker. Names here carry no prefix: an environment or a single call puts its own before them, and a later generation
one more.
"""

from dataclasses import dataclass
from typing import Literal

from topics import records
from topics.records import Record

DataClass = Literal["restricted", "redacted", "control"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEFAULT_PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        name: `noun.plural`, without prefix.
        records: the types that flow on it; each type but `Watermark` flows on one topic alone.
        data: `restricted` holds what redaction has not seen; `redacted` may be stored and shown; `control` holds
            no speech.
        retention_ms: how long a record stays; of a compacted topic, 0 is for ever.
        producers: stages and connectors that write it.
        consumers: stages and connectors that read it.
        is_compacted: the newest record a key is kept.
        is_keyed: by contact, with the partition count that all contact topics share.
    """

    name: str
    records: tuple[type[Record], ...]
    data: DataClass
    retention_ms: int
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    is_compacted: bool = False
    is_keyed: bool = True


CATALOGUE: tuple[Topic, ...] = (
    Topic(
        "audio.frames",
        (records.AudioFrame, records.Watermark),
        "restricted",
        4 * HOUR_MS,
        producers=("files", "capture"),
        consumers=("vad", "asr", "archive"),
    ),
    Topic(
        "contact.events",
        (records.ContactEvent, records.MediaStarted),
        "control",
        7 * DAY_MS,
        producers=("files", "contact_events"),
        consumers=("capture", "transcript", "policy", "conversation", "gateway", "postgres"),
    ),
    Topic(
        "audio.coverage",
        (records.AudioCoverage,),
        "control",
        7 * DAY_MS,
        producers=("capture",),
        consumers=("transcript", "conversation", "postgres"),
    ),
    Topic(
        "contact.records",
        (records.ContactRecord,),
        "control",
        7 * DAY_MS,
        producers=("contact_events",),
        consumers=("postgres",),
    ),
    Topic(
        "conversations",
        (records.Conversation,),
        "control",
        7 * DAY_MS,
        producers=("conversation",),
        consumers=("postgres",),
    ),
    Topic(
        "speech.marks",
        (records.SpeechMark, records.KeyPress, records.Watermark),
        "control",
        DAY_MS,
        producers=("vad",),
        consumers=("asr",),
    ),
    Topic(
        "transcript.words",
        (records.SegmentWords, records.Watermark),
        "restricted",
        4 * HOUR_MS,
        producers=("asr",),
        consumers=("transcript",),
    ),
    Topic(
        "transcript.raw",
        (records.Turn, records.Watermark),
        "restricted",
        4 * HOUR_MS,
        producers=("transcript",),
        consumers=("redaction", "gateway"),
    ),
    Topic(
        "transcript.redacted",
        (records.RedactedTurn, records.Watermark),
        "redacted",
        7 * DAY_MS,
        producers=("redaction",),
        consumers=("policy", "summary", "verification", "gateway", "postgres"),
    ),
    Topic(
        "audio.redactions",
        (records.AudioRedaction, records.DecidedUntil),
        "control",
        7 * DAY_MS,
        producers=("redaction",),
        consumers=("archive", "verification", "gateway", "postgres"),
    ),
    Topic(
        "redaction.commands",
        (records.RedactionCommand,),
        "restricted",
        4 * HOUR_MS,
        producers=("verification",),
        consumers=("redaction",),
    ),
    Topic(
        "redaction.verifications",
        (records.RedactionVerification,),
        "control",
        7 * DAY_MS,
        producers=("verification",),
        consumers=("redaction", "archive", "gateway", "postgres"),
    ),
    Topic(
        "redaction.reviews",
        (records.ReviewDecision,),
        "redacted",
        DAY_MS,
        producers=("gateway",),
        consumers=("verification",),
    ),
    Topic(
        "audio.stored",
        (records.AudioStored,),
        "control",
        7 * DAY_MS,
        producers=("archive",),
        consumers=("verification", "postgres"),
    ),
    Topic(
        "policies",
        (records.Policy,),
        "control",
        0,
        producers=("policies",),
        consumers=("policy",),
        is_compacted=True,
        is_keyed=False,
    ),
    Topic(
        "moments",
        (records.Moments, records.Watermark),
        "redacted",
        7 * DAY_MS,
        producers=("policy",),
        consumers=("postgres",),
    ),
    Topic(
        "guidance.requests",
        (records.GuidanceRequest,),
        "redacted",
        DAY_MS,
        producers=("policy",),
        consumers=("inference",),
    ),
    Topic(
        "guidance.drafts",
        (records.GuidanceDraft,),
        "restricted",
        4 * HOUR_MS,
        producers=("inference", "summary"),
        consumers=("redaction",),
    ),
    Topic(
        "guidance",
        (records.Guidance,),
        "redacted",
        7 * DAY_MS,
        producers=("redaction",),
        consumers=("gateway", "redis", "postgres"),
    ),
    Topic(
        "redaction.receipts",
        (records.Receipt,),
        "control",
        7 * DAY_MS,
        producers=("redaction",),
        consumers=("audit",),
    ),
    Topic(
        "access.events",
        (records.AccessEvent,),
        "control",
        7 * DAY_MS,
        producers=("gateway",),
        consumers=("audit",),
    ),
    Topic(
        "guidance.feedback",
        (records.GuidanceFeedback,),
        "redacted",
        7 * DAY_MS,
        producers=("gateway",),
        consumers=("gateway", "postgres"),
    ),
)

# The list of generations: written by `trunkline topics apply`, read by supervisors, sources and the gateway. It carries
# nothing of a contact, so it is no part of the flow.
GENERATIONS = Topic(
    "generations", (records.Generation,), "control", 0, producers=(), consumers=(), is_compacted=True, is_keyed=False
)

# How far the feeds of other systems have been taken: written and read by `pipeline/engines/source.py`. No part of the
# flow either; what owns its one partition is the member that reads the feeds.
POSITIONS = Topic(
    "feed.positions",
    (records.FeedPosition,),
    "control",
    0,
    producers=(),
    consumers=(),
    is_compacted=True,
    is_keyed=False,
)

# What the values of restricted topics are sealed under: written and read by `pipeline/engines/subject_keys.py`. They
# outlive the data keys' use (8 h) and the dead letters (24 h) of what they have sealed.
SUBJECT_KEYS = Topic(
    "subject.keys",
    (records.SubjectKey,),
    "control",
    2 * DAY_MS,
    producers=(),
    consumers=(),
    is_compacted=True,
    is_keyed=False,
)

ALL: tuple[Topic, ...] = (*CATALOGUE, GENERATIONS, POSITIONS, SUBJECT_KEYS)
TOPICS: dict[str, Topic] = {topic.name: topic for topic in CATALOGUE}
RESTRICTED: frozenset[str] = frozenset(topic.name for topic in CATALOGUE if topic.data == "restricted")


def topic_of(record: Record) -> str:
    """Return the one topic that a record's type belongs to; `Watermark` flows on several and has none.

    Raises:
        KeyError: the type is a watermark or flows nowhere.
    """
    return _TOPIC_OF[type(record)]


_TOPIC_OF: dict[type[Record], str] = {
    kind: topic.name for topic in ALL for kind in topic.records if kind is not records.Watermark
}


def changelog(group: str) -> str:
    """Name the topic that keeps the states of a group."""
    return f"changelog.{group}"
