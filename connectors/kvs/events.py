"""What the bytes of a GetMedia response say, in the order in which they say it.

    FragmentOpened (Tag | ErrorTold | ClusterOpened | Block)* Damage? FragmentClosed

`Damage` comes outside a fragment too, and a `Tag` after its fragment was closed. Times are milliseconds since 1970,
by the producer's clock, rounded down; AWS names what `number` and the other texts mean in the service's data-plane
reference (GetMedia, GetMediaForFragmentList). They are structs of msgspec because a block is made in 0.1 us, where a
frozen dataclass takes 0.9 us.
"""

from msgspec import Struct

from topics.records import Track


class FragmentOpened(Struct, frozen=True):
    """A document begins; nothing is known of it."""


class ClusterOpened(Struct, frozen=True):
    """The blocks that follow count from `time_ms`; identity and tracks come before them.

    Attributes:
        time_ms: of the cluster.
        segment_uid: what producers repeat as long as they write one recording; None when the fragment does not tell.
        tracks: track number and name, in the order of the fragment, which is not fixed.
    """

    time_ms: int
    segment_uid: bytes | None
    tracks: tuple[tuple[int, str], ...]


class Block(Struct, frozen=True):
    """The sound of one track, from `time_ms` on.

    Attributes:
        time_ms: of its first sample; the length of other blocks says nothing about it.
        number: of the track in this fragment.
        track: whose voice it is by the track's name, whatever number, UID or tags say; None for another name.
        payload: as the producer wrote it. Connect's is int16 little-endian, 8 kHz, mono, whatever CodecID says.
    """

    time_ms: int
    number: int
    track: Track | None
    payload: bytes


class Tag(Struct, frozen=True):
    """One name and its text, before or after the blocks."""

    name: str
    text: str


class ErrorTold(Struct, frozen=True):
    """The service ends the stream with an error, told in tags; each of them makes an event with all that is known.

    Attributes:
        code: its name, such as an exception's.
        error_id: its number, such as 4000: the fragment was not found.
        message: a sentence, which GetMediaForFragmentList alone sends.
    """

    code: str | None
    error_id: str | None
    message: str | None


class Damage(Struct, frozen=True):
    """What follows cannot be read as Matroska; reading goes on where the next document begins.

    Attributes:
        reason: static text.
        at_byte: of the response, where reading failed; the damage itself is there or before.
    """

    reason: str
    at_byte: int


class FragmentClosed(Struct, frozen=True):
    """All that was told about a fragment whose blocks have all been given.

    Attributes:
        number: decimal digits of a large integer; the numbers of one stream increase, with gaps.
        producer_ms: when the fragment began, by the producer's clock.
        server_ms: when the service had it, by the service's clock.
        behind_now_ms: how far reading is behind the newest fragment of the stream.
        continuation_token: where GetMedia can go on; a live fragment with a number but without it is not whole.
        contact_id: Connect's; a fragment in mid-call or at the end of one may be without.
        blocks: how many were given.
        is_damaged: the rest of the fragment was lost, and some of its last blocks may be noise.
        is_truncated: the response ended before the fragment said that it is whole.
    """

    number: str | None
    producer_ms: int | None
    server_ms: int | None
    behind_now_ms: int | None
    continuation_token: str | None
    contact_id: str | None
    blocks: int
    is_damaged: bool
    is_truncated: bool


Event = FragmentOpened | ClusterOpened | Block | Tag | ErrorTold | Damage | FragmentClosed
