"""Find what is spelled letter by letter: "w i l s o n", "m as in mary", "double l", "november alpha".

Owns the form of a spelling within one turn; whose it is, `names` and `emails` decide.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.redaction.languages import Language
from pipeline.redaction.reading import Reading, Spelt

MAX_GAP = 1  # words such as `capital` between two letters


class _Letter(NamedTuple):
    first: int
    last: int
    text: str
    is_word: bool  # `a` and `i`, which may be talk


def spelt(reading: Reading) -> tuple[Spelt, ...]:
    """Return the runs of two and more letters of a turn, and single ones that are explained: "m as in mary"."""
    if reading.spelt is None:
        reading.spelt = tuple(_runs(reading))
    return reading.spelt


def explained(language: Language, norms: list[str], at: int) -> int:
    """Return the last word of "m as in mary" for the letter at a word; the word itself where nothing explains it."""
    place = at + 1
    while place < min(at + 3, len(norms)) and norms[place] in language.spelled_as:
        place += 1
    is_told = at + 1 < place < len(norms) and len(norms[place]) > 1 and norms[place].replace("-", "").isalpha()
    if not is_told or (norms[at] in language.letter_words and norms[place] in language.ordinary):
        return at
    return place


def _runs(reading: Reading) -> Iterator[Spelt]:
    run: list[_Letter] = []
    at = 0
    while at < len(reading.norms):
        letter = _letter(reading, at, bool(run))
        if letter is not None:
            run.append(letter)
            at = letter.last + 1
            continue
        if run and not (_is_gap(reading, at) and at - run[-1].last <= MAX_GAP):
            yield from _closed(reading, run)
            run = []
        at += 1
    yield from _closed(reading, run)


def _letter(reading: Reading, at: int, is_inside: bool) -> _Letter | None:
    """Read the letter that starts at a word; one that is doubled takes two words."""
    norms, language = reading.norms, reading.language
    norm = norms[at]
    if norm in language.multipliers and at + 1 < len(norms) and _is_letter(language, norms[at + 1]):
        text = norms[at + 1][:1] * int(language.multipliers[norm])
        return _Letter(at, explained(language, norms, at + 1), text, False)
    is_sound = norm in language.letter_sounds and (
        explained(language, norms, at) > at or at + 1 < len(norms) and _is_letter(language, norms[at + 1])
    )
    if not (_is_letter(language, norm) or is_inside and is_sound):
        return None
    last = explained(language, norms, at)
    text = norm[0] if len(norm) == 1 or norm in language.spelling_alphabet else ""
    return _Letter(at, last, text, norm in language.letter_words and last == at)


def _is_letter(language: Language, norm: str) -> bool:
    return (len(norm) == 1 and norm.isalpha()) or norm in language.letter_names or norm in language.spelling_alphabet


def _is_gap(reading: Reading, at: int) -> bool:
    return reading.norms[at] in reading.language.mail_spelling


def _closed(reading: Reading, run: list[_Letter]) -> Iterator[Spelt]:
    """Leave out what is talk at the end: the `i` of "c v v i have"."""
    while run and run[-1].is_word and run[-1].last + 1 < len(reading.norms):
        run = run[:-1]
    while run and run[0].is_word and (len(run) == 1 or run[1].first > run[0].last + 1):
        run = run[1:]
    letters = sum(max(1, len(one.text)) for one in run)
    if letters > 1 or run and run[0].last > run[0].first:
        text = "".join(one.text for one in run) if all(one.text for one in run) else ""
        yield Spelt(run[0].first, run[-1].last, letters, text)
