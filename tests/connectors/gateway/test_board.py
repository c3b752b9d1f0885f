"""The board: what screens are told, in any order of revisions and from any point of resumption."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.gateway import board as limits
from connectors.gateway.board import Board, Frame, Shown, is_shown
from tests.connectors.gateway import screenplay as play
from topics.records import Hint

pytestmark = pytest.mark.unit

TURNS = ("one two three", "four five", "six")
CAUSES = ("cause-a", "cause-b")
HINTS = tuple(play.hint(name, at_ms) for name, at_ms in (("x", 100), ("y", 200), ("z", 300)))


@dataclass(slots=True)
class Screen:
    """What the page's `store.js` does, in as few words as possible."""

    seq: int = 0
    epoch: object = None
    turns: dict[object, Frame] = field(default_factory=dict)
    causes: dict[object, Frame] = field(default_factory=dict)
    answers: dict[object, object] = field(default_factory=dict)
    contact: object = None
    end: object = None
    seen: list[object] = field(default_factory=list)

    def take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        match frame:
            case {"type": "snapshot", "epoch": epoch, "turns": list(turns), "guidance": list(guidance)}:
                self.epoch = epoch
                rest = (frame["contact"], frame["end"], *frame["feedback"])  # type: ignore[misc]  # a list
                self.take(part for part in (*turns, *guidance, *rest) if part is not None)
            case {"type": "turn"}:
                self._put(self.turns, frame["turn_id"], frame)
            case {"type": "guidance"}:
                self._put(self.causes, frame["cause_id"], frame)
            case {"type": "feedback"}:
                self.answers.setdefault(frame["guidance_id"], frame["action"])
            case {"type": "contact"}:
                self.contact = self.contact or frame["agent"]
            case {"type": "end"}:
                self.end = self.end or frame["at_ms"]
        if isinstance(seq := frame.get("seq"), int):
            self.seen += [seq] if frame["type"] != "snapshot" else []
            self.seq = max(self.seq, seq)

    def _put(self, shelf: dict[object, Frame], name: object, frame: Frame) -> None:
        if name not in shelf or _order(shelf[name]) < _order(frame):
            shelf[name] = frame

    def view(self) -> tuple[object, ...]:
        """What a person sees: no revisions, no empty sets."""
        texts = {name: (turn["text"], turn["is_final"]) for name, turn in self.turns.items()}
        cards = {name: cause["hints"] for name, cause in self.causes.items() if cause["hints"]}
        return texts, cards, self.answers, self.contact, self.end


def _order(frame: Frame) -> tuple[bool, int]:
    rev = frame["rev"]
    assert isinstance(rev, int)
    return bool(frame.get("is_final")), rev


@st.composite
def revisions(draw: st.DrawFn) -> list[Shown]:
    """Every revision that a call made: each (identity, rev) has one content, as the engine promises."""
    records: list[Shown] = [play.started(), play.ended(9_000)]
    for n, text in enumerate(TURNS):
        for rev in draw(st.sets(st.integers(1, 6), max_size=4)):
            said = " ".join(text.split()[: draw(st.integers(0, 3))])
            records.append(play.turn(said, n * 1_000, rev=rev, is_final=draw(st.booleans())))
    for cause in CAUSES:
        for rev in draw(st.sets(st.integers(1, 6), max_size=4)):
            hints = draw(st.lists(st.sampled_from(HINTS), unique=True))
            records += [play.guidance(cause, *hints, rev=rev)]
    answered = draw(st.lists(st.sampled_from(HINTS), unique=True))
    return records + [play.feedback(hint.guidance_id) for hint in answered]


def show(board: Board, records: Iterable[Shown]) -> tuple[Frame, ...]:
    return tuple(frame for record in records for frame in board.apply(record, play.KEY, play.LOGGED_MS))


def final_screen(records: Iterable[Shown]) -> tuple[object, ...]:
    board, screen = Board("e"), Screen()
    screen.take(show(board, records))
    return screen.view()


def numbered(frames: Iterable[Frame]) -> list[Frame]:
    return [frame for frame in frames if "seq" in frame]


@given(revisions(), st.data())
def test_any_order_and_duplication_ends_in_the_same_screen(records: list[Shown], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(records)))
    shuffled = data.draw(st.permutations(records + again))
    assert final_screen(records) == final_screen(shuffled)


@given(revisions(), st.data())
def test_resuming_anywhere_shows_what_a_whole_life_shows(records: list[Shown], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=4)))
    board, quiet, cut = Board("e"), Screen(), Screen()
    quiet.take(board.since(play.CONTACT, None, 0))
    for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        cut.take(board.since(play.CONTACT, "e" if cut.epoch else None, cut.seq))
        frames = show(board, records[start:end])
        quiet.take(frames)
        heard = data.draw(st.integers(0, len(frames)))
        cut.take(frames[:heard])
    cut.take(board.since(play.CONTACT, "e" if cut.epoch else None, cut.seq))
    assert quiet.view() == cut.view()
    assert sorted(set(quiet.seen)) == quiet.seen  # type: ignore[type-var]  # they are int
    assert sorted(set(cut.seen)) == cut.seen  # type: ignore[type-var]  # they are int


@given(revisions(), st.integers(0, 30))
def test_since_has_neither_gap_nor_duplicate(records: list[Shown], seq: int) -> None:
    board = Board("e")
    frames = numbered(show(board, records))
    missed = board.since(play.CONTACT, "e", seq)
    if seq <= len(frames):
        assert [frame for frame in frames if frame["seq"] > seq] == numbered(missed)  # type: ignore[operator]  # int
    else:
        assert "snapshot" == missed[0]["type"]


@given(revisions())
def test_replaying_a_topic_tells_screens_nothing(records: list[Shown]) -> None:
    board = Board("e")
    show(board, records)
    assert () == show(board, records)


@given(revisions())
def test_a_snapshot_takes_nothing_from_a_screen_that_knows_more(known: list[Shown]) -> None:
    """A gateway that has just started has not read everything yet."""
    screen, young = Screen(), Board("young")
    screen.take(show(Board("old"), known))
    show(young, known[: len(known) // 2])
    before = screen.view()
    screen.take(young.since(play.CONTACT, "old", screen.seq))
    assert before == screen.view()


def test_frame_of_a_turn() -> None:
    frames = Board("e").apply(play.turn("My card is [CREDITCARD].", 2_000, rev=7), play.KEY)
    expected = {
        "seq": 1,
        "type": "turn",
        "turn_id": f"{play.CONTACT}/customer/16000",
        "rev": 7,
        "redaction_rev": 0,
        "track": "customer",
        "speaker": "customer",
        "start_ms": 2_000,
        "end_ms": 3_200,
        "text": "My card is [CREDITCARD].",
        "stable": 0,
        "gap": "",
        "is_backchannel": False,
        "is_final": True,
    }
    assert (expected, {"type": "clock", "time_ms": 3_200}) == frames


def test_partial_never_overwrites_final_even_with_a_higher_revision() -> None:
    board = Board("e")
    board.apply(play.turn("hello there", 0, rev=1), play.KEY)
    assert () == board.apply(play.turn("hello", 0, rev=2, is_final=False), play.KEY)


def test_equal_revision_is_a_no_op_whatever_it_says() -> None:
    board = Board("e")
    show(board, [play.turn("hello", 0, rev=1), play.guidance("cause", HINTS[0], rev=1)])
    assert () == show(board, [play.turn("other", 0, rev=1), play.guidance("cause", HINTS[1], rev=1)])


def test_withdrawn_hint_removes_its_card() -> None:
    board = Board("e")
    board.apply(play.guidance("cause", HINTS[0], rev=1), play.KEY)
    assert ({"seq": 2, "type": "guidance", "cause_id": "cause", "rev": 2, "hints": []},) == board.apply(
        play.guidance("cause", rev=2), play.KEY
    )


@pytest.mark.parametrize("hints", [(), (HINTS[0],)])
def test_guidance_identical_to_what_is_shown_is_no_news(hints: tuple[Hint, ...]) -> None:
    board = Board("e")
    board.apply(play.guidance("cause", *hints, rev=1), play.KEY)
    assert () == board.apply(play.guidance("cause", *hints, rev=2), play.KEY)


def test_withdrawal_that_arrives_first_still_counts() -> None:
    board = Board("e")
    board.apply(play.guidance("cause", rev=2), play.KEY)
    assert () == board.apply(play.guidance("cause", HINTS[0], rev=1), play.KEY)


def test_first_answer_to_a_card_stands() -> None:
    board = Board("e")
    board.apply(play.feedback("card", "accepted"), play.KEY)
    assert () == board.apply(play.feedback("card", "dismissed"), play.KEY)


def test_only_an_open_card_can_be_answered() -> None:
    board = Board("e")
    show(board, [play.started(), play.guidance("cause", *HINTS[:2]), play.feedback(HINTS[1].guidance_id)])
    card = board.card(play.CONTACT, HINTS[0].guidance_id, "accepted")
    assert limits.Card(play.KEY, 1, play.feedback(HINTS[0].guidance_id)) == card
    assert board.card(play.CONTACT, HINTS[1].guidance_id, "accepted") is None
    assert board.card(play.CONTACT, HINTS[2].guidance_id, "accepted") is None
    assert board.card("another", HINTS[0].guidance_id, "accepted") is None


def test_resume_from_before_the_ring_is_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board("e")
    show(board, [play.turn(f"turn {n}", n * 1_000) for n in range(limits.RING_FRAMES + 1)])
    assert "turn" == board.since(play.CONTACT, "e", 1)[0]["type"]
    assert "snapshot" == board.since(play.CONTACT, "e", 0)[0]["type"]
    assert "snapshot" == board.since(play.CONTACT, "other epoch", 1)[0]["type"]


def test_clock_is_told_once_a_second_of_audio() -> None:
    board = Board("e")
    told = show(board, [play.watermark(time_ms) for time_ms in range(0, 3_001, 200)])
    assert [1_000, 2_000, 3_000] == [frame["time_ms"] for frame in told]
    assert () == show(board, [play.watermark(500)])


def test_newest_contact_is_listed_first() -> None:
    board = Board("e")
    for n, contact_id in enumerate(("old", "young")):
        board.apply(play.started(contact_id), contact_id.encode(), 1_000 + n)
    board.apply(play.ended(5_000, "young"), b"young", 2_000)
    listed = [(contact["contact_id"], contact["is_live"]) for contact in board.contacts()]
    assert [("young", False), ("old", True)] == listed


def test_contact_is_dropped_an_hour_after_its_end() -> None:
    board = Board("e")
    show(board, [play.started(), play.ended(5_000)])
    board.apply(play.started("next"), b"next", play.LOGGED_MS + limits.KEEP_ENDED_MS + 1)
    assert ["next"] == [contact["contact_id"] for contact in board.contacts()]


def test_full_board_drops_what_has_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONTACTS", 2)
    board = Board("e")
    for n, record in enumerate((play.started("live"), play.started("over"), play.ended(1, "over"))):
        board.apply(record, b"key", play.LOGGED_MS + n)
    board.apply(play.started("next"), b"next", play.LOGGED_MS + 5)
    assert {"live", "next"} == {contact["contact_id"] for contact in board.contacts()}


def test_contact_that_comes_back_counts_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a screen that still holds the old number would take frames for ones that it has seen."""
    monkeypatch.setattr(limits, "CONTACTS", 1)
    board, screen = Board("e"), Screen()
    screen.take(show(board, [play.started(), play.turn("hello", 0), play.turn("again", 2_000)]))
    board.apply(play.started("other"), b"other")
    show(board, [play.turn(f"late words {n}", 4_000 + n) for n in range(9)])
    screen.take(board.since(play.CONTACT, "e", screen.seq))
    assert 11 == len(screen.turns)


@pytest.mark.parametrize("kind", ["turns", "causes"])
def test_long_contact_keeps_its_newest_part(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(limits, "TURNS", 3)
    monkeypatch.setattr(limits, "CAUSES", 3)
    board = Board("e")
    records: Sequence[Shown] = (
        [play.turn(f"turn {n}", n * 1_000) for n in range(5)]
        if kind == "turns"
        else [play.guidance(f"cause-{n}", HINTS[0]) for n in range(5)]
    )
    show(board, records)
    screen = Screen()
    screen.take(board.since(play.CONTACT, None, 0))
    assert 3 == len(screen.turns) + len(screen.causes)


def test_screen_shows_when_a_contact_starts_and_ends_but_no_hold() -> None:
    shown = [is_shown(record) for record in (play.started(), play.held(), play.ended(1_000), play.turn("one", 0))]
    assert [True, False, True, True] == shown


def test_agent_who_joins_later_gets_a_name() -> None:
    """Amazon Connect tells who answered after it has told that the contact started."""
    board = Board("e")
    joined = [replace(play.held(), kind="agent_joined", agent=agent) for agent in ("", "Daniel", "Maria")]
    frames = show(board, [play.started(agent=""), *joined])
    named = [frame["agent"] for frame in frames if frame["type"] == "contact"]
    assert ["", "Daniel"] == named
