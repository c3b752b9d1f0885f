"""Turn what the ASR heard into turns of the conversation.

Owns which words of a segment stand: a final beats every partial, and a later revision beats an earlier one.
It leaves the words themselves to the ASR and what may be shown of them to redaction. One VAD segment is one
turn; the tracks never touch each other, so overlapping talk is two turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import ContactEvent, Record, SegmentWords, Turn, Watermark, turn_id

# Finals whose revision is remembered: at one segment in two seconds over both tracks, the last two minutes.
CLOSED_LIMIT = 64


@dataclass(slots=True)
class OpenTurn:
    """The newest partial of a segment without a final."""

    rev: int
    text: str


@dataclass(slots=True)
class AssemblerState:
    """Segments go by `<track>/<first sample>`.

    Attributes:
        open: segments that have partials alone.
        closed: revision of the final of recently closed segments, oldest first.
        forgotten: per track, the highest first sample that has left `closed`.
        time_ms: the watermark that was forwarded last.
        is_ended: nothing but revised finals follows.
    """

    open: dict[str, OpenTurn] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    time_ms: int = -1
    is_ended: bool = False


class Assembler(Machine[AssemblerState]):
    """Assemble turns from the words of VAD segments."""

    state = AssemblerState

    def on_record(self, state: AssemblerState, record: Record) -> Sequence[Record]:
        """Return the turn that these words make, or the watermark; nothing where they change nothing.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
        """
        match record:
            case SegmentWords():
                return _on_words(state, record)
            case Watermark():
                return _on_watermark(state, record)
            case ContactEvent():
                return ()
            case _:
                raise RecordRefused("transcript does not read this type")


def _on_words(state: AssemblerState, heard: SegmentWords) -> Sequence[Record]:
    if _is_stale(state, heard):
        return ()
    if heard.is_final:
        _close(state, heard)
    elif not _has_changed(state, heard):
        return ()
    return (_turn(heard),)


def _on_watermark(state: AssemblerState, mark: Watermark) -> Sequence[Record]:
    if state.is_ended or (mark.time_ms <= state.time_ms and not mark.is_end):
        return ()
    state.time_ms, state.is_ended = mark.time_ms, mark.is_end
    return (mark,)


def _is_stale(state: AssemblerState, heard: SegmentWords) -> bool:
    name = _name(heard)
    if name in state.closed:
        return not heard.is_final or heard.rev <= state.closed[name]
    is_late = state.is_ended or heard.first_sample <= state.forgotten.get(heard.track, -1)
    if is_late and not heard.is_final:
        return True
    # Words that no engine has stamped (`rev` 0) cannot be compared.
    return name in state.open and 0 < heard.rev <= state.open[name].rev


def _has_changed(state: AssemblerState, heard: SegmentWords) -> bool:
    """Note a partial and say whether it reads otherwise than the one before; times alone do not count."""
    text = " ".join(word.text for word in heard.words)
    turn = state.open.setdefault(_name(heard), OpenTurn(0, ""))
    is_changed = turn.text != text
    turn.rev, turn.text = heard.rev, text
    return is_changed


def _close(state: AssemblerState, heard: SegmentWords) -> None:
    name = _name(heard)
    state.open.pop(name, None)
    state.closed[name] = heard.rev
    if len(state.closed) > CLOSED_LIMIT:
        oldest = next(iter(state.closed))
        del state.closed[oldest]
        track, _, first_sample = oldest.partition("/")
        state.forgotten[track] = max(int(first_sample), state.forgotten.get(track, -1))


def _name(heard: SegmentWords) -> str:
    return f"{heard.track}/{heard.first_sample}"


def _turn(heard: SegmentWords) -> Turn:
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
        asr=heard.asr,
        confidence=heard.confidence,
    )
