"""The card number and the e-mail address of the demo call are nowhere but in restricted topics, in no form."""

import json
import re
from collections.abc import Iterator

import pytest

from connectors import files
from tests.system.commands import REFERENCE
from tests.system.conftest import Called, Kept

pytestmark = pytest.mark.system

CARD = "4917484589897107"
RUN = 6  # so many digits of the card in a row are a leak, in whatever way they are written
# What stands between the words of a record that is printed as Python prints it.
NAMES_OF_FIELDS = set("word text start end ms is estimated true false".split())
DIGITS = dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True))


def secrets() -> list[list[str]]:
    """The words of each range of the reference that is a card number or an e-mail address."""
    reference = json.loads(REFERENCE.read_text())
    return [
        [
            word["text"]
            for word in reference["words"]
            if word["track"] == one["track"] and one["start_ms"] <= word["start_ms"] and word["end_ms"] <= one["end_ms"]
        ]
        for one in reference["pii"]
        if one["type"] in ("CREDITCARD", "EMAIL")
    ]


def strings(content: object) -> Iterator[str]:
    """Every text value below a JSON value, in order."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from strings(value)


def spoken(text: str) -> str:
    """A text as it would be read aloud: the values of its JSON lines, without marks."""
    said: list[str] = []
    for line in text.splitlines():
        try:
            said += strings(json.loads(line))
        except ValueError:
            said.append(line)
    return " ".join(re.findall(r"[a-z0-9@]+", " ".join(said).lower()))


def leaks(text: str) -> list[str]:
    """What of the card number and the address a text shows."""
    words = spoken(text)
    bare = " ".join(word for word in words.split() if word not in NAMES_OF_FIELDS and not word.isdigit())
    found = [
        " ".join(three)
        for secret in secrets()
        for three in zip(secret, secret[1:], secret[2:], strict=False)
        if f" {' '.join(three)} " in f" {words} {bare} "
    ]
    digits = re.sub(r"(?<=\d)[\s\-.,]+(?=\d)", "", " ".join(DIGITS.get(word, word) for word in words.split()))
    found += [CARD[at : at + RUN] for at in range(len(CARD) - RUN + 1) if CARD[at : at + RUN] in digits]
    address = "".join({"dot": ".", "at": "@"}.get(word, word) for word in secrets()[-1])
    return found + [part for part in (address, address.partition("@")[0]) if part in text.lower()]


@pytest.mark.parametrize(
    "text",
    [
        f"card {CARD}",
        "card 4917 4845 8989 7107",
        "card 4917-4845-8989-7107",
        "card 4 9 1 7 4 8 4 5",
        "four nine one seven",
        '{"words": [{"text": "four", "at": 1}, {"text": "nine", "at": 2}, {"text": "one", "at": 3}]}',
        "(Word(text='four', start_ms=1, is_estimated=False), Word(text='nine', start_ms=2), Word(text='one'))",
        "jane.miller@example.com",
    ],
)
def test_the_canary_sings(text: str) -> None:
    assert leaks(text)


def test_the_canary_hears_the_restricted_topics(kept_demo: Kept) -> None:
    """If they did not hold the secret, its absence elsewhere would prove nothing."""
    assert leaks(kept_demo.restricted["kafka transcript.raw"])
    assert leaks(kept_demo.restricted["kafka transcript.words"])


def test_no_place_of_the_demo_shows_the_secrets(kept_demo: Kept) -> None:
    places = {name.split()[0] for name, text in kept_demo.evidence.items() if text}
    assert {"screen", "page", "postgres", "valkey", "kafka", "metrics", "file", "object", "stdout"} <= places
    shown = {name: leaks(text) for name, text in kept_demo.evidence.items()}
    assert {} == {name: found for name, found in shown.items() if found}


@pytest.mark.parametrize(
    "name", ["postgres turns", "postgres guidance", "kafka transcript.redacted", "kafka guidance", "screen", "stdout"]
)
def test_the_places_hold_the_call(name: str, kept_demo: Kept) -> None:
    assert "cancel" in kept_demo.evidence[name] or "discount" in kept_demo.evidence[name]


def test_there_are_no_dead_letters(kept_demo: Kept) -> None:
    texts = kept_demo.evidence | kept_demo.restricted
    assert [] == [name for name, text in texts.items() if name.startswith("kafka ") and ".dead" in name and text]


@pytest.mark.parametrize("engine", ["memory_call", "kafka_call"])
def test_no_file_of_a_call_shows_the_secrets(engine: str, request: pytest.FixtureRequest) -> None:
    called: Called = request.getfixturevalue(engine)
    texts = {path.name: path.read_text() for path in called.out.iterdir() if path.suffix != ".wav"}
    texts |= {"stdout": called.ran.out, "stderr": called.ran.err}
    assert {} == {name: found for name, text in texts.items() if (found := leaks(text))}


def test_every_word_inside_a_secret_is_a_token(memory_call: Called) -> None:
    """A single word of an address or a number is too little for `leaks`, and too much to be shown."""
    ranges = [(one["track"], one["start_ms"], one["end_ms"]) for one in json.loads(REFERENCE.read_text())["pii"]]
    inside = [
        word["text"]
        for turn in memory_call.lines("turns.jsonl")
        if isinstance(turn["words"], list)
        for word in turn["words"]
        if any(turn["track"] == t and start < word["end_ms"] and word["start_ms"] < end for t, start, end in ranges)
    ]
    assert len(inside) >= len(ranges)
    assert [] == [text for text in inside if not re.fullmatch(r"\[[A-Z]+\]", text)]


def test_the_object_store_holds_the_redacted_audio(kept_demo: Kept, memory_call: Called) -> None:
    """The archive's samples are those of the call's redacted files, each once."""
    for track in ("customer", "agent"):
        redacted = files.read_wav(memory_call.out / f"{track}.redacted.wav")
        stored = sorted((first, samples) for (name, first), samples in kept_demo.audio.items() if name == track)
        end = 0
        for first, samples in stored:
            assert end == first
            end = first + len(samples)
            assert (redacted[first:end] == samples).all(), f"{track} {first}"
        assert len(redacted) == end
