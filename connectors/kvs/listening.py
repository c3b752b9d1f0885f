"""The service `kvs`: reads the contacts that are asked for, and answers with what has come of each.

One session a contact, opened by its first question and closed with it: when nobody waits for its answer any more, the
partition has another owner. An answer comes as soon as there is an audio record, and after a second without one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from connectors.files import FRAME_SAMPLES
from connectors.kvs import service
from connectors.kvs.account import Account
from connectors.kvs.contact import Contact
from connectors.kvs.facts import Checkpoint, Ended, Fact, FragmentDone
from connectors.kvs.outflow import Outflow
from connectors.kvs.reading import Patience, Reading
from connectors.kvs.service import Service, StreamFailed
from pipeline.audio.pcm import BYTES_PER_SAMPLE
from pipeline.errors import PeerUnavailable
from pipeline.stages.capture import Heard, Listen
from topics.catalogue import TOPICS
from topics.records import SAMPLES_PER_MS, TRACKS, AudioFrame

QUIET_S: Final = 1.0  # architecture section 3, "Time"
FRAMES: Final = 25  # an answer; nearly 5 s of audio, 1.5 ms of the loop's time
FRAME_MS: Final = FRAME_SAMPLES // SAMPLES_PER_MS
AHEAD_MS: Final = 4_000  # so much may wait for the engine; then the stream has to
BEHIND_MS: Final = 5_000  # whoever reads further behind the newest fragment catches up, at a pace
PACE: Final = 8  # times real time, so that live contacts have the processor too
UNASKED_S: Final = 30.0  # a session that nobody asks for so long has lost its owner
FAILED_S: Final = 5.0  # after a failure that trying again at once would not mend
GIVE_UP_MS: Final = TOPICS["contact.events"].retention_ms  # since a contact's start; it is asked for no longer

_log = logging.getLogger(__name__)

_Key = tuple[str, str]  # tenant and contact


class Listener:
    """See the module; `answer` is the service."""

    def __init__(
        self, account: Account, patience: Patience | None = None, *, pace: float = PACE, frames: int = FRAMES
    ) -> None:
        """Bind who asks; everything else comes with the questions.

        Args:
            account: for every stream.
            patience: how long what is waited for.
            pace: of catching up, in times of real time.
            frames: the most that an answer has.
        """
        self._account = account
        self._patience = patience
        self._pace = pace
        self._limit = frames
        self._http: aiohttp.ClientSession | None = None
        self._streams: WeakValueDictionary[str, Service] = WeakValueDictionary()
        self._sessions: dict[_Key, _Session] = {}

    async def answer(self, listen: Listen) -> Heard:
        """Return what has come since the last answer.

        Raises:
            PeerUnavailable: AWS refuses who asks; ask again.
        """
        key = listen.tenant, listen.contact_id
        session = self._sessions.get(key)
        if session is None or not session.goes_on(listen):
            await self._close(key, *(left for left, one in self._sessions.items() if one.is_left))
            session = self._sessions[key] = _Session(self._stream(listen.stream), listen, self._patience, self._pace)
        is_over = True
        try:
            heard = await session.next(self._limit)
            is_over = bool(heard.over)
        finally:
            if is_over and self._sessions.get(key) is session:
                await self._close(key)
        return heard

    async def close(self) -> None:
        """Close every session."""
        await self._close(*self._sessions)
        if self._http is not None:
            await self._http.close()

    async def _close(self, *keys: _Key) -> None:
        for session in [self._sessions.pop(key, None) for key in keys]:
            if session is not None:
                await session.close()

    def _stream(self, name: str) -> Service:
        """Return what contacts of one stream share, so that they keep its pace together."""
        self._http = self._http or service.session()
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Service(self._http, self._account, name)
        return stream


class _Session:
    """One contact that is being read."""

    def __init__(self, stream: Service, listen: Listen, patience: Patience | None, pace: float) -> None:
        checkpoint = msgspec.msgpack.decode(listen.place, type=Checkpoint) if listen.place else None
        self.answers = listen.number
        self._start_ms = listen.start_ms
        self._contact = Contact(listen.contact_id, checkpoint)
        self._place = listen.place  # of the last answer, as its ends
        self._ends = [listen.customer_sample, listen.agent_sample]
        self._outflow = Outflow(
            listen.tenant, listen.contact_id, listen.leg, checkpoint, (self._ends[0], self._ends[1])
        )
        self._ready: deque[AudioFrame] = deque()  # has left the outflow and is in no answer
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._over = ""
        self._pace = pace
        self._not_before_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._reader = Reading(stream, self._contact, listen.start_ms, self._take, patience, self._room)
        self._reading = asyncio.ensure_future(self._reader.run())
        self._reading.add_done_callback(lambda _: self._news.set())
        self._limit = self._loop.call_later(UNASKED_S, self._reading.cancel)

    @property
    def is_left(self) -> bool:
        """Whether it has hung up because nobody asked."""
        return self._reading.cancelling() > 0

    def goes_on(self, listen: Listen) -> bool:
        """Tell whether the question follows this session's last answer; another owner's answers are another's."""
        asked = listen.number, listen.place, listen.customer_sample, listen.agent_sample
        return asked == (self.answers, self._place, *self._ends) and not self.is_left

    async def next(self, limit: int) -> Heard:
        """Return what has come, `limit` records at most; see the module.

        Raises:
            PeerUnavailable: reading cannot go on.
        """
        self._limit.cancel()
        await self._wait()
        self._limit = self._loop.call_later(UNASKED_S, self._reading.cancel)
        if self._reading.done() or not self._ready:
            # Nothing more, or nothing for now: what waits for the rest of its record waits no longer.
            self._ready.extend(self._outflow.rest())
        over = await self._outcome() if self._reading.done() and len(self._ready) <= limit else ""
        frames = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        for frame in frames:
            for n, track in enumerate(TRACKS):
                first, pcm = frame.track(track)
                self._ends[n] = max(self._ends[n], first + len(pcm) // BYTES_PER_SAMPLE if pcm else 0)
        self._taken.set()
        self.answers += 1
        checkpoint = self._outflow.checkpoint(*self._ends)
        self._place = msgspec.msgpack.encode(checkpoint) if checkpoint else b""
        return Heard(
            tuple(frames),
            self._place,
            self._contact.start_ms,
            self._outflow.missing(),
            over,
        )

    async def close(self) -> None:
        """Hang up."""
        self._limit.cancel()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _wait(self) -> None:
        """Wait for a record, for a second at most."""
        until_s = self._loop.time() + QUIET_S
        while not self._ready and not self._reading.done() and self._loop.time() < until_s:
            self._news.clear()
            try:
                async with asyncio.timeout_at(min(until_s, self._outflow.due_s or until_s)):
                    await self._news.wait()
            except TimeoutError:
                self._ready.extend(self._outflow.frames(self._loop.time()))

    async def _outcome(self) -> str:
        """Say why reading is over.

        Raises:
            PeerUnavailable: it failed, and may succeed later.
        """
        try:
            await self._reading
            if self._reader.is_failing:  # an outage is no end
                raise PeerUnavailable("Kinesis Video Streams has not answered for long")
        except Exception as failed:  # whatever it is, asking again at once would not mend it
            if isinstance(failed, StreamFailed) and failed.kind == "gone":
                return "no such stream"
            if time.time() * 1_000 - self._start_ms > GIVE_UP_MS:
                return "not readable"
            if isinstance(failed, PeerUnavailable):
                _log.warning("a contact cannot be read", extra={"reason": str(failed)})
            await asyncio.sleep(FAILED_S)
            raise
        return self._over

    async def _take(self, facts: Sequence[Fact]) -> None:
        """Take what reading tells."""
        now_s = self._loop.time()
        self._outflow.take(facts, now_s)
        for fact in facts:
            if type(fact) is FragmentDone and (fact.behind_now_ms or 0) > BEHIND_MS:
                self._not_before_s = max(self._not_before_s, now_s) + (fact.end_ms - fact.at_ms) / 1_000 / self._pace
            elif type(fact) is Ended:
                self._over = fact.reason
        self._ready.extend(self._outflow.frames(now_s))
        # A wait that has begun for less would be too long.
        if self._ready or self._outflow.due_s is not None:
            self._news.set()

    async def _room(self) -> None:
        """Let reading go on once there is room, and at its pace."""
        while self._outflow.waiting_ms + FRAME_MS * len(self._ready) > AHEAD_MS:
            self._taken.clear()
            await self._taken.wait()
        if self._not_before_s:
            await asyncio.sleep(self._not_before_s - self._loop.time())
