"""Two recognisers: when the second answers, and when the first does again."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.deepgram_double.faults import Close, Fault, HalfOpen, Refuse
from connectors.fallback import LATE, Fallback, Patience
from connectors.scripted import ScriptedAsr
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from tests.connectors.deepgram.calls import TENANT, hearing, question
from tests.connectors.deepgram_double.callers import SAID, WAIT_S, doubling

pytestmark = pytest.mark.unit

QUICK = Patience(late_s=0.3, probe_s=0.2)


@pytest.fixture
def second(tmp_path: Path) -> ScriptedAsr:
    words = [
        {"track": track, "text": text, "start_ms": start, "end_ms": end}
        for track, said in SAID.items()
        for text, start, end in said
    ]
    file = tmp_path / "reference.json"
    file.write_text(json.dumps({"words": words}))
    return ScriptedAsr(file)


@asynccontextmanager
async def both(
    second: ScriptedAsr, *faults: Fault, patience: Patience = QUICK, **given: Any
) -> AsyncIterator[tuple[Fallback, Any]]:
    async with doubling(*faults) as server, hearing(server, **given) as first:
        yield Fallback(first, second, given.get("tenants", (TENANT,)), patience), server


async def answered_by(fallback: Fallback, start_ms: int, end_ms: int, **given: Any) -> tuple[str, list[str]]:
    answer = await fallback.answer(question(start_ms, end_ms, **given))
    assert isinstance(answer, Transcript)
    return answer.asr, [word.text for word in answer.words]


async def test_a_first_that_is_late_is_waited_for_while_the_second_has_enough_to_do(second: ScriptedAsr) -> None:
    class Slow:
        async def answer(self, _: Transcribe) -> Transcript:
            await asyncio.sleep(0.3)
            return Transcript((), "slow", None)

        async def close(self) -> None:
            pass

    fallback = Fallback(Slow(), second, (TENANT,), Patience(late_s=0.1, decodes=0))
    assert ("slow", []) == await answered_by(fallback, 250, 1_150)
    fallback = Fallback(Slow(), second, (TENANT,), Patience(late_s=0.1))
    assert ("scripted", ["zero", "one"]) == await answered_by(fallback, 250, 1_150)


async def test_questions_reach_the_first_in_their_order(second: ScriptedAsr) -> None:
    """A final, then what follows it: otherwise the connection of the first would have to be fed backwards."""
    async with both(second) as (fallback, server):
        final = asyncio.create_task(fallback.answer(question(250, 1_150)))
        follows = asyncio.create_task(fallback.answer(question(1_950, 2_500, is_final=False)))
        await final
        follows.cancel()
        assert 1 == server.handshakes


async def test_first_answers(second: ScriptedAsr) -> None:
    async with both(second, patience=Patience()) as (fallback, _):
        assert ("deepgram nova-3", ["zero", "one"]) == await answered_by(fallback, 250, 1_150)


async def test_final_that_is_late_is_the_seconds_within_two_seconds(second: ScriptedAsr) -> None:
    async with both(second, HalfOpen(), patience=Patience()) as (fallback, _):
        began_s = time.monotonic()
        assert ("scripted", ["zero", "one"]) == await answered_by(fallback, 250, 1_150)
        assert 1.2 <= time.monotonic() - began_s < 1.6
        began_s = time.monotonic()
        assert Failed(LATE) == await fallback.answer(question(1_950, 2_500, is_final=False))
        assert ("scripted", ["two", "three"]) == await answered_by(fallback, 1_950, 2_950)
        assert time.monotonic() - began_s < 0.5


async def test_first_answers_again_after_a_probe(second: ScriptedAsr) -> None:
    async with both(second, HalfOpen(connections=(1,))) as (fallback, server):
        asked = []
        async with asyncio.timeout(WAIT_S):
            while "deepgram nova-3" not in asked:
                asked.append((await answered_by(fallback, 250, 1_150))[0])
                await asyncio.sleep(0.05)
        assert "scripted" == asked[0]
        assert 2 == server.handshakes


@pytest.mark.parametrize("fault", [Refuse(429), Refuse(401), Close(1008)])
async def test_final_that_fails_is_the_seconds_at_once(second: ScriptedAsr, fault: Fault) -> None:
    async with both(second, fault, patience=Patience()) as (fallback, _):
        began_s = time.monotonic()
        assert isinstance(await fallback.answer(question(250, 500, is_final=False)), Failed)
        assert ("scripted", ["zero", "one"]) == await answered_by(fallback, 250, 1_150)
        assert time.monotonic() - began_s < 1.0


async def test_contact_without_a_place_is_the_seconds(second: ScriptedAsr) -> None:
    async with both(second, sockets=1, patience=Patience()) as (fallback, server):
        assert "deepgram nova-3" == (await answered_by(fallback, 250, 1_150))[0]
        assert "scripted" == (await answered_by(fallback, 250, 1_150, contact="d"))[0]
        assert 1 == server.handshakes


async def test_tenant_that_is_not_listed_has_the_second_alone(second: ScriptedAsr) -> None:
    async with both(second) as (fallback, server):
        assert ("scripted", ["zero", "one"]) == await answered_by(fallback, 250, 1_150, tenant="other")
        assert 0 == server.handshakes


async def test_other_track_stays_with_the_first(second: ScriptedAsr) -> None:
    async with both(second, HalfOpen(connections=(1,))) as (fallback, _):
        assert "scripted" == (await answered_by(fallback, 250, 1_150))[0]
        assert ("deepgram nova-3", ["four"]) == await answered_by(fallback, 3_050, 3_550, track="agent")
