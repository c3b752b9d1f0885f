"""Presidio as a plug-in, with its real model."""

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.profiles import load
from pipeline.errors import InputError
from pipeline.redaction.detect import Profile, detect, reading_of
from pipeline.redaction.languages import ENGLISH
from pipeline.redaction.reading import Reading, reader

pytestmark = pytest.mark.unit

PLUGGED = Profile(plugins=("presidio",))
SAID = "yesterday I spoke with Barack Obama in Boston about jane.miller@example.com and 212-555-0123"
OFFLINE = f"""
import socket
def refuse(*_, **__): raise SystemExit("asked the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from pipeline.redaction import presidio
print(*presidio.load()({SAID!r}.split(), "en"))
"""


def _reading(text: str, profile: Profile, *, is_final: bool = True) -> Reading:
    texts = text.split()
    starts = [300 * place for place in range(len(texts))]
    return reading_of(profile)("customer", is_final, texts, starts, [start + 280 for start in starts], 0)


def _masks(text: str, profile: Profile) -> tuple[str, ...]:
    return detect([_reading(text, profile)], frozenset(), 0, profile).masks[0]


def test_people_and_places_are_masked_beside_what_the_rules_find() -> None:
    rules, both = _masks(SAID, Profile()), _masks(SAID, PLUGGED)
    assert ["EMAIL", "PHONE"] == [kind for kind in rules if kind]
    assert ["NAME", "NAME", "ADDRESS", "EMAIL", "PHONE"] == [kind for kind in both if kind]
    assert {"NAME": 2} == {kind: both[4:6].count(kind) for kind in both[4:6]}


def test_name_is_remembered() -> None:
    assert {"barack", "obama"} <= set(detect([_reading(SAID, PLUGGED)], frozenset(), 0, PLUGGED).names)


def test_rules_are_never_overruled() -> None:
    text = "my card is 4111 1111 1111 1111 and my name is Paris Hilton"
    rules, both = _masks(text, Profile()), _masks(text, PLUGGED)
    assert rules == tuple(kind if before else "" for kind, before in zip(both, rules, strict=True))


def test_partial_is_not_looked_at() -> None:
    assert () == _reading(SAID, PLUGGED, is_final=False).found
    assert () != _reading(SAID, PLUGGED).found


def test_answer_is_the_same_each_time() -> None:
    assert _reading(SAID, PLUGGED).found == _reading(SAID, PLUGGED).found


def test_without_plugins_the_rules_read_alone() -> None:
    assert reading_of(Profile()) is reader(ENGLISH)


def test_model_and_recognisers_never_ask_the_network() -> None:
    ran = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, timeout=120, check=False)
    assert (0, "(4, 5, 'NAME') (7, 7, 'ADDRESS')\n") == (ran.returncode, ran.stdout), ran.stderr


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text("plugins: [presidio]")
    assert PLUGGED == load(path)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(InputError, match=r"pip install 'trunkline\[redaction-presidio\]'"):
        load(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("plugins: [other]", "no plug-in other"), ("{plugins: [presidio], languages: [es]}", "presidio reads en alone")],
)
def test_plugin_that_cannot_be_used_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        load(path)
