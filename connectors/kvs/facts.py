"""What reading one contact tells: its sound, placed, and what happened on the way.

Samples are 8 kHz sample numbers of a track, counted from the contact's start, which is its earliest sample on either
track; ranges are half-open. `at_ms` is audio time from there.
"""

from typing import Literal

from msgspec import Struct

from topics.records import Track

# What to do about an error that the service tells in the stream: go on after the last complete fragment; start again
# by the producer's time; wait as long as one waits at all, since a person must act; wait a little.
Action = Literal["resume", "restart", "park", "wait"]


class Checkpoint(Struct, frozen=True):
    """Where another reader goes on without a gap.

    Attributes:
        number: of the last complete fragment; None when no fragment told one.
        start_ms: epoch milliseconds of the contact's first sample.
        customer_end: samples of the track up to the end of that fragment.
        agent_end: the same.
        segment_uid: of that fragment.
    """

    number: str | None
    start_ms: int
    customer_end: int
    agent_end: int
    segment_uid: bytes | None


class Piece(Struct, frozen=True):
    """Sound that was not given before: a block, or what is new of it.

    Attributes:
        track: whose.
        first_sample: of `pcm`.
        pcm: int16 little-endian, mono, 8 kHz.
        is_late: it lies before what was given last: it fills a hole, or replaces what damage had changed.
    """

    track: Track
    first_sample: int
    pcm: bytes
    is_late: bool


class FragmentDone(Struct, frozen=True):
    """All of a fragment has been given; it need not be read again.

    Attributes:
        number: the fragment's; None if it did not tell.
        at_ms: where it begins.
        end_ms: where its last block ends.
        blocks: how many the fragment has.
        behind_now_ms: how far reading is behind the newest fragment of the stream.
        checkpoint: what to remember.
    """

    number: str | None
    at_ms: int
    end_ms: int
    blocks: int
    behind_now_ms: int | None
    checkpoint: Checkpoint


class GapFound(Struct, frozen=True):
    """A track went on later than it had ended; the archive may have what is missing."""

    track: Track
    first_sample: int
    end_sample: int


class Gap(Struct, frozen=True):
    """Samples that stay missing: neither the stream nor the archive has them."""

    track: Track
    first_sample: int
    end_sample: int


class Settled(Struct, frozen=True):
    """Nobody looks for a gap any more: it has been filled, or what stays of it was told."""

    track: Track
    first_sample: int
    end_sample: int


class Retracted(Struct, frozen=True):
    """What was given of a track from here on is another contact's: the fragment said so after its blocks."""

    track: Track
    first_sample: int


class Broken(Struct, frozen=True):
    """The response is damaged; it must be closed and read again after the last complete fragment."""

    reason: str


class OtherContact(Struct, frozen=True):
    """The stream went on with another contact: this one is over."""


class ServiceError(Struct, frozen=True):
    """The service said in the stream why it stops.

    Attributes:
        error_id: its number, such as 4000.
        code: its name.
        action: what follows from it.
    """

    error_id: str | None
    code: str | None
    action: Action


class Reconnected(Struct, frozen=True):
    """Another response is asked for.

    Attributes:
        at_ms: how far the contact has been read.
        reason: why the last one was over; static text.
        after: the fragment after which it begins; None means by the producer's time.
    """

    at_ms: int
    reason: str
    after: str | None


class Failed(Struct, frozen=True):
    """A request was refused or its response cut; it is tried again.

    Attributes:
        at_ms: how far the contact has been read.
        kind: of `errors.py`, in lower case.
        reason: static text, with the service's name of the error.
    """

    at_ms: int
    kind: str
    reason: str


class Ended(Struct, frozen=True):
    """Nothing follows.

    Attributes:
        at_ms: the length of the longer track.
        customer_end: samples of the track; what damage gave beyond them is none of it.
        agent_end: the same.
        reason: `other contact`, `no more audio` (a clean end and nothing after it) or `idle`.
    """

    at_ms: int
    customer_end: int
    agent_end: int
    reason: Literal["other contact", "no more audio", "idle"]


Fact = (
    Piece
    | FragmentDone
    | GapFound
    | Gap
    | Settled
    | Retracted
    | Broken
    | OtherContact
    | ServiceError
    | Reconnected
    | Failed
    | Ended
)
