"""One connection to the service, by its SDK, with every failure as a `LineFailed`.

The SDK mends nothing (docs of `connectors/deepgram_double`): it neither reconnects nor keeps a connection, raises
differently at each place, gives None for messages it does not know, and stops listening at one that is not JSON unless
the socket itself is iterated.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Final

from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import ConnectionClosed, WebSocketException

from connectors.deepgram.causes import LineFailed, closed, refused
from connectors.deepgram.dialects import Dialect
from connectors.deepgram.heard import Said
from pipeline import metrics
from pipeline.audio import pcm

NAME: Final = "deepgram"
_HANDSHAKE_LIMIT_S: Final = 5.0
_SEND_LIMIT_S: Final = 5.0  # a peer that reads nothing fills the buffers of both sides
_GOODBYE_LIMIT_S: Final = 1.0
_NORMAL: Final = 1000  # RFC 6455 section 7.4.1, as the next
_ABNORMAL: Final = 1006


class Line:
    """An open connection."""

    def __init__(self, context: AbstractAsyncContextManager[Any], socket: Any, dialect: Dialect) -> None:  # noqa: ANN401 - the SDK has two types of sockets without a common one
        """Bind the line to the SDK's objects."""
        self.context = context
        self._socket = socket
        self._dialect = dialect

    async def send(self, audio: bytes) -> None:
        """Send samples, at least one: an empty frame would end the stream.

        Raises:
            LineFailed: the connection has ended.
        """
        assert audio
        with _failing():
            async with asyncio.timeout(_SEND_LIMIT_S):
                await self._socket.send_media(audio)

    async def silence(self, samples: int) -> None:
        """Send silence."""
        await self.send(pcm.silence(samples))

    async def keep_alive(self) -> None:
        """Say that audio will follow."""
        with _failing():
            async with asyncio.timeout(_SEND_LIMIT_S):
                await self._socket.send_keep_alive()

    async def finalize(self) -> None:
        """Ask for everything that was sent as final."""
        with _failing():
            async with asyncio.timeout(_SEND_LIMIT_S):
                await self._dialect.finalize(self._socket)

    async def close_stream(self) -> None:
        """Say that nothing follows."""
        with suppress(LineFailed), _failing():
            async with asyncio.timeout(_GOODBYE_LIMIT_S):
                await self._socket.send_close_stream()

    async def messages(self) -> AsyncIterator[Said | None]:
        """Yield what comes; None for a message that says nothing of audio.

        Raises:
            LineFailed: the connection has ended; it always does.
        """
        with _failing():
            async for message in self._socket:
                yield self._read(message)
        raise closed(_NORMAL)

    def _read(self, message: object) -> Said | None:
        try:
            return self._dialect.read(message)
        except (AttributeError, IndexError, TypeError):  # the SDK checks no field of a message
            return None


class Lines:
    """Opens connections and lets them go."""

    def __init__(self, api_key: str, url: str, dialect: Dialect) -> None:
        """Bind to the service; nothing is opened.

        Args:
            api_key: sent with each handshake.
            url: websocket root, such as wss://api.deepgram.com.
            dialect: how to talk.
        """
        http = url.replace("ws", "http", 1)
        environment = DeepgramClientEnvironment(base=http, production=url, agent=url, agent_rest=http)
        self._client = AsyncDeepgramClient(api_key=api_key, environment=environment)
        self._closing: set[asyncio.Task[object]] = set()
        self._open = metrics.RECOGNISER_CONNECTIONS.labels(NAME)
        self.dialect = dialect

    async def open(self) -> Line:
        """Shake hands.

        Raises:
            LineFailed: it was refused, or took too long.
        """
        context = self.dialect.connect(self._client)
        with _failing():
            async with asyncio.timeout(_HANDSHAKE_LIMIT_S):
                line = Line(context, await context.__aenter__(), self.dialect)
        self._open.inc()
        return line

    def let_go(self, line: Line) -> None:
        """Close a connection beside the flow: a dead peer does not answer for ten seconds."""
        self._open.dec()
        closing = asyncio.create_task(_leave(line))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Give the connections that were let go a moment."""
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=_GOODBYE_LIMIT_S)
            for closing in late:
                closing.cancel()


async def _leave(line: Line) -> None:
    with suppress(WebSocketException, OSError):
        await line.context.__aexit__(None, None, None)


@contextmanager
def _failing() -> Iterator[None]:
    """Name what the SDK raises; its texts may quote what the peer said, so they go no further."""
    try:
        yield
    except ApiError as error:
        raise refused(error.status_code or 0) from None
    except ConnectionClosed as error:
        raise closed(error.rcvd.code if error.rcvd else _ABNORMAL) from None
    except TimeoutError:
        raise LineFailed("late") from None
    except (WebSocketException, OSError, EOFError):
        raise LineFailed("network") from None
