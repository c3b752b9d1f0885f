"""Who may review, as their file says it."""

from pathlib import Path

import pytest

from connectors.gateway.review import people
from pipeline.errors import InputError
from tests.connectors.gateway.review.reviewing import EVE, JOHN, MARIA

pytestmark = pytest.mark.unit

ROW = f"{{token_sha256: {MARIA.token_sha256}, tenants: [local]}}"


def load(folder: Path, text: str) -> tuple[people.Person, ...]:
    path = folder / "reviewers.yaml"
    path.write_text(text)
    return people.load(path)


def test_the_right_to_break_the_glass_has_to_be_given(tmp_path: Path) -> None:
    other = f"{{token_sha256: {JOHN.token_sha256}, tenants: [a, b], break_glass: true}}"
    maria, john = load(tmp_path, f"maria: {ROW}\njohn: {other}\n")
    assert ("maria", frozenset({"local"}), False) == (maria.name, maria.tenants, maria.may_reveal)
    assert ("john", frozenset({"a", "b"}), True) == (john.name, john.tenants, john.may_reveal)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[maria]",
        "maria: {tenants: [a]}",
        "maria: {token_sha256: abc, tenants: [a]}",
        f"maria: {{token_sha256: {MARIA.token_sha256.upper()}, tenants: [a]}}",
        f"maria: {{token_sha256: {MARIA.token_sha256}, tenants: a}}",
        f"maria: {{token_sha256: {MARIA.token_sha256}, tenants: [a], break_glas: true}}",
        f"maria: {ROW}\njohn: {ROW}",
        "maria: {",
    ],
)
def test_a_mistake_is_said_with_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"reviewers\.yaml"):
        load(tmp_path, text)


def test_a_token_is_its_persons_alone() -> None:
    everybody = (MARIA, JOHN, EVE)
    assert [*everybody, None, None] == [people.find(everybody, one) for one in ("maria", "john", "eve", "", "\ud800")]
