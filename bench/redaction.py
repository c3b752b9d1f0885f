"""Redaction of made-up calls: what was missed, what was masked for nothing, and the time it takes."""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import thread_time_ns

import msgspec

from bench.private_calls import KINDS, Call, one_call
from bench.report import Report, judged
from pipeline.redaction.baselines import by_pattern
from pipeline.redaction.figures import EXPOSED, Fault, Figures, text_of
from pipeline.redaction.lines import TENANT, TurnLine, turn_of
from pipeline.redaction.report import Comparison, Detect, GivenTurn, PublishedLine, Span
from pipeline.stages.redaction import Redactor, RedactorState
from topics.records import RedactedTurn, Watermark

BATCH = 50  # calls that a process measures before it answers
EXAMPLES = 8  # of each class of fault
CONTEXT = 3  # turns before an example


@dataclass(slots=True)
class Found:
    """What some calls showed: figures of each redactor, calls by kind, those not clean, examples, time of each turn."""

    figures: dict[str, Figures] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    unclean: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    took_ns: list[int] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Add what other calls showed; of each class of fault a few examples are kept."""
        for name, figures in other.figures.items():
            self.figures.setdefault(name, Figures()).add(figures)
        for what, texts in other.examples.items():
            self.examples[what] = [*self.examples.get(what, []), *texts][:EXAMPLES]
        self.kinds += other.kinds
        self.unclean += other.unclean
        self.took_ns += other.took_ns


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many calls, which, and how noisy the recogniser is."""
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.02, metavar="SHARE", help="of the words that are misheard")
    parser.add_argument("--workers", type=int, default=2, help="processes that redact")
    parser.add_argument("--presidio", type=int, default=100, metavar="N", help="calls that Presidio redacts too")


def run(arguments: argparse.Namespace) -> Report:
    """Redact calls and judge what came out."""
    seeds = [f"{arguments.seed}-{at}" for at in range(arguments.calls)]
    batches = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    found = Found()
    pool = ProcessPoolExecutor(arguments.workers)
    try:
        for batch in pool.map(partial(_measured, noise=arguments.noise), batches):
            found.add(batch)
    finally:  # what has not begun when the command is ended is not begun
        pool.shutdown(cancel_futures=True)
    lines, is_good = _judgement(found)
    presidio = _presidio(seeds[: arguments.presidio], arguments.noise) if arguments.presidio else []
    return Report(
        figures={"noise": arguments.noise, "seed": arguments.seed} | _figures(found),
        lines=[
            *lines,
            "",
            f"{'calls with':<14}{'calls':>8}{'of these not clean':>20}",
            *(
                f"{kind:<14}{found.kinds[kind]:>8}{found.unclean[kind]:>20}"
                for kind in (*KINDS, "agent_name", "nothing")
            ),
            *(line for name, figures in found.figures.items() for line in ("", *text_of(name, figures))),
            "",
            *presidio,
            "",
            *(f"{what}: {text}" for what, texts in sorted(found.examples.items()) for text in texts),
        ],
        is_good=is_good,
    )


def _measured(seeds: Sequence[str], noise: float) -> Found:
    """Redact the calls of some seeds."""
    found = Found()
    machine = Redactor()
    for seed in seeds:
        call = one_call(seed, noise)
        comparison = Comparison(_labels(call), {"patterns in each record": by_pattern})
        took_ns = _redact(machine, call, comparison)
        figures = comparison.figures()
        kinds = set(call.kinds) or {"nothing"}
        ours = figures["trunkline"]
        unclean = kinds if ours.clean < ours.contacts else ()
        examples = _examples(call, ours.faults)
        for one in figures.values():
            one.faults.clear()  # thousands of calls have a million of them
        found.add(Found(figures, Counter(kinds), Counter(unclean), examples, took_ns))
    return found


def _redact(machine: Redactor, call: Call, comparison: Comparison) -> list[int]:
    """Feed one call in order of arrival; returns the time of each turn."""
    state, end_ms, took_ns = RedactorState(), 0, []
    for record in call.records:
        given = msgspec.convert(record, TurnLine)
        comparison.heard(msgspec.convert(record, GivenTurn))
        end_ms = max(end_ms, given.end_ms)
        turn, mark = turn_of(given), Watermark(TENANT, given.contact_id, 0, end_ms, is_end=False)
        began_ns = thread_time_ns()
        outputs = [*machine.on_record(state, turn), *machine.on_record(state, mark)]
        took_ns.append(thread_time_ns() - began_ns)
        for out in outputs:
            if isinstance(out, RedactedTurn):
                spans = [Span(span.start_ms, span.end_ms, span.type) for span in out.spans]
                comparison.published(PublishedLine(out.turn_id, out.rev, out.is_final, out.text, spans))
    return took_ns


def _labels(call: Call) -> dict[str, Sequence[Span]]:
    return {str(label["turn_id"]): msgspec.convert(label["spans"], list[Span]) for label in call.labels}


def _judgement(found: Found) -> tuple[list[str], bool]:
    """Set the figures beside what must be and what is aimed at (docs/acceptance.md)."""
    ours = found.figures["trunkline"]
    took_ms = sorted(one / 1e6 for one in found.took_ns)
    p50, p99 = took_ms[len(took_ms) // 2], took_ms[len(took_ms) * 99 // 100]
    exposing = sum(ours.exposing[kind] for kind in (*EXPOSED, "EMAIL"))
    rows = (
        ("calls not fully clean, %", _percent(ours.contacts - ours.clean, ours.contacts), 0.5, 0.1),
        ("benign words masked in finals, %", _masked_percent(ours.benign), 1.0, 0.3),
        ("benign words masked in partials, %", _masked_percent(ours.benign_partial), 3.0, 1.0),
        ("published lines that expose 5 digits of a card, an SSN, a CVV or an e-mail", exposing, 1, 1),
        ("CPU time of a turn, p99 ms", round(p99, 3), 1.0, 0.2),
    )
    lines = [judged(name, value, must, goal) for name, value, must, goal in rows]
    return [*lines, f"CPU time of a turn, p50 ms: {p50:.3f}"], all(value < must for _, value, must, _ in rows)


def _figures(found: Found) -> dict[str, object]:
    return {"calls": dict(found.kinds), "not_clean": dict(found.unclean)} | {
        name: {
            "contacts": one.contacts,
            "clean": one.clean,
            "found": {kind: dict(masks) for kind, masks in one.found.items()},
            "benign": dict(one.benign),
            "benign_partial": dict(one.benign_partial),
            "exposing": dict(one.exposing),
            "together": one.together,
            "lines": one.lines,
            "astray": one.astray,
        }
        for name, one in found.figures.items()
    }


def _presidio(seeds: Sequence[str], noise: float) -> list[str]:
    from connectors import presidio

    try:
        detect = presidio.detector()
    except ImportError:
        return ["Presidio is no baseline: extra `redaction-presidio` is not installed"]
    return text_of("Presidio on each record, fewer calls", _alone(detect, seeds, noise))


def _alone(detect: Detect, seeds: Iterable[str], noise: float) -> Figures:
    """Let a baseline redact calls without the redactor."""
    total = Figures()
    for seed in seeds:
        call = one_call(seed, noise)
        comparison = Comparison(_labels(call), {"": detect})
        for turn in msgspec.convert(call.records, list[GivenTurn]):
            comparison.heard(turn)
        total.add(comparison.figures()[""])
    return total


def _examples(call: Call, faults: Sequence[Fault]) -> dict[str, list[str]]:
    """One fault of each class, with what was said before; the calls are made up, so their words may be shown."""
    finals = [turn for turn in msgspec.convert(call.records, list[TurnLine]) if turn.is_final]
    places = {turn.turn_id: place for place, turn in enumerate(finals)}
    texts = [f"{turn.track}: {' '.join(word.text for word in turn.words)}" for turn in finals]
    examples: dict[str, list[str]] = {}
    for fault in faults:
        place = places[fault.line.turn_id]
        before = " / ".join(texts[max(0, place - CONTEXT) : place])
        examples.setdefault(fault.what, [f"{_shown(fault)}\n    after {before}"])
    return examples


def _shown(fault: Fault) -> str:
    """The words of a line, masked ones in brackets."""
    line = fault.line
    words = (f"[{one.text} {mask}]" if mask else one.text for one, mask in zip(line.words, line.masks, strict=True))
    return f"{line.turn_id} rev {line.rev}{'' if line.is_final else ' partial'}: {' '.join(words)}"


def _masked_percent(masks: Mapping[str, int]) -> float:
    total = sum(masks.values())
    return _percent(total - masks.get("", 0), total)


def _percent(part: int, of: int) -> float:
    return round(100 * part / of, 3) if of else 0.0
