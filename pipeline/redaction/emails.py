"""Find e-mail addresses: written, said ("jane dot miller at example dot com"), spelled, split over turns.

Owns the grammar of addresses in words. An address is masked from the first word of its local part on; a begun one at
the end of what has been said is masked as far as it goes.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from pipeline.redaction.languages import Language
from pipeline.redaction.reading import MAX_FILLERS, Reading
from pipeline.redaction.spelling import explained
from pipeline.redaction.words import is_one_letter_off
from topics.records import TRACKS

ASK_MS: Final = 25_000  # how long a question for the address stays open
JOIN_MS: Final = 15_000  # a longer silence ends the address
ANNOUNCED: Final = 3  # words behind "email" that announce an address for the speaker's next turn
MAX_ASKED: Final = 3  # words of an answer that nothing joins to the address
LETTERS: Final = 3  # in a row that are a spelling; "p m" are not
MAX_PLAIN: Final = 2  # words that are no spelling in a domain that is being said
MAX_LOCAL_WORDS: Final = 40
MAX_DOMAIN_WORDS: Final = 12
MAX_COUNTRY: Final = 2  # letters of a country's top domain, which are words in talk
Mark = tuple[int, int]  # turn, word


class _Token(NamedTuple):
    turn: int
    word: int
    norm: str
    has_atoms: bool
    is_digits: bool
    is_plain: bool  # letters alone
    is_filler: bool
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
            word.kind == "digits",
            word.kind == "word" and word.norm.isalpha(),
            word.kind == "filler",
            asked_from is not None and at >= asked_from,
        )
        for turn, asked_from in turns
        for at, word in enumerate(readings[turn].words)
    ]


def _asked_from(readings: Sequence[Reading], turn: int) -> int | None:
    """Return the word from which a turn answers the other side's question for an address, or goes on to tell one."""
    reading = readings[turn]
    for before in range(turn - 1, max(turn - 6, -1), -1):
        asking = readings[before]
        if asking.asks_mail is None or reading.start_ms - asking.end_ms > ASK_MS:
            continue
        if asking.track != reading.track or len(asking.norms) - asking.asks_mail <= ANNOUNCED:
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
            (
                norm in language.at_words
                and (end := _domain_end(language, tokens, at)) > at
                and _is_mail_at(language, tokens, at)
            )
            or norm in language.at_sounds
            and (end := _domain_end(language, tokens, at)) > at
            and _is_asked(tokens, at)
        ):
            first, last = _local_start(language, tokens, at), end
        elif norm in language.sure_at_words:
            first = _local_start(language, tokens, at)
            last = max(_domain_end(language, tokens, at), min(at + 1, len(tokens) - 1))
        elif norm in language.mail_providers and (found := _without_at(language, tokens, at)) is not None:
            first, last = found
        else:
            at += 1
            continue
        yield from ((token.turn, token.word) for token in tokens[first : last + 1])
        at = last + 1
        tokens = [*tokens[:at], *(token._replace(is_asked=False) for token in tokens[at:])]
    yield from _begun(readings, tokens)


def _is_asked(tokens: list[_Token], at: int) -> bool:
    """Say whether a misheard `at` stands where an address is told: digits, a letter or an unusual word before it."""
    before = tokens[at - 1] if at else None
    return tokens[at].is_asked and before is not None and (before.is_digits or before.is_plain)


def _is_mail_at(language: Language, tokens: list[_Token], at: int) -> bool:
    """Say whether the words around `at` are an address rather than a place: "look at example dot com"."""
    if at == 0 or at > 1 and tokens[at - 2].norm in language.mail_connectors:
        return True
    before = tokens[at - 1]
    return before.norm not in language.before_web_at and (
        tokens[at].is_asked or before.norm not in language.ordinary or before.has_atoms or len(before.norm) == 1
    )


def _without_at(language: Language, tokens: list[_Token], place: int) -> tuple[int, int] | None:
    """Find an address whose `at` was lost or misheard: it ends in a provider's name and has the form of one before."""
    at = place - 1 if place and tokens[place - 1].norm in language.ordinary else place
    if _domain_end(language, tokens, place - 1) <= place:
        return None
    first = _local_start(language, tokens, at)
    is_formed = tokens[place].is_asked or any(_is_sign(language, tokens[near]) for near in range(first, at))
    return (first, _domain_end(language, tokens, place - 1)) if first < at and is_formed else None


def _is_sign(language: Language, token: _Token) -> bool:
    """Say whether a word shows that an address is being said: a connector that is no everyday word, or a letter."""
    quiet = language.quiet_mail_words
    return token.norm in language.mail_connectors - quiet or _is_letter(language, token.norm)


def _domain_end(language: Language, tokens: list[_Token], at: int) -> int:
    """Find the last word of the domain that starts behind `at`; `at` itself where none does."""
    end, place, plain = at, at + 1, 0
    is_told = tokens[at].is_asked or at > 1 and tokens[at - 2].norm in language.mail_connectors
    while place < len(tokens) and plain < MAX_DOMAIN_WORDS:
        norm = tokens[place].norm
        top = _top_end(language, tokens, place, is_sure=end > at or is_told)
        if top > place:
            end = place = top
        elif _has_top(language, norm) or norm in language.mail_providers and end == at and place <= at + 2:
            end = place
        elif place > at + 1 and len(norm) > MAX_COUNTRY and norm in language.top_domains - language.ordinary:
            end = place  # the dot was lost
        elif end > at and norm not in language.domain_joints:
            break
        elif _is_letter(language, norm):
            place = _explained(language, tokens, place)
        elif norm in language.lead_ins and len(norm) > 1 and place > at + 1:
            break
        else:
            plain += 1
        place += 1
    return end


def _top_end(language: Language, tokens: list[_Token], place: int, *, is_sure: bool) -> int:
    """Return the last word of "dot com", "dot i o" or what is heard for it; the place itself where none is.

    Args:
        language: whose words they are.
        tokens: what one side says.
        place: of the word that may be `dot`.
        is_sure: what stands before is the domain of an address, so a word that is nearly `dot` is one, and any letter
            behind it belongs to the address.
    """
    norm, tops = tokens[place].norm, language.top_domains
    after = [token.norm for token in tokens[place + 1 : place + 4]]
    is_dot = norm in language.domain_dots
    if not after or not (is_dot or is_sure):
        return place
    is_letter = [len(one) == 1 and one.isalpha() or is_sure and one in language.letter_sounds for one in after]
    letters = next((at for at, is_one in enumerate(is_letter) if not is_one), len(after))
    is_spelled = any("".join(after[:size]) in tops for size in range(2, letters + 1))
    if is_dot:
        if after[0] in tops:
            return place + 1
        return place + min(letters, 3 if is_spelled else 2) if is_spelled or is_sure else place
    is_near = any(is_one_letter_off(norm, dot) for dot in language.domain_dots)
    if is_near and after[0] in tops and after[0] not in language.ordinary:
        return place + 1
    return place + letters if is_near and is_spelled else place


def _is_letter(language: Language, norm: str) -> bool:
    return len(norm) == 1 and norm.isalpha() or norm in language.spelling_alphabet or norm in language.letter_names


def _explained(language: Language, tokens: list[_Token], at: int) -> int:
    return at + explained(language, [token.norm for token in tokens[at : at + 4]], 0)


def _has_top(language: Language, norm: str) -> bool:
    return "." in norm and norm.rpartition(".")[2] in language.top_domains


def _local_start(language: Language, tokens: list[_Token], at: int) -> int:
    """Walk left from `at` over the local part."""
    first = at
    plain = fillers = 0
    for place in range(at - 1, max(at - 1 - MAX_LOCAL_WORDS, -1), -1):
        token = tokens[place]
        if token.is_filler and not _is_spelling(language, tokens, place) and fillers < MAX_FILLERS:
            fillers += 1
            continue
        is_joined = place + 1 == at or _is_joined(language, tokens, place)
        if not (_is_spelling(language, tokens, place) or is_joined and not _is_lead(language, token)):
            plain += 1
            most = MAX_ASKED if token.is_asked else int(tokens[place + 1].is_digits)
            if plain > most or _is_lead(language, token) or token.norm in language.ordinary or first > place + 1:
                break
        first = place
    while first < at and _is_talk(language, tokens, first, at):
        first += 1
    return first


def _is_joined(language: Language, tokens: list[_Token], place: int) -> bool:
    """Say whether a connector stands behind a word, or before one that is not of talk: "dash jones two six"."""
    if tokens[place + 1].norm in language.mail_connectors:
        return True
    return place > 0 and tokens[place - 1].norm in language.mail_connectors and _is_unusual(language, tokens[place])


def _is_talk(language: Language, tokens: list[_Token], first: int, at: int) -> bool:
    """Say whether the first word of what may be a local part only leads to it: "send it to", "is under"."""
    token = tokens[first]
    if token.norm in language.mail_spelling:
        return True
    is_ordinary = len(token.norm) > 1 and token.norm in language.ordinary and not token.is_digits
    return is_ordinary and first + 1 < at and tokens[first + 1].norm not in language.mail_connectors


def _is_spelling(language: Language, tokens: list[_Token], place: int) -> bool:
    """Say whether a word builds an address in any place: connectors, letters and what explains them, digits."""
    norm = tokens[place].norm
    if (
        norm in language.mail_connectors
        or len(norm) == 1
        or tokens[place].has_atoms
        or norm in language.spelling_alphabet
        or norm in language.letter_names
        or norm in language.mail_spelling
    ):
        return True
    is_explaining = place > 1 and tokens[place - 1].norm in language.spelled_as
    before = [token.norm for token in tokens[max(0, place - 3) : place]]
    if is_explaining and any(_is_letter(language, one) or one in language.letter_sounds for one in before):
        return True
    if norm not in language.letter_sounds or place + 1 == len(tokens):
        return False
    after = tokens[place + 1].norm
    return after in language.spelled_as or len(after) == 1 and after.isalpha() and after not in language.letter_words


def _is_lead(language: Language, token: _Token) -> bool:
    return token.norm in language.lead_ins and len(token.norm) > 1 and not token.has_atoms


def _begun(readings: Sequence[Reading], tokens: list[_Token]) -> Iterator[Mark]:
    """Mask an address that has begun and not ended: the tail of the stretch, or any answer to a question for it."""
    language = readings[0].language
    asked = [place for place, token in enumerate(tokens) if token.is_asked]
    for _, turn in groupby(asked, key=lambda place: tokens[place].turn):
        yield from ((tokens[place].turn, tokens[place].word) for place in _told(language, tokens, list(turn)))
    start = _dangling(readings, tokens)
    if start is not None:
        yield from ((token.turn, token.word) for token in tokens[start:])


def _told(language: Language, tokens: list[_Token], turn: Sequence[int]) -> Sequence[int]:
    """Return the words at the begin of an answer that may be of an address, behind "sure, it's".

    Letters and words too unusual for talk are, if they are joined as in an address, or if they are all that the turn
    says and its speaker has not gone on to something else.
    """
    at = 0
    while at < len(turn) and _is_lead(language, tokens[turn[at]]):
        at += 1
    end = at
    while end < len(turn) and _is_part(language, tokens, turn[end]):
        end += 1
    told = turn[at:end]
    if not any(_is_letter(language, tokens[place].norm) or _is_unusual(language, tokens[place]) for place in told):
        return ()
    letters = sum(_is_letter(language, tokens[place].norm) for place in told)
    is_joined = any(tokens[place].norm in language.mail_marks or "@" in tokens[place].norm for place in told)
    is_joined = is_joined or letters >= LETTERS or any(_has_top(language, tokens[place].norm) for place in told)
    return told if is_joined or told[-1] == len(tokens) - 1 else ()


def _is_part(language: Language, tokens: list[_Token], place: int) -> bool:
    token = tokens[place]
    return (
        _is_spelling(language, tokens, place)
        or _is_unusual(language, token)
        or token.norm in language.at_words
        or "@" in token.norm
        or _has_top(language, token.norm)
        or place > 0
        and tokens[place - 1].norm in language.mail_marks
    )


def _is_unusual(language: Language, token: _Token) -> bool:
    known = token.norm in language.ordinary or token.norm in language.lead_ins or token.norm in language.mail_connectors
    return token.is_plain and not known


def _dangling(readings: Sequence[Reading], tokens: list[_Token]) -> int | None:
    """Find where "jane dot mil" and "jane at exam" start at the end of what one side has said so far."""
    if not tokens:
        return None
    language = readings[0].language
    last = len(tokens) - 1
    at = _open_at(language, tokens)
    if at is not None and _domain_end(language, tokens, at) > at:
        at = None
    if at is not None and at > 0 and _is_mail_at(language, tokens, at) and not _is_lead(language, tokens[at - 1]):
        first = _local_start(language, tokens, at)
        is_told = tokens[at].is_asked and tokens[at - 1].norm not in language.ordinary
        is_formed = is_told or any(_is_sign(language, token) for token in tokens[first:at])
        if is_formed or not readings[tokens[last].turn].is_final and last - at < MAX_PLAIN + 1:
            return first
    start = next((at for at in range(last, max(last - 6, -1), -1) if tokens[at].norm in language.mail_marks), None)
    if start is None or any(tokens[at].norm in language.top_domains for at in range(start, last + 1)):
        return None
    if _top_end(language, tokens, start, is_sure=True) in range(start + 1, last):
        return None
    beside = tokens[max(0, start - 1) : start + 2 : 2] if start else tokens[1:2]
    is_told = any(_is_unusual(language, near) or near.has_atoms or len(near.norm) == 1 for near in beside)
    return _local_start(language, tokens, start) if is_told else None


def _open_at(language: Language, tokens: list[_Token]) -> int | None:
    """Find an `at` behind which nothing but a domain that is being said or spelled stands."""
    plain = 0
    for place in range(len(tokens) - 1, max(len(tokens) - 1 - MAX_LOCAL_WORDS, -1), -1):
        if tokens[place].norm in language.at_words:
            return place
        plain += not _is_spelling(language, tokens, place)
        if plain > MAX_PLAIN:
            return None
    return None
