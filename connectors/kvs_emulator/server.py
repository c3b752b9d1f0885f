"""The HTTP face: four APIs of Kinesis Video Streams, as unmodified clients of AWS speak them.

    POST /getDataEndpoint            where a stream answers
    POST /getMedia                   media from a place on, live
    POST /listFragments              what is held
    POST /getMediaForFragmentList    some of it

Owns admission: signature, throttling, connection limits, and the faults that come before a reply.
"""

import asyncio
import random
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from connectors.kvs_emulator import requests
from connectors.kvs_emulator.connection import Outlet, Reply, send_list
from connectors.kvs_emulator.faults import Api, Expire, Fault, Faults, Move, Plan, Refuse, SlowStart
from connectors.kvs_emulator.fragments import Stream
from connectors.kvs_emulator.requests import Request, refusal

_TOKEN: Final = "X-Amz-Security-Token"  # noqa: S105  # the name of a header
_PER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service bounds; the defaults are those of its quotas page and of the field.

    Attributes:
        calls_per_s: of one API on one stream.
        connections: of getMedia to one stream at once.
        list_connections: of getMediaForFragmentList.
        session_s: the length of a getMedia reply; 45 minutes were seen, ended without a word.
        idle_s: a reply ends after so long without media. What the service does is not known.
        listed_after_s: listing is eventually consistent: a fragment is listed so long after its end.
        retention_s: how long a fragment can be read; a day is what Connect gives at least. A live stream of 1,000 s
            takes 33 MB of memory.
    """

    calls_per_s: int = 5
    connections: int = 3
    list_connections: int = 5
    session_s: float = 2_700.0
    idle_s: float = 10.0
    listed_after_s: float = 0.5
    retention_s: float = 86_400.0


class Server:
    """Serves streams to clients.

    Owns which calls are admitted and counts them. What streams hold is pushed from outside.
    """

    def __init__(self, limits: Limits, plan: Plan, now_ms: Callable[[], int]) -> None:
        """Bind the server to its limits and faults.

        Args:
            limits: of every stream.
            plan: what goes wrong.
            now_ms: the clock of retention and listing, epoch milliseconds.
        """
        self.url = ""
        self.calls: Counter[tuple[Api, str]] = Counter()
        self._limits = limits
        self._plan = plan
        self._now_ms = now_ms
        self._streams: dict[str, Stream] = {}
        self._moves: Counter[str] = Counter()
        self._expired: dict[str, int] = {}
        self._recent: defaultdict[tuple[Api, str], deque[float]] = defaultdict(deque)
        self._open: Counter[tuple[Api, str]] = Counter()

    def stream(self, name: str) -> Stream:
        """Return a stream; it is made when it is first asked for."""
        if name not in self._streams:
            self._streams[name] = Stream(name, self._limits.retention_s, self._now_ms, self._plan.seed)
        return self._streams[name]

    def move(self, name: str) -> None:
        """Move a stream's data endpoint: the address that it had refuses from here on."""
        self._moves[name] += 1

    def expire(self, token: str, status: int = 403) -> None:
        """Let a security token expire: 403 is what AWS says of it, 401 what the service's reference says."""
        self._expired[token] = status

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application()
        app.router.add_post("/getDataEndpoint", self._get_data_endpoint)
        for place in ("", "/{place}"):
            app.router.add_post(f"{place}/getMedia", self._get_media)
            app.router.add_post(f"{place}/listFragments", self._list_fragments)
            app.router.add_post(f"{place}/getMediaForFragmentList", self._get_media_for_fragment_list)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        app.on_response_prepare.append(_add_request_id)
        return app

    async def _get_data_endpoint(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request, requests.GetDataEndpoint)
        stream = self._named(asked)
        await self._admit("getDataEndpoint", stream, request)
        return web.json_response({"DataEndpoint": self.url + self._place(stream)})

    async def _get_media(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request, requests.GetMedia)
        stream = self._named(asked)
        faults = await self._admit("getMedia", stream, request)
        is_wanted = requests.wanted(asked.start_selector, stream)
        limits = self._limits
        async with self._connected("getMedia", stream, limits.connections, "ConnectionLimitExceededException"):
            outlet = Outlet(request, faults)
            with suppress(ConnectionError):  # the reader is gone
                await outlet.begin()
                await Reply(outlet, stream, limits.session_s, limits.idle_s).follow(is_wanted)
        return outlet.response

    async def _list_fragments(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request, requests.ListFragments)
        stream = self._named(asked)
        await self._admit("listFragments", stream, request)
        is_listed, after = requests.listed(asked.fragment_selector), requests.page_start(asked.next_token)
        until_s = self._now_ms() / 1_000 - self._limits.listed_after_s
        found = [
            one
            for one in stream.held()
            if one.closed_at_s is not None and one.closed_at_s <= until_s and one.number > after and is_listed(one)
        ]
        page = found[: asked.max_results]
        answer: dict[str, object] = {}
        if len(found) > len(page):
            answer["NextToken"] = requests.page_token(page[-1].number)
        # The service promises no order within a page.
        random.Random(after).shuffle(page)
        answer["Fragments"] = [
            {
                "FragmentNumber": str(one.number),
                "FragmentSizeInBytes": one.size_bytes,
                "ProducerTimestamp": one.producer_ms / 1_000,
                "ServerTimestamp": one.server_ms / 1_000,
                "FragmentLengthInMilliseconds": one.length_ms,
            }
            for one in page
        ]
        return web.json_response(answer)

    async def _get_media_for_fragment_list(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request, requests.GetMediaForFragmentList)
        stream = self._named(asked)
        faults = await self._admit("getMediaForFragmentList", stream, request)
        held = {one.number: one for one in stream.held() if one.is_closed}
        found = [(int(number), held.get(int(number))) for number in asked.fragments]
        limit = self._limits.list_connections
        async with self._connected("getMediaForFragmentList", stream, limit, "ClientLimitExceededException"):
            outlet = Outlet(request, faults)
            with suppress(ConnectionError):
                await outlet.begin()
                await send_list(outlet, found)
        return outlet.response

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        requests.check_signature(request.headers)
        raise refusal("UnknownOperationException")

    async def _read(self, request: web.Request, kind: type[requests.T]) -> requests.T:
        requests.check_signature(request.headers)
        status = self._expired.get(request.headers.get(_TOKEN, ""))
        if status is not None:
            raise _expired(status)
        return requests.decode(await request.read(), kind)

    def _named(self, asked: Request) -> Stream:
        for stream in self._streams.values():
            if asked.stream_name == stream.name or asked.stream_arn == stream.arn:
                return stream
        raise refusal("ResourceNotFoundException")

    def _place(self, stream: Stream) -> str:
        moves = self._moves[stream.name]
        return f"/moved-{moves}" if moves else ""

    async def _admit(self, api: Api, stream: Stream, request: web.Request) -> Faults:
        """Throttle, let the faults happen that come before a reply, and refuse an endpoint that has moved."""
        self.calls[api, stream.name] += 1
        self._throttle(api, stream)
        faults = self._plan.of(api, stream.name, self.calls[api, stream.name])
        for fault in faults.before():
            await self._happen(fault, stream, request)
        at = request.match_info.get("place", "")
        if api != "getDataEndpoint" and self._place(stream) != (f"/{at}" if at else ""):
            raise refusal("InvalidEndpointException")
        return faults

    def _throttle(self, api: Api, stream: Stream) -> None:
        recent, now_s = self._recent[api, stream.name], time.monotonic()
        while recent and recent[0] <= now_s - _PER_S:
            recent.popleft()
        if len(recent) >= self._limits.calls_per_s:
            raise refusal("ClientLimitExceededException")
        recent.append(now_s)

    async def _happen(self, fault: Fault, stream: Stream, request: web.Request) -> None:
        match fault:
            case Refuse():
                raise refusal(fault.error, fault.status)
            case Expire():
                self.expire(request.headers.get(_TOKEN, ""), fault.status)
                raise _expired(fault.status)
            case Move():
                self.move(stream.name)
            case SlowStart():
                await asyncio.sleep(fault.for_s)

    @asynccontextmanager
    async def _connected(self, api: Api, stream: Stream, limit: int, error: str) -> AsyncIterator[None]:
        """Count a connection while it is open, and refuse one too many."""
        if self._open[api, stream.name] >= limit:
            raise refusal(error)
        self._open[api, stream.name] += 1
        try:
            yield
        finally:
            self._open[api, stream.name] -= 1


def _expired(status: int) -> web.HTTPException:
    return refusal("ExpiredTokenException" if status == 403 else "NotAuthorizedException")


async def _add_request_id(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
