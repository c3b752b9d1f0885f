"""Objects: what lies in a place, that it is whole, and that what should be gone is gone."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import objects, places
from connectors.objects import PENDING, Objects, contact_folder
from pipeline.audio import flac
from pipeline.audio.tone import Span, apply_tone
from pipeline.errors import EngineFault, RecordRefused
from pipeline.machine import Failed
from pipeline.stages.archive import CoverAudio, EraseAudio, Extent, PutAudio, PutManifest, Request, Stored
from tests.simulation.shelf import Memory

pytestmark = pytest.mark.unit

PCM = np.random.default_rng(1).integers(-9_000, 9_000, 800, np.int16).astype("<i2").tobytes()
SEGMENT = PutAudio("local", "c1", "customer", 800, PCM)
PLACE = Extent("customer", 800, 1_600)
MANIFEST = PutManifest("local", "c1", (PLACE,), (Extent("customer", 810, 820),))
CONTACT = contact_folder("local", "c1")
FIRST = CONTACT + "track=customer/seg-0000000800-0000001600-v0000.flac"
SECOND = CONTACT + "track=customer/seg-0000000800-0000001600-v0001.flac"
COVER = CoverAudio("local", "c1", Extent("customer", 800, 1_600, 1), ((900, 1_700),))
CHANGED = PutManifest("local", "c1", (COVER.segment,), (Extent("customer", 900, 1_700),), 1)


def answer(root: Path, request: object) -> Stored | Failed:
    return asyncio.run(Objects(places.folder(root / "objects", None), failure_pause_s=0).answer(request))


def kept_after(*requests: Request) -> dict[str, bytes]:
    place = Memory()
    for request in requests:
        Objects(place).store(request)
    return place.kept


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def covered(*runs: Span) -> bytes:
    return apply_tone(np.frombuffer(PCM, "<i2"), 800, runs).astype("<i2").tobytes()


def test_segment_is_a_flac_under_its_contact_and_track() -> None:
    kept = kept_after(SEGMENT)
    assert [FIRST] == list(kept)
    assert flac.decode(kept[FIRST]) == PCM


def test_manifest_names_each_segment_with_its_digest() -> None:
    kept = kept_after(SEGMENT, MANIFEST)
    assert objects.manifest(Memory(kept), "local", "c1") == {
        "tenant": "local",
        "contact_id": "c1",
        "version": 0,
        "sample_rate_hz": 8_000,
        "segments": [
            {
                "track": "customer",
                "start_sample": 800,
                "end_sample": 1_600,
                "version": 0,
                "file": FIRST.removeprefix(CONTACT),
                "sha256": hashlib.sha256(kept[FIRST]).hexdigest(),
            }
        ],
        "spans": [{"track": "customer", "start_sample": 810, "end_sample": 820}],
    }


def test_manifest_with_a_missing_segment_fails_and_leaves_none(tmp_path: Path) -> None:
    assert isinstance(answer(tmp_path, MANIFEST), Failed)
    assert {} == files(tmp_path / "objects")


def test_next_version_covers_the_stored_samples_and_replaces_them() -> None:
    kept = kept_after(SEGMENT, COVER)
    assert [SECOND] == list(kept)
    assert flac.decode(kept[SECOND]) == covered((900, 1_700))


def test_next_version_of_a_whole_contact_has_the_next_manifest_alone() -> None:
    kept = kept_after(SEGMENT, MANIFEST, COVER, CHANGED)
    assert [CONTACT + "manifest-v0001.json", SECOND] == sorted(kept)
    assert kept == kept_after(SEGMENT, COVER, CHANGED)


@pytest.mark.parametrize("again", [SEGMENT, MANIFEST, COVER, CHANGED], ids=lambda one: type(one).__name__)
def test_whoever_is_late_brings_nothing_back(again: Request) -> None:
    kept = kept_after(SEGMENT, MANIFEST, COVER, CHANGED)
    late = Objects(Memory(kept), failure_pause_s=0)
    before = dict(kept)
    asyncio.run(late.answer(again))
    assert before == kept


@given(st.lists(st.sampled_from([SEGMENT, COVER]), min_size=1, max_size=8))
def test_of_two_versions_the_higher_stays_in_any_order(requests: list[Request]) -> None:
    place = Memory()
    service = Objects(place, failure_pause_s=0)
    for request in requests:
        asyncio.run(service.answer(request))
    first = requests.index(SEGMENT) if SEGMENT in requests else len(requests)
    names = [SECOND] if COVER in requests[first:] else [FIRST] if SEGMENT in requests else []
    assert names == list(place.kept)


def test_pending_segment_is_let_out_with_the_manifest() -> None:
    pending = PutAudio("local", "c1", "customer", 800, PCM, is_pending=True)
    assert [PENDING + FIRST] == list(kept_after(pending))
    assert kept_after(SEGMENT, MANIFEST) == kept_after(pending, MANIFEST)


def test_manifest_leaves_nothing_that_it_does_not_name() -> None:
    stray = PutAudio("local", "c1", "agent", 0, PCM)
    pending = PutAudio("local", "c1", "agent", 0, PCM, is_pending=True)
    assert kept_after(SEGMENT, MANIFEST) == kept_after(stray, pending, SEGMENT, MANIFEST)


def test_pending_segment_is_covered_where_it_lies() -> None:
    pending = PutAudio("local", "c1", "customer", 800, PCM, is_pending=True)
    assert [PENDING + SECOND] == list(kept_after(pending, COVER))
    assert kept_after(SEGMENT, COVER, CHANGED) == kept_after(pending, COVER, CHANGED)


def test_what_is_erased_does_not_come_back() -> None:
    erase, pending = EraseAudio("local", "c1"), PutAudio("local", "c1", "agent", 0, PCM, is_pending=True)
    kept = kept_after(pending, SEGMENT, MANIFEST, erase, SEGMENT, pending)
    assert {CONTACT + "erased", PENDING + CONTACT + "erased"} == set(kept)


def test_same_requests_again_change_no_byte(tmp_path: Path) -> None:
    for request in (SEGMENT, MANIFEST):
        assert answer(tmp_path, request) == Stored()
    before = files(tmp_path)
    for request in (SEGMENT, MANIFEST):
        assert answer(tmp_path, request) == Stored()
    assert before == files(tmp_path)


def test_folder_without_the_key_says_nothing_of_the_audio(tmp_path: Path) -> None:
    for request in (SEGMENT, MANIFEST):
        answer(tmp_path, request)
    sealed = files(tmp_path / "objects")
    assert {CONTACT + "key", CONTACT + "manifest-v0000.json", FIRST} == set(sealed)
    assert not any(word in content for content in sealed.values() for word in (b"fLaC", b"c1", PCM[:16]))
    with pytest.raises(RecordRefused):
        list(objects.read(places.folder(other_root(tmp_path), None), "local", "c1"))


def other_root(tmp_path: Path) -> Path:
    """The same objects beside another key."""
    for name, content in files(tmp_path / "objects").items():
        target = tmp_path / "stolen" / "objects" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "stolen" / "objects"


def test_folder_with_the_key_gives_the_samples_back(tmp_path: Path) -> None:
    answer(tmp_path, SEGMENT)
    place = places.folder(tmp_path / "objects", None)
    assert [(PLACE, PCM)] == list(objects.read(place, "local", "c1"))
    assert 0o600 == (tmp_path / "objects.key").stat().st_mode & 0o777


def test_object_under_another_name_does_not_open(tmp_path: Path) -> None:
    answer(tmp_path, SEGMENT)
    other = contact_folder("local", "c1") + "track=agent/seg-0000000800-0000001600-v0000.flac"
    target = tmp_path / "objects" / other
    target.parent.mkdir()
    (tmp_path / "objects" / FIRST).rename(target)
    with pytest.raises(RecordRefused, match="another name"):
        list(objects.read(places.folder(tmp_path / "objects", None), "local", "c1"))


def test_erased_contact_has_no_key(tmp_path: Path) -> None:
    answer(tmp_path, SEGMENT)
    answer(tmp_path, EraseAudio("local", "c1"))
    assert {CONTACT + "erased", PENDING + CONTACT + "erased"} == set(files(tmp_path / "objects"))


@pytest.mark.parametrize("name", ["../../etc", "..", "a/b", "/root", "", "a\0b", "%2e"])
def test_ids_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    assert answer(tmp_path, PutAudio(name, name, "agent", 0, PCM)) == Stored()
    found = [file for file in files(tmp_path / "objects") if file.endswith(".flac")]
    assert [4] == [len(Path(file).parts) for file in found]
    assert ".." not in Path(found[0]).parts


def test_different_ids_have_different_folders() -> None:
    assert 3 == len({contact_folder(*ids) for ids in (("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"))})


def test_unwritable_root_is_a_failure(tmp_path: Path) -> None:
    places.folder(tmp_path / "objects", None)
    (tmp_path / "objects").write_bytes(b"")
    assert isinstance(answer(tmp_path, SEGMENT), Failed)


def test_tenant_without_a_key_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text('[keys]\nacme = "file:acme.key"\n')
    (tmp_path / "acme.key").write_text("A" * 43 + "=")
    place = places.folder(tmp_path / "objects", tmp_path / "keys.toml")
    assert isinstance(asyncio.run(Objects(place, failure_pause_s=0).answer(SEGMENT)), Failed)
    assert {} == files(tmp_path / "objects")


def test_anything_else_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EngineFault):
        answer(tmp_path, "audio")


_KILLED = """
import os, signal, sys
from pathlib import Path
from connectors import places
from connectors.objects import Objects
from tests.connectors.test_objects import MANIFEST, SEGMENT
place = places.folder(Path(sys.argv[1]), None)
Objects(place).store(SEGMENT)
place.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Objects(place).store(MANIFEST)
"""


def test_killed_between_segment_and_manifest_the_next_owner_completes_it(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    ran = subprocess.run([sys.executable, "-c", _KILLED, str(root)], check=False, env=os.environ, timeout=60)
    assert -9 == ran.returncode
    place = places.folder(root, None)
    assert objects.manifest(place, "local", "c1") is None
    for request in (SEGMENT, MANIFEST):
        assert answer(tmp_path, request) == Stored()
    assert {CONTACT + "key", CONTACT + "manifest-v0000.json", FIRST} == set(files(root))
    assert [(PLACE, PCM)] == list(objects.read(place, "local", "c1"))
