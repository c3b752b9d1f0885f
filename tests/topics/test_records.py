"""Each record class against its schema, and the catalogue against both."""

from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from schemas import NAMES, avsc
from topics import records
from topics.catalogue import ALL, topic_of
from topics.records import Record

pytestmark = pytest.mark.unit

KINDS: list[type[Any]] = [
    kind for kind in vars(records).values() if is_dataclass(kind) and isinstance(kind, type) and hasattr(kind, "schema")
]
PRIMITIVES = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}
Shape = Any  # an Avro type with names in place of definitions: a string, a list or a dict


def avro_of(hint: object) -> Shape:
    """Say which Avro type a field of this Python type must have."""
    if get_origin(hint) is tuple:
        return {"array": avro_of(get_args(hint)[0])}
    if get_origin(hint) is UnionType:
        assert get_args(hint)[1] is NoneType
        return ["null", avro_of(get_args(hint)[0])]
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if is_dataclass(hint) and isinstance(hint, type):
        return {"record": hint.__name__, "fields": python_fields(hint)}
    assert isinstance(hint, type)
    return PRIMITIVES[hint]


def python_fields(kind: type[Any]) -> list[Shape]:
    """Return (name, Avro type, default or MISSING) of each field, as the class has them."""
    hints = get_type_hints(kind)
    return [
        (field.name, avro_of(hints[field.name]), default_of(field.default, hints[field.name])) for field in fields(kind)
    ]


def default_of(default: object, hint: object) -> object:
    """Say which Avro default belongs to a Python one: null for every optional field, a list for a tuple."""
    if default is MISSING:
        return None if get_origin(hint) is UnionType else MISSING
    if isinstance(default, bytes):  # Avro writes them as text, a character a byte
        return default.decode("latin-1")
    if is_dataclass(default) and not isinstance(default, type):
        return asdict(default)
    return list(default) if isinstance(default, tuple) else default


def shape_of(schema: Shape, named: dict[str, Shape]) -> Shape:
    """Reduce a schema to what `avro_of` says of a class."""
    if isinstance(schema, list):
        return [shape_of(one, named) for one in schema]
    if isinstance(schema, str):
        return named.get(schema, schema)
    if schema["type"] == "array":
        return {"array": shape_of(schema["items"], named)}
    if schema["type"] == "enum":
        named[schema["name"]] = {"enum": schema["symbols"]}
    else:
        shapes = [(one["name"], shape_of(one["type"], named), one.get("default", MISSING)) for one in schema["fields"]]
        named[schema["name"]] = {"record": schema["name"], "fields": shapes}
    return named[schema["name"]]


def definitions(schema: Shape) -> Iterator[dict[str, Any]]:
    """Yield every record, enum and field that a schema defines."""
    if isinstance(schema, list):
        for one in schema:
            yield from definitions(one)
    if isinstance(schema, dict):
        if "name" in schema:
            yield schema
        for part in ("fields", "type", "items"):
            yield from definitions(schema.get(part))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_class_has_the_fields_of_its_schema(kind: type[Record]) -> None:
    expected = {"record": kind.__name__, "fields": python_fields(kind)}
    assert expected == shape_of(avsc(kind.schema), {})


@pytest.mark.parametrize("name", NAMES)
def test_every_record_enum_and_field_is_explained(name: str) -> None:
    assert [] == [one["name"] for one in definitions(avsc(name)) if not one.get("doc", "").endswith(".")]


@pytest.mark.parametrize("name", NAMES)
def test_field_of_time_or_samples_states_its_unit(name: str) -> None:
    units = {"_ms": "in ms", "_sample": "8 kHz", "_s": "Seconds", "_pcm": "int16"}
    silent = [
        one["name"]
        for one in definitions(avsc(name))
        for ending, unit in units.items()
        if one["name"].endswith(ending) and unit not in one["doc"]
    ]
    assert [] == silent


@pytest.mark.parametrize("name", NAMES)
def test_namespace_is_ours(name: str) -> None:
    assert "trunkline" == avsc(name)["namespace"]


def test_every_schema_belongs_to_one_class() -> None:
    assert list(NAMES) == sorted(kind.schema for kind in KINDS)


def test_unknown_schema_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        avsc("nobody")


def test_every_type_flows_on_exactly_one_topic() -> None:
    places = {kind: [topic.name for topic in ALL if kind in topic.records] for kind in KINDS}
    assert places.pop(records.Watermark)
    assert dict.fromkeys(places, 1) == {kind: len(names) for kind, names in places.items()}


def test_topic_of_names_the_place_of_a_record() -> None:
    mark = records.SpeechMark("local", "c-1", 0, "agent", first_sample=0, end_sample=None)
    assert "speech.marks" == topic_of(mark)


def test_topic_of_a_watermark_does_not_exist() -> None:
    with pytest.raises(KeyError):
        topic_of(records.Watermark("local", "c-1", 0, time_ms=0, is_end=False))


def test_two_holds_are_two_events_and_two_words_on_one_end_are_one() -> None:
    event = records.ContactEvent("local", "c-1", 0, "hold_began", 0, "maria", time_ms=1)
    assert event.identity != replace(event, time_ms=2).identity
    ended = replace(event, kind="ended")
    assert ended.identity == replace(ended, time_ms=2, agent="").identity
