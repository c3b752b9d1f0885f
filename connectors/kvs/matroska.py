"""A push parser of GetMedia's Matroska: bytes in, events out, as soon as an element is whole.

Owns bytes in transit and how reading goes on after damage; `fragments.py` owns what elements mean. It does no input,
has no clock, and the events depend on the bytes alone, not on how they were cut into feeds.

Documents are found by the sizes of their elements, never by looking for the bytes of a header: audio can hold those.
Only where the sizes lead to something that is no Matroska is a header looked for, a whole one with its DocType. It
may lie before that point, inside an element whose size was damaged, so the bytes since the document began are kept,
`KEPT_LIMITS` times the size limit at most.
"""

from collections.abc import Callable, Sequence
from typing import Final

from connectors.kvs import ebml
from connectors.kvs.ebml import Malformed
from connectors.kvs.events import Damage, Event
from connectors.kvs.fragments import CLUSTER, EBML, SEGMENT, Fragments

LEAF_LIMIT_BYTES: Final = 64 * 1_024  # 64 times Connect's blocks; a damaged size makes reading wait for no more
KEPT_LIMITS: Final = 2
_TRIM_BYTES: Final = 16 * 1_024  # dropped at once, not at every feed


class Parser:
    """Reads one response.

    It holds at most the feed at hand, one unfinished element and what is kept for finding a lost header: 3 times the
    size limit and `_TRIM_BYTES`; for Connect's fragments about 50 KiB.
    """

    def __init__(self, leaf_limit_bytes: int = LEAF_LIMIT_BYTES) -> None:
        """Wait for the first byte; an element longer than the limit counts as damage."""
        self._limit = leaf_limit_bytes
        self._kept = KEPT_LIMITS * leaf_limit_bytes
        self._fragments = Fragments()
        self._data = bytearray()
        self._dropped = 0  # bytes before `_data`
        self._at = 0  # of the next element; it and the next two count from the start of `_data`
        self._need = 0  # how long `_data` must be until the next element is whole
        self._head: tuple[int, int, int] | None = None  # of the next element, when it has been read and is not whole
        self._floor = 0  # where a lost header may be at the earliest; what is before was read as it was meant
        self._is_lost = False
        self._is_doubtful = False  # an element came that nobody writes where it was

    def feed(self, data: bytes) -> Sequence[Event]:
        """Take the next bytes of the response, however few; return what they complete."""
        self._data += data
        if len(self._data) < self._need:
            return ()
        self._read()
        if self._at > _TRIM_BYTES:
            self._trim()
        return self._events()

    def end(self) -> Sequence[Event]:
        """Take the end of the response; a fragment that is not whole is closed as truncated.

        A response that is cut off ends in the middle of an element. If that element holds the header of a document,
        its size was damaged.
        """
        while not self._is_lost:
            self._is_doubtful = self._is_doubtful or self._at < len(self._data) and self._is_strange()
            if not self._hides_header(len(self._data)):
                break
            self._fail("the response ends within an element that holds a header")
            self._read()
        self._fragments.close(is_truncated=True)
        return self._events()

    def _events(self) -> Sequence[Event]:
        events = self._fragments.events
        if not events:
            return ()
        self._fragments.events = []
        return events

    def _read(self) -> None:
        while self._at < len(self._data):
            if self._is_lost and not self._find():
                return
            try:
                if not self._elements():
                    return
            except Malformed as malformed:
                self._fail(str(malformed))

    def _elements(self) -> bool:
        """Read element after element; False when one is not whole."""
        data, fragments, limit = self._data, self._fragments, self._limit
        length = len(data)
        while self._at < length:
            if self._is_doubtful:
                self._make_sure()
            try:
                head = self._head or ebml.head(data, self._at)
            except IndexError:
                self._need = 0
                return False
            identity, start, size = head
            self._head = None
            take = fragments.leaves.get(identity)
            if take is None and self._enters(identity):
                self._at = start
                continue
            if not 0 <= size <= limit:
                raise Malformed("an element without end or beyond the size limit")
            end = start + size
            if end > length:
                self._need, self._head = end, head
                return False
            self._leave(identity, take, start, end)
        return True

    def _enters(self, identity: int) -> bool:
        if identity == CLUSTER and self._fragments.has_cluster:
            self._make_sure()  # the service writes one in a fragment
        if not self._fragments.enters(identity):
            return False
        if identity in {EBML, SEGMENT}:
            self._floor = self._at + 1
        return True

    def _leave(self, identity: int, take: Callable[[bytes], None] | None, start: int, end: int) -> None:
        fragments = self._fragments
        was_open = fragments.is_open
        if take is not None:
            take(bytes(self._data[start:end]))
        elif not fragments.expects(identity, end - start):
            self._is_doubtful = True
        if was_open and not fragments.is_open:
            self._floor = self._at + 1  # a damaged size of the token may have swallowed a header
        self._at = end

    def _make_sure(self) -> None:
        """Refuse what was read last if a document begins in it."""
        self._is_doubtful = True
        if self._hides_header(self._at):
            raise Malformed("an element that holds a header")
        self._is_doubtful = False

    def _is_strange(self) -> bool:
        """Tell whether the unfinished element at hand is one that nobody writes there."""
        try:
            identity, _, size = ebml.head(self._data, self._at)
        except (IndexError, Malformed):
            return False
        return identity not in self._fragments.leaves and not self._fragments.expects(identity, size)

    def _hides_header(self, end: int) -> bool:
        """Tell whether a document begins within the element at hand or, when in doubt, since the fragment began."""
        start = self._earliest() if self._is_doubtful else self._at + 1
        return ebml.HEADER.search(self._data, start, end) is not None

    def _earliest(self) -> int:
        return max(self._floor, self._at - self._kept)

    def _fail(self, reason: str) -> None:
        self._fragments.events.append(Damage(reason, self._dropped + self._at))
        self._fragments.close(is_damaged=True)
        self._at = self._floor = self._earliest()
        self._need, self._head = 0, None
        self._is_lost, self._is_doubtful = True, False

    def _find(self) -> bool:
        """Go to the next header; False while none has come."""
        found = ebml.HEADER.search(self._data, self._at)
        if found is None:
            self._at = self._floor = max(self._at, len(self._data) - ebml.HEADER_REACH)
            return False
        self._at = self._floor = found.start()
        self._is_lost = False
        return True

    def _trim(self) -> None:
        """Drop what no lost header can be in."""
        cut = self._earliest()
        if cut > _TRIM_BYTES:
            del self._data[:cut]
            self._dropped += cut
            self._at -= cut
            self._floor -= cut
            self._need = max(self._need - cut, 0)
            self._head = None  # counts from the old start
