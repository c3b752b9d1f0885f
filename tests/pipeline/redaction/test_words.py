import pytest

from pipeline.redaction.checks import find_card, is_telephone, may_start_card, passes_luhn
from pipeline.redaction.words import decode, read

pytestmark = pytest.mark.unit


def _digits(text: str) -> str:
    atoms = [atom for word in text.split() for atom in read(word).atoms]
    return "".join(digit for digit, _ in decode(atoms))


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("four one one one", "4111"),
        ("oh five two seven", "0527"),
        ("double four triple one", "44111"),
        ("double oh seven", "007"),
        ("forty one eleven", "4111"),
        ("forty-one eleven", "4111"),
        ("twenty twenty seven", "2027"),
        ("fifty five hundred", "5500"),
        ("two hundred fifty three", "253"),
        ("one thousand two hundred", "1200"),
        ("two thousand five", "2005"),
        ("three zeros", "000"),
        ("4111", "4111"),
        ("4,111", "4111"),
        ("4-1-1-1", "4111"),
        ("41 11", "4111"),
        ("(555) 123-4567.", "5551234567"),
        ("five won to ate", "5128"),
    ],
)
def test_number_words_decode_to_digits(said: str, digits: str) -> None:
    assert digits == _digits(said)


def test_pending_multiplier_gives_no_digit() -> None:
    assert _digits("four double") == "4"


@pytest.mark.parametrize("text", ["$49.99", "10%", "10:30", "3/14/2025", "4th", "1990s", "5k"])
def test_written_amounts_times_and_dates_are_no_digits_of_a_number(text: str) -> None:
    assert read(text).kind in ("amount", "date", "ordinal")


def test_card_is_found_in_any_window() -> None:
    assert find_card("99" + "4111111111111111" + "0527") == (2, 18)


def test_series_two_of_mastercard_is_a_card() -> None:
    assert find_card("2221000000000009") == (0, 16)
    assert not may_start_card("272100")
    assert may_start_card("272099")


def test_wrong_check_digit_is_no_card() -> None:
    assert not passes_luhn("4111111111111112")
    assert find_card("4111111111111112") is None


def test_area_codes_do_not_start_with_one() -> None:
    assert is_telephone("12125550123")
    assert not is_telephone("1125550123")
