"""Calls that hold what must not be seen, and a search for it in every form that a place may give it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from tests.simulation.world import Event
from topics.keys import contact_key
from topics.records import SAMPLES_PER_MS, ContactEvent, Record, SegmentWords, Track, Watermark, Word

TENANT = "local"
DIGITS = tuple("zero one two three four five six seven eight nine".split())
FIRST = tuple("jane john ann peter susan linda james mary robert karen".split())
LAST = tuple("miller carter wilson anderson thompson roberts campbell mitchell phillips edwards".split())
SPOKEN_RUN = 4  # so many digits of a card in a row, as words
RUN = 10  # as figures: a shorter run stands by chance in a hundred thousand digits of times and hashes
# What stands between the words of a record that is printed as Python prints it.
_NAMES_OF_FIELDS = set("word text start end ms is estimated true false".split())


@dataclass(frozen=True)
class Canary:
    """One call's secrets."""

    contact: str
    card: str
    name: str
    email: str

    @property
    def lines(self) -> tuple[tuple[Track, str], ...]:
        card = " ".join(DIGITS[int(digit)] for digit in self.card)
        return (
            ("agent", "thank you for calling how can i help you"),
            ("customer", f"hello my name is {self.name}"),
            ("customer", "my internet has been down since monday and i want to cancel my subscription"),
            ("agent", "can you read me your card number please"),
            ("customer", " ".join(card.split()[:4])),
            ("agent", "okay"),
            ("customer", " ".join(card.split()[4:])),
            ("agent", "thank you before you go i can offer you twenty percent off"),
            ("customer", "okay that sounds fair"),
            ("agent", "and what is your email address"),
            ("customer", self.email),
        )

    @property
    def events(self) -> Iterator[Event]:
        """What the recogniser hears, as group language reads it: a partial and a final of each line."""
        key = contact_key(TENANT, self.contact)
        yield Event("contact.events", key, ContactEvent(TENANT, self.contact, 1, "started", 0, ""))
        at_ms = 1_000
        for number, (track, line) in enumerate(self.lines):
            said = line.split()
            for rev, count in ((1, max(len(said) // 2, 1)), (2, len(said))):
                heard = self._heard(track, at_ms, said[:count], 2 * number + rev, is_final=rev == 2)
                yield Event("transcript.words", key, heard)
            at_ms += 300 * len(said) + 500
            yield Event("transcript.words", key, Watermark(TENANT, self.contact, 1, at_ms - 100, is_end=False))
        yield Event("transcript.words", key, Watermark(TENANT, self.contact, 1, at_ms, is_end=True))
        yield Event("contact.events", key, ContactEvent(TENANT, self.contact, 1, "ended", at_ms, ""))

    def _heard(self, track: Track, at_ms: int, said: list[str], rev: int, *, is_final: bool) -> Record:
        words = tuple(Word(text, at_ms + 300 * n, at_ms + 300 * n + 250) for n, text in enumerate(said))
        first, end = at_ms * SAMPLES_PER_MS, words[-1].end_ms * SAMPLES_PER_MS
        return SegmentWords(TENANT, self.contact, 1, track, first, end, is_final, words, "script", None, rev)

    def leaks(self, text: str) -> list[str]:
        """What of the secrets a text shows: spoken, as figures, joined."""
        said = spoken(text)
        card = [DIGITS[int(digit)] for digit in self.card]
        runs = [" ".join(card[at : at + SPOKEN_RUN]) for at in range(len(card) - SPOKEN_RUN + 1)]
        groups = [f"{self.card[at : at + 4]} {self.card[at + 4 : at + 8]}" for at in (0, 4, 8)]
        surname, local = self.name.split()[1], self.email.split(" at ")[0]
        found = [one for one in (*runs, *groups, self.name, surname, local) if f" {one} " in said]
        figures = in_figures(text)
        found += [
            self.card[at : at + RUN] for at in range(len(self.card) - RUN + 1) if self.card[at : at + RUN] in figures
        ]
        joined = self.email.replace(" dot ", ".").replace(" at ", "@")
        return found + [one for one in (joined, joined.partition("@")[0]) if one in text.lower()]


_FIGURE = dict(zip(DIGITS, "0123456789", strict=True))


@lru_cache(maxsize=1)  # of a text that is asked for each call
def in_figures(text: str) -> str:
    """A text with every number as figures, without what separates them."""
    return re.sub(r"(?<=\d) (?=\d)", "", " ".join(_FIGURE.get(word, word) for word in spoken(text).split()))


@lru_cache(maxsize=1)
def spoken(text: str) -> str:
    """A text as it would be read aloud: the values of its JSON lines, without marks."""
    said: list[str] = []
    for line in text.splitlines():
        try:
            said += _strings(json.loads(line))
        except ValueError:
            said.append(line)
    words = re.findall(r"[a-z]+|\d+", " ".join(said).lower())
    return f" {' '.join(word for word in words if word not in _NAMES_OF_FIELDS)} "


def canaries(seed: int, count: int) -> list[Canary]:
    """Make calls; each has a card of its own with a valid check digit."""
    random = Random(seed)
    made = []
    for number in range(count):
        digits = "4" + "".join(random.choice("0123456789") for _ in range(14))
        first, last = random.choice(FIRST), random.choice(LAST)
        email = f"{first} dot {last} at example dot com"
        made.append(Canary(f"canary-{number}", digits + _check(digits), f"{first} {last}", email))
    return made


def _check(digits: str) -> str:
    """Return the digit that makes a number valid (Luhn)."""
    doubled = [int(digit) * (2 - at % 2) for at, digit in enumerate(digits)]
    return str(-sum(one // 10 + one % 10 for one in doubled) % 10)


def _strings(content: object) -> Iterator[str]:
    if isinstance(content, str | int | float):
        yield str(content)
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _strings(value)
