"""A tenant's key in KMS."""

import socket
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import Session

from connectors.contact_events.feeds import client
from connectors.sealing import KmsKey, Sealer
from pipeline.errors import PeerUnavailable, RecordRefused

pytestmark = pytest.mark.aws

SECRET = b"+4915112345678"
PLACE = ("acme", "root-1", "contact_event")
Kms = Any  # botocore makes its clients at run time


@pytest.fixture
def kms(aws: str) -> Kms:
    return client("kms", "eu-central-1")


def key(kms: Kms) -> KmsKey:
    return KmsKey(kms, kms.create_key()["KeyMetadata"]["Arn"])


def test_what_was_sealed_opens_in_another_process_s_sealer(kms: Kms) -> None:
    mine = key(kms)
    sealed = Sealer({"acme": mine}).seal(*PLACE, SECRET)
    assert SECRET == Sealer({"acme": KmsKey(kms, mine.name)}).open(*PLACE, sealed)
    assert SECRET not in sealed


def test_another_tenant_s_key_does_not_open(kms: Kms) -> None:
    sealed = Sealer({"acme": key(kms)}).seal(*PLACE, SECRET)
    with pytest.raises(RecordRefused, match="no key"):
        Sealer({"acme": key(kms)}).open(*PLACE, sealed)


def test_data_key_of_another_contact_is_not_unwrapped(kms: Kms) -> None:
    mine = key(kms)
    made = mine.make("acme|root-1")
    assert made.plain == mine.unwrap(made.wrapped, "acme|root-1")
    with pytest.raises(RecordRefused):
        mine.unwrap(made.wrapped, "acme|root-2")


def test_key_that_is_not_there_is_the_world_s_fault(kms: Kms) -> None:
    with pytest.raises(PeerUnavailable, match="NotFoundException"):
        KmsKey(kms, "arn:aws:kms:eu-central-1:111122223333:key/none").make("acme|root-1")


def test_service_that_is_away_is_the_world_s_fault(aws: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = Session().create_client(
        "kms",
        region_name="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(PeerUnavailable, match="EndpointConnectionError"):
        KmsKey(away, "arn:aws:kms:eu-central-1:111122223333:key/any").make("acme|root-1")
