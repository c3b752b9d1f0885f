import json
from typing import Any

import pytest

from pipeline.redaction.lines import BadLine, run

pytestmark = pytest.mark.unit


def _line(text: str, at_ms: int, *, rev: int = 1, is_final: bool = True, turn: str = "", contact: str = "c1") -> str:
    words = [
        {"text": word, "start_ms": at_ms + 300 * place, "end_ms": at_ms + 300 * place + 280}
        for place, word in enumerate(text.split())
    ]
    row = {
        "contact_id": contact, "turn_id": turn or f"{contact}/customer/{at_ms}", "rev": rev, "track": "customer",
        "is_final": is_final, "start_ms": at_ms, "end_ms": words[-1]["end_ms"], "words": words, "extra": 1,
    }  # fmt: skip
    return json.dumps(row)


def _rows(*lines: str) -> list[dict[str, Any]]:  # Any: JSON
    return [json.loads(line) for line in run(lines) if isinstance(line, str)]


def test_line_is_redacted_with_its_spans() -> None:
    (row,) = _rows(_line("my name is brudro okay", 0))
    assert row["text"] == "my name is [NAME] okay"
    assert row["spans"] == [{"start_ms": 900, "end_ms": 1180, "type": "NAME", "tracks": ["customer"]}]
    assert (row["rev"], row["redaction_rev"], row["is_final"]) == (1, 0, True)


def test_later_digits_reemit_the_earlier_turn() -> None:
    rows = _rows(_line("four one", 0), _line("one one", 2_000))
    assert [(row["text"], row["redaction_rev"]) for row in rows] == [
        ("four one", 0),
        ("[PII]", 0),
        ("[PII]", 1),
    ]


def test_repeated_line_is_answered_with_the_newest_text() -> None:
    line = _line("seven seven four", 0)
    assert [row["text"] for row in _rows(line, line)] == ["[PII]", "[PII]"]


def test_contacts_do_not_mix() -> None:
    rows = _rows(_line("four one", 0, contact="a"), _line("one one", 2_000, contact="b"))
    assert [row["text"] for row in rows] == ["four one", "one one"]


def test_bad_line_does_not_stop_the_others() -> None:
    out = list(run(["{", _line("hello", 0), '{"contact_id": 1}']))
    assert [type(row) for row in out] == [BadLine, str, BadLine]
    assert [row.number for row in out if isinstance(row, BadLine)] == [1, 3]
