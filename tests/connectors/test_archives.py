"""The law of the archive: two inputs that differ only inside the spans leave equal bytes, wherever they are stored.

Archive and service run together here, over a folder and over memory; spans come before the audio, after what they
cover is stored, and after the manifest.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from connectors import objects
from connectors.folder import Folder
from connectors.objects import Objects
from connectors.sealing import KEY_BYTES
from pipeline.audio.tone import Span, apply_tone
from pipeline.stages.archive import Archive, ArchiveConfig, ArchiveState, Request, Stored
from pipeline.tenant_key import DataKey
from tests.pipeline.stages.test_archive import (
    AGENT,
    ALL_DECIDED,
    LENGTH,
    SEGMENT,
    audio,
    decided,
    interleavings,
    noise,
    read_again,
    spans,
)
from tests.simulation.shelf import Memory
from topics.records import Record

pytestmark = pytest.mark.unit


class OneKey:
    """A tenant's key that gives every contact one data key, so that sealed bytes can be compared."""

    name = "one"

    def make(self, context: str) -> DataKey:
        return DataKey(bytes(KEY_BYTES), b"wrapped")

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        return bytes(KEY_BYTES)


def archive(
    records: Sequence[Record], places: Sequence[objects.Place], cuts: frozenset[int] = frozenset()
) -> ArchiveState:
    """Store what comes of the records in each place; after a cut the last answer is forgotten and audio read again."""
    machine, state = Archive(ArchiveConfig(SEGMENT)), ArchiveState()
    for at, record in enumerate(records):
        before = machine.snapshot(state)
        step(machine, state, record, places)
        if at in cuts:
            state = machine.restore(before)
            for old in (*read_again(records[:at], machine.replay_from_ms(state)), record):
                step(machine, state, old, places)
    return state


def step(machine: Archive, state: ArchiveState, record: Record, places: Sequence[objects.Place]) -> None:
    machine.on_record(state, record)
    while asks := machine.open_asks(state):
        request = machine.request(state, asks[0])
        assert isinstance(request, Request)
        for place in places:
            Objects(place).store(request)
        machine.on_reply(state, asks[0], Stored())


def archives(records: Sequence[Record]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What lies in memory and, sealed, in a folder."""
    memory = Memory()
    with TemporaryDirectory() as name:
        root = Path(name)
        archive(records, [memory, Folder(root, lambda _: OneKey())])
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return memory.kept, files


def told(customer: NDArray[np.int16], parts: Sequence[list[Span]]) -> list[Record]:
    """A contact whose spans come before, amid and after its audio, and after the manifest."""
    before, amid, after, last = (spans(f"{at}", *part, rev=at + 1) for at, part in enumerate(parts))
    frames = audio(customer)
    half = len(frames) // 2
    return [before, *frames[:half], decided(LENGTH // 2, LENGTH // 2), amid, *frames[half:], after, ALL_DECIDED, last]


any_spans = st.lists(st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 400)), max_size=2).map(
    lambda found: [(start, min(start + length, LENGTH)) for start, length in found]
)


@settings(max_examples=40)
@given(st.tuples(any_spans, any_spans, any_spans, any_spans), st.integers(0, 2**32))
def test_what_lies_under_the_tone_changes_no_byte(parts: tuple[list[Span], ...], seed: int) -> None:
    one = np.random.default_rng(seed).integers(-32_768, 32_767, LENGTH, np.int16)
    is_inside = np.zeros(LENGTH, np.bool_)
    for start, end in (span for part in parts for span in part):
        is_inside[start:end] = True
    other = np.where(is_inside, noise(seed), one)
    expected = archives(told(one, parts))
    assert expected == archives(told(other, parts))
    if not is_inside.all():
        assert expected != archives(told(np.where(is_inside, one, ~one), parts))


@settings(max_examples=40)
@given(st.tuples(any_spans, any_spans, any_spans, any_spans))
def test_what_comes_late_ends_under_the_same_tone(parts: tuple[list[Span], ...]) -> None:
    customer, memory = noise(1), Memory()
    archive(told(customer, parts), [memory])
    found = {(one.track, one.start_sample): pcm for one, pcm in objects.read(memory, "local", "c1")}
    tracks = {
        track: np.frombuffer(b"".join(found[key] for key in sorted(found) if key[0] == track), "<i2")
        for track in ("customer", "agent")
    }
    expected = apply_tone(customer, 0, [span for part in parts for span in part])
    assert np.array_equal(expected, tracks["customer"])
    assert np.array_equal(AGENT, tracks["agent"])
    said = objects.manifest(memory, "local", "c1")
    assert said is not None
    assert sorted(memory.kept) == sorted(
        [
            *(objects.contact_folder("local", "c1") + str(one["file"]) for one in said["segments"]),
            objects.contact_folder("local", "c1") + f"manifest-v{said['version']:04d}.json",
        ]
    )


@st.composite
def late_redactions(draw: st.DrawFn) -> list[Record]:
    """Spans of many turns, most of them late, and the end of decisions amid them."""
    told: list[Record] = []
    until, end = 0, draw(st.integers(1, 6))
    for rev in range(1, draw(st.integers(end, 10)) + 1):
        told.append(spans(draw(st.sampled_from("abc")), *draw(any_spans), rev=rev))
        until = draw(st.integers(until, LENGTH))
        told.append(decided(until, until, is_end=rev == end))
    return told


@settings(max_examples=150)
@given(late_redactions(), st.data())
def test_late_spans_order_between_the_topics_cuts_and_duplicates_change_no_byte(
    topic: list[Record], data: st.DataObject
) -> None:
    quiet, disturbed = Memory(), Memory()
    archive([*topic, *audio()], [quiet])
    mixed = data.draw(interleavings(topic))
    again = data.draw(st.integers(0, len(mixed) - 1))
    mixed.insert(data.draw(st.integers(again + 1, len(mixed))), mixed[again])
    state = archive(mixed, [disturbed], data.draw(st.frozensets(st.integers(0, len(mixed)), max_size=4)))
    assert state.is_complete
    assert quiet.kept == disturbed.kept
