"""Declared topics on a real broker."""

from dataclasses import replace

import pytest

from pipeline.errors import PeerUnavailable
from topics import admin

pytestmark = pytest.mark.kafka

PARTITIONS = 2


def difference(broker: str, desired: tuple[admin.Declared, ...], prefix: str) -> admin.Plan:
    """Return the steps that the broker still lacks."""
    return admin.plan(desired, admin.read(broker, prefix))


def declare(prefix: str) -> tuple[admin.Declared, ...]:
    """Return an environment that is quick to make."""
    return admin.declare(prefix, PARTITIONS, 1, changelogs=("speech",))


def test_nothing_differs_after_apply(broker: str, prefix: str) -> None:
    desired = declare(prefix)
    steps = difference(broker, desired, prefix)
    assert len(desired) == len(steps.creates)
    admin.apply(broker, steps)
    assert difference(broker, desired, prefix).is_empty


def test_apply_twice_is_apply_once(broker: str, prefix: str) -> None:
    desired = declare(prefix)
    steps = difference(broker, desired, prefix)
    admin.apply(broker, steps)
    before = admin.read(broker, prefix)
    admin.apply(broker, steps)
    admin.apply(broker, difference(broker, desired, prefix))
    assert before == admin.read(broker, prefix)


def test_changed_setting_is_put_right_and_others_stay(broker: str, prefix: str) -> None:
    topic = declare(prefix)[0]
    operators = replace(topic, config={**topic.config, "retention.ms": "60000", "min.compaction.lag.ms": "7"})
    admin.apply(broker, difference(broker, (operators,), prefix))
    steps = difference(broker, (topic,), prefix)
    assert [("retention.ms", "60000")] == [(one.setting, one.before) for one in steps.alters]
    admin.apply(broker, steps)
    (found,) = admin.read(broker, prefix)
    assert topic.config["retention.ms"] == found.config["retention.ms"]
    assert "7" == found.config["min.compaction.lag.ms"]


def test_other_partition_count_is_refused(broker: str, prefix: str) -> None:
    topic = declare(prefix)[0]
    admin.apply(broker, difference(broker, (topic,), prefix))
    steps = difference(broker, (replace(topic, partitions=PARTITIONS + 1),), prefix)
    assert [topic.name] == [refusal.topic for refusal in steps.refusals]


def test_remove_takes_the_prefix_and_nothing_else(broker: str, prefix: str) -> None:
    mine, other = f"{prefix}mine.", f"{prefix}other."
    for one in (mine, other):
        admin.apply(broker, difference(broker, declare(one)[:2], one))
    assert tuple(sorted(topic.name for topic in declare(mine)[:2])) == admin.remove(broker, mine)
    assert () == admin.read(broker, mine)
    assert 2 == len(admin.read(broker, other))


def test_removing_twice_is_removing_once(broker: str, prefix: str) -> None:
    admin.apply(broker, difference(broker, declare(prefix)[:2], prefix))
    assert 2 == len(admin.remove(broker, prefix))
    assert () == admin.remove(broker, prefix)


def test_topics_of_a_prefix_do_not_belong_to_the_empty_one(broker: str, prefix: str) -> None:
    admin.apply(broker, difference(broker, declare(prefix)[:2], prefix))
    assert [] == [topic.name for topic in admin.read(broker, "") if topic.name.startswith(prefix)]


def test_what_the_broker_refuses_is_said_with_its_reason(broker: str, prefix: str) -> None:
    topic = replace(declare(prefix)[0], replication=99)
    with pytest.raises(PeerUnavailable, match="INVALID_REPLICATION_FACTOR"):
        admin.apply(broker, admin.plan([topic], ()))
