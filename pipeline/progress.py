"""What a worker leaves on disk for its next life: that it got somewhere, and which record it was about to take.

The supervisor counts deaths without progress. After three it starts the worker *careful*: what is under way is written
down before each record, so that after a death the suspects are known. The next life takes each of them alone, and the
one that ends the process twice goes to the dead letters.
"""

import json
import time
from collections.abc import Collection
from pathlib import Path

KILLS = 2  # of one record that is alone, before it is dead-lettered
_EVERY_S = 1.0  # also the shortest life that can have had progress

Place = tuple[str, int, int]  # topic, partition, offset


class Progress:
    """One worker's, by its supervisor number."""

    def __init__(self, stem: Path, *, is_careful: bool) -> None:
        """Begin a life.

        Args:
            stem: `.trunkline/run/<group>-<n>`; two files lie beside the pid file.
            is_careful: whether places are written down until the first progress.
        """
        self._mark = mark_file(stem)
        self._suspect = suspect_file(stem)
        self._next_s = time.monotonic() + _EVERY_S
        self._deaths = _deaths(self._suspect)
        self.is_careful = is_careful

    def note(self) -> None:
        """Say that all that has come is checkpointed or committed; it counts once a second."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _EVERY_S
            self._mark.touch()
            self._suspect.unlink(missing_ok=True)
            self.is_careful = False

    def is_suspected(self, place: Place) -> bool:
        """Say whether a record was under way when the last life ended; such a one is taken alone."""
        return place in self._deaths

    def has_killed(self, place: Place, beside: Collection[Place | None] = ()) -> bool:
        """Say whether a record has ended the process twice; if not, write down that it is taken now.

        Args:
            place: of the record.
            beside: the records whose answers have not come, None for one of an earlier life. What ends the process
                beside others is only suspected.
        """
        if self._deaths.get(place, 0) >= KILLS:
            return True
        kills = 0 if beside else 1
        under_way = [(one, self._deaths.get(one, 0) + kills) for one in {place, *filter(None, beside)}]
        self._suspect.write_text(json.dumps(under_way))
        return False


def _deaths(suspect: Path) -> dict[Place, int]:
    """Read which records were under way when the last life ended, and how many lives each has ended alone."""
    try:
        under_way = json.loads(suspect.read_text())
    except (FileNotFoundError, ValueError):  # none, or the process died while it wrote
        return {}
    return {(topic, partition, offset): deaths for (topic, partition, offset), deaths in under_way}


def mark_file(stem: Path) -> Path:
    """Exists once a life has had progress; the supervisor removes it before the next."""
    return stem.with_suffix(".progress")


def suspect_file(stem: Path) -> Path:
    """Holds the records that a careful worker had under way."""
    return stem.with_suffix(".suspect")
