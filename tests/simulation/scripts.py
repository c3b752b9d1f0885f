"""Calls for the simulation: short text calls that each hold one difficulty, a longer one, and a call with audio."""

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from connectors import files, policies
from connectors.files import Call
from connectors.scripted import ScriptedAsr
from pipeline.stages.capture import Heard, Listen
from pipeline.topology import STAGES
from tests.simulation.remembered import REMEMBERING
from tests.simulation.shelf import Player, Shelf
from tests.simulation.world import Answer, Event, Script
from topics.keys import contact_key
from topics.records import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_MS,
    AudioCoverage,
    AudioFrame,
    ContactEvent,
    MediaStarted,
    Record,
    SegmentWords,
    Track,
    Watermark,
    Word,
)

DEMO = Path(__file__).parents[2] / "pipeline" / "demo"
TENANT = "local"
WHOLE_S = 16  # of the demo call: three turns, a name among them
START_MS = 1_800_000_000_000  # of a live contact, since 1970
TEXT_JOINED_MS = 2_000
WHOLE_JOINED_MS = START_MS + 4_000  # after the agent's first turn has begun: that one is the contact flow's
POLICIES = policies.load(DEMO / "policies.yaml")

Line = tuple[Track, str]
CONTACTS = ("one", "alpha")  # of two partitions, each has one

LINES: tuple[Line, ...] = (
    ("agent", "thank you for calling my name is daniel how can i help you"),
    ("customer", "hello my name is jane miller"),
    ("customer", "my internet has been down since monday and i want to cancel my subscription"),
    ("agent", "i am sorry to hear that can you read me your card number please"),
    ("customer", "four nine one seven"),
    ("agent", "okay"),
    ("customer", "four eight four five eight nine eight nine seven one zero seven"),
    ("agent", "thank you before you go i can offer you twenty percent off"),
    ("customer", "okay that sounds fair thank you so much for your help"),
)

# At most 30 records each: an event at either end of a call, and three records a line.
SHORT: dict[str, dict[str, tuple[Line, ...]]] = {
    "a card in two turns": {
        "one": (
            ("agent", "what is your card number please"),
            ("customer", "four nine one seven"),
            ("agent", "okay"),
            ("customer", "four eight four five eight nine eight nine seven one zero seven"),
        )
    },
    "a name that comes back": {
        "one": (
            ("customer", "hello my name is jane miller"),
            ("agent", "thank you for calling miss miller"),
            ("customer", "cancel my subscription"),
        )
    },
    "hints that cool down": {
        "one": (
            ("customer", "my internet is down"),
            ("customer", "the internet has been down and i want to cancel my plan"),
            ("agent", "i can offer you twenty percent off"),
        )
    },
    "two contacts": {
        "one": (("agent", "thank you for calling"), ("customer", "my name is john carter")),
        "alpha": (("customer", "my phone is down"), ("agent", "the card number please")),
    },
    "a number that is held": {
        "one": (
            ("agent", "and the order number"),
            ("customer", "it is four one one one one two"),
            ("agent", "thank you i will look it up now and call you back within the hour"),
        )
    },
    "one line": {"one": (("customer", "see you in court my name is ann lee"),)},
    "no line": {"one": (), "alpha": (("agent", "thank you for calling"),)},
}

# Words that overtake every event of their contact are taken for a file's: the prompt then takes the agent's cooldown,
# so the agent says nothing here that the prompt has said.
PROMPTED: tuple[Line, ...] = (
    ("agent", "thank you for calling please hold"),
    ("customer", "hello"),
    ("agent", "good morning my name is daniel"),
    ("customer", "cancel my subscription"),
)


def short() -> dict[str, Script]:
    """Short calls from words on, by name; pure functions are remembered across schedules."""
    stages = tuple(stage for stage in REMEMBERING if stage.group == "language")
    of_files = {name: Script(stages, POLICIES, _mixed(calls)) for name, calls in SHORT.items()}
    live = Script(stages, POLICIES, (_stream("one"), *_mixed({"one": PROMPTED}, START_MS)))
    return of_files | {"a prompt before the agent": live}


def text(contacts: Sequence[str] = CONTACTS) -> Script:
    """Some live contacts at once, from words on; every line has a partial and a final, the first is the flow's."""
    stages = tuple(stage for stage in STAGES if stage.group == "language")
    return Script(stages, POLICIES, (*map(_stream, contacts), *_mixed(dict.fromkeys(contacts, LINES), START_MS)))


def whole(contact: str = "demo") -> dict[str, Script]:
    """The beginning of the demo call through every stage, as a source sends it and as capture reads it from a stream.

    Pure functions are remembered across schedules.
    """
    key = contact_key(TENANT, contact)
    sent = [(due.topic, due.record) for due in files.frames(_call(), TENANT, contact)]
    told = (
        ContactEvent(TENANT, contact, 0, "started", 0, "", START_MS),
        MediaStarted(TENANT, contact, "stream", START_MS, "1"),
        ContactEvent(TENANT, contact, 0, "agent_joined", 0, "ann", WHOLE_JOINED_MS),
        ContactEvent(TENANT, contact, 0, "ended", 0, "", START_MS + 1_000 * WHOLE_S),
    )
    calls: dict[str, list[tuple[str, Record]]] = {
        "the demo call": sent,
        "the captured call": [("contact.events", record) for record in told],
    }
    return {
        name: Script(REMEMBERING, POLICIES, tuple(Event(topic, key, record) for topic, record in records), services)
        for name, records in calls.items()
    }


def stream(request: object) -> object:
    """Answer with the next record of the demo call; the place is its number."""
    assert isinstance(request, Listen)
    at, frames = int(request.place or b"0"), _frames(request.contact_id)
    over = "no more audio" if at + 1 >= len(frames) else ""
    return Heard(tuple(frames[at : at + 1]), b"%d" % (at + 1), START_MS, over=over)


@cache
def _frames(contact: str) -> Sequence[AudioFrame]:
    records = [due.record for due in files.frames(_call(), TENANT, contact)]
    return [replace(record, leg=0) for record in records if isinstance(record, AudioFrame)]


@cache
def _call() -> Call:
    recorded = files.read_call(DEMO / "customer.wav", DEMO / "agent.wav")
    samples = WHOLE_S * SAMPLE_RATE_HZ
    return Call(recorded.customer[:samples], recorded.agent[:samples])


def services() -> Mapping[str, Answer]:
    """Answer at once: the call's audio, the words of the reference, and a shelf for what is redacted."""
    asr, shelf = ScriptedAsr(DEMO / "reference.json", is_paced=False), Shelf()
    return {
        "kvs": stream,
        "asr": lambda request: _result(asr.answer(request)),  # type: ignore[arg-type]  # the engine promises the type
        "objects": shelf,
        "playback": Player(shelf),
    }


def _result(coroutine: Coroutine[object, None, object]) -> object:
    """Run a coroutine that waits for nothing."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


def _stream(contact: str) -> Event:
    coverage = AudioCoverage(TENANT, contact, 1, START_MS, 1_536, 1_536, (), is_end=False, reason="", rev=1)
    return Event("audio.coverage", contact_key(TENANT, contact), coverage)


def _mixed(calls: Mapping[str, Sequence[Line]], start_ms: int = 0) -> tuple[Event, ...]:
    """Let some calls go on at once, an event of each in turn; a call from a file starts at 0."""
    spoken = [list(_spoken(contact, lines, start_ms)) for contact, lines in calls.items()]
    return tuple(events[n] for n in range(max(map(len, spoken))) for events in spoken if n < len(events))


def _spoken(contact: str, lines: Sequence[Line], start_ms: int) -> Iterator[Event]:
    key = contact_key(TENANT, contact)
    yield Event("contact.events", key, ContactEvent(TENANT, contact, 1, "started", 0, "", start_ms))
    if start_ms:
        joined = ContactEvent(TENANT, contact, 1, "agent_joined", 0, "ann", start_ms + TEXT_JOINED_MS)
        yield Event("contact.events", key, joined)
    at_ms = 1_000
    for number, (track, line) in enumerate(lines):
        said = line.split()
        half = max(len(said) // 2, 1)
        yield Event("transcript.words", key, _heard(contact, track, at_ms, said[:half], 2 * number + 1, is_final=False))
        yield Event("transcript.words", key, _heard(contact, track, at_ms, said, 2 * number + 2, is_final=True))
        at_ms += 300 * len(said) + 500
        yield Event("transcript.words", key, Watermark(TENANT, contact, 1, at_ms - 100, is_end=False))
    yield Event("transcript.words", key, Watermark(TENANT, contact, 1, at_ms, is_end=True))
    yield Event("contact.events", key, ContactEvent(TENANT, contact, 1, "ended", at_ms, "", start_ms))


def _heard(contact: str, track: Track, at_ms: int, said: list[str], rev: int, *, is_final: bool) -> Record:
    words = tuple(Word(text, at_ms + 300 * n, at_ms + 300 * n + 250) for n, text in enumerate(said))
    first = at_ms * SAMPLES_PER_MS
    end = words[-1].end_ms * SAMPLES_PER_MS
    return SegmentWords(TENANT, contact, 1, track, first, end, is_final, words, "script", None, rev)
