"""Why a connection failed, and what follows: decided by code, never by text."""

import random
from typing import Final, Literal

Remedy = Literal["again", "busy", "never"]

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0

# RFC 6455 section 7.4: a protocol error, a kind or content of data, or a policy that the next connection meets as well.
_FATAL_CLOSES: Final = frozenset({1002, 1003, 1007, 1008})
_LAST_DEFINED_CLOSE: Final = 1015  # a metric has one label for all others
_RETRIED_STATUSES: Final = frozenset({408, 425})


class LineFailed(Exception):
    """A connection cannot be opened, or has ended without being asked to.

    Attributes:
        cause: static, for metrics and `Failed`.
        remedy: another try helps soon; the service has no room; or it never helps.
        is_refused: at its handshake, as every other would be.
    """

    def __init__(self, cause: str, remedy: Remedy = "again", *, is_refused: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy: Remedy = remedy
        self.is_refused = is_refused


def refused(status: int) -> LineFailed:
    """Return what the status of a handshake that was refused means."""
    if status == 429:
        return LineFailed("status 429", "busy", is_refused=True)
    if 400 <= status < 500 and status not in _RETRIED_STATUSES:
        return LineFailed(f"status {status}", "never", is_refused=True)
    return LineFailed(f"status {status}", is_refused=True)


def closed(code: int) -> LineFailed:
    """Return what the code of a close means; 1006 is the end without a close."""
    name = str(code) if code <= _LAST_DEFINED_CLOSE else "other"
    return LineFailed(f"close {name}", "never" if code in _FATAL_CLOSES else "again")


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: full jitter of 0.25 s after the first, and up to 5 s."""
    return random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 8)))
