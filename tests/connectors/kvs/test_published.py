"""Published responses: the 19 in Connect's look and the recorded ones of the parser library."""

import json
from typing import Any

import pytest

from connectors.kvs.events import Block, ClusterOpened, Tag
from tests.connectors.kvs.documents import (
    FIXTURES,
    RECORDED,
    TITLES,
    VIDEO_LIMIT_BYTES,
    bytewise,
    closed,
    damage,
    drawn,
    fixture,
    heard,
    read,
    recorded,
)

pytestmark = pytest.mark.unit

FOUND = {  # by ebmlite: fragments, clusters, blocks, tags
    "empty-mkv-with-tags": (1, 0, 0, 3),
    "output-get-media-non-increasing-timecode": (12, 12, 358, 112),
    "output_get_media": (5, 5, 300, 60),
    "output_get_media_sparse_fragments": (3, 3, 180, 36),
    "test_mixed_tags": (10, 10, 100, 105),
    "test_tags_empty_cluster": (1, 0, 0, 5),
}
every_fixture = pytest.mark.parametrize("title", TITLES)
every_recorded = pytest.mark.parametrize("title", RECORDED)


def declared(title: str) -> dict[str, Any]:  # Any: a published JSON file
    fixture(title)
    facts: dict[str, Any] = json.loads((FIXTURES / "README.json").read_text())["fixtures"][title]
    return facts


@every_fixture
def test_fixture_has_what_it_declares(title: str) -> None:
    facts, events = declared(title), read([fixture(title)])
    told = closed(events)
    numbers = [one.number for one in told if one.number is not None]
    contacts = [one.contact_id or "" for one in told]
    assert [] == damage(events)
    assert facts["fragments"] == len(told)
    assert facts["clusters"] == sum(isinstance(event, ClusterOpened) for event in events)
    assert facts["simple_blocks"] == len(heard(events)) == sum(one.blocks for one in told)
    assert len(facts["producer_timestamps"]) == len(told)
    assert {*facts["contact_ids"]} == {*contacts}
    if len(facts["contact_ids"]) == len(contacts):
        assert facts["contact_ids"] == contacts
    if title != "multi_segment":  # it declares the ends of its numbers alone
        assert set(numbers) <= set(facts["fragment_numbers"])


@every_fixture
def test_fixture_reads_alike_byte_by_byte_and_in_drawn_feeds(title: str) -> None:
    response = fixture(title)
    whole = read([response])
    assert whole == read(bytewise(response))
    for seed in range(20):
        assert whole == read(drawn(response, seed))


@every_recorded
def test_recorded_response_needs_no_looking_for_a_header(title: str) -> None:
    response = recorded(title)
    events = read([response], VIDEO_LIMIT_BYTES)
    kinds = [sum(isinstance(event, kind) for event in events) for kind in (ClusterOpened, Block, Tag)]
    assert [] == damage(events)
    assert FOUND[title] == (len(closed(events)), *kinds)
    assert events == read(drawn(response, 1), VIDEO_LIMIT_BYTES)
