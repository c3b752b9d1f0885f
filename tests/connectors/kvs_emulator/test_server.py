"""The four APIs over real sockets on loopback, asked by boto3 as it comes."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from connectors import files
from connectors.kvs_emulator import Serving, Take, play, serve
from connectors.kvs_emulator.faults import (
    Expire,
    Move,
)
from connectors.kvs_emulator.takes import push, ticks
from pipeline.cli import demo_file
from pipeline.errors import PeerUnavailable
from tests.connectors.kvs_emulator import seen
from tests.connectors.kvs_emulator.callers import (
    CONTACT,
    EARLIEST,
    SIGNED,
    START_MS,
    STREAM,
    TICK_BYTES,
    Caller,
    Clock,
    Json,
    after,
    emulating,
    faulty,
    noise,
    numbers,
    raw,
    refused,
    take,
)

pytestmark = pytest.mark.unit

OTHER = "00000000-0000-4000-8000-000000000002"
WAIT_S = 20  # of what must come; the machine is shared


def at(kind: str, after_ms: int) -> Json:
    return {"StartSelectorType": kind, "StartTimestamp": (START_MS + after_ms) / 1_000}


# Where a read begins


async def test_earliest_reads_everything_with_the_token_last() -> None:
    async with emulating(take()) as (server, caller):
        documents = seen.documents(await caller.media(EARLIEST))
    assert numbers(server) == [one.number for one in documents]
    assert {"customer": noise(100), "agent": noise(100, 2)} == seen.pcm(documents, START_MS)
    for one in documents:
        assert ("Tags", "Cluster", "Tags", "Tags") == one.order[-4:]
        assert ["AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "AWS_KINESISVIDEO_CONTINUATION_TOKEN"] == [*one.tag_groups[-1]]


async def test_live_reply_ends_a_fragment_as_the_fixture_does() -> None:
    (fixture,) = seen.fixture("connect_real_shape")
    async with emulating(Take(noise(2), noise(2), CONTACT, START_MS, identity="both")) as (_, caller):
        (document,) = seen.documents(await caller.media(EARLIEST))
    assert fixture.order == document.order
    assert [*fixture.tag_groups[-1]] == [*document.tag_groups[-1]]
    assert fixture.tag_groups[1].keys() == document.tag_groups[1].keys()


async def test_fragment_number_is_exclusive() -> None:
    async with emulating(take()) as (server, caller):
        documents = seen.documents(await caller.media(after(numbers(server)[2])))
    assert numbers(server)[3:] == [one.number for one in documents]


async def test_number_between_two_fragments_goes_on_with_the_later() -> None:
    async with emulating(take()) as (server, caller):
        documents = seen.documents(await caller.media(after(numbers(server)[2] + 1)))
    assert numbers(server)[3:] == [one.number for one in documents]


async def test_continuation_token_is_exclusive_too() -> None:
    async with emulating(take()) as (server, caller):
        first = seen.documents(await caller.media(EARLIEST))
        token = first[1].tags["AWS_KINESISVIDEO_CONTINUATION_TOKEN"]
        selector = {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": token}
        documents = seen.documents(await caller.media(selector))
    assert numbers(server)[2:] == [one.number for one in documents]


async def test_now_is_the_newest_fragment() -> None:
    async with emulating(take()) as (server, caller):
        documents = seen.documents(await caller.media({"StartSelectorType": "NOW"}))
    assert numbers(server)[-1:] == [one.number for one in documents]


@pytest.mark.parametrize("after_ms", [0, 1_000, 3_000, 5_000])
async def test_timestamps_mean_the_fragment_that_contains_them(after_ms: int) -> None:
    async with emulating(take()) as (server, caller):
        held = list(server.stream(STREAM).held())
        by_producer = seen.documents(await caller.media(at("PRODUCER_TIMESTAMP", after_ms)))
        by_server = seen.documents(await caller.media(at("SERVER_TIMESTAMP", after_ms)))
    moment = START_MS + after_ms
    assert by_producer[0].number == max(one.number for one in held if one.producer_ms <= moment)
    assert by_server[0].number == max([held[0].number, *(one.number for one in held if one.server_ms <= moment)])


async def test_timestamp_before_the_start_reads_from_the_start() -> None:
    async with emulating(take()) as (server, caller):
        documents = seen.documents(await caller.media(at("PRODUCER_TIMESTAMP", -2_000)))
    assert numbers(server) == [one.number for one in documents]


async def test_timestamp_between_two_contacts_begins_with_the_later() -> None:
    days_ms = 5 * 86_400_000
    later = take(20, OTHER, START_MS + days_ms)
    async with emulating(take(20), later, retention_s=1e9) as (_, caller):
        everything = seen.documents(await caller.media(EARLIEST))
        documents = seen.documents(await caller.media(at("PRODUCER_TIMESTAMP", days_ms // 2)))
    assert {CONTACT, OTHER} == {one.tags["ContactId"] for one in everything}
    assert {OTHER} == {one.tags["ContactId"] for one in documents}


async def test_reading_what_has_not_come_ends_without_a_byte() -> None:
    async with emulating(take()) as (server, caller):
        assert b"" == await caller.media(at("PRODUCER_TIMESTAMP", 3_600_000))
        assert b"" == await caller.media(after(numbers(server)[-1]))


async def test_retention_takes_fragments_away() -> None:
    clock = Clock()
    async with emulating(take(), clock=clock, retention_s=7_200) as (server, caller):
        arrived = {one.number: one.server_ms - START_MS for one in server.stream(STREAM).held()}
        clock.ms = START_MS + 7_200_000 + 3_000
        documents = seen.documents(await caller.media(EARLIEST))
    assert [number for number, ms in arrived.items() if ms >= 3_000] == [one.number for one in documents]
    assert 0 < len(documents) < len(arrived)


@pytest.mark.parametrize(
    "selector",
    [
        {"StartSelectorType": "FRAGMENT_NUMBER"},
        {"StartSelectorType": "PRODUCER_TIMESTAMP"},
        {"StartSelectorType": "SERVER_TIMESTAMP"},
        {"StartSelectorType": "CONTINUATION_TOKEN"},
        {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "never-given"},
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "12x"},
        {"StartSelectorType": "LATEST"},
        {},
    ],
    ids=str,
)
async def test_selector_that_makes_no_sense_is_refused(selector: Json) -> None:
    async with emulating(take()) as (server, _):
        asked = {"StreamName": STREAM, "StartSelector": selector}
        async with raw(f"{server.url}/getMedia", asked) as response:
            assert (400, "InvalidArgumentException") == (response.status, response.headers["x-amzn-ErrorType"])


# Live


async def test_blocks_come_while_their_fragment_is_open() -> None:
    steps = list(ticks(take(3)))
    async with emulating(idle_s=WAIT_S) as (server, _):
        stream = server.stream(STREAM)
        push(stream, steps[:1])
        asked = {"StreamName": STREAM, "StartSelector": {"StartSelectorType": "NOW"}}
        async with raw(f"{server.url}/getMedia", asked) as response, asyncio.timeout(WAIT_S):
            data = b""
            for sent in range(1, 4):
                while not data.endswith(steps[sent - 1].blocks[-1]) and sent < 3:
                    data += await response.content.readany()
                push(stream, steps[sent : sent + 1])
            while b"CONTINUATION_TOKEN" not in data:
                data += await response.content.readany()
    (document,) = seen.documents(data)
    assert 6 == len(document.blocks)


async def test_demo_call_comes_back_to_the_byte_while_it_is_pushed() -> None:
    call = files.read_call(demo_file("customer.wav"), demo_file("agent.wav"))
    whole = {"customer": call.customer.tobytes(), "agent": call.agent.tobytes()}
    live = Take(whole["customer"], whole["agent"], CONTACT, START_MS, order=("agent", "customer"))
    async with emulating(idle_s=1) as (server, caller):
        reading = asyncio.create_task(caller.media(EARLIEST))
        await play(server.stream(STREAM), live, speed=100)
        documents = seen.documents(await reading)
    assert whole == seen.pcm(documents, START_MS)


async def test_producer_may_hold_blocks_until_their_fragment_is_whole() -> None:
    async with emulating(idle_s=WAIT_S) as (server, _):
        stream = server.stream(STREAM)
        changes = []
        pushing = asyncio.create_task(play(stream, take(40), speed=20, is_by_fragment=True))
        while not pushing.done():
            await asyncio.wait((stream.changed(), pushing), return_when=asyncio.FIRST_COMPLETED)
            changes.append([len(one.blocks) for one in stream.held()])
    assert 80 == sum(changes[-1])
    assert set(changes[-1]) == {count for change in changes for count in change}


async def test_fragments_without_tags_stand_between_the_others() -> None:
    odd = replace(take(), untagged=(1, -1), anonymous=(2,))
    async with emulating(odd) as (server, caller):
        documents = seen.documents(await caller.media(EARLIEST))
        archived = seen.documents(await caller.fragments(numbers(server)))
    for read in (documents, archived):
        assert {"customer": noise(100), "agent": noise(100, 2)} == seen.pcm(read, START_MS)
        assert [1, 5] == [index for index, one in enumerate(read) if not one.tags]
        assert [0, 3, 4] == [index for index, one in enumerate(read) if "ContactId" in one.tags]


async def test_reader_far_behind_is_told_so_and_the_newest_is_not_behind() -> None:
    clock = Clock()
    async with emulating(take(), clock=clock) as (server, caller):
        documents = seen.documents(await caller.media(EARLIEST))
        held = list(server.stream(STREAM).held())
    behind = [int(one.tags["AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"]) for one in documents]
    assert [*(clock.ms - one.server_ms for one in held[:-1]), 0] == behind


async def test_session_ends_in_the_middle_of_a_fragment_without_a_word() -> None:
    steps = list(ticks(take(100)))
    async with emulating(session_s=0.3, idle_s=WAIT_S) as (server, caller):
        push(server.stream(STREAM), steps[:55])
        documents = seen.documents(await caller.media(EARLIEST))
        assert [True, True, True, False] == [one.is_whole for one in documents]
        push(server.stream(STREAM), steps[55:])
        again = seen.documents(await caller.media(after(documents[2].number)))
    assert documents[3].number == again[0].number
    assert {"customer": noise(100), "agent": noise(100, 2)} == seen.pcm([*documents[:3], *again], START_MS)


async def test_idle_limit_counts_from_the_last_block() -> None:
    async with emulating(idle_s=1) as (server, caller):
        loop = asyncio.get_running_loop()
        reading = asyncio.create_task(caller.media(EARLIEST))
        await play(server.stream(STREAM), take(16), speed=2)
        pushed_s = loop.time()
        (document,) = seen.documents(await reading)
    assert 32 == len(document.blocks)
    assert loop.time() - pushed_s >= 0.9


# Limits


async def test_fourth_connection_is_refused_until_one_hangs_up() -> None:
    # So little that all of it has been sent: no write tells the server that a reader has gone.
    async with emulating(take(2), idle_s=3_600) as (_, caller):
        replies = [await caller.open(EARLIEST) for _ in range(3)]
        assert ("ConnectionLimitExceededException", 400) == await refused(caller.open(EARLIEST))
        replies[1]["Payload"].close()
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    replies[1] = await caller.open(EARLIEST)
                    break
                except ClientError:
                    continue
        for reply in replies:
            reply["Payload"].close()


async def test_sixth_call_within_a_second_is_refused() -> None:
    async with emulating(take(), calls_per_s=5) as (server, caller):
        for _ in range(5):
            await caller.listed()
        assert ("ClientLimitExceededException", 400) == await refused(caller.listed())
        assert STREAM in server.stream(STREAM).arn
        await caller.endpoint()  # each API has a limit of its own


# The archive


async def test_list_has_every_fragment_once_over_its_pages() -> None:
    async with emulating(take(200)) as (server, caller):
        pages = await caller.pages(5)
        held = {str(one.number): one for one in server.stream(STREAM).held()}
    assert [5, 5, 2] == list(map(len, pages))
    listed = {one["FragmentNumber"]: one for page in pages for one in page}
    assert held.keys() == listed.keys()
    for number, one in listed.items():
        assert held[number].producer_ms == round(one["ProducerTimestamp"].timestamp() * 1_000)
        assert held[number].server_ms == round(one["ServerTimestamp"].timestamp() * 1_000)
        assert held[number].length_ms == one["FragmentLengthInMilliseconds"]
        assert one["FragmentSizeInBytes"] > len(held[number].blocks) * TICK_BYTES


async def test_order_within_a_page_is_not_that_of_the_stream() -> None:
    async with emulating(take(200)) as (_, caller):
        listed = [int(one["FragmentNumber"]) for one in (await caller.listed())["Fragments"]]
    assert sorted(listed) != listed


@pytest.mark.parametrize("kind", ["PRODUCER_TIMESTAMP", "SERVER_TIMESTAMP"])
async def test_list_is_bounded_by_timestamps(kind: str) -> None:
    start_s, end_s = START_MS // 1_000 + 2, START_MS // 1_000 + 5
    between = {"StartTimestamp": start_s, "EndTimestamp": end_s}
    async with emulating(take()) as (server, caller):
        reply = await caller.listed(FragmentSelector={"FragmentSelectorType": kind, "TimestampRange": between})
        held = list(server.stream(STREAM).held())
    times = {one.number: one.producer_ms if kind.startswith("P") else one.server_ms for one in held}
    expected = {number for number, ms in times.items() if start_s * 1_000 <= ms <= end_s * 1_000}
    assert expected == {int(one["FragmentNumber"]) for one in reply["Fragments"]}
    assert 0 < len(expected) < len(held)


async def test_fragment_is_listed_some_time_after_its_end() -> None:
    clock = Clock()
    async with emulating(take(), clock=clock, listed_after_s=0.5) as (server, caller):
        assert [] == (await caller.listed())["Fragments"]
        clock.ms += 500
        assert len(numbers(server)) == len((await caller.listed())["Fragments"])


async def test_token_of_no_page_is_refused() -> None:
    async with emulating(take()) as (_, caller):
        assert ("InvalidArgumentException", 400) == await refused(caller.listed(NextToken="AAAA"))


async def test_fragments_are_read_by_number_with_other_tags() -> None:
    async with emulating(take()) as (server, caller):
        wanted = [numbers(server)[4], numbers(server)[1]]
        documents = seen.documents(await caller.fragments(wanted))
    assert wanted == [one.number for one in documents]
    service = {name for one in documents for name in one.tags if name.startswith("AWS_")}
    stamps = {f"AWS_KINESISVIDEO_{side}_SIDE_TIMESTAMP" for side in ("SERVER", "PRODUCER")}
    assert {"AWS_KINESISVIDEO_FRAGMENT_NUMBER", *stamps} == service
    assert {CONTACT} == {one.tags["ContactId"] for one in documents}


async def test_fragment_that_is_not_there_ends_the_reply_with_an_exception() -> None:
    async with emulating(take()) as (server, caller):
        first, second = numbers(server)[:2]
        documents = seen.documents(await caller.fragments([first, first + 1, second]))
    assert [first, first + 1] == [one.number for one in documents]
    assert "4000" == documents[1].tags["AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE"]
    assert "AWS_KINESISVIDEO_EXCEPTION_MESSAGE" in documents[1].tags
    assert "Cluster" not in documents[1].order


async def test_a_thousand_fragments_may_be_asked_and_no_more() -> None:
    async with emulating(take(1)) as (server, caller):
        (one,) = numbers(server)
        assert 1_000 == len(seen.documents(await caller.fragments([one] * 1_000)))
        assert ("InvalidArgumentException", 400) == await refused(caller.fragments([one] * 1_001))


# Streams, endpoints, signatures


async def test_stream_has_a_name_and_an_arn_and_others_do_not_exist() -> None:
    async with emulating(take()) as (server, caller):
        by_arn = {"StreamARN": server.stream(STREAM).arn, "StartSelector": EARLIEST}
        async with raw(f"{server.url}/getMedia", by_arn) as response:
            assert (200, "video/webm") == (response.status, response.headers["Content-Type"])
        assert ("ResourceNotFoundException", 404) == await refused(caller.media(EARLIEST, "none"))
        both = by_arn | {"StreamName": STREAM}
        for body in (both, {"StartSelector": EARLIEST}, b"no json", {}):
            async with raw(f"{server.url}/getMedia", body) as response:
                assert (400, "InvalidArgumentException") == (response.status, response.headers["x-amzn-ErrorType"])


@pytest.mark.parametrize("api", ["GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"])
async def test_endpoint_is_the_emulators_own(api: str) -> None:
    async with emulating(take()) as (server, caller):
        assert server.url == await caller.endpoint(api=api)
        assert ("InvalidArgumentException", 400) == await refused(caller.endpoint(api="PUT_WISHES"))


async def test_endpoint_that_moved_is_found_by_asking_again() -> None:
    async with emulating(take(), plan=faulty(Move(calls=(2,)))) as (_, caller):
        old = await caller.endpoint()
        first = await Caller(old).media(EARLIEST)
        for _ in range(2):
            assert ("InvalidEndpointException", 400) == await refused(Caller(old).media(EARLIEST))
        moved = await caller.endpoint()
        assert moved != old
        assert first == await Caller(moved).media(EARLIEST)
        assert 6 == len((await Caller(moved).listed())["Fragments"])


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Authorization": ""}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Basic YW55"}, "IncompleteSignatureException"),
        ({"X-Amz-Date": ""}, "IncompleteSignatureException"),
        ({"Authorization": SIGNED["Authorization"].replace("kinesisvideo", "s3")}, "IncompleteSignatureException"),
    ],
)
async def test_unsigned_request_is_refused(headers: dict[str, str], name: str) -> None:
    async with emulating(take()) as (server, _):
        for path in ("getDataEndpoint", "getMedia", "listFragments", "getMediaForFragmentList", "other"):
            async with raw(f"{server.url}/{path}", {"StreamName": STREAM}, **headers) as response:
                assert (403, name) == (response.status, response.headers["x-amzn-ErrorType"])


async def test_refusal_has_both_error_headers_and_a_request_id() -> None:
    async with emulating(take()) as (server, _):
        async with raw(f"{server.url}/getMedia", {"StreamName": "none", "StartSelector": EARLIEST}) as response:
            assert "ResourceNotFoundException" == response.headers["x-amzn-ErrorType"]
            assert "ResourceNotFoundException" == response.headers["x-amz-ErrorType"]
            first = response.headers["x-amzn-RequestId"]
        async with raw(f"{server.url}/nothing", {}) as response:
            assert (404, "UnknownOperationException") == (response.status, response.headers["x-amzn-ErrorType"])
            assert first != response.headers["x-amzn-RequestId"]


@pytest.mark.parametrize(("status", "name"), [(403, "ExpiredTokenException"), (401, "NotAuthorizedException")])
async def test_expired_token_is_refused_until_another_comes(status: Any, name: str) -> None:
    async with emulating(take(), plan=faulty(Expire(calls=(2,), status=status))) as (server, _):
        old = Caller(server.url, token="old")
        await old.media(EARLIEST)
        assert (name, status) == await refused(old.media(EARLIEST))
        assert (name, status) == await refused(old.endpoint())
        assert b"" != await Caller(server.url, token="fresh").media(EARLIEST)


# The process


async def test_port_that_is_taken_is_said() -> None:
    async with serve() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(PeerUnavailable, match=f"port {port}"):
            async with serve(Serving(port=port)):
                pass


async def test_open_replies_are_cut_when_the_server_stops() -> None:
    async with asyncio.timeout(WAIT_S):
        async with emulating(take(), idle_s=3_600) as (_, caller):
            reply = await caller.open(EARLIEST)
        with pytest.raises(ResponseStreamingError):
            await asyncio.to_thread(reply["Payload"].read)
