"""Which words the finals of disturbed calls lack, and which they have too many of, against an undisturbed call."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from topics.records import SegmentWords, Track, Word

Place = tuple[Track, int]  # a segment: its track and first sample
Finals = dict[Place, tuple[Word, ...]]


@dataclass(slots=True)
class Comparison:
    """What was found.

    Attributes:
        finals: that the calls should have.
        words: that they should hold, where the recogniser itself answered or nobody did.
        lost: words that none of a segment's final holds; a final that is missing lacks all of its words.
        doubled: words that are there once more than they were spoken, and all of a segment that there is not.
        missing: finals that never came.
        extra: finals of segments that there are not.
        split: finals of one revision that differ.
        stood_in: finals of another recogniser, whose words are its own and are not compared.
        gaps: finals that nobody answered.
        where: how often the words of a segment differed, by `<track>/<first sample>`.
    """

    finals: int = 0
    words: int = 0
    lost: int = 0
    doubled: int = 0
    missing: int = 0
    extra: int = 0
    split: int = 0
    stood_in: int = 0
    gaps: int = 0
    where: dict[str, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every segment has its one final with its own words."""
        return not (self.lost or self.doubled or self.missing or self.extra or self.split)

    def judge(self, said: Iterable[SegmentWords], truth: Finals, asr: str) -> None:
        """Compare one call.

        Args:
            said: its records of transcript.words, in the order of the log.
            truth: of the undisturbed call.
            asr: of the recogniser under test, as records name it.
        """
        standing = self._standing(said)
        self.finals += len(truth)
        self.missing += len(truth.keys() - standing.keys())
        self.extra += len(standing.keys() - truth.keys())
        for place, final in standing.items():
            self.gaps += bool(final.gap)
            if final.asr == asr or final.gap:
                self._compare(place, final.words, truth.get(place, ()))
            else:
                self.stood_in += 1
        for place in truth.keys() - standing.keys():
            self._compare(place, (), truth[place])

    def _standing(self, said: Iterable[SegmentWords]) -> dict[Place, SegmentWords]:
        """Return the finals that the later revision has left standing."""
        standing: dict[Place, SegmentWords] = {}
        for one in said:
            held = standing.get((one.track, one.first_sample))
            if not one.is_final or held and held.rev > one.rev:
                continue
            self.split += held is not None and held.rev == one.rev and held != one
            standing[one.track, one.first_sample] = one
        return standing

    def _compare(self, place: Place, words: Iterable[Word], spoken: Iterable[Word]) -> None:
        had, wanted = Counter(map(_named, words)), Counter(map(_named, spoken))
        if had != wanted:
            name = f"{place[0]}/{place[1]}"
            self.where[name] = self.where.get(name, 0) + 1
        self.words += wanted.total()
        self.lost += (wanted - had).total()
        self.doubled += (had - wanted).total()


def _named(word: Word) -> tuple[str, int]:
    """A word is what is said and when it begins."""
    return word.text, word.start_ms


def finals(said: Iterable[SegmentWords]) -> Finals:
    """Return what the finals of an undisturbed call say."""
    return {(one.track, one.first_sample): one.words for one in said if one.is_final}
