"""One socket: its frames go to the session, what the session says goes out, and its faults happen in their places.

Owns time: answers that are late, and the end of a connection to which nothing comes.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from connectors.deepgram_double.faults import (
    Close,
    Complaint,
    Drop,
    Fault,
    HalfOpen,
    NotJson,
    Placed,
    Slow,
    Stall,
    UnknownType,
)
from connectors.deepgram_double.hearing import ENCODINGS
from connectors.deepgram_double.messages import End, Message, Said, Session, Witness
from connectors.deepgram_double.requests import Format
from topics.records import SAMPLE_RATE_HZ

_HANG_UP_LIMIT_S: Final = 1.0  # for the client's half of a close


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for a while; without `for_s` for good."""

    for_s: float | None


_Outgoing = Said | str | bytes | Drop | Pause


class Outlet:
    """Sends what is to be sent, in its order, each after the same delay."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        delay_s: float,
        on_sent: Callable[[Message], None],
    ) -> None:
        """Bind the outlet to an open socket."""
        self._on_sent = on_sent
        self._request = request
        self._socket = socket
        self._delay_s = delay_s
        self._queue: asyncio.Queue[tuple[float, _Outgoing]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def put(self, outgoing: _Outgoing) -> None:
        """Take what is to be sent: a message, text as it is, a pong, or what ends or holds up the connection."""
        self._queue.put_nowait((self._loop.time() + self._delay_s, outgoing))

    async def run(self) -> None:
        """Send until the connection ends."""
        is_open = True
        while is_open:
            due_s, outgoing = await self._queue.get()
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            is_open = await self._send(outgoing)

    async def _send(self, outgoing: _Outgoing) -> bool:
        match outgoing:
            case Pause(for_s):
                await _wait(for_s)
            case str():
                await self._socket.send_str(outgoing)
            case bytes():
                await self._socket.pong(outgoing)
            case End(code, reason):
                await self._close(code, reason)
                return False
            case Drop(how=how):
                self._drop(how)
                return False
            case _:
                await self._socket.send_str(json.dumps(outgoing))
                self._on_sent(outgoing)
        return True

    async def _close(self, code: int | None, reason: str) -> None:
        if code is None:
            await self._socket.send_frame(b"", WSMsgType.CLOSE)
            with suppress(TimeoutError):
                await self._socket.receive(_HANG_UP_LIMIT_S)
            self._drop("close")
        else:
            await self._socket.close(code=code, message=reason.encode())

    def _drop(self, how: str) -> None:
        transport = self._request.transport
        if transport is None:
            return
        if how == "close":
            transport.close()
            return
        # With no time to linger, closing a socket sends RST instead of FIN (socket(7), SO_LINGER).
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Connection:
    """One connection, from its handshake to its end."""

    def __init__(
        self, number: int, audio: Format, session: Session, faults: Sequence[Fault], witness: Witness | None = None
    ) -> None:
        """Bind the connection to what answers it.

        Args:
            number: of the handshake, from 1.
            audio: its format.
            session: what it talks to.
            faults: what goes wrong.
            witness: who watches.
        """
        self._witness = witness
        self.number = number
        self.received_bytes = 0
        width = ENCODINGS[audio.encoding][1] if audio.encoding in ENCODINGS else 1
        self._second_bytes = SAMPLE_RATE_HZ * width * audio.channels
        self._session = session
        self._slow_s = sum(fault.for_s for fault in faults if isinstance(fault, Slow))
        placed = (fault for fault in faults if isinstance(fault, Placed))
        self._incidents = sorted(placed, key=lambda fault: fault.after_s)
        self._is_over = False
        self._is_deaf = False

    @property
    def received_s(self) -> float:
        """Seconds of audio that have come."""
        return self.received_bytes / self._second_bytes

    async def serve(self, request: web.Request, answer_s: float, idle_s: float) -> web.StreamResponse:
        """Shake hands and talk until either side ends it.

        Args:
            request: of the handshake; admitted.
            answer_s: how long an answer takes.
            idle_s: how long a connection may bring nothing.
        """
        response = web.WebSocketResponse(
            timeout=_HANG_UP_LIMIT_S, autoping=False, autoclose=False, compress=False, max_msg_size=0
        )
        response.headers["dg-request-id"] = self._session.request_id
        try:
            await response.prepare(request)
        except ConnectionError:
            return response  # the client has not waited
        self._socket, self._idle_s = response, idle_s
        self._outlet = Outlet(request, response, answer_s + self._slow_s, self._sent)
        sender = asyncio.create_task(self._outlet.run())
        try:
            self._say(self._session.greet())
            await self._read()
            await sender
        except ConnectionError:
            pass  # the client is gone
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return response

    async def _read(self) -> None:
        """Take frames until nothing more is to be said, or nobody is there."""
        loop = asyncio.get_running_loop()
        heard_s = loop.time()
        await self._hear(b"")
        while not self._is_over:
            left_s = max(heard_s + self._idle_s - loop.time(), 0.001)  # 0 would wait for ever
            try:
                frame = await self._socket.receive(None if self._is_deaf else left_s)
            except TimeoutError:
                self._say(self._session.give_up())
                continue
            if frame.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                await self._take(frame)
                heard_s = loop.time()
            elif frame.type == WSMsgType.PING:
                self._outlet.put(bytes(frame.data))
            elif frame.type != WSMsgType.PONG:
                code = frame.data if frame.type == WSMsgType.CLOSE else None
                self._say([End(code or WSCloseCode.OK)])

    async def _take(self, frame: WSMessage) -> None:
        if self._is_deaf:
            return
        if frame.type == WSMsgType.TEXT:
            self._say(self._session.obey(frame.data))
        elif frame.data:
            await self._hear(frame.data)
        else:
            self._say(self._session.hear(b""))

    async def _hear(self, data: bytes) -> None:
        """Take audio, and let every fault happen in its place; what follows the end of the connection is not heard."""
        while self._incidents and not self._is_over:
            room = int(self._incidents[0].after_s * self._second_bytes) - self.received_bytes
            if room > len(data):
                break
            self._listen(data[:room])
            data = data[room:]
            await self._happen(self._incidents.pop(0))
        self._listen(data)

    def _listen(self, data: bytes) -> None:
        if not data or self._is_over:
            return
        at_s = time.time()
        self.received_bytes += len(data)
        self._say(self._session.hear(data))
        if self._witness:
            self._witness.heard(self.number, at_s, self.received_bytes, self._session.whence)

    async def _happen(self, fault: Placed) -> None:
        match fault:
            case Drop():
                self._outlet.put(fault)
                self._is_over = True
            case Close(code=code, reason=reason):
                self._say([End(code, reason)])
            case Stall(side="send", for_s=for_s):
                self._outlet.put(Pause(for_s))
            case Stall(for_s=for_s):
                await _wait(for_s)
            case HalfOpen():
                self._outlet.put(Pause(None))
                self._is_deaf = True
            case UnknownType():
                self._say([{"type": "Unheard", "request_id": self._session.request_id}])
            case NotJson():
                self._outlet.put("this is no JSON")
            case Complaint(description=description):
                self._say([self._session.complaint(description)])

    def _sent(self, message: Message) -> None:
        if self._witness:
            self._witness.said(self.number, message)

    def _say(self, said: Sequence[Said]) -> None:
        for one in said:
            self._outlet.put(one)
            self._is_over |= isinstance(one, End)


async def _wait(for_s: float | None) -> None:
    if for_s is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(for_s)
