"""The pipeline as data: one row a stage.

Engines, changelogs, dead letters, metrics, `trunkline explain` and the picture in the README derive from these rows.
Read a row, then the stage's file in `pipeline/stages/`, then `pipeline/engines/memory.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.machine import Machine
from pipeline.stages.archive import Archive
from pipeline.stages.asr import Asr
from pipeline.stages.capture import Capture
from pipeline.stages.conversation import Conversations
from pipeline.stages.inference import Inference
from pipeline.stages.policy import PolicyEngine
from pipeline.stages.redaction import Redactor
from pipeline.stages.summary import Summary
from pipeline.stages.transcript import Assembler
from pipeline.stages.vad import Vad
from pipeline.stages.verification import Verification
from topics.catalogue import RESTRICTED


@dataclass(frozen=True, slots=True)
class Stage:
    """One stateful step.

    Attributes:
        name: the stage's name in metrics, changelogs and dead letters.
        group: the Kafka consumer group it is deployed and scaled with.
        inputs: topics it reads; a group's first external input is its lead topic.
        outputs: topics it writes; its watermarks follow the first.
        machine: makes the stage's logic.
        services: what it asks; each is answered outside the machine, in the engine's process.
        tables: global tables, read whole before the first record.
        keyed_by: what has a state of its own: each leg, or all legs of a conversation together.
    """

    name: str
    group: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    machine: Callable[[], Machine[Any]]  # each machine has a state type of its own
    services: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    keyed_by: Literal["leg", "conversation"] = "leg"


STAGES: tuple[Stage, ...] = (
    Stage(
        "capture",
        "capture",
        ("contact.events",),
        ("audio.frames", "audio.coverage"),
        Capture,
        services=("kvs",),
        keyed_by="conversation",
    ),
    Stage("vad", "speech", ("audio.frames",), ("speech.marks",), Vad),
    Stage("asr", "speech", ("audio.frames", "speech.marks"), ("transcript.words",), Asr, services=("asr",)),
    Stage(
        "transcript",
        "language",
        ("transcript.words", "contact.events", "audio.coverage"),
        ("transcript.raw",),
        Assembler,
    ),
    Stage(
        "redaction",
        "language",
        ("transcript.raw", "guidance.drafts", "redaction.commands", "redaction.verifications"),
        ("transcript.redacted", "audio.redactions", "redaction.receipts", "guidance"),
        Redactor,
    ),
    Stage(
        "policy",
        "language",
        ("transcript.redacted", "contact.events"),
        ("moments", "guidance.requests"),
        PolicyEngine,
        tables=("policies",),
    ),
    Stage("inference", "language", ("guidance.requests",), ("guidance.drafts",), Inference),
    Stage("summary", "language", ("transcript.redacted",), ("guidance.drafts",), Summary),
    Stage(
        "verification",
        "verification",
        ("transcript.redacted", "audio.redactions", "audio.stored", "redaction.reviews"),
        ("redaction.commands", "redaction.verifications"),
        Verification,
        services=("playback",),
    ),
    Stage(
        "conversation",
        "contacts",
        ("contact.events", "audio.coverage"),
        ("conversations",),
        Conversations,
        keyed_by="conversation",
    ),
    Stage(
        "archive",
        "archive",
        ("audio.frames", "audio.redactions", "redaction.verifications"),
        ("audio.stored",),
        Archive,
        services=("objects",),
    ),
)


# How long a group's consumer may wait for more records. The voice detector judges a track in 35 us together with 31
# others and in 146 us alone: with 10 ms, 80 calls took a fifth more CPU and reached a streaming recogniser later
# (bench/results/profiles/asr.txt). Nobody waits for the archive.
GATHER_MS = {"speech": 20, "archive": 200, "verification": 200}


@dataclass(frozen=True, slots=True)
class Group:
    """The stages that share a process, and what reaches them from outside it.

    Attributes:
        name: the consumer group, without prefix.
        stages: in row order.
        inputs: topics that no stage of the group writes, the lead topic first.
        tables: global tables of its stages.
        services: what its stages ask.
        gather_ms: how long it may wait for more records; 0 where each is taken at once.
        keyed_by: as its stages are, all alike.
    """

    name: str
    stages: tuple[Stage, ...]
    inputs: tuple[str, ...]
    tables: tuple[str, ...]
    services: tuple[str, ...]
    gather_ms: int
    keyed_by: Literal["leg", "conversation"]

    @property
    def is_restricted(self) -> bool:
        """Whether it reads or writes what redaction has not seen, so that its states may hold it."""
        return any(topic in RESTRICTED for stage in self.stages for topic in (*stage.inputs, *stage.outputs))


def group_of(name: str, stages: tuple[Stage, ...] = STAGES) -> Group:
    """Gather one group's rows.

    Raises:
        KeyError: no row names the group.
    """
    rows = tuple(stage for stage in stages if stage.group == name)
    if not rows:
        raise KeyError(name)
    inside = {topic for stage in rows for topic in stage.outputs}
    return Group(
        name,
        rows,
        inputs=_unique(topic for stage in rows for topic in stage.inputs if topic not in inside),
        tables=_unique(topic for stage in rows for topic in stage.tables),
        services=_unique(service for stage in rows for service in stage.services),
        gather_ms=GATHER_MS.get(name, 0),
        keyed_by=rows[0].keyed_by,
    )


def group_names(stages: tuple[Stage, ...] = STAGES) -> tuple[str, ...]:
    """Name the groups in row order."""
    return _unique(stage.group for stage in stages)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
