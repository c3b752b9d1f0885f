"""Play a spoken call through the redactor as growing partials and finals, and say what it let out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from time import thread_time

from pipeline.redaction.detect import Profile
from pipeline.stages.redaction import Redactor, RedactorState
from tests.pipeline.redaction.spoken_calls import Said
from topics.records import AudioRedaction, Record, RedactedTurn, Turn, Watermark, Word

WORD_MS = 320
PAUSE_MS = 700


@dataclass
class Played:
    """What came out.

    Attributes:
        finals: the newest final of each turn.
        shown: per secret the words of it that any line showed, each with its digits.
        micros: processor time of each step.
    """

    finals: dict[str, RedactedTurn] = field(default_factory=dict)
    shown: dict[str, dict[tuple[str, int], int]] = field(default_factory=lambda: defaultdict(dict))
    left: dict[str, dict[tuple[str, int], int]] = field(default_factory=lambda: defaultdict(dict))
    masked_plain: int = 0
    plain: int = 0
    micros: list[float] = field(default_factory=list)
    outputs: list[Record] = field(default_factory=list)


def turns_of(call: Sequence[Said]) -> list[Turn]:
    """Place a call in time; one final turn each."""
    turns = []
    at_ms = 1_000
    for said in call:
        words = tuple(
            Word(word.text, at_ms + place * WORD_MS, at_ms + place * WORD_MS + 280)
            for place, word in enumerate(said.words)
        )
        first, end = words[0].start_ms * 8, words[-1].end_ms * 8
        identity = f"c1/{said.track}/{first}"
        turns.append(
            Turn("local", "c1", 0, identity, said.track, said.track, first, end, True, words, "test", 0.9, 1000)
        )
        at_ms = words[-1].end_ms + PAUSE_MS
    return turns


def with_partials(turns: Sequence[Turn], random: Random) -> list[Record]:
    """Let each turn grow before its final, and the watermark follow."""
    records: list[Record] = []
    for turn in turns:
        count = random.randint(1, 3)
        while count < len(turn.words):
            words = turn.words[:count]
            records.append(
                Turn(
                    turn.tenant, turn.contact_id, 0, turn.turn_id, turn.track, turn.speaker, turn.first_sample,
                    words[-1].end_ms * 8, False, words, turn.asr, None, count,
                )
            )  # fmt: skip
            count += random.randint(1, 3)
        records += [turn, Watermark("local", "c1", 0, turn.words[-1].end_ms, False)]
    return records


def play(call: Sequence[Said], seed: int, profile: Profile | None = None) -> Played:
    """Play a call and compare every published line with what was said."""
    machine, state, played = Redactor(profile), RedactorState(), Played()
    turns = turns_of(call)
    truth = {turn.turn_id: said for turn, said in zip(turns, call, strict=True)}
    for record in with_partials(turns, Random(seed)):
        began = thread_time()
        outputs = machine.on_record(state, record)
        played.micros.append((thread_time() - began) * 1e6)
        played.outputs += outputs
        for output in outputs:
            if isinstance(output, RedactedTurn):
                _look(output, truth[output.turn_id], played.shown)
                if output.is_final:
                    played.finals[output.turn_id] = output
    for turn in turns:
        _count(played, played.finals[turn.turn_id], truth[turn.turn_id], turn)
    return played


def _visible(output: RedactedTurn, said: Said) -> set[int]:
    """Return the places of the words that a line shows."""
    start_ms = {word.start_ms for word in output.words if not (word.text.startswith("[") and word.text.endswith("]"))}
    first_ms = output.first_sample // 8
    return {place for place in range(len(said.words)) if first_ms + place * WORD_MS in start_ms}


def _look(output: RedactedTurn, said: Said, shown: dict[str, dict[tuple[str, int], int]]) -> None:
    for place in _visible(output, said):
        word = said.words[place]
        if word.secret:
            shown[word.secret][output.turn_id, place] = word.digits


def _count(played: Played, final: RedactedTurn, said: Said, turn: Turn) -> None:
    visible = _visible(final, said)
    for place, word in enumerate(said.words):
        if word.secret and place in visible:
            played.left[word.secret][turn.turn_id, place] = word.digits
        elif not word.secret:
            played.plain += 1
            played.masked_plain += place not in visible


def is_clean(played: Played, call: Sequence[Said]) -> bool:
    """Say whether nothing of a secret stays in the finals and no sequence of lines gave one away."""
    if any(played.left.values()):
        return False
    told = defaultdict(list)
    for said in call:
        for word in said.words:
            if word.secret:
                told[word.secret].append(word)
    return not any(_is_given_away(secret, len(words), played.shown[secret]) for secret, words in told.items())


def _is_given_away(secret: str, words: int, shown: dict[tuple[str, int], int]) -> bool:
    if secret == "card":
        return sum(shown.values()) >= 5
    if secret in ("ssn", "phone"):
        return sum(shown.values()) >= 5
    return len(shown) >= words and bool(shown)


def audio_of(played: Played) -> dict[str, AudioRedaction]:
    """Return the newest set of audio spans of each turn."""
    return {output.turn_id: output for output in played.outputs if isinstance(output, AudioRedaction)}
