"""The work of one text hop, the same for each engine: count a contact's words, say the total with the turn.

Owns the stage, its row and the records that the benchmark sends; what an engine needs around them is in `hop_worker.py`
and `hop_quix.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pipeline.machine import Machine
from pipeline.topology import Stage
from topics.records import Record, SegmentWords, Turn, Word, turn_id

WORDS = 12  # in a turn
CONTACTS = 100
SPOKEN = "the line has been down since monday and nobody could tell me why it is not working again at home".split()


@dataclass(slots=True)
class Counted:
    """How many words a contact has said."""

    words: int = 0


class CountWords(Machine[Counted]):
    """Turn words into a turn."""

    state = Counted

    def on_record(self, state: Counted, record: Record) -> Sequence[Record]:
        """Count, and return the turn."""
        assert isinstance(record, SegmentWords)
        state.words += len(record.words)
        return (turn(record, state.words),)


HOP = (Stage("hop", "hop", ("transcript.words",), ("transcript.raw",), CountWords),)


def turn(heard: SegmentWords, words: int) -> Turn:
    """Make the turn that every engine writes; the total stands where a recogniser's name would."""
    return Turn(
        tenant=heard.tenant,
        contact_id=heard.contact_id,
        leg=heard.leg,
        turn_id=turn_id(heard.contact_id, heard.track, heard.first_sample),
        track=heard.track,
        speaker=heard.track,
        first_sample=heard.first_sample,
        end_sample=heard.end_sample,
        is_final=heard.is_final,
        words=heard.words,
        asr=f"{words} words",
        confidence=heard.confidence,
    )


def heard(seed: int, count: int) -> Iterator[SegmentWords]:
    """Draw what the contacts say; `first_sample` numbers the records from 0."""
    random = Random(seed)
    for number in range(count):
        contact = f"contact-{random.randrange(CONTACTS):03d}"
        said = tuple(Word(random.choice(SPOKEN), 1_000 + 300 * n, 1_250 + 300 * n) for n in range(WORDS))
        yield SegmentWords("local", contact, 1, "customer", number, number + 30_000, True, said, "bench", 0.9, rev=1)
