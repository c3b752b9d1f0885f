"""Numbers: what a recogniser makes of their words, whom a question concerns, and what talk they stand in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction.detect import Profile, detect
from pipeline.redaction.reading import Reading, read_turn
from pipeline.redaction.words import sounds_like_number
from topics.records import Track

pytestmark = pytest.mark.unit

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CARD = "4111111111111111"


def _readings(lines: tuple[str, ...], *, is_final: bool = True) -> list[Reading]:
    """Place lines `c: words` or `a: words` one after the other; the last one is final or not."""
    readings: list[Reading] = []
    at_ms = 0
    for place, line in enumerate(lines):
        side, _, text = line.partition(": ")
        track: Track = "customer" if side == "c" else "agent"
        texts = text.split()
        starts = [at_ms + 300 * at for at in range(len(texts))]
        ends = [start + 280 for start in starts]
        at_ms = ends[-1] + 600
        is_whole = is_final or place < len(lines) - 1
        readings.append(read_turn(track, is_whole, texts, starts, ends, starts[0]))
    return readings


def masked(*lines: str, is_final: bool = True) -> list[str]:
    """Return the masked words of the last line."""
    readings = _readings(lines, is_final=is_final)
    row = detect(readings, frozenset(), 0, Profile()).masks[-1]
    return [norm for norm, kind in zip(readings[-1].norms, row, strict=True) if kind]


@pytest.mark.parametrize(
    "heard", ["heaven", "night", "mine", "sticks", "sex", "hero", "dirty", "plenty", "hive", "tree"]
)
def test_word_that_sounds_like_a_number_is_one_at_the_end_of_an_answer(heard: str) -> None:
    assert masked("a: the card number please", f"c: four five two {heard}")[-1] == heard


@pytest.mark.parametrize("heard", ["for tea", "eigh ty", "thir ty", "fifte en", "a tea"])
def test_number_word_in_two_is_masked_whole(heard: str) -> None:
    expected = ["four", *heard.split(), "two", "one"]
    assert masked("a: the account number please", f"c: four {heard} two one") == expected


@given(st.sampled_from(WORDS), st.integers(2, 4), st.text(CARD, min_size=3, max_size=8))
def test_word_cut_anywhere_reads_as_whole(word: str, cut: int, digits: str) -> None:
    said = " ".join(WORDS[int(digit)] for digit in digits)
    halves = f"{word[:cut]} {word[cut:]}" if cut < len(word) - 1 else word
    assert masked(f"c: my ssn is {said} {halves} {said}") == f"{said} {halves} {said}".split()


def test_talk_does_not_sound_like_numbers() -> None:
    for norm in ("payment", "thanks", "expires", "yes", "correct"):
        assert not sounds_like_number(norm, _readings(("c: a",))[0].language)


@pytest.mark.parametrize("last", ["night", "heaven", "tw", "ni"])
def test_partial_code_whose_last_word_is_misheard_shows_nothing(last: str) -> None:
    lines = ("a: and the c v v please", f"c: that would be seven five {last}")
    assert masked(*lines, is_final=False) == ["seven", "five", last]


@pytest.mark.parametrize(
    "line",
    [
        "c: expires eleven two thousand thirty one",
        "c: good until august twenty twenty six",
        "c: it says 12/27",
        "c: valid till oh four twenty nine",
    ],
)
def test_expiry_behind_a_card_is_masked(line: str) -> None:
    words = line.removeprefix("c: ").split()
    found = masked(f"c: my card is {CARD}", line)
    assert found
    assert found == words[-len(found) :]
    assert not {"thirty", "one", "twenty", "six", "nine", "12/27"} & set(words) - set(found)


def test_month_and_year_in_talk_are_no_expiry() -> None:
    assert masked(f"c: my card is {CARD}", "c: the contract started in august twenty twenty") == []


@pytest.mark.parametrize("line", ["c: november the twenty third nineteen fifty three", "c: it's 06/21/2000"])
def test_date_of_birth_needs_no_question_that_was_heard(line: str) -> None:
    assert len(masked("a: may i have your", line)) >= len(line.split()) - 2


def test_corrected_digit_belongs_to_the_number() -> None:
    assert masked("a: the card number please", "c: nine one five i mean four")[-1] == "four"


def test_answer_that_begins_before_the_question_ends_is_one() -> None:
    readings = _readings(("a: what's your date of birth", "c: march the fifteenth ninety seven"))
    late = readings[1]
    shifted = read_turn("customer", True, late.norms, [at - 900 for at in late.starts], late.ends, late.starts[0] - 900)
    assert all(detect([readings[0], shifted], frozenset(), 0, Profile()).masks[1])


@pytest.mark.parametrize("code", ["three hundred", "seven oh five"])
def test_code_behind_its_announcement_is_masked(code: str) -> None:
    assert masked(f"c: my card is {CARD} and the code is {code}")[-2:] == code.split()[-2:]


@pytest.mark.parametrize(
    "line",
    [
        "c: i would give it a seven",
        "a: please read section four",
        "a: the boeing seven forty seven was late",
        "a: we upgraded the lines in two thousand sixteen",
        "a: they quoted me forty two ninety nine",
        "a: lane twelve was closed",
        "a: the meeting was on july twenty fifth",
        "c: that is twenty nine homes",
        "a: i have to go at seven fifteen p m",
        "c: i paid forty one fifty for it",
    ],
)
@pytest.mark.parametrize(
    "mention", ["c: my card was declined", "a: where is my account", "c: my birthday is next week"]
)
def test_mention_of_a_card_or_an_account_names_no_number_of_later_talk(mention: str, line: str) -> None:
    assert masked(mention, "a: let me see what i can do about that for you", line) == []


def test_words_of_a_label_are_no_digits_of_the_number_before() -> None:
    assert masked(f"c: {CARD} expires april thirty one and the three on the back are nine oh five") == [
        *(CARD, "april", "thirty", "one"),
        *("nine", "oh", "five"),
    ]


def test_number_behind_a_whole_card_is_another() -> None:
    assert masked("a: the card number please", f"c: {CARD}", "a: great", "c: one of the boxes was damaged") == []


def test_digits_within_cold_talk_are_shown_in_a_partial_until_there_are_three() -> None:
    assert masked("c: it keeps dropping every twenty four", is_final=False) == []
    assert masked("c: i read seven seven", is_final=False) != []


@given(st.text("0123456789", min_size=3, max_size=4), st.sampled_from(("it's", "uh", "the code is", "that would be")))
def test_code_in_answer_is_masked_at_every_word(code: str, lead: str) -> None:
    words = [WORDS[int(digit)] for digit in code]
    for upto in range(1, len(words) + 1):
        said = " ".join(words[:upto])
        found = masked("a: what is the security code", f"c: {lead} {said}", is_final=False)
        assert found[-upto:] == words[:upto]


@pytest.mark.parametrize("code", ["twenty four night", "eleven night", "five wan heaven", "for one nine"])
@pytest.mark.parametrize("is_final", [True, False])
def test_code_of_which_a_digit_is_left_is_masked_where_it_was_named_or_asked_for(code: str, is_final: bool) -> None:
    card = "c: it is 4111 1111 1111 1111 expires oh nine twenty eight"
    for lines in (
        (f"{card} and the code is {code}",),
        (card, "a: and the security code please", f"c: that would be {code}"),
    ):
        assert set(code.split()) <= set(masked(*lines, is_final=is_final))


def test_talk_behind_the_name_of_a_code_is_none() -> None:
    for line in ("c: the security code is one of those things", "c: the cvv is the one that i have lost"):
        assert [] == masked(line)


@pytest.mark.parametrize("line", ["c: can you charge twenty five fifty nin", "c: can you charge three five two triple"])
def test_digits_before_a_word_that_is_cut_are_held_in_a_partial(line: str) -> None:
    assert {"fifty", "two"} & set(masked(line, is_final=False))
