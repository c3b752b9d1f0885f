"""`trunkline topics`: what a broker lacks or has too much, down to whole generations, and the steps in between.

`decide` is pure: from the settings, the list of generations, the broker's topics and what goes on in each generation it
says what to do. `plan` gathers these facts and `apply` carries a plan out. Growth touches no topic that is there: more
partitions are another generation of topics, which contacts enter that start later, and a generation goes when nothing
is left to do in it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import msgspec
from confluent_kafka import Message, TopicPartition

from pipeline import app, environment, lag
from pipeline.engines.payloads import Payloads
from pipeline.engines.tables import read_whole
from pipeline.engines.task import NAME_ROW, OVER, SHUT
from pipeline.settings import Settings
from pipeline.topology import Stage, group_names, group_of
from topics import admin, codec, generations
from topics.admin import Found, Refusal, Row
from topics.catalogue import CATALOGUE, changelog
from topics.keys import conversation_of
from topics.records import ContactEvent, Generation

# A contact whose end never came counts as live for so long after its generation was closed: then no input holds a
# record of it any more.
ABANDONED_MS = max(topic.retention_ms for topic in CATALOGUE if topic.is_keyed)
_EVENTS = "contact.events"
# Readers without a group, such as the gateway, let a removed generation go at their next look.
_LET_GO_S = 2 * generations.LOOK_S


@dataclass(frozen=True, slots=True)
class Standing:
    """What goes on in one generation.

    Attributes:
        live: contacts that have begun and not ended.
        questions: that states leave open for a service.
        behind: by group, how many records of its inputs its last checkpoint lacks.
        begun: the groups that have ever committed here.
        heard_ms: broker time of the last event of a contact, ms since 1970; 0 for none.
    """

    live: int
    questions: int
    behind: Mapping[str, int]
    begun: frozenset[str]
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Removal:
    """One generation that goes, or whose removal was not finished."""

    generation: Generation
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """One generation that contacts no longer enter, and what keeps it."""

    generation: Generation
    live: int
    records: int
    questions: int
    rests_s: int

    def row(self) -> Row:
        """Return the object that `--json` prints."""
        return {
            "action": "drain",
            "generation": self.generation.number,
            "live_contacts": self.live,
            "records_behind": self.records,
            "open_questions": self.questions,
            "rests_s": self.rests_s,
        }

    def line(self) -> str:
        """Return the line for people."""
        held = f"{self.live} live contacts, {self.records} records behind, {self.questions} open questions"
        return f"= generation {self.generation.number} drains: {held}, rests for {self.rests_s} s"


@dataclass(frozen=True, slots=True)
class Growth:
    """What to do, in this order: topics, then the opening, then removals.

    Attributes:
        listed: the list that the plan was made from.
        topics: to create and alter in the living generations and in the one that opens; with every refusal.
        opens: the generation that opens, without its time.
        closes: the newest so far; its contacts finish there.
        removals: generations that go.
        drains: old generations that stay; no difference.
        live: by generation, how many contacts a change touches.
    """

    listed: tuple[Generation, ...]
    topics: admin.Plan
    opens: Generation | None
    closes: Generation
    removals: tuple[Removal, ...]
    drains: tuple[Drain, ...]
    live: Mapping[int, int]

    @property
    def is_empty(self) -> bool:
        """There is nothing to do and nothing to refuse."""
        return self.topics.is_empty and self.opens is None and not self.removals

    def rows(self) -> list[Row]:
        """Return one object a step, ready for `json.dumps`."""
        rows = self.topics.rows()
        if self.opens is not None:
            rows.append(
                {
                    "action": "open",
                    "generation": self.opens.number,
                    "partitions": self.opens.partitions,
                    "topics": self._made(self.opens),
                    "live_contacts": self.live[self.closes.number],
                }
            )
        for one in self.removals:
            number = one.generation.number
            rows.append({"action": "remove", "generation": number, "topics": len(one.topics), "live_contacts": 0})
        return rows + [one.row() for one in self.drains]

    def lines(self) -> list[str]:
        """Return one line a step for people: beside those of the topics, `>` open, `-` remove, `=` drain."""
        lines = self.topics.lines()
        if self.opens is not None:
            live = self.live[self.closes.number]
            lines.append(
                f"> generation {self.opens.number} opens: {self._made(self.opens)} topics of"
                f" {self.opens.partitions} partitions; {live} live contacts finish in generation {self.closes.number}"
            )
        elif self.topics.alters:
            live = sum(self.live.values())
            lines.append(f"  {live} live contacts are in the altered generations; none moves")
        for one in self.removals:
            lines.append(f"- generation {one.generation.number}: {len(one.topics)} topics, no live contact")
        return lines + [one.line() for one in self.drains]

    def _made(self, generation: Generation) -> int:
        return sum(topic.is_keyed and topic.partitions == generation.partitions for topic in self.topics.creates)


StandingOf = Callable[[Generation], Standing]


def decide(
    settings: Settings,
    listed: Sequence[Generation],
    found: Sequence[Found],
    standing_of: StandingOf,
    now_ms: int,
) -> Growth:
    """Say what to do.

    Args:
        settings: how many partitions there should be, and how long a generation rests.
        listed: the list of generations, removed ones too, by number.
        found: the broker's topics of the environment.
        standing_of: what goes on in a generation; asked only where something depends on it.
        now_ms: ms since 1970.
    """
    prefix = settings.topic_prefix
    living = _living(settings, listed, found)
    newest, opens = living[-1], _opening(settings, living[-1])
    leftover = [_removal(settings, one, found) for one in listed if one.removed_at_ms is not None]
    going = {name for one in leftover for name in one.topics}
    wanted = environment.declare(settings, (*living, opens) if opens else living)
    steps = admin.plan(wanted, [one for one in found if one.name not in going])
    refusals = (*steps.refusals, *_refusals(settings, newest, opens))
    if refusals:
        return Growth(tuple(listed), replace(steps, refusals=refusals), None, newest, (), (), {})
    removals, drains = _old(settings, living, found, standing_of, now_ms)
    touched = {generations.parts(one.topic.removeprefix(prefix))[0] for one in steps.alters}
    if opens:
        touched.add(newest.number)
    live = {one.number: standing_of(one).live for one in living if one.number in touched}
    removals = [one for one in leftover if one.topics] + removals
    return Growth(tuple(listed), steps, opens, newest, tuple(removals), drains, live)


def plan(settings: Settings) -> Growth:
    """Ask the broker and decide.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    found = admin.read(settings.kafka_bootstrap, settings.topic_prefix)
    listed = environment.generations_of(settings, found)
    names = {one.name for one in found}
    payloads = app.payloads(settings)

    @cache
    def standing_of(generation: Generation) -> Standing:
        own = environment.namespace(settings, generation)
        if own.topic_prefix + _EVENTS not in names:
            return Standing(0, 0, {}, frozenset(), 0)
        return standing(own, payloads)

    return decide(settings, listed, found, standing_of, _now_ms())


def apply(settings: Settings, growth: Growth) -> None:
    """Carry a plan out.

    Raises:
        InputError: the plan holds a refusal, or the list has been changed since; nothing that is there was touched.
        PeerUnavailable: the broker does not answer or refuses, or workers do not leave a removed generation.
    """
    bootstrap, prefix = settings.kafka_bootstrap, settings.topic_prefix
    admin.apply(bootstrap, growth.topics)
    now_ms = _now_ms()
    going = [one.generation for one in growth.removals]
    changes = [replace(one, removed_at_ms=now_ms) for one in going if one.removed_at_ms is None]
    if growth.opens is not None:
        opens_at_ms = max(now_ms + generations.OPENS_IN_MS, growth.closes.opens_at_ms + 1)
        changes += [] if growth.listed else [growth.closes]
        changes.append(replace(growth.opens, opens_at_ms=opens_at_ms))
    if changes:
        generations.write(bootstrap, prefix, growth.listed, changes)
    if growth.removals:
        time.sleep(_LET_GO_S)
    for one in growth.removals:
        own = generations.prefix_of(prefix, one.generation.number)
        admin.remove_generation(bootstrap, one.topics, [own + group for group in lag.inputs()])


def standing(own: Settings, payloads: Payloads) -> Standing:
    """Ask what goes on in one generation; `own` is its namespace, `payloads` opens the states.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    events = list(read_whole(own.kafka_bootstrap, _places(own, _EVENTS)))
    states: dict[tuple[str, bytes], bytes] = {}
    over: set[bytes] = set()
    for group in group_names():
        rows = _newest(payloads, group, read_whole(own.kafka_bootstrap, _places(own, changelog(group))))
        held = {place: value for place, value in rows.items() if place[0] != SHUT}
        shut = {key: msgspec.msgpack.decode(value)[0] for (stage, key), value in rows.items() if stage == SHUT}
        given_up = {conversation_of(key) for key, reason in shut.items() if reason == OVER}
        over |= given_up - {conversation_of(key) for _, key in held}
        states |= held
    behind, begun = lag.unread(own)
    return Standing(
        live=len(live_contacts(_events(events), {conversation_of(key) for _, key in states}, over)),
        questions=_questions(states),
        behind=behind,
        begun=begun,
        heard_ms=max((message.timestamp()[1] for message in events), default=0),
    )


def live_contacts(
    events: Iterable[tuple[bytes, ContactEvent]], known: Iterable[bytes], over: Iterable[bytes]
) -> set[bytes]:
    """Return the keys of the contacts that may yet bring records.

    A state row says that a contact is known, not that it is live: it stays for half an hour of the partition's own
    time, which stands still where no record flows.

    Args:
        events: of all contacts, each contact's in order.
        known: the contacts that have a state.
        over: those of which a stage group has given up a leg and holds no other.
    """
    # Who is known without any event is live. Not every source numbers legs, but each has a contact id of its own.
    legs: dict[bytes, set[tuple[str, int]]] = {key: {("", 0)} for key in known}
    begun: dict[bytes, set[tuple[str, int]]] = {}
    for key, event in events:
        if event.kind not in ("started", "ended"):
            continue
        open_legs = begun.setdefault(key, set())
        if event.kind == "started":
            open_legs.add((event.contact_id, event.leg))
        else:
            open_legs.discard((event.contact_id, event.leg))
    legs |= begun
    return {key for key, open_legs in legs.items() if open_legs} - set(over)


def _living(settings: Settings, listed: Sequence[Generation], found: Sequence[Found]) -> tuple[Generation, ...]:
    """Return the living generations; without a list, the first with the partitions that its topics have."""
    if listed:
        return environment.living_of(settings, listed)
    (first,) = environment.living_of(settings, ())
    names = {one.name for one in environment.declare(settings, (first,)) if one.is_keyed}
    counts = Counter(one.partitions for one in found if one.name in names)
    # The count of most topics is the generation's; a topic that differs has been altered by hand, which only adds.
    most = max(counts, key=lambda count: (counts[count], -count), default=settings.partitions)
    return (replace(first, partitions=most),)


def _opening(settings: Settings, newest: Generation) -> Generation | None:
    if settings.partitions <= newest.partitions:
        return None
    return Generation(newest.number + 1, settings.partitions, 0, None)


def _refusals(settings: Settings, newest: Generation, opens: Generation | None) -> list[Refusal]:
    lead = generations.prefix_of(settings.topic_prefix, newest.number) + _EVENTS
    if settings.partitions < newest.partitions:
        has = f"generation {newest.number} has {newest.partitions} partitions, {settings.partitions} are set"
        return [Refusal(lead, f"{has}; fewer would move contacts in mid-call, so a count only grows")]
    if opens is not None and settings.engine == "faust":
        return [Refusal(lead, f"{settings.partitions} partitions are set; the Faust engine has one generation")]
    return []


def _old(
    settings: Settings,
    living: Sequence[Generation],
    found: Sequence[Found],
    standing_of: StandingOf,
    now_ms: int,
) -> tuple[list[Removal], tuple[Drain, ...]]:
    """Part the generations that contacts no longer enter into those that go and those that stay."""
    removals, drains = [], []
    for one, successor in pairwise(living):
        drain = _drain(settings, one, standing_of(one), (successor.opens_at_ms, standing_of(living[-1])), now_ms)
        if drain.live or drain.records or drain.questions or drain.rests_s:
            drains.append(drain)
        else:
            removals.append(_removal(settings, one, found))
    return removals, tuple(drains)


def _drain(settings: Settings, one: Generation, own: Standing, after: tuple[int, Standing], now_ms: int) -> Drain:
    """Say what keeps a generation, given when the next one opened and what goes on in the newest."""
    closed_ms, newest = after
    quiet_ms = now_ms - max(closed_ms, own.heard_ms)
    is_abandoned = now_ms - closed_ms > ABANDONED_MS
    groups = own.begun | newest.begun  # a group that runs nowhere keeps nothing
    return Drain(
        one,
        live=0 if is_abandoned else own.live,
        records=sum(count for group, count in own.behind.items() if group in groups),
        questions=0 if is_abandoned else own.questions,
        rests_s=max(-(-(settings.generation_rest_s * 1_000 - quiet_ms) // 1_000), 0),
    )


def _removal(settings: Settings, one: Generation, found: Sequence[Found]) -> Removal:
    """Name the topics that go: ours alone, since others may stand under the same prefix."""
    own = {topic.name for topic in environment.declare(settings, (one,)) if topic.is_keyed}
    return Removal(one, tuple(topic.name for topic in found if topic.name in own))


def _places(own: Settings, topic: str) -> list[TopicPartition]:
    return [TopicPartition(own.topic_prefix + topic, n) for n in range(own.partitions)]


def _events(messages: Iterable[Message]) -> Iterable[tuple[bytes, ContactEvent]]:
    for message in messages:
        record = codec.decode(message.value() or b"")
        if isinstance(record, ContactEvent):
            yield message.key() or b"", record


def _newest(payloads: Payloads, group: str, messages: Iterable[Message]) -> dict[tuple[str, bytes], bytes]:
    """Return the newest value of each row of a changelog, by stage and contact."""
    sealed: dict[bytes, bytes] = {}
    for message in messages:
        row, value = message.key() or b"", message.value()
        if value is None:
            sealed.pop(row, None)
        elif row != NAME_ROW:
            sealed[row] = value
    rows = {}
    for row, value in payloads.open_rows(group, sealed).items():
        stage, _, key = row.partition(b"\0")
        rows[stage.decode(), key] = value
    return rows


def _questions(states: Mapping[tuple[str, bytes], bytes]) -> int:
    """Count what the states of asking stages leave open."""
    asking: dict[str, Stage] = {
        stage.name: stage for name in group_names() for stage in group_of(name).stages if stage.services
    }
    machines = {name: stage.machine() for name, stage in asking.items()}
    count = 0
    for (stage, _), value in states.items():
        if stage in machines:
            _, snapshot = msgspec.msgpack.decode(value, type=tuple[int, bytes])
            count += len(machines[stage].open_asks(machines[stage].restore(snapshot)))
    return count


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
