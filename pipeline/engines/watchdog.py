"""Ends a process whose event loop stands still, or stood still while the process was stopped.

Heartbeats come from a client's own thread: alone they must not keep partitions. And a process that slept for longer
than its session has lost its partitions without knowing it.
"""

import logging
import os
import threading
import time

STUCK_LOOP_S = 5.0  # below the session of every engine
STUCK_EXIT = 70  # EX_SOFTWARE
_LOOK_S = 0.5

_log = logging.getLogger(__name__)


class Watchdog:
    """See the module."""

    def __init__(self) -> None:
        self._beat_s = 0.0
        self._is_over = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        self._beat_s = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Tell that the loop goes round; also to be called before what only an owner may do."""
        self._check()
        self._beat_s = time.monotonic()

    def stop(self) -> None:
        """Watch no longer."""
        self._is_over.set()

    def _watch(self) -> None:
        while not self._is_over.wait(_LOOK_S):
            self._check()

    def _check(self) -> None:
        if not self._is_over.is_set() and time.monotonic() - self._beat_s > STUCK_LOOP_S:
            _log.critical("the event loop is stuck; leaving the partitions to another worker")
            os._exit(STUCK_EXIT)
