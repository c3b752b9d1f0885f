"""What a handshake asks for, and how it is refused.

Owns the query parameters of both paths; parameters that change no behaviour here are accepted unread.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from topics.records import SAMPLE_RATE_HZ

Status = Literal[400, 401, 402, 403, 404, 408, 429, 500, 502, 503, 504]
# What the service says (err_code, err_msg) with each status; those without an entry come from a proxy.
_REASONS: Final[dict[int, tuple[str, str]]] = {
    400: ("Bad Request", "The request is not understood."),
    401: ("INVALID_AUTH", "Invalid credentials."),
    402: ("ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request."),
    403: ("INSUFFICIENT_PERMISSIONS", "User does not have sufficient permissions."),
    429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later."),
}
_DEFAULT_ENDPOINTING_MS: Final = 10  # developers.deepgram.com/docs/endpointing
_DEFAULT_EOT_TIMEOUT_MS: Final = 5_000  # developers.deepgram.com/docs/flux/configuration, as the two thresholds
_DEFAULT_EOT_THRESHOLD: Final = 0.7


@dataclass(frozen=True, slots=True)
class Format:
    """The audio of a connection.

    Attributes:
        encoding: as asked; empty when it was left to the audio itself.
        channels: interleaved.
        is_multichannel: each is heard by itself; otherwise they are mixed.
    """

    encoding: str
    channels: int
    is_multichannel: bool


@dataclass(frozen=True, slots=True)
class ListenV1:
    """A question to `/v1/listen`.

    Attributes:
        format: of the audio.
        model: answered as given.
        is_interim: results are wanted before they are final.
        endpointing_ms: a pause of this length ends an utterance; None never does.
        utterance_end_ms: a pause between words of this length is told; None is not.
        has_vad_events: the start of speech is told.
    """

    format: Format
    model: str
    is_interim: bool
    endpointing_ms: int | None
    utterance_end_ms: int | None
    has_vad_events: bool


@dataclass(frozen=True, slots=True)
class ListenV2:
    """A question to `/v2/listen`.

    Attributes:
        format: of the audio, one channel.
        eot_threshold: a turn ends when this confidence is reached; 1 never is.
        eager_eot_threshold: an early end of turn is told at this one; None never.
        eot_timeout_ms: a turn ends after so long a silence in any case.
        keyterms: answered as given.
    """

    format: Format
    eot_threshold: float
    eager_eot_threshold: float | None
    eot_timeout_ms: int
    keyterms: tuple[str, ...]


def read_v1(request: web.Request) -> ListenV1:
    """Read the parameters of `/v1/listen`; raises a refusal with 400."""
    query = request.query
    try:
        return ListenV1(
            _format(query),
            query.get("model", "base"),
            _flag(query, "interim_results"),
            _endpointing(query.get("endpointing", str(_DEFAULT_ENDPOINTING_MS))),
            _optional_int(query, "utterance_end_ms"),
            _flag(query, "vad_events"),
        )
    except ValueError as error:
        raise refusal(400, str(error)) from None


def read_v2(request: web.Request) -> ListenV2:
    """Read the parameters of `/v2/listen`; raises a refusal with 400."""
    query = request.query
    try:
        if not query.get("model", "").startswith("flux-"):
            raise ValueError("/v2/listen serves models of the flux family")
        eager = query.get("eager_eot_threshold")
        return ListenV2(
            _format(query),
            float(query.get("eot_threshold", _DEFAULT_EOT_THRESHOLD)),
            None if eager is None else float(eager),
            int(query.get("eot_timeout_ms", _DEFAULT_EOT_TIMEOUT_MS)),
            tuple(query.getall("keyterm", ())),
        )
    except ValueError as error:
        raise refusal(400, str(error)) from None


def key(headers: Mapping[str, str]) -> str:
    """Return the key or token that a request carries; empty when it carries none."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("token", "bearer") else ""


def refusal(status: int, detail: str = "") -> web.HTTPException:
    """Return a refused handshake: the error stands in the body and in `dg-error`."""
    code, said = _REASONS.get(status, ("", ""))
    request_id = str(uuid.uuid4())
    said = detail or said

    class _Refusal(web.HTTPException):
        status_code = status

    return _Refusal(
        headers={"dg-request-id": request_id, "dg-error": said},
        text=json.dumps({"err_code": code, "err_msg": said, "request_id": request_id}),
        content_type="application/json",
    )


def _format(query: Mapping[str, str]) -> Format:
    encoding = query.get("encoding", "")
    rate_hz = query.get("sample_rate", "")
    if encoding and rate_hz != str(SAMPLE_RATE_HZ):
        raise ValueError("raw audio is heard at a sample_rate of 8000 alone")
    channels = int(query.get("channels", "1"))
    if not 1 <= channels <= 2:
        raise ValueError("a call has one or two channels")
    return Format(encoding, channels, _flag(query, "multichannel"))


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise ValueError(f"{name} is true or false")
    return value == "true"


def _optional_int(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if value is None or value == "false":
        return None
    return int(value)


def _endpointing(value: str) -> int | None:
    if value == "true":
        return _DEFAULT_ENDPOINTING_MS
    return None if value == "false" else int(value)
