"""A Kinesis data stream: the records of all its shards, from where they had been taken to.

Each shard is read by itself and from its oldest record where no position is known, also a shard that a split or merge
has made: what a record means does not depend on the others. Limits: five reads a second and 2 MB/s a shard (quotas of
Kinesis Data Streams), which other readers of the stream share, so a shard is asked twice a second, and four times while
it is behind.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from connectors.base import Arrived, Batch
from connectors.contact_events.feeds import AwsClient
from connectors.sealing import reason
from pipeline.errors import PeerUnavailable

READ_S: Final = 0.5  # between two reads of a shard
CATCH_UP_S: Final = 0.25  # the same, while the shard has more than was read
LIST_S: Final = 60.0  # between two looks at the list of shards
BATCH_RECORDS: Final = 500


@dataclass(slots=True)
class _Shard:
    """One shard.

    Attributes:
        after: the sequence number that has been taken; empty where none has.
        iterator: where the next read begins; empty where it must be asked for.
        is_over: the shard is closed and read to its end.
    """

    after: str = ""
    iterator: str = ""
    is_over: bool = False
    due_s: float = 0.0


class KinesisInlet:
    """One stream. Used by one thread."""

    def __init__(self, client: AwsClient, stream: str) -> None:
        """Prepare.

        Args:
            client: botocore's of Kinesis.
            stream: its ARN.
        """
        self._client = client
        self._stream = stream
        self._shards: dict[str, _Shard] = {}
        self._positions: Mapping[str, str] = {}
        self._list_due_s = 0.0

    def resume(self, positions: Mapping[str, str]) -> None:
        """Begin behind what has been taken, also after a failure: what was pulled and not settled comes again."""
        self._positions = positions
        self._shards = {}
        self._list_due_s = 0.0

    def pull(self) -> Batch:
        """Read each shard that is due once.

        Raises:
            PeerUnavailable: the service does not answer, or throttles.
        """
        arrived: list[Arrived] = []
        try:
            self._list()
            for name, shard in self._shards.items():
                if not shard.is_over and time.monotonic() >= shard.due_s:
                    arrived += self._read(name, shard)
        except (BotoCoreError, ClientError) as error:
            if not arrived:  # else what has come is carried first, and the failure comes again
                raise PeerUnavailable(f"Kinesis: {reason(error)}") from None
        taken = {name: shard.after for name, shard in self._shards.items() if shard.after}
        return Batch(tuple(arrived), taken)

    def settle(self, batch: Batch) -> None:
        """Nothing is told to Kinesis: positions are ours to keep."""

    def _list(self) -> None:
        if time.monotonic() < self._list_due_s:
            return
        told = self._client.list_shards(StreamARN=self._stream)
        found = list(told["Shards"])
        while token := told.get("NextToken"):
            told = self._client.list_shards(NextToken=token)
            found += told["Shards"]
        for one in found:
            name = one["ShardId"]
            self._shards.setdefault(name, _Shard(after=self._positions.get(name, "")))
        for gone in self._shards.keys() - {one["ShardId"] for one in found}:  # its last record has left the stream
            del self._shards[gone]
        self._list_due_s = time.monotonic() + LIST_S

    def _read(self, name: str, shard: _Shard) -> list[Arrived]:
        if not shard.iterator:
            shard.iterator = self._iterator(name, shard.after)
        try:
            told = self._client.get_records(StreamARN=self._stream, ShardIterator=shard.iterator, Limit=BATCH_RECORDS)
        except self._client.exceptions.ExpiredIteratorException:  # five minutes without a read
            shard.iterator = ""
            return []
        shard.due_s = time.monotonic() + (CATCH_UP_S if told.get("MillisBehindLatest") else READ_S)
        shard.iterator = told.get("NextShardIterator") or ""
        shard.is_over = not shard.iterator
        records = told["Records"]
        if records:
            shard.after = records[-1]["SequenceNumber"]
        return [Arrived(one["Data"], name, one["SequenceNumber"]) for one in records]

    def _iterator(self, name: str, after: str) -> str:
        begin = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
            if after
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        told = self._client.get_shard_iterator(StreamARN=self._stream, ShardId=name, **begin)
        return str(told["ShardIterator"])
