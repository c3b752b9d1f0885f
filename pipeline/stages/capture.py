"""Have the audio of each leg read from its stream.

Owns which legs of a conversation are read, from where on, and when one is over. It knows no stream: the service `kvs`
(`connectors/kvs/listening.py`) reads on from a place and answers with what has come since.

Each answer names a place to read on from, which lies no further than the answer, and the state how far each track has
come. A restored state goes on there: only what had left since its copy comes again, with the same samples, which
whoever reads audio knows already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline.audio.pcm import BYTES_PER_SAMPLE
from pipeline.errors import EngineFault
from pipeline.machine import Ask, Machine
from topics.records import (
    SAMPLES_PER_MS,
    AudioCoverage,
    AudioFrame,
    ContactEvent,
    MediaStarted,
    MissingAudio,
    Record,
    Watermark,
)

SERVICE: Final = "kvs"
OTHER_CONTACT: Final = "other contact"  # a reason that needs no word of Connect's


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """The numbers of the stage.

    Attributes:
        apart_ms: a track so far behind the other is taken for silent; a hole of the archive's is filled sooner.
        watermark_ms: at least so much progress between two watermarks.
        fruitless: so often is a contact listened to again that seems over while nobody has said that it ended; each
            time takes 5 s after a clean end and 20 s without a word (`connectors/kvs/reading.py`).
        missing: holes of a contact that are told one by one; those behind them widen the last.
    """

    apart_ms: int = 5_000
    watermark_ms: int = 1_000
    fruitless: int = 30
    missing: int = 200


@dataclass(frozen=True, slots=True)
class Listen:
    """One question to the service: what comes next of this contact's audio?

    Attributes:
        start_ms: epoch milliseconds of the contact's start, as Connect told it.
        place: of the last answer; empty before the first.
        number: how many answers there have been.
        customer_sample: how far the track has been answered.
        agent_sample: the same.
    """

    tenant: str
    contact_id: str
    leg: int
    stream: str
    start_ms: int
    place: bytes
    number: int
    customer_sample: int = 0
    agent_sample: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """The service's answer, within seconds, with whatever has come.

    Attributes:
        frames: in the order of each track's samples.
        place: from which another listener goes on; whatever lies before it has been in an answer.
        start_ms: epoch milliseconds of the first sample; None before there is one.
        missing: what has turned out to be missing since the last answer.
        over: why there is nothing more; empty while there may be.
    """

    frames: tuple[AudioFrame, ...]
    place: bytes
    start_ms: int | None
    missing: tuple[MissingAudio, ...] = ()
    over: str = ""


@dataclass(slots=True)
class Leg:
    """One contact whose audio flows, or has flowed.

    Attributes:
        number: within the conversation, from 0.
        answers: how many there have been; it names the open ask.
        fruitless: answers in a row that said it was over and brought nothing.
        sent_ms: of the last watermark.
        over: why nothing follows; empty before.
    """

    contact_id: str
    number: int
    stream: str
    told_ms: int
    place: bytes = b""
    answers: int = 0
    fruitless: int = 0
    start_ms: int | None = None
    customer_sample: int = 0
    agent_sample: int = 0
    missing: list[MissingAudio] = field(default_factory=list)
    sent_ms: int = 0
    over: str = ""


@dataclass(slots=True)
class CaptureState:
    """The legs of a conversation in the order in which they became known: below 300 B each.

    Attributes:
        ended: contacts of which Connect said so.
    """

    tenant: str = ""
    legs: list[Leg] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


class Capture(Machine[CaptureState]):
    """Ask for the next audio of each leg until it is over."""

    state = CaptureState
    drops_late = (ContactEvent, MediaStarted)

    def __init__(self, config: CaptureConfig = CaptureConfig()) -> None:
        self._config = config

    def on_record(self, state: CaptureState, record: Record) -> Sequence[Record]:
        """Note that a leg's audio flows, or that a contact has ended; what is known already changes nothing."""
        match record:
            case MediaStarted():
                state.tenant = record.tenant
                if not any(leg.contact_id == record.contact_id for leg in state.legs):
                    state.legs.append(Leg(record.contact_id, len(state.legs), record.stream, record.start_ms))
            case ContactEvent(kind="ended"):
                if record.contact_id not in state.ended:
                    state.ended.append(record.contact_id)
            case ContactEvent():
                pass
            case _:
                raise EngineFault("capture was given a record that it does not read")
        return ()

    def on_reply(self, state: CaptureState, ask: Ask, answer: object) -> Sequence[Record]:
        """Let the audio leave, and say how far the leg has come."""
        for leg in state.legs:
            if _ask_id(leg) == ask.ask_id:
                leg.answers += 1
                return list(self._hear(state, leg, answer)) if isinstance(answer, Heard) else ()
        return ()

    def open_asks(self, state: CaptureState) -> Sequence[Ask]:
        """Name the legs that are not over."""
        return [Ask(_ask_id(leg), SERVICE, is_standing=True) for leg in state.legs if not leg.over]

    def request(self, state: CaptureState, ask: Ask) -> Listen:
        """Build the `Listen` for one of the open asks."""
        leg = next(leg for leg in state.legs if _ask_id(leg) == ask.ask_id)
        whose = state.tenant, leg.contact_id, leg.number, leg.stream, leg.told_ms
        return Listen(*whose, leg.place, leg.answers, leg.customer_sample, leg.agent_sample)

    def _hear(self, state: CaptureState, leg: Leg, heard: Heard) -> Iterator[Record]:
        yield from heard.frames
        is_first = leg.start_ms is None and heard.start_ms is not None
        leg.place, leg.start_ms = heard.place, heard.start_ms
        for frame in heard.frames:
            leg.customer_sample = max(leg.customer_sample, _end(frame.customer_first_sample, frame.customer_pcm))
            leg.agent_sample = max(leg.agent_sample, _end(frame.agent_first_sample, frame.agent_pcm))
        fresh = [one for one in heard.missing if one not in leg.missing]
        for one in fresh:
            _note(leg.missing, one, self._config.missing)
        leg.fruitless = 0 if heard.frames else leg.fruitless + bool(heard.over)
        if self._is_over(state, leg, heard):
            leg.over = heard.over
            yield Watermark(state.tenant, leg.contact_id, leg.number, _end_ms(leg), is_end=True)
        else:
            yield from self._progress(state, leg, is_quiet=not heard.frames)
        if is_first or fresh or leg.over:
            yield _coverage(state, leg)

    def _is_over(self, state: CaptureState, leg: Leg, heard: Heard) -> bool:
        """Tell whether a contact that seems over is: Connect said so, another one followed, or it is long quiet."""
        if not heard.over:
            return False
        is_said = heard.over == OTHER_CONTACT or leg.contact_id in state.ended
        return is_said or leg.fruitless >= self._config.fruitless

    def _progress(self, state: CaptureState, leg: Leg, *, is_quiet: bool) -> Iterator[Watermark]:
        """Send a watermark where the frames do not tell by themselves: nothing came, or one track is silent."""
        first, last = sorted((leg.customer_sample // SAMPLES_PER_MS, leg.agent_sample // SAMPLES_PER_MS))
        time_ms = max(first, last - self._config.apart_ms)
        if time_ms - leg.sent_ms >= self._config.watermark_ms and (is_quiet or time_ms > first):
            leg.sent_ms = time_ms
            yield Watermark(state.tenant, leg.contact_id, leg.number, time_ms, is_end=False)


def _end(first_sample: int, pcm: bytes) -> int:
    return first_sample + len(pcm) // BYTES_PER_SAMPLE if pcm else 0


def _ask_id(leg: Leg) -> str:
    return f"{leg.contact_id}/{leg.answers}"


def _end_ms(leg: Leg) -> int:
    return -(-max(leg.customer_sample, leg.agent_sample) // SAMPLES_PER_MS)


def _note(missing: list[MissingAudio], one: MissingAudio, limit: int) -> None:
    """Take a hole; beyond the limit the track's last one grows over it and what lies between."""
    last = next((n for n, known in reversed([*enumerate(missing)]) if known.track == one.track), None)
    if len(missing) < limit or last is None:
        missing.append(one)
    else:
        missing[last] = replace(missing[last], end_sample=one.end_sample)


def _coverage(state: CaptureState, leg: Leg) -> AudioCoverage:
    return AudioCoverage(
        state.tenant,
        leg.contact_id,
        leg.number,
        leg.start_ms or leg.told_ms,
        leg.customer_sample,
        leg.agent_sample,
        tuple(leg.missing),
        is_end=bool(leg.over),
        reason=leg.over,
    )
