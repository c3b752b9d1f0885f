"""The embedded broker's promises: data and address survive, starts are idempotent, failures say why."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline import broker, ports
from pipeline.errors import InputError, PeerUnavailable

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
LIBS = ROOT / ".kafka" / f"libs-{broker.KAFKA_VERSION}"

RACER = """
import sys
from pathlib import Path
from pipeline import broker

home, libs = map(Path, sys.argv[1:])
running = broker.start(home, libs=libs)
print(running.pid, running.started)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    broker.stop(tmp_path)


def start(home: Path, port: int | None = None) -> broker.Running:
    return broker.start(home, port, libs=LIBS)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, value)
    assert 0 == producer.flush(20)


def first_value(bootstrap: str, topic: str) -> bytes | str | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    return message.value()


def test_data_and_address_survive_kill_dash_nine(home: Path) -> None:
    first = start(home)
    produce(first.bootstrap, "kept", b"value")
    os.kill(first.pid, signal.SIGKILL)
    second = start(home)
    assert first.pid != second.pid
    assert broker.Running(first.bootstrap, second.pid, started=True) == second
    assert b"value" == first_value(second.bootstrap, "kept")


def test_second_start_and_second_stop_change_nothing(home: Path) -> None:
    first = start(home)
    again = broker.Running(first.bootstrap, first.pid, started=False)
    assert again == start(home)
    assert again == broker.status(home)
    assert [True, False] == [broker.stop(home), broker.stop(home)]
    assert broker.status(home) is None


def test_processes_that_start_at_once_share_one_broker_beside_that_of_another_home(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = (sys.executable, "-c", RACER, str(home), str(LIBS))
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    other = tmp_path_factory.mktemp("other")
    try:
        beside = start(other)
        printed = sorted(racer.communicate(timeout=120)[0].split() for racer in racers)
        running = broker.status(home)
        assert running is not None
        assert [[str(running.pid), "False"], [str(running.pid), "True"]] == printed
        assert beside.bootstrap != running.bootstrap
    finally:
        broker.stop(other)


def test_taken_port_is_named(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PeerUnavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            start(home, port)


def test_broker_that_dies_says_why_and_leaves_no_process(home: Path) -> None:
    (home / ".kafka" / "data").mkdir(parents=True)
    with pytest.raises(PeerUnavailable, match=r"died: .*No readable meta\.properties files found"):
        start(home)
    assert broker.status(home) is None


def test_process_with_a_reused_pid_is_not_the_broker(tmp_path: Path) -> None:
    (tmp_path / ".kafka").mkdir()
    record = '{"pid": %d, "start_ticks": 1, "port": 1, "controller_port": 2, "archive": ""}'
    (tmp_path / ".kafka" / "broker.json").write_text(record % os.getpid())
    assert broker.status(tmp_path) is None
    assert not broker.stop(tmp_path)


def test_home_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Not a directory"):
        start(tmp_path / "file")


def test_missing_java_and_missing_maven_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("""#!/bin/sh\necho 'openjdk version "17.0.1"' >&2\n""")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Maven (mvn) is not on the PATH" in (broker.missing_tools() or "")
    assert broker.missing_tools(tmp_path) is None
    java.write_text("""#!/bin/sh\necho 'openjdk version "11.0.2"' >&2\n""")
    assert "Java 17 or later" in (broker.missing_tools() or "")
