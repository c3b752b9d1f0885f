"""What goes into a task and what comes out: the words that `task.py` and the engines share."""

from dataclasses import dataclass, field

from pipeline.machine import Ask
from topics.records import Record


@dataclass(frozen=True, slots=True)
class Input:
    """One record read from a topic of this task's partition."""

    topic: str
    offset: int
    key: bytes
    record: Record
    cause_ms: int  # broker time of the record: latency figures, and how long a contact has been quiet


@dataclass(frozen=True, slots=True)
class Output:
    """One record to write."""

    topic: str
    key: bytes
    record: Record
    cause_ms: int


@dataclass(frozen=True, slots=True)
class Question:
    """An ask to start: the service's answer comes back through `Task.reply`."""

    stage: str
    key: bytes
    ask: Ask
    request: object
    cause_ms: int


@dataclass(slots=True)
class Effects:
    """What a step asks of the engine."""

    outputs: list[Output] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    withdrawn: list[tuple[str, bytes, str]] = field(default_factory=list)  # (stage, key, ask id) nobody waits for
    refusal: Exception | None = None  # the input belongs in the dead-letter topic
    is_follower: bool = False  # it is refused for what came before it


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Copies to write in one transaction: changelog rows and the offsets to resume from.

    Attributes:
        rows: (row, value) of what has changed; None deletes the row.
        offsets: by input topic.
        name: stands in a row and beside the offsets, so that a takeover can tell whether the two belong together.
    """

    rows: tuple[tuple[bytes, bytes | None], ...]
    offsets: dict[str, int]
    name: str
