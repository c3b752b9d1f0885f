"""Streams and queues of AWS: everything that comes, from where it had been taken to, and nothing that was let go."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.stub import Stubber

from connectors.base import Batch, Inlet
from connectors.contact_events import kinesis as streams
from connectors.contact_events.feeds import client
from connectors.contact_events.kinesis import KinesisInlet
from connectors.contact_events.sqs import SqsInlet
from pipeline.errors import PeerUnavailable

pytestmark = pytest.mark.aws

REGION = "eu-central-1"
LIMIT_S = 20.0
Client = Any  # botocore makes its clients at run time


@pytest.fixture
def kinesis(aws: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    for name in ("READ_S", "CATCH_UP_S"):
        monkeypatch.setattr(streams, name, 0.0)
    return client("kinesis", REGION)


@pytest.fixture
def stream(kinesis: Client) -> str:
    name = uuid4().hex
    kinesis.create_stream(StreamName=name, ShardCount=2)
    arn: str = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
    return arn


@pytest.fixture
def queue(aws: str) -> str:
    url: str = client("sqs", REGION).create_queue(QueueName=uuid4().hex, Attributes={"VisibilityTimeout": "1"})[
        "QueueUrl"
    ]
    return url


def put(kinesis: Client, stream: str, *texts: str) -> None:
    for text in texts:
        kinesis.put_record(StreamARN=stream, PartitionKey=text, Data=text.encode())


def send(queue: str, *texts: str) -> None:
    for text in texts:
        client("sqs", REGION).send_message(QueueUrl=queue, MessageBody=text)


def pulled(inlet: Inlet, count: int) -> list[Batch]:
    """Pull until so many messages have come."""
    batches: list[Batch] = []
    deadline_s = time.monotonic() + LIMIT_S
    while sum(len(batch.arrived) for batch in batches) < count:
        assert time.monotonic() < deadline_s
        batches.append(inlet.pull())
    return batches


def texts(batches: list[Batch]) -> set[str]:
    return {one.data.decode() for batch in batches for one in batch.arrived}


def test_records_of_every_shard_come_once(kinesis: Client, stream: str) -> None:
    wanted = {f"record {n}" for n in range(10)}
    put(kinesis, stream, *wanted)
    inlet = KinesisInlet(kinesis, stream)
    inlet.resume({})
    batches = pulled(inlet, 10)
    assert wanted == texts(batches)
    assert 2 == len({one.part for batch in batches for one in batch.arrived})
    assert () == inlet.pull().arrived


def test_stream_goes_on_behind_what_was_taken(kinesis: Client, stream: str) -> None:
    put(kinesis, stream, *(f"before {n}" for n in range(6)))
    first = KinesisInlet(kinesis, stream)
    first.resume({})
    taken = pulled(first, 6)[-1].positions
    put(kinesis, stream, "after 1", "after 2")
    second = KinesisInlet(kinesis, stream)
    second.resume(taken)
    assert {"after 1", "after 2"} == texts(pulled(second, 2))


def test_what_was_pulled_and_not_kept_comes_again(kinesis: Client, stream: str) -> None:
    put(kinesis, stream, "one", "two", "three")
    inlet = KinesisInlet(kinesis, stream)
    inlet.resume({})
    first = texts(pulled(inlet, 3))
    inlet.resume({})
    assert first == texts(pulled(inlet, 3))


def test_shards_that_a_split_makes_are_read_from_their_beginning(
    kinesis: Client, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LIST_S", 0.0)
    put(kinesis, stream, *(f"before {n}" for n in range(4)))
    inlet = KinesisInlet(kinesis, stream)
    inlet.resume({})
    before = texts(pulled(inlet, 4))
    shard = kinesis.list_shards(StreamARN=stream)["Shards"][0]
    lowest, highest = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
    kinesis.split_shard(
        StreamARN=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((lowest + highest) // 2)
    )
    put(kinesis, stream, *(f"after {n}" for n in range(8)))
    found = before | texts(pulled(inlet, 8))
    assert {f"before {n}" for n in range(4)} | {f"after {n}" for n in range(8)} == found


def test_stream_that_is_not_there_is_the_world_s_fault(kinesis: Client, stream: str) -> None:
    inlet = KinesisInlet(kinesis, stream.replace(stream.rpartition("/")[2], "none"))
    inlet.resume({})
    with pytest.raises(PeerUnavailable, match="Kinesis: ResourceNotFoundException"):
        inlet.pull()


def _shard(name: str) -> dict[str, object]:
    return {
        "ShardId": name,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": {"StartingSequenceNumber": "0"},
    }


def _record(number: str) -> dict[str, object]:
    return {"SequenceNumber": number, "Data": number.encode(), "PartitionKey": "k"}


@pytest.fixture
def answers(kinesis: Client) -> Iterator[Stubber]:
    """Answers of Kinesis that the stand-in does not give."""
    with Stubber(kinesis) as stub:
        yield stub


def test_iterator_that_expired_is_asked_for_again(kinesis: Client, answers: Stubber) -> None:
    answers.add_response("list_shards", {"Shards": [_shard("a")]})
    answers.add_response("get_shard_iterator", {"ShardIterator": "i1"})
    answers.add_response("get_records", {"Records": [_record("1")], "NextShardIterator": "i2"})
    answers.add_client_error("get_records", "ExpiredIteratorException")
    behind = {"StreamARN": "arn", "ShardId": "a", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}
    answers.add_response("get_shard_iterator", {"ShardIterator": "i3"}, behind | {"StartingSequenceNumber": "1"})
    answers.add_response("get_records", {"Records": [_record("2")], "NextShardIterator": "i4"})
    inlet = KinesisInlet(kinesis, "arn")
    inlet.resume({})
    batches = [inlet.pull() for _ in range(3)]
    assert [["1"], [], ["2"]] == [sorted(texts([batch])) for batch in batches]
    assert {"a": "2"} == batches[-1].positions


@pytest.mark.parametrize(("behind_ms", "pace_s"), [(0, streams.READ_S), (7_000, streams.CATCH_UP_S)])
def test_shard_is_asked_no_more_often_than_its_quota_allows(
    kinesis: Client, answers: Stubber, monkeypatch: pytest.MonkeyPatch, behind_ms: int, pace_s: float
) -> None:
    monkeypatch.setattr(streams, "READ_S", 0.5)
    monkeypatch.setattr(streams, "CATCH_UP_S", 0.25)
    answers.add_response("list_shards", {"Shards": [_shard("a")]})
    answers.add_response("get_shard_iterator", {"ShardIterator": "i0"})
    for n in range(2):
        told = {"Records": [_record(str(n))], "NextShardIterator": f"i{n + 1}", "MillisBehindLatest": behind_ms}
        answers.add_response("get_records", told)
    inlet = KinesisInlet(kinesis, "arn")
    inlet.resume({})
    begun_s = time.monotonic()
    assert {"0", "1"} == texts(pulled(inlet, 2))
    took_s = time.monotonic() - begun_s
    assert pace_s <= took_s
    answers.assert_no_pending_responses()


def test_throttled_shard_holds_up_no_other(kinesis: Client, answers: Stubber) -> None:
    answers.add_response("list_shards", {"Shards": [_shard("a"), _shard("b")]})
    answers.add_response("get_shard_iterator", {"ShardIterator": "a1"})
    answers.add_response("get_records", {"Records": [_record("1")], "NextShardIterator": "a2"})
    answers.add_response("get_shard_iterator", {"ShardIterator": "b1"})
    answers.add_client_error("get_records", "ProvisionedThroughputExceededException")
    answers.add_client_error("get_records", "ProvisionedThroughputExceededException")
    inlet = KinesisInlet(kinesis, "arn")
    inlet.resume({})
    assert ({"1"}, {"a": "1"}) == (texts([batch := inlet.pull()]), batch.positions)
    with pytest.raises(PeerUnavailable, match="ProvisionedThroughputExceededException"):
        inlet.pull()


def test_list_of_shards_comes_in_pages(kinesis: Client, answers: Stubber) -> None:
    answers.add_response("list_shards", {"Shards": [_shard("a")], "NextToken": "more"}, {"StreamARN": "arn"})
    answers.add_response("list_shards", {"Shards": [_shard("b")]}, {"NextToken": "more"})
    for name in ("a", "b"):
        answers.add_response("get_shard_iterator", {"ShardIterator": name})
        answers.add_response("get_records", {"Records": [_record(name)]})
    inlet = KinesisInlet(kinesis, "arn")
    inlet.resume({})
    assert {"a", "b"} == texts([inlet.pull()])
    assert () == inlet.pull().arrived  # both are closed and read to their ends
    answers.assert_no_pending_responses()


@pytest.mark.parametrize("make", [lambda: _away("kinesis"), lambda: _away("sqs")], ids=["kinesis", "sqs"])
def test_service_that_is_away_is_the_world_s_fault(
    make: Callable[[], Inlet], aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    inlet = make()
    inlet.resume({})
    with pytest.raises(PeerUnavailable, match="EndpointConnectionError"):
        inlet.pull()


def _away(service: str) -> Inlet:
    made = client(service, REGION)
    return KinesisInlet(made, "arn:aws:kinesis:r:1:stream/s") if service == "kinesis" else SqsInlet(made, "http://q")


def test_message_of_a_queue_is_gone_once_it_is_settled(queue: str) -> None:
    wanted = {f"message {n}" for n in range(12)}
    send(queue, *wanted)
    inlet = SqsInlet(client("sqs", REGION), queue)
    batches = pulled(inlet, 12)
    assert wanted == texts(batches)
    for batch in batches:
        inlet.settle(batch)
    time_out_s = time.monotonic() + 1.5
    while time.monotonic() < time_out_s:  # longer than what is not deleted stays hidden
        assert () == inlet.pull().arrived


def test_message_that_was_not_settled_comes_again(queue: str) -> None:
    send(queue, "one")
    inlet = SqsInlet(client("sqs", REGION), queue)
    assert {"one"} == texts(pulled(inlet, 1))
    assert {"one"} == texts(pulled(inlet, 1))


def test_queue_that_is_not_there_is_the_world_s_fault(queue: str) -> None:
    with pytest.raises(PeerUnavailable, match="SQS: "):
        SqsInlet(client("sqs", REGION), f"{queue}-none").pull()
