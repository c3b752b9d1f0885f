"""Redis (or Valkey): guidance on its way to the agents' screens.

Owns the streams between the sink, which any number of gateways tail, and the fence in front of them: a
revision that is not newer than what its cause has said is not appended. Everything here is a copy of the
topic `guidance` with a short memory; when it is lost or away, the gateway reads Kafka instead.

    <prefix>guidance:<shard>          stream, 0 to 7; fields `key` (Kafka's) and `value` (the codec's bytes)
    <prefix>guidance:rev:<Kafka key>  hash of one conversation: cause id -> newest revision; gone after a day
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors.base import Delivered
from pipeline.errors import PeerUnavailable
from topics import codec
from topics.keys import partition_of
from topics.records import Guidance, Record

SHARDS: Final = 8  # one XREAD over 8 streams costs half the CPU of one over 1,000 (facts of the gateway's bench)
STREAM_LENGTH: Final = 10_000  # of each shard, approximately: hours of guidance at one a second
FENCE_TTL_S: Final = 24 * 3_600
ANSWER_LIMIT_S: Final = 5.0
_BLOCK_MS: Final = 1_000  # below ANSWER_LIMIT_S, so that silence means an absent server
_READ: Final = 100
_OLDEST: Final = b"0-0"

_Entries = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]  # stream, then id and fields

# KEYS: (hash, stream) a record; ARGV: limits, then (cause, revision, key, value) a record. Revisions stay
# below 2^53, which Lua's numbers hold exactly. The entry comes before the fence: if the script fails between
# them (a script is not rolled back), the batch is appended again, and readers drop the repetition.
_SCRIPT: Final = """
for i = 0, #KEYS / 2 - 1 do
  local fence, stream = KEYS[2 * i + 1], KEYS[2 * i + 2]
  local cause, rev, key, value = unpack(ARGV, 4 * i + 3, 4 * i + 6)
  local stored = redis.call('HGET', fence, cause)
  if not stored or tonumber(rev) > tonumber(stored) then
    redis.call('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', 'key', key, 'value', value)
    redis.call('HSET', fence, cause, rev)
    redis.call('EXPIRE', fence, ARGV[2])
  end
end
"""


class RedisGuidanceSink:
    """Appends each newer revision of guidance to its conversation's shard; one call of the server a batch."""

    name = "redis"
    topics = ("guidance",)
    linger_ms = 0

    def __init__(self, url: str, prefix: str) -> None:
        """Connect at the first use.

        Args:
            url: `redis://...` or `rediss://...`.
            prefix: put before every Redis key.
        """
        self._prefix = prefix
        self._client = Redis.from_url(
            url,
            socket_timeout=ANSWER_LIMIT_S,
            socket_connect_timeout=ANSWER_LIMIT_S,
            retry=Retry(NoBackoff(), 0),  # the engine retries, and keeps polling meanwhile
        )
        self._append = self._client.register_script(_SCRIPT)

    def prepare(self) -> None:
        """Find out whether the server answers; streams need no preparation."""
        with _ours():
            self._client.ping()

    def write(self, batch: Sequence[Delivered]) -> None:
        """Append a batch; no content of a record makes the server refuse it."""
        keys: list[str | bytes] = []
        arguments: list[str | bytes | int] = [STREAM_LENGTH, FENCE_TTL_S]
        for one in batch:
            record = cast("Guidance", one.record)  # the only type on the topic; the engine has checked it
            keys += [_fence(self._prefix, one.key), _stream(self._prefix, partition_of(one.key, SHARDS))]
            arguments += [record.cause_id, record.rev, one.key, codec.encode(record)]
        with _ours():
            self._append(keys, arguments)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()


class RedisGuidanceTail:
    """Reads every shard from one point on: `async for key, record in tail`.

    The point is resolved to concrete ids once. (`XREAD` with `$` means "from now" at each call: what arrives
    between two calls is lost; 75 of 300 entries were seen that way.) It moves with what is read, so an
    iteration that ended in an error can be begun again and goes on behind the last record.
    """

    def __init__(self, url: str, prefix: str, *, from_start: bool = False) -> None:
        """Connect at the first use.

        Args:
            url: `redis://...` or `rediss://...`.
            prefix: as the sink's.
            from_start: begin with the oldest entries that are kept instead of with what comes after `open`.
        """
        self._streams = [_stream(prefix, shard).encode() for shard in range(SHARDS)]
        self._last_ids = dict.fromkeys(self._streams, _OLDEST) if from_start else {}
        self._client = AsyncRedis.from_url(
            url,
            socket_timeout=ANSWER_LIMIT_S,
            socket_connect_timeout=ANSWER_LIMIT_S,
            retry=AsyncRetry(NoBackoff(), 0),
        )

    async def open(self) -> None:
        """Fix where the tail begins, so that nothing appended later is missed; the first read does it too.

        Raises:
            PeerUnavailable: the server does not answer.
        """
        if not self._last_ids:
            with _ours():
                self._last_ids = {stream: await self._newest_id(stream) for stream in self._streams}

    async def __aiter__(self) -> AsyncIterator[tuple[bytes, Record]]:
        """Yield (Kafka key, record) of what is appended, in order within a conversation, for ever.

        Raises:
            PeerUnavailable: the server does not answer.
            RecordRefused: an entry was written by a version with another schema; it counts as read.
        """
        await self.open()
        while True:
            for stream, entries in await self._read():
                for entry_id, fields in entries:
                    self._last_ids[stream] = entry_id
                    yield fields[b"key"], codec.decode(fields[b"value"])

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def _newest_id(self, stream: bytes) -> bytes:
        entries: Any = await self._client.xrevrange(
            stream, count=1
        )  # redis-py's type covers decoded text and RESP3 too
        return entries[0][0] if entries else _OLDEST

    async def _read(self) -> _Entries:
        with _ours():
            ids = cast("Any", self._last_ids)  # a dict is invariant in its key's type
            entries: Any = await self._client.xread(ids, count=_READ, block=_BLOCK_MS)  # as above
            return cast("_Entries", entries)


def _stream(prefix: str, shard: int) -> str:
    return f"{prefix}guidance:{shard}"


def _fence(prefix: str, key: bytes) -> bytes:
    return f"{prefix}guidance:rev:".encode() + key


@contextmanager
def _ours() -> Iterator[None]:
    """Turn the client's errors into ours; a reply may quote an argument, so only its kind is kept."""
    try:
        yield
    except RedisError as error:
        raise PeerUnavailable(f"Redis is not available: {type(error).__name__}") from None
