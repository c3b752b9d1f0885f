"""Records and states to bytes and back, at the edge to Kafka: those of restricted topics are sealed.

A value that is not sealed is read as it stands: it was written before topics were sealed, or by a benchmark.
"""

import logging
from collections.abc import Mapping

from pipeline.engines.subject_keys import SubjectKeys
from pipeline.engines.task import PARKED, SHUT
from pipeline.errors import EngineFault, KeyGone
from topics import codec
from topics.catalogue import RESTRICTED, changelog
from topics.keys import conversation_of
from topics.records import Record
from topics.sealed import key_id_of

_log = logging.getLogger(__name__)

_STAGE_END = b"\0"  # of a changelog's row: stage, this, and what names the state
_ENGINES = (SHUT.encode(), PARKED.encode())


class Payloads:
    """See the module. Threads may share it."""

    def __init__(self, keys: SubjectKeys | None) -> None:
        """Seal with `keys`; without any, nothing is sealed and nothing sealed can be read."""
        self._keys = keys

    def load(self) -> None:
        """Read the keys and follow them.

        Raises:
            PeerUnavailable: the broker does not answer.
        """
        if self._keys:
            self._keys.load()

    def stop(self) -> None:
        """End what `load` began."""
        if self._keys:
            self._keys.stop()

    def expect(self, subject: bytes) -> None:
        """See `SubjectKeys.expect`."""
        if self._keys:
            self._keys.expect(subject)

    def publish(self) -> None:
        """See `SubjectKeys.publish`."""
        if self._keys:
            self._keys.publish()

    def encode(self, topic: str, key: bytes, record: Record) -> bytes:
        """Write a record.

        Args:
            topic: without prefix.
            key: the conversation's.
            record: of that topic.

        Raises:
            PeerUnavailable: a key cannot be had now.
            RecordRefused: the record is too long, or its tenant has no key.
        """
        value = codec.encode(record)
        return self._seal(key, _belonging(topic, key), value) if topic in RESTRICTED else value

    def decode(self, topic: str, key: bytes, value: bytes) -> Record:
        """Read a record.

        Raises:
            PeerUnavailable: a key cannot be had now.
            RecordRefused: it is no record, or its key is gone.
        """
        return codec.decode(self._open(_belonging(topic, key), value))

    def seal_row(self, owner: str, row: bytes, value: bytes | None) -> bytes | None:
        """Write one row of the changelog of a group that `is_restricted`.

        Args:
            owner: of the changelog.
            row: its key.
            value: None deletes it.

        Raises:
            PeerUnavailable: a key cannot be had now.
        """
        subject = _subject_of(row)
        if value is None or not subject:
            return value
        return self._seal(subject, _belonging(changelog(owner), row), value)

    def open_rows(self, owner: str, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Read rows of a changelog; those whose keys were deleted are left out.

        Raises:
            EngineFault: the rows were sealed with other tenants' keys.
            PeerUnavailable: a key cannot be had now.
            RecordRefused: a row was changed.
        """
        found, gone = {}, 0
        for row, value in rows.items():
            try:
                found[row] = self._open(_belonging(changelog(owner), row), value)
            except KeyGone:
                gone += 1
        if gone:
            _log.warning("states were left out: their keys are gone", extra={"topic": changelog(owner), "states": gone})
        return found

    def _seal(self, subject: bytes, belonging: bytes, content: bytes) -> bytes:
        return self._keys.sealer(subject).seal(belonging, content) if self._keys else content

    def _open(self, belonging: bytes, value: bytes) -> bytes:
        key_id = key_id_of(value)
        if key_id is None:
            return value
        if self._keys is None:
            raise EngineFault("the topics are sealed, and this process has no keys")
        return self._keys.opener(key_id).open(belonging, value)


PLAIN = Payloads(None)


def _belonging(topic: str, key: bytes) -> bytes:
    return topic.encode() + b"|" + key


def _subject_of(row: bytes) -> bytes:
    """Return the conversation whose state a row holds; nothing for the engine's own rows, which hold no state."""
    stage, _, state = row.partition(_STAGE_END)
    return b"" if stage in _ENGINES else conversation_of(state)
