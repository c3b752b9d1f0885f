"""Read redaction profiles: a file with one, or a file with one a tenant.

Owns the files' form: every mistake is found here, before any work starts. What a profile does is in
`pipeline/redaction`.
"""

from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from connectors import yaml_file
from pipeline.errors import InputError
from pipeline.redaction import plugins
from pipeline.redaction.detect import TYPES, Profile
from pipeline.redaction.languages import BadLanguage, pick
from pipeline.redaction.profiles import Profiles
from pipeline.redaction.replacement import KEY_BYTES, Replacement, Way

DEFAULT: Final = "default"  # the profile of tenants that are not named


class _Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    languages: tuple[str, ...] = ("en",)
    mode: Literal["standard", "strict"] = "standard"
    types: tuple[str, ...] = tuple(sorted(TYPES))
    replace: dict[str, Way] = msgspec.field(default_factory=dict)
    key_file: str = ""
    plugins: tuple[str, ...] = ()


def load(path: Path, key: str = "") -> Profile:
    """Read a file that holds one profile.

    Args:
        path: a YAML file; docs/operating.md describes it.
        key: of pseudonyms, where the profile names no key file.

    Raises:
        InputError: the file cannot be read or has a mistake; the message names file and reason.
    """
    return _profile(path, "", _given(path), key)


def load_all(path: Path, key: str = "") -> Profiles:
    """Read a file that holds profiles by tenant, `default` for the others.

    Raises:
        InputError: see `load`.
    """
    given = _given(path)
    rows = {tenant: _profile(path, f"{tenant}: ", row, key) for tenant, row in given.items()}
    return Profiles(rows, rows.pop(DEFAULT, Profile()))


def _given(path: Path) -> dict[str, Any]:  # Any: YAML
    with yaml_file.told(path):
        given = yaml.safe_load(path.read_bytes())
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise InputError(f"{path}: no mapping of names")
    return given


def _profile(path: Path, place: str, given: object, key: str) -> Profile:
    try:
        row = msgspec.convert(given, _Profile)
        pick(row.languages or ("en",))
    except (msgspec.ValidationError, BadLanguage) as error:
        raise InputError(f"{path}: {place}{error}") from None
    reason = _fault(row)
    if reason:
        raise InputError(f"{path}: {place}{reason}")
    chosen = _key(path.parent / row.key_file) if row.key_file else key.encode()
    if "pseudonym" in row.replace.values() and len(chosen) < KEY_BYTES:
        raise InputError(f"{path}: {place}pseudonyms need a key of {KEY_BYTES} bytes: key_file or redaction_key")
    return Profile(
        types=frozenset(row.types),
        is_strict=row.mode == "strict",
        languages=row.languages,
        replacement=Replacement(_asked(row, "last4"), _asked(row, "pseudonym"), chosen),
        plugins=row.plugins,
    )


def _fault(row: _Profile) -> str:
    """Say what is wrong with the values of a profile."""
    unknown = sorted({*row.types, *row.replace} - TYPES)
    if unknown:
        return f"no type {unknown[0]}; there are {', '.join(sorted(TYPES))}"
    if not row.languages:
        return "no language"
    if _asked(row, "last4") - {"CREDITCARD", "CVV"}:
        return "last4 is for CREDITCARD alone"
    return next(filter(None, (plugins.fault(name, row.languages[0]) for name in row.plugins)), "")


def _asked(row: _Profile, way: Way) -> frozenset[str]:
    return frozenset(kind for kind, asked in row.replace.items() if asked == way)


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
