"""The plan from a broker's topics to the declared ones; `test_admin_kafka.py` carries plans out."""

import json
from dataclasses import replace

import pytest

from pipeline.errors import InputError, PeerUnavailable
from topics import admin
from topics.admin import Declared, Found
from topics.catalogue import ALL, CATALOGUE, HOUR_MS

pytestmark = pytest.mark.unit

PREFIX = "local."
DECLARED = {topic.name: topic for topic in admin.declare(PREFIX, 12, 1, changelogs=("speech", "language"))}
AUDIO = DECLARED["local.audio.frames"]
POLICIES = DECLARED["local.policies"]


def found(topic: Declared) -> Found:
    """Return the topic as a broker has it that follows the declaration."""
    return Found(topic.name, topic.partitions, topic.replication, {**topic.config, "unclean": "false"})


AS_DECLARED = [found(topic) for topic in DECLARED.values()]


def test_catalogue_dead_letters_and_changelogs_are_declared() -> None:
    keyed = [topic.name for topic in CATALOGUE if topic.is_keyed]
    names = {topic.name for topic in ALL}
    expected = names | {f"{name}.dead" for name in keyed} | {"changelog.speech", "changelog.language"}
    assert {PREFIX + name for name in expected} == set(DECLARED)


def test_topics_of_contacts_share_one_partition_count() -> None:
    assert {12} == {topic.partitions for topic in DECLARED.values() if topic.is_keyed}
    assert 1 == POLICIES.partitions


def test_changelog_is_compacted_in_small_segments() -> None:
    config = DECLARED["local.changelog.speech"].config
    expected = {
        "cleanup.policy": "compact",
        "segment.bytes": "16777216",
        "max.compaction.lag.ms": "600000",
    }
    assert expected.items() <= config.items()


def test_restricted_topic_cannot_outstay_its_hours_in_an_open_segment() -> None:
    assert int(AUDIO.config["segment.ms"]) + int(AUDIO.config["retention.ms"]) <= 4.5 * HOUR_MS


def test_dead_letters_of_restricted_topics_stay_for_hours() -> None:
    kept = {name: int(topic.config["retention.ms"]) for name, topic in DECLARED.items() if name.endswith(".dead")}
    assert 24 * HOUR_MS == kept["local.transcript.raw.dead"]
    assert 7 * 24 * HOUR_MS == kept["local.transcript.redacted.dead"]


def test_dead_letter_takes_a_longer_record_than_its_topic() -> None:
    dead = DECLARED["local.audio.frames.dead"]
    assert int(AUDIO.config["max.message.bytes"]) < int(dead.config["max.message.bytes"])


@pytest.mark.parametrize("prefix", ["local", "audio.", "changelog.", "transcript."])
def test_prefix_that_could_be_part_of_a_name_is_refused(prefix: str) -> None:
    with pytest.raises(InputError):
        admin.declare(prefix, 12, 1)


def test_empty_broker_gets_everything() -> None:
    steps = admin.plan(DECLARED.values(), ())
    assert tuple(sorted(DECLARED)) == tuple(topic.name for topic in steps.creates)
    assert not steps.is_empty


def test_broker_as_declared_needs_nothing() -> None:
    steps = admin.plan(DECLARED.values(), AS_DECLARED)
    assert admin.Plan((), (), (), ()) == steps
    assert steps.is_empty


def test_setting_that_differs_is_altered() -> None:
    other = replace(found(AUDIO), config={**AUDIO.config, "retention.ms": "1"})
    steps = admin.plan([AUDIO], [other])
    assert (admin.Alter(AUDIO.name, "retention.ms", "1", AUDIO.config["retention.ms"]),) == steps.alters


def test_setting_that_is_not_declared_is_the_operators() -> None:
    other = replace(found(AUDIO), config={**AUDIO.config, "min.insync.replicas": "2"})
    assert admin.plan([AUDIO], [other]).is_empty


def test_partition_count_of_a_keyed_topic_is_never_changed() -> None:
    steps = admin.plan([AUDIO], [replace(found(AUDIO), partitions=6)])
    assert [AUDIO.name] == [refusal.topic for refusal in steps.refusals]
    assert "it has 6 partitions, 12 are declared; another count would move contacts" in steps.refusals[0].reason
    assert not steps.is_empty


def test_partition_count_of_another_topic_is_refused_too() -> None:
    steps = admin.plan([POLICIES], [replace(found(POLICIES), partitions=3)])
    assert ["it has 3 partitions, 1 are declared; its readers expect one"] == [one.reason for one in steps.refusals]


def test_replication_that_differs_is_refused_unless_it_is_the_brokers() -> None:
    three = replace(AUDIO, replication=3)
    assert "1 copies, 3 are declared" in admin.plan([three], [found(AUDIO)]).refusals[0].reason
    assert admin.plan([replace(AUDIO, replication=-1)], [found(AUDIO)]).is_empty


def test_topic_that_nobody_declares_is_listed_and_is_no_difference() -> None:
    stray = Found("local.stray", 1, 1, {})
    steps = admin.plan(DECLARED.values(), [*AS_DECLARED, stray])
    assert ("local.stray",) == steps.extra
    assert steps.is_empty


def test_each_step_is_one_line_and_one_object() -> None:
    narrow = replace(AUDIO, config={"retention.ms": "5"})
    altered = Found("local.b", 1, 1, {"retention.ms": "1"})
    moved = Found("local.c", 2, 1, {"retention.ms": "5"})
    steps = admin.plan(
        [
            narrow,
            replace(narrow, name="local.b", partitions=1),
            replace(narrow, name="local.c", partitions=1),
        ],
        [altered, moved, Found("local.d", 1, 1, {})],
    )
    assert steps.lines() == [
        "+ local.audio.frames (12 partitions: retention.ms=5)",
        "~ local.b retention.ms: 1 -> 5",
        f"! local.c: {steps.refusals[0].reason}",
        "? local.d: not declared",
    ]
    assert json.loads(json.dumps(steps.rows())) == [
        {
            "action": "create",
            "topic": "local.audio.frames",
            "partitions": 12,
            "replication": 1,
            "config": {"retention.ms": "5"},
        },
        {"action": "alter", "topic": "local.b", "setting": "retention.ms", "from": "1", "to": "5"},
        {"action": "refuse", "topic": "local.c", "reason": steps.refusals[0].reason},
        {"action": "extra", "topic": "local.d"},
    ]


def test_plan_with_a_refusal_is_not_applied() -> None:
    steps = admin.plan([AUDIO], [replace(found(AUDIO), partitions=6)])
    with pytest.raises(InputError, match="6 partitions"):
        admin.apply("127.0.0.1:1", steps)


@pytest.mark.parametrize("prefix", ["", "local", "audio."])
def test_only_a_prefix_of_its_own_is_removed(prefix: str) -> None:
    with pytest.raises(InputError):
        admin.remove("127.0.0.1:1", prefix)


def test_broker_that_is_not_there_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANSWER_LIMIT_S", 0.2)
    with pytest.raises(PeerUnavailable, match="_TRANSPORT"):
        admin.read("127.0.0.1:1", PREFIX)
    with pytest.raises(PeerUnavailable, match="_TRANSPORT"):
        admin.apply("127.0.0.1:1", admin.plan([AUDIO], ()))
