"""The memory engine: every group in this process, over a log of Python lists, deterministic.

It is the model of the delivery guarantee (docs/decisions/0004-delivery.md) that `engines/kafka.py` follows, and it runs
`--engine memory`, the unit tests and the simulation. The log has one partition; a worker owns all of one group:

    take over   read the committed epoch E, commit E + 1 (compare and swap)
    restore     read states, ask again what they leave open, catch up, release
    step        feed one record of one input, append the outputs, start the asks
    checkpoint  copy states and offsets in one step; later commit them together if the epoch still stands
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.engines import services
from pipeline.engines.effects import Checkpoint, Effects, Input, Output, Question
from pipeline.engines.services import Service
from pipeline.engines.task import Task, spans
from pipeline.errors import Fenced
from pipeline.topology import STAGES, Group, Stage, group_names, group_of
from topics.records import Record

NEWER_OWNER = "a newer owner holds the group"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record in the log."""

    key: bytes
    record: Record
    written_ms: int
    cause_ms: int


@dataclass(slots=True)
class Committed:
    """What a group has committed: epoch, offsets and changelog move together."""

    epoch: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)


class MemoryLog:
    """Topics and committed positions; survives the workers, as a broker would."""

    def __init__(self, clock_ms: Callable[[], int] = lambda: 0) -> None:
        """Begin empty; `clock_ms` stamps entries for latency figures and is constant where those do not count."""
        self._clock_ms = clock_ms
        self.topics: defaultdict[str, list[Entry]] = defaultdict(list)
        self.groups: defaultdict[str, Committed] = defaultdict(Committed)
        self.on_append: Callable[[str, Record], None] = lambda _, __: None
        self.dead: list[tuple[str, int, str]] = []  # (topic, offset, error class)

    def append(self, topic: str, key: bytes, record: Record, cause_ms: int = 0) -> None:
        """Write one record to the end of a topic."""
        self.topics[topic].append(Entry(key, record, self._clock_ms(), cause_ms))
        self.on_append(topic, record)

    def commit(self, group: str, epoch: int, checkpoint: Checkpoint) -> None:
        """Move states and offsets together.

        Raises:
            Fenced: another owner has raised the epoch.
        """
        committed = self.groups[group]
        if committed.epoch != epoch:
            raise Fenced(NEWER_OWNER)
        for row, value in checkpoint.rows:
            if value is None:
                committed.rows.pop(row, None)
            else:
                committed.rows[row] = value
        committed.offsets = dict(checkpoint.offsets)


class MemoryWorker:
    """One owner of one group; a crash is forgetting the object."""

    def __init__(
        self, log: MemoryLog, group: Group, send: Callable[[str, bytes, Record, int], None] | None = None
    ) -> None:
        """Take the group over: raise its epoch; `restore` comes next.

        Args:
            log: what outlives the worker.
            group: the stages that run here.
            send: the way of outputs to the log, which they otherwise reach at once.
        """
        self._log = log
        self._send = send or log.append
        self.group = group
        committed = log.groups[group.name]
        committed.epoch += 1
        self.epoch = committed.epoch
        machines = {stage.name: stage.machine() for stage in group.stages}
        for stage in group.stages:
            for table in stage.tables:
                for entry in log.topics[table]:
                    machines[stage.name].on_global(entry.record)
        offsets = {topic: committed.offsets.get(topic, 0) for topic in group.inputs}
        self._ends = {topic: len(log.topics[topic]) for topic in group.inputs}
        self.task = Task(group, machines, self.epoch, offsets)
        self.questions: list[Question] = []

    def restore(self) -> None:
        """Read the states back and open their asks; `step` then catches up.

        Raises:
            Fenced: a newer owner holds the group; the rows may be its own.
        """
        committed = self._log.groups[self.group.name]
        if committed.epoch != self.epoch:
            raise Fenced(NEWER_OWNER)
        for row, value in committed.rows.items():
            self.task.restore(row, value)
        lead, again = self.group.inputs[0], spans(committed.rows)
        for offset in sorted({offset for first, last in again.values() for offset in range(first, last + 1)}):
            entry = self._log.topics[lead][offset]
            self._carry_out(self.task.hear_again(Input(lead, offset, entry.key, entry.record, entry.written_ms)))
        self._carry_out(self.task.resume())

    def behind(self, topic: str) -> int:
        """How many records of an input wait."""
        return len(self._log.topics[topic]) - self.task.positions[topic]

    def step(self, topic: str) -> None:
        """Feed the next record of one input."""
        offset = self.task.positions[topic]
        entry = self._log.topics[topic][offset]
        effects = self.task.feed(Input(topic, offset, entry.key, entry.record, entry.written_ms))
        if effects.refusal is not None:
            self._log.dead.append((topic, offset, type(effects.refusal).__name__))
        self._carry_out(effects)

    def reply(self, question: Question, answer: object) -> None:
        """Feed the answer to one of `questions`."""
        if question in self.questions:
            self.questions.remove(question)
            self._carry_out(self.task.reply(question.stage, question.key, question.ask, answer))

    def checkpoint(self) -> Checkpoint | None:
        """Copy states and offsets; None while catching up."""
        return self.task.checkpoint() if self.task.is_caught_up else None

    def commit(self, checkpoint: Checkpoint) -> None:
        """Write the copies.

        Raises:
            Fenced: this worker has been replaced; nothing was written.
        """
        self._log.commit(self.group.name, self.epoch, checkpoint)

    def _carry_out(self, effects: Effects) -> None:
        self._write(effects.outputs)
        gone = set(effects.withdrawn)
        self.questions = [q for q in self.questions if (q.stage, q.key, q.ask.ask_id) not in gone]
        self.questions += effects.questions
        if not self.task.is_caught_up and all(self.task.positions[topic] >= end for topic, end in self._ends.items()):
            self._write(self.task.release())

    def _write(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self._send(output.topic, output.key, output.record, output.cause_ms)


class MemoryEngine:
    """All groups over one log, stepped in row order until nothing is left to do."""

    def __init__(
        self, services: Mapping[str, Service], stages: tuple[Stage, ...] = STAGES, log: MemoryLog | None = None
    ) -> None:
        """Prepare; `start` takes the groups over once the global tables are in `log`."""
        self.log = log or MemoryLog()
        self._services = services
        self._stages = stages
        self._workers: list[MemoryWorker] = []
        self._answers: dict[asyncio.Task[None], tuple[MemoryWorker, Question]] = {}

    def start(self) -> None:
        """Take every group over."""
        self._workers = [MemoryWorker(self.log, group_of(name, self._stages)) for name in group_names(self._stages)]
        for worker in self._workers:
            worker.restore()

    async def settle(self) -> None:
        """Process every record and answer every question, one at a time: the outcome depends on nothing else."""
        while self._drain() or await self._answer_one():
            pass

    async def pump(self) -> None:
        """Process every record; questions are answered beside, as they would be live."""
        self._drain()
        for answer, (worker, question) in list(self._answers.items()):
            if answer.done() or question not in worker.questions:
                answer.cancel()  # it was withdrawn
                del self._answers[answer]
        asked = [question for _, question in self._answers.values()]
        for worker in self._workers:
            for question in worker.questions:
                if question not in asked:
                    answer = asyncio.create_task(self._answer_live(worker, question))
                    self._answers[answer] = worker, question

    async def finish(self) -> None:
        """Wait for the answers that `pump` has left open and process what they bring."""
        while self._answers:
            await asyncio.wait(self._answers, return_when=asyncio.FIRST_COMPLETED)
            await self.pump()

    def _drain(self) -> bool:
        moved = False
        while any(self._advance(worker) for worker in self._workers):
            moved = True
        return moved

    def _advance(self, worker: MemoryWorker) -> bool:
        for topic in reversed(worker.group.inputs):  # as at a takeover, what is told beside the lead topic comes first
            if worker.behind(topic):
                worker.step(topic)
                return True
        return False

    async def _answer_one(self) -> bool:
        for worker in self._workers:
            if worker.questions:
                question = worker.questions[0]
                worker.reply(question, await services.ask(self._services, question))
                return True
        return False

    async def _answer_live(self, worker: MemoryWorker, question: Question) -> None:
        answer = await services.ask(self._services, question)
        self._answers = {task: asked for task, asked in self._answers.items() if asked[1] is not question}
        worker.reply(question, answer)
        await self.pump()
