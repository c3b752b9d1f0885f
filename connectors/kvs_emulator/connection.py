"""One reply that carries media: it follows its stream, block by block, and lets its faults happen.

Owns what is sent on one connection and when it ends. It leaves admission and HTTP errors to `server.py`.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from connectors.kvs_emulator import matroska
from connectors.kvs_emulator.faults import Close, Faults, Garbage, Placed, Report, Stall
from connectors.kvs_emulator.fragments import Fragment, Stream

_CONTENT_TYPE: Final = "video/webm"  # what GetMedia says of Connect's Matroska
# GetMedia's API reference, "Errors".
_REASONS: Final = {
    3002: "Error writing to the stream",
    4000: "Requested fragment is not found",
    4500: "Access denied for the stream's KMS key",
    4501: "Stream's KMS key is disabled",
    4502: "Validation error on the stream's KMS key",
    4503: "KMS key specified in the stream is unavailable",
    4504: "Invalid usage of the KMS key specified in the stream",
    4505: "Invalid state of the KMS key specified in the stream",
    4506: "Unable to find the KMS key specified in the stream",
    5000: "Internal error",
}
_FOR_EVER_S: Final = 86_400.0


class _Ended(Exception):
    """The reply is over; `how` as in `Close`."""

    def __init__(self, how: str) -> None:
        self.how = how


class Outlet:
    """Sends the bytes of one reply, and what its faults make of them."""

    def __init__(self, request: web.Request, faults: Faults) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": _CONTENT_TYPE})
        self.response.enable_chunked_encoding()
        self._incidents = faults.within()
        self._dice = faults.dice
        self._sent = {"bytes": 0, "blocks": 0, "fragments": 0}

    async def begin(self) -> None:
        """Send the headers."""
        await self.response.prepare(self._request)

    async def send(self, parts: Sequence[bytes], *, is_blocks: bool = False, is_last: bool = False) -> None:
        """Send some bytes at once.

        Args:
            parts: of one fragment.
            is_blocks: each of them is a block.
            is_last: the fragment ends with them.
        """
        if not self._incidents:
            await self.response.write(b"".join(parts))
            return
        for part in parts:
            await self._send_with_faults(part)
            self._sent["blocks"] += is_blocks
        self._sent["fragments"] += is_last
        await self._let_happen()

    async def end(self, how: str) -> None:
        """End the reply as in `Close`."""
        transport = self._request.transport
        if how == "end":
            await self.response.write_eof()
        elif transport is not None and how == "close":
            transport.close()  # what was written is delivered; the last chunk, which says that all was, is not
        elif transport is not None:
            # With no time to linger, closing a socket sends RST instead of FIN (socket(7), SO_LINGER).
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    async def _send_with_faults(self, data: bytes) -> None:
        await self._let_happen()
        while data:
            places = [one.place for one in self._incidents if one.unit == "bytes"]
            room = min(places, default=self._sent["bytes"] + len(data)) - self._sent["bytes"]
            now, data = data[:room], data[room:]
            await self.response.write(now)
            self._sent["bytes"] += len(now)
            await self._let_happen()

    async def _let_happen(self) -> None:
        """Let every fault happen whose place is reached."""
        due = [one for one in self._incidents if one.place <= self._sent[one.unit]]
        for one in due:
            self._incidents.remove(one)
            await self._happen(one.fault)

    async def _happen(self, fault: Placed) -> None:
        match fault:
            case Close():
                raise _Ended(fault.how)
            case Stall():
                await asyncio.sleep(_FOR_EVER_S if fault.for_s is None else fault.for_s)
            case Garbage():
                await self.response.write(self._dice.randbytes(fault.count))
            case Report():
                await self.response.write(error_tags(fault.error_id, is_own_document=fault.is_own_document))
                raise _Ended("end")


class Reply:
    """One getMedia reply that follows a stream to its end, or its own.

    Owns the two limits. One timer serves both: a timer for each block would cost as much as the block.
    """

    def __init__(self, outlet: Outlet, stream: Stream, session_s: float, idle_s: float) -> None:
        """Bind the reply to what it reads.

        Args:
            outlet: its headers have been sent.
            stream: what to read.
            session_s: after so long it ends, in the middle of a fragment or not.
            idle_s: after so long without anything it ends.
        """
        self._outlet = outlet
        self._stream = stream
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._end_s = self._loop.time() + session_s
        self._waiting_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def follow(self, is_wanted: Callable[[Fragment], bool]) -> None:
        """Send the stream from a fragment on, which may not be there yet, and what comes."""
        how = "end"
        try:
            async with asyncio.timeout(None) as limit:
                self._watch(limit)
                await self._follow(is_wanted)
        except TimeoutError:
            pass
        except _Ended as ended:
            how = ended.how
        finally:
            if self._timer is not None:
                self._timer.cancel()
        await self._outlet.end(how)

    def _watch(self, limit: asyncio.Timeout) -> None:
        """End the reply at the end of its session, or if it waits for too long; else look again when it may."""
        now_s = self._loop.time()
        waiting_since_s = now_s if self._waiting_since_s is None else self._waiting_since_s
        end_s = min(self._end_s, waiting_since_s + self._idle_s)
        if end_s <= now_s:
            limit.reschedule(now_s)
        else:
            self._timer = self._loop.call_at(end_s, self._watch, limit)

    async def _follow(self, is_wanted: Callable[[Fragment], bool]) -> None:
        fragment = self._stream.first(is_wanted)
        while fragment is None:
            await self._grown()
            fragment = self._stream.first(is_wanted)
        while True:
            await self._send(fragment)
            while fragment.next is None:
                await self._grown()
            fragment = fragment.next

    async def _send(self, fragment: Fragment) -> None:
        await self._outlet.send([fragment.beginning()])
        sent = 0
        while True:
            blocks = fragment.blocks[sent:]
            if blocks:
                await self._outlet.send(blocks, is_blocks=True)
                sent += len(blocks)
            elif fragment.is_closed:
                break
            else:
                await self._grown()
        await self._outlet.send([fragment.opening.identity_after, _progress(self._stream, fragment)], is_last=True)

    async def _grown(self) -> None:
        self._waiting_since_s = self._loop.time()
        await self._stream.changed()
        self._waiting_since_s = None


async def send_list(outlet: Outlet, found: Sequence[tuple[int, Fragment | None]]) -> None:
    """Send fragments as GetMediaForFragmentList does: other names for two tags, no tags of a live reply.

    Args:
        outlet: of the reply; its headers have been sent.
        found: fragment numbers as asked, and what was found; the reply ends with the first that was not.
    """
    how = "end"
    try:
        for number, fragment in found:
            if fragment is None:
                await outlet.send([_not_found(number)])
                break
            await outlet.send([fragment.beginning("SERVER_SIDE", "PRODUCER_SIDE")])
            await outlet.send(fragment.blocks, is_blocks=True)
            await outlet.send([fragment.opening.identity_after], is_last=True)
    except _Ended as ended:
        how = ended.how
    await outlet.end(how)


def error_tags(error_id: int, *, is_own_document: bool) -> bytes:
    """Return what GetMedia says before it stops: the number is the id, the text the code."""
    said = matroska.tags(
        (
            ("AWS_KINESISVIDEO_ERROR_CODE", _REASONS[error_id]),
            ("AWS_KINESISVIDEO_ERROR_ID", str(error_id)),
        )
    )
    return matroska.EBML + matroska.SEGMENT + said if is_own_document else said


def _not_found(number: int) -> bytes:
    said = (
        ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", str(number)),
        ("AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", "4000"),
        ("AWS_KINESISVIDEO_EXCEPTION_MESSAGE", _REASONS[4000]),
    )
    return matroska.EBML + matroska.SEGMENT + matroska.tags(said)


def _progress(stream: Stream, fragment: Fragment) -> bytes:
    """Return the service's last tags: a reader of the newest fragment is not behind."""
    if not fragment.opening.is_numbered:
        return b""
    behind_ms = 0 if fragment is stream.newest else max(stream.now_ms() - fragment.server_ms, 0)
    return matroska.tags(
        (
            ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", str(behind_ms)),
            ("AWS_KINESISVIDEO_CONTINUATION_TOKEN", fragment.token),
        )
    )
