r"""Notice what a tenant's policies want noticed, and ask for the hints they prescribe.

Owns matching, cooldown and the pinning of versions; it leaves the wording of hints to inference and the
admission of policy files to `connectors/policies.py`. It reads redacted text alone.

Matching works on normalised text: lower case, words joined with single spaces, no punctuation but the
apostrophe inside a word. A redaction token keeps its brackets (`[name]`), so no plain phrase matches it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Machine
from topics.records import (
    ON_HOLD,
    SAMPLES_PER_MS,
    Behaviour,
    Condition,
    ContactEvent,
    GuidanceRequest,
    Hint,
    MediaStarted,
    Moment,
    Moments,
    Policy,
    Record,
    RedactedTurn,
    Watermark,
)

# Final turns that a re-emission can still change: about a quarter of an hour of brisk talk, 10 kB of state.
RECENT_LIMIT = 256
# A turn of a minute at 200 words a minute has about 1,200 characters; the limit bounds what a regex can cost.
TEXT_LIMIT_CHARS = 4_000

_WORDS = re.compile(r"\[\w+\]|\w+(?:'\w+)*")
_REGEX_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)


def normalise(text: str) -> str:
    """Return the words of a text in the form that conditions are matched against."""
    words = _WORDS.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return " ".join(words)[:TEXT_LIMIT_CHARS]


def compile_condition(condition: Condition) -> re.Pattern[str]:
    """Compile a condition to a pattern for `search` in normalised text.

    Raises:
        RecordRefused: the phrase has no word, or the regex is invalid or repeats a group that repeats.
    """
    if condition.phrase:
        return _compile_phrase(condition.phrase)
    if _nests_repeats(condition.regex):
        raise RecordRefused("the regex repeats a group that itself repeats")
    try:
        return re.compile(condition.regex, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError):
        raise RecordRefused("the regex is invalid") from None


def _compile_phrase(phrase: str) -> re.Pattern[str]:
    words = normalise(phrase)
    if not words:
        raise RecordRefused("the phrase has no word")
    return re.compile(rf"(?<!\S){re.escape(words)}(?!\S)")


def _nests_repeats(regex: str) -> bool:
    """Say whether a repeated group holds a repeat, as in `(a+)+`: the usual cause of exponential time."""
    pieces = _REGEX_PIECES.findall(regex)
    holds_repeat = [False]
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece == "(":
            holds_repeat.append(False)
        elif piece == ")" and len(holds_repeat) > 1:
            inner = holds_repeat.pop()
            if inner and _is_repeat(following):
                return True
            holds_repeat[-1] |= inner
        elif _is_repeat(piece):
            holds_repeat[-1] = True
    return False


def _is_repeat(piece: str) -> bool:
    return piece in ("*", "+") or (piece.startswith("{") and "," in piece)


@dataclass(frozen=True, slots=True)
class Rule:
    """One behaviour of one policy version, compiled."""

    moment: Moment
    behaviour: Behaviour
    patterns: tuple[re.Pattern[str], ...]

    def matches(self, speaker: str, text: str) -> bool:
        """Say whether a normalised text of this speaker is what the behaviour looks for."""
        if self.behaviour.speaker not in ("any", speaker):
            return False
        return any(pattern.search(text) for pattern in self.patterns)

    def is_cooling(self, fired_ms: int, at_ms: int) -> bool:
        """Say whether a firing at `fired_ms` forbids one at `at_ms`; tracks overlap: either may be later."""
        cooldown_ms = round(self.behaviour.cooldown_s * 1_000)
        return cooldown_ms > 0 and at_ms - fired_ms < cooldown_ms


class Pin(NamedTuple):
    """The version of a policy that a contact started with."""

    policy_id: str
    version: int


class Seen(NamedTuple):
    """What a recent final turn did; rules go by their place among the contact's rules."""

    rev: int
    redaction_rev: int
    cooling: tuple[int, ...]  # rules that a turn before this one had put into cooldown
    has_fired: bool  # of the newest revision


@dataclass(slots=True)
class PolicyState:
    """Turns go by `<track>/<first sample>`.

    Attributes:
        pins: None before the contact's first record.
        fired_ms: end of the last turn that fired a rule, by the rule's place.
        recent: final turns in order of arrival.
        forgotten: per track, the highest first sample that has left `recent`.
        time_ms: the watermark that was forwarded last.
        is_ended: the last watermark has been forwarded.
    """

    pins: list[Pin] | None = None
    fired_ms: dict[int, int] = field(default_factory=dict)
    recent: dict[str, Seen] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    time_ms: int = -1
    is_ended: bool = False


class PolicyEngine(Machine[PolicyState]):
    """Match final redacted turns against the policies pinned by their contact."""

    state = PolicyState
    drops_late = (ContactEvent, MediaStarted)  # a contact record tells them again for a week

    def __init__(self) -> None:
        """Start with an empty table of policies; `on_global` fills it."""
        self._rules: dict[tuple[str, str, int], tuple[Rule, ...]] = {}

    def on_global(self, record: Record) -> None:
        """Compile one policy version; contacts that have begun keep the versions they pinned.

        Raises:
            RecordRefused: a condition cannot be compiled, or the record is no policy.
        """
        if not isinstance(record, Policy):
            raise RecordRefused("the table of policies holds policies alone")
        self._rules[record.tenant, record.policy_id, record.version] = tuple(
            Rule(
                Moment(record.policy_id, record.version, behaviour.id),
                behaviour,
                tuple(compile_condition(condition) for condition in behaviour.any),
            )
            for behaviour in record.behaviours
        )

    def on_record(self, state: PolicyState, record: Record) -> Sequence[Record]:
        """Return the moments and the hints that a final turn calls for; a watermark goes through.

        A turn that fires nothing yields nothing, unless an earlier revision of it fired: then both sets are
        empty and withdraw what it said. Cooldown counts the first revision of each turn alone, so a revision
        changes what its own turn says and no other.

        Raises:
            RecordRefused: the record is of a type that this stage does not read.
            EngineFault: a pinned version has left the table.
        """
        match record:
            case RedactedTurn():
                self._pin(state, record.tenant)
                return self._on_turn(state, record) if record.is_final else ()
            case Watermark():
                self._pin(state, record.tenant)
                return _on_watermark(state, record)
            case ContactEvent():
                self._pin(state, record.tenant)
                return ()
            case MediaStarted():
                return ()
            case _:
                raise RecordRefused("policy does not read this type")

    def _pin(self, state: PolicyState, tenant: str) -> None:
        if state.pins is None:
            versions = sorted((id_, version) for owner, id_, version in self._rules if owner == tenant)
            state.pins = [Pin(id_, version) for id_, version in dict(versions).items()]

    def _pinned(self, state: PolicyState, tenant: str) -> tuple[Rule, ...]:
        try:
            return tuple(rule for pin in state.pins or () for rule in self._rules[tenant, *pin])
        except KeyError:
            raise EngineFault("a pinned policy version has left the table") from None

    def _on_turn(self, state: PolicyState, turn: RedactedTurn) -> Sequence[Record]:
        rules = self._pinned(state, turn.tenant)
        text = normalise(turn.text)
        matched = [place for place, rule in enumerate(rules) if rule.matches(turn.speaker, text)]
        seen = state.recent.get(_name(turn))
        if seen is not None:
            return _revise(state, rules, turn, seen, matched)
        if turn.first_sample <= state.forgotten.get(turn.track, -1):
            # Whether cooldown held it back is no longer known: an old turn can be withdrawn, not fired.
            return () if matched else _answer(turn, ())
        answer = _fire(state, rules, turn, matched)
        if not answer and _may_have_fired(rules, turn, text):
            return _answer(turn, ())
        return answer


def _may_have_fired(rules: tuple[Rule, ...], turn: RedactedTurn, text: str) -> bool:
    """Say whether a worker that died may have taken a turn for the agent's, or for one not on hold: it is withdrawn."""
    if turn.gap == ON_HOLD:
        return True
    return turn.speaker == "system" and any(rule.matches("agent", text) for rule in rules)


def _fire(state: PolicyState, rules: tuple[Rule, ...], turn: RedactedTurn, matched: list[int]) -> Sequence[Record]:
    """Answer the first revision of a final turn and start cooldowns."""
    at_ms = _end_ms(turn)
    cooling = tuple(at for at, fired_ms in state.fired_ms.items() if rules[at].is_cooling(fired_ms, at_ms))
    fired = [place for place in matched if place not in cooling]
    for place in fired:
        state.fired_ms[place] = max(at_ms, state.fired_ms.get(place, 0))
    _remember(state, turn, Seen(turn.rev, turn.redaction_rev, cooling, bool(fired)))
    return _answer(turn, [rules[place] for place in fired]) if fired else ()


def _revise(
    state: PolicyState, rules: tuple[Rule, ...], turn: RedactedTurn, seen: Seen, matched: list[int]
) -> Sequence[Record]:
    """Answer a later revision under the cooldowns that the first one met."""
    if (turn.rev, turn.redaction_rev) <= (seen.rev, seen.redaction_rev):
        return ()
    fired = [place for place in matched if place not in seen.cooling]
    state.recent[_name(turn)] = Seen(turn.rev, turn.redaction_rev, seen.cooling, bool(fired))
    return _answer(turn, [rules[place] for place in fired]) if fired or seen.has_fired else ()


def _remember(state: PolicyState, turn: RedactedTurn, seen: Seen) -> None:
    state.recent[_name(turn)] = seen
    if len(state.recent) > RECENT_LIMIT:
        oldest = next(iter(state.recent))
        del state.recent[oldest]
        track, _, first_sample = oldest.partition("/")
        state.forgotten[track] = max(int(first_sample), state.forgotten.get(track, -1))


def _on_watermark(state: PolicyState, mark: Watermark) -> Sequence[Record]:
    if state.is_ended or (mark.time_ms <= state.time_ms and not mark.is_end):
        return ()
    state.time_ms, state.is_ended = mark.time_ms, mark.is_end
    return (mark,)


def _answer(turn: RedactedTurn, rules: Iterable[Rule]) -> Sequence[Record]:
    fired = tuple(rules)
    moments = tuple(rule.moment for rule in fired)
    hints = tuple(_hint(turn, rule) for rule in fired)
    return (
        Moments(turn.tenant, turn.contact_id, turn.leg, turn.turn_id, _end_ms(turn), moments),
        GuidanceRequest(turn.tenant, turn.contact_id, turn.leg, turn.turn_id, hints),
    )


def _hint(turn: RedactedTurn, rule: Rule) -> Hint:
    template, at_ms = rule.behaviour.hint, _end_ms(turn)
    deadline_s = template.deadline_s
    return Hint(
        guidance_id=f"{turn.turn_id}/{rule.moment.policy}/{rule.moment.behaviour}",
        kind=template.kind,
        body=template.body,
        policy=rule.moment.policy,
        policy_version=rule.moment.policy_version,
        evidence=(turn.turn_id,),
        at_ms=at_ms,
        deadline_ms=None if deadline_s is None else at_ms + round(deadline_s * 1_000),
    )


def _name(turn: RedactedTurn) -> str:
    return f"{turn.track}/{turn.first_sample}"


def _end_ms(turn: RedactedTurn) -> int:
    return turn.end_sample // SAMPLES_PER_MS
