"""Deaths on purpose between the steps of a checkpoint and of a takeover, for the crash suite; off unless armed.

Steps of a checkpoint: copied, delivered, written, positioned, committed. Of a takeover: raised, restored, released.
A step of each record, which is reached only where it is named: decided, when machines have run and nothing has left.
"""

import logging
import os
import random
import signal

SAID = "a failpoint ends this worker"

_log = logging.getLogger(__name__)

_EACH_RECORD = "decided"
_probability = 0.0
_only = ""


def arm(probability: float, only: str = "") -> None:
    """Let steps that are reached from now on end this process with a probability; 0 disarms.

    Args:
        probability: of each step.
        only: the one step that does; empty means all of checkpoints and takeovers.
    """
    global _probability, _only
    _probability, _only = probability, only


def reach(step: str) -> None:
    """Mark a step; dies here, as by kill -9, when its turn has come."""
    if _probability and _is_meant(step) and random.random() < _probability:
        _log.warning(SAID, extra={"step": step})
        os.kill(os.getpid(), signal.SIGKILL)


def _is_meant(step: str) -> bool:
    return step == _only if _only else step != _EACH_RECORD
