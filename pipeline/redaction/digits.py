"""Join pieces of digits to runs: one number said in several breaths, over turns, around the other side's "go ahead".

Owns which words make one number. What the number is, `numbers` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.redaction.checks import find_card
from pipeline.redaction.reading import Piece, Reading
from pipeline.redaction.words import DOUBTFUL, Atom, decode
from topics.records import TRACKS

JOIN_MS = 15_000  # a longer silence of one side ends its number
MAX_TALK = 8  # words of the other side between two single digits of one number


@dataclass(slots=True)
class Run:
    """One number of one track.

    Attributes:
        places: (turn, word) of each atom; turns count in the detector's window.
        text: the digits.
        spelling: the digits as said, so that "seventy" is found in "seventy, six".
        origins: for each digit the index of its atom.
        certain: how many digits do not rest on a doubtful word such as `for`.
    """

    turn: int  # of the first digit
    last_turn: int
    pieces: list[tuple[int, Piece]]
    atoms: list[Atom]
    places: list[tuple[int, int]]
    start_ms: int
    end_ms: int
    text: str = ""
    spelling: str = ""
    origins: list[int] = field(default_factory=list)
    certain: int = 0

    @property
    def is_tail(self) -> bool:
        """Say whether nothing but fillers follows in its last turn."""
        return self.pieces[-1][1].is_tail

    @property
    def is_open(self) -> bool:
        """Say whether a label or nothing leads to it; see `Piece`."""
        return self.pieces[0][1].is_open

    def add(self, turn: int, piece: Piece, reading: Reading) -> None:
        """Append a piece that continues the number."""
        self.pieces.append((turn, piece))
        self.last_turn = turn
        for at in piece.words:
            for atom in reading.words[at].atoms:
                self.atoms.append(atom)
                self.places.append((turn, at))
        self.end_ms = reading.ends[piece.words[-1]]

    def is_card(self) -> bool:
        """Say whether its digits so far are a whole card."""
        text = "".join(digit for digit, _ in decode(self.atoms))
        return find_card(text) == (0, len(text))

    def close(self) -> None:
        """Decode the digits once all pieces are there."""
        decoded = decode(self.atoms)
        self.text = "".join(digit for digit, _ in decoded)
        self.spelling = "".join(f"{atom.kind}{atom.value} " for atom in self.atoms)
        self.origins = [origin for _, origin in decoded]
        doubtful = [at for at, atom in enumerate(self.atoms) if atom.kind in DOUBTFUL and not self._is_enclosed(at)]
        self.certain = sum(1 for origin in self.origins if origin not in doubtful)

    def _is_enclosed(self, at: int) -> bool:
        """Say whether a misheard digit, which is no preposition, stands between digits."""
        return self.atoms[at].kind == "misheard" and 0 < at < len(self.atoms) - 1


def find_runs(readings: Sequence[Reading]) -> list[Run]:
    """Find the numbers of both tracks, by start; `readings` are the turns of a window in the order of their start."""
    tracks = [[turn for turn, reading in enumerate(readings) if reading.track == track] for track in TRACKS]
    runs = [run for turns in tracks for run in _runs_of(readings, turns)]
    for run in runs:
        run.close()
    return sorted((run for run in runs if run.certain), key=lambda run: (run.start_ms, run.turn))


def _runs_of(readings: Sequence[Reading], turns: list[int]) -> list[Run]:
    """Chain the pieces of one track."""
    runs: list[Run] = []
    open_run: Run | None = None
    for turn in turns:
        reading = readings[turn]
        if not reading.pieces:
            open_run = open_run if reading.content == 0 else None
            continue
        for piece in reading.pieces:
            if open_run is None or not _continues(readings, open_run, turn, piece):
                open_run = Run(turn, turn, [], [], [], reading.starts[piece.words[0]], 0)
                runs.append(open_run)
            open_run.add(turn, piece, reading)
        open_run = open_run if reading.pieces[-1].is_tail else None
    return runs


def _continues(readings: Sequence[Reading], run: Run, turn: int, piece: Piece) -> bool:
    if run.last_turn == turn:
        return _is_bridged(readings[turn], run.pieces[-1][1], piece)
    if not piece.is_head or readings[turn].starts[piece.words[0]] - run.end_ms > JOIN_MS:
        return False
    between = readings[run.last_turn + 1 : turn]
    if _has_question(between, readings[turn].starts[piece.words[0]]) or _is_sealed(readings, run):
        return False
    if len(piece.words) == 1 and not piece.is_tail and run.is_card():
        return False
    return sum(reading.content for reading in between) <= MAX_TALK or len(run.places) > 2 or len(piece.words) > 1


def _has_question(between: Sequence[Reading], now_ms: int) -> bool:
    """Say whether the other side has asked for another number meanwhile."""
    return any(
        not label.is_weak and reading.ends[label.last] <= now_ms for reading in between for label in reading.labels
    )


def _is_sealed(readings: Sequence[Reading], run: Run) -> bool:
    """Say whether the number was announced in its own turn as one that stays; the next turn starts another."""
    turn, at = run.places[0]
    return any(label.kind == "" and label.last < at for label in readings[turn].labels)


def _is_bridged(reading: Reading, before: Piece, piece: Piece) -> bool:
    """Say whether a single misheard word stands between two pieces of at least two digits each."""
    first, last = before.words[-1] + 1, piece.words[0]
    between = [word for word in reading.words[first:last] if word.kind != "filler"]
    return (
        len(before.words) > 1
        and len(piece.words) > 1
        and len(between) == 1
        and between[0].kind == "word"
        and between[0].norm not in reading.language.ordinary
        and not any(first <= label.last < last for label in reading.labels)
        and not any(reading.words[at].ends_sentence for at in range(before.words[-1], last))
    )
