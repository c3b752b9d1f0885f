"""Who may have a connection: so many at once, the first tenants of a list before the others.

Owns the choice and nothing else. A connection is never taken away within a segment: its holder is told at its next
one, and the place is then kept for the tenant that comes first.
"""

from collections.abc import Hashable, Sequence
from typing import Final

# Who waited for a place and has not asked for so long waits no more.
_PATIENCE_S: Final = 10.0


class Places:
    """The connections of one process."""

    def __init__(self, count: int, tenants: Sequence[str]) -> None:
        """Begin with all places free.

        Args:
            count: of connections at once.
            tenants: the most important first; others have no place.
        """
        self._count = count
        self._ranks = {tenant: rank for rank, tenant in reversed(list(enumerate(tenants)))}
        self._held: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, tuple[int, float]] = {}

    def take(self, holder: Hashable, tenant: str, now_s: float) -> bool:
        """Return whether the holder has a place now; otherwise it waits for one."""
        if holder in self._held:
            return True
        rank = self._ranks[tenant]
        self._waiting.pop(holder, None)
        if len(self._held) + len(self._before(rank, now_s)) < self._count:
            self._held[holder] = rank
            return True
        self._waiting[holder] = rank, now_s
        return False

    def must_leave(self, holder: Hashable, now_s: float) -> bool:
        """Return whether a holder's place is wanted by a tenant that comes before its own."""
        if holder not in self._held or len(self._held) < self._count:
            return False
        least = sorted(self._held, key=lambda held: self._held[held], reverse=True)
        wanted = [rank for rank, _ in self._waiters(now_s) if rank < self._held[holder]]
        return holder in least[: len(wanted)]

    def give(self, holder: Hashable) -> None:
        """Let a place go."""
        self._held.pop(holder, None)

    def _before(self, rank: int, now_s: float) -> list[int]:
        return [waiting for waiting, _ in self._waiters(now_s) if waiting < rank]

    def _waiters(self, now_s: float) -> list[tuple[int, float]]:
        """Forget those who have gone; return the others."""
        self._waiting = {one: entry for one, entry in self._waiting.items() if now_s - entry[1] < _PATIENCE_S}
        return list(self._waiting.values())
