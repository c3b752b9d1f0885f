"""Records to bytes and back: Avro behind the Confluent wire format, without a registry.

A value is `0x00`, a schema id (4 bytes, big-endian), and the Avro binary of one record. The id is derived
from the schema itself: the first 4 bytes of the SHA-256 of its parsing canonical form (Avro specification
1.12, "Schema Fingerprints"), less the sign bit, because registries count in positive int32. So every process
agrees on the ids without asking anyone. Another name, type or order is another id; docs and defaults are not.

This module owns the wire format, its errors and the plain form of JSON lines; `avro.py` compiles what stands behind
the header. What a record says is not judged here: an odd number of PCM bytes passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from fastavro.schema import fingerprint, to_parsing_canonical_form

from pipeline.errors import RecordRefused
from schemas import avsc
from topics import avro
from topics.catalogue import CATALOGUE
from topics.records import Record

# Kafka's own default for a batch is 1 MiB + 12 bytes (max.message.bytes); an audio record is 6 kB.
LIMIT_BYTES = 1 << 20
_MAGIC = b"\x00"
_HEADER_BYTES = 5

Fields = dict[str, Any]  # a record as plain values
_Convert = Callable[[Any], Any]  # of a field's value in a record to that in `Fields`


@dataclass(frozen=True, slots=True)
class _Form:
    """How one record type is written."""

    header: bytes
    write: avro.Writer
    read: avro.Reader
    to_fields: Callable[[object], Fields]
    has_bytes: bool


def encode(record: Record) -> bytes:
    """Write a record in the wire format.

    Raises:
        RecordRefused: a value does not fit its schema (a lone surrogate, an integer above 64 bits), or the
            record is longer than `LIMIT_BYTES`.
    """
    form = _FORM_OF[type(record)]
    try:
        data = form.write(record)
    except avro.BROKEN:
        # The cause quotes the value; it must not travel with the error.
        raise RecordRefused("a value does not fit the record's schema") from None
    if len(data) > LIMIT_BYTES:
        raise RecordRefused("the record is longer than 1 MiB")
    return data


def decode(data: bytes) -> Record:
    """Read what `encode` wrote, here or in another process.

    Raises:
        RecordRefused: the bytes are not one whole record of a schema that this version knows.
    """
    form = _FORM_AT.get(data[:_HEADER_BYTES])
    if form is None or len(data) > LIMIT_BYTES:
        _refuse(data)
    record: Record
    try:
        record, end = form.read(data, _HEADER_BYTES)
    except avro.BROKEN:
        # The cause may quote the payload; it must not travel with the error.
        end = len(data) + 1
    if end > len(data):
        raise RecordRefused("the bytes do not follow the record's schema")
    if end < len(data):
        raise RecordRefused("bytes follow the end of the record")
    return record


def to_json(record: Record) -> dict[str, object]:
    """Return the record as plain dicts, lists, strings and numbers, in the order of its schema.

    Raises:
        TypeError: the record holds audio, which no line of text may carry.
    """
    form = _FORM_OF[type(record)]
    if form.has_bytes:
        raise TypeError("a record with audio has no JSON form")
    return form.to_fields(record)


def schema_id(name: str) -> int:
    """Return the id that stands in the header of the schema called `name`: 31 bits."""
    canonical = to_parsing_canonical_form(avsc(name))
    return int(fingerprint(canonical, "SHA-256")[:8], 16) & 0x7FFF_FFFF


def _refuse(data: bytes) -> NoReturn:
    if len(data) > LIMIT_BYTES:
        raise RecordRefused("the record is longer than 1 MiB")
    if len(data) < _HEADER_BYTES:
        raise RecordRefused("the record is shorter than its header")
    if not data.startswith(_MAGIC):
        raise RecordRefused("the record is not in the Confluent wire format")
    raise RecordRefused("the record's schema id is unknown")


def _build(kind: type[Record]) -> _Form:
    schema, header = avsc(kind.schema), _MAGIC + schema_id(kind.schema).to_bytes(4, "big")
    return _Form(
        header=header,
        write=avro.writer(schema, kind, header),
        read=avro.reader(schema, kind),
        to_fields=_taker(kind),
        has_bytes=bytes in _hints(kind).values(),
    )


def _taker(kind: type[Any]) -> Callable[[object], Fields]:
    """Build the function that reads the fields of a `kind`; 9 times faster than `dataclasses.asdict`."""
    names = tuple(_hints(kind))
    read = attrgetter(*names)
    inner = [(name, take) for name, hint in _hints(kind).items() if (take := _take(hint))]

    def flat(value: object) -> Fields:
        return dict(zip(names, read(value), strict=True))

    def nested(value: object) -> Fields:
        taken = flat(value)
        for name, take in inner:
            taken[name] = take(taken[name])
        return taken

    return nested if inner else flat


def _take(hint: object) -> _Convert | None:
    """Return the way from a field's value to a plain one; None where they are the same."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _taker(hint)
    if get_origin(hint) is not tuple:
        return None
    item = _take(get_args(hint)[0])
    return (lambda values: [item(value) for value in values]) if item else list


def _hints(kind: type[Any]) -> dict[str, object]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


_FORM_OF: dict[type[Record], _Form] = {
    kind: _build(kind) for kind in dict.fromkeys(kind for topic in CATALOGUE for kind in topic.records)
}
_FORM_AT: dict[bytes, _Form] = {form.header: form for form in _FORM_OF.values()}
