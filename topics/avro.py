"""Avro binary (specification 1.12, "Binary Encoding") of one record type, as functions compiled for it.

A record's fields are known when its schema is, so the loop over them is unrolled once into the source of a function:
no dict between bytes and record, no look at the schema while one is read. What a file of ours declares is supported,
and nothing else: records, arrays, enums of at most 64 symbols, `[null, T]`, long, string, bytes, boolean, double.

`topics/codec.py` owns the wire format and the errors; both functions raise what `BROKEN` lists.
"""

import struct
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

BROKEN = (AttributeError, EOFError, IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error)
Schema = Any  # parsed JSON: a name, a union's list, or a complex type's dict
Hint = Any  # what a field's annotation says
Reader = Callable[[bytes, int], tuple[Any, int]]  # bytes and where the record begins to the record and where it ends
Writer = Callable[[Any], bytes]

_LONG_BYTES = 10  # of 64 bits, 7 a byte
_DOUBLE = struct.Struct("<d")


def reader(schema: Schema, kind: type[Any]) -> Reader:
    """Compile the function that reads a `kind`. An end behind that of the bytes says that they were cut."""
    code = _Code()
    code.add(0, "def read(data, at):")
    _read(code, 1, schema, kind, "record")
    code.add(1, "return record, at")
    compiled: Reader = code.compiled("read")
    return compiled


def writer(schema: Schema, kind: type[Any], header: bytes) -> Writer:
    """Compile the function that writes a `kind` behind a header."""
    code = _Code()
    code.add(0, "def write(record):", f"    out = bytearray({header!r})")
    _write(code, 1, schema, kind, "record")
    code.add(1, "return bytes(out)")
    compiled: Writer = code.compiled("write")
    return compiled


class _Code:
    """The source of one function, and the objects that it names."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}  # types that later fields refer to
        self._lines: list[str] = []
        self._objects: dict[str, object] = {"long": _long, "put_long": _put_long, "new": object.__new__}

    def add(self, depth: int, *lines: str) -> None:
        """Append lines."""
        self._lines += ["    " * depth + line for line in lines]

    def fresh(self, stem: str) -> str:
        """Return a name that no other line uses for something else."""
        return f"{stem}_{len(self._lines)}"

    def bind(self, stem: str, value: object) -> str:
        """Name an object."""
        name = f"{stem}_{len(self._objects)}"
        self._objects[name] = value
        return name

    def compiled(self, name: str) -> Any:  # noqa: ANN401 - a function of either signature
        """Return the function."""
        exec(compile("\n".join(self._lines), "<avro>", "exec"), self._objects)  # noqa: S102 - of our own schemas
        return self._objects[name]


def _read(code: _Code, depth: int, schema: Schema, hint: Hint, into: str) -> None:
    """Add the lines that read one value into a variable."""
    match schema:
        case [_, kind]:
            code.add(depth, "union = data[at]", "at += 1", "if union == 0:", f"    {into} = None", "elif union == 2:")
            _read(code, depth + 1, kind, get_args(hint)[0], into)
            code.add(depth, "else:", "    raise ValueError")
        case {"type": "record"}:
            _read_record(code, depth, schema, hint, into)
        case {"type": "array", "items": items}:
            _read_array(code, depth, items, get_args(hint)[0], into)
        case {"type": "enum", "symbols": symbols, "name": name}:
            code.named[name] = schema
            of = code.bind("symbols", {2 * n: symbol for n, symbol in enumerate(symbols)})
            code.add(depth, f"{into} = {of}[data[at]]", "at += 1")
        case str() if schema in code.named:
            _read(code, depth, code.named[schema], hint, into)
        case _:
            _read_primitive(code, depth, schema, into)


def _read_record(code: _Code, depth: int, schema: Schema, kind: type[Any], into: str) -> None:
    """Fill the slots themselves: a third of the time of a frozen dataclass's `__init__`; none has `__post_init__`."""
    code.named[schema["name"]] = schema
    made, hints = code.fresh("made"), get_type_hints(kind)
    code.add(depth, f"{made} = new({code.bind('kind', kind)})")
    for field in schema["fields"]:
        value = code.fresh("value")
        _read(code, depth, field["type"], hints[field["name"]], value)
        code.add(depth, f"{code.bind('put', getattr(kind, field['name']).__set__)}({made}, {value})")
    code.add(depth, f"{into} = {made}")


def _read_array(code: _Code, depth: int, items: Schema, hint: Hint, into: str) -> None:
    """Read blocks until an empty one; a block with a negative count says its length in bytes, too."""
    listed, count, item = (code.fresh(stem) for stem in ("listed", "count", "item"))
    code.add(depth, f"{listed} = []", "while True:")
    _read_long(code, depth + 1, count)
    code.add(depth + 1, f"if {count} == 0:", "    break", f"if {count} < 0:", f"    {count} = -{count}")
    _read_long(code, depth + 2, "size")
    code.add(depth + 1, f"for _ in range({count}):")
    _read(code, depth + 2, items, hint, item)
    code.add(depth + 2, f"{listed}.append({item})")
    code.add(depth, f"{into} = tuple({listed})")


def _read_primitive(code: _Code, depth: int, schema: str, into: str) -> None:
    match schema:
        case "long":
            _read_long(code, depth, into)
        case "string" | "bytes":
            _read_folded(code, depth, "size")
            code.add(depth, "if size & 1:", "    raise ValueError", "end = at + (size >> 1)")
            code.add(
                depth,
                f"{into} = " + ("str(data[at:end], 'utf-8')" if schema == "string" else "data[at:end]"),
                "at = end",
            )
        case "boolean":
            code.add(depth, f"{into} = data[at] == 1", "at += 1")
        case "double":
            code.add(depth, f"{into} = {code.bind('unpack', _DOUBLE.unpack_from)}(data, at)[0]", "at += 8")
        case _:
            raise NotImplementedError(schema)


def _read_long(code: _Code, depth: int, into: str) -> None:
    _read_folded(code, depth, into)
    code.add(depth, f"{into} = ~({into} >> 1) if {into} & 1 else {into} >> 1")


def _read_folded(code: _Code, depth: int, into: str) -> None:
    """Read an integer with its sign in the last bit; up to three bytes in place: a time of 17 minutes has as many."""
    code.add(depth, f"{into} = data[at]", f"if {into} < 128:", "    at += 1")
    code.add(depth, "elif (high := data[at + 1]) < 128:", f"    {into} += (high << 7) - 128", "    at += 2")
    code.add(
        depth, "elif (top := data[at + 2]) < 128:", f"    {into} += (high << 7) + (top << 14) - 16512", "    at += 3"
    )
    code.add(depth, "else:", f"    {into}, at = long(data, at)")


def _long(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer, its sign still in the last bit."""
    value = 0
    for n, byte in enumerate(data[at : at + _LONG_BYTES]):
        value |= (byte & 127) << 7 * n
        if byte < 128:
            if value >> 64:
                raise OverflowError
            return value, at + n + 1
    raise EOFError


def _write(code: _Code, depth: int, schema: Schema, hint: Hint, value: str) -> None:
    """Add the lines that write the value of an expression."""
    match schema:
        case [_, kind]:
            inner = code.fresh("inner")
            code.add(depth, f"{inner} = {value}", f"if {inner} is None:", "    out.append(0)", "else:")
            code.add(depth + 1, "out.append(2)")
            _write(code, depth + 1, kind, get_args(hint)[0], inner)
        case {"type": "record", "name": name, "fields": declared}:
            code.named[name] = schema
            hints = get_type_hints(hint)
            for field in declared:
                _write(code, depth, field["type"], hints[field["name"]], f"{value}.{field['name']}")
        case {"type": "array", "items": items}:
            _write_array(code, depth, items, get_args(hint)[0], value)
        case {"type": "enum", "symbols": symbols, "name": name}:
            code.named[name] = schema
            code.add(
                depth,
                f"out.append({code.bind('symbols', {symbol: 2 * n for n, symbol in enumerate(symbols)})}[{value}])",
            )
        case str() if schema in code.named:
            _write(code, depth, code.named[schema], hint, value)
        case _:
            _write_primitive(code, depth, schema, value)


def _write_array(code: _Code, depth: int, items: Schema, hint: Hint, value: str) -> None:
    listed, item = code.fresh("listed"), code.fresh("item")
    code.add(depth, f"{listed} = {value}", f"if {listed}:")
    _write_long(code, depth + 1, f"len({listed})")
    code.add(depth + 1, f"for {item} in {listed}:")
    _write(code, depth + 2, items, hint, item)
    code.add(depth, "out.append(0)")


def _write_primitive(code: _Code, depth: int, schema: str, value: str) -> None:
    match schema:
        case "long":
            _write_long(code, depth, value)
        case "string" | "bytes":
            code.add(depth, f"text = {value}" + (".encode()" if schema == "string" else ""))
            _write_long(code, depth, "len(text)")
            code.add(depth, "out += text")
        case "boolean":
            code.add(depth, f"out.append(1 if {value} else 0)")
        case "double":
            code.add(depth, f"out += {code.bind('pack', _DOUBLE.pack)}({value})")
        case _:
            raise NotImplementedError(schema)


def _write_long(code: _Code, depth: int, value: str) -> None:
    """Write one of up to three bytes in place."""
    code.add(depth, f"number = {value}", "folded = number << 1 ^ number >> 63")
    code.add(depth, "if 0 <= folded < 128:", "    out.append(folded)")
    code.add(depth, "elif 0 <= folded < 16384:", "    out.append(folded & 127 | 128)", "    out.append(folded >> 7)")
    code.add(depth, "elif 0 <= folded < 2097152:", "    out.append(folded & 127 | 128)")
    code.add(depth + 1, "out.append(folded >> 7 & 127 | 128)", "out.append(folded >> 14)")
    code.add(depth, "else:", "    put_long(out, number)")


def _put_long(out: bytearray, number: int) -> None:
    """Append a variable-length integer."""
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    folded = number << 1 ^ number >> 63
    while folded > 127:
        out.append(folded & 127 | 128)
        folded >>= 7
    out.append(folded)
