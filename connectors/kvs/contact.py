"""One contact in the responses of its stream: which fragments are its own, what they give, and what they report.

    begin (take)* end         a response; the next one may repeat, overlap or lack what came before
    fill                      a response of the archive, whenever it comes

Pure: no input, no clock. Owns the guard that lets no other contact's sound pass, which fragment is complete, and what
damage and errors in the stream mean. `sound.py` places blocks; asking again, waiting and the archive are
`reading.py`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from connectors.kvs.events import (
    Block,
    ClusterOpened,
    Damage,
    ErrorTold,
    Event,
    FragmentClosed,
    FragmentOpened,
    Tag,
)
from connectors.kvs.facts import (
    Action,
    Broken,
    Checkpoint,
    Fact,
    FragmentDone,
    Gap,
    GapFound,
    OtherContact,
    Piece,
    ServiceError,
)
from connectors.kvs.sound import Sound
from topics.records import SAMPLES_PER_MS

_NUMBER: Final = "AWS_KINESISVIDEO_FRAGMENT_NUMBER"
_CONTACT: Final = "ContactId"
_DAMAGE_LIMIT: Final = 2  # what is damaged in the stream itself is as damaged at the third reading: it is left behind
_LIMBO_LIMIT: Final = 32  # fragments of a second that wait for a name; Connect leaves a few without
# GetMedia's API reference, "Errors": 4000 the fragment was not found, 4500 to 4506 the stream's key, 3002 and 5000 the
# service itself.
_ACTIONS: Final[dict[str, Action]] = {
    "3002": "wait",
    "4000": "restart",
    "5000": "wait",
    **{str(error_id): "park" for error_id in range(4500, 4507)},
}

Whose = Literal["ours", "other", "unknown"]


@dataclass(slots=True)
class _Fragment:
    """One fragment so far."""

    number: int | None = None
    text: str | None = None  # the number as told
    whose: Whose = "unknown"
    is_named: bool = False  # its own tag says whose it is
    uid: bytes | None = None
    time_ms: int | None = None
    end_ms: int = 0  # epoch milliseconds, of its last block
    blocks: int = 0
    is_new: bool = False  # it gave something
    held: list[Block] = field(default_factory=list)


class Contact:
    """Reads one contact out of what its stream's responses say.

    Attributes:
        after: the last complete fragment, to go on after; before the contact's first one, another contact's.
        checkpoint: of the last complete fragment of this contact.
        has_news: whether the response at hand gave sound that is not late.
        is_over: another contact followed.
    """

    def __init__(self, contact_id: str, checkpoint: Checkpoint | None = None) -> None:
        """Wait for the first response, from the contact's start or from a checkpoint on."""
        self.after = checkpoint.number if checkpoint else None
        self.checkpoint = checkpoint
        self.is_over = False
        self._contact_id = contact_id
        self._sound = Sound(checkpoint)
        self._uid = checkpoint.segment_uid if checkpoint else None  # of the last fragment known as this contact's
        self._damages = 0  # since the last complete fragment
        self._facts: list[Fact] = []
        self.begin()

    @property
    def is_heard(self) -> bool:
        """Whether any sound has been given, or had been before the checkpoint."""
        return self._sound.start_ms is not None

    @property
    def length_ms(self) -> int:
        """How much of the longer track has been reached."""
        return self._sound.length_ms

    @property
    def ends(self) -> tuple[int, int]:
        """How many samples of the customer's and of the agent's track have been reached."""
        return self._sound.end("customer"), self._sound.end("agent")

    @property
    def end_ms(self) -> int | None:
        """Epoch milliseconds up to which the contact has been reached."""
        return None if self._sound.start_ms is None else self._sound.start_ms + self._sound.length_ms

    @property
    def start_ms(self) -> int | None:
        """Epoch milliseconds of the first sample; None until it is known."""
        return self._sound.start_ms

    def begin(self) -> None:
        """Expect another response. The one before counts as ended, in mid-fragment or not."""
        self.has_news = False
        self._fragment: _Fragment | None = None
        self._last: _Fragment | None = None  # the fragment before, in this response
        self._limbo: list[_Fragment] = []  # whole fragments that nobody has named yet
        self._error: ErrorTold | None = None
        self._is_closed = self.is_over

    def take(self, events: Sequence[Event]) -> Sequence[Fact]:
        """Take the next events of the response; after `Broken` or `OtherContact` the rest of it means nothing."""
        for event in events:
            if self._is_closed:
                break
            if type(event) is Block:
                self._take_block(event)
            else:
                self._take(event)
        return self._told()

    def end(self) -> Sequence[Fact]:
        """Take the end of the response, after its last events."""
        if self._error is not None:
            self._tell_error(self._error)
        return self._told()

    def fill(self, events: Iterable[Event]) -> Sequence[Fact]:
        """Take a whole response of the archive: what lies in holes is given, late."""
        blocks: list[Block] = []
        uid: bytes | None = None
        for event in events:
            if isinstance(event, FragmentOpened):
                blocks, uid = [], None
            elif isinstance(event, ClusterOpened):
                uid = event.segment_uid
            elif isinstance(event, Block):
                blocks.append(event)
            elif isinstance(event, FragmentClosed) and self._is_ours(event, uid):
                self._facts += [piece for block in blocks for piece in self._sound.fill(block)]
        return self._told()

    def is_missing(self, gap: GapFound) -> bool:
        """Tell whether any of a gap has not been filled."""
        return bool(self._sound.missing(gap))

    def give_up(self, gap: GapFound) -> Sequence[Gap]:
        """Return what of a gap has not been filled, and never will be."""
        return [Gap(gap.track, first, end) for first, end in self._sound.give_up(gap)]

    def _told(self) -> Sequence[Fact]:
        facts = self._facts
        if not facts:
            return ()
        self._facts = []
        self.has_news = self.has_news or any(type(fact) is Piece and not fact.is_late for fact in facts)
        return facts

    # What a response says

    def _take(self, event: Event) -> None:
        match event:
            case Tag(name, text):
                self._take_tag(name, text)
            case FragmentOpened():
                self._fragment = _Fragment()
                self._sound.begin_fragment()
            case ClusterOpened(time_ms, uid, _):
                self._take_cluster(time_ms, uid)
            case FragmentClosed():
                self._take_close(event)
            case ErrorTold():
                self._error = event
            case Damage(reason, _):
                self._take_damage(reason)

    def _take_tag(self, name: str, text: str) -> None:
        fragment = self._fragment
        if fragment is None:
            return
        if name == _NUMBER and text.isascii() and text.isdigit():
            fragment.number, fragment.text = int(text), text
        elif name == _CONTACT:
            self._name(fragment, "ours" if text == self._contact_id else "other")

    def _take_cluster(self, time_ms: int, uid: bytes | None) -> None:
        fragment = self._fragment
        if fragment is None or fragment.time_ms is not None:
            return
        fragment.time_ms, fragment.uid = time_ms, uid
        if not fragment.is_named and self._continues(fragment):
            fragment.whose = "ours"

    def _continues(self, fragment: _Fragment) -> bool:
        """Tell whether a fragment may pass before it is named: it goes on with what was this contact's."""
        if fragment.uid is not None:
            return fragment.uid == self._uid
        return self._last is not None and self._last.whose == "ours"

    def _take_block(self, block: Block) -> None:
        fragment = self._fragment
        if fragment is None or block.track is None:
            return
        fragment.blocks += 1
        fragment.end_ms = max(fragment.end_ms, block.time_ms + len(block.payload) // (2 * SAMPLES_PER_MS))
        if fragment.whose == "ours" and self._sound.start_ms is not None:
            self._give(fragment, block)
        elif fragment.whose != "other":
            fragment.held.append(block)
            # Blocks of one track come in order: once both have begun, none is earlier.
            if fragment.whose == "ours" and len({one.track for one in fragment.held}) == 2:
                self._release(fragment)

    def _take_close(self, closed: FragmentClosed) -> None:
        fragment, self._fragment = self._fragment, None
        if fragment is None or fragment.time_ms is None:
            return
        # The service ends what it numbers with a token; without one, something else came in between.
        is_ended = fragment.number is None or closed.continuation_token is not None
        is_whole = is_ended and not closed.is_damaged and not closed.is_truncated
        if fragment.whose == "unknown" and is_whole:
            self._inherit(fragment)
        if fragment.whose == "ours" and is_whole:
            self._complete(fragment, closed.behind_now_ms)
        elif fragment.whose == "other":
            self._pass(fragment, is_whole=is_whole)
        elif fragment.is_new:
            self._sound.doubt(is_damaged=False)
        self._last = fragment

    def _take_damage(self, reason: str) -> None:
        if self._damages >= _DAMAGE_LIMIT:
            return
        self._damages += 1
        fragment = self._fragment
        if fragment is not None and fragment.is_new:
            self._sound.doubt(is_damaged=True)
        self._close(Broken(reason))

    # Whose a fragment is

    def _name(self, fragment: _Fragment, whose: Whose) -> None:
        fragment.is_named = True
        if whose == "other" and fragment.whose == "ours" and fragment.is_new:
            self._facts += self._sound.retract()
            fragment.is_new = False
        fragment.whose = whose
        self._settle_limbo(fragment)
        if whose == "other":
            fragment.held.clear()
        elif self._sound.start_ms is not None:
            self._release(fragment)

    def _inherit(self, fragment: _Fragment) -> None:
        """Decide about a whole fragment that has no name: it is another's as the one before was, else it waits."""
        last = self._last
        if last is not None and last.whose == "other" and fragment.uid in (None, last.uid):
            fragment.whose = "other"
        else:
            self._limbo = [*self._limbo, fragment][-_LIMBO_LIMIT:]

    def _settle_limbo(self, named: _Fragment) -> None:
        """Let the fragments that wait follow one of the same recording that has a name."""
        waiting, self._limbo = self._limbo, []
        if named.whose != "ours" or not waiting:
            return
        for fragment in waiting:
            if fragment.uid == named.uid:
                fragment.whose = "ours"
                self._complete(fragment, None)
        self._sound.begin_fragment()  # the named one, which has given nothing

    def _is_ours(self, closed: FragmentClosed, uid: bytes | None) -> bool:
        """Tell whether a fragment of the archive may fill; the last of a response says nothing of its end."""
        if closed.is_damaged:
            return False
        if closed.contact_id is not None:
            return closed.contact_id == self._contact_id
        return uid is not None and uid == self._uid

    # What follows from it

    def _give(self, fragment: _Fragment, block: Block) -> None:
        told = self._sound.place(block)
        if told:
            fragment.is_new = True
            self._facts += told

    def _release(self, fragment: _Fragment) -> None:
        held, fragment.held = fragment.held, []
        if held and self._sound.start_ms is None:
            self._sound.settle(held)
        for block in held:
            self._give(fragment, block)

    def _complete(self, fragment: _Fragment, behind_now_ms: int | None) -> None:
        self._release(fragment)
        self._uid = fragment.uid or self._uid
        start_ms = self._sound.start_ms
        if start_ms is None or fragment.time_ms is None or not self._is_later(fragment):
            return
        self._sound.trust()
        self._damages = 0
        self.after = fragment.text or self.after
        self.checkpoint = Checkpoint(
            self.after, start_ms, self._sound.end("customer"), self._sound.end("agent"), self._uid
        )
        self._facts.append(
            FragmentDone(
                fragment.text,
                fragment.time_ms - start_ms,
                fragment.end_ms - start_ms,
                fragment.blocks,
                behind_now_ms,
                self.checkpoint,
            )
        )

    def _is_later(self, fragment: _Fragment) -> bool:
        """Tell whether a fragment comes after every complete one; numbers increase, and have gaps."""
        if fragment.number is None or self.after is None:
            return fragment.is_new
        return fragment.number > int(self.after)

    def _pass(self, fragment: _Fragment, *, is_whole: bool) -> None:
        """Leave another contact's fragment behind; after this contact's it is the end."""
        if self._sound.start_ms is None:
            self.after = fragment.text if is_whole and fragment.text else self.after
        elif self._follows(fragment):
            self.is_over = True
            self._close(OtherContact())

    def _follows(self, fragment: _Fragment) -> bool:
        if fragment.number is not None and self.after is not None:
            return fragment.number > int(self.after)
        return fragment.time_ms is not None and self.end_ms is not None and fragment.time_ms >= self.end_ms

    def _tell_error(self, error: ErrorTold) -> None:
        error_id = error.error_id or error.code  # the archive tells the number as the code
        self._facts.append(ServiceError(error.error_id, error.code, _ACTIONS.get(error_id or "", "resume")))
        self._error = None

    def _close(self, fact: Fact) -> None:
        self._facts.append(fact)
        self._fragment = None
        self._is_closed = True
