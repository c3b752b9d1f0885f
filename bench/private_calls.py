"""Calls of made-up people who say what must be masked, with labels; owns their course, not the words of a value.

Turns are JSON lines as `trunkline redact` reads them; a label says which words of a turn are sensitive. The same seed
makes the same calls. What noise drops is not labelled; what it mishears is.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.private_benign import benign
from bench.private_numbers import manner, said
from bench.private_values import (
    NAMES,
    Groups,
    Person,
    address_said,
    birth_said,
    card,
    card_said,
    email_said,
    expiry_said,
    listed,
    number_said,
    phone_said,
    routing,
    social,
    spelled,
)
from bench.private_words import Word, cased, misheard, noisy, words_of

ASKS, ANSWERS = listed("asks.txt"), listed("answers.txt")
LABEL = {"SSN4": "SSN", "SPELLED": "NAME"}
SAMPLES_PER_MS = 8
FINAL_AFTER_MS = 300  # a final comes after its last partial

Record = dict[str, object]


@dataclass(slots=True)
class Turn:
    """What one speaker says without a pause.

    Attributes:
        track: `customer` or `agent`.
        words: what is said.
        start_ms: of the first word; set when the call is timed.
        times: start and end of each word.
    """

    track: str
    words: list[Word]
    start_ms: int = 0
    times: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """One conversation.

    Attributes:
        contact_id: its identity.
        kinds: what it holds, by the names of `KINDS`.
        records: partials and finals in order of arrival.
        labels: one a turn that hides something.
        values: digits of each number that was said, by type, before noise.
    """

    contact_id: str
    kinds: tuple[str, ...]
    records: Sequence[Record]
    labels: Sequence[Record]
    values: Sequence[tuple[str, str]]


class Script:
    """The course of one call: who says what. State is the person, the dice and what was said."""

    def __init__(self, random: Random) -> None:
        self.random = random
        first, last = random.choice(NAMES["FIRST"]), random.choice(NAMES["LAST"])
        self.person = Person(first, last, random.choice(NAMES["DOMAIN"]), manner(random))
        self.turns: list[Turn] = []
        self.values: list[tuple[str, str]] = []

    def chat(self, most: int) -> None:
        """Say up to `most` sentences that hide nothing."""
        for _ in range(self.random.randint(0, most)):
            self.say(self.random.choice(("customer", "agent")), benign(self.random, self.person.how))

    def say(self, track: str, text: str, kind: str = "") -> None:
        """Add one turn."""
        self.turns.append(Turn(track, words_of(text, kind)))

    def ask(self, kind: str) -> None:
        """Let the agent ask; at times the customer cuts in."""
        words = words_of(self.random.choice(ASKS[kind]))
        cut = self.random.randint(1, 2) if self.random.random() < 0.06 and len(words) > 5 else 0
        self.turns.append(Turn("agent", words[: len(words) - cut]))

    def exchange(self, kind: str, groups: Groups) -> None:
        """Ask, three turns ahead or not at all, and answer in one turn or group by group."""
        way = self.random.choices(("asked", "early", "unasked"), (0.7, 0.12, 0.18))[0]
        way = "asked" if kind == "SPELLED" else way
        if way != "unasked":
            self.ask(kind)
        if way == "early":
            self.say("customer", self.random.choice(("one second", "hang on", "let me find it", "sure hold on")))
            self.say("agent", self.random.choice(("take your time", "no rush", "okay", "sure")))
            self.say("customer", self.random.choice(("okay", "alright", "here we go", "found it")))
        self.answer(kind, groups, "_UNASKED" if way == "unasked" else "")

    def answer(self, kind: str, groups: Groups, unasked: str = "") -> None:
        """Give a value with a carrier phrase, at times with a pause and a word of the agent between its groups."""
        parts = self._parts(kind, groups)
        before, _, after = self.random.choice(ANSWERS[kind + unasked]).partition("{}")
        for at, part in enumerate(parts):
            words = [*(words_of(before) if at == 0 else []), *part, *(words_of(after) if at == len(parts) - 1 else [])]
            self.turns.append(Turn("customer", words))
            if at < len(parts) - 1 and self.random.random() < 0.6:
                self.say("agent", self.random.choice(ASKS["GO"]))

    def _parts(self, kind: str, groups: Groups) -> list[list[Word]]:
        label = LABEL.get(kind, kind)
        told = [[word for text in group for word in words_of(text, label)] for group in groups]
        if len(told) < 2 or self.random.random() < 0.55:
            return [[word for group in told for word in group]]
        size = self.random.choice((1, 1, 2))
        return [[word for group in told[at : at + size] for word in group] for at in range(0, len(told), size)]

    def read_back(self, kind: str, groups: Groups) -> None:
        """Let the agent repeat a value, whole or group by group."""
        parts = self._parts(kind, groups)
        before = self.random.choice(ANSWERS["READBACK"]).partition("{}")[0]
        for at, part in enumerate(parts):
            self.turns.append(Turn("agent", [*(words_of(before) if at == 0 else []), *part]))
        if self.random.random() < 0.6:
            self.say("agent", self.random.choice(ASKS["CLOSE"]))
            self.say("customer", self.random.choice(("yes", "yep", "that's right", "correct", "that's it")))

    def maybe(self, chance: float) -> bool:
        """Throw the dice."""
        return self.random.random() < chance


def _card(script: Script) -> None:
    random, how = script.random, script.person.how
    digits = card(random)
    script.values.append(("CREDITCARD", digits))
    script.exchange("CREDITCARD", card_said(digits, how, random))
    if script.maybe(0.3):
        script.read_back("CREDITCARD", card_said(digits, manner(random, float(bool(how.numerals))), random))
    code = "".join(str(random.randrange(10)) for _ in range(4 if len(digits) == 15 else 3))
    if script.maybe(0.35):
        _same_breath(script, code)
    elif script.maybe(0.8):
        script.values.append(("CVV", code))
        script.exchange("EXPIRY", expiry_said(random, how))
        script.exchange("CVV", number_said(code, (4,), how, random))
    if script.maybe(0.25):
        before = random.choice(ANSWERS["LASTFOUR"]).partition("{}")[0]
        script.turns.append(
            Turn("agent", [*words_of(before), *_labelled(said(digits[-4:], how, random), "CREDITCARD")])
        )


def _same_breath(script: Script, code: str) -> None:
    """Go on from the card to its expiry and code in the turn that ends the number, or in the next of the speaker."""
    random, how = script.random, script.person.how
    script.values.append(("CVV", code))
    words: list[Word] = []
    for kind, groups in (("EXPIRY", expiry_said(random, how)), ("CVV", number_said(code, (4,), how, random))):
        before, _, after = random.choice(ANSWERS[f"{kind}_UNASKED"]).partition("{}")
        words += [*words_of(before), *(word for group in groups for word in _labelled(group, kind)), *words_of(after)]
    if script.turns[-1].track == "customer":
        script.turns[-1].words += words
    else:
        script.turns.append(Turn("customer", words))


def _two_cards(script: Script) -> None:
    _card(script)
    script.say(
        "agent", script.random.choice(("that one was declined", "it didn't go through", "do you have another card"))
    )
    _card(script)


def _number(kind: str, digits: Callable[[Random], str], sizes: Sequence[int]) -> Callable[[Script], None]:
    def scene(script: Script) -> None:
        value, random, how = digits(script.random), script.random, script.person.how
        script.values.append((LABEL.get(kind, kind), value))
        script.exchange(kind, number_said(value, sizes, how, random))
        if script.maybe(0.25):
            script.read_back(kind, number_said(value, sizes, manner(random, float(bool(how.numerals))), random))

    return scene


def _bank(script: Script) -> None:
    _number("ROUTING", routing, (3, 3, 3))(script)
    _number("BANKACCOUNT", lambda random: str(random.randrange(10**7, 10 ** random.randint(8, 12))), (4, 4, 4))(script)


def _phone(script: Script) -> None:
    groups = phone_said(script.random, script.person.how)
    script.exchange("PHONE", groups)
    if script.maybe(0.25):
        script.read_back("PHONE", groups)


def _birth(script: Script) -> None:
    script.exchange("DOB", birth_said(script.random, script.person.how))


def _email(script: Script) -> None:
    groups = email_said(script.random, script.person)
    script.exchange("EMAIL", groups)
    if script.maybe(0.3):
        script.read_back("EMAIL", groups)


def _address(script: Script) -> None:
    groups = address_said(script.random, script.person.how)
    script.exchange("ADDRESS", groups)
    if script.maybe(0.2):
        script.read_back("ADDRESS", groups)


def _name(script: Script) -> None:
    person, random = script.person, script.random
    script.exchange("NAME", [random.choice(([person.first, person.last], [person.first, person.last], [person.first]))])
    if script.maybe(0.3):
        script.exchange("SPELLED", [spelled(person.last, random)])
    script.chat(4)
    if script.maybe(0.6):
        titled = random.choice((person.first, f"~mister {person.last}", f"~miss {person.last}", person.first))
        before, _, after = random.choice(ANSWERS["NAME_LATER"]).partition("{}")
        script.turns.append(Turn("agent", [*words_of(before), *words_of(titled, "NAME"), *words_of(after)]))


def _agent_name(script: Script) -> None:
    before, _, after = script.random.choice(ANSWERS["AGENT_NAME"]).partition("{}")
    name = words_of(script.random.choice(NAMES["FIRST"]), "NAME")
    script.turns.append(Turn("agent", [*words_of(before), *name, *words_of(after)]))


def _labelled(texts: Sequence[str], kind: str) -> list[Word]:
    return [word for text in texts for word in words_of(text, kind)]


KINDS: dict[str, Callable[[Script], None]] = {
    "card": _card,
    "two_cards": _two_cards,
    "ssn": _number("SSN", social, (3, 2, 4)),
    "ssn_last_four": _number("SSN4", lambda random: social(random)[-4:], (4,)),
    "bank": _bank,
    "phone": _phone,
    "birth": _birth,
    "email": _email,
    "address": _address,
    "name": _name,
}
WEIGHTS = (6, 1, 3, 2, 3, 3, 3, 4, 3, 4)


def calls(count: int, seed: int, noise: float) -> Iterator[Call]:
    """Make calls; each has a seed of its own, so that one can be made again alone."""
    for at in range(count):
        yield one_call(f"{seed}-{at}", noise)


def one_call(seed: str, noise: float) -> Call:
    """Make the call of a seed; `noise` is the share of words that a recogniser mishears."""
    random = Random(seed)
    script = Script(random)
    kinds = _scenes(random)
    for kind in kinds:
        KINDS[kind](script) if kind in KINDS else _agent_name(script)
        script.chat(5)
    script.chat(8)
    script.say("agent", "have a great day")
    turns = _heard(script.turns, noise, random)
    _time(turns, random)
    contact_id = f"private-{seed}"
    return Call(contact_id, kinds, _records(contact_id, turns, random), _labels(contact_id, turns), script.values)


def counted(made: Sequence[Call]) -> Counter[str]:
    """Calls by what they hold."""
    return Counter(kind for call in made for kind in (set(call.kinds) or {"nothing"}))


def _scenes(random: Random) -> tuple[str, ...]:
    if random.random() < 0.12:
        return ()
    kinds = dict.fromkeys(random.choices(tuple(KINDS), WEIGHTS, k=random.choice((1, 1, 2, 3))))
    return (*(("agent_name",) if random.random() < 0.35 else ()), *kinds)


def _heard(turns: Sequence[Turn], noise: float, random: Random) -> list[Turn]:
    """Turns as a recogniser gives them: with its errors, cut at pauses that it takes for ends, with or without case."""
    has_case = random.random() < 0.4
    heard: list[Turn] = []
    for turn in turns:
        words = noisy(turn.words, noise, random)
        cut = random.randint(1, max(1, len(words) - 1)) if random.random() < noise * 3 else len(words)
        heard += [Turn(turn.track, cased(part) if has_case else part) for part in (words[:cut], words[cut:]) if part]
    return heard


def _time(turns: Sequence[Turn], random: Random) -> None:
    now_ms, ends = 500, {"customer": 0, "agent": 0}
    for turn in turns:
        overlaps = random.random() < 0.06
        gap_ms = -random.randint(200, 900) if overlaps else random.randint(150, 1500)
        turn.start_ms = at_ms = max(now_ms + gap_ms, ends[turn.track] + 150)
        for word in turn.words:
            end_ms = at_ms + 120 + min(60 * len(word.text), 900) + random.randint(0, 80)
            turn.times.append((at_ms, end_ms))
            at_ms = end_ms + random.choice((0, 20, 40, 120))
        ends[turn.track] = turn.times[-1][1]
        now_ms = max(now_ms, turn.times[-1][1])


def _records(contact_id: str, turns: Sequence[Turn], random: Random) -> list[Record]:
    timed: list[tuple[int, Record]] = []
    for turn in turns:
        ends = sorted({*_steps(len(turn.words), random), len(turn.words)})
        for rev, upto in enumerate(ends, 1):
            texts = [word.text for word in turn.words[:upto]]
            if random.random() < 0.15:  # the last word of a partial is often heard otherwise at first
                texts[-1] = misheard(texts[-1], random)
            timed.append((turn.times[upto - 1][1] + 100, _record(contact_id, turn, rev, texts, is_final=False)))
        texts = [word.text for word in turn.words]
        final = _record(contact_id, turn, len(ends) + 1, texts, is_final=True)
        timed.append((turn.times[-1][1] + FINAL_AFTER_MS, final))
    return [record for _, record in sorted(timed, key=lambda one: one[0])]


def _steps(size: int, random: Random) -> list[int]:
    step = random.choice((1, 1, 2, 3, 5))
    return list(range(step, size, step)) if random.random() < 0.9 else []


def _record(contact_id: str, turn: Turn, rev: int, texts: Sequence[str], *, is_final: bool) -> Record:
    words = [
        {"text": text, "start_ms": start, "end_ms": end} for text, (start, end) in zip(texts, turn.times, strict=False)
    ]
    return {
        "contact_id": contact_id,
        "turn_id": _turn_id(contact_id, turn),
        "rev": rev,
        "track": turn.track,
        "is_final": is_final,
        "start_ms": turn.start_ms,
        "end_ms": words[-1]["end_ms"],
        "words": words,
    }


def _turn_id(contact_id: str, turn: Turn) -> str:
    return f"{contact_id}/{turn.track}/{turn.start_ms * SAMPLES_PER_MS}"


def _labels(contact_id: str, turns: Sequence[Turn]) -> list[Record]:
    """Lines of `--report`: a span for each labelled word, so that a correction within a number stays out."""
    lines: list[Record] = []
    for turn in turns:
        spans = [
            {"start_ms": start, "end_ms": end, "type": word.kind}
            for word, (start, end) in zip(turn.words, turn.times, strict=True)
            if word.kind
        ]
        if spans:
            lines.append({"contact_id": contact_id, "turn_id": _turn_id(contact_id, turn), "spans": spans})
    return lines
