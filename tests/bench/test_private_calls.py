"""Made-up calls: what is labelled is what was said, and the numbers pass their own checks."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import cast

import pytest

from bench.private_benign import SENTENCES
from bench.private_calls import ASKS, KINDS, Call, Record, calls, counted, one_call
from bench.private_words import OPTIONAL
from pipeline.redaction import lines
from pipeline.redaction.report import Span

pytestmark = pytest.mark.unit

COUNT = 400
UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
SMALL = {word: at for at, word in enumerate((UNITS + " seventeen eighteen nineteen").split())} | {"oh": 0, "o": 0}
TENS = {word: at for at, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
TIMES = {"double": 2, "triple": 3}


@pytest.fixture(scope="module")
def quiet() -> list[Call]:
    return list(calls(COUNT, 3, 0.0))


def finals(call: Call) -> list[Record]:
    return [record for record in call.records if record["is_final"]]


def words(record: Record) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", record["words"])


def labelled(call: Call, kind: str, track: str) -> list[tuple[str, str]]:
    """Words of a type and what lies among them, in order: text and label."""
    kinds = {
        (label["turn_id"], span["start_ms"]): span["type"]
        for label in call.labels
        for span in cast("list[dict[str, object]]", label["spans"])
    }
    told = [
        (str(word["text"]).lower().strip(".,"), str(kinds.get((record["turn_id"], word["start_ms"]), "")))
        for record in finals(call)
        if record["track"] == track
        for word in words(record)
    ]
    return [(text, label) for text, label in told if label in (kind, OPTIONAL)]


def decoded(told: Sequence[tuple[str, str]]) -> str:
    """Digits of words, with what was taken back taken out."""
    digits, tens, times = "", False, 1
    for text, label in told:
        if label == OPTIONAL:
            digits = digits[:-1] if text in ("sorry", "mean") or text == "wait" else digits
            tens = False
        elif text in TENS:
            digits, tens = digits + str(TENS[text] * 10), True
        elif text in SMALL and SMALL[text] and SMALL[text] < 10 and tens:
            digits, tens = digits[:-1] + str(SMALL[text]), False
        elif text in SMALL:
            digits, tens, times = digits + str(SMALL[text]) * times, False, 1
        elif text in TIMES:
            times, tens = TIMES[text], False
        elif text in ("hundred", "thousand"):
            digits, tens = digits + ("00" if text == "hundred" else "000"), False
        else:
            digits, tens = digits + "".join(letter for letter in text if letter.isdigit()), False
    return digits


def passes_luhn(digits: str) -> bool:
    table = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}
    odd = sum(int(digit) for digit in digits[::-1][::2])
    return (odd + sum(table[digit] for digit in digits[::-1][1::2])) % 10 == 0


def values(made: Sequence[Call], kind: str) -> list[str]:
    return [digits for call in made for one, digits in call.values if one == kind]


def test_every_card_passes_luhn_and_all_lengths_and_networks_occur(quiet: list[Call]) -> None:
    cards = values(quiet, "CREDITCARD")
    assert all(passes_luhn(card) for card in cards)
    assert {13, 14, 15, 16, 19} <= {len(card) for card in cards} <= set(range(13, 20))
    assert {"4", "2", "3", "5", "6"} == {card[0] for card in cards}
    assert any(2221 <= int(card[:4]) <= 2720 for card in cards)


def test_every_routing_number_has_the_checksum_of_the_aba(quiet: list[Call]) -> None:
    for digits in values(quiet, "ROUTING"):
        a, b, c, d, e, f, g, h, i = (int(digit) for digit in digits)
        assert 0 == (3 * (a + d + g) + 7 * (b + e + h) + (c + f + i)) % 10


@pytest.mark.parametrize("kind", ["CREDITCARD", "SSN", "ROUTING", "BANKACCOUNT", "CVV"])
def test_the_labelled_words_say_the_number(quiet: list[Call], kind: str) -> None:
    told = [call for call in quiet if any(one == kind for one, _ in call.values) and "two_cards" not in call.kinds]
    right = 0
    for call in told:
        value = next(digits for one, digits in call.values if one == kind)
        right += value in decoded(
            [one for one in labelled(call, kind, "customer") if one[1] == kind or is_taken_back(one)]
        )
    assert len(told) > 30
    assert right / len(told) > 0.95  # this decoder does not know every way of taking a digit back


def is_taken_back(one: tuple[str, str]) -> bool:
    return one[0] in ("sorry", "mean")


def test_labels_are_words_of_finals_and_partials_come_before(quiet: list[Call]) -> None:
    for call in quiet:
        last: dict[object, int] = {}
        is_over: set[object] = set()
        for record in call.records:
            assert record["turn_id"] not in is_over
            assert last.get(record["turn_id"], 0) < cast("int", record["rev"])
            last[record["turn_id"]] = cast("int", record["rev"])
            if record["is_final"]:
                is_over.add(record["turn_id"])
        limits = {
            (record["turn_id"], word["start_ms"], word["end_ms"]) for record in finals(call) for word in words(record)
        }
        spans = {
            (label["turn_id"], span["start_ms"], span["end_ms"])
            for label in call.labels
            for span in cast("list[dict[str, object]]", label["spans"])
        }
        assert spans <= limits
        assert is_over == set(last)


def test_two_turns_of_a_track_never_overlap_and_the_tracks_do(quiet: list[Call]) -> None:
    crossed = 0
    for call in quiet:
        by_start = sorted(finals(call), key=lambda record: cast("int", record["start_ms"]))
        for _, of_track in groupby(sorted(by_start, key=lambda one: str(one["track"])), key=lambda one: one["track"]):
            turns = list(of_track)
            for before, after in pairwise(turns):
                assert cast("int", before["end_ms"]) < cast("int", after["start_ms"])
        ends = [cast("int", record["end_ms"]) for record in by_start]
        crossed += sum(end > cast("int", after["start_ms"]) for end, after in zip(ends, by_start[1:], strict=False))
    assert crossed > 50


def test_noise_changes_words_and_a_lost_word_has_no_label() -> None:
    noisy, quiet = one_call("3-7", 0.2), one_call("3-7", 0.0)
    assert quiet.values == noisy.values
    assert finals(quiet) != finals(noisy)
    count = sum(len(words(record)) for record in finals(noisy))
    assert count >= sum(len(cast("list[object]", label["spans"])) for label in noisy.labels)


def test_the_same_seed_makes_the_same_call() -> None:
    assert one_call("8-1", 0.02) == one_call("8-1", 0.02)
    assert one_call("8-1", 0.02) != one_call("8-2", 0.02)


def test_each_kind_occurs_and_a_call_without_one_has_no_label(quiet: list[Call]) -> None:
    kinds = counted(quiet)
    assert {*KINDS, "agent_name", "nothing"} == set(kinds)
    assert not any(call.labels for call in quiet if not call.kinds)


def test_talk_is_rich() -> None:
    assert len(set(SENTENCES)) > 300
    assert all(len(set(ways)) >= 12 for kind, ways in ASKS.items() if kind != "CLOSE")


def test_the_command_reads_the_turns() -> None:
    import msgspec

    call = one_call("3-7", 0.02)
    out = list(lines.run(msgspec.json.encode(record).decode() for record in call.records))
    assert not any(isinstance(line, lines.BadLine) for line in out)
    assert all(msgspec.convert(label["spans"], list[Span]) for label in call.labels)
