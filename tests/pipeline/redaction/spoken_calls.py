"""Calls with known secrets, spoken in many ways; shares no table and no speller with the detector.

Owns what people say in tests: card numbers, security codes, social security and telephone numbers, e-mail addresses and
names, split over turns, with go-aheads, read-backs and the errors of an ASR. Each word knows the secret it belongs to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from topics.records import Track

ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEN_TO_19 = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
DECADES = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MISHEARD = {"four": ("for",), "two": ("to", "too"), "eight": ("ate",), "one": ("won",)}
HESITATIONS = ("uh", "um", "and", "dash", "er", "hmm")
GO_AHEADS = (
    "go ahead",
    "mm-hm",
    "okay",
    "uh-huh",
    "got it",
    "yes",
    "okay go ahead",
    "right",
    "okay and then",
)
CARDS = (
    ("4", 16),
    ("4", 13),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("2720", 16),
    ("34", 15),
    ("37", 15),
    ("6011", 16),
)
SYLLABLES = (
    "ka",
    "ver",
    "lin",
    "dro",
    "mel",
    "tas",
    "bru",
    "nor",
    "quin",
    "zel",
    "pra",
    "hov",
    "stra",
    "wick",
    "fal",
)
DOMAINS = ("example", "mailbox", "zelwick", "northstar")


@dataclass(frozen=True)
class Spoken:
    """One word; `secret` names the secret it belongs to, `digits` how many digits of it it tells."""

    text: str
    secret: str = ""
    digits: int = 0


@dataclass(frozen=True)
class Said:
    """One turn."""

    track: Track
    words: tuple[Spoken, ...]


def plain(text: str) -> tuple[Spoken, ...]:
    """Say words that hide nothing."""
    return tuple(Spoken(word) for word in text.split())


def card_number(random: Random) -> str:
    """Draw a card number of a known scheme with a right check digit."""
    prefix, length = random.choice(CARDS)
    body = prefix + "".join(str(random.randrange(10)) for _ in range(length - len(prefix) - 1))
    for last in "0123456789":
        total = 0
        for place, digit in enumerate(reversed(body + last)):
            value = int(digit) * (1 + place % 2)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return body + last
    raise AssertionError("some digit always fits")


def digit_words(random: Random, digits: str, style: str) -> list[tuple[str, int]]:
    """Say digits; each word with how many of them it tells."""
    if style == "numerals":
        return numerals(random, digits)
    words: list[tuple[str, int]] = []
    at = 0
    while at < len(digits):
        said, used = one_group(random, digits[at:], style)
        words.extend(said)
        at += used
    return words


def one_group(random: Random, digits: str, style: str) -> tuple[list[tuple[str, int]], int]:
    """Say the first few digits in a style."""
    for count, name in ((3, "triple"), (2, "double")):
        if style == "double" and digits[:count] == digits[0] * count and len(digits) >= count:
            return [(name, 0), (unit(random, digits[0]), count)], count
    if style == "pairs" and len(digits) >= 4 and digits[2:4] == "00" and digits[0] != "0" and random.random() < 0.5:
        return [*pair(random, digits[:2]), ("hundred", 2)], 4
    if style == "pairs" and len(digits) >= 2:
        return pair(random, digits[:2]), 2
    return [(unit(random, digits[0]), 1)], 1


def pair(random: Random, digits: str) -> list[tuple[str, int]]:
    """Say two digits as a number below hundred where there is one."""
    tens, ones = int(digits[0]), int(digits[1])
    if tens == 0:
        return [("oh", 1), (unit(random, digits[1]), 1)]
    if tens == 1:
        return [(TEN_TO_19[ones], 2)]
    if ones == 0:
        return [(DECADES[tens], 2)]
    if random.random() < 0.2:
        return [(f"{DECADES[tens]}-{ONES[ones]}", 2)]
    return [(DECADES[tens], 1), (ONES[ones], 1)]


def unit(random: Random, digit: str) -> str:
    """Say one digit."""
    return random.choice(("oh", "zero", "o")) if digit == "0" else ONES[int(digit)]


def numerals(random: Random, digits: str) -> list[tuple[str, int]]:
    """Write digits as an ASR with numerals does."""
    size = random.choice((1, 2, 3, 4, 4, 4, len(digits)))
    chunks = [digits[at : at + size] for at in range(0, len(digits), size)]
    mark = random.choice(("", "", "-", ","))
    return [(mark.join(chunk) if mark == "-" else commas(chunk, mark), len(chunk)) for chunk in chunks]


def commas(chunk: str, mark: str) -> str:
    """Write 4,111 for 4111."""
    return f"{chunk[0]},{chunk[1:]}" if mark == "," and len(chunk) == 4 else chunk


def tell(random: Random, secret: str, digits: str, noise: float) -> list[Spoken]:
    """Say a secret number in a random style, with hesitations and the errors of an ASR at a rate."""
    style = random.choice(("units", "units", "double", "pairs", "numerals"))
    words: list[Spoken] = []
    for text, count in digit_words(random, digits, style):
        if words and random.random() < 0.06:
            words.append(Spoken(random.choice(HESITATIONS)))
        heard = random.choice(MISHEARD[text]) if text in MISHEARD and words and random.random() < noise else text
        if random.random() >= noise / 4:  # else the ASR dropped the word
            words.append(Spoken(heard, secret, count))
    return words


def split(random: Random, words: list[Spoken], turns: int) -> list[list[Spoken]]:
    """Cut words at random places."""
    cuts = sorted(random.sample(range(1, len(words)), min(turns, len(words)) - 1)) if len(words) > 1 else []
    return [words[a:b] for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True)]


def dictated(random: Random, secret: str, digits: str, lead: str, *, turns: int, noise: float = 0.0) -> Iterator[Said]:
    """Dictate a number over some turns with the agent saying "go ahead" or reading back between."""
    parts = split(random, tell(random, secret, digits, noise), turns)
    for number, part in enumerate(parts):
        yield Said("customer", (*plain(lead if number == 0 else ""), *part))
        if number < len(parts) - 1 or random.random() < 0.3:
            chance = random.random()
            if chance < 0.6:
                yield Said("agent", plain(random.choice(GO_AHEADS)))
            elif chance < 0.8 and sum(word.digits for word in part) >= 2:
                yield Said("agent", tuple(word for word in part if word.secret))


CARD_QUESTIONS = (
    "can i have your card number please", "what's the long number on the front of the card",
    "go ahead with the credit card number", "which card would you like to use", "",
)  # fmt: skip
CARD_LEADS = ("sure it's", "yes my card number is", "the number is", "", "okay so it's", "visa", "")


def card_call(random: Random, noise: float) -> list[Said]:
    """A card, then often its expiry and security code."""
    question = random.choice(CARD_QUESTIONS)
    lead = random.choice(CARD_LEADS)
    said = [Said("agent", plain(question))] if question else []
    said += dictated(random, "card", card_number(random), lead, turns=random.randint(1, 5), noise=noise)
    if random.random() < 0.5:
        said.append(Said("agent", plain("and the expiration date")))
        expiry = f"{random.randint(1, 12):02}{random.randint(26, 32)}"
        said += dictated(random, "expiry", expiry, "", turns=1)
        question = random.choice(("and the security code", "what are the three digits on the back", "and the cvv"))
        said.append(Said("agent", plain(question)))
        said += dictated(
            random,
            "cvv",
            f"{random.randrange(1000):03}",
            random.choice(("", "it's")),
            turns=random.choice((1, 1, 2)),
        )
    return said


def social_call(random: Random, noise: float) -> list[Said]:
    """A social security number, whole or its last four."""
    digits = f"{random.randint(100, 665)}{random.randint(10, 99)}{random.randint(1000, 9999)}"
    if random.random() < 0.3:
        question, digits = "can you verify the last four of your social", digits[-4:]
    else:
        question = random.choice(("what is your social security number", "can i get your social", "your ssn please"))
    said = [Said("agent", plain(question))]
    return said + list(
        dictated(random, "ssn", digits, random.choice(("", "it's", "yes")), turns=random.randint(1, 3), noise=noise)
    )


def phone_call(random: Random, noise: float) -> list[Said]:
    """A telephone number, asked for or offered."""
    digits = f"{random.randint(201, 989)}{random.randint(201, 989)}{random.randint(0, 9999):04}"
    question = random.choice(("what's a good phone number for you", "what number can i call you back on", ""))
    said = [Said("agent", plain(question))] if question else []
    lead = random.choice(("", "it's", "you can reach me at", "my phone number is"))
    return said + list(dictated(random, "phone", digits, lead, turns=random.randint(1, 3), noise=noise))


def surname(random: Random) -> str:
    """Invent a name."""
    return "".join(random.sample(SYLLABLES, random.randint(2, 3)))


def email_call(random: Random, _: float) -> list[Said]:
    """An e-mail address, said, spelled or written, in one turn or two."""
    first, last, domain = surname(random), surname(random), random.choice(DOMAINS)
    top = random.choice(("com", "net", "org"))
    form = random.choice(("said", "said", "spelled", "written", "plain", "digits"))
    if form == "written":
        words = [f"{first}.{last}@{domain}.{top}"]
    elif form == "spelled":
        words = [*first, "dot", *last, "at", domain, "dot", top]
    elif form == "plain":
        words = [first + last, "at", random.choice(("gmail", domain)), "dot", top]
    elif form == "digits":
        words = [first, random.choice(ONES), random.choice(ONES), "at", domain, "dot", top]
    else:
        words = [first, random.choice(("dot", "underscore")), last, "at", domain, "dot", top]
    told = [Spoken(word, "email") for word in words]
    parts = split(random, told, random.choice((1, 1, 2)))
    question = random.choice(("what is your email address", "and what's the best email for you", ""))
    lead = (
        random.choice(("it's", "my email is", "sure it is", "", "you can write to me at"))
        if question
        else "my email is"
    )
    said = [Said("agent", plain(question))] if question else []
    for number, part in enumerate(parts):
        said.append(Said("customer", (*plain(lead if number == 0 else ""), *part)))
        if number < len(parts) - 1:
            said.append(Said("agent", plain(random.choice(GO_AHEADS))))
    return said


def name_call(random: Random, _: float) -> list[Said]:
    """A name behind a carrier phrase or after a question, which recurs."""
    first, last = surname(random), surname(random)
    names = (Spoken(first, "name"), Spoken(last, "name"))
    if random.random() < 0.5:
        said = [Said("customer", (*plain(random.choice(("hello my name is", "hi my name's"))), *names))]
    else:
        said = [
            Said("agent", plain("may i have your full name please")),
            Said("customer", (*plain("sure it's"), *names)),
        ]
    return [
        *said,
        Said("agent", (*plain("thank you"), Spoken(first, "name"), *plain("how can i help you today"))),
    ]


KINDS = (card_call, card_call, card_call, social_call, phone_call, email_call, name_call)


def secret_call(seed: int, noise: float) -> list[Said]:
    """One call: talk, one or two secrets, talk."""
    random = Random(seed)
    said = [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(2)]
    for kind in random.sample(KINDS, 2):
        said += kind(random, noise)
        said += [Said(random.choice(("agent", "customer")), plain(random.choice(BENIGN))) for _ in range(2)]
    return [turn for turn in said if turn.words]


BENIGN = tuple(
    line
    for line in """
thank you for calling customer support how can i help you today
my internet has been down since monday and i pay forty nine dollars a month
i want one of them to come for two weeks
we won the case and she ate too much
that will be four hundred and fifty dollars and twenty five cents
the total is $49.99 plus tax
i can offer you twenty percent off for the next six months
your order number is five two six
your order number is 4 5 8 8 1 2 and it ships tomorrow
my order number is seven seven four one two nine
it was ordered on march third twenty twenty five
the appointment is on june 14th at 10:30 am
can you come at ten thirty on thursday
i have been a customer for fifteen years
i called two or three times last week
there are four of us and one of them is sick
i need to speak to a supervisor for a minute
hold on one second please
that's the one i was looking for
the first one was fine but the second one broke
it takes five to seven business days
i waited for forty five minutes on the line
we have two hundred and fifty employees
it is three hundred megabits per second
my bill went from sixty to ninety dollars
since two thousand nineteen we have had the same plan
back in nineteen ninety eight it was cheaper
i bought it in 2019 for 300 dollars
it's twenty four seven support
the technician will visit between nine and eleven
is that for one line or two
what about the other two
i only have one question for you
okay so it costs thirty nine ninety nine a month
it's about a hundred bucks
you have a balance of one hundred twenty dollars and fifty cents
the refund is $120.50 and takes 5 to 7 days
flight two two six leaves at six fifteen pm
room four twelve on the third floor
the error code is four oh four
version eleven point two is out
i want to cancel my subscription
no that is not what i said
can you tell me more about the offer
i am sorry to hear that i understand how frustrating this is
great i have added the discount
one moment while i look that up
could you repeat that for me please
yes that sounds fair to me
i'm calling about my last bill
i think it is ten percent too high
for the first three months it is free
we got two phones and three tablets
this is the third time i am calling
this is ridiculous i want my money back
thank you so much for your help goodbye
you are welcome have a nice day
oh no i did not know that
i live two blocks away
let me check that for you
the contract ends in december
we open at eight and close at six
the reference number is eight one five five two
that was on the twenty first of may
do you have a pen
it was fifty fifty
he is six foot two
she is twenty nine years old
it weighs a hundred and eighty pounds
my plan has five gigabytes
a ten day trial
the price is nineteen dollars
two plus two is four
it happened twice in three days
i tried to restart it four times
can i talk to someone else
we moved here in twenty twenty one
on the fourth of july at noon
it is 5% cheaper now
please wait for 2 minutes
""".strip().splitlines()
)
