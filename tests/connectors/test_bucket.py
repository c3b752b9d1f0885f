"""The archive in a real S3 server: what lies there, under which key, and that what should be gone is gone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from connectors import objects
from connectors.bucket import Bucket
from connectors.contact_events.feeds import client
from connectors.objects import PENDING, Objects
from pipeline import ports
from pipeline.audio import flac
from pipeline.errors import InputError, PeerUnavailable
from pipeline.machine import Failed
from pipeline.stages.archive import EraseAudio, PutAudio
from tests.connectors import seaweed
from tests.connectors.test_archives import archive, told
from tests.connectors.test_objects import CHANGED, CONTACT, COVER, FIRST, MANIFEST, PCM, PLACE, SECOND, SEGMENT
from tests.pipeline.stages.test_archive import LENGTH, noise
from tests.simulation.shelf import Memory

pytestmark = pytest.mark.stores

REGION = "eu-central-1"
KEY = "key-of-local"  # SeaweedFS makes keys on demand, but none by an ARN; test_bucket_kms.py has those
S3 = Any  # botocore makes its clients at run time


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch, seaweed.server(tmp_path_factory.mktemp("seaweed")) as endpoint:
        given = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": seaweed.ACCESS,
            "AWS_SECRET_ACCESS_KEY": seaweed.SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in given.items():
            patch.setenv(name, value)
        yield client("s3", REGION)


@pytest.fixture(params=["", "Enabled"], ids=["plain", "versioned"])
def bucket(request: pytest.FixtureRequest, s3: S3) -> str:
    name = f"audio-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    if request.param:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": request.param})
    return name


@pytest.fixture
def place(bucket: str) -> Bucket:
    return open_bucket(bucket)


def open_bucket(name: str) -> Bucket:
    return Bucket(client("s3", REGION), name, "kept/here/", key_of)


def key_of(tenant: str) -> str:
    if tenant != "local":
        raise PeerUnavailable("the tenant has no key")
    return KEY


def everything(s3: S3, bucket: str) -> list[str]:
    """Every version and delete marker."""
    said = s3.list_object_versions(Bucket=bucket)
    return sorted(one["Key"] for one in (*said.get("Versions", ()), *said.get("DeleteMarkers", ())))


def test_object_is_sealed_by_the_tenant_s_key(s3: S3, bucket: str, place: Bucket) -> None:
    Objects(place).store(SEGMENT)
    said = s3.head_object(Bucket=bucket, Key=f"kept/here/{FIRST}")
    assert ("aws:kms", KEY) == (said["ServerSideEncryption"], said["SSEKMSKeyId"])
    assert [(PLACE, PCM)] == list(objects.read(place, "local", "c1"))


def test_let_out_object_is_sealed_too(s3: S3, bucket: str, place: Bucket) -> None:
    Objects(place).store(PutAudio("local", "c1", "customer", 800, PCM, is_pending=True))
    assert [PENDING + FIRST] == place.names("")
    Objects(place).store(MANIFEST)
    said = s3.head_object(Bucket=bucket, Key=f"kept/here/{FIRST}")
    assert ("aws:kms", KEY) == (said["ServerSideEncryption"], said["SSEKMSKeyId"])
    assert [CONTACT + "manifest-v0000.json", FIRST] == place.names("")


def test_covered_version_is_gone_with_all_that_the_bucket_keeps(s3: S3, bucket: str, place: Bucket) -> None:
    for request in (SEGMENT, MANIFEST, COVER, CHANGED):
        Objects(place).store(request)
    names = [CONTACT + "manifest-v0001.json", SECOND]
    assert names == place.names("")
    assert [f"kept/here/{name}" for name in names] == everything(s3, bucket)


def test_rejected_contact_is_gone_but_for_its_marker(s3: S3, bucket: str, place: Bucket) -> None:
    for request in (SEGMENT, MANIFEST, EraseAudio("local", "c1"), SEGMENT):
        Objects(place).store(request)
    assert {f"kept/here/{at}{CONTACT}erased" for at in ("", PENDING)} == set(everything(s3, bucket))


def test_bytes_are_those_of_any_other_place_whatever_lies_under_the_tone(place: Bucket) -> None:
    parts = [[(100, 300)], [(700, 900)], [(1_500, 1_700)], [(350, 500)]]
    one, other, memory = noise(1), noise(1), Memory()
    for start, end in (span for part in parts for span in part):
        other[start:end] = noise(2)[start:end]
    assert LENGTH == len(other) and not np.array_equal(one, other)
    archive(told(one, parts), [place])
    archive(told(other, parts), [memory])
    assert memory.kept == {name: place.get("local", name) for name in place.names("")}


_KILLED = """
import os, signal, sys
from connectors.objects import Objects
from tests.connectors.test_bucket import open_bucket
from tests.connectors.test_objects import MANIFEST, SEGMENT
place = open_bucket(sys.argv[1])
Objects(place).store(SEGMENT)
place.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Objects(place).store(MANIFEST)
"""


def test_killed_between_segment_and_manifest_the_next_owner_completes_it(bucket: str, place: Bucket) -> None:
    ran = subprocess.run([sys.executable, "-c", _KILLED, bucket], check=False, env=os.environ, timeout=60)
    assert -9 == ran.returncode
    assert objects.manifest(place, "local", "c1") is None
    for request in (SEGMENT, MANIFEST):
        Objects(place).store(request)
    assert [CONTACT + "manifest-v0000.json", FIRST] == place.names("")
    assert flac.decode(place.get("local", FIRST)) == PCM


def test_tenant_without_a_key_is_not_stored(place: Bucket) -> None:
    other = PutAudio("other", "c1", "customer", 800, PCM)
    assert isinstance(asyncio.run(Objects(place, failure_pause_s=0).answer(other)), Failed)
    assert [] == place.names("")


def test_missing_object_is_told_from_a_refusal(place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        place.get("local", FIRST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setattr(place, "_client", client("s3", REGION))
    with pytest.raises(PeerUnavailable, match="SignatureDoesNotMatch"):
        place.get("local", FIRST)


def test_server_that_is_away_is_the_world_s_fault(place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{ports.HOST}:{ports.choose()}")
    monkeypatch.setattr(place, "_client", client("s3", REGION))
    with pytest.raises(PeerUnavailable, match="EndpointConnectionError"):
        place.names("")


def test_bucket_that_is_not_there_is_said_at_once(s3: S3) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        open_bucket("nowhere-at-all")
