"""Look a second time at what redaction has published, by other means than its own, and have it corrected.

Owns when a turn is looked at and what becomes of a finding; what counts as one is decided in `pipeline.verification`.
A turn is looked at once redaction has decided about it: its text by `rescan`, together with the talk around it, and
that each masked run of words is covered in the audio. What is found becomes a command: `redaction` is the only writer
of transcripts. The turn that it writes again is looked at again; what two commands have not mended waits for a person,
whose decision ends the wait: what they have marked becomes commands, and nothing is looked at again.
Once the text is decided, the audio that the archive has stored is checked (`pipeline/verification/listening.py`).
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Ask, Failed, Machine
from pipeline.verification import listening
from pipeline.verification.listening import CompareAudio, Compared, Found, HearAudio, How, Listening, Overheard
from pipeline.verification.rescan import rescan
from topics.records import (
    SAMPLES_PER_MS,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    DecidedUntil,
    Record,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    ReviewDecision,
    Suspect,
    TextSpan,
    Watermark,
    Word,
)

WINDOW_MS: Final = 60_000  # of talk that may explain a number: `rescan` asks for 30 s
MAX_TURNS: Final = 48
MAX_SPANS: Final = 256  # that a verdict tells, the latest; more are covered all the same
COMMANDS: Final = 2  # for one turn
Outcome = Literal["verified", "auto_fixed", "needs_review", "rejected"]


@dataclass(frozen=True, slots=True)
class Sent:
    """The latest command for a turn.

    Attributes:
        times: how many there were.
        redaction_rev: of the turn that it was about.
        masks: what it asked for.
        is_covered: what the turn covers was told since.
    """

    times: int = 0
    redaction_rev: int = 0
    masks: tuple[TextSpan, ...] = ()
    is_covered: bool = False


@dataclass(slots=True)
class VerificationState:
    """What is known of a contact.

    Attributes:
        turns: final turns by start, as long as they may explain another.
        audio: what each of them covers.
        looked: the redaction revision at which a turn was looked at last.
        commands: by turn, what redaction was told to mask further.
        customer_ms: decided on the customer's track.
        agent_ms: likewise.
        checked: turns that have left the window.
        found: values that redaction had left.
        unmended: turns that two commands have not mended.
        covered: what is covered because of commands.
        told: what the last verdict said.
        listening: what is known of the stored audio.
        suspects: what is suspected in them.
        review: what a person has decided; empty before.
    """

    turns: list[RedactedTurn] = field(default_factory=list)
    audio: dict[str, tuple[AudioSpan, ...]] = field(default_factory=dict)
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)
    commands: dict[str, Sent] = field(default_factory=dict)
    customer_ms: int = 0
    agent_ms: int = 0
    checked: int = 0
    found: int = 0
    unmended: list[str] = field(default_factory=list)
    covered: list[AudioSpan] = field(default_factory=list)
    suspects: dict[str, tuple[TextSpan, ...]] = field(default_factory=dict)
    review: Literal["", "approved", "rejected"] = ""
    is_said: bool = False
    is_decided: bool = False
    told: tuple[str, ...] = ()
    listening: Listening = field(default_factory=Listening)

    @property
    def decided_ms(self) -> int:
        """Up to where both tracks are decided."""
        return min(self.customer_ms, self.agent_ms)

    @property
    def is_over(self) -> bool:
        """Whether all of the text is decided, and redaction has obeyed."""
        return self.is_said and self.is_decided and not any(_waits(self, turn) for turn in self.turns)


class Verification(Machine[VerificationState]):
    """See the module."""

    state = VerificationState
    drops_late = (AudioStored,)

    def __init__(self, how: How = "words") -> None:
        """Check stored audio: not at all, by sample, or by ear too."""
        self._how = how

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
                _cover(state, record)
                listening.note_redaction(state.listening, record)
            case AudioStored():
                listening.note_stored(state.listening, record)
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
        state.listening.tenant, state.listening.contact_id = record.tenant, record.contact_id
        if not isinstance(record, AudioStored):
            state.listening.leg = record.leg
        commands += _look(state)
        _forget(state)
        return [*commands, *_verdict(state, self._how)]

    def open_asks(self, state: VerificationState) -> Sequence[Ask]:
        """Ask for the stored audio once the text is decided."""
        ask = listening.open_ask(state.listening, self._how) if state.is_over else None
        return () if ask is None else (ask,)

    def request(self, state: VerificationState, ask: Ask) -> CompareAudio | HearAudio:
        """Build what is asked of the stored audio."""
        return listening.request(state.listening, ask)

    def on_reply(self, state: VerificationState, ask: Ask, answer: object) -> Sequence[Record]:
        """Take what was compared or heard; a failure opens the ask again under another id.

        Raises:
            EngineFault: it is no answer of the service.
        """
        if ask not in self.open_asks(state):
            return ()
        if not isinstance(answer, Compared | Overheard | Failed):
            raise EngineFault("playback has answered something else")
        found = listening.take(state.listening, answer)
        return [*_silenced(state, found), *_verdict(state, self._how)]

    def awaits(self, state: VerificationState) -> bool:
        """Say whether a person has to decide."""
        is_obeying = bool(state.review) and not state.told
        return is_obeying or state.told[:1] == ("needs_review",)


def _take(state: VerificationState, turn: RedactedTurn) -> None:
    known = next((one for one in state.turns if one.turn_id == turn.turn_id), None)
    if not turn.is_final or known is not None and (known.rev, known.redaction_rev) >= (turn.rev, turn.redaction_rev):
        return
    if known is not None:
        state.turns.remove(known)
    insort(state.turns, turn, key=lambda one: (one.first_sample, one.track))


def _cover(state: VerificationState, audio: AudioRedaction) -> None:
    """Note what a turn covers; after a command it is looked at with that."""
    state.audio[audio.turn_id] = audio.spans
    sent = state.commands.get(audio.turn_id)
    if sent is not None:
        state.commands[audio.turn_id] = replace(sent, is_covered=True)
        turn = next((one for one in state.turns if one.turn_id == audio.turn_id), None)
        if turn is not None and turn.redaction_rev > sent.redaction_rev:
            state.looked.pop(audio.turn_id, None)


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
    """Yield the masked runs of words that are heard on a track; what a command covers may not be told yet."""
    sent = state.commands.get(turn.turn_id)
    if sent is not None and not sent.is_covered:
        return
    covered = state.audio.get(turn.turn_id, ())
    for span in turn.spans:
        start, end = span.start_ms * SAMPLES_PER_MS, span.end_ms * SAMPLES_PER_MS
        for track in span.tracks:
            if not any(one.track == track and one.start_sample <= start and end <= one.end_sample for one in covered):
                yield TextSpan(span.start_ms, span.end_ms, span.type, (track,))


def _corrected(state: VerificationState, turn: RedactedTurn, masks: tuple[TextSpan, ...]) -> Iterator[Record]:
    if state.review:
        return
    sent = state.commands.get(turn.turn_id, Sent())
    if not masks:
        if turn.turn_id in state.unmended:
            state.unmended.remove(turn.turn_id)
        covered = [one for one in state.audio.get(turn.turn_id, ()) if sent.is_covered and _is_for(one, sent.masks)]
        state.covered = list(dict.fromkeys((*state.covered, *covered)))[-MAX_SPANS:]
        return
    if sent.times >= COMMANDS:
        state.unmended = [*state.unmended, turn.turn_id][-MAX_TURNS:]
        state.suspects[turn.turn_id] = masks
        state.suspects = {turn_id: state.suspects[turn_id] for turn_id in state.unmended}
        return
    state.found += len(masks) if sent.times == 0 else 0
    state.commands[turn.turn_id] = Sent(sent.times + 1, turn.redaction_rev, (*sent.masks, *masks))
    audio = state.audio.get(turn.turn_id, ())
    yield RedactionCommand(turn.tenant, turn.contact_id, turn.leg, turn, audio, masks)


def _is_for(span: AudioSpan, masks: Sequence[TextSpan]) -> bool:
    """Whether a span covers some of what a command asked for."""
    start_ms, end_ms = span.start_sample // SAMPLES_PER_MS, span.end_sample // SAMPLES_PER_MS
    return any(span.track in mask.tracks and mask.start_ms < end_ms and start_ms < mask.end_ms for mask in masks)


def _silenced(state: VerificationState, found: Sequence[Found]) -> Iterator[Record]:
    """Have the published words masked that stand where something was heard, as far as they are known."""
    for turn in list(state.turns):
        masks = tuple(
            TextSpan(one.start_ms, one.end_ms, one.type, (turn.track,))
            for one in found
            if one.track == turn.track and any(_is_left(word, one) for word in turn.words)
        )
        yield from _corrected(state, turn, masks) if masks else ()


def _is_left(word: Word, found: Found) -> bool:
    return word.start_ms < found.end_ms and found.start_ms < word.end_ms and not word.text.startswith("[")


def _reviewed(state: VerificationState, decision: ReviewDecision) -> Iterator[Record]:
    """Take what a person has decided, once; one who decides after another decides nothing."""
    if not state.told or state.told[0] != "needs_review":
        return
    state.review, state.told = decision.decision, ()
    for turn_id in state.unmended:
        state.commands.pop(turn_id, None)
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
        state.commands[turn_id] = Sent(COMMANDS, turn.redaction_rev, correction.masks)
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
    """Whether redaction was told to mask more of a turn, and the turn or what it covers has not been told since."""
    sent = state.commands.get(turn.turn_id)
    if sent is None or turn.turn_id in state.unmended:
        return False
    return turn.redaction_rev <= sent.redaction_rev or not sent.is_covered


def _verdict(state: VerificationState, how: How) -> Iterator[Record]:
    """Say what was found once the text is decided, and again when that or what is known of the audio changes."""
    heard = state.listening
    if not state.is_over or heard.from_sample:
        return
    audio, found = listening.said(heard, how), state.found + heard.found
    outcome = _outcome(state, found)
    told = outcome, audio, *map(str, (found, len(state.unmended), len(heard.ordered), len(state.covered)))
    if told == state.told:
        return
    state.told = told
    checked = state.checked + len(state.turns)
    spans = tuple(dict.fromkeys((*state.covered, *heard.ordered)))
    who = heard.tenant, heard.contact_id, heard.leg
    suspects = tuple(Suspect(turn_id, state.suspects[turn_id]) for turn_id in dict.fromkeys(state.unmended))
    yield RedactionVerification(*who, outcome, spans, checked, found, audio=audio, suspects=suspects)


def _outcome(state: VerificationState, found: int) -> Outcome:
    heard = state.listening
    if heard.is_rejected or state.review == "rejected":
        return "rejected"
    if heard.is_damaged:
        return "needs_review"
    if state.review:
        return "verified"
    if state.unmended or heard.is_open:
        return "needs_review"
    return "auto_fixed" if found else "verified"
