"""Seeded kills: workers of a group die by SIGKILL during a call, and nothing is lost, doubled or taken back.

Each group has a run of its own, in real time by default, on everything that `trunkline demo` starts. A pause is what
the death cost: for a group that writes topics, the longest silence on them around the kill (Kafka's times); for the
gateway, until the screen has a frame again; for the others, until the group's committed positions move again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

from confluent_kafka import ConsumerGroupTopicPartitions

from bench.report import Report
from bench.screen import Screen, Seen
from bench.watched import DEFAULT, Recording, WatchedDemo, wait_until, watched
from connectors.gateway.board import Frame
from pipeline import results
from pipeline.app import GATEWAY, GROUPS
from pipeline.results import Entry
from pipeline.topology import group_names, group_of
from topics import clients

KILLS = 10
_MARGIN = 0.08  # of the call, at its begin and at its end, without a kill
_AROUND_S = 0.5  # before a kill: outputs that were on their way
_MOVE_LIMIT_S = 20.0


@dataclass(slots=True)
class Kill:
    """One worker's death.

    Attributes:
        group: whose.
        at_s: seconds since the epoch.
        pause_s: see the module; None where nothing was there to do before the next kill.
    """

    group: str
    at_s: float
    pause_s: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a call with kills."""

    kills: list[Kill]
    entries: list[Entry]
    seen: list[Seen]
    duration_s: float
    turns: list[dict[str, object]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def moments(seed: int, group: str, count: int) -> list[float]:
    """Draw when to kill, in shares of the call."""
    random = Random(f"{seed}/{group}")
    return sorted(random.uniform(_MARGIN, 1 - _MARGIN) for _ in range(count))


def play(demo: WatchedDemo, duration_s: float, plan: Sequence[tuple[float, str]]) -> Outcome:
    """Follow the demo's call to its end and kill workers on the way.

    Args:
        demo: started, its call not begun.
        duration_s: of the call as it is played.
        plan: (share of the call, group), in order; a kill waits until the one before is repaired.

    Raises:
        RuntimeError: a worker did not come back, or the call did not end.
    """
    kills: list[Kill] = []
    with Screen(demo.page, demo.contact_id) as screen:
        began_s = demo.wait_for_call()
        for share, group in plan:
            time.sleep(max(began_s + share * duration_s - time.time(), 0))
            before = _committed(demo, group)
            dead_pid = demo.kill(group)
            kills.append(Kill(group, time.time()))
            demo.wait_until_back(group, dead_pid)
            if before:
                kills[-1].pause_s = _until_moved(demo, group, before, kills[-1].at_s)
        demo.wait_for_end()
        wait_until(lambda: any(one.frame["type"] == "end" for one in screen.seen), _MOVE_LIMIT_S)
        entries = demo.entries()
    for kill in kills:
        if kill.group == GATEWAY:
            kill.pause_s = next((back - lost for lost, back in screen.cuts if back > kill.at_s), None)
        elif _outputs(kill.group):
            kill.pause_s = silence_s(entries, kill)
    return Outcome(kills, entries, list(screen.seen), duration_s, turns_of(entries), broken_promises(screen.seen))


def turns_of(entries: Iterable[Entry]) -> list[dict[str, object]]:
    """The final turns without what depends on the run."""
    return [{name: value for name, value in turn.items() if name != "rev"} for turn in results.turns(entries)]


def silence_s(entries: Sequence[Entry], kill: Kill) -> float | None:
    """Return the longest time around a kill in which its group wrote nothing."""
    outputs = _outputs(kill.group)
    times_s = sorted(one.written_ms / 1_000 for one in entries if one.topic in outputs)
    before = [at_s for at_s in times_s if at_s <= kill.at_s + _AROUND_S]
    after = [at_s for at_s in times_s if at_s > kill.at_s + _AROUND_S]
    around = [*(at_s for at_s in before if at_s >= kill.at_s - _AROUND_S), *after[:1]]
    if before and before[-1] not in around:
        around.insert(0, before[-1])
    return max((late - early for early, late in pairwise(around)), default=None)


def broken_promises(seen: Sequence[Seen]) -> list[str]:
    """Say where a screen was shown an older revision than before, or one card twice."""
    broken: list[str] = []
    turns: dict[str, tuple[bool, int]] = {}
    causes: dict[str, int] = {}
    cards: dict[str, set[str]] = {}
    for one in seen:
        broken += missing(one.frame, turns, causes)
        for frame in parts(one.frame):
            if frame["type"] == "turn":
                name, order = str(frame["turn_id"]), (bool(frame["is_final"]), int(str(frame["rev"])))
                if order < turns.get(name, order):
                    broken.append(f"turn {name}: {order} after {turns[name]}")
                turns[name] = max(order, turns.get(name, order))
            elif frame["type"] == "guidance":
                name, rev = str(frame["cause_id"]), int(str(frame["rev"]))
                if rev < causes.get(name, rev):
                    broken.append(f"guidance {name}: {rev} after {causes[name]}")
                causes[name] = max(rev, causes.get(name, rev))
                cards[name] = _cards(frame, broken)
        shown = [card for each in cards.values() for card in each]
        broken += [f"card {card} is shown twice" for card in set(shown) if shown.count(card) > 1]
    return broken


def parts(frame: Frame) -> list[Frame]:
    """The turns and guidance sets of a frame: a snapshot holds many."""
    if frame["type"] != "snapshot":
        return [frame]
    turns, guidance = frame["turns"], frame["guidance"]
    assert isinstance(turns, list)
    assert isinstance(guidance, list)
    return [*turns, *guidance]


def missing(frame: Frame, turns: Iterable[str], causes: Iterable[str]) -> list[str]:
    """Say what a snapshot takes away from a screen."""
    if frame["type"] != "snapshot":
        return []
    kept = {str(part["turn_id"] if part["type"] == "turn" else part["cause_id"]) for part in parts(frame)}
    return [f"{name} is missing in a snapshot" for name in (*turns, *causes) if name not in kept]


def _cards(frame: Frame, broken: list[str]) -> set[str]:
    hints = frame["hints"]
    assert isinstance(hints, list)
    names = [str(hint["guidance_id"]) for hint in hints]
    broken += [f"card {name} is twice in a set" for name in set(names) if names.count(name) > 1]
    return set(names)


def _outputs(group: str) -> frozenset[str]:
    if group not in group_names():
        return frozenset()
    return frozenset(topic for stage in group_of(group).stages for topic in stage.outputs)


def _committed(demo: WatchedDemo, group: str) -> dict[tuple[str, int], int]:
    """The committed positions of a group that writes no topic and owns partitions; else nothing."""
    if group == GATEWAY or _outputs(group):
        return {}
    admin = clients.admin(demo.settings.kafka_bootstrap)
    asked = ConsumerGroupTopicPartitions(demo.settings.topic_prefix + group)
    (answer,) = admin.list_consumer_group_offsets([asked]).values()
    return {(one.topic, one.partition): one.offset for one in answer.result(10).topic_partitions}


def _until_moved(demo: WatchedDemo, group: str, before: dict[tuple[str, int], int], killed_s: float) -> float | None:
    has_moved = wait_until(lambda: _committed(demo, group) != before, _MOVE_LIMIT_S)
    return time.time() - killed_s if has_moved else None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    parser.add_argument("--group", choices=GROUPS, action="append", help="repeatable; default: every group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=KILLS, help="in each group's run")
    parser.add_argument("--speed", type=float, default=1.0)
    DEFAULT.add_options(parser)


def run(given: argparse.Namespace) -> Report:
    """Make a quiet run, then one run with kills for each group."""
    recording = Recording.chosen(given)
    duration_s = recording.call.duration_ms / 1_000 / given.speed
    quiet = _one_run(recording, given.speed, duration_s, ())
    groups: dict[str, object] = {}
    lines = [f"{'group':<10} {'kills':>5} {'pauses s: p50':>14} {'max':>6}  turns  screen"]
    for group in given.group or GROUPS:
        plan = [(share, group) for share in moments(given.seed, group, given.kills)]
        outcome = _one_run(recording, given.speed, duration_s, plan)
        is_same = outcome.turns == quiet.turns
        pauses = [kill.pause_s for kill in outcome.kills if kill.pause_s is not None]
        groups[group] = {
            "kills": [asdict(kill) for kill in outcome.kills],
            "are_turns_those_of_the_quiet_run": is_same,
            "broken_promises": outcome.broken,
        }
        p50, worst = (statistics.median(pauses), max(pauses)) if pauses else (float("nan"), float("nan"))
        told = "same" if is_same else "DIFFER"
        head = f"{group:<10} {len(outcome.kills):>5} {p50:>14.2f} {worst:>6.2f}"
        lines.append(f"{head}  {told:<6} {len(outcome.broken)} wrong")
    return Report({"turns": len(quiet.turns), "speed": given.speed, "groups": groups}, lines)


def _one_run(recording: Recording, speed: float, duration_s: float, plan: Sequence[tuple[float, str]]) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-kills-") as folder,
        watched(Path(folder), recording, speed) as demo,
    ):
        return play(demo, duration_s, plan)
