"""Local objects: what lies on disk, and that it is whole."""

import asyncio
import hashlib
import json
import wave
from pathlib import Path

import pytest

from connectors.objects import LocalObjects, contact_folder
from pipeline.errors import EngineFault
from pipeline.machine import Failed
from pipeline.stages.archive import Extent, PutAudio, PutManifest, Stored

pytestmark = pytest.mark.unit

PCM = bytes(range(200))
SEGMENT = PutAudio("local", "c1", "customer", 800, PCM)
MANIFEST = PutManifest("local", "c1", (Extent("customer", 800, 900),), (Extent("customer", 810, 820),))


def answer(root: Path, request: object) -> Stored | Failed:
    return asyncio.run(LocalObjects(root, failure_pause_s=0).answer(request))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_segment_is_a_wav_under_its_contact_and_track(tmp_path: Path) -> None:
    assert answer(tmp_path, SEGMENT) == Stored()
    (name,) = files(tmp_path)
    assert name == "tenant=local/contact=c1/track=customer/seg-0000000800-0000000900.wav"
    with wave.open(str(tmp_path / name), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 8_000)
        assert wav.readframes(1_000) == PCM


def test_same_segment_again_changes_nothing(tmp_path: Path) -> None:
    answer(tmp_path, SEGMENT)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    assert answer(tmp_path, SEGMENT) == Stored()
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_manifest_names_each_segment_with_its_digest(tmp_path: Path) -> None:
    answer(tmp_path, SEGMENT)
    assert answer(tmp_path, MANIFEST) == Stored()
    folder = contact_folder(tmp_path, "local", "c1")
    name = "track=customer/seg-0000000800-0000000900.wav"
    assert json.loads((folder / "manifest.json").read_text()) == {
        "tenant": "local",
        "contact_id": "c1",
        "sample_rate_hz": 8_000,
        "segments": [
            {
                "track": "customer",
                "start_sample": 800,
                "end_sample": 900,
                "file": name,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            }
        ],
        "spans": [{"track": "customer", "start_sample": 810, "end_sample": 820}],
    }


def test_manifest_with_a_missing_segment_fails(tmp_path: Path) -> None:
    assert isinstance(answer(tmp_path, MANIFEST), Failed)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["../../etc", "..", "a/b", "/root", "", "a\0b", "%2e"])
def test_ids_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    assert answer(tmp_path, PutAudio(name, name, "agent", 0, PCM)) == Stored()
    (file,) = files(tmp_path)
    assert len(Path(file).parts) == 4
    assert ".." not in Path(file).parts


def test_different_ids_have_different_folders(tmp_path: Path) -> None:
    folders = {contact_folder(tmp_path, *ids) for ids in (("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"))}
    assert len(folders) == 3


def test_unwritable_root_is_a_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert answer(blocked, SEGMENT) == Failed("the object could not be written")


def test_failed_write_leaves_no_object(tmp_path: Path) -> None:
    target = contact_folder(tmp_path, "local", "c1") / "track=customer/seg-0000000800-0000000900.wav"
    target.mkdir(parents=True)
    assert isinstance(answer(tmp_path, SEGMENT), Failed)
    assert target.is_dir()


def test_anything_else_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EngineFault):
        answer(tmp_path, "audio")
