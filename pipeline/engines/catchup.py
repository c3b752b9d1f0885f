"""Outputs of the way back after a takeover: collected, the latest of each identity, and released together.

The order of release is what keeps promises across topics' readers. A record stands where its identity was first
written: nothing that was written after it may overtake it. Progress (a watermark, decided-until) promises that all
before it has been sent, so it stands where it was last written.
"""

from collections.abc import Iterable, Sequence

from pipeline.engines.effects import Output
from topics.records import DecidedUntil, Watermark

_PROGRESS = (Watermark, DecidedUntil)


class CatchUp:
    """See the module."""

    def __init__(self) -> None:
        self._held: dict[object, Output] = {}

    def hold(self, outputs: Iterable[Output]) -> None:
        """Collect outputs, oldest first."""
        for output in outputs:
            place = (output.topic, output.key, output.record.identity)
            if isinstance(output.record, _PROGRESS):
                self._held.pop(place, None)
            self._held[place] = output

    def release(self) -> Sequence[Output]:
        """Return what was collected, in the order in which it may be sent."""
        return tuple(self._held.values())
