"""What the archive asks of S3 and KMS, as moto hears it: keys by ARN, each tenant's own."""

from pathlib import Path
from typing import Any

import pytest

from connectors import objects, places
from connectors.bucket import Bucket
from connectors.contact_events.feeds import client
from connectors.objects import Objects
from pipeline.errors import InputError
from pipeline.stages.archive import PutAudio
from tests.connectors.test_objects import FIRST, MANIFEST, PCM, PLACE, SEGMENT

pytestmark = pytest.mark.aws

REGION = "eu-central-1"
Aws = Any  # botocore makes its clients at run time


@pytest.fixture
def s3(aws: str) -> Aws:
    made = client("s3", REGION)
    made.create_bucket(Bucket="audio", CreateBucketConfiguration={"LocationConstraint": REGION})
    return made


@pytest.fixture
def arns(aws: str) -> dict[str, str]:
    kms = client("kms", REGION)
    return {tenant: kms.create_key()["KeyMetadata"]["Arn"] for tenant in ("local", "*")}


@pytest.fixture
def place(s3: Aws, arns: dict[str, str], tmp_path: Path) -> Bucket:
    path = tmp_path / "keys.toml"
    path.write_text("[keys]\n" + "".join(f'"{tenant}" = "{arn}"\n' for tenant, arn in arns.items()))
    return places.bucket("s3://audio/kept", REGION, path)


def test_each_object_is_asked_to_be_sealed_by_its_tenant_s_key(s3: Aws, place: Bucket, arns: dict[str, str]) -> None:
    for request in (SEGMENT, MANIFEST, PutAudio("other", "c1", "agent", 0, PCM)):
        Objects(place).store(request)
    keys = {}
    for name in place.names(""):
        said = s3.head_object(Bucket="audio", Key=f"kept/{name}")
        assert ("aws:kms", True) == (said["ServerSideEncryption"], said["BucketKeyEnabled"])
        keys[name.split("/")[0]] = said["SSEKMSKeyId"]
    assert {"tenant=local": arns["local"], "tenant=other": arns["*"]} == keys
    assert [(PLACE, PCM)] == list(objects.read(place, "local", "c1"))


def test_folder_is_sealed_by_a_key_of_kms(arns: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(f'[keys]\nlocal = "{arns["local"]}"\n')
    place = places.folder(tmp_path / "objects", tmp_path / "keys.toml")
    Objects(place).store(SEGMENT)
    assert b"fLaC" not in (tmp_path / "objects" / FIRST).read_bytes()
    assert [(PLACE, PCM)] == list(
        objects.read(places.folder(tmp_path / "objects", tmp_path / "keys.toml"), "local", "c1")
    )


@pytest.mark.parametrize("keys", ['[keys]\nlocal = "file:k"\n', "[keys\n", "[other]\n", '[keys]\nlocal = "key"\n'])
def test_bucket_without_keys_of_kms_is_refused(aws: str, tmp_path: Path, keys: str) -> None:
    (tmp_path / "keys.toml").write_text(keys)
    with pytest.raises(InputError):
        places.bucket("s3://audio", REGION, tmp_path / "keys.toml")
    with pytest.raises(InputError, match="archive_keys"):
        places.bucket("s3://audio", REGION, None)
