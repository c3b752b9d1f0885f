"""The contacts of one task: what is known of each, how long it has been quiet, and which are shut.

A contact is shut for ever when a record of it was refused (the later ones follow that record to the dead letters), or
when it is over: it has ended, or was abandoned, and then kept quiet for long. A shut contact that is over leaves a
marker of under 100 B until no input can bring a record of it any more.

Quiet is measured in the partition's own time: what passes between its records, of which a pause counts ten seconds at
most. So nobody seems quiet only because nothing flowed, and a restored task begins at zero.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.machine import Ask

STEP_LIMIT_MS = 10_000
# A live contact is heard of about once a second where its audio is (architecture section 4, "Time"): half an hour of
# silence is an end, and as long after an end no leg, revision or answer comes any more.
QUIET_MS = 30 * 60_000
# After so much silence a contact holds no takeover back; one pause that stands still for everybody is shorter.
STALLED_MS = 2 * STEP_LIMIT_MS
# Elsewhere nothing may be heard of a contact for as long as somebody waits in a queue, or for a call back.
SILENT_MS = 24 * 3_600_000
# A contact that a person has to decide about waits over a weekend.
REVIEW_MS = 72 * 3_600_000
# What still waits after its end, such as audio for its redactions, waits no longer than this; audio.frames keeps 4 h.
GIVE_UP_MS = 3 * 3_600_000


@dataclass(slots=True)
class Cell:
    """One stage's knowledge of one contact."""

    state: Any  # the machine's own state type
    rev: int = 0  # of the last record that it emitted


@dataclass(slots=True)
class Contact:
    """One contact.

    Attributes:
        cells: by stage.
        asks: open asks and their causes, by stage and ask id.
        audio: (offset, end ms) of audio records that may be needed again, oldest first.
        is_parked: nobody's takeover begins at this audio: its own is read again by itself.
        seen_ms: partition time of the last record.
        is_ended: an end of stream has passed.
        awaiting: the stages that wait for a person.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    asks: dict[str, dict[str, tuple[Ask, int]]] = field(default_factory=dict)
    audio: deque[tuple[int, int]] = field(default_factory=deque)
    is_parked: bool = False
    seen_ms: int = 0
    is_ended: bool = False
    awaiting: set[str] = field(default_factory=set)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer or replayed audio may still change it."""
        return bool(self.audio) or any(self.asks.values())


class Contacts:
    """The contacts of one task, least recently heard of first."""

    def __init__(self, silent_ms: int = QUIET_MS) -> None:
        """Begin without any; one that has not ended is over after `silent_ms` without a record."""
        self._silent_ms = silent_ms
        self._known: OrderedDict[bytes, Contact] = OrderedDict()
        self._replaying: dict[bytes, Contact] = {}
        self.shut: dict[bytes, tuple[str, int]] = {}  # key -> (reason, broker time)
        self._time_ms = 0
        self.broker_ms = 0  # of the newest record of the lead topic

    def __len__(self) -> int:
        return len(self._known)

    def items(self) -> Iterator[tuple[bytes, Contact]]:
        """Yield every known contact."""
        return iter(self._known.items())

    @property
    def replaying(self) -> Iterator[tuple[bytes, Contact]]:
        """The contacts that hold audio records."""
        return iter(self._replaying.items())

    def pass_time(self, broker_ms: int) -> None:
        """Take the broker time of a record of the lead topic."""
        if self.broker_ms:
            self._time_ms += min(max(broker_ms - self.broker_ms, 0), STEP_LIMIT_MS)
        self.broker_ms = max(self.broker_ms, broker_ms)

    def find(self, key: bytes) -> Contact | None:
        """Return a contact if it is known."""
        return self._known.get(key)

    def touch(self, key: bytes) -> Contact:
        """Return a contact that has just been heard of; a fresh one if it was not known."""
        contact = self._known.get(key)
        if contact is None:
            contact = self._known[key] = Contact()
        else:
            self._known.move_to_end(key)
        contact.seen_ms = self._time_ms
        return contact

    def keep_audio(self, key: bytes, contact: Contact, offset: int, end_ms: int) -> None:
        """Note an audio record that may be needed again, unless it is known already."""
        if not contact.audio or offset > contact.audio[-1][0]:
            contact.audio.append((offset, end_ms))
            self._replaying[key] = contact

    def is_stalled(self, contact: Contact) -> bool:
        """Whether nothing has come of a contact for longer than of a live one, and it has not ended."""
        return not contact.is_ended and self._time_ms - contact.seen_ms >= STALLED_MS

    def forget_audio(self) -> None:
        """Drop the contacts that hold no audio record any more from `replaying`."""
        for key in [key for key, contact in self._replaying.items() if not contact.audio]:
            del self._replaying[key]

    def shut_down(self, key: bytes, reason: str) -> None:
        """Let no further record of a contact in."""
        self.shut[key] = (reason, self.broker_ms)

    def drop(self, key: bytes) -> Contact:
        """Forget a contact."""
        self._replaying.pop(key, None)
        return self._known.pop(key)

    def over(self) -> list[bytes]:
        """Return the contacts that have been quiet for so long that they are over."""
        found = []
        for key, contact in self._known.items():
            quiet_ms = self._time_ms - contact.seen_ms
            if quiet_ms < QUIET_MS:
                break
            if quiet_ms >= self._patience_ms(contact):
                found.append(key)
        return found

    def _patience_ms(self, contact: Contact) -> int:
        """Return how long a contact may be quiet; what holds an offset back is never kept for a person's sake."""
        if contact.awaiting and not contact.is_waiting:
            return REVIEW_MS
        if not contact.is_ended:
            return self._silent_ms
        return GIVE_UP_MS if contact.is_waiting else QUIET_MS

    def outdated(self, retention_ms: int) -> list[bytes]:
        """Return the shut contacts of which no input holds a record any more."""
        return [key for key, (_, shut_ms) in self.shut.items() if self.broker_ms - shut_ms > retention_ms]
