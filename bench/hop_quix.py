"""The text hop in Quix Streams, for an environment that has no other package of the pipeline's.

`python hop_quix.py BOOTSTRAP PREFIX FOLDER HEADER SCHEMAS`: where the state lies, the output's header in hex, and the
folder of the schemas.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from quixstreams import Application, State
from quixstreams.models import Deserializer, Serializer

HEADER_BYTES = 5
Fields = dict[str, Any]


class FromAvro(Deserializer):  # type: ignore[misc]  # quixstreams is not in the environment that checks types
    """Bytes in the Confluent wire format to a dict."""

    def __init__(self, schema: Fields) -> None:
        """Take a schema."""
        super().__init__()
        self._schema: Any = parse_schema(schema)

    def __call__(self, value: bytes, ctx: object) -> Fields:
        """Read one record."""
        stream = BytesIO(value)
        stream.seek(HEADER_BYTES)
        read: Any = schemaless_reader(stream, self._schema)
        return dict(read)


class ToAvro(Serializer):  # type: ignore[misc]  # as above
    """A dict to bytes in the Confluent wire format."""

    def __init__(self, schema: Fields, header: bytes) -> None:
        """Take a schema and what stands before each record of it."""
        super().__init__()
        self._schema: Any = parse_schema(schema)
        self._header = header

    def __call__(self, value: Fields, ctx: object) -> bytes:
        """Write one record."""
        out = BytesIO()
        out.write(self._header)
        schemaless_writer(out, self._schema, value)
        return out.getvalue()


def count(heard: Fields, state: State) -> Fields:
    """As `bench.hop_stage.turn`."""
    words = state.get("words", 0) + len(heard["words"])
    state.set("words", words)
    return {
        **heard,
        "turn_id": f"{heard['contact_id']}/{heard['track']}/{heard['first_sample']}",
        "speaker": heard["track"],
        "asr": f"{words} words",
        "rev": 0,
    }


def main() -> None:
    """Run until killed."""
    bootstrap, prefix, folder, header, schemas = sys.argv[1:]
    read, written = (json.loads((Path(schemas) / f"{name}.avsc").read_text()) for name in ("segment_words", "turn"))
    app = Application(
        broker_address=bootstrap,
        consumer_group=prefix + "quix",
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="WARNING",
    )
    source = app.topic(prefix + "transcript.words", key_deserializer="bytes", value_deserializer=FromAvro(read))
    output = app.topic(
        prefix + "transcript.raw", key_serializer="bytes", value_serializer=ToAvro(written, bytes.fromhex(header))
    )
    app.dataframe(source).apply(count, stateful=True).to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
