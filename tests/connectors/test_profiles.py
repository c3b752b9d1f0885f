from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.profiles import load, load_all
from pipeline.cli import app
from pipeline.errors import InputError
from pipeline.redaction.detect import TYPES, Profile
from pipeline.redaction.replacement import Replacement

pytestmark = pytest.mark.unit

KEY = "0123456789abcdef"


def _file(folder: Path, text: str) -> Path:
    path = folder / "profile.yaml"
    path.write_text(text)
    return path


def test_profile_is_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    text = """
languages: [es, en]
mode: strict
types: [CREDITCARD, NAME]
replace: {CREDITCARD: last4, NAME: pseudonym, CVV: token}
key_file: key
"""
    wanted = Profile(
        types=frozenset(("CREDITCARD", "NAME")),
        is_strict=True,
        languages=("es", "en"),
        replacement=Replacement(frozenset(("CREDITCARD",)), frozenset(("NAME",)), KEY.encode()),
    )
    assert wanted == load(_file(tmp_path, text))


def test_empty_mapping_is_everything_on(tmp_path: Path) -> None:
    assert Profile() == load(_file(tmp_path, "{}"))
    assert Profile().types == TYPES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("types: [", "no valid YAML"),
        ("- types", "no mapping"),
        ("colour: red", "unknown field `colour`"),
        ("types: [CREDITCARD, IBANN]", "no type IBANN; there are ADDRESS"),
        ("replace: {SHOE: token}", "no type SHOE"),
        ("replace: {SSN: last4}", "last4 is for CREDITCARD alone"),
        ("replace: {NAME: hash}", "Invalid enum value 'hash'"),
        ("replace: {NAME: pseudonym}", "pseudonyms need a key"),
        ("{replace: {NAME: pseudonym}, key_file: none}", "none: cannot be read"),
        ("mode: lax", "Invalid enum value 'lax'"),
        ("languages: [xx]", "no language xx; there are en, es"),
        ("languages: []", "no language"),
    ],
)
def test_mistake_is_one_line_and_exit_2(tmp_path: Path, text: str, reason: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(InputError, match=reason) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=reason):
        CliRunner().invoke(
            app, ["redact", "--profile", str(path)], input="", standalone_mode=False, catch_exceptions=False
        )


def test_tenants_have_their_own_and_others_the_default(tmp_path: Path) -> None:
    profiles = load_all(_file(tmp_path, "{acme: {types: [NAME]}, default: {replace: {NAME: pseudonym}}}"), KEY)
    assert profiles.of("acme").types == frozenset(("NAME",))
    assert profiles.of("globex").replacement.pseudonyms == frozenset(("NAME",))
    assert profiles.of("globex").types == TYPES


def test_unknown_tenant_without_default_has_everything_on(tmp_path: Path) -> None:
    assert Profile() == load_all(_file(tmp_path, "acme: {types: [NAME]}")).of("globex")


def test_mistake_names_the_tenant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="acme: no type X"):
        load_all(_file(tmp_path, "acme: {types: [X]}"))
