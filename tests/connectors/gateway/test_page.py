"""The agent page in a real browser: what a person sees, can do, and never sees."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from bench.browser import Browser, browser
from connectors.gateway.board import Board, Frame, Shown
from connectors.gateway.hub import Hub
from tests.connectors.gateway import screenplay as play
from tests.connectors.gateway.screenplay import CALL, Served, Stage, serve
from topics.records import Guidance, Hint, Point

pytestmark = [pytest.mark.page, pytest.mark.asyncio(loop_scope="module")]

TURNS = "return [...document.querySelectorAll('.turn .words')].map(words => words.textContent)"
CARDS = "return [...document.querySelectorAll('.card .body')].map(body => body.textContent)"
LINK = "return document.getElementById('link').dataset.state === arguments[0]"
TURN_COUNT = "return document.querySelectorAll('.turn').length === arguments[0]"
CARD_COUNT = "return document.querySelectorAll('.card').length === arguments[0]"
ANSWERED = "return document.querySelector('.card')?.dataset.answer === arguments[0]"
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def window() -> AsyncIterator[Browser]:
    async with browser() as window:
        yield window


@pytest_asyncio.fixture(loop_scope="module")
async def served(window: Browser) -> AsyncIterator[Served]:
    """A gateway with one started contact; the console must stay clean, refused resources included."""
    stage = Stage()
    stage.play(play.started())
    async with serve(stage) as served:
        await window.show(1280, 800)
        await window.complaints()
        yield served
        await window.open("about:blank")
        assert [] == [said for said in await window.complaints() if "WebSocket" not in said]


async def watch(window: Browser, served: Served) -> None:
    await window.open(served.url)
    await window.until(LINK, "live")


async def test_transcript_grows_in_the_order_of_speech(window: Browser, served: Served) -> None:
    await watch(window, served)
    served.stage.play(play.turn("second words", 2_000, speaker="agent"))
    await window.until(TURN_COUNT, 1)
    served.stage.play(play.turn("first words", 0))
    await window.until(TURN_COUNT, 2)
    assert ["first words", "second words"] == await window.run(TURNS)
    assert "Daniel" == await window.run("return document.getElementById('agent').textContent")


async def test_final_takes_the_place_of_its_partial(window: Browser, served: Served) -> None:
    await watch(window, served)
    final = play.turn("My card is [CREDITCARD].", 0, rev=9)
    served.stage.play(play.partial(final, 2, 1))
    await window.until("return document.querySelector('.turn.partial .words')?.textContent === 'My card'")
    await window.run("window.row = document.querySelector('.turn')")
    served.stage.play(final)
    await window.until("return document.querySelector('.turn:not(.partial)') === window.row")
    assert ["My card is Card number."] == await window.run(TURNS)
    assert "CREDITCARD" == await window.run("return document.querySelector('.chip').dataset.type")


async def test_only_finals_are_read_out(window: Browser, served: Served) -> None:
    await watch(window, served)
    final = play.turn("hello there", 0, rev=2)
    said = "return document.getElementById('spoken-turns').textContent"
    served.stage.play(play.partial(final, 1, 1))
    await window.until(TURN_COUNT, 1)
    assert "" == await window.run(said)
    served.stage.play(final)
    assert "Customer: hello there" == await window.until(said)


async def test_turn_whose_speaker_is_told_later_changes_sides_and_is_not_read_out_again(
    window: Browser, served: Served
) -> None:
    await watch(window, served)
    told = play.turn("good morning", 0, speaker="agent", rev=2)
    served.stage.play(replace(told, speaker="system", rev=1))
    assert "System: good morning" == await window.until("return document.getElementById('spoken-turns').textContent")
    served.stage.play(told)
    await window.until("return document.querySelector('.turn.agent .speaker')?.textContent.startsWith('Agent')")
    assert ["good morning"] == await window.run(TURNS)
    assert "System: good morning" == await window.run("return document.getElementById('spoken-turns').textContent")


async def test_accepted_card_reaches_kafka_and_survives_a_reload(window: Browser, served: Served) -> None:
    card = play.hint("policy", 1_000, body="Offer the discount.")
    served.stage.play(play.guidance("cause", card))
    await watch(window, served)
    await window.until(CARD_COUNT, 1)
    await window.click(".accept")
    await window.until(ANSWERED, "accepted")
    assert [(play.KEY, play.feedback(card.guidance_id))] == [
        (saved.key, saved.feedback) for saved in served.stage.saved
    ]
    await watch(window, served)
    await window.until(ANSWERED, "accepted")


async def test_card_is_dismissed_by_keyboard(window: Browser, served: Served) -> None:
    served.stage.play(play.guidance("cause", play.hint("policy", 1_000)))
    await watch(window, served)
    await window.until(CARD_COUNT, 1)
    await window.press(".dismiss", "\ue007")
    await window.until(ANSWERED, "dismissed")
    assert await window.run("return document.activeElement.matches('.card')")


async def test_click_that_was_not_saved_can_be_made_again(window: Browser, served: Served) -> None:
    served.stage.play(play.guidance("cause", play.hint("policy", 1_000)))
    served.stage.is_kafka_away = True
    await watch(window, served)
    await window.until(CARD_COUNT, 1)
    await window.click(".accept")
    await window.until("return document.querySelector('.answer')?.textContent === 'Not saved. Try again.'")
    served.stage.is_kafka_away = False
    await window.click(".accept")
    await window.until(ANSWERED, "accepted")


async def test_withdrawn_card_disappears(window: Browser, served: Served) -> None:
    hints = [play.hint(name, 1_000) for name in ("kept", "withdrawn")]
    served.stage.play(play.guidance("cause", *hints, rev=1))
    await watch(window, served)
    await window.until(CARD_COUNT, 2)
    served.stage.play(play.guidance("cause", hints[0], rev=2))
    await window.until(CARD_COUNT, 1)
    assert ["kept"] == await window.run(CARDS)
    await window.until("return document.getElementById('open-cards').textContent === '1 open'")


async def test_deadline_runs_down_in_the_time_of_the_call(window: Browser, served: Served) -> None:
    served.stage.play(play.guidance("cause", play.hint("policy", 1_000)), play.watermark(2_000))
    await watch(window, served)
    await window.until("return /^[67] s left$/.test(document.querySelector('.left')?.textContent)")
    served.stage.play(play.watermark(9_000))
    await window.until("return document.querySelector('.card')?.classList.contains('past')")


async def test_evidence_lifts_its_turn_out(window: Browser, served: Served) -> None:
    cause = play.turn("I want to cancel", 0)
    served.stage.play(cause, play.turn("other words", 4_000))
    served.stage.play(play.guidance("cause", play.hint("policy", 1_000, evidence=cause.turn_id)))
    await watch(window, served)
    await window.until(CARD_COUNT, 1)
    assert "I want to cancel" == await window.run("return document.querySelector('.quote').textContent")
    await window.run("document.querySelector('.evidence').focus()")
    marked = "return [...document.querySelectorAll('.marked .words')].map(words => words.textContent)"
    assert ["I want to cancel"] == await window.run(marked)
    await window.run("document.activeElement.blur()")
    assert [] == await window.run(marked)


async def test_summary_cites_its_turns(window: Browser, served: Served) -> None:
    served.stage.play(*play.call(), play.ended(76_000), play.summary())
    await watch_ended(window, served)
    cites = "return [...document.querySelectorAll('.summary .cite')].map(cite => cite.textContent)"
    assert ["0:08", "0:46", "0:46", "0:52", "0:58", "1:03"] == await window.run(cites)
    assert "1:16" == await window.run("return document.getElementById('clock').textContent")


async def watch_ended(window: Browser, served: Served) -> None:
    await window.open(served.url)
    await window.until(LINK, "ended")


async def test_cut_socket_resumes_without_gap_or_duplicate(window: Browser, served: Served) -> None:
    """Each cut falls while frames are on their way, and more happens before the page is back."""
    await watch(window, served)
    records = list(play.call())
    for start in range(0, len(records), 24):
        served.stage.play(*records[start : start + 16])
        await served.server.hang_up()
        served.stage.play(*records[start + 16 : start + 24])
        await window.until(LINK, "live")
    await window.until(TURN_COUNT, len(CALL))
    await window.until(CARD_COUNT, 4)
    assert [shown(line.text) for line in CALL] == await window.run(TURNS)


def shown(text: str) -> str:
    chips = {"[NAME]": "Name", "[CREDITCARD]": "Card number", "[EMAIL]": "E-mail"}
    for token, chip in chips.items():
        text = text.replace(token, chip)
    return text


async def test_restarted_gateway_that_knows_less_takes_nothing_away(window: Browser, served: Served) -> None:
    records = list(play.call(CALL[:6]))
    served.stage.play(*records)
    async with serve(Stage()) as first:
        port = urlsplit(first.url).port
        first.stage.play(play.started(), *records)
        await watch(window, first)
        await window.until(TURN_COUNT, 6)
    young = Stage(Hub(Board("epoch-2")))
    young.play(*records[:5])
    async with serve(young, port or 0):
        await window.until(LINK, "live", limit_s=20)
        young.play(play.turn("after the restart", 60_000, rev=99))
        await window.until(TURN_COUNT, 7)


async def test_hostile_text_is_text(window: Browser, served: Served) -> None:
    said = play.turn(HOSTILE, 0)
    evil = Hint("evil", HOSTILE, HOSTILE, HOSTILE, 1, (said.turn_id,), 0, None)
    summary = Hint("summary", "summary", "", "", 0, (), 0, None, (Point(HOSTILE, (HOSTILE,)),))
    contact = "<img src=x onerror=alert(1)>"
    served.stage.play(
        *(play.started(contact, HOSTILE), play.turn(HOSTILE, 0, contact_id=contact)),
        *(Guidance(play.TENANT, contact, 0, hint.guidance_id, (hint,), 1) for hint in (evil, summary)),
    )
    await window.open(f"{served.url}?contact={contact}")
    await window.until(CARD_COUNT, 2)
    await window.until("return document.querySelectorAll('nav a').length === 2")
    assert [HOSTILE] == await window.run(TURNS)
    assert [HOSTILE] == await window.run(CARDS)
    assert 0 == await window.run("return document.querySelectorAll('img, body script').length")
    assert "taken" != await window.run("return document.title")


async def test_reader_who_scrolled_up_is_left_in_peace(window: Browser, served: Served) -> None:
    served.stage.play(*play.call())
    await watch(window, served)
    await window.until(TURN_COUNT, len(CALL))
    top = "return document.getElementById('transcript-scroll').scrollTop"
    assert await window.run(top) > 100
    await window.run("document.getElementById('transcript-scroll').scrollTop = 0")
    await window.until("return !document.getElementById('transcript-latest').hidden")
    served.stage.play(play.turn("more words", 90_000, rev=999))
    await window.until(TURN_COUNT, len(CALL) + 1)
    assert 0 == await window.run(top)
    await window.click("#transcript-latest")
    assert await window.run(top) > 100


async def test_page_says_that_the_call_is_not_arriving(window: Browser, served: Served) -> None:
    await watch(window, served)
    served.stage.hub.degrade(is_degraded=True)
    await window.until(LINK, "degraded")
    served.stage.hub.degrade(is_degraded=False)
    await window.until(LINK, "live")


@pytest.mark.parametrize("width", [320, 400, 721, 1280])
async def test_nothing_sticks_out(window: Browser, served: Served, width: int) -> None:
    long_word = play.turn("Donaudampfschifffahrt" * 10, 90_000, rev=999)
    served.stage.play(*play.call(), long_word, play.started("another", "A person with a very long name"))
    await window.show(width, 760)
    await watch(window, served)
    await window.until(CARD_COUNT, 4)
    assert [] == await window.run(
        "return [document.documentElement, ...document.querySelectorAll('.scroll, .card, .words, .bar')]"
        ".filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.outerHTML)"
    )


async def test_page_waits_for_the_first_call(window: Browser) -> None:
    async with serve(Stage()) as served:
        await window.open(served.url)
        served.stage.play(play.started())
        await window.until(LINK, "live")


async def test_store_ends_where_the_board_does_in_any_order(window: Browser, served: Served) -> None:
    """The page's reducer keeps the board's law, also for frames that no board would send in that order."""
    revisions: list[Shown] = [
        *(play.turn(f"final {rev}", 0, rev=rev) for rev in (2, 4, 6)),
        *(play.turn(f"partial {rev}", 0, rev=rev, is_final=False) for rev in (1, 3, 9)),
        *(play.turn(f"only partial {rev}", 5_000, rev=rev, is_final=False) for rev in (1, 2, 3)),
        *(play.guidance("cause", play.hint(f"hint-{rev}", 0), rev=rev) for rev in (1, 2, 3)),
        play.guidance("withdrawn", play.hint("gone", 0), rev=1),
        play.guidance("withdrawn", play.hint("gone too", 0), rev=2),
    ]
    frames = [frame for record in revisions for frame in Board("alone").apply(record, play.KEY)]
    frames += [{"type": "guidance", "cause_id": "withdrawn", "rev": 3, "hints": []}]
    frames += [Board("empty").since(play.CONTACT, None, 0)[0]]
    await window.open(served.url)
    seeded = random.Random(7)
    for _ in range(20):
        expected = [["final 6", "only partial 3"], [f"hint-3/{play.CONTACT}"]]
        assert expected == await reduced(window, seeded.sample(frames * 2, len(frames) * 2))


async def reduced(window: Browser, frames: Sequence[Frame]) -> Any:  # the JSON of what would be drawn
    return await window.run(
        "const [frames] = arguments;"
        "return import('/page/store.js').then(({emptyState, reduce, spokenTurns, shownHints}) => {"
        "  const end = frames.reduce((state, frame) => reduce(state, frame, 0), emptyState());"
        "  return [spokenTurns(end).map(({text}) => text), shownHints(end).map((hint) => hint.guidance_id)];"
        "});",
        frames,
    )


async def test_what_may_change_a_murmur_and_what_nobody_heard_look_apart(window: Browser, served: Served) -> None:
    await watch(window, served)
    partial = replace(play.partial(play.turn("My card is new", 1_000), 4, 1), stable_words=2)
    aside = replace(play.turn("Mm-hm.", 2_000, speaker="agent", rev=2), is_backchannel=True)
    unheard = replace(play.turn("", 9_000, rev=3), gap="busy", asr="none")
    held = replace(play.turn("", 12_000, rev=4), gap="on hold")
    served.stage.play(partial, aside, unheard, held)
    await window.until(TURN_COUNT, 3)
    assert ["My card is new", "Mm-hm.", "Not heard"] == await window.run(TURNS)
    apart = "return [...document.querySelectorAll('.tail, .aside .words, .unheard .words')].map(e => e.textContent)"
    assert [" is new", "Mm-hm.", "Not heard"] == await window.run(apart)
