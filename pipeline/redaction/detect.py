"""Decide for every word of a window of turns whether it is masked, and as what.

Owns the order in which the findings of `numbers`, `places`, `emails` and `names` override each other. Pure: the same
readings, memory and time give the same verdict.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from pipeline.redaction.digits import JOIN_MS, Run, find_runs
from pipeline.redaction.emails import find_emails
from pipeline.redaction.languages import pick
from pipeline.redaction.names import find_names, name_words
from pipeline.redaction.numbers import Judged, Numbers
from pipeline.redaction.places import find_addresses
from pipeline.redaction.plugins import reading_with
from pipeline.redaction.reading import CUT_MS, Read, Reading, read_turn, reader
from pipeline.redaction.replacement import Replacement, parts, token
from pipeline.redaction.words import DOUBTFUL, sounds_like_number
from topics.records import Track

TYPES: Final = frozenset("CREDITCARD CVV EXPIRY SSN BANKACCOUNT ROUTING PHONE DOB EMAIL ADDRESS NAME PII".split())
Open = tuple[Track, int, int]  # track, start and end in milliseconds
Masks = list[list[str]]  # per turn and word: a type, or `` for a word that stays


@dataclass(frozen=True, slots=True)
class Profile:
    """What a tenant wants masked.

    Attributes:
        types: the types that are on.
        horizon_ms: audio time after which an open number gets no more digits.
        pad_before_ms: audio covered before a span.
        pad_after_ms: audio covered after a span.
        is_strict: what is said is shown once the transcripts of both tracks have passed it, or 600 ms later.
        languages: what is spoken, the most frequent first.
        replacement: what is written for masked words.
        plugins: what else looks at finals.
    """

    types: frozenset[str] = TYPES
    horizon_ms: int = 10_000
    pad_before_ms: int = 150
    pad_after_ms: int = 200
    is_strict: bool = False
    languages: tuple[str, ...] = ("en",)
    replacement: Replacement = field(default_factory=Replacement)
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the detector says about a window.

    Attributes:
        masks: one row a turn, one type a word.
        opens: unmasked digits that later ones may still join.
        has_held: some words are masked only until the horizon.
        names: name words for the memory, oldest first.
        secrets: digit strings for the memory, oldest first.
    """

    masks: list[tuple[str, ...]]
    opens: list[Open]
    has_held: bool
    names: list[str]
    secrets: list[str]


def detect(readings: Sequence[Reading], known_names: Set[str], now_ms: int, profile: Profile) -> Verdict:
    """Decide about every word of a window.

    Args:
        readings: turns in the order of their start; both tracks.
        known_names: name words that earlier turns introduced.
        now_ms: the contact's watermark.
        profile: what is on.
    """
    masks: Masks = [[""] * len(reading.words) for reading in readings]
    runs = find_runs(readings)
    numbers = Numbers(readings, now_ms, profile.horizon_ms)
    judged = numbers.judge(runs)
    for row in judged:
        _mask_run(masks, row)
    _mask_dates(masks, readings, numbers)
    _mask_date_parts(masks, readings)
    _mask_codes(masks, readings, numbers)
    _mask_misheard(masks, readings)
    for turn, first, last in find_addresses(readings, runs):
        reading = readings[turn]
        is_late = (
            first > 0
            and bool(reading.words[first].atoms)
            and reading.norms[first - 1] not in reading.language.range_words
        )
        _fill(masks[turn], first - (is_late and _misheard(reading, first - 1, -1) == 1), last, "ADDRESS")
    for turn, at in find_emails(readings):
        _fill(masks[turn], at, at, "EMAIL", frozenset())
    marks = _all_names(readings, known_names)
    for turn, first, last in marks:
        _fill(masks[turn], first, last, "NAME", _STRONGER_THAN_NAME)
    found = [(turn, *row) for turn, reading in enumerate(readings) for row in reading.found]
    for turn, first, last, kind in found:
        _fill(masks[turn], first, last, kind, TYPES)
    marks += [(turn, first, last) for turn, first, last, kind in found if kind == "NAME"]
    _mask_tails(masks, readings, judged, numbers)
    return Verdict(
        masks=[_kept(row, profile) for row in masks],
        opens=_opens(readings, judged),
        has_held=any(row.is_held for row in judged),
        names=name_words(readings, [mark for mark in marks if readings[mark[0]].is_final]),
        secrets=[row.run.text for row in judged if row.type and _is_final(row.run, readings)],
    )


def _kept(row: Sequence[str], profile: Profile) -> tuple[str, ...]:
    return tuple(kind if kind in profile.types else "" for kind in row) if any(row) else no_masks(len(row))


@cache
def no_masks(words: int) -> tuple[str, ...]:
    """Return the one row that all turns of a length share in which nothing is masked."""
    return ("",) * words


def mask_text(text: str, known_names: Set[str], secrets: Sequence[str], profile: Profile) -> str:
    """Redact written text (a hint, a sentence of a summary) with what the contact has given away.

    Args:
        text: free text; its spacing is kept where nothing is masked.
        known_names: name words of the contact.
        secrets: digit strings of the contact.
        profile: what is on.
    """
    language = pick(profile.languages)
    given = parts(text, profile.replacement)
    texts = ["" if _TOKEN.fullmatch(part) else part for part in given]
    places = range(len(texts))
    reading = reader(language)("agent", True, texts, places, places, 0)
    row = list(detect([reading], known_names, 0, profile).masks[0])
    for run in find_runs([reading]):
        if "PII" in profile.types and any(_gives_away(run.text, secret) for secret in secrets):
            for _, at in run.places:
                row[at] = row[at] or "PII"
    if not any(row):
        return text
    return " ".join(
        token(kind, texts[first : last + 1], profile.replacement, language) if kind else given[first]
        for first, last, kind in groups(row)
    )


def reading_of(profile: Profile) -> Read:
    """Return what reads a turn for a profile; the same for profiles whose turns are read alike."""
    return reading_with(profile.languages, profile.plugins)


@dataclass(frozen=True, slots=True)
class Detector:
    """What a redactor asks, all of it pure; a caller that asks the same again and again may pass what remembers.

    Attributes:
        read: reads one turn.
        decide: decides about a window.
        mask: redacts written text.
    """

    read: Read = read_turn
    decide: Callable[[Sequence[Reading], Set[str], int, Profile], Verdict] = detect
    mask: Callable[[str, Set[str], Sequence[str], Profile], str] = mask_text


def _gives_away(digits: str, secret: str) -> bool:
    """Whether digits hold a secret or three or more of it; two digits of an amount stand in every other card."""
    return secret in digits or (len(digits) >= _TELLING_DIGITS and digits in secret)


_TELLING_DIGITS: Final = 3
_TOKEN: Final = re.compile(r"\[[A-Z]+(?: [0-9a-f]{4,8})?\]\W*")


def groups(masks: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Cut a turn into runs of one mask: first word, last word, type; a word that stays is a run of its own."""
    at = 0
    while at < len(masks):
        last = at
        while masks[at] and last + 1 < len(masks) and masks[last + 1] == masks[at]:
            last += 1
        yield at, last, masks[at]
        at = last + 1


def _all_names(readings: Sequence[Reading], known_names: Set[str]) -> list[tuple[int, int, int]]:
    """Find names, and again with those that this window introduces."""
    marks = list(find_names(readings, known_names))
    introduced = frozenset(name_words(readings, marks))
    return marks if introduced <= known_names else list(find_names(readings, known_names | introduced))


_DIGIT_TYPES: Final = TYPES - {"NAME", "EMAIL", "ADDRESS", "DOB"}
_NUMBER_TYPES: Final = _DIGIT_TYPES | {"DOB"}
MAX_MISHEARD: Final = 2  # in a row
_DATE_TYPES: Final = frozenset(("DOB", "EXPIRY"))
_DATE_WORDS: Final = ("digits", "ordinal", "date", "month")
_GOING: Final = 3  # words of a number in talk that is held in a partial while its next word is unknown
MIN_CODE: Final = 2  # words of a security code: "seventy two one" of three digits
MAX_CODE: Final = 5
MAX_ANSWER: Final = 10  # words of an answer that says no more than the code
_STRONGER_THAN_NAME: Final = TYPES - {"NAME", "PII"}


def _fill(row: list[str], first: int, last: int, kind: str, stronger: Set[str] = frozenset(("CREDITCARD",))) -> None:
    for at in range(first, last + 1):
        if row[at] not in stronger:
            row[at] = kind


def _mask_run(masks: Masks, judged: Judged) -> None:
    """Mask the words of a run, and what stands between two of its words in one turn."""
    before: tuple[int, int, str] | None = None
    for (turn, at), kind in zip(judged.run.places, judged.types, strict=True):
        first = before[1] + 1 if before is not None and kind and before[::2] == (turn, kind) else at
        if kind:
            _fill(masks[turn], min(first, at), at, kind)
        before = (turn, at, kind)


def _mask_codes(masks: Masks, readings: Sequence[Reading], numbers: Numbers) -> None:
    """Mask a security code of which the recogniser has left a digit or two: it is where one was asked for or named."""
    named: Track | None = None  # whose turn before has named a code
    for row, reading, given in zip(masks, readings, numbers.labels, strict=True):
        labels = [one for one in given if one.kind == "CVV" and (not one.is_weak or numbers.has_card_talk())]
        for label in labels:
            first = label.last + 1
            while first < len(row) and _leads(reading, first):
                first += 1
            _fill_code(row, reading, first)
        if named is not None and named != reading.track and not labels and len(row) <= MAX_ANSWER:
            for first in range(len(row)):
                if _fill_code(row, reading, first):
                    break
        if labels or len(row) > MAX_MISHEARD:
            named = reading.track if labels else None


def _fill_code(row: list[str], reading: Reading, first: int) -> bool:
    """Mask the words from one on up to an edge or a label, if each is a digit or sounds like one, and one is."""
    at, count, is_digit = first, 0, False
    while not (at >= len(row) or any(label.first == at for label in reading.labels)):
        is_here = reading.words[at].kind == "digits" or _is_scale(reading, at)
        is_digit = is_digit or is_here
        step = 1 if is_here else _misheard(reading, at, 1)
        if not step:
            return False
        at, count = at + step, count + 1
    is_all = at == len(row) and all(_leads(reading, place) for place in range(first))
    least = MIN_CODE if reading.is_final and not is_all else 1
    if not is_digit or not least <= count <= MAX_CODE:
        return False
    for place in range(first, at):
        row[place] = row[place] or "CVV"
    return True


def _leads(reading: Reading, at: int) -> bool:
    """Say whether a word may stand between what names a number and the number."""
    word = reading.words[at]
    return word.kind == "filler" or not word.atoms and word.norm in reading.language.number_openers


def _is_scale(reading: Reading, at: int) -> bool:
    """Say whether a word multiplies: "double", "hundred"."""
    return any(atom.kind in ("multiplier", "hundred") for atom in reading.words[at].atoms)


def _mask_misheard(masks: Masks, readings: Sequence[Reading]) -> None:
    """Mask words beside masked digits that sound like digits, where nothing but digits can stand."""
    for turn, (row, reading) in enumerate(zip(masks, readings, strict=True)):
        if any(row):
            for at, kind in enumerate(tuple(row)):
                if kind in _NUMBER_TYPES:
                    for step in (-1, 1):
                        if 0 <= at + step < len(row) and not row[at + step]:
                            _mask_beside(row, reading, at, step)
        elif 0 < reading.content <= MAX_MISHEARD:
            _mask_alone(masks, readings, turn)


def _mask_alone(masks: Masks, readings: Sequence[Reading], turn: int) -> None:
    """Mask a turn that is nothing but misheard, between two parts of a number or behind one that goes on."""
    reading, row = readings[turn], masks[turn]
    heard = [at for at, word in enumerate(reading.words) if word.kind != "filler"]
    if not all(_misheard(reading, at, 1) for at in heard):
        return
    before = _beside(masks, readings, turn, -1)
    after = _beside(masks, readings, turn, 1)
    is_plain = any(reading.norms[at] in reading.language.ordinary for at in heard)
    if before in _NUMBER_TYPES and (before == after or not reading.is_final or not is_plain):
        for at in heard:
            row[at] = before


def _beside(masks: Masks, readings: Sequence[Reading], turn: int, step: int) -> str:
    """Return as what the nearest turn of the same track is masked where it borders on this one; `` if it is not."""
    near = turn + step
    while 0 <= near < len(readings) and (readings[near].track != readings[turn].track or not readings[near].words):
        near += step
    if not 0 <= near < len(readings):
        return ""
    is_near = abs(readings[near].start_ms - readings[turn].start_ms) <= JOIN_MS
    return masks[near][-1 if step < 0 else 0] if is_near else ""


def _mask_beside(row: list[str], reading: Reading, at: int, step: int) -> None:
    """Mask up to `MAX_MISHEARD` words on one side of a masked word, and digits behind them.

    Beyond them an edge of the turn, digits or a label must stand; before them a filler such as "is" will do.
    """
    place, found, last, size = at + step, 0, at, 0
    while not _is_closed(row, reading, place) and found <= MAX_MISHEARD:
        here = _misheard(reading, place, step) or _is_last_sound(reading, place, at)
        if not here and reading.words[place].kind != "filler" and not _is_scale(reading, place):
            break
        found += here > 0
        place += step * (here or 1)
        last, size = (place - step, here) if here else (last, size)
    if 0 < found <= MAX_MISHEARD and (_is_closed(row, reading, place) or step < 0 and _is_led(reading, last, size)):
        while 0 <= place < len(row) and not row[place] and reading.words[place].kind == "digits":
            last, place = place, place + step
        for near in range(min(at, last), max(at, last) + 1):
            row[near] = row[near] or row[at]


def _is_last_sound(reading: Reading, at: int, masked: int) -> bool:
    """Say whether a filler at the end of a turn, right behind a number, sounds like a digit: "oh one then"."""
    is_end = at == len(reading.words) - 1 == masked + 1 and reading.words[at].kind == "filler"
    return is_end and sounds_like_number(reading.norms[at], reading.language)


def _misheard(reading: Reading, at: int, step: int) -> int:
    """Say how many words from one on, 0 to 2, sound like a number word."""
    word, language = reading.words[at], reading.language
    if word.kind not in ("word", "maybe") or word.norm in language.number_openers:
        return 0
    beside = at + step
    if 0 <= beside < len(reading.words) and reading.words[beside].kind in ("word", "maybe"):
        joined = "".join(reading.norms[min(at, beside) : max(at, beside) + 1])
        if sounds_like_number(joined, language):
            return 2
    is_cut = not reading.is_final and at == len(reading.words) - 1 and word.norm not in language.ordinary
    is_doubtful = word.kind == "maybe" and word.atoms[0].kind in DOUBTFUL
    return int(is_cut or is_doubtful or sounds_like_number(word.norm, language))


def _is_closed(row: Sequence[str], reading: Reading, at: int) -> bool:
    """Say whether an edge, digits or a label stand somewhere."""
    if not 0 <= at < len(row):
        return True
    if row[at] or reading.words[at].kind == "digits":
        return True
    return any(label.first <= at <= label.last for label in reading.labels)


def _is_led(reading: Reading, at: int, size: int) -> bool:
    """Say whether misheard words stand behind a filler; a single one may be `for` or `to` there."""
    is_range = any(atom.kind == "range" for atom in reading.words[at].atoms)
    before = reading.words[at - 1] if at else None
    is_led = before is not None and (before.kind == "filler" or before.norm in reading.language.number_openers)
    return is_led and (size > 1 or not is_range)


def _mask_dates(masks: Masks, readings: Sequence[Reading], numbers: Numbers) -> None:
    for turn, reading in enumerate(readings):
        for date in reading.dates:
            kind = numbers.date_kind(turn, date)
            if kind:
                _fill(masks[turn], date.first, date.last, kind)
                if date.last == len(reading.words) - 1:
                    _mask_date_behind(masks, readings, turn, kind)


def _mask_date_parts(masks: Masks, readings: Sequence[Reading]) -> None:
    """Mask what goes on with a date behind its first part: "six slash", "oh three of twenty eight"."""
    for row, reading in zip(masks, readings, strict=True):
        for at in range(1, len(row)):
            if row[at - 1] in _DATE_TYPES and not row[at] and reading.norms[at] in reading.language.date_joints:
                last = at
                while last + 1 < len(row) and reading.norms[last + 1] in reading.language.date_joints:
                    last += 1
                while last + 1 < len(row) and not row[last + 1] and reading.words[last + 1].kind in _DATE_WORDS:
                    last += 1
                is_sign = reading.norms[at] in reading.language.date_signs
                if is_sign or reading.words[last].kind in _DATE_WORDS:
                    row[at : last + 1] = [row[at - 1]] * (last + 1 - at)


def _mask_date_behind(masks: Masks, readings: Sequence[Reading], turn: int, kind: str) -> None:
    """Mask the rest of a date that a recogniser has cut: digits with which the speaker's next turn begins."""
    for reading, row in zip(readings[turn + 1 :], masks[turn + 1 :], strict=True):
        if reading.track == readings[turn].track and reading.words:
            if reading.pieces and reading.pieces[0].is_head and reading.start_ms - readings[turn].end_ms <= CUT_MS:
                for at in reading.pieces[0].words:
                    row[at] = row[at] or kind
            return


def _mask_tails(masks: Masks, readings: Sequence[Reading], judged: Iterable[Judged], numbers: Numbers) -> None:
    """Hold back digits at the end of a partial: the next word may be a digit too, or `dollars`."""
    cold = {(row.run.last_turn, row.run.places[-1][1]) for row in judged if numbers.is_cold(row)}
    for turn, reading in enumerate(readings):
        if not reading.is_final and reading.pieces:
            words, is_tail = reading.pieces[-1].words, reading.pieces[-1].is_tail
            is_begun = is_tail and (reading.pieces[-1].is_open or any(_is_sure(reading, at) for at in words))
            if is_begun and (turn, words[-1]) not in cold or _goes_on(reading, words):
                for at in range(words[0], words[-1] + 1):
                    masks[turn][at] = masks[turn][at] or "PII"


def _is_sure(reading: Reading, at: int) -> bool:
    """Say whether a word is a digit whatever stands beside it; "for" is not."""
    return any(atom.kind not in DOUBTFUL for atom in reading.words[at].atoms)


def _goes_on(reading: Reading, words: Sequence[int]) -> bool:
    """Say whether another digit is on its way: "twenty five fifty nin", "three five double"."""
    end = len(reading.words) - 1
    is_multiplied = any(atom.kind == "multiplier" for atom in reading.words[words[-1]].atoms)
    if any(atom.kind in ("hundred", "scale") for at in words for atom in reading.words[at].atoms):
        return False
    least = _GOING - reading.pieces[-1].is_open
    return len(words) >= least and (is_multiplied or words[-1] == end - 1 and _misheard(reading, end, 1) > 0)


def _opens(readings: Sequence[Reading], judged: Iterable[Judged]) -> list[Open]:
    """Find unmasked digits that may still become part of a longer number."""
    return [
        (readings[row.run.turn].track, row.run.start_ms, row.run.end_ms)
        for row in judged
        if not row.type and row.run.is_tail
    ]


def _is_final(run: Run, readings: Sequence[Reading]) -> bool:
    return len(run.text) >= 3 and all(readings[turn].is_final for turn, _ in run.pieces)
