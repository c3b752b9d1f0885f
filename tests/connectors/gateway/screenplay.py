"""Records of an invented call, and a gateway without Kafka that plays them, for all tests of the gateway."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp.test_utils import TestServer

from connectors.gateway.board import Board, Card, Shown
from connectors.gateway.hub import Hub
from connectors.gateway.server import Server
from pipeline.errors import PeerUnavailable
from topics.records import (
    SAMPLES_PER_MS,
    ContactEvent,
    Guidance,
    GuidanceFeedback,
    Hint,
    MediaStarted,
    Point,
    RedactedTurn,
    Speaker,
    Track,
    Turn,
    Watermark,
    Word,
    turn_id,
)

TENANT = "local"
CONTACT = "5f3a9c1e-demo"
KEY = b"local|5f3a9c1e-demo"
LOGGED_MS = 1_790_000_000_000


def started(contact_id: str = CONTACT, agent: str = "Daniel") -> ContactEvent:
    return ContactEvent(TENANT, contact_id, 0, "started", 0, agent)


def held(contact_id: str = CONTACT) -> ContactEvent:
    return ContactEvent(TENANT, contact_id, 0, "hold_began", 0, "Daniel", time_ms=1_790_000_000_000)


def media_started(contact_id: str = CONTACT) -> MediaStarted:
    return MediaStarted(TENANT, contact_id, "arn", 1_790_000_000_000, "1")


def ended(at_ms: int, contact_id: str = CONTACT) -> ContactEvent:
    return ContactEvent(TENANT, contact_id, 0, "ended", at_ms, "Daniel")


def turn(
    text: str,
    start_ms: int,
    *,
    rev: int = 1,
    speaker: Speaker = "customer",
    is_final: bool = True,
    contact_id: str = CONTACT,
) -> RedactedTurn:
    """A turn in which each word takes 300 ms."""
    track: Track = "agent" if speaker == "agent" else "customer"
    words = tuple(_word(word, start_ms + 300 * n) for n, word in enumerate(text.split()))
    first, end = start_ms * SAMPLES_PER_MS, (start_ms + 300 * len(words)) * SAMPLES_PER_MS
    name = turn_id(contact_id, track, first)
    return RedactedTurn(
        TENANT, contact_id, 0, name, 0, track, speaker, first, end, is_final, words, (), "scripted", 0.9, rev
    )


def raw_turn(text: str) -> Turn:
    """A turn before redaction, which no screen may show."""
    words = (Word(text, 0, 1_000),)
    is_final = True
    return Turn(TENANT, CONTACT, 0, "raw", "customer", "customer", 0, 8_000, is_final, words, "asr", None, 1)


def _word(text: str, start_ms: int) -> Word:
    return Word(text, start_ms, start_ms + 300)


def hint(name: str, at_ms: int, *, body: str = "", kind: str = "reminder", evidence: str = "") -> Hint:
    cited = (evidence,) if evidence else ()
    return Hint(f"{name}/{CONTACT}", kind, body or name, name, 1, cited, at_ms, at_ms + 8_000)


def guidance(cause_id: str, *hints: Hint, rev: int = 1, contact_id: str = CONTACT) -> Guidance:
    return Guidance(TENANT, contact_id, 0, cause_id, hints, rev)


def feedback(guidance_id: str, action: str = "accepted", contact_id: str = CONTACT) -> GuidanceFeedback:
    return GuidanceFeedback(
        TENANT, contact_id, guidance_id, "accepted" if action == "accepted" else "dismissed", "Daniel"
    )


def watermark(time_ms: int) -> Watermark:
    return Watermark(TENANT, CONTACT, 0, time_ms, is_end=False)


@dataclass(slots=True)
class Stage:
    """A gateway whose records come from a test.

    Attributes:
        saved: the feedback that Kafka would hold.
        is_kafka_away: makes feedback fail.
    """

    hub: Hub = field(default_factory=lambda: Hub(Board("epoch-1")))
    saved: list[Card] = field(default_factory=list)
    is_kafka_away: bool = False

    def play(self, *records: Shown) -> None:
        for record in records:
            self.hub.take(record, KEY, LOGGED_MS)

    async def send_feedback(self, card: Card) -> None:
        if self.is_kafka_away:
            raise PeerUnavailable("feedback was not acknowledged")
        self.saved.append(card)
        asyncio.get_running_loop().call_soon(self.play, card.feedback)


@dataclass(frozen=True, slots=True)
class Served:
    """A stage with the doors open."""

    stage: Stage
    server: Server
    url: str


@asynccontextmanager
async def serve(stage: Stage, port: int = 0) -> AsyncIterator[Served]:
    server = Server(stage.hub, stage.send_feedback, lambda: {"ready": not stage.hub.is_degraded})
    async with TestServer(server.application(), host="127.0.0.1", port=port) as listening:
        yield Served(stage, server, str(listening.make_url("/")))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the call below."""

    at_ms: int
    speaker: Speaker
    text: str
    card: Hint | None = None


def _line(at_ms: int, speaker: Speaker, text: str, *card: str) -> Line:
    if not card:
        return Line(at_ms, speaker, text)
    cause = turn(text, at_ms, speaker=speaker)
    policy, kind, body = card
    end_ms = cause.end_sample // SAMPLES_PER_MS
    called = hint(policy, end_ms, body=body, kind=kind, evidence=cause.turn_id)
    return Line(at_ms, speaker, text, called)


CALL: tuple[Line, ...] = (
    _line(
        1_000,
        "agent",
        "Thank you for calling customer support, my name is [NAME]. How can I help you?",
        "call-opening",
        "reminder",
        "Ask who is calling and say the name back once.",
    ),
    _line(6_200, "customer", "Hello, my name is [NAME]."),
    _line(
        8_800,
        "customer",
        "My internet has been down since Monday, and I pay forty nine dollars a month.",
        "service-care",
        "empathy",
        "Say that you understand how disruptive the outage is.",
    ),
    _line(12_100, "agent", "Oh no."),
    _line(14_600, "agent", "I am sorry to hear that. I understand how frustrating this is."),
    _line(
        18_900,
        "agent",
        "Can you read me your card number, please?",
        "card-handling",
        "compliance",
        "Do not repeat the card number aloud.",
    ),
    _line(21_900, "customer", "Yes. My card is [CREDITCARD]."),
    _line(25_200, "agent", "Okay, go ahead."),
    _line(26_500, "customer", "Then [CREDITCARD]."),
    _line(33_900, "agent", "Thank you. And what is your email address?"),
    _line(36_800, "customer", "It's [EMAIL]."),
    _line(41_000, "agent", "Thank you. I can see your order number five two six, from March third."),
    _line(
        46_400,
        "customer",
        "Yes. Honestly, this is the third time. I want to cancel my subscription.",
        "save-offer",
        "next_best_action",
        "Offer the loyalty discount: twenty percent for six months.",
    ),
    _line(
        52_000,
        "agent",
        "I understand. Before you go, I can offer you twenty percent off for the next six months.",
    ),
    _line(58_600, "customer", "Thirty nine dollars a month? Okay, that sounds fair. I will stay."),
    _line(63_900, "agent", "Great. I have added the discount, and a technician will visit you on Thursday."),
    _line(69_200, "customer", "Thank you so much for your help. Goodbye."),
    _line(72_000, "agent", "You are welcome. Have a nice day."),
)


def call(lines: Iterable[Line] = CALL) -> Iterator[Shown]:
    """Play lines as the pipeline would: growing partials, finals, cards after their turns."""
    rev = 0
    for line in lines:
        final = turn(line.text, line.at_ms, speaker=line.speaker)
        for words in range(3, len(final.words), 3):
            rev += 1
            yield partial(final, words, rev)
        rev += 1
        yield replace(final, rev=rev)
        if line.card is not None:
            yield guidance(final.turn_id, line.card, rev=rev)


def partial(final: RedactedTurn, words: int, rev: int) -> RedactedTurn:
    """What was heard of a turn after its first words."""
    heard = final.words[:words]
    end_sample = heard[-1].end_ms * SAMPLES_PER_MS
    return replace(final, words=heard, end_sample=end_sample, is_final=False, rev=rev, stable_words=max(0, words - 3))


def summary() -> Guidance:
    """The summary of the call above."""

    def point(text: str, *lines: int) -> Point:
        cited = [turn(CALL[n].text, CALL[n].at_ms, speaker=CALL[n].speaker) for n in lines]
        return Point(text, tuple(one.turn_id for one in cited))

    points = (
        point("The customer's internet has been down since Monday; it is the third outage.", 2, 12),
        point("They wanted to cancel and stay with twenty percent off for six months.", 12, 13, 14),
        point("A technician comes on Thursday.", 15),
    )
    said = Hint(f"summary/{CONTACT}", "summary", "", "", 0, (), 76_000, None, points)
    return guidance(f"{CONTACT}/summary", said)
