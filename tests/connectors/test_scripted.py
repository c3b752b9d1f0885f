"""Which word of a reference belongs to which segment."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.scripted import ScriptedAsr
from pipeline.errors import InputError
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import Word

pytestmark = pytest.mark.unit


def _request(
    first_ms: int, end_ms: int, previous_end_ms: int | None = None, **other: Any
) -> Transcribe:  # Any: any field
    fields: dict[str, Any] = {"is_final": True, "is_cut": False} | other  # Any: any field
    previous = None if previous_end_ms is None else previous_end_ms * 8
    return Transcribe(
        "t", "c", "agent", first_ms * 8, end_ms * 8, b"", first_ms * 8, previous_end_sample=previous, **fields
    )


def _word(text: str, start_ms: int, end_ms: int, track: str = "agent") -> dict[str, object]:
    return {"track": track, "text": text, "start_ms": start_ms, "end_ms": end_ms}


def _service(tmp_path: Path, *words: dict[str, object]) -> ScriptedAsr:
    reference = tmp_path / "reference.json"
    reference.write_text(json.dumps({"words": words, "pii": [], "latency_ms": 250}))
    return ScriptedAsr(reference, is_paced=False)


def _texts(service: ScriptedAsr, request: Transcribe) -> list[str]:
    return [word.text for word in asyncio.run(service.answer(request)).words]


def test_words_come_with_their_times_in_order(tmp_path: Path) -> None:
    service = _service(tmp_path, _word("world", 1_300, 1_500), _word("hello", 1_000, 1_200))
    expected = Transcript((Word("hello", 1_000, 1_200), Word("world", 1_300, 1_500)), "scripted", None)
    assert expected == asyncio.run(service.answer(_request(1_000, 1_600)))
    assert [("agent", word) for word in expected.words] == service.words


def test_the_middle_decides(tmp_path: Path) -> None:
    service = _service(tmp_path, _word("in", 950, 1_051), _word("out", 1_900, 2_302))
    assert ["in"] == _texts(service, _request(1_000, 1_950))


def test_a_word_of_the_other_track_is_not_heard(tmp_path: Path) -> None:
    service = _service(tmp_path, _word("hello", 1_000, 1_200, "customer"))
    assert [] == _texts(service, _request(1_000, 1_600))


@pytest.mark.parametrize(
    ("middle_ms", "owner"),
    [
        (1_950, "first"),
        (2_149, "first"),
        (2_151, "second"),
        (2_450, "second"),
        (2_999, "second"),
        (3_400, "third"),
    ],
)
def test_a_word_between_segments_has_one_owner(tmp_path: Path, middle_ms: int, owner: str) -> None:
    service = _service(tmp_path, _word("word", middle_ms - 50, middle_ms + 50))
    segments = {
        "first": _request(1_000, 2_000),
        "second": _request(2_500, 3_000, 2_000),
        "third": _request(3_600, 4_000, 3_000),
    }
    assert [owner] == [name for name, request in segments.items() if _texts(service, request)]


@pytest.mark.parametrize(("middle_ms", "owner"), [(8_999, "first"), (9_000, "second"), (9_100, "second")])
def test_a_cut_is_sharp(tmp_path: Path, middle_ms: int, owner: str) -> None:
    service = _service(tmp_path, _word("word", middle_ms - 50, middle_ms + 50))
    segments = {"first": _request(1_000, 9_000, is_cut=True), "second": _request(9_000, 9_900, 9_000)}
    assert [owner] == [name for name, request in segments.items() if _texts(service, request)]


def test_a_partial_holds_what_was_heard(tmp_path: Path) -> None:
    service = _service(tmp_path, _word("heard", 1_000, 1_400), _word("not", 1_500, 1_800))
    assert ["heard"] == _texts(service, _request(1_000, 1_600, is_final=False))


def test_a_word_far_from_speech_is_in_no_answer(tmp_path: Path) -> None:
    service = _service(tmp_path, _word("early", 100, 300), _word("hello", 1_000, 1_200))
    assert ["hello"] == _texts(service, _request(1_000, 1_600))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "truncated"),
        ("[]", "object"),
        ("{}", "words"),
        ('{"words": [{"track": "nobody", "text": "a", "start_ms": 0, "end_ms": 1}]}', "track"),
        ('{"words": [{"track": "agent", "text": "a", "start_ms": "0", "end_ms": 1}]}', "start_ms"),
        ('{"words": [{"track": "agent", "text": "a", "start_ms": 5, "end_ms": 5}]}', r"words\[0\]"),
        ('{"words": [], "latency_ms": -1}', "latency_ms"),
        ('{"words": [{"track": "agent", "text": "\udcff", "start_ms": 0, "end_ms": 1}]}', "UTF-8|utf-8"),
    ],
)
def test_a_malformed_reference_names_its_fault(tmp_path: Path, text: str, reason: str) -> None:
    reference = tmp_path / "reference.json"
    reference.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=reason):
        ScriptedAsr(reference)


def test_a_missing_reference_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.json"):
        ScriptedAsr(tmp_path / "missing.json")
