"""How far groups are behind, on a real broker: what is committed, what a transaction has under way, the trend."""

from typing import Any

import pytest
from confluent_kafka import TopicPartition

from pipeline import environment, lag, settings
from topics import clients

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

WORDS = "transcript.words"
LIMIT_S = 30.0


@pytest.fixture
def own(broker: str, prefix: str) -> settings.Settings:
    made = settings.load(kafka_bootstrap=broker, topic_prefix=prefix, partitions=2)
    environment.apply(made, environment.plan(made))
    return made


def write(own: settings.Settings, count: int) -> None:
    producer = clients.producer(own.kafka_bootstrap)
    for _ in range(count):
        producer.produce(own.topic_prefix + WORDS, b"any", b"t|c", 1)
    assert 0 == producer.flush(LIMIT_S)


def language(own: settings.Settings) -> Any:  # a confluent-kafka consumer of the group, which joins nothing
    return clients.tail_consumer(own.kafka_bootstrap, **{"group.id": f"{own.topic_prefix}language"})


def test_lag_is_what_comes_after_the_committed_offset(own: settings.Settings) -> None:
    write(own, 5)
    consumer = language(own)
    consumer.commit(offsets=[TopicPartition(own.topic_prefix + WORDS, 1, 2)], asynchronous=False)
    before = lag.behind(own, ("language",))
    write(own, 4)
    (row,) = (one for one in lag.measure(own, before) if one.group == "language" and one.records_behind)
    consumer.close()
    assert (WORDS, 1, 7, "growing") == (row.topic, row.partition, row.records_behind, row.trend)
    assert 0 < row.seconds_behind < LIMIT_S
    assert 3 == sum(before.values())


def test_offsets_of_an_open_transaction_are_not_waited_for(own: settings.Settings) -> None:
    write(own, 5)
    consumer, producer = language(own), clients.transactional_producer(own.kafka_bootstrap, own.topic_prefix)
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    offsets = [TopicPartition(own.topic_prefix + WORDS, 1, 2)]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), LIMIT_S)
    open_ = lag.behind(own, ("language",))
    producer.commit_transaction(LIMIT_S)
    consumer.close()
    assert 5 == sum(open_.values())
    assert 3 == sum(lag.behind(own, ("language",)).values())
