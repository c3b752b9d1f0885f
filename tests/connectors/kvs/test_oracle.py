"""Well-formed responses, published and made, read by ebmlite in an environment of its own and by our parser."""

import hashlib
import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import environments
from connectors.kvs.events import Block, ClusterOpened, Event, Tag
from tests.connectors.kvs.documents import (
    HEADER,
    RECORDED,
    TITLES,
    VIDEO_LIMIT_BYTES,
    block,
    cluster,
    endless,
    fixture,
    info,
    read,
    recorded,
    tags,
    tracks,
)

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).with_name("ebmlite_reading.py")
ENDS_EARLY = "unknown_elements"  # ebmlite ends an element of unknown size at the first that it does not know
MADE = 200


def test_fixtures_read_as_ebmlite_reads_them(tmp_path: Path) -> None:
    compare(tmp_path, {title: fixture(title) for title in TITLES if title != ENDS_EARLY})


def test_recorded_responses_read_as_ebmlite_reads_them(tmp_path: Path) -> None:
    compare(tmp_path, {title: recorded(title) for title in RECORDED})


def test_made_responses_read_as_ebmlite_reads_them(tmp_path: Path) -> None:
    compare(tmp_path, {f"seed {seed}": made(random.Random(seed)) for seed in range(MADE)})


def compare(folder: Path, responses: dict[str, bytes]) -> None:
    paths = [folder / title for title in responses]
    for path, response in zip(paths, responses.values(), strict=True):
        path.write_bytes(response)
    python = environments.python_with("ebmlite", environments.EBMLITE)
    done = subprocess.run([python, SCRIPT, *paths], capture_output=True, text=True, check=True, timeout=120)
    for (title, response), line in zip(responses.items(), done.stdout.splitlines(), strict=True):
        assert json.loads(line) == told(read([response], VIDEO_LIMIT_BYTES)), title


def told(events: Sequence[Event]) -> list[list[object]]:
    """Return tags, clusters and blocks as the script prints them."""
    found: list[list[object]] = []
    for event in events:
        if isinstance(event, Tag):
            found.append(["tag", event.name, event.text])
        elif isinstance(event, ClusterOpened):
            found.append(["cluster", event.time_ms, [[*one] for one in event.tracks]])
        elif isinstance(event, Block):
            found.append(["block", event.number, event.time_ms, hashlib.sha256(event.payload).hexdigest()])
    return found


def made(rng: random.Random) -> bytes:
    """Draw a well-formed response of one to four fragments."""
    return b"".join(HEADER + endless(0x18538067, *sections(rng)) for _ in range(rng.randint(1, 4)))


def sections(rng: random.Random) -> list[bytes]:
    numbers = rng.sample(range(1, 127), rng.randint(1, 3))
    names = {number: rng.choice(("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER", "other")) for number in numbers}
    parts = [info(rng.randbytes(16), rng.choice((1_000_000, 100_000, 1))), tracks(names)]
    for _ in range(rng.randint(0, 3)):
        blocks = [
            block(rng.choice(numbers), rng.randint(-9, 2_000), rng.randbytes(rng.choice((0, 1, 126, 127, 128, 1_024))))
            for _ in range(rng.randint(0, 6))
        ]
        parts += [tags(drawn_tags(rng)), cluster(rng.randint(10, 2**40), *blocks)]
    return [*parts, tags(drawn_tags(rng))]


def drawn_tags(rng: random.Random) -> dict[str, str]:
    return {f"name {number}": "text \u00e9" * rng.randint(0, 40) for number in range(rng.randint(1, 3))}
