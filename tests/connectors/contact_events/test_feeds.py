"""The feeds' file: checked whole before anything starts."""

import base64
import json
from pathlib import Path

import pytest

from connectors.contact_events import feeds, reading
from pipeline import app
from pipeline.errors import InputError, RecordRefused
from pipeline.settings import load
from tests.connectors.contact_events.documents import CONTACT, INSTANCE, LATER, OTHER_INSTANCE, Json, message
from topics.records import ContactEvent, MediaStarted

pytestmark = pytest.mark.unit

STARTS = "arn:aws:kinesis:eu-central-1:111122223333:stream/starts"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/111122223333/contact-events"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/0f3c"
TWO = f"""
[keys]
acme = "file:acme.key"
other = "{KEY}"

[[feeds]]
says = "starts"
stream = "{STARTS}"
tenant = "acme"
instance = "{INSTANCE}"

[[feeds]]
says = "events"
queue = "{QUEUE}"
tenant = "other"
instance = "{OTHER_INSTANCE}"
"""


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")


def write(folder: Path, text: str) -> Path:
    path = folder / "feeds.toml"
    path.write_text(text)
    (folder / "acme.key").write_text(base64.b64encode(bytes(32)).decode())
    return path


def test_feeds_and_keys_are_as_the_file_says(tmp_path: Path) -> None:
    loaded = feeds.load(write(tmp_path, TWO))
    starts, events = loaded.feeds
    assert ("starts", STARTS, False, "acme", INSTANCE) == (
        *(starts.says, starts.place, starts.is_queue),
        *(starts.owner.tenant, starts.owner.instance),
    )
    assert ("events", QUEUE, True, "other") == (events.says, events.place, events.is_queue, events.owner.tenant)
    assert ["eu-central-1"] * 2 == [starts.region, events.region]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('says = "starts"', 'says = "starts"\nregion = "x"', "unknown key region"),
        ("[keys]", "[keyss]", "unknown key keyss"),
        ('says = "starts"', 'says = "audio"', "not audio"),
        ('says = "starts"\n', "", "says is missing"),
        ("stream =", "queue =", "a queue is given by its URL"),
        (f'stream = "{STARTS}"\n', "", "either a stream or a queue"),
        (f'queue = "{QUEUE}"', f'queue = "{QUEUE}"\nstream = "{STARTS}"', "either a stream or a queue"),
        (STARTS, INSTANCE, "is no ARN of kinesis"),
        (OTHER_INSTANCE, "my-instance", "is no ARN of connect"),
        (KEY, "alias/key", "is no ARN of kms"),
        ('acme = "file:acme.key"\n', "", "tenant acme has no key"),
        ('tenant = "acme"', 'tenant = "a|b"', "holds no |"),
        ('tenant = "acme"', "tenant = 7", "tenant is missing or no text"),
        ("[[feeds]]", "[[feed]]", "unknown key feed"),
        ("[keys]", "[keys", "feeds.toml"),
    ],
)
def test_wrong_file_is_said_in_one_line(tmp_path: Path, before: str, after: str, why: str) -> None:
    assert before in TWO
    with pytest.raises(InputError) as fault:
        feeds.load(write(tmp_path, TWO.replace(before, after)))
    assert why in str(fault.value)


def test_file_without_feeds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no \\[\\[feeds"):
        feeds.load(write(tmp_path, ""))


def test_stream_is_read_once(tmp_path: Path) -> None:
    twice = TWO + TWO[TWO.index("[[feeds]]") :].partition('[[feeds]]\nsays = "events"')[0]
    with pytest.raises(InputError, match="two feeds read one"):
        feeds.load(write(tmp_path, twice))


def test_group_is_refused_before_it_starts_without_file_key_or_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(**settings: object) -> str:
        with pytest.raises(InputError) as raised:
            app.check_group(load(**settings), "contact-events")
        return str(raised.value)

    path = write(tmp_path, TWO)
    app.check_group(load(contact_feeds=str(path)), "contact-events")
    assert "setting contact_feeds is missing" == fault()
    assert "cannot read" in fault(contact_feeds=str(tmp_path / "none.toml"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "no AWS credentials" in fault(contact_feeds=str(path))
    (tmp_path / "acme.key").unlink()
    assert "cannot read the key file" in fault(contact_feeds=str(path))


def test_message_is_addressed_to_its_conversation_with_its_private_part_sealed(tmp_path: Path) -> None:
    loaded = feeds.load(write(tmp_path, TWO))
    sealer = loaded.sealer()
    event, media = reading.read(loaded.feeds[0], sealer, _bytes(message("flow_event")))
    assert isinstance(event.record, ContactEvent)
    assert isinstance(media.record, MediaStarted)
    assert [f"acme|{CONTACT}".encode()] * 2 == [event.key, media.key]
    assert b"+4915112345678" in sealer.open("acme", CONTACT, "contact_event", event.record.sealed)
    assert "+49" not in str([event, media])
    assert ["", ""] == [event.record.initial_contact_id, media.record.initial_contact_id]


def test_fact_of_a_later_leg_names_the_conversation(tmp_path: Path) -> None:
    loaded = feeds.load(write(tmp_path, TWO))
    told = _bytes(message("flow_event", contact__ContactId=LATER, contact__InitialContactId=CONTACT))
    event, media = reading.read(loaded.feeds[0], loaded.sealer(), told)
    assert isinstance(event.record, ContactEvent)
    assert isinstance(media.record, MediaStarted)
    assert (LATER, CONTACT) == (event.record.contact_id, event.record.initial_contact_id)
    assert (LATER, CONTACT) == (media.record.contact_id, media.record.initial_contact_id)


def test_message_of_a_feed_that_says_something_else_is_refused(tmp_path: Path) -> None:
    loaded = feeds.load(write(tmp_path, TWO))
    with pytest.raises(RecordRefused):
        reading.read(loaded.feeds[0], loaded.sealer(), _bytes(message("agent_event")))


def _bytes(content: Json) -> bytes:
    return json.dumps(content).encode()
