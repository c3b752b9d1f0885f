"""The data keys behind restricted topics: made, published and found.

A process makes a data key for each conversation that it writes about. The tenant's key wraps a key of the process,
once; that one wraps the data keys, and each stands on `subject.keys` before anything that it has sealed: whoever
deletes a conversation's keys there makes unreadable what was written about it, wherever a copy of it lies.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, Message, Producer, TopicPartition
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from pipeline.engines.tables import Tables, read_whole
from pipeline.errors import EngineFault, KeyGone, PeerUnavailable, RecordRefused
from pipeline.tenant_key import DataKey, TenantKey
from topics import clients, codec
from topics.catalogue import SUBJECT_KEYS
from topics.keys import parts_of
from topics.records import SubjectKey
from topics.sealed import ID_BYTES, KEY_BYTES, OpeningKey, SealingKey

AGE_S: Final = 8 * 3_600  # after which a conversation gets another key: the topic keeps each for two days
PUBLISH_S: Final = 30.0  # on the consumer's thread; the loop's watchdog ends it after 5 s
OWN: Final = 8_192  # conversations whose key is at hand, 1 kB each; one that is forgotten gets another key
OPEN: Final = 32_768  # likewise of all processes
_FOLLOWER_S: Final = 1.0  # the follower is some ms behind the topic; what it lacks then is looked for in all of it

_END: Final = b"\0"  # of the conversation's key, in a row of the topic
_GONE: Final = "the key of the record's conversation is gone"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Own:
    """A key of this process."""

    sealer: SealingKey
    made_s: float
    is_published: bool = False


class SubjectKeys:
    """See the module. Threads may share it."""

    def __init__(self, bootstrap: str, prefix: str, tenant_key: Callable[[str], TenantKey | None]) -> None:
        """Prepare; what only writes needs no `load`.

        Args:
            bootstrap: the broker's address.
            prefix: of the environment.
            tenant_key: finds a tenant's key; None where it has none.
        """
        self._bootstrap = bootstrap
        self._topic = prefix + SUBJECT_KEYS.name
        self._tenant_key = tenant_key
        self._producer: Producer | None = None
        self._faults: list[str] = []
        self._making = threading.Lock()
        self._own: OrderedDict[bytes, _Own] = OrderedDict()
        self._unpublished: list[_Own] = []
        self._process_keys: dict[str, DataKey] = {}
        self._arrived = threading.Condition()
        self._wrapped: dict[bytes, SubjectKey] = {}
        self._unwrapped: dict[bytes, bytes] = {}
        self._openers: OrderedDict[bytes, OpeningKey] = OrderedDict()
        self._gone: OrderedDict[bytes, None] = OrderedDict()
        self._tables = Tables(bootstrap, [self._topic], self._take)
        self._is_following = False

    def load(self) -> None:
        """Read all keys, then keep following.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        self._tables.load()
        self._is_following = True

    def stop(self) -> None:
        """End the follower."""
        self._tables.stop()

    def expect(self, subject: bytes) -> None:
        """Make a conversation's key where there is none or an old one; `publish` follows before it seals.

        Raises:
            PeerUnavailable: the tenant's key cannot be used now.
            RecordRefused: the tenant has no key.
        """
        own = self._own.get(subject)
        if own is None or time.monotonic() - own.made_s > AGE_S:
            with self._making:
                self._make(subject)

    def publish(self) -> None:
        """Wait until the broker has the keys that were made.

        Raises:
            PeerUnavailable: it does not take them.
        """
        if self._unpublished:
            with self._making:
                self._flush()

    def sealer(self, subject: bytes) -> SealingKey:
        """Return this process's key of a conversation.

        Raises:
            PeerUnavailable: the tenant's key cannot be used now, or the broker does not take a new key.
            RecordRefused: the tenant has no key.
        """
        own = self._own.get(subject)
        if own is None or not own.is_published:
            with self._making:
                own = self._own.get(subject) or self._make(subject)
                self._flush()
        return own.sealer

    def opener(self, key_id: bytes) -> OpeningKey:
        """Return the key of an id.

        Raises:
            EngineFault: the tenant's key is missing here or another one.
            KeyGone: there is no such key any more.
            PeerUnavailable: the tenant's key cannot be used now, or the broker does not answer.
        """
        found = self._openers.get(key_id)
        if found is None:
            found = OpeningKey(self._unwrap(self._found(key_id)))
            with self._arrived:
                self._openers[key_id] = found
                if len(self._openers) > OPEN:
                    self._openers.popitem(last=False)
        return found

    def _make(self, subject: bytes) -> _Own:
        tenant, root = parts_of(subject)
        process = self._process_keys.get(tenant)
        if process is None:
            process = self._process_keys[tenant] = self._of_tenant(tenant).make(_context(tenant))
        key_id, plain = os.urandom(ID_BYTES), os.urandom(KEY_BYTES)
        wrapped = aes_key_wrap(process.plain, plain)
        record = SubjectKey(tenant, root, key_id, process.wrapped, wrapped, time.time_ns() // 1_000_000)
        if self._producer is None:
            self._producer = clients.producer(self._bootstrap, **{"linger.ms": 0})
        self._producer.produce(self._topic, codec.encode(record), _row(subject, key_id), 0, on_delivery=self._delivered)
        own = self._own[subject] = _Own(SealingKey(key_id, plain), time.monotonic())
        self._own.move_to_end(subject)
        self._unpublished.append(own)
        if len(self._own) > OWN:
            self._own.popitem(last=False)
        return own

    def _flush(self) -> None:
        if self._producer is None or not self._unpublished:
            return
        if self._producer.flush(PUBLISH_S):
            raise PeerUnavailable("the broker does not take the keys of restricted topics")
        if self._faults:
            raise PeerUnavailable(f"a key of restricted topics could not be delivered: {self._faults[0]}")
        for own in self._unpublished:
            own.is_published = True
        self._unpublished.clear()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._faults.append(error.name())

    def _found(self, key_id: bytes) -> SubjectKey:
        """Return the wrapped key; a reader may be ahead of the follower, since the topics are fetched apart."""
        if key_id in self._gone:
            raise KeyGone(_GONE)
        with self._arrived:
            if self._is_following:
                self._arrived.wait_for(lambda: key_id in self._wrapped, _FOLLOWER_S)
            found = self._wrapped.get(key_id)
        if found is None:
            for message in read_whole(self._bootstrap, [TopicPartition(self._topic, 0)]):
                self._take(message)
            found = self._wrapped.get(key_id)
        if found is None:
            self._gone[key_id] = None
            if len(self._gone) > OPEN:
                self._gone.popitem(last=False)
            raise KeyGone(_GONE)
        return found

    def _unwrap(self, key: SubjectKey) -> bytes:
        try:
            process = self._unwrapped.get(key.wrapping)
            if process is None:
                process = self._of_tenant(key.tenant).unwrap(key.wrapping, _context(key.tenant))
                self._unwrapped[key.wrapping] = process
            return aes_key_unwrap(process, key.wrapped)
        except (RecordRefused, InvalidUnwrap, ValueError):
            raise EngineFault("restricted topics were sealed with another subject_keys than this process has") from None

    def _of_tenant(self, tenant: str) -> TenantKey:
        key = self._tenant_key(tenant)
        if key is None:
            raise RecordRefused("the tenant has no key for restricted topics")
        return key

    def _take(self, message: Message) -> None:
        """Take one record of the topic, or a deletion."""
        row, value = message.key() or b"", message.value()
        key_id = row[-ID_BYTES:]
        with self._arrived:
            if value is None:
                self._wrapped.pop(key_id, None)
                self._openers.pop(key_id, None)
                self._own.pop(row[: -len(_END) - ID_BYTES], None)
                return
            try:
                record = codec.decode(value)
            except RecordRefused:
                _log.error("a key of restricted topics was refused")
                return
            if isinstance(record, SubjectKey):
                self._wrapped[key_id] = record
                self._forget(record.made_at_ms - SUBJECT_KEYS.retention_ms)
                self._arrived.notify_all()

    def _forget(self, before_ms: int) -> None:
        """Drop what the topic itself has dropped; the oldest stand first."""
        while self._wrapped and (oldest := next(iter(self._wrapped.values()))).made_at_ms < before_ms:
            del self._wrapped[oldest.key_id]


def _row(subject: bytes, key_id: bytes) -> bytes:
    return subject + _END + key_id


def _context(tenant: str) -> str:
    return f"{tenant}|{SUBJECT_KEYS.name}"
