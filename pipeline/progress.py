"""What a worker leaves on disk for its next life: that it got somewhere, and which record it was about to take.

The supervisor counts deaths without progress. After three it starts the worker *careful*: each record's place is
written down before the record is taken, so the one that ends the process twice is known and goes to the dead letters.
"""

import json
import time
from pathlib import Path

KILLS = 2  # of one record, before it is dead-lettered
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

    def has_killed(self, place: Place) -> bool:
        """Say whether a record has ended the process twice; if not, write down that it is taken now."""
        deaths = self._deaths.get(place, 0)
        if deaths < KILLS:
            self._suspect.write_text(json.dumps([place, deaths + 1]))
        return deaths >= KILLS


def _deaths(suspect: Path) -> dict[Place, int]:
    """Read which record the last life was about to take, and how many lives in a row have ended with it."""
    try:
        (topic, partition, offset), deaths = json.loads(suspect.read_text())
    except (FileNotFoundError, ValueError):  # none, or the process died while it wrote
        return {}
    return {(topic, partition, offset): deaths}


def mark_file(stem: Path) -> Path:
    """Exists once a life has had progress; the supervisor removes it before the next."""
    return stem.with_suffix(".progress")


def suspect_file(stem: Path) -> Path:
    """Holds the record that a careful worker was about to take."""
    return stem.with_suffix(".suspect")
