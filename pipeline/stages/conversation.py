"""Fold what is told of a conversation into one record of it.

Owns which legs a conversation has, and who was on each and when. It leaves contact records to the store, where they
join as rows of their own: they come after the work after a call and again for 24 months, long after a conversation's
state has gone (`connectors/postgres_views.py`).

Feeds tell the same thing twice, late and in any order. So the state is a set of facts in which repetition changes
nothing and order does not count, and the record is made from the set alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import (
    SAMPLES_PER_MS,
    AgentStay,
    AudioCoverage,
    ContactEvent,
    Conversation,
    Hold,
    Leg,
    MediaStarted,
    Record,
)

LEGS_LIMIT = 40  # of a conversation; 300 B each
MOMENTS_LIMIT = 200  # of a conversation, the earliest; 60 B each
# Clocks of feeds that tell the same thing differ by less: a join without a name is the named one next to it.
SKEW_MS = 5_000


class Moment(NamedTuple):
    """Something that may happen to a leg more than once."""

    time_ms: int
    kind: str
    agent: str


class Told(NamedTuple):
    """A fact of which the latest counts."""

    time_ms: int
    value: str


class Heard(NamedTuple):
    """The newest word on a leg's audio; epoch milliseconds."""

    rev: int
    start_ms: int
    end_ms: int
    is_end: bool


@dataclass(slots=True)
class LegState:
    """One leg's facts."""

    previous: str = ""
    channel: str = ""
    queue: Told | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    media: Told | None = None
    heard: Heard | None = None
    moments: list[Moment] = field(default_factory=list)


@dataclass(slots=True)
class ConversationState:
    """What is known of a conversation.

    Attributes:
        root: id of the first leg; empty while only a stream has told of the conversation.
        legs: by contact id.
    """

    tenant: str = ""
    root: str = ""
    legs: dict[str, LegState] = field(default_factory=dict)


class Conversations(Machine[ConversationState]):
    """Keep one record of each conversation, and write it again when it says something else."""

    state = ConversationState
    drops_late = (ContactEvent, MediaStarted, AudioCoverage)  # the contact record says it too

    def on_record(self, state: ConversationState, record: Record) -> Sequence[Record]:
        """Return the conversation if this record changes it.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        if not isinstance(record, ContactEvent | MediaStarted | AudioCoverage):
            raise RecordRefused("conversation does not read this type")
        if record.contact_id not in state.legs and len(state.legs) >= LEGS_LIMIT:
            return ()
        before = _conversation(state)
        _fold(state, record)
        after = _conversation(state)
        return (after,) if after is not None and after != before else ()


def _fold(state: ConversationState, record: ContactEvent | MediaStarted | AudioCoverage) -> None:
    leg = state.legs.setdefault(record.contact_id, LegState())
    state.tenant = record.tenant
    match record:
        case ContactEvent():
            state.root = record.initial_contact_id or record.contact_id
            _fold_event(state, leg, record)
        case MediaStarted():
            state.root = record.initial_contact_id or record.contact_id
            told = Told(record.start_ms, record.stream)
            leg.media = told if leg.media is None else min(leg.media, told)
        case AudioCoverage():
            last = max(record.customer_sample, record.agent_sample)
            end_ms = record.start_ms + -(-last // SAMPLES_PER_MS)
            heard = Heard(record.rev, record.start_ms, end_ms, record.is_end)
            leg.heard = heard if leg.heard is None else max(leg.heard, heard)


def _fold_event(state: ConversationState, leg: LegState, event: ContactEvent) -> None:
    leg.previous = max(leg.previous, event.previous_contact_id)
    leg.channel = max(leg.channel, event.channel)
    if event.queue:
        told = Told(event.time_ms, event.queue)
        leg.queue = told if leg.queue is None else max(leg.queue, told)
    match event.kind:
        case "started":
            leg.started_ms = event.time_ms if leg.started_ms is None else min(leg.started_ms, event.time_ms)
        case "ended":
            leg.ended_ms = event.time_ms if leg.ended_ms is None else min(leg.ended_ms, event.time_ms)
        case _:
            moment = Moment(event.time_ms, event.kind, event.agent)
            if moment not in leg.moments:
                leg.moments = sorted([*leg.moments, moment])
                _forget_latest(state)


def _forget_latest(state: ConversationState) -> None:
    """Keep the earliest moments, whichever came first."""
    if sum(len(leg.moments) for leg in state.legs.values()) > MOMENTS_LIMIT:
        latest = max((leg.moments[-1], name) for name, leg in state.legs.items() if leg.moments)
        state.legs[latest[1]].moments.pop()


def _conversation(state: ConversationState) -> Conversation | None:
    if not state.root:
        return None
    legs = sorted((_leg(*known) for known in state.legs.items()), key=_order)
    return Conversation(state.tenant, state.root, tuple(legs))


def _leg(contact_id: str, leg: LegState) -> Leg:
    return Leg(
        contact_id=contact_id,
        previous_contact_id=leg.previous,
        channel=leg.channel,
        queue=leg.queue.value if leg.queue else "",
        stream=leg.media.value if leg.media else "",
        started_ms=leg.started_ms,
        queued_ms=next((one.time_ms for one in leg.moments if one.kind == "queued"), None),
        ended_ms=leg.ended_ms,
        media_ms=leg.media.time_ms if leg.media else None,
        audio_ms=leg.heard.start_ms if leg.heard else None,
        audio_end_ms=leg.heard.end_ms if leg.heard and leg.heard.is_end else None,
        agents=tuple(_stays(leg.moments)),
        holds=tuple(_holds(leg.moments)),
    )


def _order(leg: Leg) -> tuple[int, str]:
    times = (leg.started_ms, leg.media_ms, leg.queued_ms, leg.ended_ms)
    return next((time_ms for time_ms in times if time_ms is not None), 0), leg.contact_id


def _stays(moments: Iterable[Moment]) -> Iterator[AgentStay]:
    """Pair each join with the agent's next leave; a join without a name counts where no named one is near."""
    joins = [one for one in moments if one.kind == "agent_joined"]
    named = [one for one in joins if one.agent]
    for join in joins:
        if not join.agent and any(abs(one.time_ms - join.time_ms) <= SKEW_MS for one in named):
            continue
        yield AgentStay(join.agent, join.time_ms, _next(moments, "agent_left", join.time_ms, join.agent))


def _holds(moments: Iterable[Moment]) -> Iterator[Hold]:
    for began in moments:
        if began.kind == "hold_began":
            yield Hold(began.time_ms, _next(moments, "hold_ended", began.time_ms, began.agent))


def _next(moments: Iterable[Moment], kind: str, from_ms: int, agent: str) -> int | None:
    """Return when something first happens to an agent at a time or after it; moments are in order."""
    times = (one.time_ms for one in moments if one.kind == kind and one.agent == agent)
    return next((time_ms for time_ms in times if time_ms >= from_ms), None)
