"""The committer when the client library does not keep its own time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from pipeline.engines.commits import Committer

pytestmark = pytest.mark.unit

LIMIT_S = 10.0


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
    committer = Committer(lambda: cast("Producer", producer))
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
