import pytest

from pipeline.redaction.detect import Profile, mask_text
from pipeline.redaction.languages import ENGLISH, pick
from pipeline.redaction.profiles import Profiles
from pipeline.redaction.replacement import Replacement, token
from pipeline.stages.redaction import RedactorState, TenantRedactor
from topics.records import AudioRedaction, RedactedTurn, Turn, Word

pytestmark = pytest.mark.unit

CARD = "4111 one one one one 1111 one one double one"
ALL = Replacement(
    last4=frozenset(("CREDITCARD", "CVV")),
    pseudonyms=frozenset(("NAME", "EMAIL", "PHONE", "DOB", "PII", "CVV")),
    key=b"0123456789abcdef",
)


def _token(kind: str, text: str, replacement: Replacement = ALL) -> str:
    return token(kind, text.split(), replacement, ENGLISH)


def test_whole_card_shows_its_last_four_digits() -> None:
    assert _token("CREDITCARD", CARD) == "[CREDITCARD 1111]"
    assert _token("CREDITCARD", "uh 5555 5555 then five five five five 4444") == "[CREDITCARD 4444]"


def test_what_is_no_whole_card_shows_nothing() -> None:
    assert _token("CREDITCARD", "4111 1111 1111 1112") == "[CREDITCARD]"
    assert _token("CREDITCARD", "1111 1111") == "[CREDITCARD]"


def test_code_and_what_may_be_one_are_plain_whatever_is_asked() -> None:
    assert _token("CVV", "4111 1111 1111 1111") == "[CVV]"
    assert _token("CVV", "one two three") == "[CVV]"
    assert _token("PII", "one two three") == "[PII]"


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("NAME", "Jane Miller's", "jane uh miller"),
        ("PHONE", "(212) 555-0123", "two one two triple five oh one two three"),
        ("EMAIL", "jane dot miller at example dot com", "Jane.Miller@example.com"),
        ("DOB", "march third nineteen eighty five", "March third 1985"),
    ],
)
def test_same_value_has_the_same_pseudonym(kind: str, one: str, other: str) -> None:
    assert _token(kind, one) == _token(kind, other)
    assert _token(kind, one) != _token(kind, f"{one} else 7")


def test_pseudonym_is_the_keyed_hash_of_the_value() -> None:
    """By `printf 'NAME jane ' | openssl dgst -sha256 -hmac 0123456789abcdef`."""
    assert _token("NAME", "Jane") == "[NAME 9116de30]"


def test_tenants_share_no_pseudonym() -> None:
    profiles = Profiles(default=Profile(replacement=ALL))
    tokens = {_token("NAME", "jane", profiles.of(tenant).replacement) for tenant in ("acme", "globex", "acme")}
    assert 2 == len(tokens)
    assert "0123456789abcdef" not in repr(profiles)


def test_tokens_survive_a_second_redaction() -> None:
    profile = Profile(replacement=ALL)
    text = f"Card [CREDITCARD 1111], of {_token('NAME', 'jane')}."
    assert text == mask_text(text, frozenset(("jane",)), ("4111111111111111",), profile)
    assert mask_text("Ask Jane.", frozenset(("jane",)), (), profile) == f"Ask {_token('NAME', 'jane')}"


def test_token_that_the_profile_does_not_write_is_masked_as_text() -> None:
    secrets = ("4111111111111111",)
    assert "1111" not in mask_text("Card [CREDITCARD 1111].", frozenset(), secrets, Profile())
    assert "4111" not in mask_text("[NAME 41111111] [CVV 4111]", frozenset(), secrets, Profile())
    assert "4111" not in mask_text("[CVV 4111] [CREDITCARD 41111]", frozenset(), secrets, Profile(replacement=ALL))


def _turn(tenant: str, text: str) -> Turn:
    words = tuple(Word(word, 300 * place, 300 * place + 280) for place, word in enumerate(text.split()))
    end = words[-1].end_ms * 8
    return Turn(tenant, "c1", 0, "c1/customer/0", "customer", "customer", 0, end, True, words, "test", 0.9, 1)


def test_tenant_decides_what_is_written_and_nothing_else() -> None:
    profiles = Profiles(
        {
            "acme": Profile(replacement=ALL),
            "iberia": Profile(languages=("es",)),
            "names": Profile(types=frozenset(("NAME",))),
        }
    )
    machine = TenantRedactor(profiles)
    states, texts, audio = {}, {}, {}
    for tenant in ("acme", "iberia", "names", "other"):
        states[tenant] = RedactorState()
        records = machine.on_record(states[tenant], _turn(tenant, f"hello my card is {CARD} okay"))
        (texts[tenant],) = (record.text for record in records if isinstance(record, RedactedTurn))
        audio[tenant] = [record.spans for record in records if isinstance(record, AudioRedaction)]
    assert texts["acme"] == "hello my card is [CREDITCARD 1111] okay"
    assert texts["other"] == "hello my card is [CREDITCARD] okay"
    assert texts["names"] == f"hello my card is {CARD} okay"
    assert "one" in texts["iberia"]
    assert audio["acme"] == audio["other"] != []
    assert states["acme"].secrets == states["other"].secrets == ["4111111111111111"]


def test_turns_in_one_state_follow_the_tenant_of_each_record() -> None:
    machine = TenantRedactor(Profiles({"iberia": Profile(languages=("es",))}))
    for tenant, shown in (("iberia", "mi nombre es [NAME]"), ("other", "mi nombre es brudro")):
        (record,) = (
            row
            for row in machine.on_record(RedactorState(), _turn(tenant, "mi nombre es brudro"))
            if isinstance(row, RedactedTurn)
        )
        assert shown == record.text


def test_value_is_read_in_the_language_of_the_profile() -> None:
    spanish = pick(("es",))
    said = token("EMAIL", "juan punto perez arroba gmail punto com".split(), ALL, spanish)
    assert said == token("EMAIL", ("juan.perez@gmail.com",), ALL, spanish)
