"""The committer when the client library does not keep its own time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from pipeline.engines import commits
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
    assert not committer.is_hung


def test_call_within_its_time_does_not_hang() -> None:
    with committing(Deaf()) as committer:
        assert not committer.is_hung


def test_call_long_after_its_time_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_HUNG_S", 0.0)
    with committing(Deaf()) as committer:
        until_s = time.monotonic() + LIMIT_S
        while not committer.is_hung and time.monotonic() < until_s:
            pass
        assert committer.is_hung
