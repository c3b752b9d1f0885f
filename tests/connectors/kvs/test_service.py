"""The calls that a reader makes, against the emulator and against botocore's own signature."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from connectors.kvs import account as accounts
from connectors.kvs import service
from connectors.kvs.service import Service, StreamFailed
from connectors.kvs_emulator.faults import Expire, Move
from pipeline.errors import InputError
from tests.connectors.kvs.reads import account
from tests.connectors.kvs_emulator.callers import EARLIEST, START_MS, STREAM, emulating, faulty, numbers, take

pytestmark = pytest.mark.unit


async def read(response: service.Response) -> bytes:
    data = b""
    while part := await response.read():
        data += part
    response.close()
    return data


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve one answer to everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_endpoint_is_asked_for_once_and_again_after_it_moved() -> None:
    async with emulating(take(), plan=faulty(Move(calls=(3,)))) as (server, _), service.session() as http:
        stream = Service(http, account(server.url), STREAM)
        for _ in range(2):
            assert await read(await stream.media(EARLIEST))
        assert 1 == server.calls["getDataEndpoint", STREAM]
        with pytest.raises(StreamFailed) as caught:
            await stream.media(EARLIEST)
        assert "moved" == caught.value.kind
        assert await read(await stream.media(EARLIEST))
        assert 2 == server.calls["getDataEndpoint", STREAM]


async def test_stream_is_named_by_its_arn_too() -> None:
    async with emulating(take()) as (server, _), service.session() as http:
        assert await read(await Service(http, account(server.url), server.stream(STREAM).arn).media(EARLIEST))


async def test_list_is_read_page_by_page_and_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PAGE", 2)
    async with emulating(take()) as (server, _), service.session() as http:
        listed = await Service(http, account(server.url), STREAM).listed(START_MS, START_MS + 5_000)
        held = [one for one in server.stream(STREAM).held() if one.producer_ms <= START_MS + 5_000]
    assert [(str(one.number), one.producer_ms, one.length_ms) for one in held] == [
        (one.number, one.start_ms, one.length_ms) for one in listed
    ]


async def test_archive_gives_what_is_asked_for() -> None:
    async with emulating(take()) as (server, _), service.session() as http:
        asked = [str(number) for number in numbers(server)[1:3]]
        data = await read(await Service(http, account(server.url), STREAM).archived(asked))
    assert all(number.encode() in data for number in asked)


async def test_no_more_than_five_requests_leave_in_a_second() -> None:
    loop = asyncio.get_running_loop()
    async with emulating(take()) as (server, _), service.session() as http:
        stream, began_s = Service(http, account(server.url), STREAM), loop.time()
        await asyncio.gather(*(stream.listed(START_MS, START_MS) for _ in range(7)))
        assert loop.time() - began_s >= 1.1
        assert 7 == server.calls["listFragments", STREAM]


async def test_expired_token_is_renewed() -> None:
    async with emulating(take(), plan=faulty(Expire(calls=(1,)))) as (server, _), service.session() as http:
        stream = Service(http, account(server.url, "old", "next"), STREAM)
        with pytest.raises(StreamFailed) as caught:
            await stream.media(EARLIEST)
        assert "refused" == caught.value.kind
        await stream.renew()
        assert await read(await stream.media(EARLIEST))


async def test_nobody_at_the_endpoint_is_a_passing_failure() -> None:
    async with service.session() as http:
        with pytest.raises(StreamFailed) as caught:
            await Service(http, account("http://127.0.0.1:9"), STREAM).media(EARLIEST)
    assert "passing" == caught.value.kind


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (404, {"x-amzn-ErrorType": "ResourceNotFoundException:http://internal"}, "gone"),
        (404, {}, "moved"),
        (403, {"x-amzn-ErrorType": "UnrecognizedClientException"}, "refused"),
        (400, {"x-amz-ErrorType": "ClientLimitExceededException"}, "throttled"),
        (429, {}, "throttled"),
        (400, {"x-amzn-ErrorType": "InvalidArgumentException"}, "invalid"),
        (502, {"x-amzn-ErrorType": "<b>"}, "passing"),
    ],
)
async def test_answers_have_few_kinds(status: int, headers: dict[str, str], kind: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    async with answering(answer) as url, service.session() as http:
        with pytest.raises(StreamFailed) as caught:
            await Service(http, account(url), STREAM).media(EARLIEST)
    assert kind == caught.value.kind
    assert "<" not in str(caught.value)


async def test_request_arrives_as_it_was_signed() -> None:
    asked: list[tuple[dict[str, str], bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((dict(request.headers), await request.read()))
        return web.json_response({"DataEndpoint": str(request.url.origin())})

    async with answering(answer) as url, service.session() as http:
        (await Service(http, account(url, "a token"), STREAM).media(EARLIEST)).close()
        for (headers, body), path in zip(asked, ("/getDataEndpoint", "/getMedia"), strict=True):
            signed_names = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
            assert {"host", "x-amz-date", "x-amz-security-token", "content-type"} <= {*signed_names}
            lowered = {name.lower(): text for name, text in headers.items()}
            request = AWSRequest("POST", url + path, data=body)
            for name in signed_names:
                request.headers[name] = lowered[name]
            request.context["timestamp"] = lowered["x-amz-date"]
            auth = SigV4Auth(Credentials("any", "any", "a token"), "kinesisvideo", "us-east-1")
            signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
            assert headers["Authorization"].endswith(f"Signature={signature}")


def test_region_has_an_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path, AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")
    assert "https://kinesisvideo.eu-central-1.amazonaws.com" == accounts.find("eu-central-1", None).endpoint_url
    assert "https://kinesisvideo.cn-north-1.amazonaws.com.cn" == accounts.find("cn-north-1", None).endpoint_url
    assert "http://127.0.0.1:8/a" == accounts.find(None, "http://127.0.0.1:8/a/").endpoint_url


@pytest.mark.parametrize(
    ("variables", "region", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}, None, "no AWS region"),
        ({}, "eu-central-1", "no AWS credentials"),
        ({"AWS_ACCESS_KEY_ID": "any"}, "eu-central-1", "PartialCredentialsError"),
        ({"AWS_PROFILE": "nobody"}, "eu-central-1", "ProfileNotFound"),
    ],
)
def test_what_is_missing_is_said(
    variables: dict[str, str], region: str | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone(monkeypatch, tmp_path, **variables)
    with pytest.raises(InputError, match=reason):
        accounts.find(region, None)


def alone(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> None:
    """Take away whatever tells botocore who we are, but these variables."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    files = {name: str(folder / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, text in (files | {"AWS_EC2_METADATA_DISABLED": "true"} | variables).items():
        monkeypatch.setenv(name, text)
