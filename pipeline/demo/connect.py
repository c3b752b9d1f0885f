"""The demo's call as Amazon Connect brings it, on loopback: audio by Kinesis Video Streams, facts by Kinesis.

Owns the cloud's side: the emulator that ships with the product for the audio, moto's stand-in for Kinesis, and what
Connect would say about one inbound call. Behind them runs what runs in production: the flow's Lambda function, the
feeds, capture, and everything after.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from connectors import kvs_emulator
from connectors.contact_events.feeds import client
from connectors.kvs_emulator.fragments import Stream
from pipeline import stores
from pipeline.call import Request
from pipeline.errors import PeerUnavailable
from pipeline.settings import Settings

GROUPS: Final = ("contact-events", "capture", "contacts")
AGENT: Final = "daniel"
_REGION: Final = "us-east-1"
_ACCOUNT: Final = "000000000000"  # the emulator's
_INSTANCE: Final = f"arn:aws:connect:{_REGION}:{_ACCOUNT}:instance/00000000-0000-4000-8000-0000000000aa"
_FEEDS: Final = ("starts", "agents", "records")
_RECORD_AFTER_S: Final = 3.0  # Connect makes it when the agent's work after the call is over
_FLOW_CALLS: Final = 5
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}

Json = dict[str, Any]  # a message of AWS


@dataclass(frozen=True, slots=True)
class Connect:
    """One instance of Amazon Connect with one call.

    Attributes:
        settings: those that lead the pipeline to it.
    """

    settings: Settings
    _request: Request
    _stream: Stream
    _feeds: Mapping[str, str]  # ARN by what it says
    _flow: ModuleType

    async def play(self) -> int:
        """Let the customer call: the flow starts, audio streams, the agent answers and hangs up, the record follows.

        Returns:
            When audio time 0 was, in epoch milliseconds.

        Raises:
            PeerUnavailable: the flow's function could not send its event.
        """
        request, start_ms = self._request, kvs_emulator.wall_ms()
        await self._call_flow(_flow_event(request, self._stream.arn, start_ms))
        await self._say("agents", _agent_event(request, start_ms, start_ms, is_over=False))
        take = kvs_emulator.Take(
            request.call.customer.tobytes(), request.call.agent.tobytes(), request.contact_id, start_ms
        )
        await kvs_emulator.play(self._stream, take, request.speed)
        end_ms = start_ms + request.call.duration_ms
        await self._say("agents", _agent_event(request, start_ms, end_ms, is_over=True))
        await asyncio.sleep(_RECORD_AFTER_S)
        await self._say("records", _contact_record(request, self._stream.arn, start_ms, end_ms))
        return start_ms

    async def _call_flow(self, event: Json) -> None:
        """Call the flow's function; it gives AWS less than a second, which a busy machine may need."""
        for _ in range(_FLOW_CALLS):
            told = await asyncio.to_thread(self._flow.handler, event, None)
            if told["status"] == "sent":
                return
        raise PeerUnavailable(f"the flow's function says {told['reason']}")

    async def _say(self, feed: str, message: Json) -> None:
        data = json.dumps(message).encode()
        kinesis = client("kinesis", _REGION)
        await asyncio.to_thread(kinesis.put_record, StreamARN=self._feeds[feed], PartitionKey="demo", Data=data)


@asynccontextmanager
async def connected(request: Request, settings: Settings, home: Path) -> AsyncIterator[Connect]:
    """Run the cloud's side; this process and its children use it in the place of AWS.

    Args:
        request: the call.
        settings: of the demo.
        home: folder for the file of feeds, the tenant's key and the log of the stand-in.

    Raises:
        InputError: the extra is not installed.
        PeerUnavailable: the stand-in did not start.
    """
    aws = await asyncio.to_thread(stores.start_moto, home)
    try:
        with _environment(_KEYS | {"AWS_ENDPOINT_URL": aws.url, "AWS_DEFAULT_REGION": _REGION}):
            feeds = await asyncio.to_thread(_make_streams)
            os.environ["STREAM_ARN"] = feeds["starts"]
            from connectors.contact_events.flow import handler as flow  # makes its client when it is imported

            limits = kvs_emulator.Limits(idle_s=2.0)
            async with kvs_emulator.serve(kvs_emulator.Serving(limits=limits)) as emulator:
                file = await asyncio.to_thread(_write_feeds, home, request.tenant, feeds)
                changes = {"kvs_endpoint_url": emulator.url, "kvs_region": _REGION, "contact_feeds": str(file)}
                stream = emulator.stream("demo-connect-contact")
                yield Connect(settings.model_copy(update=changes), request, stream, feeds, flow)
    finally:
        await asyncio.to_thread(aws.stop)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make_streams() -> dict[str, str]:
    kinesis = client("kinesis", _REGION)
    for name in _FEEDS:
        kinesis.create_stream(StreamName=name, ShardCount=1)
    described = {name: kinesis.describe_stream(StreamName=name)["StreamDescription"] for name in _FEEDS}
    return {name: one["StreamARN"] for name, one in described.items()}


def _write_feeds(home: Path, tenant: str, feeds: Mapping[str, str]) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    (home / "tenant.key").write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    lines = ["[keys]", f'{tenant} = "file:tenant.key"']
    for says, arn in feeds.items():
        lines += ["[[feeds]]", f'says = "{says}"', f'stream = "{arn}"', f'tenant = "{tenant}"']
        lines += [f'instance = "{_INSTANCE}"']
    file = home / "feeds.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


# What Connect says. Fields that nobody reads are left out.


def _flow_event(request: Request, stream: str, start_ms: int) -> Json:
    """The event of "Invoke AWS Lambda function" (administrator guide)."""
    audio = {"StreamARN": stream, "StartTimestamp": str(start_ms), "StartFragmentNumber": "0"}
    contact = {
        "ContactId": request.contact_id,
        "InitialContactId": request.contact_id,
        "PreviousContactId": request.contact_id,
        "Channel": "VOICE",
        "InstanceARN": _INSTANCE,
        "CustomerEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": "+15555550100"},
        "SystemEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": "+15555550199"},
        "Queue": {"Name": "Support"},
        "Attributes": {"language": "en"},
        "MediaStreams": {"Customer": {"Audio": audio}},
    }
    return {"Name": "ContactFlowEvent", "Details": {"ContactData": contact, "Parameters": {}}}


def _agent_event(request: Request, joined_ms: int, at_ms: int, *, is_over: bool) -> Json:
    """A state change of the agent ("Agent event streams data model")."""

    def snapshot(state: str | None, since_ms: int) -> Json:
        contact = {
            "ContactId": request.contact_id,
            "InitialContactId": None,
            "Channel": "VOICE",
            "State": state,
            "StateStartTimestamp": _time(since_ms),
            "ConnectedToAgentTimestamp": _time(joined_ms),
            "Queue": {"Name": "Support"},
        }
        return {"Configuration": {"Username": AGENT}, "Contacts": [contact] if state else []}

    states = ("CONNECTED", "ENDED") if is_over else (None, "CONNECTED")
    return {
        "AWSAccountId": _ACCOUNT,
        "AgentARN": f"{_INSTANCE}/agent/00000000-0000-4000-8000-0000000000bb",
        "EventId": f"{request.contact_id}-{states[1]}",
        "EventTimestamp": _time(at_ms),
        "EventType": "STATE_CHANGE",
        "InstanceARN": _INSTANCE,
        "PreviousAgentSnapshot": snapshot(states[0], joined_ms),
        "CurrentAgentSnapshot": snapshot(states[1], at_ms),
        "Version": "2017-10-01",
    }


def _contact_record(request: Request, stream: str, start_ms: int, end_ms: int) -> Json:
    """The contact's record ("Data model for contact records")."""
    recording = {
        "StorageType": "KINESIS_VIDEO_STREAM",
        "MediaStreamType": "AUDIO",
        "ParticipantType": "CUSTOMER",
        "Location": stream,
        "FragmentStartNumber": "0",
        "FragmentStopNumber": "0",
        "StartTimestamp": _time(start_ms),
        "StopTimestamp": _time(end_ms),
    }
    agent = {"Username": AGENT, "ConnectedToAgentTimestamp": _time(start_ms), "NumberOfHolds": 0}
    return {
        "AWSContactTraceRecordFormatVersion": "2017-03-10",
        "ContactId": request.contact_id,
        "InstanceARN": _INSTANCE,
        "Channel": "VOICE",
        "InitiationMethod": "INBOUND",
        "InitiationTimestamp": _time(start_ms),
        "ConnectedToSystemTimestamp": _time(start_ms),
        "DisconnectTimestamp": _time(end_ms),
        "DisconnectReason": "CUSTOMER_DISCONNECT",
        "LastUpdateTimestamp": _time(time.time_ns() // 1_000_000),
        "CustomerEndpoint": {"Type": "TELEPHONE_NUMBER", "Address": "+15555550100"},
        "Queue": {"Name": "Support"},
        "Agent": agent,
        "Recordings": [recording],
    }


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
