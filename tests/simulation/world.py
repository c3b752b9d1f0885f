"""A world in which everything may go wrong: groups over one log, and acts that move it on, disturb it or both.

An act is a name and a number. The number says which queue, worker, topic or answer is meant and how much of it, so a
list of acts is a schedule that can be drawn from a seed, searched by Hypothesis, shortened and written down.

What a worker writes is on its way for a while: it arrives in order for each topic and key and in any order otherwise,
and what has not arrived when its worker dies may be lost. A worker that was replaced may go on as a zombie.
"""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.engines.effects import Checkpoint
from pipeline.engines.memory import MemoryLog, MemoryWorker
from pipeline.errors import Fenced
from pipeline.topology import Group, Stage, group_names, group_of
from topics.records import Policy, Record

Answer = Callable[[object], object]
Services = Mapping[str, Answer]
Act = tuple[str, int]
Place = tuple[str, bytes]  # topic and key

T = TypeVar("T")

# How often each act is tried against the others.
WEIGHTS = {
    "send": 30,  # the next event of one queue
    "double": 3,  # one of the last six events again
    "restore": 25,  # an owner that has taken over reads its states
    "step": 60,  # an owner reads a record of one input
    "answer": 20,  # one of its questions is answered
    "arrive": 60,  # some of what it wrote reaches the log
    "copy": 12,  # it copies states and offsets for a checkpoint
    "commit": 25,  # the copies are written, if what they imply has arrived
    "refuse": 2,  # the transaction of the copies is aborted
    "crash": 2,  # another worker takes over; the old one is dead, or a zombie
    "revoke": 1,  # another worker takes over after a last checkpoint in order
    "haunt": 15,  # a zombie does something
    "bury": 2,  # a zombie is gone
}
LOOK_BACK = 6


@dataclass(frozen=True, slots=True)
class Event:
    """One record that comes from outside."""

    topic: str
    key: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class Script:
    """What happens, whatever the schedule.

    Attributes:
        stages: the rows that run.
        policies: the global table.
        events: in the order of the quiet run.
        services: makes what the stages ask; one set for each run.
    """

    stages: tuple[Stage, ...]
    policies: tuple[Policy, ...]
    events: tuple[Event, ...]
    services: Callable[[], Services] = dict


@dataclass(slots=True)
class Outcome:
    """What a run leaves, and what happened on the way."""

    log: MemoryLog
    services: Services
    counts: Counter[str] = field(default_factory=Counter)


class Draw:
    """A number as a source of choices."""

    def __init__(self, number: int) -> None:
        self._left = number

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of some options."""
        self._left, at = divmod(self._left, len(options))
        return options[at]

    def count(self, most: int) -> int:
        """Choose a number from 1 to `most`."""
        return 1 + self.pick(range(most))


class Owner:
    """A worker, what it wrote and has not arrived, and the checkpoint that it has copied but not committed."""

    def __init__(self, log: MemoryLog, group: Group) -> None:
        self._log = log
        self._under_way: dict[Place, deque[tuple[Record, int]]] = {}
        self._awaited: Counter[Place] = Counter()  # what must arrive before the copies may be committed
        self.worker = MemoryWorker(log, group, self._send)
        self.is_restored = False
        self.copied: Checkpoint | None = None

    @property
    def places(self) -> list[Place]:
        """Where something is under way."""
        return list(self._under_way)

    @property
    def inputs(self) -> list[str]:
        """The inputs on which something waits."""
        return [topic for topic in self.worker.group.inputs if self.worker.behind(topic)] if self.is_restored else []

    def restore(self) -> None:
        """Read the states back."""
        self.worker.restore()
        self.is_restored = True

    def copy(self) -> None:
        """Copy for a checkpoint, and note what has to arrive before it is committed."""
        self.copied = self.worker.checkpoint()
        self._awaited = Counter({place: len(queue) for place, queue in self._under_way.items()})

    def commit(self) -> bool:
        """Commit the copies if there are any and what they imply has arrived."""
        if self.copied is None or self._awaited:
            return False
        copied, self.copied = self.copied, None
        self.worker.commit(copied)
        return True

    def refuse(self) -> bool:
        """Abort the transaction; the rows belong to the next checkpoint."""
        if self.copied is None:
            return False
        self.worker.task.keep(self.copied)
        self.copied = None
        return True

    def arrive(self, place: Place, count: int) -> None:
        """Let what is oldest at one place reach the log."""
        queue = self._under_way[place]
        for _ in range(min(count, len(queue))):
            record, cause_ms = queue.popleft()
            self._log.append(*place, record, cause_ms)
        self._awaited -= Counter({place: count})
        if not queue:
            del self._under_way[place]

    def arrive_all(self) -> bool:
        """Let everything arrive; say whether there was anything."""
        places = self.places
        for place in places:
            self.arrive(place, len(self._under_way[place]))
        return bool(places)

    def _send(self, topic: str, key: bytes, record: Record, cause_ms: int) -> None:
        self._under_way.setdefault((topic, key), deque()).append((record, cause_ms))


class World:
    """See the module; `act` does what an act names where that is possible, and nothing where it is not."""

    def __init__(self, script: Script) -> None:
        self.outcome = Outcome(MemoryLog(), script.services())
        for policy in script.policies:
            self.outcome.log.append("policies", b"", policy)
        self._groups = {name: group_of(name, script.stages) for name in group_names(script.stages)}
        self._owners = {name: self._owner(name) for name in self._groups}
        self._zombies: list[Owner] = []
        self._sent: deque[Event] = deque(maxlen=LOOK_BACK)
        self._queues = _queues(script.events)
        self._acts = {name: getattr(self, f"_{name}") for name in WEIGHTS}

    @property
    def is_sent(self) -> bool:
        """Whether every event has been sent."""
        return not self._queues

    def act(self, act: Act) -> None:
        """Do one act."""
        name, number = act
        if self._acts[name](Draw(number)):
            self.outcome.counts[name] += 1

    def settle(self) -> None:
        """Let the owners do all there is to do, each thing once and at once; the zombies are gone."""
        draw = Draw(0)
        while self._queues:
            self._send(draw)
            self._rest(draw)
        self._rest(draw)

    def play(self, events: Iterable[Event]) -> None:
        """Process each event to the end before the next."""
        for event in events:
            self.outcome.log.append(event.topic, event.key, event.record)
            self._rest(Draw(0))

    def _rest(self, draw: Draw) -> None:
        while sum([self._advance(owner, draw) for owner in self._owners.values()]):
            pass

    def _advance(self, owner: Owner, draw: Draw) -> bool:
        if not owner.is_restored:
            owner.restore()
        return owner.arrive_all() or self._read(owner, draw) or self._reply(owner, draw)

    def _owner(self, name: str) -> Owner:
        return Owner(self.outcome.log, self._groups[name])

    def _pick(self, draw: Draw) -> Owner:
        return self._owners[draw.pick(list(self._owners))]

    def _send(self, draw: Draw) -> bool:
        if not self._queues:
            return False
        queue = draw.pick(self._queues)
        event = queue.popleft()
        if not queue:
            self._queues.remove(queue)
        self._sent.append(event)
        self.outcome.log.append(event.topic, event.key, event.record)
        return True

    def _double(self, draw: Draw) -> bool:
        if not self._sent:
            return False
        again = draw.pick(self._sent)
        self.outcome.log.append(again.topic, again.key, again.record)
        return True

    def _restore(self, draw: Draw) -> bool:
        waiting = [owner for owner in self._owners.values() if not owner.is_restored]
        if waiting:
            draw.pick(waiting).restore()
        return bool(waiting)

    def _step(self, draw: Draw) -> bool:
        return self._read(self._pick(draw), draw)

    def _answer(self, draw: Draw) -> bool:
        return self._reply(self._pick(draw), draw)

    def _arrive(self, draw: Draw) -> bool:
        owner = self._pick(draw)
        if owner.places:
            owner.arrive(draw.pick(owner.places), draw.count(4))
            return True
        return False

    def _copy(self, draw: Draw) -> bool:
        owner = self._pick(draw)
        if owner.copied is None and owner.is_restored:
            owner.copy()
        return owner.copied is not None

    def _commit(self, draw: Draw) -> bool:
        return self._pick(draw).commit()

    def _refuse(self, draw: Draw) -> bool:
        return self._pick(draw).refuse()

    def _crash(self, draw: Draw) -> bool:
        name = draw.pick(list(self._owners))
        owner = self._owners[name]
        self.outcome.counts["crashes between copy and commit"] += owner.copied is not None
        self.outcome.counts["crashes between epoch and restore"] += not owner.is_restored
        self.outcome.counts["crashes between restore and release"] += (
            owner.is_restored and not owner.worker.task.is_caught_up
        )
        self.outcome.counts["crashes with outputs under way"] += bool(owner.places)
        if draw.pick((True, False)):
            self._zombies.append(owner)
        else:
            for place in owner.places:
                owner.arrive(place, draw.pick(range(4)))
        self._owners[name] = self._owner(name)
        return True

    def _revoke(self, draw: Draw) -> bool:
        """Hand over in order: an open commit ends first, then comes the last checkpoint; either may be refused."""
        name = draw.pick(list(self._owners))
        owner = self._owners[name]
        owner.arrive_all()
        if draw.pick((True, True, False)):
            owner.commit()
        owner.refuse()
        if owner.is_restored and draw.pick((True, True, False)):
            owner.copy()
            owner.arrive_all()
            owner.commit()
        self._owners[name] = self._owner(name)
        return True

    def _haunt(self, draw: Draw) -> bool:
        """Let a worker that has been replaced go on; whatever would make it an owner again is refused."""
        if not self._zombies:
            return False
        zombie = draw.pick(self._zombies)
        match draw.pick(("read", "reply", "arrive", "own")):
            case "read":
                return self._read(zombie, draw)
            case "reply":
                return self._reply(zombie, draw)
            case "arrive" if zombie.places:
                zombie.arrive(draw.pick(zombie.places), draw.count(4))
                return True
            case "own":
                self._own_again(zombie)
                return True
        return False

    def _own_again(self, zombie: Owner) -> None:
        zombie.arrive_all()
        if zombie.is_restored and zombie.copied is None:
            zombie.copy()
        try:
            if not zombie.is_restored:
                zombie.restore()
            elif not zombie.commit():
                return
        except Fenced:
            self.outcome.counts["fenced"] += 1
        else:
            raise AssertionError("a zombie could own again")

    def _bury(self, draw: Draw) -> bool:
        if not self._zombies:
            return False
        self._zombies.remove(draw.pick(self._zombies))
        return True

    def _read(self, owner: Owner, draw: Draw) -> bool:
        waiting = owner.inputs
        if waiting:
            owner.worker.step(draw.pick(waiting))
        return bool(waiting)

    def _reply(self, owner: Owner, draw: Draw) -> bool:
        if not owner.worker.questions:
            return False
        question = draw.pick(owner.worker.questions)
        owner.worker.reply(question, self.outcome.services[question.ask.service](question.request))
        return True


def drawn(chance: random.Random) -> Act:
    """Draw one act."""
    (name,) = chance.choices(_NAMES, cum_weights=_CUMULATIVE)
    return name, chance.getrandbits(24)


def _queues(events: Iterable[Event]) -> list[deque[Event]]:
    """Keep the order of each topic and key."""
    queues: defaultdict[Place, deque[Event]] = defaultdict(deque)
    for event in events:
        queues[event.topic, event.key].append(event)
    return list(queues.values())


_NAMES = tuple(WEIGHTS)
_CUMULATIVE = [sum(list(WEIGHTS.values())[: n + 1]) for n in range(len(WEIGHTS))]
