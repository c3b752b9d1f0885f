"""Redact transcripts offline: JSON lines in, JSON lines out, as `docs/cli.md` describes.

Owns the line format. The horizon counts each contact's own audio time, the latest end seen, never a clock.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from pipeline.redaction.detect import Profile
from pipeline.redaction.profiles import Profiles
from pipeline.stages.redaction import RedactorState, TenantRedactor
from topics.records import SAMPLES_PER_MS, Record, RedactedTurn, Turn, Watermark, Word

TENANT: Final = "local"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no turn; `reason` holds no payload."""

    number: int
    reason: str


class LineWord(msgspec.Struct):
    """A word of a line; times in milliseconds of the contact."""

    text: str
    start_ms: int
    end_ms: int


class TurnLine(msgspec.Struct):
    """A line that goes in (docs/cli.md, `trunkline redact`)."""

    contact_id: str
    turn_id: str
    rev: int
    track: Literal["customer", "agent"]
    is_final: bool
    start_ms: int
    end_ms: int
    words: list[LineWord]


def run(lines: Iterable[str], profile: Profile | None = None) -> Iterator[str | BadLine]:
    """Redact turns in arrival order; contacts may interleave.

    Args:
        lines: one JSON object each; blank lines are skipped.
        profile: what is on; everything by default.

    Yields:
        At least one line for each good line, as soon as it is known, and a `BadLine` for each bad one.
    """
    decode = msgspec.json.Decoder(TurnLine).decode
    machine = TenantRedactor(Profiles(default=profile or Profile()))
    contacts: dict[str, _Contact] = {}
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = decode(text)
        except (msgspec.DecodeError, UnicodeError):
            yield BadLine(number, "no JSON object with the fields of a turn")
            continue
        reason = _fault(line)
        if reason:
            yield BadLine(number, reason)
            continue
        contact = contacts.setdefault(line.contact_id, _Contact(RedactorState(), {}))
        yield from contact.lines(machine, line)


def _fault(line: TurnLine) -> str:
    """Say what is wrong with the times of a line, in static text."""
    if any(word.end_ms < word.start_ms for word in line.words) or line.end_ms < line.start_ms or line.start_ms < 0:
        return "a range ends before it starts"
    if any(later.start_ms < word.start_ms for word, later in zip(line.words, line.words[1:], strict=False)):
        return "words are not in the order of their start"
    return ""


@dataclass(slots=True)
class _Contact:
    """One contact's state and the newest line of each of its turns."""

    state: RedactorState
    newest: dict[str, str]
    end_ms: int = 0

    def lines(self, machine: TenantRedactor, line: TurnLine) -> Iterator[str]:
        """Feed one turn; a turn that changes nothing repeats its newest line."""
        self.end_ms = max(self.end_ms, line.end_ms, *(word.end_ms for word in line.words))
        mark = Watermark(TENANT, line.contact_id, 0, self.end_ms, is_end=False)
        outputs = [*machine.on_record(self.state, turn_of(line)), *machine.on_record(self.state, mark)]
        is_answered = False
        for turn in _redacted(outputs):
            self.newest[turn.turn_id] = _encode(turn)
            is_answered = is_answered or turn.turn_id == line.turn_id
            yield self.newest[turn.turn_id]
        if not is_answered and line.turn_id in self.newest:
            yield self.newest[line.turn_id]


def _redacted(outputs: Sequence[Record]) -> Iterator[RedactedTurn]:
    return (output for output in outputs if isinstance(output, RedactedTurn))


def turn_of(line: TurnLine) -> Turn:
    """Return the turn of a line."""
    return Turn(
        tenant=TENANT,
        contact_id=line.contact_id,
        leg=0,
        turn_id=line.turn_id,
        track=line.track,
        speaker=line.track,
        first_sample=line.start_ms * SAMPLES_PER_MS,
        end_sample=line.end_ms * SAMPLES_PER_MS,
        is_final=line.is_final,
        words=tuple(Word(word.text, word.start_ms, word.end_ms) for word in line.words),
        asr="",
        confidence=None,
        rev=line.rev,
    )


def _encode(turn: RedactedTurn) -> str:
    spans = [
        {"start_ms": span.start_ms, "end_ms": span.end_ms, "type": span.type, "tracks": span.tracks}
        for span in turn.spans
    ]
    row = {
        "contact_id": turn.contact_id,
        "turn_id": turn.turn_id,
        "rev": turn.rev,
        "redaction_rev": turn.redaction_rev,
        "track": turn.track,
        "is_final": turn.is_final,
        "text": turn.text,
        "spans": spans,
    }
    return msgspec.json.encode(row).decode()
