"""What `/v2/listen` says of what it hears; no socket is needed."""

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from connectors.deepgram_double.messages import End
from connectors.deepgram_double.requests import Format, ListenV2
from connectors.deepgram_double.turns import Turns
from tests.connectors.deepgram_double.callers import Json, pcm, script, silence

pytestmark = pytest.mark.unit

ASKED = ListenV2(Format("linear16", 1, is_multichannel=False), 0.7, None, 5_000, ())


def turns(**asked: Any) -> Turns:
    return Turns(replace(ASKED, **asked), script(), "an id")


def events(said: list[Any]) -> list[tuple[str, int, str]]:
    """Return the changes of state: event, turn and text."""
    infos = [one for one in said if isinstance(one, dict) and one["type"] == "TurnInfo" and one["event"] != "Update"]
    return [(one["event"], one["turn_index"], one["transcript"]) for one in infos]


def only(said: list[Any]) -> Json:
    (one,) = said
    assert isinstance(one, dict)
    return one


def test_turns_start_with_a_word_and_end_after_a_silence() -> None:
    assert [
        ("StartOfTurn", 0, "zero"),
        ("EndOfTurn", 0, "zero one"),
        ("StartOfTurn", 1, "two"),
        ("EndOfTurn", 1, "two three"),
    ] == events(turns().hear(pcm()))


def test_end_of_turn_says_why() -> None:
    said = turns().hear(pcm(end_ms=1_900))
    end = only([one for one in said if isinstance(one, dict) and one["event"] == "EndOfTurn"])
    assert ("model", 0.0) == (end["trigger"], end["audio_window_start"])
    assert end["end_of_turn_confidence"] >= 0.7
    assert [("zero", 0.3, 0.7), ("one", 0.75, 1.1)] == [(one["word"], one["start"], one["end"]) for one in end["words"]]


def test_messages_are_numbered_from_the_first() -> None:
    session = turns()
    said = [*session.greet(), *session.hear(pcm())]
    assert "Connected" == said[0]["type"] if isinstance(said[0], dict) else False
    assert [index for index, _ in zip(count(), said)] == [one["sequence_id"] for one in said if isinstance(one, dict)]


def test_updates_come_four_times_a_second_of_silence() -> None:
    said = turns().hear(silence(2_000))
    assert 7 == len([one for one in said if isinstance(one, dict) and one["event"] == "Update"])


def test_early_end_is_taken_back_when_speech_goes_on() -> None:
    said = turns(eager_eot_threshold=0.3, eot_threshold=0.95).hear(pcm(end_ms=4_200))
    assert [
        ("StartOfTurn", 0, "zero"),
        ("EagerEndOfTurn", 0, "zero one"),
        ("TurnResumed", 0, "zero one"),
        ("EagerEndOfTurn", 0, "zero one two three"),
        ("EndOfTurn", 0, "zero one two three"),
    ] == events(said)


def test_turn_ends_by_time_where_the_model_is_never_sure() -> None:
    said = turns(eot_threshold=1.0, eot_timeout_ms=1_500).hear(pcm())
    ends = [one for one in said if isinstance(one, dict) and one["event"] == "EndOfTurn"]
    assert [("timeout", "zero one two three")] == [(one["trigger"], one["transcript"]) for one in ends]


def test_turn_is_ended_by_hand() -> None:
    session = turns()
    session.hear(pcm(end_ms=1_150))
    end = only(session.obey('{"type": "ForceEndTurn"}'))
    assert ("EndOfTurn", "manual", "zero one") == (end["event"], end["trigger"], end["transcript"])
    assert [] == session.obey('{"type": "ForceEndTurn"}')


def test_close_stream_ends_no_turn_and_has_no_code() -> None:
    session = turns()
    session.hear(pcm(end_ms=1_150))
    update, end = session.obey('{"type": "CloseStream"}')
    assert isinstance(update, dict)
    assert ("Update", "zero one") == (update["event"], update["transcript"])
    assert End(None) == end


def test_thresholds_can_be_changed_within_the_stream() -> None:
    session = turns()
    wanted = {"type": "Configure", "thresholds": {"eot_threshold": 1.0}, "keyterms": ["trunk line"]}
    taken = only(session.obey(json.dumps(wanted)))
    assert ("ConfigureSuccess", ["trunk line"]) == (taken["type"], taken["keyterms"])
    assert {"eot_threshold": 1.0, "eager_eot_threshold": None, "eot_timeout_ms": 5_000} == taken["thresholds"]
    assert [("StartOfTurn", 0, "zero")] == events(session.hear(pcm(end_ms=4_500)))


def test_field_that_is_null_keeps_its_value() -> None:
    wanted = {"type": "Configure", "thresholds": {"eot_threshold": None, "eot_timeout_ms": 900}, "keyterms": None}
    taken = only(turns(keyterms=("trunk line",)).obey(json.dumps(wanted)))
    assert {"eot_threshold": 0.7, "eager_eot_threshold": None, "eot_timeout_ms": 900} == taken["thresholds"]
    assert ["trunk line"] == taken["keyterms"]


@pytest.mark.parametrize("name", ["eot_threshold", "eager_eot_threshold", "eot_timeout_ms"])
def test_threshold_that_is_no_number_is_refused(name: str) -> None:
    wanted = {"type": "Configure", "thresholds": {name: "high"}}
    assert "ConfigureFailure" == only(turns().obey(json.dumps(wanted)))["type"]


@pytest.mark.parametrize("text", ["no json", '{"type": "KeepAlive"}', '{"type": "Finalize"}'])
def test_message_that_is_none_is_fatal(text: str) -> None:
    error, end = turns().obey(text)
    assert isinstance(error, dict)
    assert ("Error", "UNPARSABLE_CLIENT_MESSAGE") == (error["type"], error["code"])
    assert isinstance(end, End)


def test_silence_of_the_client_is_fatal() -> None:
    error, end = turns().give_up()
    assert isinstance(error, dict)
    assert "INACTIVE_CLIENT" == error["code"]
    assert isinstance(end, End)
    assert 1011 == end.code


def test_audio_that_cannot_be_decoded_ends_the_connection() -> None:
    assert [End(1008, "DATA-0000")] == turns(format=Format("opus", 1, is_multichannel=False)).hear(b"anything")
