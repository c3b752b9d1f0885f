"""A call of which the connections are cut: nothing is lost, nothing is doubled."""

import asyncio
import os
import random

import pytest
from prometheus_client import REGISTRY

from connectors.deepgram import DeepgramAsr
from connectors.deepgram.session import Times
from connectors.deepgram_double import Limits, Plan, Serving, serve
from connectors.deepgram_double.faults import Close, Drop, Fault, HalfOpen, Refuse, SlowStart, Stall
from tests.connectors.deepgram.calls import SPOKEN_WORDS, finals, options, script, transcribe

pytestmark = pytest.mark.simulation

CUTS, CONTACTS = (200, 6) if "SOAK" in os.environ else (60, 2)
PLANNED = CUTS * 6 // 5  # one that is planned late in a connection may find the call over
# Real times are in `Times`; those of a test fit the speed at which it plays.
TIMES = Times(silent_s=1.0, proof_s=0.5)


def fault(chance: random.Random, connection: int) -> tuple[Fault, ...]:
    """Return what ends one connection, and sometimes makes it begin late."""
    struck, after_s = (connection,), chance.uniform(0, 8)
    late = (SlowStart(for_s=0.4, connections=struck),) if chance.random() < 0.2 else ()
    end: Fault = chance.choices(
        (
            Drop(after_s=after_s, how=chance.choice(("close", "reset")), connections=struck),
            Close(chance.choice((1001, 1011, 1012, 1013)), after_s=after_s, connections=struck),
            Refuse(chance.choice((500, 502, 503, 504)), connections=struck),
            Stall(after_s=after_s, side=chance.choice(("read", "send")), connections=struck),
            HalfOpen(after_s=after_s, connections=struck),
        ),
        (8, 8, 2, 3, 3),
    )[0]
    return *late, end


def failures() -> float:
    """Return how many connections have failed in this process."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "trunkline_recogniser_failures_total"
    )


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_call_is_transcribed_whole(model: str) -> None:
    async with serve(script()) as server:
        asr = DeepgramAsr(options(server, model=model))
        said = await transcribe(asr.answer)
        await asr.close()
    assert SPOKEN_WORDS == finals(said)
    assert 2 == server.handshakes
    assert len([one for one in said if not one.is_final]) > 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("model", "seed"), [("nova-3", 1), ("flux-general-en", 2)])
async def test_cut_connections_lose_and_double_no_word(model: str, seed: int) -> None:
    chance = random.Random(seed)
    plan = Plan(tuple(one for number in range(1, PLANNED + 1) for one in fault(chance, number)))
    before = failures()
    async with serve(script(), Serving(limits=Limits(connections=1_000), plan=plan)) as server:
        asr = DeepgramAsr(options(server, model=model, times=TIMES))
        calls = [transcribe(asr.answer, f"c{number}", speed=4) for number in range(CONTACTS)]
        said = await asyncio.gather(*calls)
        await asr.close()
    for one in said:
        assert SPOKEN_WORDS == finals(one)
    assert failures() - before >= CUTS
