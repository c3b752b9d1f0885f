"""The clients of the factory against a real broker."""

import logging
import subprocess
import sys

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from topics import admin, clients
from topics.keys import contact_key, partition_of

pytestmark = pytest.mark.kafka

PARTITIONS = 12
KEYS = [contact_key(f"tenant-{n % 7}", f"contact-{n}") for n in range(300)]
WAIT_S = 10.0


@pytest.fixture
def topic(broker: str, prefix: str) -> str:
    """Return a topic with `PARTITIONS` empty partitions."""
    declared = admin.Declared(f"{prefix}topic", PARTITIONS, 1, {}, is_keyed=True)
    admin.apply(broker, admin.plan([declared], ()))
    return declared.name


def send(broker: str, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """Send one record a key and return the partitions on which they landed."""
    landed: dict[bytes, int] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None
        landed[message.key() or b""] = message.partition() or 0

    sender = clients.producer(broker)
    for key in keys:
        sender.produce(topic, b"value", key, on_delivery=note)
    assert 0 == sender.flush(WAIT_S)
    return landed


def test_every_key_lands_on_its_partition(broker: str, topic: str) -> None:
    expected = {key: partition_of(key, PARTITIONS) for key in KEYS}
    assert expected == send(broker, topic, KEYS)


def test_tail_consumer_reads_from_where_it_is_told(broker: str, topic: str) -> None:
    partition = send(broker, topic, KEYS[:1])[KEYS[0]]
    reader = clients.tail_consumer(broker)
    reader.assign([TopicPartition(topic, partition, 0)])
    message = reader.poll(WAIT_S)
    reader.close()
    assert message is not None
    assert KEYS[0] == message.key()


def test_group_without_a_position_is_told_so(broker: str, topic: str) -> None:
    reader = clients.consumer(broker, f"{topic}.group", instance_id="host-group-0")
    reader.subscribe([topic])
    message = reader.poll(WAIT_S)
    reader.close()
    assert message is not None
    error = message.error()
    assert error is not None
    assert "_AUTO_OFFSET_RESET" == error.name()


def test_consumer_speaks_kip_848_when_it_is_told_to(broker: str, topic: str) -> None:
    reader = clients.consumer(broker, f"{topic}.group", protocol="consumer")
    reader.subscribe([topic])
    message = reader.poll(WAIT_S)
    reader.close()
    assert message is not None
    assert message.error() is not None


def test_aborted_transaction_is_not_read(broker: str, topic: str) -> None:
    sender = clients.transactional_producer(broker, f"{topic}.worker")
    sender.init_transactions(WAIT_S)
    for value, end in ((b"aborted", sender.abort_transaction), (b"kept", sender.commit_transaction)):
        sender.begin_transaction()
        sender.produce(topic, value, b"key", partition=0)
        sender.flush(WAIT_S)
        end(WAIT_S)
    reader = clients.tail_consumer(broker)
    reader.assign([TopicPartition(topic, 0, 0)])
    message = reader.poll(WAIT_S)
    reader.close()
    assert message is not None
    assert b"kept" == message.value()


def test_librdkafka_writes_to_our_logger(broker: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="trunkline.kafka"):
        clients.producer(broker, debug="broker").poll(WAIT_S)
    assert "trunkline.kafka" in {record.name for record in caplog.records}


def test_librdkafka_writes_nothing_to_stderr_where_logging_is_not_set_up() -> None:
    program = "from topics import clients; clients.producer('127.0.0.1:1').poll(0.5)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)
