"""The loop that reads one contact: asks, waits, goes on, and knows when it is over.

Owns time and retries; what responses mean is `contact.py`'s, how they are asked for `service.py`'s. Facts leave in the
order in which they were learned; those of the archive come between the others.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from connectors.kvs.contact import Contact
from connectors.kvs.events import Event
from connectors.kvs.facts import (
    Broken,
    Ended,
    Fact,
    Failed,
    GapFound,
    OtherContact,
    Piece,
    Reconnected,
    ServiceError,
    Settled,
)
from connectors.kvs.matroska import Parser
from connectors.kvs.service import Kind, Listed, Response, Service, StreamFailed
from topics.records import SAMPLES_PER_MS

Give = Callable[[Sequence[Fact]], Awaitable[None]]
Room = Callable[[], Awaitable[None]]
Reason = Literal["other contact", "no more audio", "idle"]

_AHEAD_MS: Final = 2_000  # the producer's clock against the contact's start; fragments have about a second
_LIST_AHEAD_MS: Final = 20_000  # a fragment that began so long before a hole may reach into it
_REREADS: Final = 2  # that bring nothing after a clean end
# So many in a row are no accident; after the first refusal the credentials are renewed.
_LIMITS: Final[dict[Kind, int]] = {"gone": 3, "refused": 2}
_FAILURES_LIMIT: Final = 12  # of looks at the archive: a minute of an outage, in which the track waits
_ARCHIVE_PAGE: Final = 50  # fragments a request, which are held until it ends: 1.7 MB; the service takes 1,000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is waited for.

    Attributes:
        idle_s: without new sound for so long, the contact is over.
        quiet_s: after a clean end, for so long it is read again.
        session_s: a response is left for another one before the service ends it after 45 minutes without a word.
        delays_s: before each next request, as long as nothing comes; the jitter takes up to half of it.
        looks_s: before each look at the archive for a hole; listing takes up to a second to know of a fragment.
    """

    idle_s: float = 20.0
    quiet_s: float = 5.0
    session_s: float = 2_520.0
    delays_s: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
    looks_s: tuple[float, ...] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a response, or the attempt to get one, ended.

    Attributes:
        reason: static text.
        is_clean: the service ended it without a word, or nothing came in a reading again.
        least_delay: index of the shortest delay before the next.
    """

    reason: str
    is_clean: bool = False
    least_delay: int = 0


_HANDED_OVER: Final = _Outcome("hand-over")


class Reading:
    """Reads one contact to its end."""

    def __init__(
        self,
        service: Service,
        contact: Contact,
        start_ms: int,
        give: Give,
        patience: Patience | None = None,
        room: Room | None = None,
    ) -> None:
        """Bind what is read.

        Args:
            service: the stream.
            contact: fresh, or at its checkpoint.
            start_ms: epoch milliseconds of the contact's start, as Connect told it.
            give: takes facts; reading waits for it, and it is never called again before it has returned.
            patience: how long what is waited for.
            room: waits until the stream's next sound may be given; the archive's is given meanwhile.
        """
        self._service = service
        self._contact = contact
        self._start_ms = start_ms
        self._giving = give
        self._room = room
        self._patience = patience or Patience()
        self._turn = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._sound_s = 0.0  # when new sound came; giving and waiting for room do not count
        self._is_giving = False
        self.is_failing = False  # nothing has come since a request was refused or cut
        self._ahead: asyncio.Task[tuple[Response, bytes]] | None = None  # the response that takes over
        self._fills: set[asyncio.Task[None]] = set()
        self._attempt = 0  # responses since the last new sound
        self._failures: dict[Kind, int] = {}  # in a row
        self._quiet_since_s: float | None = None  # a clean end, and no new sound since
        self._rereads = 0
        self._is_by_time = False  # the next response begins by the producer's time

    async def run(self) -> None:
        """Read until the contact is over; when cancelled, nothing stays open.

        Raises:
            PeerUnavailable: the stream does not exist, or who we are does not suffice.
        """
        try:
            reason = await self._until_over()
            await asyncio.gather(*self._fills)
        finally:
            await self._leave()
        ends = self._contact.ends
        await self._give([Ended(self._contact.length_ms, *ends, reason)])

    async def _until_over(self) -> Reason:
        try:
            async with asyncio.timeout(None) as self._limit:
                self._sound_s = asyncio.get_running_loop().time()
                self._watch()
                return await self._read()
        except TimeoutError:
            if self._limit is None or not self._limit.expired():
                raise  # it is not ours
            return "idle"
        finally:
            if self._idle_timer is not None:
                self._idle_timer.cancel()

    def _watch(self) -> None:
        """End reading if it is idle, else look again when it could be."""
        assert self._limit is not None
        loop = asyncio.get_running_loop()
        due_s = (loop.time() if self._is_giving else self._sound_s) + self._patience.idle_s
        if due_s <= loop.time():
            self._limit.reschedule(due_s)
        else:
            self._idle_timer = loop.call_at(due_s, self._watch)

    async def _read(self) -> Reason:
        while True:
            outcome = await self._respond()
            if self._contact.is_over:
                return "other contact"
            if self._is_quiet_enough(outcome):
                return "no more audio"
            if self._is_ahead_ready():
                outcome = _HANDED_OVER
            after = None if self._is_by_time else self._contact.after
            await self._tell([Reconnected(self._contact.length_ms, outcome.reason, after)])
            if outcome is not _HANDED_OVER:
                await asyncio.sleep(self._delay_s(outcome))

    async def _respond(self) -> _Outcome:
        """Get a response and read it."""
        try:
            response, first = await self._open()
        except StreamFailed as failed:
            return await self._failed(failed)
        self._failures.clear()
        timer = asyncio.get_running_loop().call_later(self._patience.session_s, self._open_ahead, response)
        try:
            return await self._follow(response, first)
        finally:
            timer.cancel()
            response.close()

    async def _open(self) -> tuple[Response, bytes]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.done() and ahead.exception() is None:
            return ahead.result()
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
        return await self._service.media(self._selector()), b""

    async def _follow(self, response: Response, first: bytes) -> _Outcome:
        """Read a response until it ends or has to be left."""
        contact, parser = self._contact, Parser()
        contact.begin()
        outcome = await self._stream(response, parser, first)
        rest = [*contact.take(parser.end()), *contact.end()]
        await self._tell(rest)
        error = next((fact for fact in rest if isinstance(fact, ServiceError)), None)
        return outcome if error is None else self._after_error(error)

    async def _stream(self, response: Response, parser: Parser, first: bytes) -> _Outcome:
        contact, begun_s = self._contact, asyncio.get_running_loop().time()
        try:
            data = first or await self._next(response, begun_s)
            while data:
                self.is_failing = False
                told = contact.take(parser.feed(data))
                await self._tell(told)
                if told and isinstance(told[-1], Broken | OtherContact):
                    return _Outcome("damage in the response")
                data = await self._next(response, begun_s)
        except StreamFailed as failed:
            self.is_failing = True
            return _Outcome(failed.reason)
        return _Outcome("no new audio" if data is None else "the response ended", is_clean=True)

    async def _next(self, response: Response, begun_s: float) -> bytes | None:
        """Return the next bytes; a reading again after a clean end waits no longer than its share of the quiet."""
        if self._quiet_since_s is None:
            return await response.read()
        try:
            async with asyncio.timeout_at(begun_s + self._patience.quiet_s / _REREADS):
                return await response.read()
        except TimeoutError:
            return None

    def _after_error(self, error: ServiceError) -> _Outcome:
        """Tell what follows from an error that the service said before it ended the response."""
        self.is_failing = True
        self._is_by_time = error.action == "restart"
        last = len(self._patience.delays_s) - 1
        return _Outcome("an error in the stream", least_delay={"wait": 1, "park": last}.get(error.action, 0))

    async def _failed(self, failed: StreamFailed) -> _Outcome:
        """Decide about a request that was refused.

        Raises:
            PeerUnavailable: trying again is of no use.
        """
        kind, self.is_failing = failed.kind, True
        await self._tell([Failed(self._contact.length_ms, kind, failed.reason)])
        if kind in _LIMITS:
            self._failures[kind] = self._failures.get(kind, 0) + 1
            if self._failures[kind] >= _LIMITS[kind]:
                raise failed
        if kind == "refused":
            await self._service.renew()
        self._is_by_time = self._is_by_time or kind == "invalid"
        return _Outcome(failed.reason, least_delay=0 if kind in {"moved", "refused"} else 1)

    def _selector(self) -> dict[str, object]:
        after, is_by_time, self._is_by_time = self._contact.after, self._is_by_time, False
        if after is not None and not is_by_time:
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": after}
        from_ms = (self._contact.end_ms or self._start_ms) - _AHEAD_MS
        return {"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": from_ms / 1_000}

    def _delay_s(self, outcome: _Outcome) -> float:
        delays_s = self._patience.delays_s
        delay_s = delays_s[min(max(self._attempt, outcome.least_delay), len(delays_s) - 1)]
        self._attempt += 1
        if self._quiet_since_s is not None and outcome.is_clean:
            delay_s = min(delay_s, max(self._quiet_left_s(), 0.0))
        return delay_s * random.uniform(0.5, 1.0)

    def _is_quiet_enough(self, outcome: _Outcome) -> bool:
        """Tell whether the contact is over: a clean end, and readings again that brought nothing for a while."""
        if not outcome.is_clean or not self._contact.is_heard:
            return False
        if self._quiet_since_s is None:
            self._quiet_since_s, self._rereads = asyncio.get_running_loop().time(), 0
            return False
        self._rereads += 1
        return self._rereads >= _REREADS and self._quiet_left_s() <= 0

    def _quiet_left_s(self) -> float:
        assert self._quiet_since_s is not None
        return self._quiet_since_s + self._patience.quiet_s - asyncio.get_running_loop().time()

    # The response ahead

    def _open_ahead(self, old: Response) -> None:
        self._ahead = asyncio.ensure_future(self._take_over(old))

    async def _take_over(self, old: Response) -> tuple[Response, bytes]:
        """Open the next response and, once its first bytes are there, leave the old one: what it lacks they have."""
        try:
            response = await self._service.media(self._selector())
        except StreamFailed as failed:
            await self._give([Failed(self._contact.length_ms, failed.kind, failed.reason)])
            raise
        try:
            first = await response.read()
            if not first:
                raise StreamFailed("passing", "the response ended")
        except BaseException:  # also a cancellation: no response stays open
            response.close()
            raise
        old.close()
        return response, first

    def _is_ahead_ready(self) -> bool:
        return self._ahead is not None and self._ahead.done() and self._ahead.exception() is None

    # The archive

    async def _fill(self, gap: GapFound) -> None:
        """Look for what is missing; tell what stays so."""
        looks = failures = 0
        delay_s = self._patience.looks_s[0]
        while looks < len(self._patience.looks_s) and failures < _FAILURES_LIMIT:
            await asyncio.sleep(delay_s)
            try:
                await self._look(gap)
            except StreamFailed as failed:
                await self._give([Failed(self._contact.length_ms, failed.kind, failed.reason)])
                failures += 1
                delay_s = self._patience.delays_s[min(failures, len(self._patience.delays_s) - 1)]
                continue
            if not self._contact.is_missing(gap):
                break
            looks += 1
            delay_s = self._patience.looks_s[min(looks, len(self._patience.looks_s) - 1)]
        # The contact may have forgotten the gap meanwhile; whoever waits for it must not wait for ever.
        settled = Settled(gap.track, gap.first_sample, gap.end_sample)
        await self._give([*self._contact.give_up(gap), settled])

    async def _look(self, gap: GapFound) -> None:
        start_ms = self._contact.start_ms
        assert start_ms is not None
        from_ms, to_ms = (start_ms + sample // SAMPLES_PER_MS for sample in (gap.first_sample, gap.end_sample))
        listed = await self._service.listed(from_ms - _LIST_AHEAD_MS, to_ms)
        numbers = [one.number for one in listed if _overlaps(one, from_ms, to_ms)]
        for at in range(0, len(numbers), _ARCHIVE_PAGE):
            response = await self._service.archived(numbers[at : at + _ARCHIVE_PAGE])
            parser, events = Parser(), list[Event]()
            try:
                while data := await response.read():
                    events += parser.feed(data)
            finally:
                response.close()
            await self._give(self._contact.fill([*events, *parser.end()]))

    # Facts

    async def _tell(self, facts: Sequence[Fact]) -> None:
        """Give facts, look for what they miss, and count new sound as a sign of life; giving is no idleness."""
        if not facts:
            return
        for fact in facts:
            if type(fact) is GapFound:
                task = asyncio.ensure_future(self._fill(fact))
                self._fills.add(task)
        loop = asyncio.get_running_loop()
        began_s, self._is_giving = loop.time(), True
        await self._give(facts)
        if self._room is not None:
            await self._room()
        self._is_giving = False
        if any(type(fact) is Piece and not fact.is_late for fact in facts):
            self._attempt, self._quiet_since_s = 0, None
            self._sound_s = loop.time()
        else:
            self._sound_s += loop.time() - began_s

    async def _give(self, facts: Sequence[Fact]) -> None:
        if facts:
            async with self._turn:
                await self._giving(facts)

    async def _leave(self) -> None:
        """End what runs beside."""
        beside: list[asyncio.Task[None] | asyncio.Task[tuple[Response, bytes]]] = [*self._fills]
        if self._ahead is not None:
            beside.append(self._ahead)
        for task in beside:
            task.cancel()
        for result in await asyncio.gather(*beside, return_exceptions=True):
            if isinstance(result, tuple):
                result[0].close()


def _overlaps(one: Listed, from_ms: int, to_ms: int) -> bool:
    return one.start_ms < to_ms and one.start_ms + one.length_ms > from_ms
