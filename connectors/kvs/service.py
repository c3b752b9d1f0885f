"""The four calls of Kinesis Video Streams that a reader makes, over aiohttp.

Owns requests, the cached endpoints, the pace of a stream's requests, and which few kinds of failure there are. It
retries nothing: who reads decides (`reading.py`). Names and limits: the service models kinesisvideo,
kinesis-video-media and kinesis-video-archived-media of 2017-09-30.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp

from connectors.kvs.account import Account
from pipeline.errors import PeerUnavailable

# gone: the stream does not exist. refused: who we are. invalid: an argument, such as a fragment that is no more.
# throttled: too many requests or connections. moved: the endpoint is another one. passing: the service, or the way
# to it.
Kind = Literal["gone", "refused", "invalid", "throttled", "moved", "passing"]

REQUESTS_PER_S: Final = 5  # of each of the four to one stream (quotas page); here of all of them together
_WINDOW_S: Final = 1.1  # requests that leave within it may arrive within a second
_CONNECT_S: Final = 10.0
DEAD_S: Final = 20.0  # silence is sent as blocks, so a response that lives is never so long without a byte
_PAGE: Final = 1_000  # both the most fragments that a page lists and the most that a request may ask for

_PATHS: Final = {
    "GET_MEDIA": "/getMedia",
    "LIST_FRAGMENTS": "/listFragments",
    "GET_MEDIA_FOR_FRAGMENT_LIST": "/getMediaForFragmentList",
}
_KINDS: Final[dict[str, Kind]] = {
    "ClientLimitExceededException": "throttled",
    "ConnectionLimitExceededException": "throttled",
    "ThrottlingException": "throttled",
    "InvalidArgumentException": "invalid",
    "InvalidEndpointException": "moved",
    "ResourceNotFoundException": "gone",
}
_STATUSES: Final[dict[int, Kind]] = {401: "refused", 403: "refused", 404: "moved", 429: "throttled"}

Json = dict[str, object]


class StreamFailed(PeerUnavailable):
    """A request was refused, or its response cut."""

    def __init__(self, kind: Kind, reason: str) -> None:
        """Say what kind of failure it is and, in static text, what happened."""
        super().__init__(f"Kinesis Video Streams: {reason}")
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Listed:
    """A fragment that the archive has.

    Attributes:
        number: to ask for it.
        start_ms: epoch milliseconds by the producer's clock.
        length_ms: from its first block's start to the last one's end.
    """

    number: str
    start_ms: int
    length_ms: int


class Response:
    """Media as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        """Return what has arrived, as soon as anything has; nothing at a clean end.

        Raises:
            StreamFailed: the response is cut, closed, or dead.
        """
        try:
            return await self._response.content.readany()
        except TimeoutError:
            raise StreamFailed("passing", "nothing came for too long") from None
        except (aiohttp.ClientError, OSError):
            raise StreamFailed("passing", "the response was cut") from None

    def close(self) -> None:
        """Hang up; a `read` that waits fails."""
        self._response.close()


class Service:
    """Speaks with one stream. It may be shared by what reads this stream, so that the pace is."""

    def __init__(self, http: aiohttp.ClientSession, account: Account, stream: str, dead_s: float = DEAD_S) -> None:
        """Bind a stream.

        Args:
            http: shared by all streams; `session` makes one.
            account: who asks.
            stream: its name or ARN.
            dead_s: a response without a byte for so long is dead.
        """
        self._http = http
        self._account = account
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=dead_s)
        self._endpoints: dict[str, str] = {}
        self._asked_s: deque[float] = deque(maxlen=REQUESTS_PER_S)

    async def media(self, selector: Mapping[str, object]) -> Response:
        """Ask for the stream from a place on (GetMedia).

        Raises:
            StreamFailed: it was refused.
        """
        return Response(await self._ask("GET_MEDIA", {"StartSelector": selector}))

    async def listed(self, start_ms: int, end_ms: int) -> Sequence[Listed]:
        """Return the fragments that began within a time of the producer's clock, oldest first (ListFragments).

        Raises:
            StreamFailed: it was refused.
        """
        between = {"StartTimestamp": start_ms / 1_000, "EndTimestamp": end_ms / 1_000}
        asked: Json = {
            "MaxResults": _PAGE,
            "FragmentSelector": {"FragmentSelectorType": "PRODUCER_TIMESTAMP", "TimestampRange": between},
        }
        found: list[Listed] = []
        while True:
            answer = await self._answer("LIST_FRAGMENTS", asked)
            try:
                found += [
                    Listed(
                        str(one["FragmentNumber"]),
                        round(one["ProducerTimestamp"] * 1_000),
                        int(one["FragmentLengthInMilliseconds"]),
                    )
                    for one in answer["Fragments"]
                ]
            except (KeyError, TypeError, ValueError):
                raise StreamFailed("passing", "ListFragments answered in a form of its own") from None
            if not answer.get("NextToken"):
                return sorted(found, key=lambda one: (one.start_ms, int(one.number)))
            asked = asked | {"NextToken": answer["NextToken"]}

    async def archived(self, numbers: Sequence[str]) -> Response:
        """Ask for fragments, 1,000 at most (GetMediaForFragmentList).

        Raises:
            StreamFailed: it was refused.
        """
        return Response(await self._ask("GET_MEDIA_FOR_FRAGMENT_LIST", {"Fragments": list(numbers)}))

    async def renew(self) -> None:
        """Load the credentials afresh.

        Raises:
            PeerUnavailable: there are none any more.
        """
        await self._account.renew()

    async def _answer(self, api: str, asked: Json) -> dict[str, Any]:
        response = await self._ask(api, asked)
        return await _json(response)

    async def _ask(self, api: str, asked: Json) -> aiohttp.ClientResponse:
        """Post to the endpoint of an API; a failure that may be the endpoint's drops it."""
        endpoint = self._endpoints.get(api)
        if endpoint is None:
            endpoint = self._endpoints[api] = await self._find(api)
        try:
            return await self._post(endpoint + _PATHS[api], asked)
        except StreamFailed as failed:
            if failed.kind not in {"throttled", "invalid"}:
                self._endpoints.pop(api, None)
            raise

    async def _find(self, api: str) -> str:
        response = await self._post(f"{self._account.endpoint_url}/getDataEndpoint", {"APIName": api})
        endpoint = (await _json(response)).get("DataEndpoint")
        if not isinstance(endpoint, str):
            raise StreamFailed("passing", "GetDataEndpoint answered in a form of its own")
        return endpoint

    async def _post(self, url: str, asked: Json) -> aiohttp.ClientResponse:
        body = json.dumps(self._named | asked).encode()
        await self._wait()
        try:
            headers = await self._account.signed(url, body)
            response = await self._http.post(url, data=body, headers=headers, timeout=self._timeout)
        except PeerUnavailable as error:
            raise StreamFailed("passing", str(error)) from None
        except TimeoutError:
            raise StreamFailed("passing", "the endpoint does not answer") from None
        except (aiohttp.ClientError, OSError):
            raise StreamFailed("passing", "the endpoint cannot be reached") from None
        if response.status == 200:
            return response
        failed = _refusal(response)
        response.close()
        raise failed

    async def _wait(self) -> None:
        """Keep the pace: each request has its moment, in the order of asking."""
        now_s = asyncio.get_running_loop().time()
        is_full = len(self._asked_s) == REQUESTS_PER_S
        moment_s = max(now_s, self._asked_s[0] + _WINDOW_S) if is_full else now_s
        self._asked_s.append(moment_s)
        if moment_s > now_s:
            await asyncio.sleep(moment_s - now_s)


def session() -> aiohttp.ClientSession:
    """Return what streams share; it must be closed."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def _refusal(response: aiohttp.ClientResponse) -> StreamFailed:
    # The reference names the second header; the service sends the first.
    told = response.headers.get("x-amzn-ErrorType") or response.headers.get("x-amz-ErrorType") or ""
    name = told.partition(":")[0]
    kind = _KINDS.get(name) or _STATUSES.get(response.status, "passing")
    known = name if name.isascii() and name.isalnum() else "an error without a name"
    return StreamFailed(kind, f"{known}, status {response.status}")


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        answer = await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError):
        raise StreamFailed("passing", "the answer was cut or is no JSON") from None
    if not isinstance(answer, dict):
        raise StreamFailed("passing", "the answer is no JSON object")
    return answer
