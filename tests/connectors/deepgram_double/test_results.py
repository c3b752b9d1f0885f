"""What `/v1/listen` says of what it hears; no socket is needed."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.deepgram_double.messages import End
from connectors.deepgram_double.requests import Format, ListenV1
from connectors.deepgram_double.results import Listening
from tests.connectors.deepgram_double.callers import Json, finals, noise, pcm, script, silence, words

pytestmark = pytest.mark.unit

MONO = Format("linear16", 1, is_multichannel=False)
ASKED = ListenV1(MONO, "nova-3", True, 300, None, False)


def listening(**asked: Any) -> Listening:
    return Listening(replace(ASKED, **asked), script(), "an id")


def messages(said: list[Any], kind: str) -> list[Json]:
    return [one for one in said if isinstance(one, dict) and one["type"] == kind]


def ends(message: Json) -> float:
    return float(message["start"] + message["duration"])


def texts(said: list[Any]) -> list[str]:
    return [one["channel"]["alternatives"][0]["transcript"] for one in messages(said, "Results")]


def test_interim_results_come_each_second_and_grow() -> None:
    said = listening(endpointing_ms=None).hear(pcm(end_ms=3_000))
    assert [1.0, 2.0, 3.0] == list(map(ends, messages(said, "Results")))
    assert ["zero", "zero one", "zero one two three"] == texts(said)
    assert not finals(said)


def test_results_that_were_not_asked_for_do_not_come() -> None:
    said = listening(is_interim=False).hear(pcm(end_ms=4_000))
    assert finals(said) == messages(said, "Results")
    assert ["zero", "one", "two", "three"] == words(said)


def test_pause_ends_an_utterance_as_soon_as_it_is_long_enough() -> None:
    first, second = finals(listening().hear(pcm(end_ms=4_000)))
    assert (0.0, 1.4) == (first["start"], ends(first))
    assert (1.4, 3.2) == (second["start"], ends(second))
    assert (True, True, False) == (first["is_final"], first["speech_final"], first["from_finalize"])


def test_pause_that_is_shorter_than_asked_for_ends_nothing() -> None:
    assert ["zero one two three"] == [
        one["channel"]["alternatives"][0]["transcript"]
        for one in finals(listening(endpointing_ms=901).hear(pcm(end_ms=4_000)))
    ]


def test_speech_without_a_pause_is_final_after_five_seconds_but_no_endpoint() -> None:
    said = listening(endpointing_ms=None).hear(pcm(end_ms=6_000))
    (final,) = finals(said)
    assert (5.0, False) == (ends(final), final["speech_final"])


def test_result_that_is_final_ends_before_the_word_that_is_being_heard() -> None:
    session = listening(endpointing_ms=None)
    (final,) = finals([*session.hear(pcm(end_ms=2_200)), *session.obey('{"type": "Finalize"}')])
    assert 2.0 == ends(final)
    assert ["zero", "one"] == words([final])
    (after,) = finals([*session.hear(pcm(start_ms=2_200, end_ms=3_000)), *session.obey('{"type": "Finalize"}')])
    assert (2.0, ["two", "three"]) == (after["start"], words([after]))


def test_finalize_answers_with_what_was_not_final() -> None:
    session = listening()
    session.hear(pcm(end_ms=1_105))
    (final,) = finals(session.obey('{"type": "Finalize"}'))
    assert (True, False) == (final["from_finalize"], final["speech_final"])
    assert (["zero", "one"], 1.105) == (words([final]), ends(final))


def test_finalize_with_nothing_to_say_is_not_answered() -> None:
    session = listening()
    assert [] == session.obey('{"type": "Finalize"}')
    session.hear(pcm(end_ms=1_000))
    assert 1 == len(session.obey('{"type": "Finalize"}'))
    assert [] == session.obey('{"type": "Finalize"}')


def test_times_go_on_after_finalize() -> None:
    session = listening()
    session.hear(pcm(end_ms=1_700))
    session.obey('{"type": "Finalize"}')
    (final,) = finals(session.hear(pcm(start_ms=1_700, end_ms=4_000)))
    assert 2.0 == final["channel"]["alternatives"][0]["words"][0]["start"]


def test_close_stream_says_the_rest_then_a_summary_then_the_end() -> None:
    session, data = listening(), pcm(end_ms=1_103)
    session.hear(data)
    final, metadata, end = session.obey('{"type": "CloseStream"}')
    assert ["zero", "one"] == words([final])
    assert isinstance(metadata, dict)
    assert ("Metadata", 1.103, 1) == (metadata["type"], metadata["duration"], metadata["channels"])
    assert hashlib.sha256(data).hexdigest() == metadata["sha256"]
    assert End(1000) == end


def test_empty_frame_ends_the_stream() -> None:
    assert [End(1000)] == listening().hear(b"")[1:]


@pytest.mark.parametrize("encoding", ["", "opus", "flac"])
def test_audio_that_cannot_be_decoded_ends_the_connection(encoding: str) -> None:
    session = listening(format=Format(encoding, 1, is_multichannel=False))
    assert [End(1008, "DATA-0000")] == session.hear(b"anything")


def test_utterance_end_follows_the_last_final_word_after_the_gap() -> None:
    session = listening(utterance_end_ms=1_000)
    said = session.hear(pcm(end_ms=3_880))
    assert not messages(said, "UtteranceEnd")
    (told,) = messages(session.hear(pcm(start_ms=3_880, end_ms=3_900)), "UtteranceEnd")
    assert ([0, 1], 2.9) == (told["channel"], told["last_word_end"])
    assert not messages(session.hear(pcm(start_ms=3_900)), "UtteranceEnd")


def test_utterance_end_needs_interim_results() -> None:
    assert not messages(listening(utterance_end_ms=1_000, is_interim=False).hear(pcm()), "UtteranceEnd")


def test_start_of_speech_is_told_once_an_utterance_and_before_its_first_word_is_whole() -> None:
    session = listening(has_vad_events=True)
    (started,) = messages(session.hear(pcm(end_ms=400)), "SpeechStarted")
    assert ([0, 1], 0.3) == (started["channel"], started["timestamp"])
    (again,) = messages(session.hear(pcm(start_ms=400)), "SpeechStarted")
    assert 2.0 == again["timestamp"]


def test_silence_has_empty_results() -> None:
    said = listening().hear(silence(6_000))
    assert [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] == list(map(ends, messages(said, "Results")))
    assert [""] * 6 == texts(said)
    assert [False] * 4 + [True, False] == [one["is_final"] for one in messages(said, "Results")]


def test_keep_alive_is_not_answered_and_moves_no_time() -> None:
    session = listening()
    session.hear(pcm(end_ms=250))
    assert [] == session.obey('{"type": "KeepAlive"}')
    (final,) = finals(session.hear(pcm(start_ms=250, end_ms=1_500)))
    assert 0.3 == final["channel"]["alternatives"][0]["words"][0]["start"]


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"type": "Bogus"}'])
def test_message_that_is_none_is_answered_with_an_error_and_the_stream_goes_on(text: str) -> None:
    session = listening()
    (error,) = session.obey(text)
    assert isinstance(error, dict)
    assert ("Error", "SchemaError", text) == (error["type"], error["variant"], error["message"])
    assert ["zero", "one"] == words(session.hear(pcm(end_ms=1_500)))


def test_keyterms_are_for_nova_3() -> None:
    wanted = json.dumps({"type": "Configure", "keyterms": ["trunk line"]})
    (taken,) = listening().obey(wanted)
    assert {"type": "ConfigureSuccess", "request_id": "an id", "keyterms": ["trunk line"]} == taken
    (refused,) = listening(model="nova-2-phonecall").obey(wanted)
    assert isinstance(refused, dict)
    assert "CONFIGURE_KEYTERMS_NOT_SUPPORTED" == refused["code"]
    (long,) = listening().obey(json.dumps({"type": "Configure", "keyterms": ["a b"] * 251}))
    assert isinstance(long, dict)
    assert "CONFIGURE_KEYTERM_LIMIT_EXCEEDED" == long["code"]


def test_channels_are_transcribed_apart_and_finalized_apart() -> None:
    both = np.stack((noise("customer"), noise("agent")), axis=-1)
    session = listening(format=Format("linear16", 2, is_multichannel=True), endpointing_ms=None, is_interim=False)
    assert [] == session.hear(both[: 3_600 * 8].tobytes())
    (agent,) = finals(session.obey('{"type": "Finalize", "channel": 1}'))
    assert ([1, 2], ["four"]) == (agent["channel_index"], words([agent]))
    (customer,) = finals(session.obey('{"type": "Finalize"}'))
    assert ([0, 2], ["zero", "one", "two", "three"]) == (customer["channel_index"], words([customer]))


def test_channels_that_are_mixed_are_one() -> None:
    same = np.stack((noise("customer"), noise("customer")), axis=-1)
    session = listening(format=Format("linear16", 2, is_multichannel=False))
    (final,) = finals(session.hear(same[: 1_500 * 8].tobytes()))
    assert ([0, 1], ["zero", "one"]) == (final["channel_index"], words([final]))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9_000), max_size=30))
def test_cuts_change_no_message(sizes: list[int]) -> None:
    asked = {"utterance_end_ms": 1_000, "has_vad_events": True}
    data, session, said = pcm(), listening(**asked), []
    for size in [*sizes, len(data)]:
        frame, data = data[:size], data[size:]
        said += session.hear(frame) if frame else []
    assert listening(**asked).hear(pcm()) == said
