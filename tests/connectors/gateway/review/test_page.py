"""The reviewer's page in a real browser: what they see, can do by mouse and by keyboard, and see no longer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bench.browser import Browser, browser
from connectors.gateway.review import routes
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.review.reviewing import ASKED, BENIGN, LEFT, RAW_TEXT, Kafka, serve, verdict
from topics.records import AccessEvent, ReviewDecision

pytestmark = [pytest.mark.page, pytest.mark.asyncio(loop_scope="module")]

TEXT = "return document.querySelector(arguments[0])?.textContent"
SHOWS = "return document.querySelector(arguments[0])?.checkVisibility()"
WORD = f"[data-turn='{BENIGN.turn_id}'] .word:nth-of-type(8)"  # a name
RIGHT, SPACE, ENTER, TAB = "\ue014", " ", "\ue007", "\ue004"
WHY = "the customer disputes ticket 4711"


@dataclass(frozen=True, slots=True)
class Reviewing:
    """A desk with the doors open."""

    kafka: Kafka
    url: str


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def window() -> AsyncIterator[Browser]:
    async with browser() as window:
        yield window


@pytest_asyncio.fixture(loop_scope="module")
async def reviewing(window: Browser) -> AsyncIterator[Reviewing]:
    """A desk with one contact that waits; the console must stay clean but for what is refused on purpose."""
    kafka = Kafka()
    kafka.judge(verdict())
    async with serve(kafka) as url:
        await window.show(1280, 800)
        await window.complaints()
        yield Reviewing(kafka, url)
        complaints = await window.complaints()
        await window.open("about:blank")
        assert [] == [said for said in complaints if "the server responded with a status of" not in said]


async def log_in(window: Browser, reviewing: Reviewing, token: str = "maria") -> None:
    await window.open(f"{reviewing.url}review")
    await window.until("return !document.getElementById('login').hidden")
    await window.press("#token", token + ENTER)
    await window.until(SHOWS, ".case")


async def open_contact(window: Browser, reviewing: Reviewing, token: str = "maria") -> None:
    await log_in(window, reviewing, token)
    await window.click(".case")
    await window.until(SHOWS, ".word")


def decided(kafka: Kafka) -> list[ReviewDecision]:
    return [one for one in kafka.written if isinstance(one, ReviewDecision)]


async def until_decided(window: Browser) -> None:
    await window.until("return document.getElementById('marked').textContent.startsWith('Sent')")


async def test_nothing_is_seen_before_the_login_and_after_it(window: Browser, reviewing: Reviewing) -> None:
    await window.open(f"{reviewing.url}review")
    await window.until("return document.activeElement.id === 'token'")
    assert not await window.run(SHOWS, "#desk")
    await log_in(window, reviewing)
    assert "maria" == await window.run(TEXT, "#person")
    await window.click("#log-out")
    await window.until(SHOWS, "#login")
    assert not await window.run("return document.body.innerText.includes(arguments[0])", play.CONTACT)


async def test_wrong_token_is_said(window: Browser, reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WRONG_TOKEN_S", 0.0)
    await window.open(f"{reviewing.url}review")
    await window.until("return document.activeElement.id === 'token'")
    await window.press("#token", "nobody" + ENTER)
    await window.until("return document.getElementById('login-problem').textContent")
    assert "" == await window.run("return document.getElementById('token').value")


async def test_suspected_words_stand_out_and_have_the_focus(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    suspected = "return [...document.querySelectorAll('.suspect')].map(word => word.textContent)"
    assert ["four", "one", "one", "one"] == await window.run(suspected)
    assert "four" == await window.run("return document.activeElement.textContent")
    assert ["Card number 1"] == await window.run(
        "return [...document.querySelectorAll('.case .chip')].map(c => c.textContent)"
    )
    turns = "return [...document.querySelectorAll('.turn')].map(turn => turn.dataset.turn)"
    assert [ASKED.turn_id, LEFT.turn_id, BENIGN.turn_id] == await window.run(turns)


async def test_words_are_marked_by_mouse_and_become_masks(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    await window.click(".suspect")
    await window.click(WORD)
    assert "5 words marked" == await window.run(TEXT, "#marked")
    await window.click("#approve")
    await until_decided(window)
    (said,) = decided(reviewing.kafka)
    masks = {one.turn.turn_id: [(m.start_ms, m.end_ms, m.type) for m in one.masks] for one in said.corrections}
    assert {LEFT.turn_id: [(6_200, 7_400, "CREDITCARD")], BENIGN.turn_id: [(14_100, 14_400, "NAME")]} == masks


async def test_all_of_it_goes_by_keyboard(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    await window.press(".word[tabindex='0']", SPACE)
    await window.press(".word[tabindex='0']", RIGHT * 5 + ENTER)
    assert "5 words marked" == await window.run(TEXT, "#marked")
    assert "thanks" == await window.run("return document.activeElement.firstChild.textContent")
    assert "true" == await window.run("return document.activeElement.ariaChecked")
    await window.press(".word[tabindex='0']", SPACE)
    assert "4 words marked" == await window.run(TEXT, "#marked")
    await window.press("#approve", ENTER)
    await until_decided(window)
    assert 1 == len(decided(reviewing.kafka))


async def test_nothing_to_mask_is_an_approval_and_the_contact_leaves_the_queue(
    window: Browser, reviewing: Reviewing
) -> None:
    await open_contact(window, reviewing)
    assert "Nothing to mask: approve" == await window.run(TEXT, "#approve")
    await window.click("#approve")
    await until_decided(window)
    await window.click("#approve")  # twice is once
    assert [((), "approved")] == [(one.corrections, one.decision) for one in decided(reviewing.kafka)]
    reviewing.kafka.judge(verdict(rev=2, outcome="verified"))
    await window.until("return !document.querySelector('.case') && !document.querySelector('.word')")
    assert "Nothing waits for a person." == await window.run(TEXT, "#queue-empty")


async def test_rejection_is_asked_for_twice(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    await window.run("window.confirm = () => false")
    await window.click("#reject")
    await window.run("window.confirm = () => true")
    await window.click("#reject")
    await until_decided(window)
    assert ["rejected"] == [one.decision for one in decided(reviewing.kafka)]
    reviewing.kafka.judge(verdict(rev=2, outcome="rejected"))
    await window.until("return document.getElementById('decision').hidden")


async def test_decision_that_kafka_does_not_take_is_said_and_can_be_sent_again(
    window: Browser, reviewing: Reviewing
) -> None:
    await open_contact(window, reviewing)
    reviewing.kafka.is_away = True
    await window.click("#approve")
    assert "Not decided" in await window.until("return document.getElementById('problem').textContent")
    reviewing.kafka.is_away = False
    await window.click("#approve")
    await until_decided(window)


async def test_words_behind_a_turn_are_shown_for_their_time_alone(
    window: Browser, reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "SHOW_S", 2)
    await open_contact(window, reviewing)
    await ask_behind(window)
    assert RAW_TEXT in await window.until(TEXT, ".raw")
    seen = "return [location.href, JSON.stringify({...localStorage, ...sessionStorage}), document.cookie].join()"
    assert not [word for word in ("four", "4111") if word in await window.run(seen)]
    await window.until("return !document.querySelector('.raw')")
    assert not await window.run("return document.documentElement.outerHTML.includes(arguments[0])", RAW_TEXT)
    assert [WHY] == [one.reason for one in reviewing.kafka.written if isinstance(one, AccessEvent)]


async def test_who_looks_away_sees_them_no_more(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    await ask_behind(window)
    await window.until(TEXT, ".raw")
    await window.run(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')); delete document.hidden"
    )
    assert not await window.run("return document.documentElement.outerHTML.includes(arguments[0])", RAW_TEXT)


async def test_without_the_log_nothing_is_shown(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing)
    reviewing.kafka.is_away = True
    await ask_behind(window)
    assert "Not shown" in await window.until(TEXT, ".asking .problem:not(:empty)")
    assert not await window.run("return document.querySelector('.raw')")


async def test_who_may_not_is_not_offered_it(window: Browser, reviewing: Reviewing) -> None:
    await open_contact(window, reviewing, "john")
    assert not await window.run("return document.querySelector('.behind')")


async def ask_behind(window: Browser) -> None:
    await window.click(f"[data-turn='{LEFT.turn_id}'] .behind")
    await window.press(".asking input", WHY + ENTER)


@pytest.mark.parametrize("width", [320, 400, 721, 1280])
async def test_nothing_sticks_out(window: Browser, reviewing: Reviewing, width: int) -> None:
    long_word = play.turn("Donaudampfschifffahrt" * 10, 90_000)
    reviewing.kafka.records.append(long_word)
    await window.show(width, 760)
    await open_contact(window, reviewing)
    await window.click(f"[data-turn='{LEFT.turn_id}'] .behind")
    assert [] == await window.run(
        "return [document.documentElement, ...document.querySelectorAll('.scroll, .case, .words, .bar, .decision')]"
        ".filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.outerHTML)"
    )


CONTRAST = """
const lum = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = (node) => { for (let at = node; at; at = at.parentElement) {
  const c = getComputedStyle(at).backgroundColor; if (!/, 0\\)$/.test(c) && c !== 'transparent') return c; } };
return [...document.querySelectorAll(arguments[0])].filter((node) => node.checkVisibility()).map((node) => {
  const [a, b] = [lum(getComputedStyle(node).color), lum(ground(node))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), node.className || node.id]; }).filter(([ratio]) => ratio < 4.5)
"""
# WCAG 2.2, 1.4.3: 4.5:1


@pytest.mark.parametrize("is_dark", [False, True])
async def test_text_can_be_read(window: Browser, reviewing: Reviewing, is_dark: bool) -> None:
    await window.show(1280, 800, is_dark=is_dark)
    await open_contact(window, reviewing)
    await window.click(".suspect")
    await ask_behind(window)
    await window.until(TEXT, ".raw")
    parts = (
        ".word, .as-type, .behind, .raw, .raw small, .main, .bad, .plain, .about, .name, .marked, .as, .chip, .speaker"
    )
    assert [] == await window.run(CONTRAST, parts)
