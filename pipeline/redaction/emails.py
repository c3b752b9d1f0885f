"""Find e-mail addresses: written, said ("jane dot miller at example dot com"), spelled, split over turns.

Owns the grammar of addresses in words. An address is masked from the first word of its local part on; a begun one at
the end of what has been said is masked as far as it goes.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pipeline.redaction.languages import Language
from pipeline.redaction.reading import Reading
from topics.records import TRACKS

ASK_MS: Final = 25_000  # how long a question for the address stays open
JOIN_MS: Final = 15_000  # a longer silence ends the address
MAX_LOCAL_WORDS: Final = 40
MAX_DOMAIN_WORDS: Final = 12
Mark = tuple[int, int]  # turn, word


class _Token(NamedTuple):
    turn: int
    word: int
    norm: str
    has_atoms: bool
    is_plain: bool  # letters alone
    is_asked: bool  # said in answer to a question for an address, or after announcing it


def find_emails(readings: Sequence[Reading]) -> Iterator[Mark]:
    """Find the words of e-mail addresses in a window of turns."""
    for track in TRACKS:
        for tokens in _stretches(readings, track):
            yield from _in_stretch(readings, tokens)


def _stretches(readings: Sequence[Reading], track: str) -> Iterator[list[_Token]]:
    """Cut one side's talk at long silences; skip what has no sign of an address."""
    if not any(reading.has_mail or reading.asks_mail is not None for reading in readings):
        return
    turns: list[tuple[int, int | None]] = []  # and from which word each answers a question for an address
    end_ms, is_relevant = 0, False
    for turn, reading in enumerate(readings):
        if reading.track != track:
            continue
        if reading.start_ms - end_ms > JOIN_MS and turns:
            if is_relevant:
                yield _tokens(readings, turns)
            turns, is_relevant = [], False
        asked_from = _asked_from(readings, turn)
        is_relevant = is_relevant or reading.has_mail or asked_from is not None
        turns.append((turn, asked_from))
        end_ms = reading.end_ms
    if is_relevant:
        yield _tokens(readings, turns)


def _tokens(readings: Sequence[Reading], turns: Sequence[tuple[int, int | None]]) -> list[_Token]:
    return [
        _Token(
            turn,
            at,
            word.norm,
            bool(word.atoms),
            word.kind == "word" and word.norm.isalpha(),
            asked_from is not None and at >= asked_from,
        )
        for turn, asked_from in turns
        for at, word in enumerate(readings[turn].words)
    ]


def _asked_from(readings: Sequence[Reading], turn: int) -> int | None:
    """Return the word from which a turn answers a question for an e-mail address."""
    reading = readings[turn]
    for before in range(turn - 1, max(turn - 6, -1), -1):
        asks = readings[before].asks_mail
        if asks is not None and reading.start_ms - readings[before].end_ms <= ASK_MS:
            return 0
    return None if reading.asks_mail is None else reading.asks_mail + 1


def _in_stretch(readings: Sequence[Reading], tokens: list[_Token]) -> Iterator[Mark]:
    language = readings[0].language
    at = 0
    while at < len(tokens):
        norm = tokens[at].norm
        if "@" in norm:
            is_whole = not norm.startswith("@")
            first, last = at if is_whole else _local_start(language, tokens, at), _domain_end(language, tokens, at)
        elif (
            norm in language.at_words
            and (end := _domain_end(language, tokens, at)) > at
            and _is_mail_at(language, tokens, at)
        ):
            first, last = _local_start(language, tokens, at), end
        elif norm in language.sure_at_words:
            first = _local_start(language, tokens, at)
            last = max(_domain_end(language, tokens, at), min(at + 1, len(tokens) - 1))
        else:
            at += 1
            continue
        yield from ((token.turn, token.word) for token in tokens[first : last + 1])
        at = last + 1
        tokens = [*tokens[:at], *(token._replace(is_asked=False) for token in tokens[at:])]
    yield from _begun(readings, tokens)


def _is_mail_at(language: Language, tokens: list[_Token], at: int) -> bool:
    """Say whether the words around `at` are an address rather than a place: "look at example dot com"."""
    if at == 0 or tokens[at].is_asked:
        return True
    before = tokens[at - 1].norm
    return before not in language.before_web_at and (
        before not in language.ordinary or tokens[at - 1].has_atoms or len(before) == 1
    )


def _domain_end(language: Language, tokens: list[_Token], at: int) -> int:
    """Find the last word of the domain that starts behind `at`; `at` itself where none does."""
    end = at
    if "@" in tokens[at].norm and _has_top(language, tokens[at].norm):
        end = at
    for place in range(at + 1, min(at + 1 + MAX_DOMAIN_WORDS, len(tokens))):
        norm = tokens[place].norm
        if at < place <= end:
            continue
        if norm in language.domain_dots and place + 1 < len(tokens) and tokens[place + 1].norm in language.top_domains:
            end = place + 1
        elif _has_top(language, norm) or norm in language.mail_providers and end == at and place <= at + 2:
            end = place
        elif (
            end > at
            and norm not in language.domain_joints
            or norm in language.lead_ins
            and len(norm) > 1
            and place > at + 1
        ):
            break
    return end


def _has_top(language: Language, norm: str) -> bool:
    return "." in norm and norm.rpartition(".")[2] in language.top_domains


def _local_start(language: Language, tokens: list[_Token], at: int) -> int:
    """Walk left from `at` over the local part."""
    first = at
    plain = 0
    for place in range(at - 1, max(at - 1 - MAX_LOCAL_WORDS, -1), -1):
        token = tokens[place]
        is_joined = place + 1 == at or tokens[place + 1].norm in language.mail_connectors
        if not (_is_spelling(language, token) or is_joined and not _is_lead(language, token)):
            plain += 1
            if plain > 3 or not token.is_asked or _is_lead(language, token) or token.norm in language.ordinary:
                break
        first = place
    while first < at and tokens[first].norm in language.mail_spelling:
        first += 1
    return first


def _is_spelling(language: Language, token: _Token) -> bool:
    """Say whether a word builds an address in any place: connectors, letters, digits, spelling words."""
    norm = token.norm
    return (
        norm in language.mail_connectors
        or len(norm) == 1
        or token.has_atoms
        or norm in language.spelling_alphabet
        or norm in language.letter_names
        or norm in language.mail_spelling
    )


def _is_lead(language: Language, token: _Token) -> bool:
    return token.norm in language.lead_ins and len(token.norm) > 1 and not token.has_atoms


def _begun(readings: Sequence[Reading], tokens: list[_Token]) -> Iterator[Mark]:
    """Mask an address that has begun and not ended: the tail of the stretch, or any answer to a question for it."""
    asked = [place for place, token in enumerate(tokens) if token.is_asked]
    if asked:
        yield from _answered(readings, tokens, asked)
    yield from _dangling(readings, tokens)


def _answered(readings: Sequence[Reading], tokens: list[_Token], asked: list[int]) -> Iterator[Mark]:
    """Mask words in an answer that are spelled, joined by `dot`, or too unusual for talk."""
    language = readings[0].language
    for place in asked:
        token = tokens[place]
        if token.norm in language.mail_marks or "@" in token.norm or _has_top(language, token.norm):
            yield token.turn, token.word
            yield from ((near.turn, near.word) for near in _beside(language, tokens, place))
        elif _is_letter_run(language, tokens, place) or (
            token.is_plain and not (token.norm in language.ordinary or token.norm in language.lead_ins)
        ):
            yield token.turn, token.word


def _beside(language: Language, tokens: list[_Token], place: int) -> Iterator[_Token]:
    for near in (place - 1, place + 1):
        if (
            0 <= near < len(tokens)
            and tokens[near].is_asked
            and not (near < place and _is_lead(language, tokens[near]))
        ):
            yield tokens[near]


def _is_letter_run(language: Language, tokens: list[_Token], place: int) -> bool:
    """Say whether a single letter stands beside another."""

    def is_letter(at: int) -> bool:
        norm = tokens[at].norm if 0 <= at < len(tokens) else ""
        return len(norm) == 1 and norm.isalpha() or norm in language.spelling_alphabet or norm in language.letter_names

    return is_letter(place) and (is_letter(place - 1) or is_letter(place + 1))


def _dangling(readings: Sequence[Reading], tokens: list[_Token]) -> Iterator[Mark]:
    """Mask "jane dot mil" and "jane at exam" at the end of what one side has said so far."""
    if not tokens:
        return
    language = readings[0].language
    last = len(tokens) - 1
    start = next((at for at in range(last, max(last - 6, -1), -1) if tokens[at].norm in language.mail_marks), None)
    if start is not None and not any(tokens[at].norm in language.top_domains for at in range(start, last + 1)):
        first = _local_start(language, tokens, start)
        yield from ((token.turn, token.word) for token in tokens[first:])
    is_partial = not readings[tokens[last].turn].is_final
    at = next((at for at in range(last, max(last - 3, -1), -1) if tokens[at].norm in language.at_words), None)
    if (
        is_partial
        and at is not None
        and at > 0
        and _is_mail_at(language, tokens, at)
        and not _is_lead(language, tokens[at - 1])
    ):
        yield from ((token.turn, token.word) for token in tokens[_local_start(language, tokens, at) :])
