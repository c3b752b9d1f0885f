"""The flow's Lambda function: one record, never a failed or a long call. Its template gives it no more than that."""

import importlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from connectors.contact_events.feeds import client
from tests.connectors.contact_events.documents import CONTACT, LATER, message

pytestmark = pytest.mark.aws

TEMPLATE = Path(__file__).parents[3] / "connectors/contact_events/flow/template.yaml"
LIMIT_S = 1.0
Json = dict[str, Any]  # JSON or YAML


def event(**changes: object) -> Json:
    """Return what Amazon Connect calls the function with."""
    contact = message("flow_event")["contact"] | changes
    return {"Details": {"ContactData": contact, "Parameters": {}}, "Name": "ContactFlowEvent"}


@pytest.fixture
def stream(aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    kinesis = client("kinesis", "eu-central-1")
    if not kinesis.list_streams()["StreamNames"]:
        kinesis.create_stream(StreamName="starts", ShardCount=1)
    arn: str = kinesis.describe_stream(StreamName="starts")["StreamDescription"]["StreamARN"]
    monkeypatch.setenv("STREAM_ARN", arn)
    return arn


def load() -> ModuleType:
    """Import the function as a cold start does: its client takes what the environment says now."""
    sys.modules.pop("connectors.contact_events.flow.handler", None)
    return importlib.import_module("connectors.contact_events.flow.handler")


def records(stream: str) -> list[Json]:
    kinesis = client("kinesis", "eu-central-1")
    told = kinesis.get_shard_iterator(
        StreamARN=stream, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )
    found: list[Json] = kinesis.get_records(StreamARN=stream, ShardIterator=told["ShardIterator"])["Records"]
    return found


def test_call_is_one_record_with_all_that_the_flow_knows(stream: str) -> None:
    before = len(records(stream))
    assert {"status": "sent"} == load().handler(event(ContactId=LATER), None)
    (record,) = records(stream)[before:]
    content = json.loads(record["Data"])
    assert CONTACT == record["PartitionKey"]
    assert event(ContactId=LATER)["Details"]["ContactData"] == content["contact"]
    assert abs(time.time() * 1_000 - content["time_ms"]) < 60_000


def test_contact_without_an_initial_one_goes_by_its_own_id(stream: str) -> None:
    assert {"status": "sent"} == load().handler(event(InitialContactId=None), None)
    assert CONTACT == records(stream)[-1]["PartitionKey"]


@pytest.mark.parametrize("given", [{}, {"Details": None}, {"Details": {"ContactData": {}}}, None])
def test_call_without_a_contact_is_answered(stream: str, given: Json) -> None:
    assert "not sent" == load().handler(given, None)["status"]


def test_stream_that_is_not_there_is_answered(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_ARN", stream.replace("starts", "none"))
    answer = load().handler(event(), None)
    assert {"status": "not sent", "reason": "ResourceNotFoundException"} == answer
    monkeypatch.delenv("STREAM_ARN")
    assert {"status": "not sent", "reason": "KeyError"} == load().handler(event(), None)


@contextmanager
def refusing() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield port


@contextmanager
def silent() -> Iterator[int]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def full() -> Iterator[int]:
    """Take no connection any more: the queue of those that nobody accepts is full, so a SYN gets no answer."""
    with ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (refusing, "EndpointConnectionError"),
        (silent, "ReadTimeoutError"),
        (full, "ConnectTimeoutError"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_dead_endpoint_is_answered_within_a_second(
    stream: str, monkeypatch: pytest.MonkeyPatch, endpoint: Any, reason: str
) -> None:
    with endpoint() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        function = load()
        begun_s = time.monotonic()
        answer = function.handler(event(), None)
        took_s = time.monotonic() - begun_s
    assert {"status": "not sent", "reason": reason} == answer
    assert took_s < LIMIT_S


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!GetAtt A.B`) as one-entry dicts."""


_Loader.add_multi_constructor("!", lambda loader, tag, node: {tag: loader.construct_scalar(node)})


def template() -> Json:
    content: Json = yaml.load(TEMPLATE.read_text(), _Loader)
    return content


def test_function_may_put_a_record_into_its_stream_and_nothing_else() -> None:
    resources = template()["Resources"]
    function = resources["Start"]["Properties"]
    (policy,) = function["Policies"]
    (statement,) = policy["Statement"]
    expected = {"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": {"GetAtt": "Starts.Arn"}}
    assert expected == statement
    assert {"STREAM_ARN": {"GetAtt": "Starts.Arn"}} == function["Environment"]["Variables"]
    assert LIMIT_S == function["Timeout"]


def test_only_the_instance_may_call_the_function_and_only_the_rule_may_send() -> None:
    resources = template()["Resources"]
    call = resources["FlowsMayCall"]["Properties"]
    assert ("connect.amazonaws.com", {"Ref": "InstanceArn"}) == (call["Principal"], call["SourceArn"])
    (send,) = resources["RuleMaySend"]["Properties"]["PolicyDocument"]["Statement"]
    assert {"ArnEquals": {"aws:SourceArn": {"GetAtt": "EventsToQueue.Arn"}}} == send["Condition"]
    pattern = resources["EventsToQueue"]["Properties"]["EventPattern"]
    assert [{"Ref": "InstanceArn"}] == pattern["detail"]["instanceArn"]


def test_template_names_the_function_that_is_there() -> None:
    module, _, name = template()["Resources"]["Start"]["Properties"]["Handler"].partition(".")
    assert (TEMPLATE.parent / f"{module}.py").is_file()
    assert f"def {name}(" in (TEMPLATE.parent / f"{module}.py").read_text()


def test_reader_may_do_what_its_inlets_do() -> None:
    statements = template()["Resources"]["MayRead"]["Properties"]["PolicyDocument"]["Statement"]
    actions = [one["Action"] for one in statements]
    expected = [
        ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"],
        ["sqs:ReceiveMessage", "sqs:DeleteMessage"],
    ]
    assert expected == actions


def test_template_passes_the_checks_of_aws_s_linter() -> None:
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    command = [linter, "--regions", "eu-central-1", "--", str(TEMPLATE)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (0, "") == (found.returncode, found.stdout)
