"""Languages as data: one TOML file each, read once and checked.

Owns the form of a file and how several languages are read as one. What a list is for says its reader: `words`,
`reading`, `explain`, `numbers`, `emails`, `names`, `places`.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib import resources
from typing import Any, Final

STAYS: Final = "stays"  # in a file: the labels of numbers that stay in the text

Phrases = tuple[str, ...]
Words = frozenset[str]
Table = Mapping[str, str]


class BadLanguage(ValueError):
    """A language file that has a mistake; the message names file, key and reason."""


@dataclass(frozen=True, eq=False)
class Language:
    """Everything that the rules know about a language. Words and phrases are in lower case.

    Attributes:
        folds_accents: words are compared without their accents.
        hundred_words: `hundred`, behind the number that it multiplies.
        weak_zeros: words that are a zero beside digits alone.
        range_words: substitutes that are also everyday words between two numbers; the others count beside any digit.
        fillers: what a speaker or listener puts between digits without ending the number; `filler_phrases` too.
        doubtful_months: months that are everyday words too.
        idioms: digit strings that are sayings, not numbers.
        pronouns: digits that stand for a thing behind one of `before_pronouns`.
        measures: units that make the number before them an amount; `per_words` do before one of `per_units`.
        date_joints: what stands between the parts of a date; `date_signs` of them nowhere else.
        amount_words: what stands before a price.
        time_words: what stands before a time of day.
        last_hour: of the clock that people speak of.
        amount_pattern: a written amount or time.
        ordinal_pattern: a written ordinal.
        telephone_pattern: digits of telephone numbers beside the North American.
        labels: by type the phrases after which a number is of it; `` for numbers that stay.
        firm_words: single words that are firm labels; other single words are weak.
        weak_labels: phrases that say little by themselves; a firmer one just before outranks them.
        no_labels: phrases that are no label although they start with one.
        telling_words: "... is my card number"; `owning_words` too.
        number_openers: words beside fillers that may stand between a label, or the start of a sentence, and its number.
        number_verbs: words of telling and asking, behind which a number is no model's: "found it five four six".
        place_words: what many towns are called, which are words of talk too.
        mail_labels: what asks for or announces an e-mail address.
        at_words: `at`, which may be a place; `sure_at_words` are the sign alone, `at_sounds` what an ASR writes for it.
        domain_dots: what stands before a top domain; `domain_joints` keep a domain going.
        mail_marks: words that alone are the sign of an address.
        mail_connectors: what joins the parts of a local part; `quiet_mail_words` of them are no sign of an address.
        before_web_at: verbs and places before `at`, where "at example dot com" is a web site.
        spelling_alphabet: alpha, bravo.
        letter_names: names of letters that an ASR writes out.
        letter_words: letters that are words.
        mail_spelling: what is said while an address is spelled.
        letter_sounds: what an ASR writes for a letter between others: "see".
        spelled_as: what stands between a letter and the word that explains it: "m as in mary".
        spelling_words: what asks for a spelling.
        abbreviations: letters in a row that are nobody's name.
        lead_ins: what may stand between the question for an e-mail or a name and the answer.
        strong_carriers: phrases that a name follows; behind `weak_carriers` it must look like one.
        carrier_gaps: what may stand between a carrier and the name.
        open_ends: ends of a carrier behind which the speaker's next turn may bring the name.
        social_words: ends of weak carriers behind which only a given name is one.
        name_particles: what may stand inside a name.
        genitives: endings that a name may carry.
        naming_words: ends of weak carriers behind which a word that is not ordinary is a name.
        name_closers: what a name stands before: "this is ... speaking"; `head_closers` where it begins the turn.
        agent_closers: what an agent's name stands before, at the end or before one of `question_words`: "fatou here".
        articles: what stands before a thing and before no name.
        relatives: ends of weak carriers behind which two words that are no talk are a name: "my wife".
        after_verbs: what stands behind a verb and behind no name: "hang on".
        place_questions: what asks for a street address.
        before_counts: a single number behind one of these counts things: "the last four are".
        regions: names of states and provinces, which stand behind a town.
        streets: street words behind a name and a number; `street_openers` stand first, the number last.
        no_street_words: what never stands between a house number and a street word.
        talk: words too ordinary to be a name or the local part of an address.
        hundreds: words that are hundreds of their own.
        scales: the zeros of a word; with a leading 1 what it says where no number stands before it.
        substitutes: what an ASR writes for a digit.
        sounds: by regular expression of letters how they are said, in the order in which they are replaced.
    """

    names: tuple[str, ...]
    folds_accents: bool
    hundred_words: Words
    weak_zeros: Words
    range_words: Words
    fillers: Words
    filler_phrases: Phrases
    ordinals: Words
    months: Words
    doubtful_months: Words
    idioms: Words
    pronouns: Words
    before_pronouns: Words
    measures: Words
    per_words: Words
    per_units: Words
    date_joints: Words
    date_signs: Words
    amount_words: Words
    time_words: Words
    last_hour: int
    amount_pattern: re.Pattern[str]
    ordinal_pattern: re.Pattern[str]
    telephone_pattern: re.Pattern[str]
    firm_words: Words
    weak_labels: Phrases
    no_labels: Phrases
    telling_words: Words
    owning_words: Words
    number_openers: Words
    number_verbs: Words
    mail_labels: Words
    at_words: Words
    at_sounds: Words
    sure_at_words: Words
    domain_dots: Words
    domain_joints: Words
    mail_marks: Words
    mail_connectors: Words
    quiet_mail_words: Words
    top_domains: Words
    mail_providers: Words
    before_web_at: Words
    spelling_alphabet: Words
    letter_names: Words
    letter_words: Words
    letter_sounds: Words
    mail_spelling: Words
    spelled_as: Words
    spelling_words: Words
    abbreviations: Words
    lead_ins: Words
    strong_carriers: Phrases
    weak_carriers: Phrases
    name_questions: Phrases
    carrier_gaps: Words
    open_ends: Words
    social_words: Words
    titles: Words
    name_followers: Words
    no_name_endings: Words
    name_particles: Words
    genitives: Words
    max_name_words: int
    given_names: Words
    name_closers: Words
    head_closers: Words
    after_verbs: Words
    agent_closers: Words
    question_words: Words
    articles: Words
    relatives: Words
    naming_words: Words
    before_counts: Words
    regions: Phrases
    streets: Words
    street_openers: Words
    address_units: Words
    place_questions: Phrases
    directions: Words
    place_words: Words
    no_street_words: Words
    talk: Words
    units: Table = field(repr=False)
    teens: Table = field(repr=False)
    tens: Table = field(repr=False)
    hundreds: Table = field(repr=False)
    plurals: Table = field(repr=False)
    multipliers: Table = field(repr=False)
    scales: Table = field(repr=False)
    substitutes: Table = field(repr=False)
    sounds: Table = field(repr=False)
    labels: Mapping[str, Phrases] = field(repr=False)

    @cached_property
    def ordinary(self) -> Words:
        """Words that are nobody's name: those of talk and of numbers."""
        numbers = (self.units, self.teens, self.tens, self.hundreds, self.plurals, self.substitutes)
        others = (self.fillers, self.months, self.ordinals, self.measures, self.weak_zeros)
        return self.talk.union(*others, *numbers)

    @cached_property
    def mail_words(self) -> Words:
        """Words that show that an address may stand near."""
        return (self.mail_connectors | self.mail_providers | self.sure_at_words) - self.quiet_mail_words

    @cached_property
    def _genitives(self) -> tuple[str, ...]:
        return tuple(sorted(self.genitives))

    @cached_property
    def _endings(self) -> tuple[str, ...]:
        return tuple(self.no_name_endings)

    def plain(self, norm: str) -> str:
        """Return a word without the ending of a genitive."""
        if norm.endswith(self._genitives):
            for ending in self._genitives:
                norm = norm.removesuffix(ending)
        return norm

    def fold(self, norm: str) -> str:
        """Return a word in lower case as the lists have it."""
        return norm if norm.isascii() or not self.folds_accents else _unaccented(norm)

    def is_no_name(self, norm: str) -> bool:
        """Say whether a word ends like no name."""
        return norm.endswith(self._endings)

    def is_letter(self, norm: str) -> bool:
        """Say whether a word is a letter that is being spelled."""
        return len(norm) == 1 and norm.isalpha() and norm not in self.letter_words or norm in self.letter_names


def available() -> tuple[str, ...]:
    """Return the languages that have a file."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


@cache
def pick(names: tuple[str, ...]) -> Language:
    """Return languages read as one: lists are united, the words of a number mean what the first says.

    Args:
        names: as the files are called, the one that is spoken most first; at least one.

    Raises:
        BadLanguage: a file is missing or has a mistake.
    """
    first, *others = (_load(name) for name in names)
    for other in others:
        first = _joined(first, other)
    return first


@cache
def _load(name: str) -> Language:
    file = resources.files(__name__) / f"{name}.toml"
    if not file.is_file():
        raise BadLanguage(f"no language {name}; there are {', '.join(available())}")
    return parse(name, file.read_text("utf-8"))


def parse(name: str, text: str) -> Language:
    """Read a language file.

    Raises:
        BadLanguage: it is no TOML, a key is missing or unknown, or a value is of another kind.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadLanguage(f"{name}.toml: no valid TOML: {error}") from None
    known = [row.name for row in fields(Language) if row.name != "names"]
    wrong = sorted(set(known) ^ set(given))
    if wrong:
        raise BadLanguage(f"{name}.toml: {wrong[0]} is {'missing' if wrong[0] in known else 'no key of a language'}")
    folds = given["folds_accents"] is True
    return Language(names=(name,), **{key: _value(name, key, given[key], folds) for key in known})


def _value(name: str, key: str, given: Any, folds: bool) -> Any:  # noqa: ANN401 - a field of any of `_KINDS`
    wanted, read = _KINDS[Language.__annotations__[key]]
    texts = given.values() if isinstance(given, dict) else ()
    if type(given) is not wanted or not all(isinstance(text, str) for text in texts):
        raise BadLanguage(f"{name}.toml: {key} is no {wanted.__name__}{' of texts' if wanted is dict else ''}")
    try:
        return read(_folded(given) if folds and read is not re.compile else given)
    except re.error as error:
        raise BadLanguage(f"{name}.toml: {key} is no regular expression: {error}") from None


def _words(text: str) -> Words:
    return frozenset(text.split())


def _phrases(text: str) -> Phrases:
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


def _labels(rows: Table) -> Mapping[str, Phrases]:
    return {"" if kind == STAYS else kind: _phrases(text) for kind, text in rows.items()}


# What a field's value is in a file, and how it is read.
_KINDS: Final[dict[object, tuple[type, Callable[[Any], object]]]] = {
    bool: (bool, bool),
    int: (int, int),
    Words: (str, _words),
    Phrases: (str, _phrases),
    re.Pattern[str]: (str, re.compile),
    Table: (dict, dict),
    Mapping[str, Phrases]: (dict, _labels),
}


def _folded(given: Any) -> Any:  # noqa: ANN401 - what TOML gave
    if isinstance(given, dict):
        return {_unaccented(key): _unaccented(text) for key, text in given.items()}
    return _unaccented(given) if isinstance(given, str) else given


def _unaccented(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def _joined(one: Language, other: Language) -> Language:
    return Language(**{row.name: _both(getattr(one, row.name), getattr(other, row.name)) for row in fields(Language)})


def _both(one: Any, other: Any) -> Any:  # noqa: ANN401 - values of one field
    match one:
        case bool() | frozenset():
            return one | other
        case int():
            return max(one, other)
        case re.Pattern():
            return re.compile("|".join(f"(?:{pattern.pattern})" for pattern in (one, other) if pattern.pattern))
        case tuple():
            return (*one, *(value for value in other if value not in one))
    return {key: _entry(one.get(key), other.get(key)) for key in (*one, *(key for key in other if key not in one))}


def _entry(one: Any, other: Any) -> Any:  # noqa: ANN401 - texts, or phrases
    return (
        _both(one, other) if isinstance(one, tuple) and isinstance(other, tuple) else one if one is not None else other
    )


ENGLISH: Final = pick(("en",))
