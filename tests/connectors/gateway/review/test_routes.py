"""What a reviewer may do, over real sockets: who may is asked first, the log comes next, and only then is it done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from connectors.gateway.review import routes
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.review.reviewing import (
    ASKED,
    BENIGN,
    COVERED,
    LEFT,
    RAW,
    RAW_TEXT,
    Kafka,
    serve,
    verdict,
)
from tests.proven import proven
from topics.records import AccessEvent, Correction, ReviewDecision, TextSpan

pytestmark = pytest.mark.unit

WHY = "the customer disputes ticket 4711"
PATHS = ("queue", f"contact?id={play.CONTACT}")
POSTS = ("decision", "reveal")


@pytest.fixture
def kafka() -> Kafka:
    made = Kafka()
    made.judge(verdict())
    return made


class Reviewer:
    """A browser without a page."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(f"/review/{path}") as reply:
            assert "no-store" == reply.headers["Cache-Control"]
            return reply.status, await reply.json() if reply.content_type == "application/json" else None

    async def post(self, path: str, **said: object) -> tuple[int, Any]:
        async with self.http.post(f"/review/{path}", json=said) as reply:
            assert "no-store" == reply.headers["Cache-Control"]
            return reply.status, await reply.json() if reply.content_type == "application/json" else None

    async def decide(self, *marks: dict[str, object], decision: str = "approved", rev: int = 1) -> int:
        said = {"contact_id": play.CONTACT, "verdict_rev": rev, "decision": decision, "marks": marks}
        return (await self.post("decision", **said))[0]

    async def reveal(self, turn_id: str = LEFT.turn_id, reason: str = WHY) -> tuple[int, Any]:
        return await self.post("reveal", contact_id=play.CONTACT, turn_id=turn_id, reason=reason)


@asynccontextmanager
async def reviewer(kafka: Kafka, token: str | None = "maria") -> AsyncIterator[Reviewer]:
    jar = aiohttp.CookieJar(unsafe=True)  # of an address instead of a name
    async with serve(kafka) as url, aiohttp.ClientSession(url, cookie_jar=jar) as http:
        made = Reviewer(http)
        if token is not None:
            assert 200 == (await made.post("session", token=token))[0]
        yield made


def mark(first: int, last: int, kind: str = "NAME", turn_id: str = BENIGN.turn_id, rev: int = 0) -> dict[str, object]:
    return {"turn_id": turn_id, "redaction_rev": rev, "first": first, "last": last, "type": kind}


def logged(kafka: Kafka) -> list[tuple[str, str, str]]:
    return [(one.person, one.action, one.turn_id) for one in kafka.written if isinstance(one, AccessEvent)]


async def test_nobody_gets_in_without_a_token(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WRONG_TOKEN_S", 0.0)
    async with reviewer(kafka, None) as one:
        assert [401, 401] == [(await one.get(path))[0] for path in PATHS]
        assert [401, 401] == [(await one.post(path))[0] for path in POSTS]
        assert 401 == (await one.post("session", token="nobody"))[0]
        assert [401, 401] == [(await one.get(path))[0] for path in PATHS]
    assert [] == kafka.written


async def test_the_session_is_a_cookie_that_neither_scripts_nor_other_sites_can_use(kafka: Kafka) -> None:
    async with serve(kafka) as url, aiohttp.ClientSession(url) as http:
        async with http.post("/review/session", json={"token": "maria"}) as reply:
            said = reply.headers["Set-Cookie"]
        assert ["HttpOnly", "Path=/review", "SameSite=Strict"] == sorted(said.split("; ")[1:])
        headers = {"X-Forwarded-Proto": "https"}
        async with http.post("/review/session", json={"token": "maria"}, headers=headers) as reply:
            assert "Secure" in reply.headers["Set-Cookie"].split("; ")
        async with http.post("/review/session", json={"token": "maria"}, headers={"Origin": "http://evil"}) as reply:
            assert 403 == reply.status


@pytest.mark.parametrize("how", ["log out", "idle"])
async def test_a_session_ends(kafka: Kafka, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reviewer(kafka) as one:
        if how == "idle":
            monkeypatch.setattr(routes, "IDLE_S", -1.0)
            await one.post("session", token="maria")
        else:
            async with one.http.delete("/review/session") as reply:
                assert 200 == reply.status
        assert 401 == (await one.get("queue"))[0]


async def test_a_contact_is_shown_masked_with_what_is_suspected(kafka: Kafka) -> None:
    kafka.records.append(play.turn("unproven 4111", 20_000))
    async with reviewer(kafka) as one:
        _, found = await one.get(PATHS[1])
    turns = found["turns"]
    assert [ASKED.turn_id, LEFT.turn_id, BENIGN.turn_id] == [turn["turn_id"] for turn in turns]
    assert [[], [{"first": 4, "last": 7, "type": "CREDITCARD"}], []] == [turn["suspects"] for turn in turns]
    assert LEFT.text == " ".join(turns[1]["words"])
    assert "two" not in turns[1]["words"]


async def test_other_tenants_contacts_are_not_there(kafka: Kafka) -> None:
    async with reviewer(kafka, "eve") as eve:
        assert (200, []) == ((answer := await eve.get("queue"))[0], answer[1]["cases"])
        assert [404, 404, 404] == [(await eve.get(PATHS[1]))[0], await eve.decide(), (await eve.reveal())[0]]
    assert [] == kafka.written


async def test_an_approval_is_logged_and_handed_on(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        assert 202 == await one.decide()
    assert [
        AccessEvent(play.TENANT, play.CONTACT, "", "maria", "approved", ""),
        ReviewDecision(play.TENANT, play.CONTACT, 0, "maria", "approved", ()),
    ] == kafka.written


async def test_marked_words_become_masks_of_their_turns(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        assert 202 == await one.decide(mark(7, 7), mark(4, 8, "CREDITCARD", LEFT.turn_id))
    *_, decided = kafka.written
    benign = Correction(proven(BENIGN), (), (TextSpan(14_100, 14_400, "NAME", ("customer",)),))  # type: ignore[arg-type]
    left = Correction(proven(LEFT), (COVERED,), (TextSpan(6_200, 7_700, "CREDITCARD", ("customer",)),))  # type: ignore[arg-type]
    assert ReviewDecision(play.TENANT, play.CONTACT, 0, "maria", "approved", (benign, left)) == decided
    assert [("maria", "corrected", "")] == logged(kafka)


async def test_a_rejection_is_handed_on(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        assert 202 == await one.decide(decision="rejected")
    assert [("maria", "rejected", "")] == logged(kafka)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (mark(7, 7, rev=1), 409),
        (mark(7, 99), 409),
        (mark(8, 7), 409),
        (mark(-1, 0), 409),
        (mark(0, 0, turn_id="c/customer/9"), 409),
        (mark(0, 0, "SHOE"), 400),
        ({"turn_id": BENIGN.turn_id}, 400),
    ],
)
async def test_marks_that_fit_nothing_decide_nothing(kafka: Kafka, wrong: dict[str, object], status: int) -> None:
    async with reviewer(kafka) as one:
        assert status == await one.decide(wrong)
    assert [] == kafka.written


async def test_who_decides_after_another_is_told_so(kafka: Kafka) -> None:
    kafka.judge(verdict(rev=2))
    async with reviewer(kafka) as one:
        assert 409 == await one.decide(rev=1)
        kafka.judge(verdict(rev=3, outcome="rejected"))
        assert 409 == await one.decide(rev=3)
    assert [] == kafka.written


async def test_the_words_behind_a_turn_are_shown_once_the_log_has_who_and_why(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        assert (200, {"text": RAW_TEXT, "seconds": routes.SHOW_S}) == await one.reveal()
    assert [AccessEvent(play.TENANT, play.CONTACT, LEFT.turn_id, "maria", "revealed", WHY)] == kafka.written


async def test_without_the_log_nothing_is_shown_or_decided(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        kafka.is_away = True
        status, answer = await one.reveal()
        assert (503, {"reason"}) == (status, set(answer))
        assert 503 == await one.decide()
    assert ([], []) == (kafka.written, kafka.asked)


async def test_who_may_not_is_refused_and_logged(kafka: Kafka) -> None:
    async with reviewer(kafka, "john") as one:
        status, answer = await one.reveal()
        assert (403, {"reason"}) == (status, set(answer))
        assert not (await one.get(PATHS[1]))[1]["may_reveal"]
    assert [("john", "denied", LEFT.turn_id)] == logged(kafka)


@pytest.mark.parametrize("reason", ["", "because", " " * 30, "x" * 201, "his number is 4111 1111 1111 1111"])
async def test_a_reason_is_a_reason_and_no_number(kafka: Kafka, reason: str) -> None:
    async with reviewer(kafka) as one:
        assert 400 == (await one.reveal(reason=reason))[0]
    assert [] == kafka.written


async def test_a_turn_of_another_contact_is_not_shown(kafka: Kafka) -> None:
    async with reviewer(kafka) as one:
        assert 400 == (await one.reveal("another/customer/40000"))[0]


async def test_words_that_kafka_has_let_go_of_are_gone(kafka: Kafka) -> None:
    kafka.records.remove(RAW)
    async with reviewer(kafka) as one:
        assert 410 == (await one.reveal())[0]
    assert [("maria", "revealed", LEFT.turn_id)] == logged(kafka)


@pytest.mark.parametrize("body", [b"}{", b"[]", b'{"token": 7}', b'{"token": "maria", "more": 1}'])
async def test_what_is_not_understood_is_refused(kafka: Kafka, body: bytes) -> None:
    async with reviewer(kafka, None) as one:
        headers = {"Content-Type": "application/json"}
        async with one.http.post("/review/session", data=body, headers=headers) as reply:
            assert 400 == reply.status
        async with one.http.post("/review/session", data=b'{"token": "maria"}') as reply:
            assert 400 == reply.status


async def test_without_reviewers_there_is_no_such_page() -> None:
    async with play.serve(play.Stage()) as served, aiohttp.ClientSession(served.url) as http:
        for path in ("/review", "/review/queue"):
            async with http.get(path) as reply:
                assert 404 == reply.status
