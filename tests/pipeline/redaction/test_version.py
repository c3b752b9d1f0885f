"""The version that receipts name belongs to the rules as they stand."""

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.redaction import version

pytestmark = pytest.mark.unit

PIPELINE = Path(__file__).parents[3] / "pipeline"
OWN = PIPELINE / "redaction" / "version.py"


def digest() -> str:
    """Hash every file that decides what is masked."""
    files = [path for path in (PIPELINE / "redaction").rglob("*") if path.is_file() and path != OWN]
    files = sorted(path for path in files if "__pycache__" not in path.parts)
    hashed = hashlib.sha256()
    for path in [*files, PIPELINE / "stages" / "redaction.py"]:
        hashed.update(f"{path.relative_to(PIPELINE).as_posix()}\0".encode() + path.read_bytes())
    return hashed.hexdigest()[:12]


def test_a_change_of_the_rules_is_another_version() -> None:
    if os.environ.get("TRUNKLINE_GOLDEN") == "1":
        OWN.write_text(OWN.read_text().replace(version.DETECTOR, digest()))
        return
    assert digest() == version.DETECTOR
