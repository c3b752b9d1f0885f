"""What goes wrong on purpose, as boto3 and a bare socket see it."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError

from connectors.kvs_emulator.faults import Close, Garbage, Refuse, Report, SlowStart, Stall
from tests.connectors.kvs_emulator import seen
from tests.connectors.kvs_emulator.callers import (
    EARLIEST,
    START_MS,
    STREAM,
    after,
    emulating,
    faulty,
    last_packet,
    noise,
    numbers,
    raw,
    raw_media,
    refused,
    take,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Refuse(error="InvalidArgumentException"), 400),
        (Refuse(error="ClientLimitExceededException"), 400),
        (Refuse(error="NotAuthorizedException"), 401),
        (Refuse(error="ExpiredTokenException", status=401), 401),
        (Refuse(error="AccessDeniedException"), 403),
        (Refuse(error="ResourceNotFoundException"), 404),
        (Refuse(error="InternalFailureException"), 500),
        (Refuse(error="ServiceUnavailableException"), 503),
    ],
    ids=lambda value: getattr(value, "error", None),
)
async def test_call_is_refused_as_planned_and_the_next_is_not(fault: Refuse, status: int) -> None:
    once = Refuse(error=fault.error, status=fault.status, calls=(1,))
    async with emulating(take(), plan=faulty(once)) as (server, caller):
        assert (fault.error, status) == await refused(caller.media(EARLIEST))
        assert 6 == len(seen.documents(await caller.media(EARLIEST)))
        assert 2 == server.calls["getMedia", STREAM]


@pytest.mark.parametrize("api", ["getDataEndpoint", "listFragments", "getMediaForFragmentList"])
async def test_every_api_can_be_refused(api: Any) -> None:
    async with emulating(take(), plan=faulty(Refuse(error="ServiceUnavailableException", api=api))) as (_, caller):
        call = {"getDataEndpoint": caller.endpoint(), "listFragments": caller.listed()}
        asked = call.pop(api, None) or caller.fragments([1])
        for other in call.values():
            other.close()
        assert ("ServiceUnavailableException", 503) == await refused(asked)


@pytest.mark.parametrize("place", [0, 1, 700, 20_000, 50_001])
async def test_connection_closes_after_exactly_so_many_bytes(place: int) -> None:
    async with emulating(take(), plan=faulty(Close(after_bytes=place, calls=(1,)))) as (server, _):
        cut, is_ended = await raw_media(server)
        whole, is_whole_ended = await raw_media(server)
    assert (False, True) == (is_ended, is_whole_ended)
    assert whole[:place] == cut


async def test_boto3_reports_a_reply_that_was_cut() -> None:
    async with emulating(take(), plan=faulty(Close(after_bytes=5_000))) as (_, caller):
        with pytest.raises(ResponseStreamingError):
            await caller.media(EARLIEST)


@pytest.mark.parametrize(("how", "packet"), [("close", "FIN"), ("reset", "RST")])
async def test_connection_ends_with_the_packet_that_was_planned(how: Any, packet: str) -> None:
    async with emulating(take(), plan=faulty(Close(how=how, after_fragments=2))) as (server, _):
        assert packet == await last_packet(server)


async def test_end_after_fragments_is_clean() -> None:
    async with emulating(take(), plan=faulty(Close(how="end", after_fragments=2))) as (server, caller):
        documents = seen.documents(await caller.media(EARLIEST))
    assert numbers(server)[:2] == [one.number for one in documents]
    assert all(one.is_whole for one in documents)


async def test_end_after_blocks_leaves_a_fragment_open() -> None:
    async with emulating(take(), plan=faulty(Close(how="end", after_blocks=5))) as (_, caller):
        (document,) = seen.documents(await caller.media(EARLIEST))
    assert 5 == len(document.blocks)
    assert not document.is_whole


async def test_reader_that_resumes_gets_every_fragment_once_whatever_is_cut() -> None:
    cuts = (
        Close(after_fragments=3, chance=0.5),
        Close(how="end", within_bytes=150_000),
        Close(how="reset", chance=0.1),
    )
    read: list[seen.Seen] = []
    async with emulating(take(900), plan=faulty(*cuts)) as (server, caller):
        while len(read) < len(numbers(server)):
            data, selector = b"", after(read[-1].number) if read else EARLIEST
            try:
                reply = await caller.open(selector)
                while chunk := await asyncio.to_thread(reply["Payload"].read, 1_024):
                    data += chunk
            except (ResponseStreamingError, ReadTimeoutError, OSError):
                pass
            read += [one for one in seen.documents(data) if one.is_whole]
        assert server.calls["getMedia", STREAM] > 10
    assert numbers(server) == [one.number for one in read]
    assert {"customer": noise(900), "agent": noise(900, 2)} == seen.pcm(read, START_MS)


async def test_stall_without_end_lasts_as_long_as_the_session() -> None:
    async with emulating(take(), plan=faulty(Stall(after_bytes=3_000, calls=(1,))), session_s=0.3) as (server, _):
        stalled, is_ended = await raw_media(server)
        whole, _ = await raw_media(server)
    assert is_ended
    assert whole[:3_000] == stalled


async def test_stall_holds_up_what_comes_after_it() -> None:
    async with emulating(take(), plan=faulty(Stall(after_bytes=3_000, for_s=0.3, calls=(1,)))) as (server, _):
        loop = asyncio.get_running_loop()
        asked = {"StreamName": STREAM, "StartSelector": EARLIEST}
        async with raw(f"{server.url}/getMedia", asked) as response:
            before = await response.content.readexactly(3_000)
            came_s = loop.time()
            rest = await response.content.readany()
            assert loop.time() - came_s > 0.2
            rest += await response.content.read()
        assert (before + rest, True) == await raw_media(server)


async def test_slow_start_holds_the_headers_up() -> None:
    async with emulating(take(), plan=faulty(SlowStart(for_s=0.2))) as (_, caller):
        begun_s = asyncio.get_running_loop().time()
        assert 6 == len(seen.documents(await caller.media(EARLIEST)))
        assert asyncio.get_running_loop().time() - begun_s >= 0.2


async def test_garbage_stands_between_the_bytes_and_is_the_same_each_time() -> None:
    plan = faulty(Garbage(after_bytes=9_000, count=333, calls=(1,)))
    runs = []
    for _ in range(2):
        async with emulating(take(), plan=plan) as (server, _):
            dirty, _ = await raw_media(server)
            clean, _ = await raw_media(server)
            runs.append(dirty)
    assert clean[:9_000] + clean[9_000:] == dirty[:9_000] + dirty[9_333:]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("error_id", [3002, 4000, 4500, 4506, 5000])
async def test_service_says_in_a_document_without_cluster_why_it_stops(error_id: Any) -> None:
    async with emulating(take(), plan=faulty(Report(error_id=error_id, after_fragments=2))) as (_, caller):
        documents = seen.documents(await caller.media(EARLIEST))
    assert 3 == len(documents)
    assert ("Tags",) == documents[-1].order
    assert str(error_id) == documents[-1].tags["AWS_KINESISVIDEO_ERROR_ID"]
    assert "AWS_KINESISVIDEO_ERROR_CODE" in documents[-1].tags


async def test_service_says_in_the_open_segment_why_it_stops() -> None:
    report = Report(error_id=5000, after_blocks=3, is_own_document=False)
    async with emulating(take(), plan=faulty(report)) as (_, caller):
        (document,) = seen.documents(await caller.media(EARLIEST))
    assert 3 == len(document.blocks)
    assert "5000" == document.tags["AWS_KINESISVIDEO_ERROR_ID"]


async def test_first_thing_may_be_an_error() -> None:
    async with emulating(take(), plan=faulty(Report(error_id=4500))) as (_, caller):
        (document,) = seen.documents(await caller.media(EARLIEST))
    assert ("Tags",) == document.order


async def test_faults_strike_the_archive_too() -> None:
    cut = Close(how="end", after_fragments=1, api="getMediaForFragmentList")
    async with emulating(take(), plan=faulty(cut)) as (server, caller):
        documents = seen.documents(await caller.fragments(numbers(server)))
    assert numbers(server)[:1] == [one.number for one in documents]
