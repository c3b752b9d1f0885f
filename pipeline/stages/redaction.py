"""Redact turns and guidance in flight.

Owns the state of a contact: the turns that later evidence may still change, the values that recur, and how far the
audio is decided. What is sensitive is decided in `pipeline.redaction`.
"""

from array import array
from bisect import insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from sys import intern
from typing import Final

from pipeline.machine import Machine
from pipeline.receipts import Receipts, profile_version
from pipeline.redaction.again import obey
from pipeline.redaction.cover import (
    CARD_KINDS,
    SEGMENT_LEAD_SAMPLES,
    Heard,
    Line,
    audio_spans,
    beginning,
    lines_of,
    text_spans,
    tokens,
)
from pipeline.redaction.detect import Detector, Open, Profile, Verdict, groups, no_masks, reading_of
from pipeline.redaction.profiles import Profiles
from pipeline.redaction.reading import Read, Reading
from topics.records import (
    ON_HOLD,
    SAMPLES_PER_MS,
    TRACKS,
    AudioRedaction,
    DecidedUntil,
    Guidance,
    GuidanceDraft,
    Hint,
    Record,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    TextSpan,
    Track,
    Turn,
    Watermark,
)

CONTEXT_MS: Final = 40_000  # how much talk decides about a partial
WINDOW_MS: Final = 60_000  # how far back a turn may still be re-emitted
MAX_TURNS: Final = 36
MAX_WORDS: Final = 400
MAX_LIVE: Final = 8  # open partials
MAX_READINGS: Final = 4_096  # 4 kB each; 300 calls have about 4,000 turns in their windows
MAX_NAMES: Final = 64
MAX_SECRETS: Final = 32
MAX_SHOWN: Final = 16  # hints and summaries that late evidence may still mask
LEAD_MS: Final = 300  # a segment is covered from its pre-roll on
STRICT_MS: Final = 600  # audio time after which a strict profile waits for the other track no longer
# What a turn's receipt is about: all that the recogniser and the assembler said of it.
_SOURCE: Final = attrgetter(
    *"contact_id leg turn_id track speaker first_sample end_sample is_final asr confidence rev texts times".split(),
    *"estimated gap stable_words is_backchannel".split(),
)


class Readings:
    """What the detector read in the turns that were asked for last, of any contact: derived, so it may be forgotten."""

    def __init__(self, read: Read) -> None:
        """Start empty."""
        self._read = read
        self._rows: OrderedDict[str, tuple[Heard, Reading]] = OrderedDict()

    def of(self, turn: Heard) -> Reading:
        """Read a turn, unless that is still known."""
        row = self._rows.get(turn.turn_id)
        if row is not None and row[0] is turn:
            self._rows.move_to_end(turn.turn_id)
            return row[1]
        first_ms = turn.first_sample // SAMPLES_PER_MS
        reading = self._read(turn.track, turn.is_final, turn.texts, turn.starts, turn.ends, first_ms)
        self._rows[turn.turn_id] = turn, reading
        if len(self._rows) > MAX_READINGS:
            self._rows.popitem(last=False)
        return reading


@dataclass(slots=True)
class RedactorState:
    """Everything redaction knows about one contact.

    Attributes:
        heard: final turns by start, as far back as later evidence may change them.
        live: the newest partial of each open turn.
        names: words of names that were said.
        secrets: digit strings that were masked.
        now_ms: the highest watermark.
        floor_ms: where the forgotten turns end.
        customer_sample: the customer's audio is decided up to here.
        agent_sample: the agent's audio is decided up to here.
        opens: unmasked digits that later ones may still join.
        has_held: some words are masked only until the horizon.
        latest_ms: end of the latest word.
        unshown: how many words have been shown of the turns that a strict profile has not shown whole.
        commanded: what verification has found, by turn; it stays masked as long as the turn is known.
        is_under_review: a person has to decide about the contact.
        shown: guidance as it was last written, by its cause, oldest first; what is masked in it stays masked.
    """

    heard: list[Heard] = field(default_factory=list)
    live: dict[str, Heard] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    now_ms: int = 0
    floor_ms: int = 0
    customer_sample: int = 0
    agent_sample: int = 0
    opens: list[Open] = field(default_factory=list)
    has_held: bool = False
    is_ended: bool = False
    latest_ms: int = 0
    unshown: dict[str, int] = field(default_factory=dict)
    commanded: dict[str, tuple[TextSpan, ...]] = field(default_factory=dict)
    shown: dict[str, Guidance] = field(default_factory=dict)
    is_under_review: bool = False

    def decided(self, track: Track) -> int:
        """Return the sample of a track up to which no span will be added."""
        return self.customer_sample if track == "customer" else self.agent_sample


class Redactor(Machine[RedactorState]):
    """Mask what must not be shown, in partials at once and in finals with the evidence of the whole window.

    Finals depend on finals and watermarks alone; partials are masked with all of it and their own tail held back.
    It relies on watermarks that never pass the start of an open segment.
    """

    state = RedactorState
    drops_late = (RedactionVerification,)

    def __init__(
        self,
        profile: Profile | None = None,
        detector: Detector | None = None,
        receipts: Receipts | None = None,
        readings: Readings | None = None,
    ) -> None:
        """Take what decides, and what proves it.

        Args:
            profile: a tenant's, or everything on.
            detector: one that gives the same as the detector and remembers it.
            receipts: None writes no proof, and no gate lets through what comes.
            readings: shared with the redactors of tenants whose turns are read alike.
        """
        self._profile = profile or Profile()
        self._detector = detector or Detector(reading_of(self._profile))
        self._receipts = receipts
        self._profile_version = profile_version(self._profile)
        self._readings = readings or Readings(self._detector.read)

    def on_record(self, state: RedactorState, record: Record) -> Sequence[Record]:
        """Advance one contact by a turn, a guidance draft or a watermark."""
        match record:
            case Turn():
                state.latest_ms = max(state.latest_ms, *(word.end_ms for word in record.words), 0)
                advance = self._on_final if record.is_final else self._on_partial
                return [*advance(state, record), *self._release(state, record.tenant)]
            case GuidanceDraft():
                return self._guidance(state, record)
            case RedactionCommand():
                return self._on_command(state, record)
            case Watermark():
                return self._on_watermark(state, record)
            case RedactionVerification():
                state.is_under_review = record.outcome == "needs_review"
        return ()

    def awaits(self, state: RedactorState) -> bool:
        """Say whether a reviewer may still have more of the contact masked."""
        return state.is_under_review

    def _on_partial(self, state: RedactorState, turn: Turn) -> Sequence[Record]:
        before = _find(state, turn.turn_id) or state.live.get(turn.turn_id)
        heard = _heard(turn)
        if before is not None and (before.is_final or before.rev >= turn.rev) or heard.end_ms <= state.floor_ms:
            return ()
        state.live.pop(turn.turn_id, None)
        state.live[turn.turn_id] = heard
        while len(state.live) > MAX_LIVE:
            state.live.pop(next(iter(state.live)))
        recent = [row for row in state.heard if row.end_ms > heard.start_ms - CONTEXT_MS]
        window = sorted([*recent, *state.live.values()], key=_order)
        verdict = self._detect(state, window)
        for row, masks in zip(window, verdict.masks, strict=True):
            if not row.is_final:
                row.masks = masks
        heard.spans = text_spans(heard, lines_of(window)) if any(heard.masks) else ()
        return self._shown(state, turn.tenant, heard)

    def _on_final(self, state: RedactorState, turn: Turn) -> Sequence[Record]:
        before = _find(state, turn.turn_id)
        if before is not None and before.rev >= turn.rev:
            return ()
        heard = _heard(turn)
        is_known = before is not None and before.texts == heard.texts
        if before is not None:
            heard.audio = before.audio
            state.heard.remove(before)
            if is_known:  # what is decided of its words stays: the evidence for it may have been forgotten
                heard.masks = before.masks
        state.live.pop(turn.turn_id, None)
        insort(state.heard, heard, key=_order)
        is_late = before is None and heard.end_ms <= state.floor_ms
        changed = self._settle(state, turn.tenant, heard, is_known=is_known, is_late=is_late)
        _forget(state)
        return changed

    def _on_command(self, state: RedactorState, command: RedactionCommand) -> Sequence[Record]:
        """Mask what verification has found, and write the turn again even where it was masked meanwhile."""
        heard = _find(state, command.turn.turn_id)
        if heard is None:
            made = obey(command, self._profile)
            return [one for record in made for one in self._obeyed(command, record)]
        state.commanded[heard.turn_id] = (*state.commanded.get(heard.turn_id, ()), *command.masks)
        heard.audio = ()  # is written again, too
        changed = [*self._settle(state, command.tenant, None)]
        if any(isinstance(one, RedactedTurn) and one.turn_id == heard.turn_id for one in changed):
            return changed
        heard.redaction_rev += 1
        return [*self._turn(command.tenant, heard), *changed]

    def _obeyed(self, command: RedactionCommand, record: Record) -> Sequence[Record]:
        return self._proven(record, command, command.turn.rev) if isinstance(record, RedactedTurn) else (record,)

    def _on_watermark(self, state: RedactorState, mark: Watermark) -> Sequence[Record]:
        state.now_ms = max(state.now_ms, mark.time_ms)
        changed = [*self._settle(state, mark.tenant, None)] if state.has_held else []
        decided = self._decide(state, mark)
        changed += self._release(state, mark.tenant)
        return [*changed, *([decided] if decided is not None else []), mark]

    def _detect(self, state: RedactorState, window: Sequence[Heard]) -> Verdict:
        readings = [self._readings.of(turn) for turn in window]
        return self._detector.decide(readings, frozenset(state.names), state.now_ms, self._profile)

    def _settle(
        self,
        state: RedactorState,
        tenant: str,
        current: Heard | None,
        *,
        is_known: bool = False,
        is_late: bool = False,
    ) -> Sequence[Record]:
        """Decide about the window again and return what changed, the current turn first."""
        verdict = self._detect(state, state.heard)
        guidance = self._masked_further(state) if _remember(state, verdict) else ()
        is_changed = False
        for heard, masks in zip(state.heard, verdict.masks, strict=True):
            if heard is current and not is_known:
                heard.masks = _without_digits(masks, self._readings.of(heard)) if is_late else masks
            elif masks != heard.masks:
                heard.masks = _thawed(heard, masks, state.decided(heard.track))
                is_changed = True
            heard.masks = _commanded(heard, state.commanded.get(heard.turn_id, ()))
        if current is not None and not is_changed and self._is_plain(current):
            return [*self._published(state, tenant, current, None), *guidance]
        lines = lines_of(state.heard, self._asked(state.heard))
        order = sorted(state.heard, key=lambda heard: heard is not current)
        turns = [
            record for heard in order for record in self._republished(state, tenant, heard, lines, heard is current)
        ]
        return [*turns, *guidance]

    def _is_plain(self, heard: Heard) -> bool:
        """Say whether a turn asks for no cover, of itself or of what others left out."""
        return bool(heard.texts) and not any(heard.masks) and not heard.audio and not self._asked([heard])

    def _asked(self, window: Sequence[Heard]) -> list[tuple[int, int]]:
        """Say when a card is asked for or announced, by more than a single everyday word."""
        readings = ((turn, self._readings.of(turn)) for turn in window)
        return [
            (turn.starts[label.first], turn.ends[label.last])
            for turn, reading in readings
            for label in reading.labels
            if label.kind in CARD_KINDS and not label.is_weak
        ]

    def _republished(
        self, state: RedactorState, tenant: str, heard: Heard, lines: dict[Track, Line], is_current: bool
    ) -> Sequence[Record]:
        spans = text_spans(heard, lines)
        if is_current:
            heard.spans = spans
            return self._published(state, tenant, heard, lines)
        if spans != heard.spans:
            heard.spans = spans
            heard.redaction_rev += 1
            return self._published(state, tenant, heard, lines)
        if not heard.texts and heard.first_sample - SEGMENT_LEAD_SAMPLES < state.decided(heard.track):
            return ()  # a card that is found later adds no cover to what is decided
        return self._audio(tenant, heard, lines)

    def _published(
        self, state: RedactorState, tenant: str, heard: Heard, lines: dict[Track, Line] | None
    ) -> list[Record]:
        lines = lines if lines is not None else lines_of([heard])
        return [*self._shown(state, tenant, heard), *self._audio(tenant, heard, lines)]

    def _shown(self, state: RedactorState, tenant: str, heard: Heard) -> Sequence[Record]:
        """Show a turn at once, or leave it to `_release`."""
        if not self._profile.is_strict:
            return self._turn(tenant, heard)
        state.unshown[heard.turn_id] = 0
        return ()

    def _release(self, state: RedactorState, tenant: str) -> Sequence[Record]:
        """Show what both tracks have passed: of a partial its first words, of a final all or nothing."""
        shown: list[Record] = []
        until_ms = max(state.now_ms, state.latest_ms - STRICT_MS)
        for turn_id, before in list(state.unshown.items()):
            heard = _find(state, turn_id) or state.live.get(turn_id)
            words = 0 if heard is None else sum(end_ms <= until_ms for end_ms in heard.ends)
            is_whole = heard is None or (heard.end_ms <= until_ms if heard.is_final else words == len(heard.texts))
            if is_whole or state.is_ended:
                del state.unshown[turn_id]
                shown += self._turn(tenant, heard) if heard is not None else ()
            elif heard is not None and not heard.is_final and words > before:
                state.unshown[turn_id] = words
                shown += self._begun(state, tenant, heard, words)
        return shown

    def _begun(self, state: RedactorState, tenant: str, heard: Heard, words: int) -> Sequence[Record]:
        """Write the first words of a partial."""
        begun = beginning(heard, words)
        lines = lines_of([*(row for row in (*state.heard, *state.live.values()) if row is not heard), begun])
        begun.spans = text_spans(begun, lines)
        heard.redaction_rev += 1
        return self._turn(tenant, begun)

    def _turn(self, tenant: str, heard: Heard) -> Sequence[Record]:
        return self._proven(_redacted(tenant, heard, self._profile), (tenant, *_SOURCE(heard)), heard.rev)

    def _proven(self, record: RedactedTurn | Guidance, source: object, source_rev: int) -> Sequence[Record]:
        """Write a record behind its receipt: what is shown has been accounted for."""
        if self._receipts is None:
            return (record,)
        return self._receipts.issue(record, self._receipts.source(source), source_rev, self._profile_version)

    def _audio(self, tenant: str, heard: Heard, lines: dict[Track, Line]) -> list[Record]:
        audio = audio_spans(heard, lines, self._profile)
        if audio == heard.audio:
            return []
        heard.audio = audio
        return [AudioRedaction(tenant, heard.contact_id, heard.leg, heard.turn_id, audio, heard.rev)]

    def _decide(self, state: RedactorState, mark: Watermark) -> DecidedUntil | None:
        """Advance the decided samples: the horizon behind the watermark, less what is still open."""
        before = (state.customer_sample, state.agent_sample)
        until_ms = state.now_ms - self._profile.horizon_ms - LEAD_MS
        limits = [until_ms, until_ms]
        if mark.is_end:
            end_ms = max([state.now_ms, *(heard.end_ms for heard in state.heard)])
            limits = [end_ms, end_ms]
        else:
            state.opens = [row for row in state.opens if row[2] > state.now_ms - self._profile.horizon_ms]
            limits = [
                min([until_ms, *(start_ms - LEAD_MS for track, start_ms, _ in state.opens if track == own)])
                for own in TRACKS
            ]
        state.customer_sample = max(before[0], limits[0] * SAMPLES_PER_MS)
        state.agent_sample = max(before[1], limits[1] * SAMPLES_PER_MS)
        decided = (state.customer_sample, state.agent_sample)
        if decided == before and (not mark.is_end or state.is_ended):
            return None
        state.is_ended = state.is_ended or mark.is_end
        return DecidedUntil(mark.tenant, mark.contact_id, mark.leg, *decided, is_end=mark.is_end)

    def _guidance(self, state: RedactorState, draft: GuidanceDraft) -> Sequence[Record]:
        hints = tuple(self._hint(state, hint) for hint in draft.hints)
        shown = Guidance(draft.tenant, draft.contact_id, draft.leg, draft.cause_id, hints, draft.rev)
        state.shown.pop(draft.cause_id, None)
        if hints:
            state.shown[draft.cause_id] = shown
        while len(state.shown) > MAX_SHOWN:
            state.shown.pop(next(iter(state.shown)))
        return self._proven(shown, draft, draft.rev)

    def _masked_further(self, state: RedactorState) -> Sequence[Record]:
        """Write the hints and summaries again in which a value stands that has only now been found to be one."""
        changed: list[Record] = []
        for cause_id, shown in state.shown.items():
            hints = tuple(self._hint(state, hint) for hint in shown.hints)
            if hints != shown.hints:
                state.shown[cause_id] = replace(shown, hints=hints)
                changed += self._proven(state.shown[cause_id], shown, shown.rev)
        return changed

    def _hint(self, state: RedactorState, hint: Hint) -> Hint:
        points = tuple(replace(point, text=self._text(state, point.text)) for point in hint.points)
        return replace(hint, body=self._text(state, hint.body), points=points)

    def _text(self, state: RedactorState, text: str) -> str:
        return self._detector.mask(text, frozenset(state.names), state.secrets, self._profile)


class TenantRedactor(Machine[RedactorState]):
    """Redact each contact with the profile of its tenant, which is chosen anew for each record: nothing is kept."""

    state = RedactorState
    drops_late = (RedactionVerification,)

    def __init__(self, profiles: Profiles, receipts: Receipts | None = None) -> None:
        """Know the profiles of all tenants, and load what they need; see `Redactor`."""
        for profile in (*profiles.by_tenant.values(), profiles.default):
            reading_of(profile)
        self._profiles = profiles
        self._receipts = receipts
        self._redactors: dict[str, Redactor] = {}
        self._readings: dict[Read, Readings] = {}

    def on_record(self, state: RedactorState, record: Record) -> Sequence[Record]:
        """Advance one contact; see `Redactor`."""
        redactor = self._redactors.get(record.tenant) or self._made(record.tenant)
        return redactor.on_record(state, record)

    def awaits(self, state: RedactorState) -> bool:
        """See `Redactor`."""
        return state.is_under_review

    def _made(self, tenant: str) -> Redactor:
        profile = self._profiles.of(tenant)
        read = reading_of(profile)
        readings = self._readings.setdefault(read, Readings(read))
        return self._redactors.setdefault(tenant, Redactor(profile, Detector(read), self._receipts, readings))


def _heard(turn: Turn) -> Heard:
    """Take a turn into the state."""
    return Heard(
        contact_id=intern(turn.contact_id),
        leg=turn.leg,
        turn_id=turn.turn_id,
        track=turn.track,
        speaker=turn.speaker,
        first_sample=turn.first_sample,
        end_sample=turn.end_sample,
        is_final=turn.is_final,
        asr=intern(turn.asr),
        confidence=turn.confidence,
        rev=turn.rev,
        texts=tuple([intern(word.text) for word in turn.words]),
        times=array("i", [*(word.start_ms for word in turn.words), *(word.end_ms for word in turn.words)]).tobytes(),
        estimated=[at for at, word in enumerate(turn.words) if word.is_estimated],
        masks=no_masks(len(turn.words)),
        gap=intern(turn.gap),
        stable_words=turn.stable_words,
        is_backchannel=turn.is_backchannel,
    )


def _redacted(tenant: str, heard: Heard, profile: Profile) -> RedactedTurn:
    """Write what may be shown; what was said on hold is evidence alone, and its audio is covered like any other."""
    is_shown = heard.gap != ON_HOLD
    stable = sum(last < heard.stable_words for _, last, _ in groups(heard.masks)) if is_shown else 0
    return RedactedTurn(
        tenant=tenant,
        contact_id=heard.contact_id,
        leg=heard.leg,
        turn_id=heard.turn_id,
        redaction_rev=heard.redaction_rev,
        track=heard.track,
        speaker=heard.speaker,
        first_sample=heard.first_sample,
        end_sample=heard.end_sample,
        is_final=heard.is_final,
        words=tokens(heard, profile) if is_shown else (),
        spans=heard.spans if is_shown else (),
        asr=heard.asr,
        confidence=heard.confidence,
        rev=heard.rev,
        gap=heard.gap,
        stable_words=stable,
        is_backchannel=heard.is_backchannel,
    )


def _order(heard: Heard) -> tuple[int, int, str]:
    return heard.start_ms, TRACKS.index(heard.track), heard.turn_id


def _find(state: RedactorState, turn_id: str) -> Heard | None:
    return next((heard for heard in state.heard if heard.turn_id == turn_id), None)


def _commanded(heard: Heard, found: Sequence[TextSpan]) -> tuple[str, ...]:
    """Add what verification has found to the masks of a turn."""
    if not found:
        return heard.masks
    each = zip(heard.masks, heard.starts, heard.ends, strict=True)
    return tuple(
        mask or next((one.type for one in found if start < one.end_ms and one.start_ms < end), "")
        for mask, start, end in each
    )


def _thawed(heard: Heard, masks: Sequence[str], decided_sample: int) -> tuple[str, ...]:
    """Keep for decided words whether they are masked; only the type may still change."""
    return tuple(
        new if bool(new) == bool(old) or end_ms * SAMPLES_PER_MS > decided_sample else old
        for new, old, end_ms in zip(masks, heard.masks, heard.ends, strict=True)
    )


def _without_digits(masks: Sequence[str], reading: Reading) -> tuple[str, ...]:
    """Mask every digit of a turn that comes when its neighbours are forgotten."""
    each = zip(masks, reading.words, strict=True)
    return tuple(mask or ("PII" if word.kind == "digits" else "") for mask, word in each)


def _remember(state: RedactorState, verdict: Verdict) -> bool:
    """Take what a verdict has found; return whether a value is new."""
    state.has_held, state.opens = verdict.has_held, verdict.opens
    is_new = False
    for values, found, limit in (
        (state.names, verdict.names, MAX_NAMES),
        (state.secrets, verdict.secrets, MAX_SECRETS),
    ):
        new = [value for value in dict.fromkeys(found) if value not in values]
        values.extend(new)
        del values[: max(0, len(values) - limit)]
        is_new = is_new or bool(new)
    return is_new


def _forget(state: RedactorState) -> None:
    """Drop the oldest turns beyond the window."""
    latest_ms = max(heard.end_ms for heard in state.heard)
    words = sum(len(heard.texts) for heard in state.heard)
    while (
        len(state.heard) > 1
        and state.heard[0].turn_id not in state.unshown
        and (state.heard[0].end_ms < latest_ms - WINDOW_MS or words > MAX_WORDS or len(state.heard) > MAX_TURNS)
    ):
        dropped = state.heard.pop(0)
        state.commanded.pop(dropped.turn_id, None)
        words -= len(dropped.texts)
        state.floor_ms = max(state.floor_ms, dropped.end_ms)
