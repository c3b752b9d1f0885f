"""Turn what the ASR heard into turns of the conversation.

Owns which words of a segment stand: a final beats every partial, and a later revision beats an earlier one.
It leaves the words themselves to the ASR and what may be shown of them to redaction. One VAD segment is one
turn; the tracks never touch each other, so overlapping talk is two turns.

Owns also what is known of a turn beside its words, and may be told after them:

- who speaks on the agent's track of a live contact: until an agent has joined it is the contact flow, with prompts and
  announcements, and the speaker is `system`;
- whether the customer was on hold: redaction then shows no words of either track;
- whether it is a backchannel: a few words such as "mm-hm" while the other side talks, which take no turn.

Where audio time begins (audio.coverage), when the agent joined and when a hold began and ended (contact.events) and the
final of the other side may come later than a turn: recent turns are then written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from operator import eq
from typing import Final

from pipeline.errors import RecordRefused
from pipeline.machine import Machine
from topics.records import (
    ON_HOLD,
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
# The other side's final and the news of a hold come within this: a segment is 8 s at most, and events take seconds.
NEWS_SAMPLES = 15 * SAMPLE_RATE_HZ
RECENT_WORDS = 150  # 45 s of brisk prompts, 9 kB
MOMENTS_LIMIT = 32  # begins and ends of holds

BACKCHANNEL_WORDS = 3  # at most
BACKCHANNELS: Final = frozenset(
    "ah aha alright cool fine great hm hmm hmmm huh mhm mm mmhm mmhmm mmm oh okay ok right sure uh uhhuh uhuh um yeah"
    " yep yes yup".split()
)


@dataclass(slots=True)
class OpenTurn:
    """The newest partial of a segment without a final.

    Attributes:
        stable: how many of its first words the partial before it had too.
    """

    rev: int
    texts: list[str]
    stable: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a turn beside its words."""

    speaker: Speaker
    gap: str
    is_backchannel: bool


@dataclass(slots=True)
class AssemblerState:
    """Segments go by `<track>/<first sample>`.

    Attributes:
        open: segments that have partials alone.
        closed: revision of the final and end of recently closed segments, oldest first.
        forgotten: per track, the highest first sample that has left `closed`.
        time_ms: the watermark that was forwarded last.
        is_ended: nothing but revised finals follows.
        is_of_file: whoever is on a track is its speaker.
        is_live: somebody has told of the contact as Amazon Connect does.
        start: revision and epoch milliseconds of the first sample; None before that is told.
        joined_ms: epoch milliseconds at which the first agent joined; None before that is told.
        holds: epoch milliseconds at which a hold began (True) or ended (False), in order.
        recent: words of turns of which something else may yet be told.
        heard_sample: the latest end of a turn of either track.
    """

    open: dict[str, OpenTurn] = field(default_factory=dict)
    closed: dict[str, tuple[int, int]] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    time_ms: int = -1
    is_ended: bool = False
    is_of_file: bool = False
    is_live: bool = False
    start: tuple[int, int] | None = None
    joined_ms: int | None = None
    holds: list[tuple[int, bool]] = field(default_factory=list)
    recent: dict[str, SegmentWords] = field(default_factory=dict)
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
    before = _standings(state)
    if heard.is_final:
        _close(state, heard)
    elif not _has_changed(state, heard):
        return ()
    state.recent.pop(_name(heard), None)
    again = list(_changed(state, before)) if heard.is_final else []
    _keep(state, heard)
    return (_turn(state, heard), *again)


def _on_news(state: AssemblerState, news: AudioCoverage | MediaStarted | ContactEvent) -> Iterator[Turn]:
    """Note what is told beside the words, and write the turns again of which it changes something."""
    before = _standings(state)
    is_of_file = isinstance(news, ContactEvent) and not news.time_ms
    state.is_of_file, state.is_live = state.is_of_file or is_of_file, state.is_live or not is_of_file
    match news:
        case AudioCoverage():
            told = (news.rev, news.start_ms)
            state.start = told if state.start is None else max(state.start, told)
        case ContactEvent(kind="agent_joined"):
            state.joined_ms = news.time_ms if state.joined_ms is None else min(state.joined_ms, news.time_ms)
        case ContactEvent(kind="hold_began" | "hold_ended"):
            moments = {*state.holds, (news.time_ms, news.kind == "hold_began")}
            # Of two at one time the end is the last: rather a word too many than one lost.
            state.holds = sorted(moments, key=lambda moment: (moment[0], not moment[1]))[-MOMENTS_LIMIT:]
    yield from _changed(state, before)
    state.recent = {name: heard for name, heard in state.recent.items() if _may_change(state, heard)}


def _standings(state: AssemblerState) -> dict[str, Standing]:
    return {name: _standing(state, heard) for name, heard in state.recent.items()}


def _changed(state: AssemblerState, before: dict[str, Standing]) -> Iterator[Turn]:
    """Write the turns again that stand otherwise than before, oldest first."""
    for name, heard in sorted(state.recent.items(), key=lambda row: (row[1].first_sample, row[0])):
        if _standing(state, heard) != before[name]:
            yield _turn(state, heard)


def _keep(state: AssemblerState, heard: SegmentWords) -> None:
    """Keep words of which something else may yet be told; the oldest have to go."""
    state.heard_sample = max(state.heard_sample, heard.end_sample)
    rows = [*state.recent.items(), (_name(heard), heard)]
    rows = sorted((row for row in rows if _may_change(state, row[1])), key=lambda row: row[1].first_sample)
    words = sum(len(one.words) for _, one in rows)
    while words > RECENT_WORDS and len(rows) > 1:
        words -= len(rows.pop(0)[1].words)
    state.recent = dict(rows)


def _may_change(state: AssemblerState, heard: SegmentWords) -> bool:
    """Say whether something that is yet to be told may change what is known of a turn."""
    age = state.heard_sample - heard.end_sample
    if state.is_of_file:
        return age < NEWS_SAMPLES and heard.is_final and _is_murmur(heard)
    is_settled = heard.track == "customer" or (state.is_live and _speaker(state, heard) == "agent")
    return age < (NEWS_SAMPLES if is_settled else RECENT_SAMPLES)


def _standing(state: AssemblerState, heard: SegmentWords) -> Standing:
    gap = ON_HOLD if _is_on_hold(state, heard) else heard.gap
    return Standing(_speaker(state, heard), gap, heard.is_final and _is_backchannel(state, heard))


def _speaker(state: AssemblerState, heard: SegmentWords) -> Speaker:
    """Say who speaks, by where the segment starts: a prompt ends when the agent is connected.

    What is not known yet is the system's: policies hint at what the agent says, and a hint is better late than wrong.
    """
    if heard.track == "customer" or state.is_of_file or not state.is_live:
        return heard.track
    if state.start is None or state.joined_ms is None:
        return "system"
    return "agent" if state.start[1] + heard.first_sample // SAMPLES_PER_MS >= state.joined_ms else "system"


def _is_on_hold(state: AssemblerState, heard: SegmentWords) -> bool:
    """Say whether the middle of a segment lies in a hold; one without an end goes on."""
    if state.start is None:
        return False
    middle_ms = state.start[1] + _middle(heard) // SAMPLES_PER_MS
    before = [is_begin for time_ms, is_begin in state.holds if time_ms <= middle_ms]
    return bool(before) and before[-1]


def _is_backchannel(state: AssemblerState, heard: SegmentWords) -> bool:
    """Say whether a murmur lies in a turn of the other side, by its middle: the detector's limits are soft."""
    if not _is_murmur(heard):
        return False
    middle = _middle(heard)
    return any(
        int(first) <= middle < end_sample
        for name, (_, end_sample) in state.closed.items()
        for track, _, first in [name.partition("/")]
        if track != heard.track
    )


def _is_murmur(heard: SegmentWords) -> bool:
    spoken = ["".join(filter(str.isalpha, word.text.lower())) for word in heard.words]
    return 0 < len(spoken) <= BACKCHANNEL_WORDS and BACKCHANNELS.issuperset(spoken)


def _middle(heard: SegmentWords) -> int:
    return (heard.first_sample + heard.end_sample) // 2


def _on_watermark(state: AssemblerState, mark: Watermark) -> Sequence[Record]:
    if state.is_ended or (mark.time_ms <= state.time_ms and not mark.is_end):
        return ()
    state.time_ms, state.is_ended = mark.time_ms, mark.is_end
    return (mark,)


def _is_stale(state: AssemblerState, heard: SegmentWords) -> bool:
    name = _name(heard)
    if name in state.closed:
        return not heard.is_final or heard.rev <= state.closed[name][0]
    is_late = state.is_ended or heard.first_sample <= state.forgotten.get(heard.track, -1)
    if is_late and not heard.is_final:
        return True
    # Words that no engine has stamped (`rev` 0) cannot be compared.
    return name in state.open and 0 < heard.rev <= state.open[name].rev


def _has_changed(state: AssemblerState, heard: SegmentWords) -> bool:
    """Note a partial and say whether it reads otherwise than the one before; times alone do not count."""
    texts = [word.text for word in heard.words]
    turn = state.open.setdefault(_name(heard), OpenTurn(0, []))
    is_changed = turn.texts != texts
    turn.stable = sum(takewhile(bool, map(eq, turn.texts, texts)))
    turn.rev, turn.texts = heard.rev, texts
    return is_changed


def _close(state: AssemblerState, heard: SegmentWords) -> None:
    name = _name(heard)
    state.open.pop(name, None)
    # Nobody talks in a segment without words: it holds no murmur of the other side.
    state.closed[name] = heard.rev, heard.end_sample if heard.words else heard.first_sample
    if len(state.closed) > CLOSED_LIMIT:
        oldest = next(iter(state.closed))
        del state.closed[oldest]
        track, _, first_sample = oldest.partition("/")
        state.forgotten[track] = max(int(first_sample), state.forgotten.get(track, -1))


def _name(heard: SegmentWords) -> str:
    return f"{heard.track}/{heard.first_sample}"


def _turn(state: AssemblerState, heard: SegmentWords) -> Turn:
    standing, so_far = _standing(state, heard), state.open.get(_name(heard))
    return Turn(
        tenant=heard.tenant,
        contact_id=heard.contact_id,
        leg=heard.leg,
        turn_id=turn_id(heard.contact_id, heard.track, heard.first_sample),
        track=heard.track,
        speaker=standing.speaker,
        first_sample=heard.first_sample,
        end_sample=heard.end_sample,
        is_final=heard.is_final,
        words=heard.words,
        asr=heard.asr,
        confidence=heard.confidence,
        gap=standing.gap,
        stable_words=len(heard.words) if so_far is None else so_far.stable,
        is_backchannel=standing.is_backchannel,
    )
