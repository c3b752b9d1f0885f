"""Callers of the double: what it can hear, the SDK as it comes, and bare sockets for what the SDK does not show."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from socket import SHUT_RDWR
from typing import Any

import aiohttp
import numpy as np
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

from connectors.deepgram_double import Limits, Plan, Script, Server, Serving, serve
from connectors.deepgram_double.faults import Fault
from connectors.deepgram_double.messages import Said
from connectors.deepgram_double.script import Spoken, Voice
from pipeline.audio.pcm import Samples
from topics.records import SAMPLES_PER_MS, Track

Json = dict[str, Any]  # a message on the wire

LENGTH_MS = 8_000
KEY = "a key"
ASKED = {"encoding": "linear16", "sample_rate": "8000", "model": "nova-3"}
# Text, start and end in milliseconds; between "one" and "two" is a pause of 900 ms.
SAID: dict[Track, tuple[tuple[str, int, int], ...]] = {
    "customer": (("zero", 300, 700), ("one", 750, 1_100), ("two", 2_000, 2_400), ("three", 2_450, 2_900)),
    "agent": (("four", 3_100, 3_500), ("five", 5_000, 5_600)),
}
WAIT_S = 10  # of what must come; the machine is shared


def noise(track: Track) -> Samples:
    """Return the samples of a track: nothing in it stands there twice."""
    seed = {"customer": 1, "agent": 2}[track]
    return np.random.default_rng(seed).integers(-8_000, 8_000, LENGTH_MS * SAMPLES_PER_MS, np.int16)


def script(latency_s: float = 0.0) -> Script:
    return Script({track: voice(noise(track), words) for track, words in SAID.items()}, latency_s)


def voice(samples: Samples, words: Iterable[tuple[str, int, int]]) -> Voice:
    spoken = (Spoken(text, start * SAMPLES_PER_MS, end * SAMPLES_PER_MS) for text, start, end in words)
    return Voice(samples.astype(np.int32), tuple(spoken))


def pcm(track: Track = "customer", start_ms: int = 0, end_ms: int = LENGTH_MS) -> bytes:
    return noise(track)[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS].tobytes()


def silence(length_ms: int) -> bytes:
    return bytes(length_ms * SAMPLES_PER_MS * 2)


def mu_law(samples: Samples) -> bytes:
    """Encode as G.711 has it: clipped, biased by 132, the exponent and four bits."""
    magnitude = np.minimum(np.abs(samples.astype(np.int32)), 32_635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = (samples < 0) << 7 | exponent << 4 | magnitude >> exponent + 3 & 15
    return bytes((~code).astype(np.uint8))


def a_law(samples: Samples) -> bytes:
    """Encode as most programs do: 13 bits, whose negative values are one off."""
    short = samples.astype(np.int32) >> 3
    magnitude = np.where(short < 0, ~short, short)
    segment = np.searchsorted([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF], magnitude)
    code = segment << 4 | magnitude >> np.maximum(segment, 1) & 15
    return bytes((code ^ np.where(short < 0, 0x55, 0xD5)).astype(np.uint8))


def words(said: Iterable[Said | Json]) -> list[str]:
    """Return the words of the final results."""
    return [one["word"] for message in finals(said) for one in message["channel"]["alternatives"][0]["words"]]


def finals(said: Iterable[Said | Json]) -> list[Json]:
    return [one for one in said if isinstance(one, dict) and one["type"] == "Results" and one["is_final"]]


@asynccontextmanager
async def doubling(*faults: Fault, latency_s: float = 0.0, **limits: Any) -> AsyncIterator[Server]:
    """Serve the script with faults."""
    async with serve(script(latency_s), Serving(limits=Limits(**limits), plan=Plan(faults))) as server:
        yield server


class Socket:
    """A bare client: it sees every frame, and how the connection ended."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def say(self, kind: str, **fields: object) -> None:
        await self._socket.send_str(json.dumps({"type": kind} | fields))

    async def text(self, text: str) -> None:
        await self._socket.send_str(text)

    async def media(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def next(self, limit_s: float = WAIT_S) -> Json:
        message: Json = json.loads(await self._socket.receive_str(timeout=limit_s))
        return message

    async def frame(self, limit_s: float = WAIT_S) -> aiohttp.WSMessage:
        return await self._socket.receive(limit_s)

    def hang_up(self) -> None:
        """Be gone, without a close frame."""
        self._socket.get_extra_info("socket").shutdown(SHUT_RDWR)

    async def rest(self) -> tuple[list[Json], int | None, str]:
        """Return what comes until the connection ends, its close code (1006 without a close frame) and reason."""
        messages: list[Json] = []
        while True:
            frame = await self._socket.receive(WAIT_S)
            if frame.type != aiohttp.WSMsgType.TEXT:
                return messages, self._socket.close_code, frame.extra or ""
            messages.append(json.loads(frame.data))


@asynccontextmanager
async def connected(server: Server, path: str = "/v1/listen", **asked: str) -> AsyncIterator[Socket]:
    """Shake hands as any websocket client does."""
    headers = {"Authorization": f"Token {KEY}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + path, params=ASKED | asked, headers=headers) as socket,
    ):
        yield Socket(socket)


def environment(server: Server) -> DeepgramClientEnvironment:
    http = server.url.replace("ws://", "http://")
    return DeepgramClientEnvironment(base=http, production=server.url, agent=server.url, agent_rest=http)


def async_client(server: Server, key: str = KEY) -> AsyncDeepgramClient:
    return AsyncDeepgramClient(api_key=key, environment=environment(server))


def sync_client(server: Server, key: str = KEY) -> DeepgramClient:
    return DeepgramClient(api_key=key, environment=environment(server))
