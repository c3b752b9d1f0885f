"""Talk that hides nothing: sentences with prices, times, dates, orders and other numbers that must stay."""

from random import Random

from bench.private_numbers import MONTHS, UNITS, Manner, cardinal, ordinal, said, year
from bench.private_values import TALK

SENTENCES = tuple((TALK / "benign.txt").read_text().splitlines())
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "tomorrow")


def benign(random: Random, how: Manner) -> str:
    """Draw a sentence and fill its slots, as words or as figures."""
    sentence = random.choice(SENTENCES)
    while "{" in sentence:
        before, _, rest = sentence.partition("{")
        slot, _, after = rest.partition("}")
        sentence = before + _filled(slot, random, how) + after
    return sentence.replace("~", "")  # a filler hides nothing here


def _filled(slot: str, random: Random, how: Manner) -> str:  # noqa: C901, PLR0912 - a table of cases
    match slot:
        case "price":
            return _price(random, how)
        case "order":
            return " ".join(said(_digits(random, random.randint(6, 10)), how, random))
        case "ticket":
            return " ".join([*_letters(random, how), *said(_digits(random, random.randint(4, 8)), how, random)])
        case "tracking":
            return " ".join(["1z" if how.numerals else "one z", *said(_digits(random, 12), how, random)])
        case "model":
            return " ".join([*_letters(random, how), *said(_digits(random, random.randint(2, 4)), how, random)])
        case "error":
            return " ".join(said(str(random.randint(100, 999)), how, random))
        case "time":
            return _time(random, how)
        case "date":
            return _date(random, how)
        case "year":
            number = random.randint(1990, 2026)
            return str(number) if how.numerals else year(number, random)
        case "month":
            return random.choice(MONTHS)
        case "weekday":
            return random.choice(WEEKDAYS)
        case "times":
            return random.choice(("once", "twice", "three times", "four or five times"))
        case "pct":
            return f"{_number(random.randint(1, 20) * 5, how)}{'%' if how.numerals else ' percent'}"
        case "speed":
            speed = _number(random.choice((5, 12, 25, 50, 100, 300, 500, 940)), how)
            return f"{speed} {random.choice(('megs', 'megabits'))}"
        case "digit":
            return _number(random.randint(1, 9), how)
        case "small":
            return _number(random.randint(2, 12), how)
        case "qty":
            return _number(random.randint(10, 90), how)
        case _:
            return ordinal(random.randint(2, 12))


def _number(number: int, how: Manner) -> str:
    return str(number) if how.numerals else cardinal(number)


def _price(random: Random, how: Manner) -> str:
    dollars, cents = (
        random.choice((random.randint(3, 99), random.randint(100, 1999))),
        random.choice((0, 99, 50, 25, 49)),
    )
    if how.numerals:
        return f"${dollars}" + (f".{cents:02}" if cents else "")
    if not cents:
        return f"{cardinal(dollars)} dollars"
    if dollars > 100 or random.random() < 0.5:
        return f"{cardinal(dollars)} dollars and {cardinal(cents)} cents"
    return f"{cardinal(dollars)} {cardinal(cents)}"


def _time(random: Random, how: Manner) -> str:
    hour, minute = random.randint(1, 12), random.choice((0, 0, 15, 30, 45, 5))
    half = random.choice(("a m", "p m", "in the morning", "o'clock")) if minute == 0 else random.choice(("", "p m"))
    if how.numerals:
        return f"{hour}:{minute:02} {half.replace(' m', 'm')}".strip()
    told = {0: "", 5: "oh five"}.get(minute, cardinal(minute))
    return " ".join(f"{cardinal(hour)} {told} {half}".split())


def _date(random: Random, how: Manner) -> str:
    month, day = random.randrange(12), random.randint(1, 28)
    if how.numerals:
        return random.choice((f"{month + 1}/{day}", f"{MONTHS[month]} {day}", f"{month + 1}/{day}/2026"))
    ways = (
        f"{MONTHS[month]} {ordinal(day)}",
        f"the {ordinal(day)} of {MONTHS[month]}",
        f"{MONTHS[month]} {cardinal(day)}",
    )
    return random.choice((*ways, f"{MONTHS[month]} {ordinal(day)} {year(2026, random)}"))


def _letters(random: Random, how: Manner) -> list[str]:
    letters = [random.choice("bdgkmrstx") for _ in range(random.randint(1, 2))]
    return ["".join(letters)] if how.numerals else letters


def _digits(random: Random, size: int) -> str:
    """Digits of an order or a ticket, not led by 0."""
    return str(random.randint(1, 9)) + "".join(str(random.randrange(len(UNITS))) for _ in range(size - 1))
