"""Summarise a contact by quoting its own turns.

Owns the choice of turns and the form of the summary. It reads redacted text alone and quotes it as it stands;
nothing is rephrased, so each point can be checked against the turn that it cites.

The score of a turn is small and fixed: talk of some length, words by which a customer states a problem or a
request, words by which an agent decides or commits, and a place near the beginning (customer) or the end
(agent). Redaction tokens count for nothing. The weights are a rule of thumb, set on the bundled demo call.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import (
    SAMPLES_PER_MS,
    ContactEvent,
    GuidanceDraft,
    Hint,
    Point,
    Record,
    RedactedTurn,
    Track,
    Watermark,
)

CANDIDATE_LIMIT = 40
POINTS_AT_LEAST = 3
POINTS_AT_MOST = 6
QUOTE_LIMIT_WORDS = 30
QUOTE_LIMIT_CHARS = 300  # bounds the state where one "word" is very long

_LENGTH_LIMIT_WORDS = 20
_CUE_WEIGHT = 8
_CUES_LIMIT = 3
_PLACE_WEIGHT = 6
_EARLY_SHARE = 0.25  # of the contact's time, in which customers say why they call
_LATE_SHARE = 0.75  # after which agents say what will happen
_NEVER = -100  # what is not quotable any more goes first
_NOTABLE_SCORE = 20  # from which a turn earns a place beyond the first three

_TOKEN = re.compile(r"\[\w+\]")
_NAMES: dict[Track, str] = {"customer": "Customer", "agent": "Agent"}
_CUES: dict[Track, re.Pattern[str]] = {
    "customer": re.compile(
        r"\b(problem|issue|wrong|broken|down|error|fail(?:s|ed)?|stopped|complain\w*|cancel\w*|refund\w*|"
        r"charge[ds]?|bill\w*|help|need|want|would like|cannot|can't|not work\w*|doesn't work|upgrade|change|"
        r"question|agree|sounds (?:fair|good)|i will)\b",
        re.IGNORECASE,
    ),
    "agent": re.compile(
        r"\b(i will|i'll|we will|we'll|will (?:visit|call|send|receive|arrive)|offer|discount|refund\w*|"
        r"(?:have|has) (?:added|sent|changed|cancelled|canceled|booked|arranged|opened|fixed)|confirm\w*|"
        r"credit|approved|resolved|schedule\w*|technician|appointment|replace\w*|within|tomorrow)\b",
        re.IGNORECASE,
    ),
}


class Candidate(NamedTuple):
    """A turn that the summary may quote."""

    turn_id: str
    rev: int
    redaction_rev: int
    track: Track
    first_sample: int
    score: int  # without its place in the contact, which is unknown before the end
    quote: str


@dataclass(slots=True)
class SummaryState:
    """What a summary can be made of.

    Attributes:
        candidates: the best turns so far, by `<track>/<first sample>`.
        end_ms: time of the contact's end; None before it.
    """

    candidates: dict[str, Candidate] = field(default_factory=dict)
    end_ms: int | None = None


class Summary(Machine[SummaryState]):
    """Draft an extractive summary at the contact's end, and again when a cited turn is redacted further."""

    state = SummaryState

    def on_record(self, state: SummaryState, record: Record) -> Sequence[Record]:
        """Return the summary when the contact ends, or when a late revision changes it.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        match record:
            case RedactedTurn():
                return _on_turn(state, record) if record.is_final else ()
            case Watermark():
                return _on_watermark(state, record)
            case ContactEvent():
                return ()
            case _:
                raise RecordRefused("summary does not read this type")


def _on_turn(state: SummaryState, turn: RedactedTurn) -> Sequence[Record]:
    if state.end_ms is None:
        _consider(state, turn)
        return ()
    before = _points(state.candidates, state.end_ms)
    _consider(state, turn)
    after = _points(state.candidates, state.end_ms)
    return () if after == before else (_draft(turn, after, state.end_ms),)


def _on_watermark(state: SummaryState, mark: Watermark) -> Sequence[Record]:
    if not mark.is_end or state.end_ms is not None:
        return ()
    state.end_ms = mark.time_ms
    return (_draft(mark, _points(state.candidates, mark.time_ms), mark.time_ms),)


def _consider(state: SummaryState, turn: RedactedTurn) -> None:
    """Put a final turn among the candidates in place of its earlier revision; the weakest may have to go."""
    name = f"{turn.track}/{turn.first_sample}"
    known = state.candidates.get(name)
    if known is not None and (turn.rev, turn.redaction_rev) <= (known.rev, known.redaction_rev):
        return
    if _is_quotable(turn):
        state.candidates[name] = _candidate(turn)
    elif known is not None:
        state.candidates[name] = _candidate(turn)._replace(score=_NEVER, quote="")  # its revision is remembered
    if len(state.candidates) > CANDIDATE_LIMIT:
        weakest = min(state.candidates, key=lambda key: _rank(state.candidates[key], 0))
        del state.candidates[weakest]


def _is_quotable(turn: RedactedTurn) -> bool:
    """Say whether it may be quoted: a contact flow's prompt states no problem and decides nothing."""
    return bool(turn.words) and turn.speaker != "system"


def _candidate(turn: RedactedTurn) -> Candidate:
    return Candidate(
        turn.turn_id,
        turn.rev,
        turn.redaction_rev,
        turn.track,
        turn.first_sample,
        _score(turn.track, turn.text),
        f"{_NAMES[turn.track]}: {_shorten(turn.text)}",
    )


def _score(track: Track, text: str) -> int:
    plain = _TOKEN.sub("", text)
    cues = len({cue.lower() for cue in _CUES[track].findall(plain)})
    return min(len(plain.split()), _LENGTH_LIMIT_WORDS) + _CUE_WEIGHT * min(cues, _CUES_LIMIT)


def _shorten(text: str) -> str:
    """Cut a text at the word limit and close it like a sentence."""
    words = text.split(" ")
    short = " ".join(words[:QUOTE_LIMIT_WORDS])[:QUOTE_LIMIT_CHARS]
    if short != text:
        return short.rstrip(".,;: ") + " ..."
    return short if short.endswith((".", "?", "!")) else short + "."


def _rank(candidate: Candidate, end_ms: int) -> tuple[int, int, str]:
    """Order candidates by worth; of equals the earlier is worth more, then the customer's."""
    place_ms, place = candidate.first_sample // SAMPLES_PER_MS, 0
    if candidate.track == "customer" and place_ms < _EARLY_SHARE * end_ms:
        place = _PLACE_WEIGHT
    if candidate.track == "agent" and place_ms > _LATE_SHARE * end_ms:
        place = _PLACE_WEIGHT
    return candidate.score + place, -candidate.first_sample, candidate.track


def _points(candidates: dict[str, Candidate], end_ms: int) -> tuple[Point, ...]:
    """Choose the turns to quote, in conversation order."""
    quotable = [candidate for candidate in candidates.values() if candidate.quote]
    best = sorted(quotable, key=lambda candidate: _rank(candidate, end_ms), reverse=True)
    notable = [candidate for candidate in best[POINTS_AT_LEAST:] if candidate.score >= _NOTABLE_SCORE]
    chosen = [*best[:POINTS_AT_LEAST], *notable][:POINTS_AT_MOST]
    chosen.sort(key=lambda candidate: (candidate.first_sample, candidate.track == "agent"))
    return tuple(Point(candidate.quote, (candidate.turn_id,)) for candidate in chosen)


def _draft(cause: RedactedTurn | Watermark, points: tuple[Point, ...], end_ms: int) -> GuidanceDraft:
    name = f"{cause.contact_id}/summary"
    hint = Hint(
        guidance_id=name,
        kind="summary",
        body=" ".join(point.text for point in points),
        policy="",
        policy_version=0,
        evidence=tuple(turn for point in points for turn in point.turn_ids),
        at_ms=end_ms,
        deadline_ms=None,
        points=points,
    )
    return GuidanceDraft(cause.tenant, cause.contact_id, cause.leg, name, (hint,))
