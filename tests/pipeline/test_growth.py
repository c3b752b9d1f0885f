"""What `trunkline topics` would do: values in, values out."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from pipeline import environment, growth
from pipeline.growth import ABANDONED_MS, Growth, Standing, live_contacts
from pipeline.settings import Settings, load
from topics.admin import Declared, Found
from topics.records import ContactEvent, Generation

pytestmark = pytest.mark.unit

NOW_MS = 1_790_000_000_000
REST_S = 1_800
SETTINGS = load(topic_prefix="local.", partitions=12, generation_rest_s=REST_S)
GROWN = SETTINGS.model_copy(update={"partitions": 24})
FIRST = Generation(1, 12, 0, None)
SECOND = Generation(2, 24, NOW_MS - 10 * REST_S * 1_000, None)
QUIET = Standing(0, 0, {"speech": 0, "postgres": 0}, frozenset({"speech"}), NOW_MS - 2 * REST_S * 1_000)
BUSY = replace(QUIET, live=3, heard_ms=NOW_MS)


def as_declared(*living: Generation) -> list[Found]:
    return [found(topic) for topic in environment.declare(SETTINGS, living)]


def found(topic: Declared) -> Found:
    return Found(topic.name, topic.partitions, 1, topic.config)


def decided(
    settings: Settings,
    listed: tuple[Generation, ...],
    topics: list[Found],
    standings: Mapping[int, Standing] = {},
) -> Growth:
    """Decide; to ask for a standing that is not given is an error."""
    return growth.decide(settings, listed, topics, lambda one: standings[one.number], NOW_MS)


def test_empty_broker_gets_the_first_generation_and_no_list() -> None:
    steps = decided(SETTINGS, (), [])
    assert {topic.name for topic in environment.declare(SETTINGS, (FIRST,))} == {
        one.name for one in steps.topics.creates
    }
    assert (None, ()) == (steps.opens, steps.removals)
    assert not steps.is_empty


def test_environment_as_declared_needs_nothing_and_nobody_is_counted() -> None:
    assert decided(SETTINGS, (), as_declared(FIRST)).is_empty
    assert decided(SETTINGS, (FIRST,), as_declared(FIRST)).is_empty


@pytest.mark.parametrize("listed", [(), (FIRST,)])
def test_more_partitions_are_another_generation(listed: tuple[Generation, ...]) -> None:
    steps = decided(GROWN, listed, as_declared(FIRST), {1: BUSY})
    assert (Generation(2, 24, 0, None), FIRST) == (steps.opens, steps.closes)
    assert {24} == {topic.partitions for topic in steps.topics.creates}
    assert all(topic.name.startswith("local.g2.") for topic in steps.topics.creates)
    assert ((), ()) == (steps.topics.alters, steps.topics.refusals)
    made = len(steps.topics.creates)
    assert (
        f"> generation 2 opens: {made} topics of 24 partitions; 3 live contacts finish in generation 1" in steps.lines()
    )
    expected = {"action": "open", "generation": 2, "partitions": 24, "topics": made, "live_contacts": 3}
    assert expected in [json.loads(json.dumps(row)) for row in steps.rows()]


def test_shared_topics_are_not_made_again() -> None:
    steps = decided(GROWN, (), as_declared(FIRST), {1: QUIET})
    assert not [
        topic.name for topic in steps.topics.creates if topic.name.endswith((".policies", ".positions", ".generations"))
    ]


def test_fewer_partitions_are_refused() -> None:
    steps = decided(SETTINGS, (FIRST, SECOND), as_declared(FIRST, SECOND))
    (refusal,) = steps.topics.refusals
    assert "generation 2 has 24 partitions, 12 are set; fewer would move contacts" in refusal.reason


def test_topic_that_was_altered_by_hand_is_refused_and_nothing_else_is_done() -> None:
    topics = as_declared(FIRST)
    at = next(n for n, one in enumerate(topics) if one.name == "local.audio.frames")
    topics[at] = replace(topics[at], partitions=24)
    for settings in (SETTINGS, GROWN):
        for listed in ((), (FIRST,)):
            steps = decided(settings, listed, topics)
            assert ["local.audio.frames"] == [one.topic for one in steps.topics.refusals]
            assert (None, ()) == (steps.opens, steps.removals)


def test_faust_environment_does_not_grow() -> None:
    faust = GROWN.model_copy(update={"engine": "faust"})
    topics = [found(topic) for topic in environment.declare(faust, (FIRST,))]
    (refusal,) = decided(faust, (), topics).topics.refusals
    assert "the Faust engine has one generation" in refusal.reason


def test_drained_generation_goes_with_its_own_topics_alone() -> None:
    foreign = Found("local.demo-1.audio.frames", 4, 1, {})
    topics = [*as_declared(FIRST, SECOND), foreign]
    steps = decided(GROWN, (FIRST, SECOND), topics, {1: QUIET, 2: BUSY})
    (removal,) = steps.removals
    shared = {"local.feed.positions", "local.policies", "local.generations", "local.subject.keys"}
    assert {one.name for one in as_declared(FIRST)} - shared == set(removal.topics)
    assert f"- generation 1: {len(removal.topics)} topics, no live contact" in steps.lines()


@pytest.mark.parametrize(
    ("old", "why"),
    [
        (replace(QUIET, live=1), "1 live contacts, 0 records behind, 0 open questions, rests for 0 s"),
        (replace(QUIET, behind={"speech": 7}), "0 live contacts, 7 records behind, 0 open questions, rests for 0 s"),
        (replace(QUIET, questions=2), "0 live contacts, 0 records behind, 2 open questions, rests for 0 s"),
        (
            replace(QUIET, heard_ms=NOW_MS - 1_000),
            "0 live contacts, 0 records behind, 0 open questions, rests for 1799 s",
        ),
    ],
)
def test_generation_stays_while_anything_goes_on(old: Standing, why: str) -> None:
    steps = decided(GROWN, (FIRST, SECOND), as_declared(FIRST, SECOND), {1: old, 2: BUSY})
    assert ((), True) == (steps.removals, steps.is_empty)
    assert [f"= generation 1 drains: {why}"] == steps.lines()


def test_generation_stays_until_its_successor_has_been_open_for_long() -> None:
    opening = replace(SECOND, opens_at_ms=NOW_MS + 5_000)
    steps = decided(GROWN, (FIRST, opening), as_declared(FIRST, opening), {1: QUIET, 2: QUIET})
    assert [REST_S + 5] == [one.rests_s for one in steps.drains]


def test_group_that_runs_in_no_generation_keeps_nothing() -> None:
    old = replace(QUIET, behind={"speech": 0, "postgres": 9})
    topics = as_declared(FIRST, SECOND)
    assert decided(GROWN, (FIRST, SECOND), topics, {1: old, 2: BUSY}).removals
    used = replace(BUSY, begun=frozenset({"speech", "postgres"}))
    assert not decided(GROWN, (FIRST, SECOND), topics, {1: old, 2: used}).removals


def test_contact_whose_end_never_came_keeps_its_generation_for_the_longest_retention() -> None:
    abandoned = replace(QUIET, live=1, questions=1)
    topics = as_declared(FIRST, SECOND)
    for closed_ms, is_kept in ((ABANDONED_MS, True), (ABANDONED_MS + 1, False)):
        second = replace(SECOND, opens_at_ms=NOW_MS - closed_ms)
        steps = decided(GROWN, (FIRST, second), topics, {1: abandoned, 2: BUSY})
        assert is_kept == (not steps.removals)


def test_unfinished_removal_is_finished() -> None:
    removed = replace(FIRST, removed_at_ms=NOW_MS)
    left = [one for one in as_declared(FIRST, SECOND) if one.name != "local.audio.frames"]
    steps = decided(GROWN, (removed, SECOND), left)
    assert [removed] == [one.generation for one in steps.removals]
    assert () == steps.topics.creates
    assert decided(GROWN, (removed, SECOND), [one for one in left if one.name not in steps.removals[0].topics]).is_empty


def test_altered_setting_says_how_many_calls_it_touches() -> None:
    topics = as_declared(FIRST)
    at = next(n for n, one in enumerate(topics) if one.name == "local.guidance")
    topics[at] = replace(topics[at], config={**topics[at].config, "retention.ms": "1"})
    steps = decided(SETTINGS, (), topics, {1: BUSY})
    assert {1: 3} == steps.live
    assert "  3 live contacts are in the altered generations; none moves" in steps.lines()


def event(key: bytes, leg: int, kind: str) -> tuple[bytes, ContactEvent]:
    return key, ContactEvent("local", key.decode(), leg, kind, 0, "")  # type: ignore[arg-type]  # one of its literals


def test_contact_is_live_until_its_last_leg_ends() -> None:
    events = [event(b"a", 0, "started"), event(b"b", 0, "started"), event(b"a", 1, "started"), event(b"a", 0, "ended")]
    assert {b"a", b"b"} == live_contacts(events, (), ())
    assert {b"b"} == live_contacts([*events, event(b"a", 1, "ended")], (b"a",), ())


def test_leg_that_is_not_numbered_goes_by_its_contact_id() -> None:
    first, second = (replace(event(b"a", 0, "started")[1], contact_id=one) for one in ("c1", "c2"))
    transferred = [(b"a", first), (b"a", second), (b"a", replace(first, kind="ended"))]
    assert {b"a"} == live_contacts(transferred, (), ())
    assert set() == live_contacts([*transferred, (b"a", replace(second, kind="ended"))], (), ())


def test_hold_and_queue_neither_begin_nor_end_a_contact() -> None:
    held = [(b"a", replace(event(b"a", 0, "started")[1], kind=kind)) for kind in ("queued", "hold_began", "agent_left")]
    assert set() == live_contacts(held, (), ())
    assert {b"a"} == live_contacts([event(b"a", 0, "started"), *held], (), ())


def test_contact_that_is_known_without_any_event_is_live_until_it_is_given_up() -> None:
    assert {b"a"} == live_contacts((), (b"a", b"b"), (b"b",))
