"""Partitions that a rebalance has left without an owner, on a real broker."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pipeline.engines.stations import COUNTER, LIMIT_S, Place, said
from topics import clients
from topics.records import Moments

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

WORDS, MOMENTS = "transcript.words", "moments"
PARTITIONS = 4

# A member that holds what it is given, and with `dies` ends in the middle of giving some of it up.
GHOST = """
import os, signal, sys
from topics import clients

bootstrap, group, topic, dies = sys.argv[1:]

def revoke(consumer, partitions):
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    consumer.incremental_unassign(partitions)

def assign(consumer, partitions):
    consumer.incremental_assign(partitions)
    print(*(one.partition for one in partitions), flush=True)

consumer = clients.consumer(bootstrap, group, instance_id="a-ghost")
consumer.subscribe([topic], on_assign=assign, on_revoke=revoke)
while True:
    consumer.poll(0.1)
"""


@contextmanager
def ghost(place: Place, dies: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Run it until its partitions are there."""
    where = (place.bootstrap, f"{place.prefix}counter", place.prefix + WORDS, dies)
    process = subprocess.Popen([sys.executable, "-c", GHOST, *where], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # a pipe was asked for
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_what_a_dead_member_gave_up_is_not_left_without_an_owner(broker: str, prefix: str) -> None:
    place = Place(broker, prefix, PARTITIONS)
    place.create(COUNTER)
    contacts = [f"c{n}" for n in range(12)]
    with ghost(place, dies="yes") as dying:
        async with place.working(COUNTER) as (worker, running):
            await asyncio.to_thread(dying.wait, LIMIT_S)
            with ghost(place):
                owners = await asyncio.to_thread(owned, place)
                assert not owners["one"], "the broker gave a second round by itself: is the look still needed?"
                async with asyncio.timeout(LIMIT_S):
                    while not worker.assigned:
                        await asyncio.sleep(0.05)
                place.send((WORDS, f"t|{one}".encode(), said(0, one)) for one in contacts)
            # The ghost's session ends, and the worker has everything.
            await asyncio.to_thread(
                place.until,
                [MOMENTS],
                lambda records: {one.contact_id for one in records if isinstance(one, Moments)} == set(contacts),
            )
            assert not running.done()


def owned(place: Place) -> dict[str, set[int]]:
    """Ask the broker who owns what."""
    group, client = f"{place.prefix}counter", clients.admin(place.bootstrap)
    told = client.describe_consumer_groups([group])[group].result(LIMIT_S)
    return {
        (member.group_instance_id or "").removeprefix(place.prefix): {
            one.partition for one in member.assignment.topic_partitions
        }
        for member in told.members
    }
