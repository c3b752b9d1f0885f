"""What screens may know about live contacts: the newest record of each identity, as numbered frames.

Owns the fence (a later revision wins, an equal or lower one changes nothing, a partial never replaces a
final), the dense sequence number of each contact, and what a screen is told that resumes. It is pure: time is
Kafka's time of the record. Sockets belong to `hub.py` and `server.py`, topics to `feed.py`.

Everything is bounded: a contact keeps its last `RING_FRAMES` frames, `TURNS` turns, `CAUSES` guidance sets
and `CARDS` answers; the board keeps `CONTACTS` contacts. The figures are ours: a turn takes about 0.6 kB
here, so a contact of an hour (500 turns) takes 0.3 MB. A screen that resumes from before the ring gets a
snapshot.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from topics.generations import FIRST
from topics.records import (
    SAMPLES_PER_MS,
    ContactEvent,
    Guidance,
    GuidanceFeedback,
    Hint,
    RedactedTurn,
    Watermark,
)

Shown = RedactedTurn | Guidance | ContactEvent | GuidanceFeedback | Watermark
Action = Literal["accepted", "dismissed"]
Frame = dict[str, object]  # one JSON object on its way to a screen, never changed once made
Item = TypeVar("Item")

CONTACTS = 1_000
RING_FRAMES = 200
TURNS = 4_000
CAUSES = 1_000
CARDS = 1_000
LISTED_CONTACTS = 50
CLOCK_STEP_MS = 1_000  # of audio: how often screens are told the contact's time
KEEP_ENDED_MS = 3_600_000  # after the last record of a contact that ended
KEEP_SILENT_MS = 12 * 3_600_000  # of one that did not; longer than any call


@dataclass(frozen=True, slots=True)
class Card:
    """A hint on its way to becoming feedback: what the record about it needs."""

    key: bytes  # of the contact, as Kafka has it
    generation: int  # of the contact's topics
    feedback: GuidanceFeedback


@dataclass(slots=True)
class _Contact:
    """All that the board knows about one contact.

    A turn is kept as its frame, with its place in the order of revisions: its words take far more room.
    """

    key: bytes
    tenant: str
    contact_id: str
    first_logged_ms: int
    last_logged_ms: int
    seq: int
    generation: int = FIRST  # of its topics, once a record from Kafka has told it
    ring: deque[Frame] = field(default_factory=lambda: deque(maxlen=RING_FRAMES))
    turns: dict[str, tuple[tuple[bool, int], Frame]] = field(default_factory=dict)
    causes: dict[str, Guidance] = field(default_factory=dict)
    feedback: dict[str, Frame] = field(default_factory=dict)
    contact: Frame | None = None
    end: Frame | None = None
    time_ms: int = 0  # of audio: the latest that any record spoke of
    told_ms: int = 0  # the latest that screens were told

    @property
    def agent(self) -> str:
        return str(self.contact["agent"]) if self.contact else ""


class Board:
    """The state of every screen, with the frames that lead to it.

    Attributes:
        epoch: names this board; sequence numbers of another board mean nothing here.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._contacts: dict[str, _Contact] = {}
        self._newest_ms = 0  # the latest time of any record
        # Contacts start counting here: one that was dropped and comes back never counts lower than before.
        self._base_seq = 0

    def apply(self, record: Shown, key: bytes, logged_ms: int = 0, generation: int | None = None) -> tuple[Frame, ...]:
        """Take in one record.

        Args:
            record: anything that screens may know.
            key: Kafka's key of the record; the contact's first one is kept for feedback.
            logged_ms: Kafka's time of the record, ms since 1970; 0 where it is not known.
            generation: of the topic that it came from; None where it did not come from Kafka.

        Returns:
            What the contact's screens have to be told, oldest first; nothing if they would look the same.
        """
        contact = self._touch(record, key, logged_ms)
        contact.generation = generation or contact.generation
        body = _change(contact, record)
        frames: tuple[Frame, ...] = ()
        if body is not None:
            contact.seq += 1
            frames = ({"seq": contact.seq, **body},)
            contact.ring.extend(frames)
        contact.time_ms = max(contact.time_ms, _time_ms(record))
        if contact.time_ms - contact.told_ms < CLOCK_STEP_MS:
            return frames
        contact.told_ms = contact.time_ms
        return (*frames, _clock(contact))

    def since(self, contact_id: str, epoch: str | None, seq: int) -> tuple[Frame, ...]:
        """Return what a screen missed.

        Args:
            contact_id: the contact it shows; it may be one that nothing is known about.
            epoch: of the board that gave it `seq`; None on its first visit.
            seq: of the last frame it saw.

        Returns:
            The frames after `seq`, or a snapshot where they are not kept (any more); then the contact's time.
        """
        contact = self._contacts.get(contact_id)
        if contact is None:
            return (self._snapshot(None),)
        if epoch == self.epoch and contact.seq - len(contact.ring) <= seq <= contact.seq:
            missed = tuple(contact.ring)[len(contact.ring) - (contact.seq - seq) :]
            return (*missed, _clock(contact))
        return self._snapshot(contact), _clock(contact)

    def card(self, contact_id: str, guidance_id: str, action: Action) -> Card | None:
        """Return the feedback of one click; None if the card is not shown or has been answered."""
        contact = self._contacts.get(contact_id)
        if contact is None or guidance_id in contact.feedback or not _shows(contact, guidance_id):
            return None
        said = GuidanceFeedback(contact.tenant, contact_id, guidance_id, action, contact.agent)
        return Card(contact.key, contact.generation, said)

    def contacts(self) -> list[Frame]:
        """Return the newest contacts as JSON objects, newest first."""
        newest = sorted(self._contacts.values(), key=lambda c: c.first_logged_ms, reverse=True)
        return [_listing(contact) for contact in newest[:LISTED_CONTACTS]]

    def _touch(self, record: Shown, key: bytes, logged_ms: int) -> _Contact:
        self._newest_ms = max(self._newest_ms, logged_ms)
        at_ms = logged_ms or self._newest_ms
        contact = self._contacts.get(record.contact_id)
        if contact is None:
            self._drop_old()
            contact = _Contact(key, record.tenant, record.contact_id, at_ms, at_ms, self._base_seq)
            self._contacts[record.contact_id] = contact
        contact.first_logged_ms = min(contact.first_logged_ms, at_ms)
        contact.last_logged_ms = max(contact.last_logged_ms, at_ms)
        return contact

    def _drop_old(self) -> None:
        """Make room for one contact: drop all that are over, or else the one silent for longest."""
        for contact in [c for c in self._contacts.values() if self._is_over(c)]:
            self._drop(contact)
        if len(self._contacts) >= CONTACTS:
            self._drop(min(self._contacts.values(), key=lambda c: (c.end is None, c.last_logged_ms)))

    def _is_over(self, contact: _Contact) -> bool:
        keep_ms = KEEP_ENDED_MS if contact.end else KEEP_SILENT_MS
        return contact.last_logged_ms < self._newest_ms - keep_ms

    def _drop(self, contact: _Contact) -> None:
        self._base_seq = max(self._base_seq, contact.seq)
        del self._contacts[contact.contact_id]

    def _snapshot(self, contact: _Contact | None) -> Frame:
        head: Frame = {"type": "snapshot", "epoch": self.epoch}
        if contact is None:
            nothing: Frame = {"contact": None, "end": None, "turns": [], "guidance": [], "feedback": []}
            return head | nothing | {"seq": self._base_seq}
        return head | {
            "seq": contact.seq,
            "contact": contact.contact,
            "end": contact.end,
            "turns": [frame for _, frame in contact.turns.values()],
            "guidance": [_guidance(cause) for cause in contact.causes.values()],
            "feedback": list(contact.feedback.values()),
        }


def is_shown(record: Shown) -> bool:
    """Say whether a record can change a screen; holds, queues and agents' leavings do not."""
    return not isinstance(record, ContactEvent) or record.kind in ("started", "agent_joined", "ended")


def _change(contact: _Contact, record: Shown) -> Frame | None:
    """Let one record change a contact; return the frame's body if a screen would look different."""
    match record:
        case RedactedTurn():
            return _change_turn(contact, record)
        case Guidance():
            return _change_guidance(contact, record)
        case ContactEvent():
            return _change_contact(contact, record)
        case GuidanceFeedback():
            return _change_feedback(contact, record)
        case Watermark():
            return None


def _change_turn(contact: _Contact, turn: RedactedTurn) -> Frame | None:
    """A final beats every partial; among equals the later revision wins."""
    order = (turn.is_final, turn.rev)
    before = contact.turns.get(turn.turn_id)
    if before is not None and order <= before[0]:
        return None
    body: Frame = {
        "type": "turn",
        "turn_id": turn.turn_id,
        "rev": turn.rev,
        "redaction_rev": turn.redaction_rev,
        "track": turn.track,
        "speaker": turn.speaker,
        "start_ms": turn.first_sample // SAMPLES_PER_MS,
        "end_ms": turn.end_sample // SAMPLES_PER_MS,
        "text": turn.text,
        "stable": len(" ".join(word.text for word in turn.words[: turn.stable_words])),
        "gap": turn.gap,
        "is_backchannel": turn.is_backchannel,
        "is_final": turn.is_final,
    }
    _put(contact.turns, turn.turn_id, (order, body), TURNS)
    return None if before is not None and _looks(before[1]) == _looks(body) else body


def _change_guidance(contact: _Contact, guidance: Guidance) -> Frame | None:
    """A cause speaks with its whole set: what the set lacks is withdrawn."""
    before = contact.causes.get(guidance.cause_id)
    if before is not None and guidance.rev <= before.rev:
        return None
    _put(contact.causes, guidance.cause_id, guidance, CAUSES)
    shown = before.hints if before is not None else ()
    return None if shown == guidance.hints else _guidance(guidance)


def _change_contact(contact: _Contact, event: ContactEvent) -> Frame | None:
    """Each kind of event happens once; the first report stands, and the first that names the agent."""
    is_named = contact.contact is not None and contact.contact["agent"]
    if event.kind in ("started", "agent_joined") and (contact.contact is None or (event.agent and not is_named)):
        contact.contact = {"type": "contact", "agent": event.agent, "at_ms": event.at_ms}
        return contact.contact
    if event.kind == "ended" and contact.end is None:
        contact.end = {"type": "end", "at_ms": event.at_ms}
        return contact.end
    return None


def _change_feedback(contact: _Contact, feedback: GuidanceFeedback) -> Frame | None:
    """The first answer to a card stands; one partition holds them all, so all gateways see the same."""
    if feedback.guidance_id in contact.feedback:
        return None
    body: Frame = {
        "type": "feedback",
        "guidance_id": feedback.guidance_id,
        "action": feedback.action,
        "agent": feedback.agent,
    }
    _put(contact.feedback, feedback.guidance_id, body, CARDS)
    return body


def _guidance(guidance: Guidance) -> Frame:
    return {
        "type": "guidance",
        "cause_id": guidance.cause_id,
        "rev": guidance.rev,
        "hints": [_hint(hint) for hint in guidance.hints],
    }


def _hint(hint: Hint) -> Frame:
    return {
        "guidance_id": hint.guidance_id,
        "kind": hint.kind,
        "body": hint.body,
        "deadline_ms": hint.deadline_ms,
        "at_ms": hint.at_ms,
        "evidence": list(hint.evidence),
        "policy": hint.policy,
        "policy_version": hint.policy_version,
        "points": [{"text": point.text, "turn_ids": list(point.turn_ids)} for point in hint.points],
    }


def _looks(turn: Frame) -> Frame:
    """A turn without what no screen shows."""
    return turn | {"rev": 0, "redaction_rev": 0}


def _put(shelf: dict[str, Item], name: str, item: Item, limit: int) -> None:
    if name not in shelf and len(shelf) >= limit:
        del shelf[next(iter(shelf))]
    shelf[name] = item


def _shows(contact: _Contact, guidance_id: str) -> bool:
    return any(hint.guidance_id == guidance_id for cause in contact.causes.values() for hint in cause.hints)


def _time_ms(record: Shown) -> int:
    match record:
        case RedactedTurn():
            return record.end_sample // SAMPLES_PER_MS
        case Watermark():
            return record.time_ms
        case ContactEvent():
            return record.at_ms
        case Guidance() | GuidanceFeedback():
            return 0


def _clock(contact: _Contact) -> Frame:
    return {"type": "clock", "time_ms": contact.time_ms}


def _listing(contact: _Contact) -> Frame:
    return {
        "contact_id": contact.contact_id,
        "agent": contact.agent,
        "is_live": contact.end is None,
        "first_logged_ms": contact.first_logged_ms,
        "time_ms": contact.time_ms,
    }
