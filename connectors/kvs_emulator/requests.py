"""What the APIs are asked, and the service's answers when it refuses.

Owns the form of requests: every mistake of a caller is found here. Field names, patterns and limits: the service
models kinesisvideo, kinesis-video-media and kinesis-video-archived-media of 2017-09-30. Unknown fields are ignored,
as the service does.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from aiohttp import web

from connectors.kvs_emulator.fragments import Fragment, Stream

T = TypeVar("T", bound="Request")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[a-zA-Z0-9_.-]+$")]
_Arn = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1024,
        pattern=r"^arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+$",
    ),
]
_FragmentNumber = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[0-9]+$")]
_Token = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+$")]

# Names and statuses: the same models; the last four are common errors of AWS.
_REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "ClientLimitExceededException": (400, "Too many requests for this stream."),
    "ConnectionLimitExceededException": (400, "Too many connections to this stream."),
    "InvalidArgumentException": (400, "An argument is not valid."),
    "InvalidEndpointException": (400, "The caller used the wrong endpoint; get it again."),
    "NotAuthorizedException": (401, "The caller is not authorized, or the token has expired."),
    "ResourceNotFoundException": (404, "The stream does not exist."),
    "AccessDeniedException": (403, "The caller is denied access."),
    "ExpiredTokenException": (403, "The security token included in the request is expired."),
    "IncompleteSignatureException": (403, "The request's signature is not that of Signature Version 4."),
    "MissingAuthenticationTokenException": (403, "The request is not signed."),
    "UnknownOperationException": (404, "There is no such operation."),
    "InternalFailureException": (500, "The service failed."),
    "ServiceUnavailableException": (503, "The service is not available."),
}
_HTTP: Final[dict[int, type[web.HTTPException]]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    500: web.HTTPInternalServerError,
    503: web.HTTPServiceUnavailable,
}
_SIGNATURE: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/\s]+/\d{8}/[a-z0-9-]+/(?P<service>[a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)
_SERVICE: Final = "kinesisvideo"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every API is asked: about which stream."""

    stream_name: _Name | None = msgspec.field(name="StreamName", default=None)
    stream_arn: _Arn | None = msgspec.field(name="StreamARN", default=None)

    def __post_init__(self) -> None:
        """Refuse a request that names no stream, or two."""
        if (self.stream_name is None) == (self.stream_arn is None):
            raise ValueError("StreamName or StreamARN")


class GetDataEndpoint(Request, frozen=True, kw_only=True):
    """Where does a stream answer?"""

    api_name: Literal[
        "PUT_MEDIA",
        "GET_MEDIA",
        "LIST_FRAGMENTS",
        "GET_MEDIA_FOR_FRAGMENT_LIST",
        "GET_HLS_STREAMING_SESSION_URL",
        "GET_DASH_STREAMING_SESSION_URL",
        "GET_CLIP",
        "GET_IMAGES",
    ] = msgspec.field(name="APIName")


class StartSelector(msgspec.Struct, frozen=True, rename="pascal"):
    """Where a stream is read from."""

    start_selector_type: Literal[
        "FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP", "NOW", "EARLIEST", "CONTINUATION_TOKEN"
    ]
    after_fragment_number: _FragmentNumber | None = None
    start_timestamp: float | None = None
    continuation_token: _Token | None = None


class GetMedia(Request, frozen=True, kw_only=True):
    """Read a stream from a place on."""

    start_selector: StartSelector = msgspec.field(name="StartSelector")


class TimestampRange(msgspec.Struct, frozen=True, rename="pascal"):
    """Epoch seconds, both ends included."""

    start_timestamp: float
    end_timestamp: float


class FragmentSelector(msgspec.Struct, frozen=True, rename="pascal"):
    """Which fragments are listed."""

    fragment_selector_type: Literal["PRODUCER_TIMESTAMP", "SERVER_TIMESTAMP"]
    timestamp_range: TimestampRange


class ListFragments(Request, frozen=True, kw_only=True):
    """Which fragments are there? The default of a page is the API reference's."""

    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] = msgspec.field(name="MaxResults", default=100)
    next_token: str | None = msgspec.field(name="NextToken", default=None)
    fragment_selector: FragmentSelector | None = msgspec.field(name="FragmentSelector", default=None)


class GetMediaForFragmentList(Request, frozen=True, kw_only=True):
    """Read these fragments."""

    fragments: Annotated[tuple[_FragmentNumber, ...], msgspec.Meta(min_length=1, max_length=1000)] = msgspec.field(
        name="Fragments"
    )


def refusal(name: str, status: int | None = None) -> web.HTTPException:
    """Return the service's answer to raise; `status` replaces the error's usual one."""
    usual, message = _REFUSALS[name]
    # The reference names the second header; clients of AWS read the first.
    headers = {"x-amzn-ErrorType": name, "x-amz-ErrorType": name}
    body = json.dumps({"Message": message})
    return _HTTP[status or usual](headers=headers, text=body, content_type="application/json")


def decode(body: bytes, kind: type[T]) -> T:
    """Read a request or refuse it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise refusal("InvalidArgumentException") from None


def check_signature(headers: Mapping[str, str]) -> None:
    """Refuse what does not look signed. The signature itself is not computed: any credentials will do."""
    if "Authorization" not in headers:
        raise refusal("MissingAuthenticationTokenException")
    signed = _SIGNATURE.fullmatch(headers["Authorization"])
    if signed is None or signed["service"] != _SERVICE or "X-Amz-Date" not in headers:
        raise refusal("IncompleteSignatureException")


def wanted(selector: StartSelector, stream: Stream) -> Callable[[Fragment], bool]:
    """Return what tells the fragment that a read begins with; the first for which it holds is the one.

    A fragment number and a token are exclusive: the fragment that they name is not read. A timestamp means the
    fragment that contains it, else the next one.
    """
    match selector:
        case StartSelector("EARLIEST", None, None, None):
            return lambda _: True
        case StartSelector("NOW", None, None, None):
            newest = stream.newest.number if stream.newest else 0
            return lambda fragment: fragment.number >= newest
        case StartSelector("FRAGMENT_NUMBER", str(after), None, None):
            return _after(int(after))
        case StartSelector("CONTINUATION_TOKEN", None, None, str(token)):
            return _after(_number_of(token))
        case StartSelector("PRODUCER_TIMESTAMP", None, float(start_s), None):
            return lambda fragment: _reaches(fragment, fragment.producer_ms, start_s * 1_000)
        case StartSelector("SERVER_TIMESTAMP", None, float(start_s), None):
            return lambda fragment: _reaches(fragment, fragment.server_ms, start_s * 1_000)
    raise refusal("InvalidArgumentException")


def listed(selector: FragmentSelector | None) -> Callable[[Fragment], bool]:
    """Return what tells whether a fragment is listed: by its own timestamp."""
    if selector is None:
        return lambda _: True
    is_server, between = selector.fragment_selector_type == "SERVER_TIMESTAMP", selector.timestamp_range
    start_ms, end_ms = between.start_timestamp * 1_000, between.end_timestamp * 1_000
    return lambda fragment: start_ms <= (fragment.server_ms if is_server else fragment.producer_ms) <= end_ms


def page_token(last: int) -> str:
    """Return the token of the page after a fragment number."""
    return base64.b64encode(str(last).encode()).decode()


def page_start(token: str | None) -> int:
    """Return the fragment number after which a page begins."""
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError:
        raise refusal("InvalidArgumentException") from None


def _after(number: int) -> Callable[[Fragment], bool]:
    return lambda fragment: fragment.number > number


def _reaches(fragment: Fragment, from_ms: int, at_ms: float) -> bool:
    return not fragment.is_closed or from_ms + fragment.length_ms > at_ms


def _number_of(token: str) -> int:
    _, _, digits = token.partition("after.")
    try:
        return int(digits, 16)
    except ValueError:
        raise refusal("InvalidArgumentException") from None
