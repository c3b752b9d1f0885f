"""One track of one contact: its questions, and the connection that answers them.

A question carries all audio of its segment. The session sends what the connection has not had and waits for what the
service says; when a connection fails it opens another and sends the audio of the questions that wait. Nothing is kept
that the next question does not bring again.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from connectors.deepgram.causes import LineFailed, pause_s
from connectors.deepgram.heard import Heard, Placed, confidence, in_time
from connectors.deepgram.line import NAME, Line, Lines
from connectors.deepgram.sent import Sent
from pipeline import metrics
from pipeline.audio.pcm import BYTES_PER_SAMPLE
from pipeline.machine import Failed
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import SAMPLE_RATE_HZ, SAMPLES_PER_MS

# Audio goes in messages of 20 to 250 ms (github.com/orgs/deepgram/discussions/224); a record has 192 ms.
_LEAST_SAMPLES: Final = 20 * SAMPLES_PER_MS
_MOST_SAMPLES: Final = 250 * SAMPLES_PER_MS
_CUT_SAMPLES: Final = 200 * SAMPLES_PER_MS
# A replay of a whole segment of 8 s takes a second. The service publishes no limit.
_REPLAY_SPEED: Final = 8
_BURST_S: Final = 0.1  # at that speed: 0.8 s, with which a segment opens
# Interim results come each second (developers.deepgram.com/docs/utterance-end): after so much one is due.
_NEWS_SAMPLES: Final = 3 * SAMPLE_RATE_HZ // 2
_PROOF_SAMPLES: Final = SAMPLE_RATE_HZ // 2
_CLOSE_LIMIT_S: Final = 1.0
_CLOSED: Final = "the recogniser was closed"
NO_PLACE: Final = "no connection is free"


@dataclass(frozen=True, slots=True)
class Times:
    """When a session does something by itself, in seconds.

    Attributes:
        keep_alive_s: without audio; the service closes after 10 (NET-0001).
        idle_s: without a question, until the connection is closed.
        gone_s: without a question after one was taken back: its asker has gone.
        silent_s: without a message when one was due, until the connection counts as dead; its pings need 40 s.
        proof_s: without an answer to what makes everything final, until silence is sent so that one must come.
    """

    keep_alive_s: float = 4.0
    idle_s: float = 60.0
    gone_s: float = 2.0
    silent_s: float = 5.0
    proof_s: float = 1.0


@dataclass(slots=True, eq=False)
class _Ask:
    """A question that waits; times are the loop's.

    Attributes:
        sent_s: when its last audio was on the socket of this connection.
        flushed_s: when the service was asked to make it final.
        is_proved: an answer to that was provoked.
    """

    request: Transcribe
    answer: "asyncio.Future[Transcript | Failed]"
    asked_s: float
    sent_s: float | None = None
    flushed_s: float | None = None
    is_proved: bool = False

    @property
    def span(self) -> tuple[int, int]:
        """The samples of the track whose words are asked for."""
        return self.request.pcm_first_sample, self.request.end_sample

    @property
    def reach(self) -> tuple[int, int]:
        """The samples of the track that are sent for it."""
        first = self.request.pcm_first_sample
        return first, first + len(self.request.pcm) // BYTES_PER_SAMPLE

    def cut(self, start: int, end: int) -> bytes:
        """Return the samples between two of the track."""
        first = self.request.pcm_first_sample
        return self.request.pcm[(start - first) * BYTES_PER_SAMPLE : (end - first) * BYTES_PER_SAMPLE]

    def restart(self) -> None:
        """Begin again on another connection."""
        self.sent_s, self.flushed_s, self.is_proved = None, None, False


@dataclass(slots=True)
class _Told:
    """The last partial that was answered."""

    first_sample: int = -1
    words: list[Placed] = field(default_factory=list)
    heard: Heard | None = None
    until: int = 0


class Session:
    """See the module; it ends by itself and is used no more after `on_end`."""

    def __init__(self, lines: Lines, times: Times, on_end: Callable[[LineFailed | None], None]) -> None:
        """Begin without a connection.

        Args:
            lines: where connections come from.
            times: when it acts.
            on_end: called once: when it is idle, or with what makes another try useless.
        """
        self._lines, self._times, self._on_end = lines, times, on_end
        self._loop = asyncio.get_running_loop()
        self._asks: list[_Ask] = []
        self._wake = asyncio.Event()
        self._left_s, self._was_taken_back = self._loop.time(), False
        self._newest = -1  # first sample of the newest segment
        self._leaves_at: int | None = None
        self._has_ended = False
        self._told = _Told()
        self._due_s: float | None = None  # since when a message is due
        self._renew()
        self._running: asyncio.Task[None] | None = None

    async def answer(self, request: Transcribe) -> Transcript | Failed:
        """Return the words of a segment: of a final all, of a partial when the service has said more than it had."""
        if self._leaves_at is not None and request.first_sample >= self._leaves_at:
            return Failed(NO_PLACE)
        self._newest = max(self._newest, request.first_sample)
        now = self._loop.time()
        if not self._asks and now > self._left_s + self._times.gone_s:
            self._due_s = None  # nobody has waited for it
        ask = _Ask(request, self._loop.create_future(), now)
        self._asks.append(ask)
        self._wake.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            return await ask.answer
        finally:
            self._asks.remove(ask)
            self._left_s, self._was_taken_back = self._loop.time(), ask.answer.cancelled()
            self._wake.set()

    def is_next(self, request: Transcribe) -> bool:
        """Whether a question is the first of its segment, and not of the first segment."""
        return request.first_sample > self._newest >= 0

    def leave(self, first_sample: int) -> None:
        """Answer no segment from a sample on, and end as soon as no question waits."""
        self._leaves_at = first_sample
        self._wake.set()

    async def close(self) -> None:
        """End; questions that wait are answered as failed."""
        self.leave(0)
        self._fail(_CLOSED)
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=_CLOSE_LIMIT_S)
            for running in late:
                running.cancel()

    async def _run(self) -> None:
        """Have a connection while questions come; a failure is met by the next one."""
        failures, end = 0, None
        try:
            while end is None and await self._is_wanted():
                try:
                    await self._connected()
                except LineFailed as failed:
                    metrics.RECOGNISER_FAILURES.labels(NAME, failed.cause).inc()
                    failures = 1 if self._heard.said_until else failures + 1
                    if failed.remedy == "again":
                        await asyncio.sleep(pause_s(failures))
                    else:
                        end = failed
        finally:
            self._end(end)

    async def _connected(self) -> None:
        """Open a connection and use it until nothing is asked any more.

        Raises:
            LineFailed: it could not be opened, or has ended.
        """
        self._renew()
        line = await self._lines.open()
        reading = asyncio.create_task(self._read(line))
        reading.add_done_callback(self._notice)
        try:
            while not self._is_over():
                if not await self._feed(line, reading):
                    return  # the next one is fed from the oldest question on
                await self._tend(line)
                await self._wait(self._next_s())
            self._end(None)
            await line.close_stream()
        finally:
            reading.cancel()
            self._lines.let_go(line)

    def _renew(self) -> None:
        """Forget everything that belongs to a connection."""
        self._sent = Sent()
        self._heard = Heard(self._sent)
        self._spoke_s = self._paced_s = self._loop.time()
        self._due_s = None
        self._unheard_samples = 0
        for ask in self._asks:
            ask.restart()

    async def _is_wanted(self) -> bool:
        """Wait without a connection until something is asked; False once it is over."""
        while not self._asks:
            if self._is_over():
                return False
            await self._wait(self._over_s())
        return True

    async def _wait(self, until_s: float) -> None:
        """Wait for a question, a message, an end, or a time."""
        if until_s == math.inf:
            await self._wake.wait()
        else:
            try:
                async with asyncio.timeout_at(until_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()

    async def _read(self, line: Line) -> None:
        async for said in line.messages():
            self._due_s, self._unheard_samples = None, 0
            if said is not None:
                self._heard.take(said)
                self._settle()

    def _notice(self, reading: "asyncio.Task[None]") -> None:
        """Look at a reader that has ended; the sender may have met the same failure first."""
        if not reading.cancelled():
            reading.exception()
        self._wake.set()

    async def _feed(self, line: Line, reading: "asyncio.Task[None]") -> bool:
        """Send what the questions have and the connection has not; a final is flushed before what follows it.

        Returns:
            False where that is earlier than what was sent: a word would be parted, so another connection is needed.
        """
        while chunk := self._next_chunk():
            _raise(reading)
            ask, start, end = chunk
            if start < self._sent.track_end:
                return False
            await self._finish(line, [one for one in self._asks if one.span < ask.span])
            await self._keep_pace(end - start)
            await self._say(line, start, ask.cut(start, end))
        _raise(reading)
        await self._finish(line, self._asks)
        return True

    async def _finish(self, line: Line, sent: Iterable[_Ask]) -> None:
        """Note questions whose audio is on the connection, and have it made final where that is asked."""
        for ask in sent:
            ask.sent_s = ask.sent_s or self._loop.time()
        self._settle()
        for ask in self._unproved():
            if ask.flushed_s is None:
                ask.flushed_s = self._loop.time()
                if not self._heard.is_forced(self._sent.place_of(*ask.reach)):
                    await self._flush(line, ask)

    def _next_chunk(self) -> tuple[_Ask, int, int] | None:
        """Return the oldest audio that was not sent, as much as one message takes."""
        for ask in sorted(self._asks, key=lambda ask: ask.span):
            for start, end in self._sent.missing(*ask.reach):
                if end - start >= _LEAST_SAMPLES or ask.request.is_final:
                    return ask, start, end if end - start <= _MOST_SAMPLES else start + _CUT_SAMPLES
        return None

    async def _say(self, line: Line, first_sample: int | None, audio: bytes) -> None:
        """Send audio; it is on the map before an answer can come."""
        samples = len(audio) // BYTES_PER_SAMPLE
        self._sent.add(first_sample, samples)
        self._spoke_s = self._loop.time()
        if first_sample is not None:
            self._unheard_samples += samples
            if self._unheard_samples >= _NEWS_SAMPLES:
                self._due_s = self._due_s or self._spoke_s
        await line.send(audio)

    async def _keep_pace(self, samples: int) -> None:
        self._paced_s = max(self._paced_s, self._loop.time()) + samples / SAMPLE_RATE_HZ / _REPLAY_SPEED
        ahead_s = self._paced_s - self._loop.time()
        if ahead_s > _BURST_S:
            await asyncio.sleep(ahead_s - _BURST_S)

    async def _flush(self, line: Line, ask: _Ask, silence_samples: int = 0) -> None:
        """Ask for a final result; with silence around it where no other audio follows, whose words that would part."""
        is_last = self._sent.samples <= self._sent.place_of(*ask.reach)
        if is_last and silence_samples:
            await self._say(line, None, bytes(silence_samples * BYTES_PER_SAMPLE))
        self._heard.force()
        self._spoke_s = self._loop.time()
        self._due_s = self._due_s or self._spoke_s
        await line.finalize()
        if is_last and (samples := self._lines.dialect.flush_samples):
            await self._say(line, None, bytes(samples * BYTES_PER_SAMPLE))

    async def _tend(self, line: Line) -> None:
        """Do what time asks for: provoke an answer, keep the connection, give it up.

        Raises:
            LineFailed: it is silent though something is due.
        """
        now = self._loop.time()
        if self._asks and self._due_s is not None and now >= self._due_s + self._times.silent_s:
            raise LineFailed("silent")
        for ask in self._unproved():
            if ask.flushed_s is not None and not ask.is_proved and now >= ask.flushed_s + self._times.proof_s:
                ask.is_proved = True
                await self._flush(line, ask, _PROOF_SAMPLES)
        if now >= self._spoke_s + self._times.keep_alive_s:
            await self._keep_alive(line)

    async def _keep_alive(self, line: Line) -> None:
        self._spoke_s = self._loop.time()
        if samples := self._lines.dialect.keep_alive_samples:
            await self._say(line, None, bytes(samples * BYTES_PER_SAMPLE))
        else:
            await line.keep_alive()

    def _next_s(self) -> float:
        """Return when `_tend` has something to do, or the session is over."""
        times = [self._spoke_s + self._times.keep_alive_s, self._over_s()]
        if self._asks and self._due_s is not None:
            times.append(self._due_s + self._times.silent_s)
        times += [
            ask.flushed_s + self._times.proof_s for ask in self._unproved() if ask.flushed_s and not ask.is_proved
        ]
        return min(times)

    def _unproved(self) -> list[_Ask]:
        """Return the finals that are sent and not known to be complete."""
        return [ask for ask in self._asks if ask.request.is_final and ask.sent_s is not None and not ask.answer.done()]

    def _settle(self) -> None:
        """Answer what is sent and can be answered."""
        for ask in self._asks:
            if ask.sent_s is None or ask.answer.done():
                continue
            words = self._heard.words(*ask.span, is_final=ask.request.is_final)
            if ask.request.is_final:
                is_ready = self._heard.is_complete(self._sent.place_of(*ask.reach))
            else:
                is_ready = self._is_news(ask, words)
            if is_ready:
                ask.answer.set_result(self._transcript(ask, ask.sent_s, words))

    def _is_news(self, ask: _Ask, words: list[Placed]) -> bool:
        """Whether a partial says more than the last one; one of another connection may not say less."""
        told, heard = self._told, self._heard
        if ask.request.first_sample != told.first_sample:
            is_news = True
        elif told.heard is heard:
            is_news = words != told.words or heard.said_until > told.until
        else:
            is_news = len(words) >= len(told.words)
        if words and is_news:
            self._told = _Told(ask.request.first_sample, words, heard, heard.said_until)
        return bool(words) and is_news

    def _transcript(self, ask: _Ask, sent_s: float, words: list[Placed]) -> Transcript:
        return Transcript(
            in_time(words, ask.request.end_sample),
            f"{NAME} {self._lines.dialect.model}",
            confidence(words),
            queue_ms=round((sent_s - ask.asked_s) * 1_000),
            provider_ms=round((self._loop.time() - sent_s) * 1_000),
        )

    def _over_s(self) -> float:
        if self._asks:
            return math.inf
        if self._leaves_at is not None:
            return self._left_s
        return self._left_s + (self._times.gone_s if self._was_taken_back else self._times.idle_s)

    def _is_over(self) -> bool:
        return self._loop.time() >= self._over_s()

    def _end(self, failed: LineFailed | None) -> None:
        """Say that no more questions may come; once."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end(failed)
            self._fail(failed.cause if failed else _CLOSED)

    def _fail(self, reason: str) -> None:
        for ask in self._asks:
            if not ask.answer.done():
                ask.answer.set_result(Failed(reason))


def _raise(reading: "asyncio.Task[None]") -> None:
    """Let the end of a connection be the sender's too."""
    if reading.done():
        reading.result()
