"""`python -m bench.hop_worker ENGINE BOOTSTRAP PREFIX`: one engine's worker, until it is killed.

Every engine reads `transcript.words` and writes `transcript.raw`; `language` runs the real group of that name.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Any

import uvloop
from confluent_kafka import Message

from bench.hop_stage import HOP, turn
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.topology import Group, group_of
from topics import clients, codec
from topics.records import SegmentWords

BATCH = 500  # as `pipeline.engines.assignment` reads
PARTITIONS = 4


def trunkline(bootstrap: str, prefix: str) -> None:
    """Run the Kafka engine over the benchmark's row."""
    _run_worker(bootstrap, prefix, group_of("hop", HOP))


def language(bootstrap: str, prefix: str) -> None:
    """Run the Kafka engine over the rows of group `language`."""
    _run_worker(bootstrap, prefix, group_of("language"))


def _run_worker(bootstrap: str, prefix: str, group: Group) -> None:
    async def work() -> None:
        worker = KafkaWorker(WorkerConfig(bootstrap, prefix, f"{prefix}{group.name}-1"), group, {})
        gc.freeze()  # as `pipeline.worker` does
        await worker.run(asyncio.Event())

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(work())


def confluent_loop(bootstrap: str, prefix: str) -> None:
    """Do the same decode, work, encode and produce in a plain loop: totals in a dict, offsets by auto-commit."""
    settings: Any = {"auto.offset.reset": "earliest", "enable.auto.commit": True}  # overrides of each type
    consumer = clients.consumer(bootstrap, prefix + "loop", **settings)
    producer = clients.producer(bootstrap)
    consumer.subscribe([prefix + "transcript.words"])
    totals: dict[bytes, int] = {}
    while True:
        first = consumer.poll(0.1)
        if first is None:
            continue
        for message in [first, *consumer.consume(BATCH - 1, 0)]:
            if message.error() is None:
                _pass_on(message, totals, producer.produce, prefix + "transcript.raw")
        producer.poll(0)


def _pass_on(message: Message, totals: dict[bytes, int], produce: Callable[..., None], output: str) -> None:
    key, heard = message.key() or b"", codec.decode(message.value() or b"")
    assert isinstance(heard, SegmentWords)
    totals[key] = totals.get(key, 0) + len(heard.words)
    produce(output, codec.encode(turn(heard, totals[key])), key, message.partition())


def faust(bootstrap: str, prefix: str) -> None:
    """Run a stock agent with a table: models, codecs and settings as its manual has them."""
    import faust as stock

    from bench import hop_faust

    app = stock.App(
        prefix + "hop",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    hop_faust.declare(app, prefix)
    stock.Worker(app, loglevel="WARN").execute_from_commandline()


ENGINES: dict[str, Callable[[str, str], None]] = {
    "trunkline": trunkline,
    "confluent_loop": confluent_loop,
    "faust": faust,
    "language": language,
}

if __name__ == "__main__":
    ENGINES[sys.argv[1]](sys.argv[2], sys.argv[3])
