"""Look through the published text of a whole contact for what should not be there.

Owns what counts as a finding: it may be wrong, since a benign word that is masked costs less than a number that is
not. Numbers are judged in `figures`, names in `people`, addresses in `places`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.verification.figures import find_numbers
from pipeline.verification.people import find_people
from pipeline.verification.places import find_places
from pipeline.verification.spoken import Language
from pipeline.verification.talk import Talk, is_masked
from topics.records import RedactedTurn


@dataclass(frozen=True, slots=True)
class Finding:
    """Words of one turn that should have been masked, `first` to `last`."""

    turn_id: str
    first: int
    last: int
    type: str


def rescan(turns: Sequence[RedactedTurn], language: Language = "en") -> list[Finding]:
    """Find what is left in the final turns of a contact, in the order of their start."""
    talk = Talk(turns)
    marks = [*find_numbers(talk, language), *find_places(talk), *find_people(talk)]
    return [
        Finding(turns[turn].turn_id, first, last, kind)
        for turn, first, last, kind in dict.fromkeys(sorted(marks))
        if not all(map(is_masked, talk.texts[turn][first : last + 1]))
    ]
