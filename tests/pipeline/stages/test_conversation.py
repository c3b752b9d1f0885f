"""What one record of a conversation says, whatever came first."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.errors import RecordRefused
from pipeline.machine import STATE_LIMIT_BYTES
from pipeline.stages.conversation import LEGS_LIMIT, MOMENTS_LIMIT, Conversations, ConversationState
from topics.records import (
    AgentStay,
    AudioCoverage,
    ContactEvent,
    Conversation,
    Hold,
    Leg,
    MediaStarted,
    Record,
    Watermark,
)

pytestmark = pytest.mark.unit

T = 1_800_000_000_000
STARTED = ContactEvent("t", "c1", 0, "started", 0, "", T, channel="VOICE")
QUEUED = replace(STARTED, kind="queued", time_ms=T + 3_000, queue="arn:queue")
JOINED = replace(STARTED, kind="agent_joined", time_ms=T + 9_000, agent="ann", queue="Billing")
NAMELESS = replace(JOINED, agent="", time_ms=T + 8_400, queue="")
HELD = replace(STARTED, kind="hold_began", time_ms=T + 20_000, agent="ann")
BACK = replace(HELD, kind="hold_ended", time_ms=T + 25_000)
LEFT = replace(STARTED, kind="agent_left", time_ms=T + 60_000, agent="ann")
ENDED = replace(STARTED, kind="ended", time_ms=T + 60_500)
MEDIA = MediaStarted("t", "c1", "arn:stream", T + 100, "91")
AUDIO = AudioCoverage("t", "c1", 0, T + 170, 1_536, 1_537, (), is_end=False, reason="", rev=1)
AUDIO_OVER = replace(AUDIO, customer_sample=480_000, agent_sample=479_999, is_end=True, reason="no more audio", rev=2)
SECOND = replace(STARTED, contact_id="c2", time_ms=T + 60_400, previous_contact_id="c1", initial_contact_id="c1")
WHOLE: tuple[Record, ...] = (STARTED, MEDIA, AUDIO, QUEUED, NAMELESS, JOINED, HELD, BACK, LEFT, ENDED, AUDIO_OVER)

FIRST_LEG = Leg(
    *("c1", "", "VOICE", "Billing", "arn:stream"),
    started_ms=T,
    queued_ms=T + 3_000,
    ended_ms=T + 60_500,
    media_ms=T + 100,
    audio_ms=T + 170,
    audio_end_ms=T + 60_170,
    agents=(AgentStay("ann", T + 9_000, T + 60_000),),
    holds=(Hold(T + 20_000, T + 25_000),),
)


def told(records: Sequence[Record], state: ConversationState | None = None) -> list[Conversation]:
    """Feed a machine and return what it says."""
    machine, state = Conversations(), state or ConversationState()
    said = [one for record in records for one in machine.on_record(state, record)]
    return [one for one in said if isinstance(one, Conversation)]


def test_call_is_one_leg_with_its_agent_and_its_hold() -> None:
    assert Conversation("t", "c1", (FIRST_LEG,)) == told(WHOLE)[-1]


def test_transfer_is_a_second_leg_of_the_same_conversation() -> None:
    last = told([*WHOLE, SECOND])[-1]
    assert ("c1", [("c1", ""), ("c2", "c1")]) == (
        last.contact_id,
        [(leg.contact_id, leg.previous_contact_id) for leg in last.legs],
    )


@pytest.mark.parametrize("seed", range(20))
def test_any_order_and_any_repetition_end_in_the_same_record(seed: int) -> None:
    records = [*WHOLE, SECOND]
    draw = random.Random(seed)
    drawn = [*records, *draw.choices(records, k=6)]
    draw.shuffle(drawn)
    assert told([*WHOLE, SECOND])[-1] == told(drawn)[-1]


def test_what_says_nothing_new_writes_nothing() -> None:
    state = ConversationState()
    told(WHOLE, state)
    assert [] == told(WHOLE, state)


def test_stream_alone_makes_no_conversation_since_only_an_event_names_it() -> None:
    assert [] == told([AUDIO])
    assert [T + 170] == [leg.audio_ms for leg in told([AUDIO, SECOND, MEDIA])[-1].legs if leg.audio_ms]


def test_join_without_a_name_counts_where_no_named_one_is_near() -> None:
    far = replace(NAMELESS, time_ms=T + 40_000)
    agents = told([STARTED, JOINED, NAMELESS, far])[-1].legs[0].agents
    assert [("ann", T + 9_000), ("", T + 40_000)] == [(stay.agent, stay.joined_ms) for stay in agents]


def test_agents_who_share_a_call_leave_one_by_one() -> None:
    ben = replace(JOINED, agent="ben", time_ms=T + 30_000)
    agents = told([STARTED, JOINED, ben, LEFT])[-1].legs[0].agents
    assert (AgentStay("ann", T + 9_000, T + 60_000), AgentStay("ben", T + 30_000, None)) == agents


def test_call_from_a_file_has_no_times() -> None:
    (leg,) = told([replace(STARTED, time_ms=0), replace(ENDED, time_ms=0, at_ms=9_000)])[-1].legs
    assert (0, 0, None) == (leg.started_ms, leg.ended_ms, leg.media_ms)


def test_more_moments_than_are_kept_leave_the_earliest_in_any_order() -> None:
    holds = [replace(HELD, time_ms=T + n) for n in range(MOMENTS_LIMIT + 50)]
    assert told([STARTED, *holds])[-1] == told([*reversed(holds), STARTED])[-1]
    assert MOMENTS_LIMIT == len(told([STARTED, *holds])[-1].legs[0].holds)


def test_state_of_many_legs_and_holds_stays_small() -> None:
    state = ConversationState()
    ids = [f"8b7f1f5e-0000-4000-8000-{n:012}" for n in range(LEGS_LIMIT + 5)]
    arn = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/acme-connect-contact-{}/1790000000000"
    for contact_id in ids:
        event = replace(SECOND, contact_id=contact_id, previous_contact_id=ids[0], queue="arn:aws:connect:" + "q" * 90)
        told([event, replace(ENDED, contact_id=contact_id)], state)
        told([replace(MEDIA, contact_id=contact_id, stream=arn.format(contact_id))], state)
        told([replace(AUDIO_OVER, contact_id=contact_id)], state)
        told([replace(HELD, contact_id=contact_id, time_ms=T + n, agent="a" * 30) for n in range(8)], state)
    assert LEGS_LIMIT == len(state.legs)
    assert len(Conversations().snapshot(state)) < STATE_LIMIT_BYTES


def test_other_type_is_refused() -> None:
    with pytest.raises(RecordRefused):
        told([Watermark("t", "c1", 0, 0, is_end=False)])
