"""The contract of a stage.

A stage is a `Machine`: records and replies in, records out. It owns no I/O, clock, randomness or log; everything it
knows about a contact is in one state object that the engine keeps, snapshots and restores. Engines live in
`pipeline/engines/`; the rows that say which machine reads what are in `pipeline/topology.py`.

Laws that `tests/pipeline/test_machine_laws.py` holds every machine to:

- the same records give the same outputs, from any cut and restore, with any record delivered twice;
- a call that raises has not changed the state;
- the snapshot of a contact stays under 32 kB after three hours of talk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from topics.records import Record

STATE_LIMIT_BYTES = 32_000

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that a state leaves open for a service, which answers in its own time.

    Attributes:
        ask_id: unique within the contact's state; the same state names the same asks after a restore.
        service: the name in the stage row's `services`.
        is_standing: it waits for news of the world; no record is the cause of what the answer brings.
    """

    ask_id: str
    service: str
    is_standing: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A service's answer when it could not do it; the machine decides what follows."""

    reason: str  # static text, no payload


class Machine(Generic[S]):
    """One stage's logic over the state `S` of a contact.

    Subclasses override what they need; the defaults belong to a stage that asks nothing.
    """

    state: type[S]
    # Types of which a record says nothing new once the contact is over; one of any other type is dead-lettered.
    drops_late: tuple[type[Record], ...] = ()

    def on_record(self, state: S, record: Record) -> Sequence[Record]:
        """Advance one contact by one record and return what follows from it, oldest first.

        Args:
            state: everything this machine knows about the contact; changed in place.
            record: one of the record types of the row's input topics, or a `Watermark` of any of them.

        Raises:
            RecordRefused: the record breaks the promise of its schema; the state is unchanged.
        """
        raise NotImplementedError

    def anticipate(self, waiting: Sequence[tuple[S, Record]]) -> None:
        """Do for several contacts at once what `on_record` would do for each; the outcome stays the same.

        An engine may call it on another thread than the other methods, but never beside `on_record`.

        Args:
            waiting: states, and the record that each is given next.
        """

    def on_reply(self, state: S, ask: Ask, answer: object) -> Sequence[Record]:
        """Advance one contact by the answer to one of its open asks."""
        raise NotImplementedError

    def on_global(self, record: Record) -> None:
        """Take one record of a global table; called for the whole table before the first `on_record`."""
        raise NotImplementedError

    def open_asks(self, state: S) -> Sequence[Ask]:
        """Name the questions that this state leaves open; cheap, called after each step."""
        return ()

    def request(self, state: S, ask: Ask) -> object:
        """Build the payload for an open ask; called once, when the engine starts it."""
        raise NotImplementedError

    def replay_from_ms(self, state: S) -> int | None:
        """Say from which audio time this contact's input must be read again after a restore.

        Only a machine that keeps input outside its snapshot (PCM) returns a time; None means "from the snapshot".
        """
        return None

    def awaits(self, state: S) -> bool:
        """Say whether a person will still decide about the contact: it is not over before that, or for a long time."""
        return False

    def snapshot(self, state: S) -> bytes:
        """Encode the state; the engine writes it to the changelog."""
        return _ENCODER.encode(state)

    def restore(self, snapshot: bytes) -> S:
        """Decode what `snapshot` wrote."""
        return msgspec.msgpack.decode(snapshot, type=self.state, dec_hook=_decode_volatile)


class Volatile:
    """A part of a state that no snapshot keeps: it starts empty and is filled again by replayed input."""

    __slots__ = ()


def _encode_volatile(value: object) -> None:
    if not isinstance(value, Volatile):
        raise TypeError(f"a state may not hold {type(value).__name__}")


def _decode_volatile(kind: type, _: object) -> object:
    return kind()


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_volatile)
