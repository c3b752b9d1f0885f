"""PostgreSQL: what was said, noticed and advised, redacted, one current row for each identity.

Owns the tables of one schema and the upserts that make any order and any repetition of records end in the
same rows: a row is replaced only by a later revision. Partial turns and progress marks are not stored. It is
fed by `pipeline/engines/sink.py`, one thread, one connection.

    contacts           one row a leg; `state` follows from the times
    contact_records    the newest record of each contact, as its platform keeps it
    turns              final turns
    moments            one row a turn with everything it matched, possibly nothing
    guidance_causes    the newest revision of each cause of hints: the fence of the next table
    guidance           one row a hint, summaries too (`kind` is summary); a withdrawn one keeps only its id
    audio_redactions   one row a turn with every span that it asks to cover
    feedback           what an agent did with a card last
    legs               one row a contact, as its events and its stream tell it
    audio_coverage     how much of a contact's audio has been read
    audio_decided      how far redaction has decided
    audio_stored       how far the archive has stored
    verifications      what the second look at a contact's redaction has found

`connectors/postgres_views.py` joins them to what a person reads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar, cast

import psycopg
from psycopg import Connection, sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from connectors.base import Delivered
from connectors.postgres_views import SKEW_MS, VIEWS
from pipeline.errors import PeerUnavailable, RecordRefused, TrunklineError
from topics.codec import to_json
from topics.records import (
    SAMPLES_PER_MS,
    AudioCoverage,
    AudioRedaction,
    AudioStored,
    ContactEvent,
    ContactRecord,
    Conversation,
    DecidedUntil,
    Guidance,
    GuidanceFeedback,
    Hint,
    Moments,
    Record,
    RedactedTurn,
    RedactionVerification,
)

CONNECT_LIMIT_S = 5
STATEMENT_LIMIT_MS = 30_000
SILENCE_LIMIT_MS = 10_000  # of a server that takes our packets and does not acknowledge them
# SQLSTATE classes that a record can cause: data exception, integrity violation, program limit exceeded.
# Anything else says something about the server or the schema, and the record waits until that is mended.
REFUSED_CLASSES = frozenset({"22", "23", "54"})
# What a row of `contacts` is made of: agents of a live contact join later than it starts.
_STORED = ("started", "agent_joined", "ended")

_Row = dict[str, object]
_Stored = TypeVar(
    "_Stored", RedactedTurn, Moments, AudioRedaction, AudioCoverage, DecidedUntil, AudioStored, RedactionVerification
)
_Keyed = TypeVar("_Keyed")

_TABLES: LiteralString = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.contacts (
    tenant text, contact_id text, leg int, agent text NOT NULL, started_ms bigint, ended_ms bigint,
    state text NOT NULL
        GENERATED ALWAYS AS (CASE WHEN ended_ms IS NULL THEN 'started' ELSE 'ended' END) STORED,
    PRIMARY KEY (tenant, contact_id, leg));
CREATE TABLE IF NOT EXISTS {schema}.contact_records (
    tenant text, contact_id text, updated_ms bigint NOT NULL, content_hash text NOT NULL,
    initial_contact_id text NOT NULL, previous_contact_id text NOT NULL, next_contact_id text NOT NULL,
    related_contact_id text NOT NULL, channel text NOT NULL, initiation_method text NOT NULL,
    disconnect_reason text NOT NULL, initiated_ms bigint, connected_to_system_ms bigint, disconnected_ms bigint,
    transferred_ms bigint, queue text NOT NULL, enqueued_ms bigint, dequeued_ms bigint, agent text NOT NULL,
    agent_connected_ms bigint, after_work_start_ms bigint, after_work_end_ms bigint, hold_s bigint NOT NULL,
    holds bigint NOT NULL, agent_states jsonb NOT NULL, recordings jsonb NOT NULL, sealed bytea NOT NULL,
    PRIMARY KEY (tenant, contact_id));
CREATE INDEX IF NOT EXISTS contact_records_initial ON {schema}.contact_records (tenant, initial_contact_id);
CREATE INDEX IF NOT EXISTS contact_records_conversation
    ON {schema}.contact_records (tenant, (coalesce(nullif(initial_contact_id, ''), contact_id)));
CREATE TABLE IF NOT EXISTS {schema}.legs (
    tenant text, contact_id text, conversation_id text NOT NULL, rev bigint NOT NULL,
    previous_contact_id text NOT NULL, channel text NOT NULL, queue text NOT NULL, stream text NOT NULL,
    started_ms bigint, queued_ms bigint, ended_ms bigint, media_ms bigint, audio_ms bigint, audio_end_ms bigint,
    agents jsonb NOT NULL, holds jsonb NOT NULL, PRIMARY KEY (tenant, contact_id));
CREATE INDEX IF NOT EXISTS legs_contact ON {schema}.legs (contact_id);
CREATE INDEX IF NOT EXISTS contact_records_contact ON {schema}.contact_records (contact_id);
CREATE INDEX IF NOT EXISTS legs_conversation ON {schema}.legs (tenant, conversation_id);
CREATE TABLE IF NOT EXISTS {schema}.turns (
    tenant text, turn_id text, contact_id text NOT NULL, leg int NOT NULL, rev bigint NOT NULL,
    redaction_rev int NOT NULL, track text NOT NULL, speaker text NOT NULL, start_ms bigint NOT NULL,
    end_ms bigint NOT NULL, text text NOT NULL, words jsonb NOT NULL, spans jsonb NOT NULL, asr text NOT NULL,
    confidence double precision, PRIMARY KEY (tenant, turn_id));
CREATE INDEX IF NOT EXISTS turns_contact ON {schema}.turns (contact_id, start_ms);
CREATE TABLE IF NOT EXISTS {schema}.moments (
    tenant text, turn_id text, contact_id text NOT NULL, rev bigint NOT NULL,
    at_ms bigint NOT NULL, moments jsonb NOT NULL, PRIMARY KEY (tenant, turn_id));
CREATE INDEX IF NOT EXISTS moments_contact ON {schema}.moments (contact_id);
CREATE TABLE IF NOT EXISTS {schema}.guidance_causes (
    tenant text, cause_id text, contact_id text NOT NULL, rev bigint NOT NULL,
    PRIMARY KEY (tenant, cause_id));
CREATE TABLE IF NOT EXISTS {schema}.guidance (
    tenant text, guidance_id text, cause_id text NOT NULL, contact_id text NOT NULL, rev bigint NOT NULL,
    is_withdrawn boolean NOT NULL, kind text, body text, policy text, policy_version bigint, evidence jsonb,
    at_ms bigint, deadline_ms bigint, points jsonb, PRIMARY KEY (tenant, guidance_id));
CREATE INDEX IF NOT EXISTS guidance_contact ON {schema}.guidance (contact_id);
CREATE INDEX IF NOT EXISTS guidance_cause ON {schema}.guidance (tenant, cause_id);
CREATE TABLE IF NOT EXISTS {schema}.audio_redactions (
    tenant text, turn_id text, contact_id text NOT NULL, rev bigint NOT NULL,
    spans jsonb NOT NULL, PRIMARY KEY (tenant, turn_id));
CREATE INDEX IF NOT EXISTS audio_redactions_contact ON {schema}.audio_redactions (contact_id);
CREATE TABLE IF NOT EXISTS {schema}.audio_coverage (
    tenant text, contact_id text, leg int NOT NULL, rev bigint NOT NULL, start_ms bigint NOT NULL,
    customer_sample bigint NOT NULL, agent_sample bigint NOT NULL, missing jsonb NOT NULL, is_end boolean NOT NULL,
    reason text NOT NULL, PRIMARY KEY (tenant, contact_id));
CREATE TABLE IF NOT EXISTS {schema}.audio_decided (
    tenant text, contact_id text, leg int NOT NULL, rev bigint NOT NULL, customer_sample bigint NOT NULL,
    agent_sample bigint NOT NULL, is_end boolean NOT NULL, PRIMARY KEY (tenant, contact_id));
CREATE TABLE IF NOT EXISTS {schema}.audio_stored (
    tenant text, contact_id text, rev bigint NOT NULL, customer_sample bigint NOT NULL,
    agent_sample bigint NOT NULL, is_complete boolean NOT NULL, PRIMARY KEY (tenant, contact_id));
CREATE TABLE IF NOT EXISTS {schema}.verifications (
    tenant text, contact_id text, leg int NOT NULL, rev bigint NOT NULL, outcome text NOT NULL,
    checked_turns bigint NOT NULL, found bigint NOT NULL, PRIMARY KEY (tenant, contact_id));
ALTER TABLE {schema}.verifications ADD COLUMN IF NOT EXISTS audio text NOT NULL DEFAULT 'off';
CREATE TABLE IF NOT EXISTS {schema}.feedback (
    tenant text, guidance_id text, agent text, contact_id text NOT NULL, action text NOT NULL,
    noted_ms bigint NOT NULL, source_offset bigint NOT NULL, PRIMARY KEY (tenant, guidance_id, agent));
CREATE INDEX IF NOT EXISTS feedback_contact ON {schema}.feedback (contact_id);
"""

# An event is said once; if two say different things of one leg, the outcome still does not depend on their
# order.
_CONTACT: LiteralString = """
INSERT INTO {schema}.contacts AS stored (tenant, contact_id, leg, agent, started_ms, ended_ms)
VALUES (%(tenant)s, %(contact_id)s, %(leg)s, %(agent)s, %(started_ms)s, %(ended_ms)s)
ON CONFLICT (tenant, contact_id, leg) DO UPDATE SET
    agent = greatest(stored.agent, excluded.agent),
    started_ms = least(stored.started_ms, excluded.started_ms),
    ended_ms = least(stored.ended_ms, excluded.ended_ms)
WHERE (stored.agent, stored.started_ms, stored.ended_ms) IS DISTINCT FROM
    (greatest(stored.agent, excluded.agent), least(stored.started_ms, excluded.started_ms),
     least(stored.ended_ms, excluded.ended_ms))"""

_CAUSE: LiteralString = """
INSERT INTO {schema}.guidance_causes AS stored (tenant, cause_id, contact_id, rev)
VALUES (%(tenant)s, %(cause_id)s, %(contact_id)s, %(rev)s)
ON CONFLICT (tenant, cause_id) DO UPDATE SET rev = excluded.rev WHERE stored.rev < excluded.rev"""

# A hint of the cause's newest revision is stored; one of an older revision leaves a withdrawn row if there is
# none, so that the rows do not depend on which revision came first.
_HINT: LiteralString = """
INSERT INTO {schema}.guidance AS stored (tenant, guidance_id, cause_id, contact_id, rev, is_withdrawn,
    kind, body, policy, policy_version, evidence, at_ms, deadline_ms, points)
SELECT cause.tenant, %(guidance_id)s, cause.cause_id, cause.contact_id, cause.rev, cause.rev > %(rev)s,
    current.*
FROM {schema}.guidance_causes AS cause
LEFT JOIN (VALUES (%(kind)s, %(body)s, %(policy)s, %(policy_version)s::bigint, %(evidence)s::jsonb,
    %(at_ms)s::bigint, %(deadline_ms)s::bigint, %(points)s::jsonb)) AS current ON cause.rev = %(rev)s
WHERE cause.tenant = %(tenant)s AND cause.cause_id = %(cause_id)s
ON CONFLICT (tenant, guidance_id) DO UPDATE SET
    (rev, is_withdrawn, kind, body, policy, policy_version, evidence, at_ms, deadline_ms, points) =
    (excluded.rev, excluded.is_withdrawn, excluded.kind, excluded.body, excluded.policy,
     excluded.policy_version, excluded.evidence, excluded.at_ms, excluded.deadline_ms, excluded.points)
WHERE stored.rev < excluded.rev"""

# Runs behind the hints of the same batch: what is older than its cause by then is not in the newest set.
_WITHDRAW: LiteralString = """
UPDATE {schema}.guidance AS stored SET
    (rev, is_withdrawn, kind, body, policy, policy_version, evidence, at_ms, deadline_ms, points) =
    (cause.rev, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
FROM {schema}.guidance_causes AS cause
WHERE cause.tenant = %(tenant)s AND cause.cause_id = %(cause_id)s
    AND stored.tenant = cause.tenant AND stored.cause_id = cause.cause_id AND stored.rev < cause.rev"""

# Feedback has no revision; its place in Kafka orders it.
_FEEDBACK: LiteralString = """
INSERT INTO {schema}.feedback AS stored
    (tenant, guidance_id, agent, contact_id, action, noted_ms, source_offset)
VALUES (%(tenant)s, %(guidance_id)s, %(agent)s, %(contact_id)s, %(action)s, %(noted_ms)s, %(source_offset)s)
ON CONFLICT (tenant, guidance_id, agent) DO UPDATE SET
    action = excluded.action, noted_ms = excluded.noted_ms, source_offset = excluded.source_offset
WHERE (stored.noted_ms, stored.source_offset) < (excluded.noted_ms, excluded.source_offset)"""

_COUNTS: LiteralString = """
SELECT
    (SELECT count(*) FROM {schema}.turns WHERE contact_id = %(id)s) AS turns,
    (SELECT coalesce(sum(jsonb_array_length(moments)), 0)::bigint FROM {schema}.moments
        WHERE contact_id = %(id)s) AS moments,
    (SELECT count(*) FROM {schema}.guidance
        WHERE contact_id = %(id)s AND NOT is_withdrawn AND kind <> 'summary') AS guidance,
    (SELECT count(*) FROM {schema}.guidance WHERE contact_id = %(id)s AND is_withdrawn) AS withdrawn,
    (SELECT count(*) FROM {schema}.guidance
        WHERE contact_id = %(id)s AND NOT is_withdrawn AND kind = 'summary') AS summaries,
    (SELECT coalesce(sum(jsonb_array_length(spans)), 0)::bigint FROM {schema}.audio_redactions
        WHERE contact_id = %(id)s) AS audio_redactions,
    (SELECT count(*) FROM {schema}.feedback WHERE contact_id = %(id)s) AS feedback"""


# The conversation of a contact, in each tenant that has it. Views are then asked for one conversation, by constants,
# so that PostgreSQL reads its rows alone.
_CONVERSATIONS_OF: LiteralString = """
SELECT tenant, conversation_id AS id FROM {schema}.legs
WHERE contact_id = %(id)s AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
UNION
SELECT tenant, coalesce(nullif(initial_contact_id, ''), contact_id) FROM {schema}.contact_records
WHERE contact_id = %(id)s AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
ORDER BY tenant, id"""
_OF_CONVERSATION: tuple[LiteralString, LiteralString, LiteralString] = (
    "SELECT * FROM {schema}.conversations WHERE tenant = %(tenant)s AND conversation_id = %(id)s",
    "SELECT * FROM {schema}.ledger WHERE tenant = %(tenant)s AND conversation_id = %(id)s"
    " ORDER BY started_ms, contact_id, track DESC",
    "SELECT * FROM {schema}.ledger_missing WHERE tenant = %(tenant)s AND conversation_id = %(id)s"
    " ORDER BY started_ms, contact_id, track DESC, start_ms, step",
)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of one conversation's audio: rows of the views, by column.

    Attributes:
        conversation: of `conversations`.
        lines: of `ledger`.
        missing: of `ledger_missing`.
    """

    conversation: Mapping[str, object]
    lines: tuple[Mapping[str, object], ...]
    missing: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """What is stored of one contact.

    Attributes:
        turns: final turns.
        moments: behaviours that matched, over all turns.
        guidance: cards that stand.
        withdrawn: hints that a later revision of their cause no longer has.
        summaries: 0 or 1.
        audio_redactions: spans to cover, over all turns and tracks.
        feedback: cards times agents that reacted.
    """

    turns: int
    moments: int
    guidance: int
    withdrawn: int
    summaries: int
    audio_redactions: int
    feedback: int


class PostgresSink:
    """See the module."""

    name = "postgres"
    topics = (
        "contact.events",
        "contact.records",
        "transcript.redacted",
        "audio.redactions",
        "audio.coverage",
        "audio.stored",
        "redaction.verifications",
        "conversations",
        "moments",
        "guidance",
        "guidance.feedback",
    )
    linger_ms = 20

    def __init__(self, dsn: str, schema: str = "trunkline", record_wait_s: int = 3_600) -> None:
        """Connect at the first use, and again after a failure.

        Args:
            dsn: of libpq, a URL or `key=value` pairs.
            schema: that holds the tables.
            record_wait_s: so long after a conversation's end a contact record that has not come is missing.
        """
        self._record_wait_s = record_wait_s
        self._dsn = dsn
        self._schema = sql.Identifier(schema)
        self._connection: Connection[Any] | None = None  # rows of several shapes

    def prepare(self) -> None:
        """Make schema and tables where they are missing, and the views afresh."""
        with self._connected() as connection:
            # Two sinks that start together would both find no table and one would fail to make it.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('trunkline.tables'))")
            connection.execute(self._composed(_TABLES))
            for view in VIEWS:
                connection.execute(self._composed(view))

    def write(self, batch: Sequence[Delivered]) -> None:
        """Upsert a batch in one transaction; records that are not stored are passed over."""
        with self._connected() as connection, connection.cursor() as cursor:
            for statement, rows in self._steps(batch):
                if rows:
                    cursor.executemany(statement, rows)

    def counts(self, contact_id: str) -> Counts:
        """Say how much is stored of a contact."""
        with self._connected() as connection, connection.cursor(row_factory=class_row(Counts)) as cursor:
            return cursor.execute(self._composed(_COUNTS), {"id": contact_id}).fetchall()[0]

    def ledgers(self, contact_id: str, tenant: str | None = None) -> list[Ledger]:
        """Return the ledger of the conversation that a contact belongs to, for each tenant that has such a contact."""
        with self._connected() as connection, connection.cursor(row_factory=dict_row) as cursor:

            def rows(query: LiteralString, place: Mapping[str, object]) -> list[_Row]:
                return cursor.execute(self._composed(query), place).fetchall()

            found = rows(_CONVERSATIONS_OF, {"id": contact_id, "tenant": tenant})
            read = [[rows(query, place) for query in _OF_CONVERSATION] for place in found]
        return [Ledger(conversation, tuple(lines), tuple(missing)) for (conversation,), lines, missing in read]

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _steps(self, batch: Sequence[Delivered]) -> Iterator[tuple[sql.Composed, list[_Row]]]:
        """Pair the statements with their rows, sorted so that two writers cannot lock each other out."""
        guidance = _of(Guidance, batch)
        causes = _newest(guidance, lambda one: (one.tenant, one.cause_id), lambda one: one.rev)
        cause_rows = [_cause_row(one) for one in causes]
        turns = [turn for turn in _of(RedactedTurn, batch) if turn.is_final]
        yield self._composed(_CONTACT), [_contact_row(one) for one in _of(ContactEvent, batch) if one.kind in _STORED]
        yield self._fenced("contact_records", _record_rows(batch), "contact_id", ("updated_ms", "content_hash"))
        yield self._upsert("turns", turns, _turn_row)
        yield self._upsert("moments", _of(Moments, batch), _moments_row)
        yield self._upsert("audio_redactions", _of(AudioRedaction, batch), _audio_row)
        yield self._upsert("audio_coverage", _of(AudioCoverage, batch), _columns, "contact_id")
        yield self._upsert("audio_decided", _of(DecidedUntil, batch), _columns, "contact_id")
        yield self._upsert("audio_stored", _of(AudioStored, batch), _audio_stored_row, "contact_id")
        yield self._upsert("verifications", _of(RedactionVerification, batch), _verification_row, "contact_id")
        yield self._fenced("legs", _leg_rows(batch), "contact_id", ("rev",))
        yield self._composed(_CAUSE), cause_rows
        yield self._composed(_HINT), [_hint_row(*one) for one in _newest_hints(guidance)]
        yield self._composed(_WITHDRAW), cause_rows
        yield self._composed(_FEEDBACK), _feedback_rows(batch)

    def _upsert(
        self, table: str, records: list[_Stored], row_of: Callable[[_Stored], _Row], subject: str = "turn_id"
    ) -> tuple[sql.Composed, list[_Row]]:
        """Replace the rows of (tenant, `subject`) whose revision is lower."""
        newest = _newest(records, lambda one: (one.tenant, getattr(one, subject)), lambda one: one.rev)
        return self._fenced(table, [row_of(one) for one in newest], subject, ("rev",))

    def _fenced(
        self, table: str, rows: list[_Row], subject: str, order: Sequence[str]
    ) -> tuple[sql.Composed, list[_Row]]:
        """Replace the rows of (tenant, `subject`) whose `order` is lower."""
        names = sorted(rows[0]) if rows else []
        statement = sql.SQL(
            "INSERT INTO {table} AS stored ({names}) VALUES ({values}) ON CONFLICT (tenant, {subject})"
            " DO UPDATE SET ({names}) = ROW ({excluded}) WHERE ({before}) < ({after})"
        )
        return statement.format(
            table=sql.SQL("{}.{}").format(self._schema, sql.Identifier(table)),
            subject=sql.Identifier(subject),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            values=sql.SQL(", ").join(map(sql.Placeholder, names)),
            excluded=_qualified("excluded", names),
            before=_qualified("stored", order),
            after=_qualified("excluded", order),
        ), rows

    def _composed(self, text: LiteralString) -> sql.Composed:
        return sql.SQL(text).format(
            schema=self._schema, wait_s=sql.Literal(self._record_wait_s), skew_ms=sql.Literal(SKEW_MS)
        )

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        """Yield the connection inside a transaction; every failure becomes one of ours, without values."""
        try:
            if self._connection is None:
                self._connection = _connect(self._dsn)
            with self._connection.transaction():
                yield self._connection
        except psycopg.Error as error:
            failure = _translate(error)
            if isinstance(failure, PeerUnavailable):
                self.close()
            # The cause quotes keys and values; it must not travel with the error.
            raise failure from None


def _connect(dsn: str) -> Connection[Any]:
    return psycopg.connect(
        dsn,
        connect_timeout=CONNECT_LIMIT_S,
        tcp_user_timeout=SILENCE_LIMIT_MS,
        options=f"-c statement_timeout={STATEMENT_LIMIT_MS}",
        application_name="trunkline",
        autocommit=True,  # transactions are begun by `_connected`
    )


def _translate(error: psycopg.Error) -> TrunklineError:
    """Tell the record's fault from the world's by SQLSTATE (PostgreSQL, appendix A)."""
    state = error.sqlstate
    is_refused = isinstance(error, psycopg.DataError) if state is None else state[:2] in REFUSED_CLASSES
    if is_refused:
        return RecordRefused(f"PostgreSQL refuses the record: SQLSTATE {state or 'none'}")
    return PeerUnavailable(f"PostgreSQL is not available: {type(error).__name__}, SQLSTATE {state or 'none'}")


def _qualified(table: LiteralString, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(table), sql.Identifier(name)) for name in names)


def _of(kind: type[_Keyed], batch: Sequence[Delivered]) -> list[_Keyed]:
    return [one.record for one in batch if isinstance(one.record, kind)]


def _newest(
    records: Iterable[_Keyed], identity: Callable[[_Keyed], tuple[str, ...]], rev: Callable[[_Keyed], Any]
) -> list[_Keyed]:
    """Return the latest record of each identity, in order of the identities."""
    newest: dict[tuple[str, ...], _Keyed] = {}
    for record in sorted(records, key=rev):
        newest[identity(record)] = record
    return [newest[key] for key in sorted(newest)]


def _newest_hints(guidance: list[Guidance]) -> list[tuple[Guidance, Hint]]:
    """Return every hint that any revision in the batch has, as its latest such revision has it."""
    pairs = [(record, hint) for record in guidance for hint in record.hints]
    return _newest(pairs, lambda pair: (pair[0].tenant, pair[1].guidance_id), lambda pair: pair[0].rev)


def _contact_row(event: ContactEvent) -> _Row:
    return {
        "tenant": event.tenant,
        "contact_id": event.contact_id,
        "leg": event.leg,
        "agent": event.agent,
        "started_ms": event.at_ms if event.kind == "started" else None,
        "ended_ms": event.at_ms if event.kind == "ended" else None,
    }


def _record_rows(batch: Sequence[Delivered]) -> list[_Row]:
    """Return the newest of each contact; of two versions of one time, both writers of a row choose the same."""
    newest = _newest(
        _of(ContactRecord, batch),
        lambda one: (one.tenant, one.contact_id),
        lambda one: (one.updated_ms, one.content_hash),
    )
    return [_columns(one) | {"sealed": one.sealed} for one in newest]


def _leg_rows(batch: Sequence[Delivered]) -> list[_Row]:
    """Return the legs of each conversation's newest record; no later one has fewer."""
    newest = _newest(_of(Conversation, batch), lambda one: (one.tenant, one.contact_id), lambda one: one.rev)
    return [
        {name: Jsonb(value) if isinstance(value, list) else value for name, value in leg.items()}
        | {"tenant": one.tenant, "conversation_id": one.contact_id, "rev": one.rev}
        for one in newest
        for leg in cast("list[_Row]", to_json(one)["legs"])
    ]


def _columns(record: Record) -> _Row:
    """Return a record's fields as columns; lists become JSON."""
    return {name: Jsonb(value) if isinstance(value, list) else value for name, value in to_json(record).items()}


def _turn_row(turn: RedactedTurn) -> _Row:
    copied = ("leg", "redaction_rev", "track", "speaker", "asr", "confidence", "words", "spans")
    return _turn_part(turn, *copied) | {
        "start_ms": turn.first_sample // SAMPLES_PER_MS,
        "end_ms": turn.end_sample // SAMPLES_PER_MS,
        "text": turn.text,
    }


def _moments_row(record: Moments) -> _Row:
    return _turn_part(record, "at_ms", "moments")


def _verification_row(verification: RedactionVerification) -> _Row:
    row = _columns(verification)
    del row["spans"], row["suspects"]
    return row


def _audio_stored_row(record: AudioStored) -> _Row:
    row = _columns(record)
    del row["manifest_version"], row["redactions_rev"]  # for verification alone
    return row


def _audio_row(record: AudioRedaction) -> _Row:
    return _turn_part(record, "spans")


def _turn_part(record: _Stored, *names: str) -> _Row:
    """Copy who and which turn a record is about, and some of its fields."""
    columns = _columns(record)
    return {name: columns[name] for name in ("tenant", "contact_id", "turn_id", "rev", *names)}


def _cause_row(record: Guidance) -> _Row:
    names = ("tenant", "cause_id", "contact_id", "rev")
    return {name: getattr(record, name) for name in names}


def _hint_row(record: Guidance, hint: Hint) -> _Row:
    names = ("guidance_id", "kind", "body", "policy", "policy_version", "at_ms", "deadline_ms")
    return _cause_row(record) | {
        **{name: getattr(hint, name) for name in names},
        "evidence": Jsonb(list(hint.evidence)),
        "points": Jsonb([{"text": point.text, "turn_ids": list(point.turn_ids)} for point in hint.points]),
    }


def _feedback_rows(batch: Sequence[Delivered]) -> list[_Row]:
    names = ("tenant", "guidance_id", "agent", "contact_id", "action")
    return [
        {name: getattr(one.record, name) for name in names}
        | {"noted_ms": one.timestamp_ms, "source_offset": one.offset}
        for one in batch
        if isinstance(one.record, GuidanceFeedback)
    ]
