"""The committer when the client library does not keep its own time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Producer

from pipeline.engines.commits import Committer, ErrorCallback

pytestmark = pytest.mark.unit

LIMIT_S = 10.0


class Frail:
    """A transactional producer that tells of an error when it is polled."""

    def __init__(self, told: ErrorCallback) -> None:
        """Be sound."""
        self.is_away = False
        self._told = told

    def poll(self, _: float) -> None:
        """Tell."""
        if self.is_away:
            self._told(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    def init_transactions(self, _: float) -> None:
        """Return at once."""

    def begin_transaction(self) -> None:
        """Return at once."""

    def commit_transaction(self, _: float) -> None:
        """Return at once."""

    def send_offsets_to_transaction(self, *_: object) -> None:
        """Return at once."""


class Deaf:
    """A transactional producer whose `send_offsets_to_transaction` returns when it is released, not when it should."""

    def __init__(self) -> None:
        """Begin unreleased."""
        self.is_called, self.released = threading.Event(), threading.Event()

    def init_transactions(self, _: float) -> None:
        """Return at once."""

    def begin_transaction(self) -> None:
        """Return at once."""

    def send_offsets_to_transaction(self, *_: object) -> None:
        """Hang."""
        self.is_called.set()
        self.released.wait(LIMIT_S)

    def commit_transaction(self, _: float) -> None:
        """Return at once."""


@contextmanager
def committing(producer: Deaf) -> Iterator[Committer]:
    committer = Committer(lambda _: cast("Producer", producer))
    group: Any = None  # confluent-kafka's opaque ConsumerGroupMetadata
    thread = threading.Thread(target=committer.commit, args=("changelog", (), [], group))
    thread.start()
    try:
        assert producer.is_called.wait(LIMIT_S)
        yield committer
    finally:
        producer.released.set()
        thread.join(LIMIT_S)
    assert not committer.is_hung(time.monotonic() + 2 * LIMIT_S)


def test_call_hangs_once_it_is_long_over_its_time() -> None:
    with committing(Deaf()) as committer:
        assert not committer.is_hung(time.monotonic())
        assert committer.is_hung(time.monotonic() + 2 * LIMIT_S)


def test_producer_whose_broker_went_away_is_replaced_before_the_next_commit() -> None:
    made: list[Frail] = []

    def make(told: ErrorCallback) -> Producer:
        made.append(Frail(told))
        return cast("Producer", made[-1])

    committer, group = Committer(make), cast("Any", None)
    committer.open()
    committer.commit("changelog", (), [], group)
    made[0].is_away = True
    committer.commit("changelog", (), [], group)
    committer.commit("changelog", (), [], group)
    assert 2 == len(made)
