"""The form of a dead letter: Kafka Connect's names, and no payload."""

import pytest

from pipeline.errors import FrameGap
from topics import deadletters

pytestmark = pytest.mark.unit


def test_headers_have_the_names_and_forms_of_kafka_connect() -> None:
    headers = deadletters.headers("moments", 3, 41, "postgres", FrameGap("a sample counter jumps back"))
    expected = {
        "__connect.errors.topic": b"moments",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"41",
        "__connect.errors.connector.name": b"postgres",
        "__connect.errors.exception.class.name": b"pipeline.errors.FrameGap",
        "__connect.errors.exception.message": b"a sample counter jumps back",
    }
    assert expected == dict(headers)


def test_text_of_a_foreign_error_is_left_out() -> None:
    headers = deadletters.headers("moments", 0, 0, "postgres", ValueError("card 4111"))
    assert b"builtins.ValueError" == dict(headers)["__connect.errors.exception.class.name"]
    assert not [value for _, value in headers if b"4111" in value]


def test_topic_is_named_after_the_one_it_serves() -> None:
    assert "audio.frames.dead" == deadletters.name("audio.frames")
