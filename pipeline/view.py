"""The terminal's view of a call: finals and guidance scroll, partials are redrawn below them.

On anything but a terminal only finals and guidance are printed, one line each. It shows redacted text alone.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from topics.records import SAMPLES_PER_MS, Guidance, Hint, Record, RedactedTurn

_COLOURS = {"customer": "cyan", "agent": "green", "system": "magenta"}
_SUMMARY = "summary"


class View:
    """See the module; `take` accepts every record and shows those it knows."""

    def __init__(self, console: Console) -> None:
        """Draw on a console."""
        self._console = console
        self._live: Live | None = None
        self._partials: dict[str, RedactedTurn] = {}
        self._revisions: dict[Hashable, int] = {}  # of finals and guidance, by identity
        self._shown: dict[str, str] = {}

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Redraw partials in place while the body runs, if this is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, transient=True, refresh_per_second=12) as self._live:
            yield
        self._live = None

    def take(self, record: Record) -> None:
        """Show one record."""
        if isinstance(record, RedactedTurn):
            self._take_turn(record)
        elif isinstance(record, Guidance):
            self._take_guidance(record)

    def _take_turn(self, turn: RedactedTurn) -> None:
        if turn.rev <= self._revisions.get(turn.identity, -1):
            return
        if turn.is_final:
            self._revisions[turn.identity] = turn.rev
            self._partials.pop(turn.turn_id, None)
            if self._shown.get(turn.turn_id) != turn.text and turn.text:
                mark = " ↺" if turn.turn_id in self._shown else ""
                self._shown[turn.turn_id] = turn.text
                self._print(_line(turn, mark))
        elif turn.identity not in self._revisions:
            self._partials[turn.turn_id] = turn
        self._redraw()

    def _take_guidance(self, guidance: Guidance) -> None:
        if guidance.rev <= self._revisions.get(guidance.identity, -1):
            return
        self._revisions[guidance.identity] = guidance.rev
        for hint in guidance.hints:
            if self._shown.get(hint.guidance_id) != hint.body:
                self._shown[hint.guidance_id] = hint.body
                self._print(_hint(hint))

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(Group(*(_line(turn, " …", "italic dim") for turn in self._partials.values())))


def _line(turn: RedactedTurn, mark: str, style: str = "") -> Text:
    line = Text(f"{_clock(turn.first_sample // SAMPLES_PER_MS)} ", style="dim")
    line.append(f"{turn.speaker:>8}  ", style=_COLOURS[turn.speaker])
    line.append(turn.text + mark, style=style)
    line.highlight_regex(r"\[[A-Z]+( [0-9a-f]{4,8})?\]", "bold red")
    return line


def _hint(hint: Hint) -> Text:
    line = Text(f"{_clock(hint.at_ms)} ", style="dim")
    line.append(f"{'▶':>8}  ", style="yellow")
    line.append(hint.kind.replace("_", " ") + ": ", style="bold yellow")
    line.append(hint.body if hint.kind != _SUMMARY else f"{len(hint.points)} points")
    return line


def _clock(at_ms: int) -> str:
    minutes, seconds = divmod(at_ms // 1_000, 60)
    return f"{minutes:02}:{seconds:02}"
