"""Read one turn: its words, its pieces of digits, and the phrases that say what a number is.

Owns everything that one turn's words tell alone; `digits` joins the pieces of several turns.
"""

import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final, NamedTuple

from pipeline.redaction.languages import ENGLISH, Language
from pipeline.redaction.words import DOUBTFUL, Lexeme, decode, is_nearly_number, mend, word_reader
from topics.records import Track

OUTRANKED_WORDS: Final = 6  # words behind a firm phrase in which a vague one adds nothing
CUT_MS: Final = 2_000  # between two turns of one side that may be one sentence
CUT_WORDS: Final = 4  # of each that a phrase may have
_REMEMBERED: Final = 4_096  # ends and begins of turns whose labels are known
DATE_GAP: Final = 2  # words such as "of the" between parts of a date
_MONTH_YEAR: Final = re.compile(r"(0?[1-9]|1[0-2])/(20)?[2-4]\d")
DAY_DIGITS: Final = 2
MAX_DAY: Final = 31
YEAR_DIGITS: Final = 4
BIRTHS: Final = (1900, 2015)  # years; dates of later ones are mostly deliveries and bills
MAX_FILLERS: Final = 6  # between two digits of one piece; more is talk


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of one turn that are digits of one number, with nothing but fillers between them.

    Attributes:
        words: indexes of the words that carry digits, ascending.
        is_head: nothing but fillers stands before it in the turn, and it may continue an earlier turn's number.
        is_tail: nothing but fillers stands after it.
        is_open: nothing but what leads to a value stands between it and a label or the start of the sentence; other
            numbers are part of the talk that they stand in: "the boeing seven forty seven".
    """

    words: tuple[int, ...]
    is_head: bool
    is_tail: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A phrase that names a number: its type, `` for numbers that stay, and the words that it covers."""

    kind: str
    first: int
    last: int
    is_weak: bool  # a single everyday word: `phone`, `card`


class Spelt(NamedTuple):
    """A run of letters that are spelled.

    Attributes:
        first: first word.
        last: last word.
        letters: how many there are; a doubled one counts twice.
        text: the letters, empty where some are named by words.
    """

    first: int
    last: int
    letters: int
    text: str


class Date(NamedTuple):
    """A group of date words: the first and the last of them.

    Attributes:
        is_open: as of a `Piece`.
        is_expiry: month and year alone.
        is_birth: day, month and a year in which a caller may be born.
    """

    first: int
    last: int
    is_open: bool
    is_expiry: bool
    is_birth: bool


@dataclass(slots=True)
class Reading:
    """One turn as the detector sees it. Times are milliseconds of the contact; all lists have one entry a word."""

    track: Track
    is_final: bool
    starts: Sequence[int]
    ends: Sequence[int]
    words: list[Lexeme]
    pieces: list[Piece]
    labels: list[Label]
    asks_mail: int | None  # the word that asks for or announces an e-mail address
    asks_name: bool
    asks_place: bool  # for a street address
    has_mail: bool  # some word belongs to the grammar of e-mail addresses
    content: int  # words that are neither fillers nor digits
    start_ms: int
    end_ms: int
    norms: list[str]
    said: frozenset[str]  # the words, and what they are without the 's of a genitive
    carriers: list[tuple[int, str]]  # last word of each phrase that a name may follow, `strong` or `weak`
    dates: list[Date]
    language: Language
    found: tuple[tuple[int, int, str], ...] = ()  # what plug-ins found: first word, last word, type
    # Filled by those who look at the turn first: a window is decided again with each turn.
    spelt: tuple[Spelt, ...] | None = None
    names: tuple[tuple[int, int], ...] | None = None
    towns: tuple[tuple[int, int], ...] | None = None


Read = Callable[[Track, bool, Sequence[str], Sequence[int], Sequence[int], int], Reading]


@cache
def reader(language: Language) -> Read:
    """Return what reads a turn of a language: its track, whether it is final, its words, their starts and ends.

    The last argument places a turn without words.
    """
    tables, mail_signs, read = _tables(language), language.mail_words, word_reader(language)

    def read_turn(
        track: Track, is_final: bool, texts: Sequence[str], starts: Sequence[int], ends: Sequence[int], first_ms: int
    ) -> Reading:
        words = [read(text) for text in texts]
        _fill(words, tables.fillers)
        mend(words, language)
        norms = [word.norm for word in words]
        mail_words = [at for at, norm in enumerate(norms) if norm in language.mail_labels]
        labels = list(_labels(norms, language))
        return Reading(
            track=track,
            is_final=is_final,
            starts=starts,
            ends=ends,
            words=words,
            pieces=_pieces(words, language, labels),
            labels=labels,
            asks_mail=mail_words[-1] if mail_words else None,
            asks_name=any(True for _ in phrases(norms, tables.name_questions)),
            asks_place=not mail_words and any(True for _ in phrases(norms, tables.place_questions)),
            has_mail=any("@" in norm or norm in mail_signs or _looks_like_domain(norm) for norm in norms),
            content=sum(1 for word in words if word.kind not in ("filler", "digits")),
            start_ms=min(starts[0], first_ms) if words else first_ms,
            end_ms=max(ends) if words else first_ms,
            norms=norms,
            said=frozenset((*norms, *map(language.plain, norms))),
            carriers=[(last, strength) for _, last, strength in phrases(norms, tables.carriers)],
            dates=list(_dates(words, language, labels)),
            language=language,
        )

    return read_turn


PhraseTable = dict[str, list[tuple[tuple[str, ...], str]]]


def phrase_table(rows: Iterator[tuple[str, str]]) -> PhraseTable:
    """Index (phrase, value) rows by first word, longest phrase first."""
    table: PhraseTable = {}
    for phrase, value in rows:
        words = tuple(phrase.split())
        table.setdefault(words[0], []).append((words, value))
    for found in table.values():
        found.sort(key=lambda row: -len(row[0]))
    return table


def phrases(norms: list[str], table: PhraseTable) -> Iterator[tuple[int, int, str]]:
    """Find phrases: first word, last word, value. At each word the longest phrase wins."""
    for at, norm in enumerate(norms):
        for words, value in table.get(norm, ()):
            if len(words) == 1 or tuple(norms[at : at + len(words)]) == words:
                yield at, at + len(words) - 1, value
                break


class _Tables(NamedTuple):
    """A language's phrases by their first word."""

    fillers: PhraseTable
    labels: PhraseTable
    no_labels: PhraseTable
    name_questions: PhraseTable
    place_questions: PhraseTable
    carriers: PhraseTable
    weak_labels: frozenset[str]


@cache
def _tables(language: Language) -> _Tables:
    carriers = (("strong", language.strong_carriers), ("weak", language.weak_carriers))
    return _Tables(
        fillers=phrase_table((phrase, "") for phrase in language.filler_phrases),
        labels=phrase_table(
            (" ".join(map(language.plain, phrase.split())), kind)
            for kind, rows in language.labels.items()
            for phrase in rows
        ),
        no_labels=phrase_table((phrase, "") for phrase in language.no_labels),
        name_questions=phrase_table((phrase, "NAME") for phrase in language.name_questions),
        place_questions=phrase_table((phrase, "ADDRESS") for phrase in language.place_questions),
        carriers=phrase_table((phrase, strength) for strength, rows in carriers for phrase in rows),
        weak_labels=frozenset(language.weak_labels),
    )


def _fill(words: list[Lexeme], fillers: PhraseTable) -> None:
    """Read phrases such as "a ver" as fillers."""
    if fillers:
        for first, last, _ in phrases([word.norm for word in words], fillers):
            words[first : last + 1] = (replace(word, kind="filler", atoms=()) for word in words[first : last + 1])


def _labels(norms: list[str], language: Language) -> Iterator[Label]:
    tables = _tables(language)
    firm = -OUTRANKED_WORDS
    plain = [language.plain(norm) for norm in norms]
    for first, last, kind in phrases(plain, tables.labels):
        is_single = first == last and plain[first] not in language.firm_words
        is_weak = is_single or " ".join(plain[first : last + 1]) in tables.weak_labels
        if (is_weak and first - firm < OUTRANKED_WORDS) or _starts_with(norms, first, tables.no_labels):
            continue
        firm = firm if is_weak or not kind else last
        yield Label(kind, first, last, is_weak)


def labels_across(before: Reading, reading: Reading) -> Sequence[Label]:
    """Find phrases that a recogniser has cut: they begin at the end of a turn and end at the begin of the next.

    Returns:
        Labels of the second turn, from its first word on.
    """
    if not 0 <= reading.start_ms - before.end_ms <= CUT_MS:
        return ()
    return _labels_across(tuple(before.norms[-CUT_WORDS:]), tuple(reading.norms[:CUT_WORDS]), reading.language)


@lru_cache(_REMEMBERED)
def _labels_across(before: tuple[str, ...], after: tuple[str, ...], language: Language) -> tuple[Label, ...]:
    """Find labels by words alone: a reading that knew the one before would keep a whole call alive."""
    cut = len(before)
    labels = _labels([*before, *after], language)
    return tuple(Label(one.kind, 0, one.last - cut, one.is_weak) for one in labels if one.first < cut <= one.last)


def _starts_with(norms: list[str], at: int, table: PhraseTable) -> bool:
    return any(tuple(norms[at : at + len(words)]) == words for words, _ in table.get(norms[at], ()))


def _looks_like_domain(norm: str) -> bool:
    return "." in norm and norm.rpartition(".")[2].isalpha() and len(norm.rpartition(".")[2]) >= 2


def _pieces(words: list[Lexeme], language: Language, labels: Sequence[Label]) -> list[Piece]:
    """Cut a turn into pieces of digits; the words of a firm label are none: "the three digits on the back"."""
    if not any(word.atoms for word in words):
        return []
    named = _named(labels)
    found: list[Piece] = []
    for part, is_head, is_tail in _parts(words, language, named):
        first = found[-1].is_open if found else True
        found.append(Piece(part, is_head, is_tail, _is_open(words, language, labels, part[0], first)))
    return found


def _is_open(words: list[Lexeme], language: Language, labels: Sequence[Label], at: int, is_open: bool) -> bool:
    """Say whether a number is led to by a label or by nothing; `is_open` says it of the number before."""
    for place in range(at - 1, -1, -1):
        word = words[place]
        if word.ends_sentence or any(label.first <= place <= label.last for label in labels):
            return True
        if word.kind == "digits":
            return is_open
        is_misheard = word.norm not in language.ordinary and is_nearly_number(word.norm, language)
        if word.kind != "filler" and word.norm not in language.number_openers and not is_misheard:
            return False
    return True


def _named(labels: Sequence[Label]) -> frozenset[int]:
    """Return the words of firm labels."""
    return frozenset(at for label in labels if not label.is_weak for at in range(label.first, label.last + 1))


_Part = tuple[tuple[int, ...], bool, bool]  # words of a piece, is_head, is_tail


def _parts(words: list[Lexeme], language: Language, named: Set[int]) -> Iterator[_Part]:
    inside: list[int] = []
    fillers = 0
    is_head = True  # nothing but fillers since the turn began, when `inside` opened
    for at, word in enumerate(words):
        if word.atoms and word.kind != "date" and at not in named and not _is_counted(words, language, at):
            inside.append(at)
            fillers = 0
            continue
        fillers += 1
        if not (word.kind == "filler" or _is_slip(words, language, at)) or fillers > MAX_FILLERS:
            is_tail = is_head and at in named and all(words[one].kind == "maybe" for one in inside)  # "oh, expiration"
            yield from _closed(words, language, inside, is_head, is_tail)
            inside = []
            is_head = is_head and word.kind == "filler"
    yield from _closed(words, language, inside, is_head, True)


def _is_slip(words: list[Lexeme], language: Language, at: int) -> bool:
    """Say whether a word between digits is nearly a number word: it is taken for one that was misheard."""
    if not 0 < at < len(words) - 1:
        return False
    is_begun = words[at - 1].kind == "digits" or any(atom.kind == "multiplier" for atom in words[at - 1].atoms)
    return (
        is_begun
        and (words[at + 1].kind == "digits" or words[at + 1].norm in language.weak_zeros)
        and words[at].kind == "word"
        and is_nearly_number(words[at].norm, language)
    )


def _is_counted(words: list[Lexeme], language: Language, at: int) -> bool:
    """Say whether a single word is no digit: "that one is", "the last four are"."""
    before = words[at - 1].norm if at else ""
    if words[at].norm in language.pronouns:
        is_known = before in language.before_pronouns
    else:
        is_known = before in language.before_counts and words[at].atoms[0].kind == "unit"
    return is_known and (at + 1 == len(words) or not words[at + 1].atoms)


def _closed(
    words: list[Lexeme], language: Language, inside: list[int], is_head: bool, is_tail: bool
) -> Iterator[_Part]:
    """Split at doubtful words that are no digits, then trim the ends."""
    part: list[int] = []
    for place, at in enumerate(inside):
        if _is_wall(words, inside, place, is_head, is_tail):
            yield from _trimmed(words, language, part, is_head, False)
            part, is_head = [], False
        else:
            part.append(at)
    yield from _trimmed(words, language, part, is_head, is_tail)


def _is_wall(words: list[Lexeme], inside: list[int], place: int, is_head: bool, is_tail: bool) -> bool:
    """Say whether a doubtful word ends the number: `to` counts as 2 between single digits or at a turn's edge."""
    word = words[inside[place]]
    if word.kind != "maybe" or word.atoms[0].kind != "range":
        return False
    before = words[inside[place - 1]] if place else None
    after = words[inside[place + 1]] if place + 1 < len(inside) else None
    return not ((_is_single(before) or before is None and is_head) and (_is_single(after) or after is None and is_tail))


def _is_single(word: Lexeme | None) -> bool:
    if word is None or not word.atoms:
        return False
    kind, value = word.atoms[-1]
    return kind in ("unit", "multiplier", *DOUBTFUL) or kind == "numeral" and (len(value) == 1 or len(value) >= 3)


def _trimmed(words: list[Lexeme], language: Language, part: list[int], is_head: bool, is_tail: bool) -> Iterator[_Part]:
    """Drop doubtful words at an edge that no neighbouring turn can make digits; "for it" is none either."""
    while len(part) > 1 and part[-1] + 1 < len(words) and _atom(words, part[-1]) == "range":
        part = part[:-1]
    while part and not is_tail and _atom(words, part[-1]) in ("multiplier", *DOUBTFUL):
        part = part[:-1]
    while part and not is_head and _atom(words, part[0]) in ("scale", "hundred", "plural", *DOUBTFUL):
        part = part[1:]
    has_digits = any(words[at].kind == "digits" for at in part)
    if part and (has_digits or is_tail) and not _is_pronoun(words, language, part):
        yield tuple(part), is_head and not (_is_measured(words, language, part) and len(part) <= 2), is_tail


def _is_pronoun(words: list[Lexeme], language: Language, part: list[int]) -> bool:
    """Say whether a single `one` stands for a thing: "the one", "this one"."""
    return (
        len(part) == 1
        and words[part[0]].norm in language.pronouns
        and words[part[0] - 1].norm in language.before_pronouns
        and part[0] > 0
    )


def _is_measured(words: list[Lexeme], language: Language, part: Sequence[int]) -> bool:
    return part[-1] + 1 < len(words) and words[part[-1] + 1].norm in language.measures


def _atom(words: list[Lexeme], at: int) -> str:
    return words[at].atoms[0].kind if words[at].kind == "maybe" else "digits"


def _dates(words: list[Lexeme], language: Language, labels: Sequence[Label]) -> Iterator[Date]:
    """Find groups of date words: months, ordinals and written dates, with digits between and beside them."""
    inside: list[int] = []
    named, gap = _named(labels), 0
    for at, word in enumerate(words):
        if word.kind not in ("month", "ordinal", "date", "digits") or at in named:
            gap += word.kind != "maybe"
            continue
        is_named = inside and any(inside[-1] < label.last < at for label in labels)
        if inside and (is_named or gap > DATE_GAP):
            yield from _dated(words, language, labels, inside)
            inside = []
        if word.kind == "month" and inside and not _is_day(words, inside):
            inside = []
        inside.append(at)
        gap = 0
    if inside:
        yield from _dated(words, language, labels, inside)


def _is_day(words: list[Lexeme], inside: Sequence[int]) -> bool:
    """Say whether nothing but a day stands before a month, and not the end of another number."""
    digits = "".join(digit for digit, _ in decode([atom for at in inside for atom in words[at].atoms]))
    return len(digits) <= DAY_DIGITS and int(digits or 1) <= MAX_DAY


def _dated(words: list[Lexeme], language: Language, labels: Sequence[Label], inside: list[int]) -> Iterator[Date]:
    kinds = {words[at].kind for at in inside}
    is_month = len(inside) > 1 or words[inside[0]].norm not in language.doubtful_months or _is_all(words, inside[0])
    is_named = "month" in kinds and is_month
    is_day = "ordinal" in kinds and "digits" in kinds and not _is_measured(words, language, inside)
    if "date" in kinds or is_named or is_day:
        is_written = len(inside) == 1 and bool(_MONTH_YEAR.fullmatch(words[inside[0]].norm))
        is_expiry = is_written or is_named and len(inside) > 1 and kinds == {"month", "digits"}
        is_open = _is_open(words, language, labels, inside[0], True)
        yield Date(inside[0], inside[-1], is_open, is_expiry, _is_birth(words, inside, kinds))


def _is_all(words: list[Lexeme], at: int) -> bool:
    """Say whether a word is all that a turn says."""
    return all(place == at or word.kind == "filler" for place, word in enumerate(words))


def _is_birth(words: list[Lexeme], inside: list[int], kinds: Set[str]) -> bool:
    digits = "".join(digit for digit, _ in decode([atom for at in inside for atom in words[at].atoms]))
    has_day = "month" in kinds and (len(digits) > YEAR_DIGITS or "ordinal" in kinds and len(digits) == YEAR_DIGITS)
    is_whole = has_day or "date" in kinds and len(digits) > YEAR_DIGITS
    return is_whole and BIRTHS[0] <= int(digits[-YEAR_DIGITS:]) <= BIRTHS[1]


read_turn: Final = reader(ENGLISH)
