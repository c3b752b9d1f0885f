"""The exception tree.

Two questions split it: whose fault is it, and is it worth trying again?

    TrunklineError
    +-- InputError            the user's: knowable before work starts; never retried; exit 2
    +-- RecordRefused         the record's: undecodable or against its schema's promise; dead-lettered
    |   |-- FrameGap          a sample counter that jumps back
    |   |-- KeyGone           its conversation's key was deleted: nobody reads it again
    |   `-- EgressRefused     it may not leave: nothing proves that redaction wrote it
    +-- PeerUnavailable       the world's: broker, store or port; retried with backoff; exit 1 when it ends a command
    |   `-- Fenced            the world's: another owner has taken over; this one stops, never retried
    +-- DifferenceFound       a check found a difference; exit 3
    `-- EngineFault           ours: a promise of the engine is broken; the task ends and restores

Messages are static text with safe fields (names, offsets, counts): no transcript, audio, digits or payload.
"""


class TrunklineError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(TrunklineError):
    """Something the user can mend before work starts: an argument, a file, a setting."""


class RecordRefused(TrunklineError):
    """One record cannot be processed and never will be; it belongs in the dead-letter topic."""


class FrameGap(RecordRefused):
    """An audio record whose first sample jumps in a way that its track cannot explain."""


class KeyGone(RecordRefused):
    """The key of a conversation was deleted, and with it everything that it has sealed."""


class EgressRefused(RecordRefused):
    """A record that may not be stored, shown or sent to a model."""


class PeerUnavailable(TrunklineError):
    """A broker, store or port does not answer as its protocol promises."""


class Fenced(PeerUnavailable):
    """A newer owner holds the partition, the member id or the transaction."""


class DifferenceFound(TrunklineError):
    """A check compared two things that should be equal, and they are not."""


class EngineFault(TrunklineError):
    """The engine broke one of its own promises; the task is abandoned and restored."""
