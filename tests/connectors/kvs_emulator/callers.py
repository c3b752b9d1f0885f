"""Callers of the emulator: boto3 as it comes, and raw HTTP for what boto3 does not let one see."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from connectors.kvs_emulator import Limits, Plan, Server, Serving, Take, play, serve
from connectors.kvs_emulator.faults import Fault

Json = dict[str, Any]  # a reply as boto3 gives it

STREAM = "contact-stream"
START_MS = 1_800_000_000_000  # a whole second: boto3 sends no fractions
CONTACT = "00000000-0000-4000-8000-000000000001"
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=key/20270115/us-east-1/kinesisvideo/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
    "X-Amz-Date": "20270115T080000Z",
}
TICK_BYTES = 1_024
NO_THROTTLE = 10_000
EARLIEST = {"StartSelectorType": "EARLIEST"}
_SESSION = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
_CLIENTS: dict[tuple[str, str, str | None], Any] = {}


def noise(ticks: int, seed: int = 1) -> bytes:
    """Return PCM that no two blocks share within 251 of them."""
    period = bytes((index * 31 + seed * 7) % 251 for index in range(251))
    return (period * (ticks * TICK_BYTES // len(period) + 1))[: ticks * TICK_BYTES]


def take(ticks: int = 100, contact_id: str = CONTACT, start_ms: int = START_MS) -> Take:
    return Take(noise(ticks), noise(ticks, 2), contact_id, start_ms)


def faulty(*faults: Fault) -> Plan:
    return Plan(faults=faults, seed=5)


def after(number: int) -> Json:
    return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": str(number)}


def numbers(server: Server) -> list[int]:
    return [one.number for one in server.stream(STREAM).held()]


class Clock:
    """The emulator's clock, moved by hand."""

    def __init__(self) -> None:
        self.ms = START_MS + 3_600_000

    def __call__(self) -> int:
        return self.ms


class Caller:
    """boto3 in a thread; each call as a coroutine."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token

    async def endpoint(self, stream: str = STREAM, api: str = "GET_MEDIA") -> str:
        video = self._client("kinesisvideo")
        reply: Json = await asyncio.to_thread(video.get_data_endpoint, StreamName=stream, APIName=api)
        return str(reply["DataEndpoint"])

    async def open(self, selector: Json, stream: str = STREAM) -> Json:
        """Return the reply of getMedia with its body unread."""
        media = self._client("kinesis-video-media")
        reply: Json = await asyncio.to_thread(media.get_media, StreamName=stream, StartSelector=selector)
        return reply

    async def media(self, selector: Json, stream: str = STREAM) -> bytes:
        """Read getMedia to the end of the reply."""
        reply = await self.open(selector, stream)
        data: bytes = await asyncio.to_thread(reply["Payload"].read)
        return data

    async def listed(self, stream: str = STREAM, **arguments: Any) -> Json:  # as boto3 takes them
        archived = self._client("kinesis-video-archived-media")
        reply: Json = await asyncio.to_thread(archived.list_fragments, StreamName=stream, **arguments)
        return reply

    async def pages(self, page_size: int) -> list[list[Json]]:
        """Return every page of the list, as boto3's paginator reads them."""
        paginator = self._client("kinesis-video-archived-media").get_paginator("list_fragments")
        pages = await asyncio.to_thread(lambda: list(paginator.paginate(StreamName=STREAM, MaxResults=page_size)))
        return [page["Fragments"] for page in pages]

    async def fragments(self, numbers: list[int]) -> bytes:
        """Read getMediaForFragmentList to the end of the reply."""
        archived = self._client("kinesis-video-archived-media")
        asked = list(map(str, numbers))
        reply = await asyncio.to_thread(archived.get_media_for_fragment_list, StreamName=STREAM, Fragments=asked)
        data: bytes = await asyncio.to_thread(reply["Payload"].read)
        return data

    def _client(self, service: str) -> Any:  # boto3 makes its classes at run time
        place = (service, self.url, self.token)
        if place not in _CLIENTS:
            _CLIENTS[place] = _SESSION.client(
                service,
                endpoint_url=self.url,
                aws_access_key_id="any",
                aws_secret_access_key="any",
                aws_session_token=self.token,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
            )
        return _CLIENTS[place]


async def refused(call: Awaitable[object]) -> tuple[str, int]:
    """Return the error's code and status of a call that must be refused."""
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


@asynccontextmanager
async def emulating(
    *takes: Take, plan: Plan | None = None, clock: Callable[[], int] | None = None, **limits: float
) -> AsyncIterator[tuple[Server, Caller]]:
    """Serve one stream that holds some recordings."""
    some: Any = {"idle_s": 0.05, "calls_per_s": NO_THROTTLE, "listed_after_s": 0.0} | limits
    async with serve(Serving(limits=Limits(**some), plan=plan or Plan()), clock or Clock()) as server:
        stream = server.stream(STREAM)
        for take in takes:
            await play(stream, take, speed=0)
        yield server, Caller(server.url)
        _CLIENTS.clear()


@asynccontextmanager
async def raw(url: str, body: Json | bytes, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """Post without a client of AWS; a header that is empty is left out."""
    sent = {name: value for name, value in (SIGNED | headers).items() if value}
    async with aiohttp.ClientSession() as session:
        arguments: Any = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with session.post(url, headers=sent, **arguments) as response:
            yield response


async def raw_media(server: Server) -> tuple[bytes, bool]:
    """Read getMedia from the earliest fragment; return what came and whether the reply came to its end."""
    data = b""
    asked = {"StreamName": STREAM, "StartSelector": EARLIEST}
    async with raw(f"{server.url}/getMedia", asked) as response:
        try:
            async for chunk in response.content.iter_any():
                data += chunk
        except aiohttp.ClientError:
            return data, False
    return data, True


async def last_packet(server: Server) -> str:
    """Read getMedia from a bare socket; return whether the connection ended with FIN or RST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    body = json.dumps({"StreamName": STREAM, "StartSelector": EARLIEST})
    headers = "".join(f"{name}: {value}\r\n" for name, value in SIGNED.items())
    writer.write(f"POST /getMedia HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        while await reader.read(65_536):
            pass
    except ConnectionResetError:
        return "RST"
    finally:
        writer.close()
    return "FIN"
