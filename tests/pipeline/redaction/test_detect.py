import pytest

from pipeline.redaction.detect import Profile, detect, mask_text
from pipeline.redaction.reading import Reading, read_turn
from topics.records import Track

pytestmark = pytest.mark.unit


def _readings(lines: tuple[str, ...]) -> list[Reading]:
    """Place lines `c: words` or `a: words` one after the other."""
    readings = []
    at_ms = 0
    for line in lines:
        side, _, text = line.partition(": ")
        track: Track = "customer" if side == "c" else "agent"
        texts = text.split()
        starts = [at_ms + 300 * place for place in range(len(texts))]
        ends = [start + 280 for start in starts]
        at_ms = ends[-1] + 600
        readings.append(read_turn(track, True, texts, starts, ends, starts[0]))
    return readings


def redacted(*lines: str) -> list[str]:
    """Redact lines and write each with one token for each masked run."""
    readings = _readings(lines)
    masks = detect(readings, frozenset(), 0, Profile()).masks
    out = []
    for reading, row in zip(readings, masks, strict=True):
        words: list[str] = []
        for at, (word, kind) in enumerate(zip(reading.norms, row, strict=True)):
            if not kind:
                words.append(word)
            elif at == 0 or row[at - 1] != kind:
                words.append(f"[{kind}]")
        out.append(" ".join(words))
    return out


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("c: four one one one one one one one one one one one one one one one", "[CREDITCARD]"),
        ("c: it is 4111 1111 1111 1111 thanks", "it is [CREDITCARD] thanks"),
        ("c: 41 11 11 11 11 11 11 11", "[CREDITCARD]"),
        ("c: four-one-one-one 1111 1111 1111", "[CREDITCARD]"),
        ("c: my social is one two three four five six seven eight nine", "my social is [SSN]"),
        ("c: 123-45-6789", "[SSN]"),
        ("c: call me at two one two five five five oh one two three", "call me at [PHONE]"),
        ("c: (212) 555-0123", "[PHONE]"),
        ("c: my date of birth is march third nineteen eighty five", "my date of birth is [DOB]"),
        ("c: my email is jane dot miller at example dot com okay", "my email is [EMAIL] okay"),
        ("c: write to jane.miller@example.com please", "write to [EMAIL] please"),
        ("c: it's j a n e underscore m at gmail dot com", "it's [EMAIL]"),
        (
            "c: the routing number is zero two one zero zero zero zero two one",
            "the routing number is [ROUTING]",
        ),
        ("c: the account number is five five eight one two two", "the account number is [BANKACCOUNT]"),
        ("c: i live at two twenty one baker street apartment four b", "i live at [ADDRESS]"),
        (
            "c: hello my name is jane miller and i have a question",
            "hello my name is [NAME] and i have a question",
        ),
        ("c: this is zelwick calling about my bill", "this is [NAME] calling about my bill"),
        ("c: seven seven four", "[PII]"),
    ],
)
def test_secret_is_masked_with_its_type(line: str, text: str) -> None:
    assert [text] == redacted(line)


@pytest.mark.parametrize(
    "line",
    [
        "c: i pay forty nine dollars a month",
        "c: that is $49.99 or 5%",
        "c: thirty nine ninety nine a month",
        "c: the order number is five two six",
        "c: order number 12345678 shipped today",
        "c: it was on march third twenty twenty five",
        "c: at ten thirty on thursday",
        "c: one of them came for two weeks and we won",
        "c: since two thousand nineteen",
        "c: in 2019 we moved",
        "c: two hundred and fifty people",
        "c: we are open twenty four seven",
        "c: look at example dot com",
        "c: this is the third time",
        "c: this is ridiculous",
        "c: my plan expires in december",
        "c: social media is not for me",
    ],
)
def test_everyday_talk_stays(line: str) -> None:
    assert [line.removeprefix("c: ")] == redacted(line)


def test_question_of_the_agent_names_the_answer_of_the_customer() -> None:
    assert redacted("a: and the security code", "c: it's one two three") == [
        "and the security code",
        "it's [CVV]",
    ]
    assert redacted("a: the expiration date of the card", "c: oh five twenty seven")[1] == "[EXPIRY]"
    assert redacted("a: what's your full name", "c: sure it's brudro zelwick")[1] == "sure it's [NAME]"


def test_card_over_turns_with_go_aheads_is_one_card() -> None:
    lines = (
        "c: four one one one",
        "a: go ahead",
        "c: one one double",
        "a: mm-hm",
        "c: one one one one one one one one one",
    )
    assert [text for text in redacted(*lines) if text.startswith("[")] == ["[CREDITCARD]"] * 3


def test_year_or_saying_after_a_card_label_is_masked() -> None:
    assert redacted("c: visa four one one")[0] == "visa [CREDITCARD]"


def test_agent_reading_back_two_digits_is_masked() -> None:
    lines = ("a: your card number please", "c: five one six two nineteen seventy", "a: nineteen seventy")
    assert redacted(*lines)[2] == "[CREDITCARD]"


def test_order_number_does_not_excuse_the_next_number() -> None:
    lines = ("a: your order number is five two six", "c: okay", "c: nine one seven four four eight")
    assert redacted(*lines)[2] == "[PII]"


def test_card_in_answer_to_an_order_number_question_waits() -> None:
    assert redacted("a: what is your order number", "c: four one one one one one")[1] == "[PII]"


def test_trailing_label_names_the_number() -> None:
    assert redacted("c: five five eight one two two is my account number")[0] == "[BANKACCOUNT] is my account number"


def test_type_that_is_off_stays() -> None:
    readings = _readings(("c: my name is brudro",))
    masks = detect(readings, frozenset(), 0, Profile(types=frozenset({"CREDITCARD"}))).masks
    assert masks == [("",) * 4]


def test_text_of_a_model_is_masked_with_the_memory_of_the_contact() -> None:
    profile = Profile()
    assert mask_text("Ask  Brudro about 5 days.", frozenset({"brudro"}), (), profile) == "Ask [NAME] about 5 days."
    assert mask_text("[NAME] is a  customer.", frozenset(), (), profile) == "[NAME] is a  customer."
    assert mask_text("Card 4111 1111 1111 1111 was given.", frozenset(), (), profile) == "Card [CREDITCARD] was given."
    assert mask_text("Flight 226 left.", frozenset(), ("552261",), profile) == "Flight [PII] left."
