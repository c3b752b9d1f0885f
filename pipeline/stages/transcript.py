"""Turn what the ASR heard into turns of the conversation.

Owns which words of a segment stand: a final beats every partial, and a later revision beats an earlier one.
It leaves the words themselves to the ASR and what may be shown of them to redaction. One VAD segment is one
turn; the tracks never touch each other, so overlapping talk is two turns.

Owns also who speaks on the agent's track of a live contact: until an agent has joined it is the contact flow, with
prompts and announcements, and the speaker is `system`. Where audio time begins (audio.coverage) and when the agent
joined (contact.events) may be told after the words: recent turns are then written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    AudioCoverage,
    ContactEvent,
    MediaStarted,
    Record,
    SegmentWords,
    Speaker,
    Turn,
    Watermark,
    turn_id,
)

# Finals whose revision is remembered: at one segment in two seconds over both tracks, the last two minutes.
CLOSED_LIMIT = 64
# Turns that can still be given another speaker. Redaction masks with a minute of context (`WINDOW_MS`): a turn that is
# older than that must not pass it again.
RECENT_SAMPLES = 45 * SAMPLE_RATE_HZ
RECENT_WORDS = 150  # 45 s of brisk prompts, 9 kB


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
        is_of_file: whoever is on a track is its speaker.
        is_live: somebody has told of the contact as Amazon Connect does.
        start: revision and epoch milliseconds of the first sample; None before that is told.
        joined_ms: epoch milliseconds at which the first agent joined; None before that is told.
        spoken: words of recent turns of the agent's track whose speaker may turn out another, by first sample.
        heard_sample: the latest end of a turn of either track.
    """

    open: dict[str, OpenTurn] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    time_ms: int = -1
    is_ended: bool = False
    is_of_file: bool = False
    is_live: bool = False
    start: tuple[int, int] | None = None
    joined_ms: int | None = None
    spoken: dict[int, SegmentWords] = field(default_factory=dict)
    heard_sample: int = 0


class Assembler(Machine[AssemblerState]):
    """Assemble turns from the words of VAD segments."""

    state = AssemblerState
    drops_late = (ContactEvent, MediaStarted, AudioCoverage)  # a contact record tells them again for a week

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
            case AudioCoverage() | MediaStarted() | ContactEvent():
                return list(_on_news(state, record))
            case _:
                raise RecordRefused("transcript does not read this type")


def _on_words(state: AssemblerState, heard: SegmentWords) -> Sequence[Record]:
    if _is_stale(state, heard):
        return ()
    if heard.is_final:
        _close(state, heard)
    elif not _has_changed(state, heard):
        return ()
    _keep(state, heard)
    return (_turn(state, heard),)


def _on_news(state: AssemblerState, news: AudioCoverage | MediaStarted | ContactEvent) -> Iterator[Turn]:
    """Note what tells speakers apart, and write the turns again whose speaker has turned out another."""
    before = {first_sample: _speaker(state, heard) for first_sample, heard in state.spoken.items()}
    is_of_file = isinstance(news, ContactEvent) and not news.time_ms
    state.is_of_file, state.is_live = state.is_of_file or is_of_file, state.is_live or not is_of_file
    match news:
        case AudioCoverage():
            told = (news.rev, news.start_ms)
            state.start = told if state.start is None else max(state.start, told)
        case ContactEvent(kind="agent_joined"):
            state.joined_ms = news.time_ms if state.joined_ms is None else min(state.joined_ms, news.time_ms)
    for first_sample, heard in sorted(state.spoken.items()):
        if _speaker(state, heard) != before[first_sample]:
            yield _turn(state, heard)
        if _is_settled(state, heard):
            del state.spoken[first_sample]


def _keep(state: AssemblerState, heard: SegmentWords) -> None:
    """Keep words whose speaker may turn out another; the oldest have to go."""
    state.heard_sample = max(state.heard_sample, heard.end_sample)
    if not _is_settled(state, heard):
        state.spoken[heard.first_sample] = heard
    words = sum(len(one.words) for one in state.spoken.values())
    for first_sample, spoken in sorted(state.spoken.items()):
        is_recent = spoken.end_sample > state.heard_sample - RECENT_SAMPLES
        if is_recent and (words <= RECENT_WORDS or spoken is heard):
            break
        words -= len(state.spoken.pop(first_sample).words)


def _is_settled(state: AssemblerState, heard: SegmentWords) -> bool:
    """Say whether nothing that may be told still changes the speaker: a join is only ever found to be earlier."""
    if heard.track == "customer" or state.is_of_file:
        return True
    return state.is_live and _speaker(state, heard) == "agent"


def _speaker(state: AssemblerState, heard: SegmentWords) -> Speaker:
    """Say who speaks, by where the segment starts: a prompt ends when the agent is connected.

    What is not known yet is the system's: policies hint at what the agent says, and a hint is better late than wrong.
    """
    if heard.track == "customer" or state.is_of_file or not state.is_live:
        return heard.track
    if state.start is None or state.joined_ms is None:
        return "system"
    return "agent" if state.start[1] + heard.first_sample // SAMPLES_PER_MS >= state.joined_ms else "system"


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


def _turn(state: AssemblerState, heard: SegmentWords) -> Turn:
    return Turn(
        tenant=heard.tenant,
        contact_id=heard.contact_id,
        leg=heard.leg,
        turn_id=turn_id(heard.contact_id, heard.track, heard.first_sample),
        track=heard.track,
        speaker=_speaker(state, heard),
        first_sample=heard.first_sample,
        end_sample=heard.end_sample,
        is_final=heard.is_final,
        words=heard.words,
        asr=heard.asr,
        confidence=heard.confidence,
    )
