"""Two recognisers: the second answers what the first does not, in the middle of a call.

Owns how long a final may take, and when a first one that was late is tried again. One that fails says so at once and
knows itself when to try again, so only lateness is remembered, for each track by itself.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline import metrics
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import Track

LATE: Final = "late"
_FORGOTTEN_S: Final = 600.0  # a track of which nothing was asked for so long is over

Key = tuple[str, str, Track]


class Recogniser(Protocol):
    """What answers a stage's questions."""

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of a segment."""

    async def close(self) -> None:
        """Let go of everything."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the first recogniser is waited for, in seconds.

    Attributes:
        late_s: of a final; the words of one that was late are the second's, which takes 0.8 s for 8 s of speech: 2 s in
            all.
        probe_s: between two tries of one that was late.
        decodes: of the second at once, beyond which one that is late is waited for: where this machine is what is slow,
            the second would make it slower. The first says itself when it has failed.
    """

    late_s: float = 1.2
    probe_s: float = 5.0
    decodes: int = 2


class Fallback:
    """Ask the first recogniser, and for finals the second where that has no answer; a partial is left out then."""

    def __init__(
        self,
        first: Recogniser,
        second: Recogniser,
        tenants: Collection[str],
        patience: Patience = Patience(),
    ) -> None:
        """Bind both.

        Args:
            first: asked for the tenants alone.
            second: asked for all others too.
            tenants: whose audio the first may have.
            patience: with the first.
        """
        self._first, self._second = first, second
        self._tenants = frozenset(tenants)
        self._patience = patience
        self._late: dict[Key, float] = {}  # when the first is tried again
        self._probes: set[asyncio.Task[None]] = set()
        self._decodes = 0  # finals that the second is asked for

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of a segment."""
        if request.tenant not in self._tenants:
            return await self._second.answer(request)
        key = (request.tenant, request.contact_id, request.track)
        if key in self._late and not request.is_final:
            return Failed(LATE)
        if key not in self._late or self._has_no_time():
            return await self._ask(key, request)
        if asyncio.get_running_loop().time() >= self._late[key]:
            self._probe(key, request)
        return await self._instead(request, LATE)

    async def close(self) -> None:
        """Close both."""
        for probe in self._probes:
            probe.cancel()
        await self._first.close()
        await self._second.close()

    async def _ask(self, key: Key, request: Transcribe) -> Transcript | Failed:
        if not request.is_final:
            return await self._first.answer(request)
        answer = await self._in_time(request)
        if answer is None:
            self._put_off(key)
            return await self._instead(request, LATE)
        if isinstance(answer, Failed):
            return await self._instead(request, answer.reason)
        self._late.pop(key, None)
        return answer

    async def _in_time(self, request: Transcribe) -> Transcript | Failed | None:
        """Ask the first at once, in the order of the questions; None where it is late and the second has time."""
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)

        def give_up() -> None:
            if not self._has_no_time():
                limit.reschedule(loop.time())

        timer = loop.call_later(self._patience.late_s, give_up)
        try:
            async with limit:
                return await self._first.answer(request)
        except TimeoutError:
            return None
        finally:
            timer.cancel()

    def _has_no_time(self) -> bool:
        """Whether the second has enough to do."""
        return self._decodes >= self._patience.decodes

    async def _instead(self, request: Transcribe, cause: str) -> Transcript | Failed:
        metrics.RECOGNISER_FALLBACKS.labels(cause).inc()
        self._decodes += 1
        try:
            return await self._second.answer(request)
        finally:
            self._decodes -= 1

    def _put_off(self, key: Key) -> None:
        now = asyncio.get_running_loop().time()
        self._late = {one: due_s for one, due_s in self._late.items() if now < due_s + _FORGOTTEN_S}
        self._late[key] = now + self._patience.probe_s

    def _probe(self, key: Key, request: Transcribe) -> None:
        """Ask the first beside the second, and nobody waits for it."""
        self._put_off(key)
        probe = asyncio.create_task(self._try(key, request))
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)

    async def _try(self, key: Key, request: Transcribe) -> None:
        try:
            async with asyncio.timeout(self._patience.late_s):
                answer = await self._first.answer(request)
        except TimeoutError:
            return
        if isinstance(answer, Transcript):
            self._late.pop(key, None)
