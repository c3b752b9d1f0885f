"""A contact that waits for a reviewer, and a desk without Kafka, for all tests of the review."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp.test_utils import TestServer

from connectors.gateway.review.cases import Case, Cases
from connectors.gateway.review.desk import Desk
from connectors.gateway.review.people import Person
from connectors.gateway.review.routes import Routes
from connectors.gateway.server import PAGE, Server
from pipeline.errors import PeerUnavailable
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.screenplay import Stage
from tests.proven import GATE, proven
from topics.catalogue import topic_of
from topics.records import (
    AudioRedaction,
    AudioSpan,
    Record,
    RedactionVerification,
    Suspect,
    TextSpan,
    Turn,
)

Outcome = Literal["verified", "needs_review", "rejected"]


def person(name: str, *tenants: str, may_reveal: bool = False) -> Person:
    """Someone whose token is their name."""
    return Person(name, frozenset(tenants), may_reveal, hashlib.sha256(name.encode()).hexdigest())


MARIA = person("maria", play.TENANT, may_reveal=True)
JOHN = person("john", play.TENANT)
EVE = person("eve", "another", may_reveal=True)

ASKED = play.turn("Can you read me your card number, please?", 1_000, speaker="agent")
LEFT = play.turn("Yes my card is four one one one [CREDITCARD] thanks", 5_000)
BENIGN = play.turn("My order is five two six and brudro called", 12_000)
RAW_TEXT = "yes my card is four one one one four two four two thanks"
RAW = Turn(
    *(play.TENANT, play.CONTACT, 0, LEFT.turn_id, "customer", "customer", LEFT.first_sample, LEFT.end_sample, True),
    *(tuple(replace(LEFT.words[0], text=word) for word in RAW_TEXT.split()), "asr", None, 1),
)
SUSPECTED = TextSpan(6_200, 7_400, "CREDITCARD", ("customer",))
COVERED = AudioSpan("customer", 59_000, 62_000, "CREDITCARD")


def verdict(
    rev: int = 1, contact_id: str = play.CONTACT, tenant: str = play.TENANT, outcome: Outcome = "needs_review"
) -> RedactionVerification:
    """What verification says of the contact above."""
    suspects = (Suspect(LEFT.turn_id, (SUSPECTED,)),) if outcome == "needs_review" else ()
    return RedactionVerification(tenant, contact_id, 0, outcome, (), 3, 1, rev, suspects=suspects)


@dataclass(slots=True)
class Kafka:
    """What topics would hold.

    Attributes:
        records: that are there to be read.
        written: what the desk has written.
        is_away: nothing is taken.
        asked: the topics that the desk has read.
    """

    records: list[Record] = field(
        default_factory=lambda: [
            *(proven(turn) for turn in (BENIGN, ASKED, LEFT)),
            AudioRedaction(play.TENANT, play.CONTACT, 0, LEFT.turn_id, (COVERED,), 1),
            RAW,
        ]
    )
    written: list[Record] = field(default_factory=list)
    is_away: bool = False
    asked: list[str] = field(default_factory=list)
    cases: Cases = field(default_factory=Cases)

    def judge(self, *verdicts: RedactionVerification) -> None:
        for one in verdicts:
            self.cases.take(Case(one, play.KEY, 1, play.LOGGED_MS))

    def read(self, topics: Sequence[str], key: bytes, since_ms: int, generation: int) -> list[Record]:
        assert (play.KEY, 1) == (key, generation)
        self.asked += topics
        return [record for record in self.records if topic_of(record) in topics]

    async def write(self, record: Record, key: bytes, generation: int) -> None:
        assert (play.KEY, 1) == (key, generation)
        if self.is_away:
            raise PeerUnavailable("a record was not acknowledged")
        self.written.append(record)

    def desk(self) -> Desk:
        return Desk(self.read, GATE, self.cases, self.write)


@asynccontextmanager
async def serve(kafka: Kafka) -> AsyncIterator[str]:
    """Serve a gateway with a desk; yield its address."""
    stage = Stage()
    app = Server(stage.hub, stage.send_feedback, lambda: {"ready": True}).application()
    desk = kafka.desk()
    Routes(desk, (MARIA, JOHN, EVE), PAGE).add(app)
    try:
        async with TestServer(app, host="127.0.0.1") as listening:
            yield str(listening.make_url("/"))
    finally:
        desk.close()
