"""Check the stored audio of a contact by sample, and by ear what stands beside the tone.

Owns which samples must be the tone, what is listened to, what of the words heard there is a finding, and what follows;
it leaves the reading and the hearing to the service `playback` (`connectors/playback.py`). The archive says when a
manifest names all that it has stored: its samples are compared first, then what stands around each run of tone is
heard. What is found is ordered to be covered, and the next version of the archive is checked again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.tone import RAMP_SAMPLES, apply_tone, merge_spans
from pipeline.machine import Ask, Failed
from pipeline.verification.rescan import rescan
from pipeline.verification.spoken import MEASURES, Token, numbers
from topics.records import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    TRACKS,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    RedactedTurn,
    Track,
    Word,
)

SERVICE: Final = "playback"
AROUND_SAMPLES: Final = 2 * SAMPLE_RATE_HZ  # heard on each side of a run of tone, on both tracks
SHORTEST_SAMPLES: Final = 200 * SAMPLES_PER_MS  # a recogniser makes words of no less
LONGEST_SAMPLES: Final = 8 * SAMPLE_RATE_HZ  # what the recognisers hear at once; segments of a call end at 8.3 s
AT_ONCE_SAMPLES: Final = 60 * SAMPLE_RATE_HZ  # about 6 s of CPU; an answer may take a minute
PAD_SAMPLES: Final = 100 * SAMPLES_PER_MS  # three times the median error of aligned words (connectors/pocketsphinx.py)
MENDS: Final = 2  # orders to cover what should have been the tone
ROUNDS: Final = 3  # of listening; what is heard in the last is for a person
MAX_ORDERED: Final = 64
MAX_TRIES: Final = 3  # of reading what a manifest names: the archive may be writing the next version
LIVE_TURNS: Final = 64  # whose spans may still be withdrawn

How = Literal["off", "samples", "words"]
Said = Literal["off", "awaited", "samples", "words", "deaf"]
Place = tuple[Track, int, int]  # samples [start, end) of a track


@dataclass(frozen=True, slots=True)
class CompareAudio:
    """Compare what a manifest names with the tone; `required` are places that must lie in it."""

    tenant: str
    contact_id: str
    version: int
    required: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison has shown.

    Attributes:
        uncovered: required places that are not within a run of tone.
        shown: runs whose samples are not the tone.
        is_damaged: the audio is not whole, or not what the manifest says.
    """

    uncovered: tuple[Place, ...] = ()
    shown: tuple[Place, ...] = ()
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class HearAudio:
    """Hear what stands around some places, or around every run of tone where there are none, from a sample on."""

    tenant: str
    contact_id: str
    version: int
    around: tuple[Place, ...]
    from_sample: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What was heard in samples without tone."""

    place: Place
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Overheard:
    """What was heard.

    Attributes:
        pieces: by start.
        tones: all runs of tone.
        next_sample: where the next question begins; None where nothing is left to hear.
        is_deaf: there is no recogniser, or it has failed.
    """

    pieces: tuple[Piece, ...] = ()
    tones: tuple[Place, ...] = ()
    next_sample: int | None = None
    is_deaf: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Something that can be heard and should not be."""

    track: Track
    start_ms: int
    end_ms: int
    type: str


@dataclass(slots=True)
class Listening:
    """What is known of a contact's stored audio.

    Attributes:
        turns: revision and places of what each turn covers, oldest first, by turn id without the contact's.
        customer: limits of what earlier turns cover on the track, each as distance from the one before.
        agent: likewise.
        asked_rev: revision of the last redaction of audio.
        covered_rev: of the last one that the archive knows.
        stored_rev: of the archive's last word.
        version: of the manifest that is there; -1 while there is none.
        compared: version whose samples were compared last.
        heard: version that was listened to last.
        from_sample: where listening goes on.
        tries: how often that version could not be read.
        attempt: how often the service has failed.
        mends: how often wrong samples were ordered to be covered.
        rounds: how often it was listened.
        ordered: what is to be covered beyond redaction.
        ordered_at: version at which something was ordered last.
        is_ordering: something was ordered since listening began with this version.
        found: what was wrong or heard.
        is_open: something was heard that nothing has covered.
    """

    tenant: str = ""
    contact_id: str = ""
    leg: int = 0
    turns: dict[str, tuple[int, tuple[Place, ...]]] = field(default_factory=dict)
    customer: list[int] = field(default_factory=list)
    agent: list[int] = field(default_factory=list)
    asked_rev: int = 0
    covered_rev: int = 0
    stored_rev: int = 0
    version: int = -1
    compared: int = -1
    heard: int = -1
    from_sample: int = 0
    tries: int = 0
    attempt: int = 0
    mends: int = 0
    rounds: int = 0
    ordered: list[AudioSpan] = field(default_factory=list)
    ordered_at: int = -1
    is_ordering: bool = False
    found: int = 0
    is_damaged: bool = False
    is_deaf: bool = False
    is_open: bool = False
    is_rejected: bool = False

    def limits(self, track: Track) -> list[int]:
        """Return the folded limits of one track."""
        return self.customer if track == "customer" else self.agent

    @property
    def is_there(self) -> bool:
        """Whether a manifest is there that covers all that redaction has asked for, and all that was ordered."""
        return self.version > self.ordered_at and self.covered_rev >= self.asked_rev


def note_redaction(state: Listening, redaction: AudioRedaction) -> None:
    """Take what one turn covers; an older revision says nothing."""
    name = redaction.turn_id.removeprefix(redaction.contact_id)
    known = state.turns.get(name)
    if known is not None and 0 < redaction.rev <= known[0]:
        return
    state.asked_rev = max(state.asked_rev, redaction.rev)
    state.turns[name] = redaction.rev, tuple((one.track, one.start_sample, one.end_sample) for one in redaction.spans)
    while len(state.turns) > LIVE_TURNS:
        _, places = state.turns.pop(next(iter(state.turns)))
        state.customer, state.agent = (_folded(state, places, track) for track in TRACKS)


def note_stored(state: Listening, stored: AudioStored) -> None:
    """Take how far the archive has come; an older revision says nothing."""
    if 0 < stored.rev <= state.stored_rev:
        return
    state.stored_rev = stored.rev
    state.covered_rev = max(state.covered_rev, stored.redactions_rev)
    if stored.manifest_version != state.version:
        state.version = stored.manifest_version
        state.from_sample = state.tries = 0
        state.is_damaged = False


def open_ask(state: Listening, how: How) -> Ask | None:
    """Return the question that is open, once the text of the contact is decided."""
    if how == "off" or state.is_rejected or not state.is_there:
        return None
    if state.compared != state.version:
        return Ask(f"samples/{state.version}/{state.tries}/{state.attempt}", SERVICE)
    if how == "words" and state.heard != state.version and state.rounds < ROUNDS and not state.is_damaged:
        return Ask(f"words/{state.version}/{state.from_sample}/{state.attempt}", SERVICE)
    return None


def request(state: Listening, ask: Ask) -> CompareAudio | HearAudio:
    """Build the question."""
    who = state.tenant, state.contact_id, state.version
    if ask.ask_id.startswith("samples/"):
        return CompareAudio(*who, tuple(_required(state)))
    around = tuple((one.track, one.start_sample, one.end_sample) for one in state.ordered) if state.rounds else ()
    return HearAudio(*who, around, state.from_sample)


def take(state: Listening, answer: Compared | Overheard | Failed) -> list[Found]:
    """Take the answer to the open ask and return what was heard; what is wrong is ordered to be covered."""
    if isinstance(answer, Failed):
        state.attempt += 1
        return []
    state.attempt = 0
    if isinstance(answer, Compared):
        _compared(state, answer)
        return []
    state.is_deaf = answer.is_deaf or state.is_deaf and state.from_sample > 0
    return _overheard(state, answer)


def said(state: Listening, how: How) -> Said:
    """Say how the stored audio was checked."""
    if how == "off":
        return "off"
    if not state.is_rejected and (not state.is_there or state.compared != state.version):
        return "awaited"
    is_over = how == "samples" or state.is_rejected or state.is_damaged or state.rounds >= ROUNDS
    if how == "words" and state.heard == state.version:
        return "deaf" if state.is_deaf else "words"
    return "samples" if is_over else "awaited"


def _compared(state: Listening, answer: Compared) -> None:
    if answer.is_damaged and state.tries + 1 < MAX_TRIES:
        state.tries += 1
        return
    state.compared, state.is_damaged = state.version, answer.is_damaged
    # A wider run is written anew.
    wider = [(track, max(0, start - RAMP_SAMPLES), end + RAMP_SAMPLES) for track, start, end in answer.shown]
    ordered = {(one.track, one.start_sample, one.end_sample) for one in state.ordered}
    if ordered.intersection(answer.uncovered):
        state.ordered_at = state.version  # the archive has not come to it yet
    wrong = [AudioSpan(*place, "PII") for place in (*answer.uncovered, *wider) if place not in ordered]
    if not wrong:
        return
    if state.mends >= MENDS:
        state.is_rejected = True
        return
    state.mends += 1
    _order(state, wrong)
    state.ordered_at = state.version


def _overheard(state: Listening, answer: Overheard) -> list[Found]:
    found, unaligned = findings(answer)
    state.is_open = state.is_open or unaligned
    if found:
        if state.rounds + 1 >= ROUNDS:
            state.is_open = True
        else:
            state.is_ordering = _order(state, [_span(one) for one in found]) or state.is_ordering
    state.from_sample = answer.next_sample or 0
    if answer.next_sample is None:
        state.heard = state.version
        state.rounds += 1
        state.ordered_at = state.version if state.is_ordering else state.ordered_at
        state.is_ordering = False
    return found


def _order(state: Listening, spans: Sequence[AudioSpan]) -> bool:
    """Have spans covered, as long as the verdict that names them stays small; say whether there is a new one."""
    state.found += len(spans)
    fresh = [span for span in spans if span not in state.ordered]
    if len(state.ordered) + len(fresh) > MAX_ORDERED:
        state.is_open = True
        return False
    state.ordered += fresh
    return bool(fresh)


def _span(found: Found) -> AudioSpan:
    start, end = found.start_ms * SAMPLES_PER_MS, found.end_ms * SAMPLES_PER_MS
    return AudioSpan(found.track, max(0, start - PAD_SAMPLES), end + PAD_SAMPLES, found.type)


def _required(state: Listening) -> Iterator[Place]:
    """Yield what is to be tone: what turns cover, and each span that was ordered as it stands in the verdict."""
    yield from (place for _, places in state.turns.values() for place in places)
    for track in TRACKS:
        yield from ((track, start, end) for start, end in _runs(state.limits(track)))
    yield from ((one.track, one.start_sample, one.end_sample) for one in state.ordered)


def _folded(state: Listening, places: Iterable[Place], track: Track) -> list[int]:
    own = ((start, end) for on, start, end in places if on == track)
    runs = merge_spans([*_runs(state.limits(track)), *own])
    flat = [limit for run in runs for limit in run]
    return [limit - last for last, limit in zip([0, *flat], flat, strict=False)]


def _runs(limits: Sequence[int]) -> Iterator[tuple[int, int]]:
    places = accumulate(limits)
    return zip(places, places, strict=True)


def uncovered(required: Iterable[Place], tones: Sequence[Place]) -> Iterator[Place]:
    """Yield the required places that are not within a run of tone."""
    for track, start, end in required:
        if not any(on == track and low <= start and end <= high for on, low, high in tones):
            yield track, start, end


def shown(pcm: NDArray[np.int16], first_sample: int, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the runs of which samples of one segment are not the tone.

    Args:
        pcm: int16, mono, 8 kHz, shape (n,).
        first_sample: place of `pcm[0]` on the track.
        runs: whole runs of tone on the track, disjoint.
    """
    wrong = np.flatnonzero(apply_tone(pcm, first_sample, runs) != pcm) + first_sample
    return [(start, end) for start, end in runs if ((wrong >= start) & (wrong < end)).any()]


def places_to_hear(tones: Sequence[Place], around: Sequence[Place], ends: dict[Track, int]) -> list[Place]:
    """Return what is heard around some places, in pieces without tone, by start.

    Args:
        tones: all runs of tone.
        around: the places; all tones where there are none.
        ends: length of each track in samples.
    """
    windows = merge_spans((start - AROUND_SAMPLES, end + AROUND_SAMPLES) for _, start, end in around or tones)
    found: list[Place] = []
    for track in TRACKS:
        covered = merge_spans((start, end) for on, start, end in tones if on == track)
        for low, high in windows:
            limits = [max(0, low), *(limit for run in covered for limit in run), min(high, ends[track])]
            clear = zip(limits[::2], limits[1::2], strict=True)
            for start, end in clear:
                found += _cut(track, max(start, low, 0), min(end, high, ends[track]))
    return sorted(found, key=lambda place: (place[1], place[0]))


def at_once(places: Sequence[Place]) -> tuple[Sequence[Place], int | None]:
    """Return those that are heard in one answer, and where the next begins; None where none is left."""
    total = 0
    for at, (_, start, end) in enumerate(places):
        total += end - start
        if total > AT_ONCE_SAMPLES and at and places[at - 1][1] < start:
            return places[:at], start
    return places, None


def _cut(track: Track, start: int, end: int) -> Iterator[Place]:
    """Yield a stretch in equal pieces that a recogniser hears at once."""
    count = -(-(end - start) // LONGEST_SAMPLES)
    if end - start < SHORTEST_SAMPLES:
        return
    for n in range(count):
        yield track, start + (end - start) * n // count, start + (end - start) * (n + 1) // count


def findings(heard: Overheard) -> tuple[list[Found], bool]:
    """Return what should not be heard, and whether there is something more whose words have no times."""
    turns = sorted(_as_turns(heard), key=lambda turn: (turn.first_sample, turn.track))
    by_id = {turn.turn_id: turn for turn in turns}
    marks = [(one.turn_id, one.first, one.last, one.type) for one in rescan(turns)]
    marks += _beside(turns)
    found: list[Found] = []
    is_unaligned = False
    for name, first, last, kind in dict.fromkeys(marks):
        words = by_id[name].words[first : last + 1]
        if any(word.is_estimated for word in words):
            is_unaligned = True
        else:
            found.append(Found(by_id[name].track, words[0].start_ms, words[-1].end_ms, kind))
    return found, is_unaligned


def _beside(turns: Sequence[RedactedTurn]) -> Iterator[tuple[str, int, int, str]]:
    """Yield numbers of any length that stand directly beside the tone and count nothing."""
    for track in TRACKS:
        own = [turn for turn in turns if turn.track == track]
        tokens = [
            Token(word.text.lower().strip(".,?!;:\"'"), turn, at, word.start_ms, word.end_ms)
            for turn, one in enumerate(own)
            for at, word in enumerate(one.words)
        ]
        for number in numbers(tokens, "en"):
            first, last = tokens[number.first], tokens[number.last]
            before = tokens[number.first - 1].said if number.first else ""
            after = tokens[number.last + 1].said if number.last + 1 < len(tokens) else ""
            if _TONE in (before, after) and after not in MEASURES and first.turn == last.turn:
                yield own[first.turn].turn_id, first.at, last.at, "PII"


_TONE: Final = "[pii]"


def _as_turns(heard: Overheard) -> Iterator[RedactedTurn]:
    """Write what was heard as turns, and the tone between as masked ones."""
    for track, start, end in heard.tones:
        yield _turn((track, start, end), (Word(_TONE, start // SAMPLES_PER_MS, end // SAMPLES_PER_MS),))
    for piece in heard.pieces:
        if piece.words:
            yield _turn(piece.place, piece.words)


def _turn(place: Place, words: tuple[Word, ...]) -> RedactedTurn:
    track, start, end = place
    return RedactedTurn("", "", 0, f"{track}/{start}", 0, track, track, start, end, True, words, (), "", None)
