"""Calls for the simulation: a text call of two contacts, and the beginning of the demo call with its audio."""

from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path

from connectors import files, policies
from connectors.files import Call
from connectors.scripted import ScriptedAsr
from pipeline.stages.archive import PutAudio, PutManifest, Stored
from pipeline.topology import STAGES
from tests.simulation.crashes import Answer, Event, Script
from topics.keys import contact_key
from topics.records import SAMPLES_PER_MS, ContactEvent, Record, SegmentWords, Track, Watermark, Word

DEMO = Path(__file__).parents[2] / "pipeline" / "demo"
TENANT = "local"
WHOLE_S = 16  # of the demo call: three turns, a name among them

CONTACTS = ("one", "alpha")  # of two partitions, each has one

LINES: tuple[tuple[Track, str], ...] = (
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


def text() -> Script:
    """Two contacts at once, from words on; every line has a partial and a final."""
    both = [list(_spoken(contact)) for contact in CONTACTS]
    events = tuple(event for pair in zip(*both, strict=True) for event in pair)
    stages = tuple(stage for stage in STAGES if stage.group == "language")
    return Script(stages, policies.load(DEMO / "policies.yaml"), events)


def whole() -> Script:
    """The beginning of the demo call through every stage."""
    recorded = files.read_call(DEMO / "customer.wav", DEMO / "agent.wav")
    samples = WHOLE_S * 1_000 * SAMPLES_PER_MS
    call = Call(recorded.customer[:samples], recorded.agent[:samples])
    key = contact_key(TENANT, "demo")
    events = tuple(Event(due.topic, key, due.record) for due in files.frames(call, TENANT, "demo"))
    return Script(STAGES, policies.load(DEMO / "policies.yaml"), events, services)


class Shelf:
    """Keeps the objects that the archive stores, by what they hold."""

    def __init__(self) -> None:
        self.stored: dict[object, object] = {}

    def __call__(self, request: object) -> object:
        assert isinstance(request, PutAudio | PutManifest)
        place = (
            (request.contact_id, request.track, request.first_sample) if isinstance(request, PutAudio) else "manifest"
        )
        self.stored[place] = request
        return Stored()


def services() -> Mapping[str, Answer]:
    """Answer at once: the words of the reference, and a shelf for the audio."""
    asr = ScriptedAsr(DEMO / "reference.json", is_paced=False)
    return {"asr": lambda request: _result(asr.answer(request)), "objects": Shelf()}  # type: ignore[arg-type]  # the engine promises the type


def _result(coroutine: Coroutine[object, None, object]) -> object:
    """Run a coroutine that waits for nothing."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


def _spoken(contact: str) -> Iterator[Event]:
    key = contact_key(TENANT, contact)
    yield Event("contact.events", key, ContactEvent(TENANT, contact, 1, "started", 0, ""))
    at_ms = 1_000
    for number, (track, line) in enumerate(LINES):
        said = line.split()
        half = max(len(said) // 2, 1)
        yield Event("transcript.words", key, _heard(contact, track, at_ms, said[:half], 2 * number + 1, is_final=False))
        yield Event("transcript.words", key, _heard(contact, track, at_ms, said, 2 * number + 2, is_final=True))
        at_ms += 300 * len(said) + 500
        yield Event("transcript.words", key, Watermark(TENANT, contact, 1, at_ms - 100, is_end=False))
    yield Event("transcript.words", key, Watermark(TENANT, contact, 1, at_ms, is_end=True))
    yield Event("contact.events", key, ContactEvent(TENANT, contact, 1, "ended", at_ms, ""))


def _heard(contact: str, track: Track, at_ms: int, said: list[str], rev: int, *, is_final: bool) -> Record:
    words = tuple(Word(text, at_ms + 300 * n, at_ms + 300 * n + 250) for n, text in enumerate(said))
    first = at_ms * SAMPLES_PER_MS
    end = words[-1].end_ms * SAMPLES_PER_MS
    return SegmentWords(TENANT, contact, 1, track, first, end, is_final, words, "script", None, rev)
