"""What reading a contact gives, put together as a user of it would, with the laws that always hold."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from botocore.credentials import Credentials

from connectors.kvs import service
from connectors.kvs.account import Account
from connectors.kvs.contact import Contact
from connectors.kvs.facts import Broken, Checkpoint, Ended, Fact, Piece, Retracted
from connectors.kvs.reading import Patience, Reading
from connectors.kvs_emulator import Server
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, STREAM
from topics.records import TRACKS, Track

T = TypeVar("T")

QUICK = Patience(idle_s=10, quiet_s=0.2, delays_s=(0, 0.01, 0.02), looks_s=(0.01, 0.01))
CALM = replace(QUICK, quiet_s=0.6)  # where a response may end cleanly in mid-call and the machine be busy


@dataclass
class Heard:
    """Both tracks so far, and the facts that came.

    Attributes:
        is_damaged: noise may stand beyond the end of a track, until it is overwritten.
    """

    tracks: dict[Track, bytearray] = field(default_factory=lambda: {track: bytearray() for track in TRACKS})
    facts: list[Fact] = field(default_factory=list)
    is_damaged: bool = False

    async def give(self, facts: Sequence[Fact]) -> None:
        self.take(facts)

    def take(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.facts.append(fact)
            if isinstance(fact, Piece):
                self._place(fact)
            elif isinstance(fact, Retracted):
                del self.tracks[fact.track][fact.first_sample * 2 :]
            elif isinstance(fact, Broken):
                self.is_damaged = True

    def _place(self, piece: Piece) -> None:
        into, at = self.tracks[piece.track], piece.first_sample * 2
        assert piece.pcm and len(piece.pcm) % 2 == 0
        # What is not late lies behind all that came: nothing is given twice.
        assert piece.is_late == (at < len(into)) or self.is_damaged
        into.extend(bytes(max(at - len(into), 0)))
        into[at : at + len(piece.pcm)] = piece.pcm

    @property
    def pcm(self) -> dict[Track, bytes]:
        return {track: bytes(pcm) for track, pcm in self.tracks.items()}

    def all(self, kind: type[T]) -> list[T]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def end(self) -> Ended:
        last = self.facts[-1]
        assert isinstance(last, Ended)
        return last


def account(url: str, *tokens: str) -> Account:
    """Return who asks; each load of the credentials finds the next token, and the last one again."""
    left: list[str | None] = [*tokens] or [None]
    return Account("us-east-1", url, lambda: Credentials("any", "any", left.pop(0) if len(left) > 1 else left[0]))


@asynccontextmanager
async def reading(
    server: Server,
    contact_id: str = CONTACT,
    start_ms: int = START_MS,
    patience: Patience = QUICK,
    checkpoint: Checkpoint | None = None,
    dead_s: float = 20,
) -> AsyncIterator[tuple[Reading, Heard]]:
    heard = Heard()
    async with service.session() as http:
        stream = service.Service(http, account(server.url), STREAM, dead_s)
        yield Reading(stream, Contact(contact_id, checkpoint), start_ms, heard.give, patience), heard


async def heard(
    server: Server,
    contact_id: str = CONTACT,
    start_ms: int = START_MS,
    patience: Patience = QUICK,
    checkpoint: Checkpoint | None = None,
    dead_s: float = 20,
) -> Heard:
    """Read a contact to its end."""
    async with reading(server, contact_id, start_ms, patience, checkpoint, dead_s) as (one, found):
        await one.run()
    return found
