"""The second look at redaction: seeded misses that it finds, and benign words that it takes for one.

Made-up calls (`bench/private_calls.py`) are masked by their labels, as a redaction without faults would do it. Then one
run of words is left unmasked, once for each type of a call, and `rescan` looks through the whole call.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from bench.private_calls import Call, one_call
from bench.report import Report, judged
from pipeline.redaction.report import Span
from pipeline.verification.rescan import rescan
from topics.records import SAMPLES_PER_MS, RedactedTurn, Track, Word

OPTIONAL = "OPTIONAL"  # of a label: what joins the words of a value
MUST_MISSED, GOAL_MISSED = 5.0, 1.0  # percent of the seeded misses


class _Given(msgspec.Struct, frozen=True):
    turn_id: str
    track: Track
    is_final: bool
    start_ms: int
    end_ms: int
    words: list[Word]


class _Label(msgspec.Struct, frozen=True):
    turn_id: str
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class Run:
    """Words of one turn that hide one value, `first` to `last`."""

    turn_id: str
    first: int
    last: int
    type: str


@dataclass(slots=True)
class Found:
    """What was found.

    Attributes:
        seeded: misses, by type.
        found: of these.
        benign: words that hide nothing.
        imagined: of these, the ones that are findings where nothing was left unmasked.
    """

    seeded: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    benign: int = 0
    imagined: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many calls, which, and how noisy the recogniser is."""
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.02, metavar="SHARE", help="of the words that are misheard")


def run(arguments: argparse.Namespace) -> Report:
    """Seed a miss of each type in each call and look for it."""
    found = Found()
    for at in range(arguments.calls):
        _look(one_call(f"{arguments.seed}-{at}", arguments.noise), found)
    missed = round(100 * (1 - found.found.total() / found.seeded.total()), 2)
    lines = [judged("seeded misses not found, %", missed, MUST_MISSED, GOAL_MISSED)]
    lines.append(f"benign words that are findings, %: {100 * found.imagined / found.benign:.2f}")
    lines += [f"{kind:<12} {found.found[kind]:>5} of {count:>5}" for kind, count in sorted(found.seeded.items())]
    figures = {"seeded": dict(found.seeded), "found": dict(found.found), "missed_percent": missed}
    return Report(figures | {"benign": found.benign, "imagined": found.imagined}, lines, missed < MUST_MISSED)


def _look(call: Call, found: Found) -> None:
    turns = [one for one in msgspec.convert(call.records, list[_Given]) if one.is_final]
    labels = {one.turn_id: one.spans for one in msgspec.convert(call.labels, list[_Label])}
    runs = {turn.turn_id: list(_runs(turn, labels.get(turn.turn_id, ()))) for turn in turns}
    hidden = [run for each in runs.values() for run in each]
    masked = _published(turns, runs, None)
    found.benign += sum(not word.text.startswith("[") for turn in masked for word in turn.words)
    by_id = {turn.turn_id: turn for turn in masked}
    for one in rescan(masked):
        words = by_id[one.turn_id].words[one.first : one.last + 1]
        found.imagined += sum(not word.text.startswith("[") for word in words)
    for kind in sorted({run.type for run in hidden}):
        left = Random(f"{call.contact_id}/{kind}").choice([run for run in hidden if run.type == kind])
        found.seeded[kind] += 1
        found.found[kind] += _is_found(left, turns, runs)


def _is_found(left: Run, turns: Sequence[_Given], runs: Mapping[str, Sequence[Run]]) -> bool:
    published = _published(turns, runs, left)
    (turn,) = (one for one in turns if one.turn_id == left.turn_id)
    (shown,) = (one for one in published if one.turn_id == left.turn_id)
    span = turn.words[left.first].start_ms, turn.words[left.last].end_ms
    return any(
        shown.words[one.first].start_ms < span[1] and span[0] < shown.words[one.last].end_ms
        for one in rescan(published)
        if one.turn_id == left.turn_id
    )


def _runs(turn: _Given, spans: Sequence[Span]) -> Iterator[Run]:
    """Join labelled words that stand together; what may join them is of a run that goes on behind it."""
    kinds = [next((one.type for one in spans if _overlaps(word, one)), "") for word in turn.words]
    at = 0
    while at < len(kinds):
        last = at
        if kinds[at] not in ("", OPTIONAL):
            while last + 1 < len(kinds) and kinds[last + 1] in (kinds[at], OPTIONAL):
                last += 1
            while kinds[last] == OPTIONAL:
                last -= 1
            yield Run(turn.turn_id, at, last, kinds[at])
        at = last + 1


def _overlaps(word: Word, span: Span) -> bool:
    return word.start_ms < span.end_ms and span.start_ms < word.end_ms


def _published(turns: Sequence[_Given], runs: Mapping[str, Sequence[Run]], left: Run | None) -> list[RedactedTurn]:
    """Mask every run but one."""
    made = [_masked(turn, [run for run in runs[turn.turn_id] if run != left]) for turn in turns]
    return sorted(made, key=lambda turn: turn.first_sample)


def _masked(turn: _Given, runs: Sequence[Run]) -> RedactedTurn:
    starts, inside = {run.first: run for run in runs}, {at for run in runs for at in range(run.first, run.last + 1)}
    words = [
        Word(f"[{starts[at].type}]", word.start_ms, turn.words[starts[at].last].end_ms) if at in starts else word
        for at, word in enumerate(turn.words)
        if at in starts or at not in inside
    ]
    first, end = turn.start_ms * SAMPLES_PER_MS, turn.end_ms * SAMPLES_PER_MS
    return RedactedTurn(
        *("bench", "call", 0, turn.turn_id, 0, turn.track, turn.track, first, end, True, tuple(words), (), "made", None)
    )
