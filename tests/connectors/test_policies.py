"""The policy file: what it says, and which line is wrong."""

from pathlib import Path

import pytest

from connectors.policies import load
from pipeline.errors import InputError
from topics.records import Behaviour, Condition, HintTemplate, Policy

pytestmark = pytest.mark.unit

GOOD = """\
policies:
  - id: save-offer
    version: 3
    tenant: local
    behaviours:
      - id: cancel-intent
        speaker: customer
        any: [{phrase: "cancel my"}, {regex: "close (my|the) account"}]
        cooldown_s: 60
        hint: {kind: next_best_action, body: "Offer the loyalty discount.", deadline_s: 8}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "policies.yaml"
    path.write_text(text)
    return path


def test_file_becomes_records(tmp_path: Path) -> None:
    behaviour = Behaviour(
        "cancel-intent",
        "customer",
        (Condition(phrase="cancel my"), Condition(regex="close (my|the) account")),
        60.0,
        HintTemplate("next_best_action", "Offer the loyalty discount.", 8.0),
    )
    assert load(write(tmp_path, GOOD)) == (Policy("local", "save-offer", 3, (behaviour,)),)


def test_cooldown_and_deadline_may_be_left_out(tmp_path: Path) -> None:
    text = GOOD.replace("        cooldown_s: 60\n", "").replace(", deadline_s: 8", "")
    (policy,) = load(write(tmp_path, text))
    assert (policy.behaviours[0].cooldown_s, policy.behaviours[0].hint.deadline_s) == (0.0, None)


def test_several_versions_and_tenants_share_an_id(tmp_path: Path) -> None:
    body = GOOD.removeprefix("policies:\n")
    text = GOOD + body.replace("version: 3", "version: 4") + body.replace("local", "other")
    assert [(one.tenant, one.version) for one in load(write(tmp_path, text))] == [
        ("local", 3),
        ("local", 4),
        ("other", 3),
    ]


@pytest.mark.parametrize(
    ("old", "bad", "line", "reason"),
    [
        ("version: 3", "version: three", 3, "expected a whole number"),
        ("version: 3", "version: 0", 3, "a version is a decimal number from 1"),
        ("version: 3", "version: true", 3, "expected a whole number"),
        ("version: 3", "version: -1", 3, "a version is a decimal number from 1"),
        ("    tenant: local\n", "", 2, "`tenant` is missing"),
        ("tenant: local", "tenant: [local]", 4, "expected a text"),
        ("tenant: local", "tenant: ''", 4, "expected a text, found an empty one"),
        ("tenant: local", "tenant: a|b", 4, "an id may not hold `/` or `|`"),
        ("tenant: local", "tennant: local", 4, "unknown key `tennant`"),
        ("tenant: local", "version: 4", 4, "`version` is given twice"),
        ("id: cancel-intent", "id: 7", 6, "expected a text"),
        ("speaker: customer", "speaker: caller", 7, "a speaker is `customer`, `agent` or `any`"),
        ('{phrase: "cancel my"}', "cancel my", 8, "expected a mapping"),
        ('{phrase: "cancel my"}', "{}", 8, "a condition has either `phrase` or `regex`"),
        ('{phrase: "cancel my"}', "{phrase: a, regex: b}", 8, "a condition has either `phrase` or `regex`"),
        ('phrase: "cancel my"', 'phrase: "?!"', 8, "the phrase has no word"),
        ("close (my|the) account", "close (my|the account", 8, "the regex is invalid"),
        ("close (my|the) account", "(a+)+", 8, "the regex repeats a group that itself repeats"),
        (
            '[{phrase: "cancel my"}, {regex: "close (my|the) account"}]',
            "[]",
            8,
            "expected a list with at least one entry",
        ),
        ("cooldown_s: 60", "cooldown_s: -1", 9, "expected a number of seconds from 0"),
        ("cooldown_s: 60", "cooldown_s: .inf", 9, "expected a number of seconds from 0"),
        ("cooldown_s: 60", "cooldown_s: soon", 9, "expected a number of seconds"),
        ("deadline_s: 8", "deadline: 8", 10, "unknown key `deadline`"),
        ("{kind: next_best_action, ", "{", 10, "`kind` is missing"),
    ],
)
def test_mistake_names_file_line_and_reason(tmp_path: Path, old: str, bad: str, line: int, reason: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, bad, 1))
    with pytest.raises(InputError) as mistake:
        load(path)
    assert str(mistake.value) == f"{path}:{line}: {reason}"


def test_same_version_twice_is_named_where_it_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + GOOD.removeprefix("policies:\n"))
    with pytest.raises(InputError, match=":11: an earlier policy has this tenant, id and version"):
        load(path)


def test_same_behaviour_twice_is_named_where_it_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "".join(GOOD.splitlines(keepends=True)[5:]))
    with pytest.raises(InputError, match=":11: an earlier behaviour has this id"):
        load(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ":1: the file is empty"),
        ("- a\n", ":1: expected a mapping"),
        ("policies: []\n", ":1: expected a list with at least one entry"),
        ("policies:\n  - {id: a\n", ":3: no valid YAML: "),
        ("{}\n", ":1: `policies` is missing"),
        ("? [a]\n: b\n", ":1: unknown key "),
        ("a: \x07\n", ":1: no valid YAML: not plain text"),
    ],
)
def test_file_of_another_form_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as mistake:
        load(path)
    assert str(mistake.value).startswith(f"{path}{reason}")


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / name)
