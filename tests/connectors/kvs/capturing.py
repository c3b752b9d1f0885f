"""Contacts captured on the memory engine: the stage, the service and the emulator, without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.kvs.listening import Listener
from connectors.kvs.reading import Patience
from connectors.kvs_emulator import Server
from pipeline.engines.memory import MemoryEngine, MemoryLog
from pipeline.topology import STAGES
from tests.connectors.kvs.reads import QUICK, account
from tests.connectors.kvs.taken import Taken
from tests.connectors.kvs_emulator.callers import CONTACT, START_MS, STREAM
from topics.keys import contact_key
from topics.records import AudioCoverage, AudioFrame, ContactEvent, MediaStarted, Record, Watermark

CAPTURE = tuple(stage for stage in STAGES if stage.name == "capture")
TENANT = "t"


@dataclass(frozen=True)
class Captured:
    """What a contact gave."""

    frames: Sequence[AudioFrame]
    coverage: Sequence[AudioCoverage]
    marks: Sequence[Watermark]

    @property
    def taken(self) -> Taken:
        return Taken.of(self.frames)


def started(contact_id: str = CONTACT, stream: str = STREAM, start_ms: int = START_MS) -> MediaStarted:
    return MediaStarted(TENANT, contact_id, stream, start_ms, "0")


def ended(contact_id: str = CONTACT) -> ContactEvent:
    return ContactEvent(TENANT, contact_id, 0, "ended", 0, "")


def contents(log: MemoryLog, contact_id: str = CONTACT) -> Captured:
    """What a log holds of a contact."""
    records: list[Record] = [
        entry.record
        for topic in ("audio.frames", "audio.coverage")
        for entry in log.topics[topic]
        if entry.record.contact_id == contact_id
    ]
    return Captured(
        [one for one in records if isinstance(one, AudioFrame)],
        [one for one in records if isinstance(one, AudioCoverage)],
        [one for one in records if isinstance(one, Watermark)],
    )


async def capture(server: Server, *records: Record, patience: Patience = QUICK) -> MemoryLog:
    """Capture what some records announce, to its end; the emulator's contact where there are none."""
    listener = Listener(account(server.url), patience, pace=1_000)
    engine = MemoryEngine({"kvs": listener.answer}, CAPTURE)
    engine.start()
    for record in records or (started(), ended()):
        engine.log.append("contact.events", contact_key(TENANT, record.contact_id), record)
    await engine.pump()
    await engine.finish()
    await listener.close()
    return engine.log
