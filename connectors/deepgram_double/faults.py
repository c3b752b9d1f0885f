"""What goes wrong, as data: which connection fails, how, and after how much of its audio.

Owns the choice of a connection's faults; `server.py` and `connection.py` let them happen. A plan is a list:

    Plan((Refuse(429, connections=(1,)), Drop(after_s=3.5, connections=(2,)), Slow(for_s=2)))

`connections` counts handshakes from 1, refused ones too; without it a fault strikes each. `after_s` is audio that this
connection has received: what was due to be said before it is said.
"""

from dataclasses import dataclass
from typing import Literal

from connectors.deepgram_double.requests import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which connections a fault strikes."""

    connections: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refuse(Rule):
    """The handshake is answered with an error of the service."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStart(Rule):
    """The answer to the handshake comes late."""

    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(Rule):
    """Everything is said so much later, in its order."""

    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Rule):
    """A fault within a connection."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Placed):
    """The connection is gone without a close frame: with FIN (`close`) or with RST (`reset`)."""

    how: Literal["close", "reset"] = "reset"


@dataclass(frozen=True, slots=True)
class Close(Placed):
    """The server closes with a code."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Placed):
    """For a while, or for good without `for_s`, nothing is read, or nothing is sent.

    What is not read is not answered, and fills the buffers of both sides until the client cannot send. What is not
    sent, pongs too, comes afterwards, all at once.
    """

    side: Literal["read", "send"] = "read"
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen(Placed):
    """Everything is taken and nothing is answered, pings and the close included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownType(Placed):
    """A message comes whose type no client knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJson(Placed):
    """A text frame comes that is not JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint(Placed):
    """A message `Error` comes, and the stream goes on."""

    description: str = "planned"


Fault = Refuse | SlowStart | Slow | Drop | Close | Stall | HalfOpen | UnknownType | NotJson | Complaint


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that goes wrong."""

    faults: tuple[Fault, ...] = ()

    def of(self, connection: int) -> tuple[Fault, ...]:
        """Return what happens to one connection, counted from 1, in the order of the plan."""
        return tuple(fault for fault in self.faults if fault.connections is None or connection in fault.connections)
