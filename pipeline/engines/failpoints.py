"""Deaths on purpose between the steps of a checkpoint and of a takeover, for the crash suite; off unless armed.

Steps of a checkpoint: copied, delivered, written, positioned, committed. Of a takeover: raised, restored, released.
"""

import logging
import os
import random
import signal

SAID = "a failpoint ends this worker"

_log = logging.getLogger(__name__)

_probability = 0.0


def arm(probability: float) -> None:
    """Let every step that is reached from now on end this process with a probability; 0 disarms."""
    global _probability  # noqa: PLW0603 - one switch for the process, thrown before any thread starts
    _probability = probability


def reach(step: str) -> None:
    """Mark a step; dies here, as by kill -9, when its turn has come."""
    if _probability and random.random() < _probability:
        _log.warning(SAID, extra={"step": step})
        os.kill(os.getpid(), signal.SIGKILL)
