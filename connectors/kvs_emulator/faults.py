"""What goes wrong, as data: which call of which API fails, how, and where in its bytes.

Owns the form of a fault plan and the choice of a call's faults; `server.py` and `connection.py` let them happen.
A plan is YAML or JSON:

    seed: 7
    faults:
      - {fault: close, how: reset, after_bytes: 5000, calls: [1]}
      - {fault: close, after_fragments: 3}
      - {fault: refuse, error: ServiceUnavailableException, api: listFragments, chance: 0.2}

Every fault takes `api` (getMedia), `stream` (any), `calls` (which calls of the API on the stream, from 1; all) and
`chance` (1). What happens within a reply also takes one place: `after_bytes`, `after_blocks`, `after_fragments`, or
`within_bytes`, a place drawn below that; without one it happens before the first byte. All of a call's faults happen,
in the order of their places.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml

from pipeline.errors import InputError

Api = Literal["getDataEndpoint", "getMedia", "listFragments", "getMediaForFragmentList"]
ErrorName = Literal[
    "AccessDeniedException",
    "ClientLimitExceededException",
    "ConnectionLimitExceededException",
    "ExpiredTokenException",
    "InternalFailureException",
    "InvalidArgumentException",
    "InvalidEndpointException",
    "NotAuthorizedException",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
]
# GetMedia's API reference, "Errors": the numbers and what they mean.
ErrorId = Literal[3002, 4000, 4500, 4501, 4502, 4503, 4504, 4505, 4506, 5000]

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Unit = Literal["bytes", "blocks", "fragments"]

_MEDIA_APIS: Final = ("getMedia", "getMediaForFragmentList")


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault"):
    """Which calls a fault strikes."""

    api: Api = "getMedia"
    stream: str | None = None
    calls: tuple[_Positive, ...] | None = None
    chance: _Chance = 1.0


class Refuse(Rule, frozen=True, kw_only=True, tag="refuse"):
    """The call is answered with an error of the service.

    `status` replaces the error's usual HTTP status: an expired token was seen with 401 and with 403.
    """

    error: ErrorName
    status: Literal[400, 401, 403, 404, 500, 503] | None = None


class Expire(Rule, frozen=True, kw_only=True, tag="expire"):
    """The call's security token expires: it is refused until the caller comes with another one."""

    status: Literal[401, 403] = 403


class Move(Rule, frozen=True, kw_only=True, tag="move"):
    """The stream's data endpoint moves: the old one refuses until the caller has asked for the next."""


class SlowStart(Rule, frozen=True, kw_only=True, tag="slow-start"):
    """The headers of the reply come late."""

    for_s: _Seconds


class Placed(Rule, frozen=True, kw_only=True):
    """A fault within a reply."""

    after_bytes: _Count | None = None
    after_blocks: _Count | None = None
    after_fragments: _Count | None = None
    within_bytes: _Positive | None = None

    def __post_init__(self) -> None:
        """Refuse two places, and APIs whose replies have none."""
        places = (self.after_bytes, self.after_blocks, self.after_fragments, self.within_bytes)
        if sum(place is not None for place in places) > 1:
            raise ValueError("a fault has one place")
        if self.api not in _MEDIA_APIS:
            raise ValueError(f"replies of {self.api} are whole; only refuse, expire, move and slow-start apply")


class Close(Placed, frozen=True, kw_only=True, tag="close"):
    """The connection ends: `end` as if all were said, `close` in the middle of the reply, `reset` with a RST.

    After `close` the caller has every byte before the place; after `reset` perhaps fewer.
    """

    how: Literal["end", "close", "reset"] = "close"


class Stall(Placed, frozen=True, kw_only=True, tag="stall"):
    """Nothing comes for a while; without `for_s` for as long as the session lasts."""

    for_s: _Seconds | None = None


class Garbage(Placed, frozen=True, kw_only=True, tag="garbage"):
    """Random bytes stand between those of the stream."""

    count: _Positive = 100


class Report(Placed, frozen=True, kw_only=True, tag="report"):
    """The service says in the stream why it stops, and the reply ends.

    It does so in the open Segment, or in a document of its own that has no Cluster.
    """

    error_id: ErrorId
    is_own_document: bool = True


Fault = Refuse | Expire | Move | SlowStart | Close | Stall | Garbage | Report


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that goes wrong; with one seed it goes wrong in the same way each time."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def of(self, api: Api, stream: str, call: int) -> "Faults":
        """Return what happens to one call.

        Args:
            api: which API.
            stream: name of the stream.
            call: the how-manieth of the API on the stream, from 1.
        """
        dice = random.Random(f"{self.seed}|{api}|{stream}|{call}")
        return Faults(tuple(fault for fault in self.faults if _strikes(fault, api, stream, call, dice)), dice)


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault within a reply, and where.

    Attributes:
        unit: what is counted from the reply's start.
        place: it happens once so many have been sent.
        fault: what.
    """

    unit: _Unit
    place: int
    fault: Placed


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one call.

    Attributes:
        chosen: in the order of the plan.
        dice: for what is left to chance, the same in each run.
    """

    chosen: tuple[Fault, ...]
    dice: random.Random

    def before(self) -> Iterator[Fault]:
        """Yield what happens before the reply."""
        return (fault for fault in self.chosen if not isinstance(fault, Placed))

    def within(self) -> list[Incident]:
        """Return what happens within the reply."""
        return [self._incident(fault) for fault in self.chosen if isinstance(fault, Placed)]

    def _incident(self, fault: Placed) -> Incident:
        if fault.after_blocks is not None:
            return Incident("blocks", fault.after_blocks, fault)
        if fault.after_fragments is not None:
            return Incident("fragments", fault.after_fragments, fault)
        if fault.within_bytes is not None:
            return Incident("bytes", self.dice.randrange(fault.within_bytes), fault)
        return Incident("bytes", fault.after_bytes or 0, fault)


def read(path: Path) -> Plan:
    """Read a fault plan.

    Raises:
        InputError: the file cannot be read or is no plan; the message says where and why.
    """
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), Plan)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no valid YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise InputError(f"{path}: no valid YAML: not plain text") from None
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is no fault plan: {error}") from None


def _strikes(fault: Fault, api: Api, stream: str, call: int, dice: random.Random) -> bool:
    # The dice are thrown for every rule of a call, so that a rule does not change what those after it do.
    is_drawn = dice.random() < fault.chance
    is_meant = fault.api == api and fault.stream in (None, stream) and (fault.calls is None or call in fault.calls)
    return is_drawn and is_meant
