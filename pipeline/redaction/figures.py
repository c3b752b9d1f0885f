"""Counts of what redaction masked and left, with their intervals, and the report for people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

import msgspec

TYPES: Final = (
    *("CREDITCARD", "CVV", "EXPIRY", "SSN", "BANKACCOUNT", "ROUTING", "PHONE", "DOB", "EMAIL", "ADDRESS", "NAME"),
)
# Digits that one published line may not show: of a card 5 (PCI DSS 3.4.1 lets the last 4 be seen), of the others all.
EXPOSED: Final = {"CREDITCARD": 5, "SSN": 9, "CVV": 3}
_Z: Final = 1.959964  # 95 % of a normal distribution


class GivenWord(msgspec.Struct, frozen=True):
    """A word of a turn."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A published state of a turn: its words, and the type that masks each or "". `rev` is the turn's."""

    contact_id: str
    turn_id: str
    rev: int
    is_final: bool
    words: Sequence[GivenWord]
    masks: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line; `line` holds the words, so only `what` and the turn's id may be logged."""

    what: str
    line: Shown


@dataclass(slots=True)
class Figures:
    """Counts of some contacts; `add` joins those of others.

    Attributes:
        found: by labelled type, the labelled words of last states by the type that masks them, "" where visible.
        benign, benign_partial: other words of last states and of published partials, by the type that masks them.
        exposing: published lines that show too much of a type.
        contacts, clean: contacts with a labelled word, and those of them without a visible one in any last state.
        together: contacts whose lines together show too much of a card, an SSN or a CVV.
        lines: published lines.
        astray: published lines whose text is not what their spans say.
        unheard: labels of turns that never came.
    """

    found: dict[str, Counter[str]] = field(default_factory=dict)
    benign: Counter[str] = field(default_factory=Counter)
    benign_partial: Counter[str] = field(default_factory=Counter)
    exposing: Counter[str] = field(default_factory=Counter)
    contacts: int = 0
    clean: int = 0
    together: int = 0
    lines: int = 0
    astray: int = 0
    unheard: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def leaks(self) -> bool:
        """Whether anything labelled was shown that must not be."""
        return self.clean < self.contacts or bool(self.exposing) or self.astray > 0

    def add(self, other: "Figures") -> None:
        """Add the counts of other contacts."""
        for kind, masks in other.found.items():
            self.found.setdefault(kind, Counter()).update(masks)
        for name in ("benign", "benign_partial", "exposing"):
            getattr(self, name).update(getattr(other, name))
        for name in ("contacts", "clean", "together", "lines", "astray", "unheard"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), 0 to 1; of nothing, all."""
    if of == 0:
        return 0.0, 1.0
    share, weight = hits / of, _Z * _Z / of
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * sqrt(share * (1 - share) / of + weight / (4 * of)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def text_of(name: str, figures: Figures) -> list[str]:
    """Write figures for people; no word of a turn is in them."""
    clean, left = figures.benign, figures.benign_partial
    exposing = ", ".join(f"{kind} {figures.exposing[kind]}" for kind in (*EXPOSED, "EMAIL"))
    return [
        f"{name}: {figures.contacts:,} contacts with labels, {figures.lines:,} published lines",
        f"{'type':<12}{'words':>8}{'recall %':>10}{'95 %':>17}{'other type':>12}{'PII':>7}{'precision %':>13}",
        *(_row(kind, figures) for kind in TYPES if kind in figures.found or clean[kind]),
        f"contacts fully clean: {_share(figures.clean, figures.contacts)}",
        f"benign words masked in finals: {_share(clean.total() - clean[''], clean.total())}",
        f"benign words masked in partials: {_share(left.total() - left[''], left.total())}",
        f"published lines that expose 5 digits of a card, a whole SSN, CVV or e-mail: {exposing}",
        f"contacts whose lines together do so: {figures.together:,}",
        *([f"lines whose text is not what their spans say: {figures.astray}"] if figures.astray else []),
        *([f"labelled turns that never came: {figures.unheard}"] if figures.unheard else []),
    ]


def _row(kind: str, figures: Figures) -> str:
    masks = figures.found.get(kind, Counter())
    words, masked = masks.total(), masks.total() - masks[""]
    low, high = wilson(masked, words)
    other = masked - masks[kind] - masks["PII"]
    claimed = sum(found[kind] for found in figures.found.values()) + figures.benign[kind]
    precision = f"{100 * masks[kind] / claimed:.2f}" if claimed else "-"
    recall = f"{100 * masked / words:.2f}" if words else "-"
    interval = f"{100 * low:.2f} to {100 * high:.2f}"
    return f"{kind:<12}{words:>8}{recall:>10}{interval:>17}{other:>12}{masks['PII']:>7}{precision:>13}"


def _share(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    share = 100 * hits / of if of else 0.0
    return f"{share:.3f} % ({hits:,} of {of:,}; 95 % {100 * low:.3f} to {100 * high:.3f})"
