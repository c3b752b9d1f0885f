"""What the search led by coverage has found worth keeping (`fuzz.py`)."""

from pathlib import Path

import pytest

from tests.connectors.kvs import laws

pytestmark = pytest.mark.unit

CORPUS = sorted(Path(__file__).with_name("corpus").iterdir())


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) > 20


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name[:12])
def test_input_keeps_the_laws(path: Path) -> None:
    data = path.read_bytes()
    laws.check(data[1:], data[0])
