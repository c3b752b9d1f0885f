"""Look a second time at what redaction has published, by other means than its own, and have it corrected.

Owns when a turn is looked at and what becomes of a finding; what counts as one is decided in `pipeline.verification`.
A turn is looked at once redaction has decided about it: its text by `rescan`, together with the talk around it, and
that each masked run of words is covered in the audio. What is found becomes a command: `redaction` is the only writer
of transcripts. The turn that it writes again is looked at again; what two commands have not mended waits for a person,
whose decision ends the wait: what they have marked becomes commands, and nothing is looked at again.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from pipeline.verification.rescan import rescan
from topics.records import (
    SAMPLES_PER_MS,
    AudioRedaction,
    AudioSpan,
    DecidedUntil,
    Record,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    ReviewDecision,
    Suspect,
    TextSpan,
    Watermark,
)

WINDOW_MS: Final = 60_000  # of talk that may explain a number: `rescan` asks for 30 s
MAX_TURNS: Final = 48
COMMANDS: Final = 2  # for one turn
Outcome = Literal["verified", "auto_fixed", "needs_review", "rejected"]


@dataclass(slots=True)
class VerificationState:
    """What is known of a contact.

    Attributes:
        turns: final turns by start, as long as they may explain another.
        audio: what each of them covers.
        looked: the redaction revision at which a turn was looked at last.
        commands: how often redaction was told to mask more of a turn, and at which of its redaction revisions.
        customer_ms: decided on the customer's track.
        agent_ms: likewise.
        checked: turns that have left the window.
        found: values that redaction had left.
        unmended: turns that two commands have not mended.
        suspects: what is suspected in them.
        review: what a person has decided; empty before.
    """

    turns: list[RedactedTurn] = field(default_factory=list)
    audio: dict[str, tuple[AudioSpan, ...]] = field(default_factory=dict)
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)
    commands: dict[str, tuple[int, int]] = field(default_factory=dict)
    customer_ms: int = 0
    agent_ms: int = 0
    checked: int = 0
    found: int = 0
    unmended: list[str] = field(default_factory=list)
    suspects: dict[str, tuple[TextSpan, ...]] = field(default_factory=dict)
    review: Literal["", "approved", "rejected"] = ""
    is_said: bool = False
    is_decided: bool = False
    told: tuple[int, int] | None = None

    @property
    def decided_ms(self) -> int:
        """Up to where both tracks are decided."""
        return min(self.customer_ms, self.agent_ms)


class Verification(Machine[VerificationState]):
    """See the module."""

    state = VerificationState

    def on_record(self, state: VerificationState, record: Record) -> Sequence[Record]:
        """Take a turn, what it covers, or progress; return commands, and the verdict when the contact is over.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        commands: list[Record] = []
        match record:
            case RedactedTurn():
                _take(state, record)
            case AudioRedaction():
                state.audio[record.turn_id] = record.spans
            case DecidedUntil():
                state.customer_ms = max(state.customer_ms, record.customer_sample // SAMPLES_PER_MS)
                state.agent_ms = max(state.agent_ms, record.agent_sample // SAMPLES_PER_MS)
                state.is_decided = state.is_decided or record.is_end
            case Watermark():
                state.is_said = state.is_said or record.is_end
            case ReviewDecision():
                commands += _reviewed(state, record)
            case _:
                raise RecordRefused("verification does not read this type")
        commands += _look(state)
        _forget(state)
        return [*commands, *_verdict(state, record)]

    def awaits(self, state: VerificationState) -> bool:
        """Say whether a person has to decide."""
        return state.told is not None and state.told[1] > 0


def _take(state: VerificationState, turn: RedactedTurn) -> None:
    known = next((one for one in state.turns if one.turn_id == turn.turn_id), None)
    if not turn.is_final or known is not None and (known.rev, known.redaction_rev) >= (turn.rev, turn.redaction_rev):
        return
    if known is not None:
        state.turns.remove(known)
    insort(state.turns, turn, key=lambda one: (one.first_sample, one.track))


def _look(state: VerificationState) -> Iterator[Record]:
    """Look at the turns that are decided and were not looked at as they are now."""
    ready = [turn for turn in state.turns if _is_ready(state, turn)]
    if not ready:
        return
    masks: dict[str, list[TextSpan]] = {turn.turn_id: list(_uncovered(state, turn)) for turn in ready}
    by_id = {turn.turn_id: turn for turn in ready}
    for finding in rescan(state.turns):
        if finding.turn_id in by_id:
            words = by_id[finding.turn_id].words
            track = by_id[finding.turn_id].track
            span = TextSpan(words[finding.first].start_ms, words[finding.last].end_ms, finding.type, (track,))
            masks[finding.turn_id].append(span)
    for turn in ready:
        state.looked[turn.turn_id] = turn.rev, turn.redaction_rev
        yield from _corrected(state, turn, tuple(masks[turn.turn_id]))


def _is_ready(state: VerificationState, turn: RedactedTurn) -> bool:
    is_decided = state.is_decided or turn.end_sample // SAMPLES_PER_MS <= state.decided_ms
    return is_decided and state.looked.get(turn.turn_id) != (turn.rev, turn.redaction_rev)


def _uncovered(state: VerificationState, turn: RedactedTurn) -> Iterator[TextSpan]:
    """Yield the masked runs of words that are heard on a track."""
    covered = state.audio.get(turn.turn_id, ())
    for span in turn.spans:
        start, end = span.start_ms * SAMPLES_PER_MS, span.end_ms * SAMPLES_PER_MS
        for track in span.tracks:
            if not any(one.track == track and one.start_sample <= start and end <= one.end_sample for one in covered):
                yield TextSpan(span.start_ms, span.end_ms, span.type, (track,))


def _corrected(state: VerificationState, turn: RedactedTurn, masks: tuple[TextSpan, ...]) -> Iterator[Record]:
    if state.review:
        return
    if not masks:
        if turn.turn_id in state.unmended:
            state.unmended.remove(turn.turn_id)
        return
    sent, _ = state.commands.get(turn.turn_id, (0, 0))
    if sent >= COMMANDS:
        state.unmended = [*state.unmended, turn.turn_id][-MAX_TURNS:]
        state.suspects[turn.turn_id] = masks
        state.suspects = {turn_id: state.suspects[turn_id] for turn_id in state.unmended}
        return
    state.found += len(masks) if sent == 0 else 0
    state.commands[turn.turn_id] = sent + 1, turn.redaction_rev
    audio = state.audio.get(turn.turn_id, ())
    yield RedactionCommand(turn.tenant, turn.contact_id, turn.leg, turn, audio, masks)


def _reviewed(state: VerificationState, decision: ReviewDecision) -> Iterator[Record]:
    """Take what a person has decided, once; one who decides after another decides nothing."""
    if state.review or not state.unmended or state.told is None:
        return
    state.review = decision.decision
    state.unmended.clear()
    state.suspects.clear()
    for correction in decision.corrections:
        turn_id = correction.turn.turn_id
        if all(known.turn_id != turn_id for known in state.turns):
            state.checked -= 1  # it comes back from what was checked
        _take(state, correction.turn)
        turn = next(known for known in state.turns if known.turn_id == turn_id)
        audio = state.audio.setdefault(turn_id, correction.audio)
        state.looked[turn_id] = turn.rev, turn.redaction_rev
        state.commands[turn_id] = COMMANDS, turn.redaction_rev
        state.found += len(correction.masks)
        yield RedactionCommand(turn.tenant, turn.contact_id, turn.leg, turn, audio, correction.masks)


def _forget(state: VerificationState) -> None:
    """Drop turns that explain no other any more, once they were looked at and are mended."""
    latest_ms = max((turn.end_sample for turn in state.turns), default=0) // SAMPLES_PER_MS
    while state.turns:
        oldest = state.turns[0]
        is_old = oldest.end_sample // SAMPLES_PER_MS < latest_ms - WINDOW_MS or len(state.turns) > MAX_TURNS
        if (
            not is_old
            or state.looked.get(oldest.turn_id) != (oldest.rev, oldest.redaction_rev)
            or _waits(state, oldest)
        ):
            return
        state.turns.pop(0)
        state.checked += 1
        for known in (state.audio, state.looked, state.commands):
            known.pop(oldest.turn_id, None)


def _waits(state: VerificationState, turn: RedactedTurn) -> bool:
    """Whether redaction has been told to mask more of a turn and has not written it again."""
    command = state.commands.get(turn.turn_id)
    return command is not None and turn.turn_id not in state.unmended and turn.redaction_rev <= command[1]


def _verdict(
    state: VerificationState, cause: RedactedTurn | AudioRedaction | DecidedUntil | Watermark | ReviewDecision
) -> Iterator[Record]:
    """Say what was found once everything is decided, and again when that changes."""
    if not (state.is_said and state.is_decided) or any(_waits(state, turn) for turn in state.turns):
        return
    told = state.found, len(state.unmended)
    if told == state.told:
        return
    state.told = told
    checked = state.checked + len(state.turns)
    suspects = tuple(Suspect(turn_id, state.suspects[turn_id]) for turn_id in dict.fromkeys(state.unmended))
    yield RedactionVerification(
        cause.tenant, cause.contact_id, cause.leg, _outcome(state), (), checked, state.found, suspects=suspects
    )


def _outcome(state: VerificationState) -> Outcome:
    if state.review:
        return "rejected" if state.review == "rejected" else "verified"
    return "needs_review" if state.unmended else "auto_fixed" if state.found else "verified"
