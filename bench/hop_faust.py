"""The text hop as a stock faust-streaming agent: models for the records, a codec for Avro, a table for the totals."""

from io import BytesIO
from typing import Any, Optional

import faust
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from faust.serializers import codecs

from schemas import avsc
from topics.codec import schema_id

HEADER_BYTES = 5


class Avro(codecs.Codec):
    """Avro behind the Confluent wire format, between bytes and dicts."""

    def __init__(self, name: str) -> None:
        """Take a schema of `schemas/avro`."""
        super().__init__()
        self._schema: Any = parse_schema(avsc(name))
        self._header = b"\0" + schema_id(name).to_bytes(4, "big")

    def _loads(self, data: bytes) -> Any:  # noqa: ANN401 - as faust declares it
        stream = BytesIO(data)
        stream.seek(HEADER_BYTES)
        return schemaless_reader(stream, self._schema)

    def _dumps(self, value: Any) -> bytes:  # noqa: ANN401 - as faust declares it
        value["words"] = [word.to_representation() for word in value["words"]]  # faust converts the outer model alone
        out = BytesIO()
        out.write(self._header)
        schemaless_writer(out, self._schema, value)
        return out.getvalue()


class Word(faust.Record, include_metadata=False):
    """As in `topics.records`."""

    text: str
    start_ms: int
    end_ms: int
    is_estimated: bool


class Heard(faust.Record, include_metadata=False, serializer="segment_words"):
    """`SegmentWords` of `topics.records`."""

    tenant: str
    contact_id: str
    leg: int
    track: str
    first_sample: int
    end_sample: int
    is_final: bool
    words: list[Word]
    asr: str
    confidence: Optional[float]  # noqa: UP045 - faust knows no other union
    rev: int


class Turn(faust.Record, include_metadata=False, serializer="turn"):
    """As in `topics.records`."""

    tenant: str
    contact_id: str
    leg: int
    turn_id: str
    track: str
    speaker: str
    first_sample: int
    end_sample: int
    is_final: bool
    words: list[Word]
    asr: str
    confidence: Optional[float]  # noqa: UP045 - faust knows no other union
    rev: int


def declare(app: Any, prefix: str) -> None:  # noqa: ANN401 - faust has no types
    """Add the agent and its table to an app."""
    for name in ("segment_words", "turn"):
        codecs.register(name, Avro(name))
    source = app.topic(prefix + "transcript.words", key_type=str, key_serializer="raw", value_type=Heard)
    output = app.topic(prefix + "transcript.raw", key_type=str, key_serializer="raw", value_type=Turn)
    totals = app.Table("totals", default=int, key_type=str)

    @app.agent(source)  # type: ignore[untyped-decorator]  # as above
    async def count(stream: Any) -> None:  # noqa: ANN401 - as above
        async for key, heard in stream.items():
            totals[key] += len(heard.words)
            await output.send(key=key, value=turn(heard, totals[key]))


def turn(heard: Heard, words: int) -> Turn:
    """As `bench.hop_stage.turn`."""
    return Turn(
        tenant=heard.tenant,
        contact_id=heard.contact_id,
        leg=heard.leg,
        turn_id=f"{heard.contact_id}/{heard.track}/{heard.first_sample}",
        track=heard.track,
        speaker=heard.track,
        first_sample=heard.first_sample,
        end_sample=heard.end_sample,
        is_final=heard.is_final,
        words=heard.words,
        asr=f"{words} words",
        confidence=heard.confidence,
        rev=0,
    )
