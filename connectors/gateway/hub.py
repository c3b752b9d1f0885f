"""Who watches which contact: hands the board's frames to the screens of their contact.

Between a screen's `join` and its first live frame nothing can be lost or doubled, because both happen in one
step of the loop. It owns no socket and no topic.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.gateway.board import Board, Frame, Shown
from connectors.gateway.outbox import Outbox


class Hub:
    """The board and the screens that look at it.

    Attributes:
        board: what is known.
        is_degraded: whether the transcript stands still because Kafka does not answer.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.is_degraded = False
        self._screens: dict[str, set[Outbox]] = {}

    def take(self, record: Shown, key: bytes, logged_ms: int = 0, generation: int | None = None) -> bool:
        """Show one record; return whether any screen of the contact had to change."""
        frames = self.board.apply(record, key, logged_ms, generation)
        if not frames:
            return False
        for outbox in self._screens.get(record.contact_id, ()):
            outbox.offer(frames)
        return "seq" in frames[0]

    @contextmanager
    def join(self, contact_id: str, epoch: str | None, seq: int) -> Iterator[Outbox]:
        """Follow a contact from the frame after `seq` of `epoch`."""
        outbox = Outbox(lambda: self.board.since(contact_id, None, 0))
        outbox.offer((*self.board.since(contact_id, epoch, seq), self._status()))
        self._screens.setdefault(contact_id, set()).add(outbox)
        try:
            yield outbox
        finally:
            self._screens[contact_id].discard(outbox)
            if not self._screens[contact_id]:
                del self._screens[contact_id]

    def screens(self, contact_id: str) -> int:
        """Return how many screens look at a contact."""
        return len(self._screens.get(contact_id, ()))

    def degrade(self, *, is_degraded: bool) -> None:
        """Tell every screen whether what it shows keeps up with the call."""
        if is_degraded == self.is_degraded:
            return
        self.is_degraded = is_degraded
        for outbox in [outbox for screens in self._screens.values() for outbox in screens]:
            outbox.offer((self._status(),))

    def _status(self) -> Frame:
        return {"type": "status", "state": "degraded" if self.is_degraded else "live"}
