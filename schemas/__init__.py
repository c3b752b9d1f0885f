"""The Avro schemas: the truth about every record, one `avro/<name>.avsc` each.

This package owns the files and hands them out as parsed JSON; bytes belong to `topics/codec.py`, meaning to
`topics/records`.
"""

import json
from functools import cache
from importlib.resources import files
from typing import cast

_FOLDER = files(__name__) / "avro"

NAMES: tuple[str, ...] = tuple(
    sorted(entry.name.removesuffix(".avsc") for entry in _FOLDER.iterdir() if entry.name.endswith(".avsc"))
)


@cache
def avsc(name: str) -> dict[str, object]:
    """Return the schema called `name` as it stands in its file; callers share it and must not change it.

    Raises:
        KeyError: there is no such schema.
    """
    if name not in NAMES:
        raise KeyError(name)
    text = (_FOLDER / f"{name}.avsc").read_text(encoding="utf-8")
    return cast("dict[str, object]", json.loads(text))
