from importlib import resources

import pytest

from pipeline.redaction import languages
from pipeline.redaction.languages import BadLanguage, available, parse, pick

pytestmark = pytest.mark.unit

_TEXT = (resources.files(languages) / "es.toml").read_text("utf-8")


def test_every_file_is_a_language() -> None:
    assert available() == ("en", "es")
    assert [pick((name,)).names for name in available()] == [("en",), ("es",)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names = [", "es.toml: no valid TOML: "),
        (_TEXT.replace("folds_accents = true", ""), "es.toml: folds_accents is missing"),
        ("fold = 1\n" + _TEXT, "es.toml: fold is no key of a language"),
        (_TEXT.replace("last_hour = 23", 'last_hour = "23"'), "es.toml: last_hour is no int"),
        (_TEXT.replace('cero = "0"', "cero = 0", 1), "es.toml: units is no dict of texts"),
        (_TEXT.replace("_pattern = '''", "_pattern = '''("), "es.toml: amount_pattern is no regular expression"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_key(text: str, reason: str) -> None:
    with pytest.raises(BadLanguage, match=reason):
        parse("es", text)


def test_unknown_language_is_named() -> None:
    with pytest.raises(BadLanguage, match="no language xx; there are en, es"):
        pick(("xx",))


def test_accents_are_folded_where_the_file_says_so() -> None:
    assert "telefono" in pick(("es",)).ordinary
    assert pick(("es",)).fold("teléfono") == "telefono"
    assert pick(("en",)).fold("café") == "café"


def test_languages_read_as_one_know_the_words_of_both() -> None:
    both = pick(("en", "es"))
    assert both.units["four"] == both.units["cuatro"] == "4"
    assert {"card number", "numero de tarjeta"} <= set(both.labels["CREDITCARD"])
    assert both.amount_pattern.fullmatch("49,99€")
    assert both.amount_pattern.fullmatch("$49.99")
    assert both.folds_accents
