"""`trunkline run --group contact-events`: two instances' feeds into Kafka, by workers that keep dying."""

import json
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from bench.watched import Child, wait_until
from connectors.contact_events import feeds
from connectors.contact_events.facts import Fact, Owner
from connectors.contact_events.feeds import READERS, Feeds, client
from pipeline.engines import failpoints
from pipeline.engines.tables import read_whole
from tests.connectors.contact_events.documents import CONTACT, INSTANCE, LATER, OTHER_INSTANCE, changed, message
from tests.system.commands import MODULE, Place, ended, place
from topics import codec
from topics.keys import contact_key
from topics.records import ContactEvent, ContactRecord, MediaStarted

pytestmark = pytest.mark.system

REGION = "eu-central-1"
PARTITIONS = 2
LIMIT_S = 120.0
ROUNDS, ROUND_S = 20, 3.0  # of messages; each step of a batch ends the worker with a chance of 0.3
SECRETS = (b"4915112345678", b"4711-0815")
Json = dict[str, Any]  # a message of AWS
Written = tuple[bytes, object]  # key and record, unsealed


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed of the file and what AWS has for it."""

    says: str
    tenant: str
    place: str

    def send(self, content: bytes) -> None:
        if self.place.startswith("http"):
            client("sqs", REGION).send_message(QueueUrl=self.place, MessageBody=content.decode())
        else:
            client("kinesis", REGION).put_record(StreamARN=self.place, PartitionKey=str(random.random()), Data=content)


@pytest.fixture
def shell(aws: str, broker: str, prefix: str, tmp_path: Path) -> Iterator[Place]:
    given = {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_EC2_METADATA_DISABLED": "true",
        "KAFKA_BOOTSTRAP": broker,
        "TRUNKLINE_TOPIC_PREFIX": prefix,
        "TRUNKLINE_PARTITIONS": str(PARTITIONS),
        "TRUNKLINE_CONTACT_FEEDS": "feeds.toml",
    }
    with place(tmp_path / "shell", **given) as made:
        yield made


@pytest.fixture
def told(shell: Place) -> list[Feed]:
    """Make the streams, the queue and the keys, and the file that lists them."""
    made = [_stream("starts", "acme"), _stream("agents", "acme"), _stream("records", "acme"), _queue("acme")]
    made.append(_stream("records", "other"))
    keys = {tenant: client("kms", REGION).create_key()["KeyMetadata"]["Arn"] for tenant in ("acme", "other")}
    lines = ["[keys]", *(f'{tenant} = "{arn}"' for tenant, arn in keys.items())]
    for one in made:
        field = "queue" if one.place.startswith("http") else "stream"
        instance = {"acme": INSTANCE, "other": OTHER_INSTANCE}[one.tenant]
        lines += ["[[feeds]]", f'says = "{one.says}"', f'{field} = "{one.place}"']
        lines += [f'tenant = "{one.tenant}"', f'instance = "{instance}"']
    (shell.folder / "feeds.toml").write_text("\n".join(lines))
    ran = shell.run("topics", "apply", command=MODULE)
    assert 0 == ran.code, ran.err
    return made


def _stream(says: str, tenant: str) -> Feed:
    name = f"{tenant}-{says}"
    kinesis = client("kinesis", REGION)
    kinesis.create_stream(StreamName=name, ShardCount=2)
    return Feed(says, tenant, kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"])


def _queue(tenant: str) -> Feed:
    hidden = {"VisibilityTimeout": "2"}  # seconds until what a dead worker held comes again
    return Feed(
        "events",
        tenant,
        client("sqs", REGION).create_queue(QueueName=f"{tenant}-events", Attributes=hidden)["QueueUrl"],
    )


def messages() -> list[tuple[str, str, Json]]:
    """Return what each feed has to tell: a call that is transferred, its record in versions, and a twin elsewhere."""
    record, elsewhere = message("contact_record"), str(INSTANCE).split(":")[4]
    twin = json.loads(json.dumps(record).replace(INSTANCE, OTHER_INSTANCE).replace(elsewhere, "444455556666"))
    leg = {"InitialContactId": CONTACT, "PreviousContactId": CONTACT}
    acme: list[tuple[str, Json]] = [
        ("starts", message("flow_event")),
        ("starts", message("flow_event", contact__ContactId=LATER)),
        ("agents", message("agent_event")),
        ("agents", message("agent_event", EventType="HEART_BEAT")),
        ("records", record),
        ("records", changed(record, LastUpdateTimestamp="2026-09-22T08:00:00Z", Attributes={"vip": "4711-0815"})),
        ("records", changed(record, ContactId=LATER, **leg)),
        *(("events", message("contact_event", detail__eventType=kind)) for kind in ("INITIATED", "QUEUED")),
        ("events", message("contact_event")),
    ]
    return [("acme", *one) for one in acme] + [("other", "records", twin)]


def expected() -> set[Written]:
    """Return what the messages say by the pure readers, each fact once."""
    owners = {"acme": Owner("acme", INSTANCE), "other": Owner("other", OTHER_INSTANCE)}
    return {
        (contact_key(tenant, fact.root), _of_root(fact))
        for tenant, says, content in messages()
        for fact in READERS[says](owners[tenant], content)
    }


def _of_root(fact: Fact) -> object:
    """Name the conversation's first contact in what a later one says, as the reading loop does."""
    if isinstance(fact.record, ContactRecord) or fact.record.contact_id == fact.root:
        return fact.record
    return replace(fact.record, initial_contact_id=fact.root)


class Looking:
    """What Kafka holds."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix

    def messages(self, topic: str) -> list[Message]:
        places = [TopicPartition(self._prefix + topic, n) for n in range(PARTITIONS)]
        return list(read_whole(self._bootstrap, places))

    def values(self) -> list[tuple[bytes, bytes]]:
        found = self.messages("contact.events") + self.messages("contact.records")
        return [(one.key() or b"", one.value() or b"") for one in found]

    def written(self) -> set[Written]:
        return {(key, _unsealed(codec.decode(value))) for key, value in self.values()}

    def sealed(self) -> dict[tuple[str, str, str], bytes]:
        """Return sealed fields by what they belong to."""
        found = {}
        for key, value in self.values():
            record = codec.decode(value)
            if isinstance(record, ContactEvent | ContactRecord) and record.sealed:
                tenant, _, root = key.decode().partition("|")
                found[tenant, root, record.schema] = record.sealed
        return found


def _unsealed(record: object) -> object:
    assert isinstance(record, ContactEvent | ContactRecord | MediaStarted)
    return record if isinstance(record, MediaStarted) else replace(record, sealed=b"")


def test_two_instances_feeds_arrive_whole_and_sealed_though_workers_die_behind_kafka(
    shell: Place, told: list[Feed], broker: str, prefix: str
) -> None:
    looking, wanted, chance = Looking(broker, prefix), expected(), random.Random(1)
    by_name = {(one.tenant, one.says): one for one in told}
    dying = shell.type("run", "--group", "contact-events", command=MODULE, variables={"TRUNKLINE_FAILPOINT": "0.3"})
    pid_file = shell.folder / ".trunkline/run/contact-events-1.pid"
    assert wait_until(pid_file.exists, LIMIT_S), _said(dying)
    first_pid = pid_file.read_text()
    for number in range(ROUNDS):  # each message twice at least, in another order each time, until a worker has died
        for tenant, says, content in chance.sample(messages(), k=len(messages())):
            by_name[tenant, says].send(json.dumps(content).encode())
        if number and wait_until(lambda: pid_file.exists() and pid_file.read_text() != first_pid, ROUND_S):
            break
    by_name["acme", "records"].send(b"no JSON")
    by_name["other", "records"].send(json.dumps(message("contact_record")).encode())
    assert wait_until(lambda: wanted <= looking.written(), LIMIT_S), _said(dying)
    assert wait_until(lambda: len(_dead(looking)) == 2, LIMIT_S), _said(dying)
    dying.process.send_signal(signal.SIGTERM)
    ran = ended(dying)
    assert 143 == ran.code, ran.err
    assert failpoints.SAID in ran.err
    assert wanted == looking.written()
    assert _dead(looking) == {
        b"no JSON": b"the message is not JSON",
        json.dumps(
            message("contact_record")
        ).encode(): b"the message is of another Amazon Connect instance than its feed",
    }
    assert [] == [secret for secret in SECRETS for _, value in looking.values() if secret in value]
    _check_sealed(feeds.load(shell.folder / "feeds.toml"), looking)
    assert {} == shell.left_over()


def _check_sealed(loaded: Feeds, looking: Looking) -> None:
    """Every sealed field opens where it belongs, with the key of its own tenant."""
    sealer, found = loaded.sealer(), looking.sealed()
    assert {("acme", "contact_event"), ("acme", "contact_record"), ("other", "contact_record")} == {
        (tenant, schema) for tenant, _, schema in found
    }
    for (tenant, root, schema), sealed in found.items():
        assert "CustomerEndpoint" in json.loads(sealer.open(tenant, root, schema, sealed))


def _dead(looking: Looking) -> dict[bytes, bytes]:
    found = {}
    for one in looking.messages("contact.events.dead"):
        headers = dict(one.headers() or [])
        why = headers["__connect.errors.exception.message"]
        assert isinstance(why, bytes)
        found[one.value() or b""] = why
    return found


def _said(child: Child) -> str:
    child.process.send_signal(signal.SIGTERM)
    return ended(child).err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read"),
        ("[keys]\n", "no [[feeds]]"),
        ("region = 'x'", "unknown key region"),
    ],
)
def test_wrong_feeds_are_said_in_one_line_before_anything_starts(shell: Place, text: str | None, reason: str) -> None:
    if text is not None:
        (shell.folder / "feeds.toml").write_text(text)
    ran = shell.run("run", "--group", "contact-events", command=MODULE)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.said))
    assert reason in ran.err
