"""What messages of both protocols say, whole or not."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import pytest
from deepgram.core.unchecked_base_model import construct_type
from deepgram.listen.v1.socket_client import V1SocketClientResponse
from deepgram.listen.v2.socket_client import V2SocketClientResponse

from connectors.deepgram import dialects
from connectors.deepgram.causes import LineFailed
from connectors.deepgram.heard import Said, Spoken
from connectors.deepgram.line import Line

pytestmark = pytest.mark.unit

WORD = {"word": "forty", "start": 0.5, "end": 0.9, "confidence": 0.75}


def results(**given: Any) -> dict[str, Any]:
    alternative = {"transcript": "", "confidence": 0.5, "words": [WORD | {"punctuated_word": "Forty,"}]}
    message = {"type": "Results", "channel_index": [0, 1], "start": 0.25, "duration": 1.5, "is_final": True}
    return message | {"channel": {"alternatives": [alternative]}, "from_finalize": True} | given


def turn(**given: Any) -> dict[str, Any]:
    message = {"type": "TurnInfo", "event": "Update", "turn_index": 0, "audio_window_start": 0.0}
    return message | {"audio_window_end": 2.0, "words": [WORD], "transcript": "forty"} | given


def typed(model: str, message: dict[str, Any]) -> object:
    """Return a message as the SDK gives it."""
    union: Any = V2SocketClientResponse if model.startswith("flux") else V1SocketClientResponse  # no type, to mypy
    return construct_type(type_=union, object_=message)


def read(model: str, message: dict[str, Any]) -> Said | None:
    return dialects.of(model).read(typed(model, message))


def test_results_are_about_a_stretch_and_have_its_punctuation() -> None:
    word = Spoken("Forty,", 0.5, 0.9, 0.75)
    assert Said((word,), 1.75, is_final=True, is_forced=True) == read("nova-3", results())
    assert Said((word,), 1.75, is_final=False, is_forced=False) == read(
        "nova-3", results(is_final=False, from_finalize=None)
    )


@pytest.mark.parametrize(
    ("given", "until_s", "is_final", "is_forced"),
    [
        ({}, 2.0, False, False),
        ({"words": []}, 1.7, True, False),  # a word may have begun
        ({"event": "EndOfTurn", "trigger": "model"}, 2.0, True, False),
        ({"event": "EndOfTurn", "trigger": "manual"}, 2.0, True, True),
    ],
)
def test_turn_is_final_when_it_has_ended_or_has_not_begun(
    given: dict[str, Any], until_s: float, is_final: bool, is_forced: bool
) -> None:
    said = read("flux-general-en", turn(**given))
    assert said is not None
    assert (until_s, is_final, is_forced) == (said.until_s, said.is_final, said.is_forced)


def test_words_of_a_turn_without_times_share_its_window() -> None:
    said = read("flux-general-en", turn(words=[{"word": "forty", "confidence": 1}, {"word": "nine", "confidence": 1}]))
    assert said is not None
    assert (Spoken("forty", 0, 1, 1, is_estimated=True), Spoken("nine", 1, 2, 1, is_estimated=True)) == said.words


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
@pytest.mark.parametrize("kind", ["Metadata", "Error", "Connected", "UtteranceEnd"])
def test_other_messages_say_nothing_of_audio(model: str, kind: str) -> None:
    assert read(model, {"type": kind}) is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nova-3", {"type": "Results"}),
        ("nova-3", results(channel={"alternatives": []})),
        ("nova-3", results(channel=None)),
        ("nova-3", results(start=None)),
        ("nova-3", results(channel={"alternatives": [{"words": [{"word": "forty"}]}]})),
        ("nova-3", results(channel={"alternatives": [{"words": [WORD | {"word": None}]}]})),
        ("flux-general-en", {"type": "TurnInfo"}),
        ("flux-general-en", turn(words=None)),
    ],
)
async def test_message_that_is_not_whole_is_passed_over(model: str, message: dict[str, Any]) -> None:
    class Socket:
        async def __aiter__(self) -> AsyncIterator[object]:
            yield typed(model, message)

    messages = Line(nullcontext(), Socket(), dialects.of(model)).messages()
    assert await anext(messages) is None
    with pytest.raises(LineFailed, match="close 1000"):
        await anext(messages)
