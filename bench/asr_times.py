"""Joins what a recogniser's double noted with what stands on Kafka: how long our side took, on one machine's clock.

    to socket    an audio record's arrival on Kafka to the read, at the double, of the bytes that hold its last sample
    to topic     the double has sent a result that says more than those before to the partial on `transcript.words` that
                 first says as much; or one that was forced, to the final that it let go
    cursor       the arrival of the audio record in which such a result ends to that partial: the latency of a
                 transcript as developers.deepgram.com/docs/measuring-streaming-latency has it
    closing      the arrival of the audio record that closes a segment to the segment's final, less the double's latency

Both ends' scheduling is in all of them. A connection tells nobody whose it is: what is heard on it cannot come before
it was said, and the calls begin one after the other, so it is the call's that began last before its promptest audio.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.double import Heard, Said
from bench.offered import Latencies
from topics.records import SAMPLES_PER_MS, SegmentWords, Track

Place = tuple[str, Track]  # a contact and one of its tracks
Arrivals = Mapping[
    str, Sequence[tuple[int, float]]
]  # by contact: the end of each audio record, and when it arrived, ms
ROUNDING_SAMPLES = 20 * SAMPLES_PER_MS  # of the times on the wire
STEADY_MS = 500.0, 1_500.0  # between two partials of a turn
STEP_MS = 250  # of the histogram
_HIGHEST_MS = 4_000


@dataclass(frozen=True, slots=True)
class Written:
    """One record of the topic, with the broker's times, ms since the epoch.

    Attributes:
        at_ms: its own.
        cause_ms: of the record that led to it; 0 where that does not count.
    """

    record: SegmentWords
    at_ms: int
    cause_ms: int

    @property
    def last_sample(self) -> int:
        """The end of its last word, in samples."""
        return self.record.words[-1].end_ms * SAMPLES_PER_MS


@dataclass(frozen=True, slots=True)
class Load:
    """What was offered and what came of it.

    Attributes:
        arrivals: of the audio records.
        words: the topic transcript.words, in the order of time, without what another recogniser said.
        begins_ms: by contact, when its audio time 0 was.
        latency_ms: how long the double takes for an answer.
        since_ms: what was before is not counted.
    """

    arrivals: Arrivals
    words: Sequence[Written]
    begins_ms: Mapping[str, float]
    latency_ms: float
    since_ms: float


@dataclass(slots=True)
class Times:
    """Figures of one load, each in milliseconds."""

    to_socket: Latencies = field(default_factory=Latencies)
    partial_to_topic: Latencies = field(default_factory=Latencies)
    final_to_topic: Latencies = field(default_factory=Latencies)
    first_cursor: Latencies = field(default_factory=Latencies)
    next_cursor: Latencies = field(default_factory=Latencies)
    first_partial: Latencies = field(default_factory=Latencies)
    closing: Latencies = field(default_factory=Latencies)
    between_ms: list[float] = field(default_factory=list)
    overtaken: int = 0  # results that came when their segment was closed: its final alone says as much
    unsaid: int = 0  # results that say more, which the topic never did

    @property
    def steady(self) -> float:
        """The share of partials that follow the one before within `STEADY_MS`."""
        low, high = STEADY_MS
        return sum(low <= one <= high for one in self.between_ms) / max(len(self.between_ms), 1)

    def histogram(self) -> dict[str, int]:
        """Count times between partials by steps, the longest together."""
        counts = dict.fromkeys(range(0, _HIGHEST_MS + 1, STEP_MS), 0)
        for one in self.between_ms:
            counts[min(int(one // STEP_MS) * STEP_MS, _HIGHEST_MS)] += 1
        return {str(step): count for step, count in counts.items()}


@dataclass(slots=True)
class Line:
    """One connection: whose audio came on it, and what was said."""

    place: Place
    heard: list[Heard] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def on_track(self, sample: int) -> int:
        """Return the sample of the track for one of the connection, as an end: that of the audio before it."""
        at = bisect_left(self.heard, sample, key=lambda one: one.sample)
        return sample + self.heard[min(at, len(self.heard) - 1)].offset


def measure(load: Load, notes: Iterable[Heard | Said]) -> Times:
    """Take the figures; `notes` are the double's, in the order of time."""
    times = Times()
    spoken = _by_place(load.words)
    for line in lines(notes, load.begins_ms):
        _follow(times, line, spoken.get(line.place, ()), load)
    for (contact, _), each in spoken.items():
        for turn in _grouped(each):
            if turn[0].at_ms >= load.since_ms:
                _turn(times, load.arrivals[contact], turn, load.latency_ms)
    return times


def lines(notes: Iterable[Heard | Said], begins_ms: Mapping[str, float]) -> list[Line]:
    """Give each connection to a track of a contact; those on which nothing was recognised belong to none."""
    heard, said = defaultdict[int, list[Heard]](list), defaultdict[int, list[Said]](list)
    for one in notes:
        if isinstance(one, Said):
            said[one.connection].append(one)
        elif one.track is not None:
            heard[one.connection].append(one)
    begun = sorted((at_ms, contact) for contact, at_ms in begins_ms.items())
    found = []
    for connection, each in heard.items():
        begun_ms = min(one.at_ms - (one.sample + one.offset) / SAMPLES_PER_MS for one in each)
        at = bisect_right(begun, begun_ms, key=lambda one: one[0]) - 1
        track = each[0].track
        if at >= 0 and track is not None:
            found.append(Line((begun[at][1], track), each, said[connection]))
    return found


def to_socket(arrivals: Sequence[tuple[int, float]], heard: Sequence[Heard]) -> Iterator[float]:
    """Yield how long each audio record took to the socket, for those that came while their segment was open.

    A segment begins with audio from before it was detected; the first read that ends where a record ends is up to date.
    """
    ends = [end for end, _ in arrivals]
    reached = 0
    for stretch in _stretches(heard):
        live = next((n for n, one in enumerate(stretch) if _is_end(ends, one.sample + one.offset)), None)
        if live is None:
            continue
        reached = max(reached, bisect_left(ends, stretch[live].sample + stretch[live].offset))
        for one in stretch[live:]:
            until = bisect_right(ends, one.sample + one.offset)
            yield from (one.at_ms - at_ms for _, at_ms in arrivals[reached:until])
            reached = max(reached, until)


def _stretches(heard: Sequence[Heard]) -> Iterator[list[Heard]]:
    """Cut a connection where its audio jumps on the track."""
    stretch: list[Heard] = []
    for one in heard:
        if stretch and one.offset != stretch[-1].offset:
            yield stretch
            stretch = []
        stretch.append(one)
    yield stretch


def _is_end(ends: Sequence[int], sample: int) -> bool:
    at = bisect_left(ends, sample)
    return at < len(ends) and ends[at] == sample


def _by_place(words: Iterable[Written]) -> dict[Place, list[Written]]:
    found = defaultdict[Place, list[Written]](list)
    for one in words:
        found[one.record.contact_id, one.record.track].append(one)
    return found


def _grouped(words: Iterable[Written]) -> Iterable[list[Written]]:
    """Gather the records of each segment of a track."""
    turns = defaultdict[int, list[Written]](list)
    for one in words:
        turns[one.record.first_sample].append(one)
    return turns.values()


def saying(line: Line, words: Sequence[Written]) -> Iterator[tuple[Said, Written | None, bool]]:
    """Find for each result that is not forced, and says more than those before, the record that first says as much.

    With it comes whether it is the first of its segment with words.
    """
    telling = [one for one in words if one.record.words]
    firsts = [turn[0] for turn in _grouped(telling)]
    reached = -1
    for said in line.said:
        if said.words_until is None or line.on_track(said.words_until) <= reached:
            continue
        reached = line.on_track(said.words_until)
        if not said.is_finalize:
            one = next((one for one in telling if one.last_sample >= reached - ROUNDING_SAMPLES), None)
            yield said, one, one in firsts


def releasing(line: Line, words: Sequence[Written]) -> Iterator[tuple[Said, Written]]:
    """Find for each forced result the final that it let go: the first since then of a segment that it covers."""
    for said in (one for one in line.said if one.is_finalize):
        until = line.on_track(said.until)
        for one in words:
            if one.record.is_final and one.at_ms >= int(said.at_ms) and one.record.end_sample <= until:
                yield said, one
                break


def arrived_ms(arrivals: Sequence[tuple[int, float]], sample: int) -> float:
    """Return when the record came that brought the audio before a sample."""
    at = bisect_left(arrivals, sample, key=lambda one: one[0])
    return arrivals[min(at, len(arrivals) - 1)][1]


def _follow(times: Times, line: Line, words: Sequence[Written], load: Load) -> None:
    arrivals = load.arrivals[line.place[0]]
    for late_ms in to_socket(arrivals, [one for one in line.heard if one.at_ms >= load.since_ms]):
        times.to_socket.add(late_ms)
    for said, one, is_first in saying(line, words):
        if said.at_ms < load.since_ms:
            continue
        if one is None or one.record.is_final:
            times.unsaid += one is None
            times.overtaken += one is not None
            continue
        times.partial_to_topic.add(one.at_ms - said.at_ms)
        cursor = times.first_cursor if is_first else times.next_cursor
        cursor.add(one.at_ms - arrived_ms(arrivals, line.on_track(said.until)))
    for said, final in releasing(line, words):
        if said.at_ms >= load.since_ms:
            times.final_to_topic.add(final.at_ms - said.at_ms)


def _turn(times: Times, arrivals: Sequence[tuple[int, float]], turn: Sequence[Written], latency_ms: float) -> None:
    partials = [one for one in turn if not one.record.is_final and one.record.words]
    times.between_ms += [after.at_ms - before.at_ms for before, after in pairwise(partials)]
    if partials:
        times.first_partial.add(partials[0].at_ms - arrived_ms(arrivals, partials[0].record.first_sample + 1))
    final = next((one for one in turn if one.record.is_final), None)
    if final and final.cause_ms:
        times.closing.add(final.at_ms - final.cause_ms - latency_ms)
