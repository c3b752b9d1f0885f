"""The recogniser of all contacts: who may use it, and when it is left alone.

Owns admission, the audit of what leaves the house, and how long nobody tries again after a refusal.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from connectors.deepgram import dialects
from connectors.deepgram.causes import LineFailed, pause_s
from connectors.deepgram.line import NAME, Lines
from connectors.deepgram.places import Places
from connectors.deepgram.session import NO_PLACE, Session, Times
from pipeline import metrics
from pipeline.logs import AUDIT
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import Track

# Nobody asks again for so long after a refusal that another try does not mend.
_BARRED_S: Final = 60.0
_BUSY_LEAST_S: Final = 0.25
_AUDITED: Final = 10_000  # contacts; one that is forgotten has one line more

_log = logging.getLogger(__name__)
_audit = logging.getLogger(AUDIT)

Key = tuple[str, str, Track]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user sets.

    Attributes:
        api_key: of the service.
        tenants: that may use it, the most important first.
        url: websocket root.
        model: `flux` and what follows is served by turns, all others by results.
        sockets: connections at once, of this process.
        times: when sessions act by themselves.
    """

    api_key: str = field(repr=False)
    tenants: tuple[str, ...]
    url: str = "wss://api.deepgram.com"
    model: str = "nova-3"
    sockets: int = 50
    times: Times = field(default_factory=Times)


class DeepgramAsr:
    """Answer with what the service hears. Use it from one event loop."""

    def __init__(self, options: Options) -> None:
        """Prepare; a connection is opened with the first question of a track."""
        self._options = options
        self._lines = Lines(options.api_key, options.url, dialects.of(options.model))
        self._places = Places(options.sockets, options.tenants)
        self._sessions: dict[Key, Session] = {}
        self._barred: dict[Key | None, tuple[float, str]] = {}  # None: for all
        self._busy = 0
        self._audited: OrderedDict[tuple[str, str], None] = OrderedDict()

    def serves(self, tenant: str) -> bool:
        """Whether a tenant's audio may go there."""
        return tenant in self._options.tenants

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of a segment, or why there are none; at once where the service is not to be asked."""
        if not self.serves(request.tenant):
            return Failed("the tenant allows no recogniser in the cloud")
        key = (request.tenant, request.contact_id, request.track)
        session = self._sessions.get(key)
        if session is None:
            refusal = self._refusal(key)
            if refusal:
                metrics.RECOGNISER_REFUSED.labels(NAME, refusal).inc()
                return Failed(refusal)
            session = self._open(key)
        elif session.is_next(request) and self._places.must_leave(key, _now_s()):
            session.leave(request.first_sample)
        answer = await session.answer(request)
        if isinstance(answer, Transcript):
            self._busy = 0
        return answer

    async def close(self) -> None:
        """End every session and its connection."""
        await asyncio.gather(*(session.close() for session in list(self._sessions.values())))
        await self._lines.close()

    def _refusal(self, key: Key) -> str:
        """Return why a track may not have a connection; empty where it may, and then it has a place."""
        now = _now_s()
        self._barred = {one: bar for one, bar in self._barred.items() if bar[0] > now}
        for one in (None, key):
            if one in self._barred:
                return self._barred[one][1]
        return "" if self._places.take(key, key[0], now) else NO_PLACE

    def _open(self, key: Key) -> Session:
        self._note(key)
        session = self._sessions[key] = Session(self._lines, self._options.times, partial(self._ended, key))
        return session

    def _ended(self, key: Key, failed: LineFailed | None) -> None:
        del self._sessions[key]
        self._places.give(key)
        if failed is None:
            return
        now = _now_s()
        if failed.remedy == "busy":  # of all connections of the account
            self._busy += 1
            self._barred[None] = now + max(_BUSY_LEAST_S, pause_s(self._busy)), failed.cause
        else:
            self._barred[None if failed.is_refused else key] = now + _BARRED_S, failed.cause
            _log.error("the recogniser refused", extra={"recogniser": NAME, "cause": failed.cause})

    def _note(self, key: Key) -> None:
        """Write down that a contact's speech leaves the house; once a contact."""
        contact = key[:2]
        if contact in self._audited:
            return
        self._audited[contact] = None
        if len(self._audited) > _AUDITED:
            self._audited.popitem(last=False)
        _audit.info(
            "audio goes to an external recogniser",
            extra={"tenant": contact[0], "contact_id": contact[1], "provider": NAME},
        )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
