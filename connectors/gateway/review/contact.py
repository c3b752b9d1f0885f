"""One contact as a reviewer sees it, and what becomes of the words that they mark. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from connectors.gateway.board import Frame
from pipeline.redaction.detect import TYPES
from topics.records import (
    ON_HOLD,
    SAMPLES_PER_MS,
    AudioRedaction,
    Correction,
    Record,
    RedactedTurn,
    RedactionVerification,
    TextSpan,
)


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of a turn that a reviewer wants masked.

    Attributes:
        turn_id: the turn.
        redaction_rev: of the turn as they saw it.
        first: the first word's place in the turn.
        last: the last word's.
        type: as what it is masked.
    """

    turn_id: str
    redaction_rev: int
    first: int
    last: int
    type: str


@dataclass(frozen=True, slots=True)
class Contact:
    """The newest of what redaction has published about a contact: its final turns by id, and what each covers."""

    turns: Mapping[str, RedactedTurn]
    audio: Mapping[str, AudioRedaction]


def newest(records: Iterable[Record], contact_id: str) -> Contact:
    """Gather one contact; of two records with one identity the higher revision counts."""
    turns: dict[str, RedactedTurn] = {}
    audio: dict[str, AudioRedaction] = {}
    for record in records:
        if record.contact_id != contact_id:
            continue
        if isinstance(record, RedactedTurn) and record.is_final:
            turns[record.turn_id] = max(turns.get(record.turn_id, record), record, key=lambda one: one.rev)
        elif isinstance(record, AudioRedaction):
            audio[record.turn_id] = max(audio.get(record.turn_id, record), record, key=lambda one: one.rev)
    return Contact(turns, audio)


def shown(contact: Contact, verdict: RedactionVerification) -> list[Frame]:
    """Return the turns as JSON in the order of speech, each word with the type that it is suspected of."""
    suspects = {suspect.turn_id: suspect.spans for suspect in verdict.suspects}
    spoken = [
        turn for turn in contact.turns.values() if turn.words and (turn.gap != ON_HOLD or turn.turn_id in suspects)
    ]
    spoken.sort(key=lambda turn: (turn.first_sample, turn.turn_id))
    return [_turn(turn, suspects.get(turn.turn_id, ())) for turn in spoken]


def corrections(contact: Contact, marks: Sequence[Mark]) -> tuple[Correction, ...] | None:
    """Return what is to be masked, turn by turn; None where a turn is no longer as its reviewer saw it."""
    by_turn: dict[str, list[Mark]] = {}
    for mark in marks:
        turn = contact.turns.get(mark.turn_id)
        is_there = turn is not None and mark.redaction_rev == turn.redaction_rev
        if turn is None or not is_there or not 0 <= mark.first <= mark.last < len(turn.words):
            return None
        by_turn.setdefault(mark.turn_id, []).append(mark)
    return tuple(_correction(contact, turn_id, own) for turn_id, own in by_turn.items())


def are_known(marks: Sequence[Mark]) -> bool:
    """Whether each mark is of a type that redaction knows."""
    return all(mark.type in TYPES for mark in marks)


def _correction(contact: Contact, turn_id: str, marks: Sequence[Mark]) -> Correction:
    turn = contact.turns[turn_id]
    covered = contact.audio[turn_id].spans if turn_id in contact.audio else ()
    masks = tuple(
        TextSpan(turn.words[mark.first].start_ms, turn.words[mark.last].end_ms, mark.type, (turn.track,))
        for mark in sorted(marks, key=lambda mark: mark.first)
    )
    return Correction(turn, covered, masks)


def _turn(turn: RedactedTurn, suspected: Sequence[TextSpan]) -> Frame:
    return {
        "turn_id": turn.turn_id,
        "redaction_rev": turn.redaction_rev,
        "speaker": turn.speaker,
        "start_ms": turn.first_sample // SAMPLES_PER_MS,
        "words": [word.text for word in turn.words],
        "suspects": [*_places(turn, suspected)],
    }


def _places(turn: RedactedTurn, suspected: Sequence[TextSpan]) -> Iterator[Frame]:
    for span in suspected:
        inside = [
            at for at, word in enumerate(turn.words) if word.start_ms < span.end_ms and span.start_ms < word.end_ms
        ]
        if inside:
            yield {"first": inside[0], "last": inside[-1], "type": span.type}
