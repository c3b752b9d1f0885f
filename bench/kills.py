"""Seeded kills: workers of a group die by SIGKILL during a call, and nothing is lost, doubled or taken back.

Each group has a run of its own, in real time by default, on everything that `trunkline demo` starts, with a screen on
the socket and the page in a browser. A death costs two times: until another worker is ready (for the gateway: until the
screen has a frame again), and, for a group that writes topics, how far its latest output stood behind its cause.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import psycopg

from bench.page import Page
from bench.report import Report
from bench.screen import Screen, Seen
from bench.watched import DEFAULT, Recording, WatchedDemo, wait_until, watched
from connectors.gateway.board import Frame
from pipeline import results
from pipeline.app import GATEWAY, GROUPS
from pipeline.results import Entry
from pipeline.topology import group_names, group_of

KILLS = 10
_MARGIN = 0.08  # of the call, at its begin and at its end, without a kill
_END_LIMIT_S = 20.0
IDENTITIES = {
    "turns": "turn_id",
    "moments": "turn_id",
    "guidance": "guidance_id",
    "audio_redactions": "turn_id",
    "contacts": "contact_id",
}
"""The tables of PostgreSQL, and what names a row to its readers."""


@dataclass(slots=True)
class Kill:
    """One worker's death.

    Attributes:
        group: whose.
        at_s: seconds since the epoch.
        back_s: until the group was there again.
        late_s: the longest that an output of the group came after its cause, up to the next kill; none without outputs.
    """

    group: str
    at_s: float
    back_s: float = 0.0
    late_s: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a call with kills."""

    kills: list[Kill]
    entries: list[Entry]
    seen: list[Seen]
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
    with Screen(demo.page, demo.contact_id) as screen, Page(demo.page, demo.contact_id) as page:
        began_s = demo.wait_for_call()
        for share, group in plan:
            time.sleep(max(began_s + share * duration_s - time.time(), 0))
            dead_pid = demo.kill(group)
            kills.append(Kill(group, time.time()))
            demo.wait_until_back(group, dead_pid)
            kills[-1].back_s = time.time() - kills[-1].at_s
        demo.wait_for_end()
        wait_until(lambda: any(one.frame["type"] == "end" for one in screen.seen), _END_LIMIT_S)
        entries, doubled = demo.entries(), doubled_rows(demo)
    for kill, until_s in zip(kills, [*(one.at_s for one in kills[1:]), math.inf], strict=False):
        kill.late_s = _late_s(entries, kill, until_s)
        if kill.group == GATEWAY:
            kill.back_s = next(back for lost, back in screen.cuts if back > kill.at_s) - kill.at_s
    broken = [*broken_promises(screen.seen), *page.broken, *doubled]
    return Outcome(kills, entries, list(screen.seen), turns_of(entries), broken)


def turns_of(entries: Iterable[Entry]) -> list[dict[str, object]]:
    """The final turns without what depends on the run."""
    return [{name: value for name, value in turn.items() if name != "rev"} for turn in results.turns(entries)]


def doubled_rows(demo: WatchedDemo) -> list[str]:
    """Say where PostgreSQL has two rows of one identity."""
    with psycopg.connect(demo.settings.postgres_dsn.get_secret_value()) as connection:
        return [
            f"{table} has {count} rows of {identity}"
            for table, column in IDENTITIES.items()
            for identity, count in connection.execute(
                f"SELECT {column}, count(*) FROM trunkline.{table} GROUP BY 1 HAVING count(*) > 1"
            )
        ]


def _late_s(entries: Iterable[Entry], kill: Kill, until_s: float) -> float | None:
    """Return how late the latest output of the killed group was, among those written up to a time."""
    outputs = _outputs(kill.group)
    late_ms = (
        one.written_ms - one.cause_ms
        for one in entries
        if one.topic in outputs and one.cause_ms and kill.at_s <= one.written_ms / 1_000 < until_s
    )
    worst_ms = max(late_ms, default=None)
    return None if worst_ms is None else worst_ms / 1_000


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
    is_good = not quiet.broken
    lines = [
        f"{'group':<10} {'kills':>5} {'back s: p50':>12} {'max':>6} {'late s: p50':>12} {'max':>6}  turns   broken"
    ]
    for group in given.group or GROUPS:
        plan = [(share, group) for share in moments(given.seed, group, given.kills)]
        outcome = _one_run(recording, given.speed, duration_s, plan)
        is_same = outcome.turns == quiet.turns
        groups[group] = {
            "kills": [asdict(kill) for kill in outcome.kills],
            "are_turns_those_of_the_quiet_run": is_same,
            "broken_promises": outcome.broken,
        }
        back = _figures([kill.back_s for kill in outcome.kills])
        late = _figures([kill.late_s for kill in outcome.kills if kill.late_s is not None])
        told = "same" if is_same else "DIFFER"
        lines.append(f"{group:<10} {len(outcome.kills):>5} {back:>19} {late:>19}  {told:<6} {len(outcome.broken):>7}")
        is_good = is_good and is_same and not outcome.broken
    return Report({"turns": len(quiet.turns), "speed": given.speed, "groups": groups}, lines, is_good)


def _figures(times_s: Sequence[float]) -> str:
    return f"{statistics.median(times_s):.2f} {max(times_s):>6.2f}" if times_s else "-"


def _one_run(recording: Recording, speed: float, duration_s: float, plan: Sequence[tuple[float, str]]) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-kills-") as folder,
        watched(Path(folder), recording, speed) as demo,
    ):
        return play(demo, duration_s, plan)
