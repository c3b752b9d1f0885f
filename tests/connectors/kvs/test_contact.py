"""The machine of one contact: whose a fragment is, and that no schedule of responses changes what is heard."""

import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from connectors.kvs.contact import Contact
from connectors.kvs.events import Event
from connectors.kvs.facts import (
    Broken,
    Fact,
    FragmentDone,
    Gap,
    GapFound,
    OtherContact,
    Piece,
    Retracted,
    ServiceError,
)
from tests.connectors.kvs.documents import (
    CONTACT,
    HEADER,
    START_MS,
    UID,
    VOICES,
    aws,
    block,
    cluster,
    damage,
    drawn,
    endless,
    info,
    read,
    sound,
    tags,
    tracks,
)
from tests.connectors.kvs.reads import Heard
from topics.records import Track

pytestmark = pytest.mark.unit

OTHER = "99999999-2222-4333-8444-555555555555"
OTHER_UID = bytes(range(16, 32))
STEPS = 4  # blocks of each track in a fragment
SEEDS = int(os.environ.get("TRUNKLINE_EXAMPLES", "300"))
NUMBERS = 1_000  # the first fragment's
BLOCK = 512


@dataclass(frozen=True)
class Made:
    """One fragment, and what its tracks sound like."""

    number: int
    data: bytes
    pcm: dict[Track, bytes]


def made(
    index: int,
    contact: str | None = CONTACT,
    uid: bytes | None = UID,
    *,
    is_numbered: bool = True,
    is_named_first: bool = False,
    order: tuple[int, int] = (1, 2),
    lost: frozenset[tuple[int, int]] = frozenset(),
) -> Made:
    """Make the fragment of so many blocks after the start.

    Args:
        index: its place in the contact.
        contact: None leaves the name out.
        uid: of its recording; None leaves it out.
        is_numbered: False leaves the service's tags out.
        is_named_first: the name stands before the blocks.
        order: numbers of the customer's and the agent's track.
        lost: (track number, step) of blocks that are not there.
    """
    start_ms = START_MS + 64 * STEPS * index
    voices = dict(zip(order, VOICES.values(), strict=True))
    named = tags({"ContactId": contact}) if contact else b""
    sounds = {(track, step): sound(index * 1_000 + step * 2 + track) for step in range(STEPS) for track in (1, 2)}
    data = b"".join(
        (
            HEADER,
            endless(0x18538067, info(uid) if uid else b"", tracks(voices)),
            named if is_named_first else b"",
            aws(FRAGMENT_NUMBER=str(NUMBERS + index * 3)) if is_numbered else b"",
            cluster(
                start_ms,
                *(block(at[0], 64 * at[1], pcm) for at, pcm in sounds.items() if at not in lost),
            ),
            b"" if is_named_first else named,
            aws(MILLIS_BEHIND_NOW="7", CONTINUATION_TOKEN=str(index)) if is_numbered else b"",
        )
    )
    heard = {number: b"".join(sounds[number, step] for step in range(STEPS)) for number in (1, 2)}
    return Made(NUMBERS + index * 3, data, {"customer": heard[order[0]], "agent": heard[order[1]]})


def joined(fragments: Sequence[Made]) -> bytes:
    return b"".join(one.data for one in fragments)


def truth(fragments: Sequence[Made]) -> dict[Track, bytes]:
    return {
        "customer": b"".join(one.pcm["customer"] for one in fragments),
        "agent": b"".join(one.pcm["agent"] for one in fragments),
    }


def told(contact: Contact, response: bytes, feeds: Callable[[bytes], Iterable[bytes]] | None = None) -> list[Fact]:
    """Let a contact take a whole response."""
    contact.begin()
    events: list[Event] = read(feeds(response) if feeds else [response])
    return [*(fact for event in events for fact in contact.take([event])), *contact.end()]


def of(facts: Sequence[Fact]) -> Heard:
    heard = Heard()
    heard.take(facts)
    return heard


def opened() -> bytes:
    return HEADER + endless(0x18538067, info(), tracks(VOICES)) + aws(FRAGMENT_NUMBER="7")


def closing() -> bytes:
    return tags({"ContactId": CONTACT}) + aws(CONTINUATION_TOKEN="7")


# Whose


@pytest.mark.parametrize("is_named_first", [True, False])
def test_fragments_of_others_before_are_passed_and_after_are_the_end(is_named_first: bool) -> None:
    ours = [made(index, is_named_first=is_named_first) for index in range(3, 6)]
    before = [made(index, OTHER, OTHER_UID, is_named_first=is_named_first) for index in range(3)]
    after = [made(index, OTHER, OTHER_UID, is_named_first=is_named_first) for index in range(6, 9)]
    contact = Contact(CONTACT)
    heard = of(told(contact, joined([*before, *ours, *after])))
    assert truth(ours) == heard.pcm
    assert contact.is_over
    assert isinstance(heard.facts[-1], OtherContact)


def test_reading_goes_on_after_fragments_of_others_before() -> None:
    contact = Contact(CONTACT)
    told(contact, joined([made(0, OTHER, OTHER_UID), made(1, OTHER, OTHER_UID)]))
    assert str(NUMBERS + 3) == contact.after
    assert contact.checkpoint is None


def test_other_contact_read_again_from_before_is_not_the_end() -> None:
    contact, ours = Contact(CONTACT), [made(1), made(2)]
    told(contact, joined(ours))
    again = told(contact, joined([made(0, OTHER, OTHER_UID), *ours, made(3)]))
    assert not contact.is_over
    assert 8 == len(of(again).all(Piece))


def test_first_fragment_is_held_until_it_is_named_and_the_next_ones_are_not() -> None:
    contact = Contact(CONTACT)
    contact.begin()
    events = read([joined([made(0), made(1)])])
    taken = [len([fact for fact in contact.take([event]) if isinstance(fact, Piece)]) for event in events]
    assert [8, *[1] * 8] == [count for count in taken if count]


def test_first_fragment_of_the_next_response_passes_when_its_recording_is_known() -> None:
    contact = Contact(CONTACT)
    told(contact, made(0).data)
    contact.begin()
    response = made(1).data
    events = read([response[: response.index(b"ContactId")]])
    assert 8 == len([fact for event in events for fact in contact.take([event]) if isinstance(fact, Piece)])


def test_what_another_contact_gave_under_the_same_recording_is_taken_back() -> None:
    contact, ours = Contact(CONTACT), [made(0), made(1)]
    heard = of(told(contact, joined([*ours, made(2, OTHER)])))
    assert truth(ours) == heard.pcm
    assert {"customer", "agent"} == {one.track for one in heard.all(Retracted)}
    assert contact.is_over


def test_name_that_was_damaged_is_read_again() -> None:
    contact, fragments = Contact(CONTACT), [made(0), made(1)]
    response = joined(fragments)
    at = response.rindex(CONTACT.encode())
    heard = of(told(contact, response[: at + 8] + bytes(500) + response[at + 8 :] + made(2).data))
    assert heard.all(Retracted)
    assert heard.all(Broken)
    heard.take(told(contact, fragments[1].data))
    assert truth(fragments) == heard.pcm


@pytest.mark.parametrize("named", [0, 1, 2, 3])
def test_fragments_without_a_name_are_whose_their_recording_is(named: int) -> None:
    fragments = [made(index, CONTACT if index == named else None) for index in range(4)]
    heard = of(told(Contact(CONTACT), joined(fragments)))
    assert truth(fragments) == heard.pcm
    assert [str(one.number) for one in fragments] == [done.number for done in heard.all(FragmentDone)]


def test_fragments_of_no_recording_are_whose_the_one_before_was() -> None:
    fragments = [made(index, CONTACT if index % 2 == 0 else None, None) for index in range(4)]
    heard = of(told(Contact(CONTACT), joined(fragments)))
    assert truth(fragments) == heard.pcm
    others = [made(0, OTHER, None), made(1, None, None), *(made(index, CONTACT, None) for index in (2, 3))]
    assert truth(others[2:]) == of(told(Contact(CONTACT), joined(others))).pcm
    mixed = [made(0), made(1, None, None), made(2)]
    assert truth(mixed) == of(told(Contact(CONTACT), joined(mixed))).pcm


def test_fragments_without_a_name_after_another_contact_are_not_heard() -> None:
    fragments = [made(0, OTHER, OTHER_UID), made(1, None, OTHER_UID), made(2), made(3, None)]
    heard = of(told(Contact(CONTACT), joined(fragments)))
    assert truth(fragments[2:]) == heard.pcm


def test_fragments_without_any_tags_are_heard_at_the_tail_too() -> None:
    fragments = [made(0), made(1, None, is_numbered=False), made(2), made(3, None, is_numbered=False)]
    contact = Contact(CONTACT)
    heard = of(told(contact, joined(fragments)))
    assert truth(fragments) == heard.pcm
    assert contact.after == str(fragments[2].number)
    assert [] == [fact for fact in told(contact, joined(fragments[3:])) if isinstance(fact, Piece)]


def test_tracks_are_whose_their_names_say_in_each_fragment() -> None:
    fragments = [made(0), made(1, order=(2, 1)), made(2)]
    assert truth(fragments) == of(told(Contact(CONTACT), joined(fragments))).pcm


# Facts


def test_contact_starts_with_its_earliest_block_of_either_track() -> None:
    blocks = (block(1, 128, sound(1)), block(2, 64, sound(2)), block(1, 192, sound(3)), block(2, 128, sound(4)))
    contact = Contact(CONTACT)
    heard = of(told(contact, opened() + cluster(START_MS, *blocks) + closing()))
    assert START_MS + 64 == contact.start_ms
    assert {"customer": bytes(1_024) + sound(1) + sound(3), "agent": sound(2) + sound(4)} == heard.pcm


def test_block_lies_where_its_time_says_whatever_is_in_the_ones_before() -> None:
    blocks = (block(1, 0, sound(1, 192)), block(1, 64, sound(2, 1_023)), block(1, 128, sound(3)))
    heard = of(told(Contact(CONTACT), opened() + cluster(START_MS, *blocks) + closing()))
    assert sound(1, 192) + bytes(832) + sound(2, 1_023)[:1_022] + bytes(2) + sound(3) == heard.pcm["customer"]
    assert [] == heard.all(GapFound)


def test_hole_of_more_than_128_ms_is_a_gap_and_a_smaller_one_is_not() -> None:
    two = frozenset({(1, 1), (1, 2)})
    three = frozenset({(2, 0), (2, 1), (2, 2)})
    heard = of(told(Contact(CONTACT), joined([made(0), made(1, lost=two), made(2, lost=three)])))
    assert [GapFound("agent", 8 * BLOCK, 11 * BLOCK)] == heard.all(GapFound)


def test_archive_fills_holes_and_nothing_else() -> None:
    lost = frozenset({(1, 1), (1, 2), (1, 3)})
    contact = Contact(CONTACT)
    heard = of(told(contact, joined([made(0), made(1, lost=lost), made(2)])))
    (gap,) = heard.all(GapFound)
    assert contact.is_missing(gap)
    heard.take(contact.fill(read([joined([made(1, OTHER, OTHER_UID)])])))
    assert contact.is_missing(gap)
    heard.take(contact.fill(read([joined([made(0), made(1), made(2), made(3)])])))
    assert truth([made(0), made(1), made(2)]) == heard.pcm
    assert not contact.is_missing(gap)
    assert [] == [*contact.give_up(gap)]


def test_gap_that_is_given_up_is_told_once_and_not_filled_any_more() -> None:
    lost = frozenset({(1, 1), (1, 2), (1, 3)})
    contact = Contact(CONTACT)
    (gap,) = of(told(contact, joined([made(0), made(1, lost=lost), made(2)]))).all(GapFound)
    assert [Gap("customer", 5 * BLOCK, 8 * BLOCK)] == [*contact.give_up(gap)]
    assert [] == [*contact.give_up(gap)]
    assert [] == [*contact.fill(read([made(1).data]))]


def test_checkpoint_lets_another_reader_go_on() -> None:
    fragments = [made(index) for index in range(4)]
    first = Contact(CONTACT)
    heard = of(told(first, joined(fragments[:2])))
    second = Contact(CONTACT, first.checkpoint)
    assert str(fragments[1].number) == second.after
    heard.take(told(second, joined(fragments[1:])))
    assert truth(fragments) == heard.pcm


def test_response_without_anything_new_is_known_as_such() -> None:
    contact = Contact(CONTACT)
    told(contact, made(0).data)
    assert contact.has_news
    told(contact, made(0).data)
    assert not contact.has_news


@pytest.mark.parametrize(
    ("error_id", "action"),
    [("4000", "restart"), ("4500", "park"), ("4506", "park"), ("3002", "wait"), ("5000", "wait"), ("9", "resume")],
)
def test_error_in_the_stream_says_what_to_do(error_id: str, action: str) -> None:
    said = HEADER + endless(0x18538067, aws(ERROR_CODE="An error", ERROR_ID=error_id))
    contact = Contact(CONTACT)
    (error,) = of(told(contact, made(0).data + said)).all(ServiceError)
    assert (error_id, "An error", action) == (error.error_id, error.code, error.action)
    assert str(NUMBERS) == contact.after


def test_damage_ends_the_response_twice_and_is_left_behind_then() -> None:
    fragments = [made(index) for index in range(4)]
    broken = bytearray(joined(fragments))
    at = len(fragments[0].data) + fragments[1].data.index(b"\xa3\x01") + 900
    broken[at:at] = b"\x00" * 300
    contact, heard, counts = Contact(CONTACT), Heard(), []
    for _ in range(3):
        facts = told(contact, bytes(broken))
        heard.take(facts)
        counts.append(len([fact for fact in facts if isinstance(fact, Broken)]))
    assert [1, 1, 0] == counts
    assert [str(one.number) for one in (fragments[0], *fragments[2:])] == [
        done.number for done in heard.all(FragmentDone)
    ]


# Schedules


def responses(fragments: Sequence[Made], seed: int) -> tuple[Callable[[Contact], bytes], random.Random]:
    """Return what makes one response after another: early, late or exact beginnings, and a cut or garbage.

    There is garbage twice at most, since a fragment that is damaged at every reading is left behind, and only where the
    parser tells of it: in the last fragment it may be the end of the response, in a block it may be sound.
    """
    dice, damages = random.Random(seed), [0, 1]

    def one(contact: Contact) -> bytes:
        resume = next((at for at, made in enumerate(fragments) if made.number > int(contact.after or 0)), 0)
        start = dice.choice((resume, resume, resume, 0, dice.randrange(len(fragments))))
        chosen = fragments[start : start + dice.randint(1, 5)]
        whole = joined(chosen)
        place = dice.randrange(len(whole) + 1)
        dirty = whole[:place] + dice.randbytes(dice.randint(100, 400)) + whole[place:]
        is_before_last = place <= len(whole) - len(chosen[-1].data)
        if damages and dice.random() < 0.3 and is_before_last and damage(read([dirty])):
            damages.pop()
            return dirty
        return whole[: dice.choice((len(whole), place))]

    return one, dice


def drawn_contact(seed: int) -> list[Made]:
    """Make twelve fragments, some without a name or any tags."""
    dice = random.Random(seed)
    odd = {dice.randrange(1, 11) for _ in range(3)}
    return [
        made(
            index,
            None if index in odd else CONTACT,
            is_numbered=index not in odd or dice.random() < 0.5,
            is_named_first=dice.random() < 0.3,
            order=dice.choice(((1, 2), (2, 1))),
        )
        for index in range(12)
    ]


@pytest.mark.parametrize("chunk", range(10))
def test_any_schedule_of_responses_is_heard_as_the_truth(chunk: int) -> None:
    for seed in range(chunk * SEEDS // 10, (chunk + 1) * SEEDS // 10):
        fragments, contact, heard = drawn_contact(seed), Contact(CONTACT), Heard()
        one, dice = responses(fragments, seed)
        heard.take(told(contact, fragments[0].data))  # the contact's start has to be read first
        for _ in range(dice.randint(3, 12)):
            heard.take(told(contact, one(contact), partial(drawn, seed=seed)))
        heard.take(told(contact, joined(fragments)))
        lengths = dict(zip(("customer", "agent"), contact.ends, strict=True))
        assert truth(fragments) == {track: pcm[: lengths[track] * 2] for track, pcm in heard.pcm.items()}, seed
