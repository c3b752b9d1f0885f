"""Figures of turns whose recall was counted by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from connectors import presidio
from pipeline.cli import app
from pipeline.errors import DifferenceFound, InputError
from pipeline.redaction.baselines import by_pattern
from pipeline.redaction.figures import Figures, GivenWord, text_of, wilson
from pipeline.redaction.report import Comparison, GivenTurn, PublishedLine, Span, digits_in, labels_of

pytestmark = pytest.mark.unit

STEP_MS = 100


def span(first: int, last: int, kind: str) -> Span:
    """Words `first` to `last`, the last one included."""
    return Span(first * STEP_MS, last * STEP_MS + 90, kind)


def turn(text: str, *, name: str = "a", rev: int = 1, is_final: bool = True) -> GivenTurn:
    words = [GivenWord(one, at * STEP_MS, at * STEP_MS + 90) for at, one in enumerate(text.split())]
    return GivenTurn("c", name, rev, is_final, words)


def line(text: str, spans: Sequence[Span], *, name: str = "a", rev: int = 1, is_final: bool = True) -> PublishedLine:
    return PublishedLine(name, rev, is_final, text, list(spans))


def measured(
    labels: dict[str, Sequence[Span]], turns: Sequence[GivenTurn], published: Sequence[PublishedLine]
) -> Figures:
    comparison = Comparison(labels, {})
    for one in turns:
        comparison.heard(one)
    for out in published:
        comparison.published(out)
    return comparison.figures()["trunkline"]


def test_recall_counts_labelled_words_by_the_type_that_masks_them() -> None:
    figures = measured(
        {"a": [span(2, 5, "CREDITCARD")]},
        [turn("it is 4 1 2 3 okay")],
        [
            line(
                "it is [CREDITCARD] [PHONE] 3 [PII]", [span(2, 3, "CREDITCARD"), span(4, 4, "PHONE"), span(6, 6, "PII")]
            )
        ],
    )
    assert {"CREDITCARD": {"CREDITCARD": 2, "PHONE": 1, "": 1}} == figures.found
    assert {"": 2, "PII": 1} == figures.benign
    assert (1, 0) == (figures.contacts, figures.clean)
    assert figures.leaks


def test_a_masked_value_leaves_a_clean_contact() -> None:
    figures = measured(
        {"a": [span(2, 3, "NAME")]}, [turn("my name ann lee")], [line("my name [NAME]", [span(2, 3, "NAME")])]
    )
    assert (1, 1, 0) == (figures.contacts, figures.clean, figures.astray)
    assert not figures.leaks


def test_the_last_line_of_a_turn_is_its_state() -> None:
    figures = measured(
        {"a": [span(0, 1, "NAME")]},
        [turn("ann", is_final=False), turn("ann lee", rev=2)],
        [
            line("ann", [], is_final=False),
            line("ann lee", [], rev=2),
            line("[NAME]", [span(0, 1, "NAME")], rev=2),
        ],
    )
    assert {"NAME": {"NAME": 2}} == figures.found
    assert (1, 3) == (figures.clean, figures.lines)


def test_benign_words_of_partials_count_in_each_line() -> None:
    figures = measured(
        {},
        [turn("we met", is_final=False), turn("we met then", rev=2, is_final=False), turn("we met then", rev=3)],
        [
            line("we [PII]", [span(1, 1, "PII")], is_final=False),
            line("we met then", [], rev=2, is_final=False),
            line("we met then", [], rev=3),
        ],
    )
    assert {"": 4, "PII": 1} == figures.benign_partial
    assert {"": 3} == figures.benign
    assert 0 == figures.contacts


def test_an_optional_word_counts_neither_way() -> None:
    figures = measured(
        {"a": [span(0, 0, "CVV"), span(1, 1, "OPTIONAL")]}, [turn("one uh")], [line("[CVV]", [span(0, 1, "CVV")])]
    )
    assert {"CVV": {"CVV": 1}} == figures.found
    assert 0 == figures.benign.total()


@pytest.mark.parametrize(
    ("text", "kind", "exposed"),
    [
        ("4 1 1 1", "CREDITCARD", {}),
        ("4 1 1 1 2", "CREDITCARD", {"CREDITCARD": 1}),
        ("4111 1", "CREDITCARD", {"CREDITCARD": 1}),
        ("forty one eleven", "CREDITCARD", {}),
        ("forty one eleven twenty", "CREDITCARD", {"CREDITCARD": 1}),
        ("double four triple two", "CREDITCARD", {"CREDITCARD": 1}),
        ("123-45-678", "SSN", {}),
        ("123-45-6789", "SSN", {"SSN": 1}),
        ("one two", "CVV", {}),
        ("one two three", "CVV", {"CVV": 1}),
        ("ann at home dot com", "EMAIL", {"EMAIL": 1}),
        ("ann@home.com", "EMAIL", {"EMAIL": 1}),
        ("ann dot lee", "EMAIL", {}),
        ("five five five five five five", "PHONE", {}),
    ],
)
def test_a_line_exposes_what_it_may_not_show(text: str, kind: str, exposed: dict[str, int]) -> None:
    figures = measured({"a": [span(0, 9, kind)]}, [turn(text, is_final=False)], [line(text, [], is_final=False)])
    assert exposed == figures.exposing


def test_an_address_of_which_a_word_is_masked_is_not_whole() -> None:
    figures = measured(
        {"a": [span(0, 4, "EMAIL")]},
        [turn("ann at home dot com")],
        [line("[EMAIL] at home dot com", [span(0, 0, "EMAIL")])],
    )
    assert {} == figures.exposing


def test_digits_that_leak_line_by_line_add_up() -> None:
    figures = measured(
        {"a": [span(0, 2, "CREDITCARD")], "b": [span(0, 2, "CREDITCARD")]},
        [turn("4 1 1"), turn("2 2 2", name="b")],
        [line("4 1 1", []), line("2 2 2", [], name="b"), line("2 2 2", [], name="b")],
    )
    assert {} == figures.exposing
    assert 1 == figures.together


def test_a_word_that_is_shown_twice_counts_once() -> None:
    figures = measured(
        {"a": [span(0, 2, "CREDITCARD")]},
        [turn("4 1 1", is_final=False), turn("4 1 1", rev=2)],
        [line("4 1 1", [], is_final=False), line("4 1 1", [], rev=2)],
    )
    assert 0 == figures.together


def test_text_that_is_not_what_the_spans_say_is_a_leak() -> None:
    figures = measured({}, [turn("my ann")], [line("my ann", [span(1, 1, "NAME")])])
    assert 1 == figures.astray
    assert figures.leaks


def test_a_label_of_a_turn_that_never_came_is_told() -> None:
    figures = measured({"b": [span(0, 0, "NAME")]}, [turn("hello")], [line("hello", [])])
    assert 1 == figures.unheard
    assert "labelled turns that never came: 1" in text_of("x", figures)


def test_the_report_holds_no_word_of_a_turn() -> None:
    figures = measured({"a": [span(0, 0, "NAME")]}, [turn("brudro")], [line("brudro", [])])
    told = "\n".join(text_of("x", figures))
    assert "brudro" not in told
    assert "contacts fully clean: 0.000 % (0 of 1; 95 % 0.000 to 79.345)" in told


def test_figures_add_up() -> None:
    one = measured({"a": [span(0, 0, "NAME")]}, [turn("ann")], [line("ann", [])])
    total = Figures()
    total.add(one)
    total.add(one)
    assert {"NAME": {"": 2}} == total.found
    assert (2, 0, 2) == (total.contacts, total.clean, total.lines)


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (1, 10), (5, 10), (10, 10), (99, 100), (9_990, 10_000)])
def test_at_each_limit_the_share_is_as_far_off_as_chance_allows(hits: int, of: int) -> None:
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of <= high + 1e-12 <= 1 + 1e-12
    for limit in (low, high):
        assert pytest.approx((hits / of - limit) ** 2, abs=1e-9) == 1.959964**2 * limit * (1 - limit) / of


def test_nothing_was_measured_of_nothing() -> None:
    assert (0.0, 1.0) == wilson(0, 0)


@pytest.mark.parametrize(("text", "after", "digits"), [("forty", "two", 1), ("forty", "", 2), ("4111,", "", 4)])
def test_digits_that_a_word_gives_away(text: str, after: str, digits: int) -> None:
    assert digits == digits_in(text, after)


def test_labels_are_read_and_a_bad_line_is_named() -> None:
    good = json.dumps(
        {"contact_id": "c", "turn_id": "a", "spans": [{"start_ms": 1, "end_ms": 2, "type": "CVV"}], "x": 1}
    )
    assert {"a": [Span(1, 2, "CVV")]} == labels_of([good, "\n"])
    with pytest.raises(InputError, match="labels, line 2"):
        labels_of([good, "{}"])


def test_the_command_s_lines_are_counted_as_they_pass() -> None:
    words = [{"text": one, "start_ms": at * 100, "end_ms": at * 100 + 90} for at, one in enumerate("hi there".split())]
    given = {"contact_id": "c", "turn_id": "a", "rev": 1, "track": "agent", "is_final": True, "start_ms": 0}
    comparison = Comparison({"a": [span(1, 1, "NAME")]}, {"patterns": by_pattern})
    out = list(comparison.run([json.dumps({**given, "end_ms": 190, "words": words}), "no json"]))
    figures = comparison.figures()
    assert 2 == len(out)
    assert {"NAME": {"": 1}} == figures["trunkline"].found == figures["patterns"].found


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ("pay 4111 1111 1111 1111 now", ["", *["CREDITCARD"] * 4, ""]),
        ("four one one one " * 4, ["CREDITCARD"] * 16),
        ("forty one eleven eleven eleven eleven eleven eleven eleven", ["CREDITCARD"] * 9),
        ("457-55-5462", ["SSN"]),
        ("415 555 0132", ["PHONE"] * 3),
        ("write ann dot lee at home dot com", ["", *["EMAIL"] * 7]),
        ("ten of them", ["", "", ""]),
    ],
)
def test_patterns_find_what_stands_in_one_record(text: str, masks: list[str]) -> None:
    assert masks == by_pattern(text.split())


def _written(folder: Path, text: str, words: int) -> tuple[str, str]:
    """One turn and a label of its first words, as files."""
    told = [{"text": one, "start_ms": at * 100, "end_ms": at * 100 + 90} for at, one in enumerate(text.split())]
    given = {
        "contact_id": "c",
        "turn_id": "a",
        "rev": 1,
        "track": "agent",
        "is_final": True,
        "start_ms": 0,
        "words": told,
    }
    label = {"contact_id": "c", "turn_id": "a", "spans": [{"start_ms": 0, "end_ms": words * 100, "type": "CREDITCARD"}]}
    paths = folder / "calls.jsonl", folder / "labels.jsonl"
    for path, row in zip(paths, ({**given, "end_ms": len(told) * 100}, label), strict=True):
        path.write_text(json.dumps(row) + "\n")
    return str(paths[0]), str(paths[1])


@pytest.fixture
def _no_presidio(monkeypatch: pytest.MonkeyPatch) -> None:
    def detector() -> NoReturn:
        raise ImportError

    monkeypatch.setattr(presidio, "detector", detector)


@pytest.mark.usefixtures("_no_presidio")
def test_a_leak_is_a_difference_and_stdout_stays_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls, labels = _written(tmp_path, "hello there", 1)
    with pytest.raises(DifferenceFound):
        app(["redact", calls, "--report", labels], standalone_mode=False)
    told = capsys.readouterr()
    assert ["hello there"] == [json.loads(line)["text"] for line in told.out.splitlines()]
    assert "trunkline: 1 contacts with labels, 1 published lines" in told.err
    assert "patterns in each record: 1 contacts" in told.err
    assert "extra `redaction-presidio` is not installed" in told.err


@pytest.mark.usefixtures("_no_presidio")
def test_without_a_leak_the_command_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls, labels = _written(tmp_path, "4 1 1 1 " * 4, 16)
    assert 0 == app(["redact", calls, "--report", labels], standalone_mode=False)
    assert "contacts fully clean: 100.000 % (1 of 1" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_presidio")
def test_labels_that_cannot_be_read_end_the_command_before_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, labels = _written(tmp_path, "hello", 1)
    Path(labels).write_text("no json\n")
    with pytest.raises(InputError, match="labels, line 1"):
        app(["redact", calls, "--report", labels], standalone_mode=False)
    with pytest.raises(InputError, match="cannot read"):
        app(["redact", calls, "--report", str(tmp_path / "none")], standalone_mode=False)
    assert "" == capsys.readouterr().out
