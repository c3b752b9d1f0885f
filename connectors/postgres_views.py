"""PostgreSQL: what a person reads of conversations, as views over the sink's tables.

Owns the join of what streams told with contact records, and the arithmetic of the ledger: which milliseconds of a
contact's audio were promised, received, transcribed, redacted and stored, and why one was not. A view is always right
whatever came first or again, and a record that comes a day or a year late needs nobody to wait for it.

    conversation_legs    a row a contact: what its events and its contact record tell together
    conversations        a row a conversation with its status
    conversation_turns   turns with their conversation; who speaks follows the contact record where there is one
    ledger               a row a contact and track: seconds promised, received, transcribed, redacted, stored
    ledger_missing       a row a run of missing audio: where it was lost first, and why

A conversation is `provisional` until it is over and each of its contacts has its record; then it is `final`. It is
`ctr_missing` when a record has not come for so long after the end (setting `contact_record_wait_s`), and `orphan_ctr`
when there is a record of a voice contact but no audio of any was heard: a lost call.

Columns are only ever added, at the end of a view: PostgreSQL replaces no view whose columns move.

Ranges are audio time in ms from the contact's first sample. A contact from a file promises nothing, has no record, and
is final when it has ended.
"""

from typing import Final, LiteralString

# `{{wait_s}}` and `{{skew_ms}}` are filled in by the sink.
SKEW_MS: Final = 5_000  # a contact record's clock and a stream's: what is promised beyond a clean end by less is none

_LEGS: LiteralString = """
CREATE OR REPLACE VIEW {schema}.conversation_legs AS
WITH known AS (
    SELECT tenant, conversation_id, contact_id FROM {schema}.legs
    UNION
    SELECT tenant, coalesce(nullif(initial_contact_id, ''), contact_id), contact_id FROM {schema}.contact_records)
SELECT tenant, known.conversation_id, contact_id, leg.rev, record.updated_ms,
    record.contact_id IS NOT NULL AS has_record,
    coalesce(audio.customer_sample > 0 OR audio.agent_sample > 0, false) AS is_heard,
    coalesce(record.initiation_method, '') = 'MONITOR' AS is_monitor,
    coalesce(leg.started_ms = 0, false) AND record.contact_id IS NULL AS is_of_file,
    coalesce(nullif(record.channel, ''), nullif(leg.channel, ''), 'VOICE') AS channel,
    coalesce(record.initiation_method, '') AS initiation_method,
    coalesce(record.disconnect_reason, '') AS disconnect_reason,
    coalesce(nullif(record.previous_contact_id, ''), leg.previous_contact_id, '') AS previous_contact_id,
    coalesce(nullif(record.queue, ''), leg.queue, '') AS queue,
    coalesce(nullif(record.agent, ''), (SELECT string_agg(stay.agent, ', ' ORDER BY stay.joined_ms)
        FROM jsonb_to_recordset(leg.agents) AS stay(agent text, joined_ms bigint) WHERE stay.agent <> ''), '')
        AS agent,
    coalesce(record.initiated_ms, nullif(leg.started_ms, 0), leg.media_ms) AS started_ms,
    CASE WHEN record.contact_id IS NOT NULL THEN record.agent_connected_ms
        ELSE (SELECT min(stay.joined_ms) FROM jsonb_to_recordset(leg.agents) AS stay(joined_ms bigint)) END
        AS agent_ms,
    coalesce(record.disconnected_ms, nullif(leg.ended_ms, 0), leg.audio_end_ms) AS ended_ms,
    coalesce(record.disconnected_ms, leg.ended_ms, leg.audio_end_ms) IS NOT NULL AS is_ended,
    coalesce(record.holds, jsonb_array_length(leg.holds), 0) AS holds,
    coalesce(record.hold_s, (SELECT sum(hold.ended_ms - hold.began_ms) / 1000
        FROM jsonb_to_recordset(leg.holds) AS hold(began_ms bigint, ended_ms bigint)), 0)::bigint AS hold_s,
    audio.start_ms AS audio_ms, leg.media_ms
FROM known
LEFT JOIN {schema}.legs AS leg USING (tenant, contact_id)
LEFT JOIN {schema}.contact_records AS record USING (tenant, contact_id)
LEFT JOIN {schema}.audio_coverage AS audio USING (tenant, contact_id);
"""

_CONVERSATIONS: LiteralString = """
CREATE OR REPLACE VIEW {schema}.conversations AS
SELECT tenant, conversation_id,
    CASE WHEN bool_or(has_record AND channel = 'VOICE' AND NOT is_monitor) AND NOT bool_or(is_heard)
            THEN 'orphan_ctr'
        WHEN bool_and(is_ended) AND bool_and(has_record OR is_of_file) THEN 'final'
        WHEN bool_and(is_ended) AND max(ended_ms) < extract(epoch FROM now()) * 1000 - {wait_s} * 1000
            THEN 'ctr_missing'
        ELSE 'provisional' END AS status,
    count(*) FILTER (WHERE NOT is_monitor) AS legs, count(*) FILTER (WHERE has_record) AS records,
    min(started_ms) AS started_ms, CASE WHEN bool_and(is_ended) THEN max(ended_ms) END AS ended_ms,
    coalesce(string_agg(DISTINCT nullif(agent, ''), ', ') FILTER (WHERE NOT is_monitor), '') AS agents,
    sum(holds) FILTER (WHERE NOT is_monitor)::bigint AS holds,
    sum(hold_s) FILTER (WHERE NOT is_monitor)::bigint AS hold_s,
    max(rev) AS rev, max(updated_ms) AS updated_ms
FROM {schema}.conversation_legs
GROUP BY tenant, conversation_id;
"""

_TURNS: LiteralString = """
CREATE OR REPLACE VIEW {schema}.conversation_turns AS
SELECT leg.tenant, leg.conversation_id, turn.contact_id, turn.turn_id, turn.track,
    CASE WHEN turn.track = 'customer' OR leg.audio_ms IS NULL THEN turn.speaker
        WHEN leg.audio_ms + turn.start_ms >= leg.agent_ms THEN 'agent' ELSE 'system' END AS speaker,
    turn.start_ms, turn.end_ms, leg.audio_ms + turn.start_ms AS time_ms, turn.text, turn.words, turn.spans
FROM {schema}.conversation_legs AS leg
JOIN {schema}.turns AS turn USING (tenant, contact_id)
WHERE NOT leg.is_monitor;
"""

_SPANS: LiteralString = """
CREATE OR REPLACE VIEW {schema}.ledger_spans AS
WITH track(track) AS (VALUES ('customer'), ('agent')),
part AS (
    SELECT leg.*, track, coalesce(audio.is_end, false) AS is_end, audio.reason, audio.contact_id IS NOT NULL AS is_read,
        (SELECT sum(one.end_ms - one.start_ms) FROM (
            SELECT DISTINCT r.start_ms, r.end_ms
            FROM jsonb_to_recordset(record.recordings)
                AS r(participant text, media text, storage text, start_ms bigint, end_ms bigint)
            WHERE r.storage = 'KINESIS_VIDEO_STREAM' AND r.media IN ('AUDIO', '')
                AND r.participant IN ('ALL', '', upper(track)) AND r.end_ms > r.start_ms) AS one)::bigint
            AS recorded_ms,
        CASE track WHEN 'customer' THEN audio.customer_sample ELSE audio.agent_sample END / 8 AS read_ms,
        (SELECT range_agg(int8range(hole.first_sample / 8, (hole.end_sample + 7) / 8))
            FROM jsonb_to_recordset(audio.missing) AS hole(track text, first_sample bigint, end_sample bigint)
            WHERE hole.track = track.track AND hole.first_sample < hole.end_sample) AS holes,
        (CASE track WHEN 'customer' THEN decided.customer_sample ELSE decided.agent_sample END + 7) / 8 AS decided_ms,
        (CASE track WHEN 'customer' THEN stored.customer_sample ELSE stored.agent_sample END + 7) / 8 AS stored_ms,
        (SELECT max(end_ms) FROM {schema}.turns AS turn
            WHERE (turn.tenant, turn.contact_id, turn.track) = (leg.tenant, leg.contact_id, track.track)) AS heard_ms,
        (SELECT range_agg(int8range(turn.start_ms, turn.end_ms)) FROM {schema}.turns AS turn
            WHERE (turn.tenant, turn.contact_id, turn.track) = (leg.tenant, leg.contact_id, track.track)
                AND turn.asr = 'none' AND turn.start_ms < turn.end_ms) AS failed
    FROM {schema}.conversation_legs AS leg
    CROSS JOIN track
    LEFT JOIN {schema}.contact_records AS record USING (tenant, contact_id)
    LEFT JOIN {schema}.audio_coverage AS audio USING (tenant, contact_id)
    LEFT JOIN {schema}.audio_decided AS decided USING (tenant, contact_id)
    LEFT JOIN {schema}.audio_stored AS stored USING (tenant, contact_id)
    WHERE leg.channel = 'VOICE' AND NOT leg.is_monitor),
told AS (
    SELECT *,
        -- A file promises nothing: what went through is what there was.
        CASE WHEN is_of_file THEN greatest(decided_ms, stored_ms, 0) ELSE coalesce(read_ms, 0) END AS until_ms,
        CASE WHEN recorded_ms IS NOT NULL THEN 'record' WHEN is_ended AND media_ms IS NOT NULL THEN 'events'
            WHEN is_of_file OR is_read THEN 'audio' ELSE 'nobody' END AS promised_by
    FROM part),
measured AS (
    SELECT *,
        CASE promised_by WHEN 'record' THEN recorded_ms WHEN 'events' THEN greatest(ended_ms - media_ms, 0)
            WHEN 'audio' THEN until_ms ELSE 0 END AS promised_ms,
        int8multirange(int8range(0, until_ms)) - coalesce(holes, '{{}}') AS received
    FROM told)
SELECT *,
    int8multirange(int8range(0, promised_ms)) + int8multirange(int8range(0, until_ms)) AS whole,
    received * int8multirange(int8range(0, greatest(decided_ms, heard_ms, 0))) - coalesce(failed, '{{}}')
        AS transcribed,
    received * int8multirange(int8range(0, coalesce(decided_ms, 0))) AS redacted,
    received * int8multirange(int8range(0, coalesce(stored_ms, 0))) AS stored,
    is_ended AND ended_ms < extract(epoch FROM now()) * 1000 - {wait_s} * 1000 AS is_long_over
FROM measured;
"""

_MISSING: LiteralString = """
CREATE OR REPLACE VIEW {schema}.ledger_missing AS
WITH lost AS (
    SELECT span.*, step.*
    FROM {schema}.ledger_spans AS span
    CROSS JOIN LATERAL (VALUES
        ('received', 1, whole * coalesce(holes, '{{}}') * int8multirange(int8range(0, until_ms)), 'hole in the stream'),
        ('received', 2, int8multirange(int8range(until_ms, greatest(promised_ms, until_ms))),
            CASE WHEN NOT is_read AND media_ms IS NULL THEN 'nobody was told of a stream'
                WHEN NOT is_read THEN CASE WHEN is_long_over THEN 'the stream was not read' ELSE 'not yet' END
                WHEN NOT is_end THEN CASE WHEN is_long_over THEN 'stopped' ELSE 'not yet' END
                WHEN promised_ms - until_ms <= {skew_ms} AND until_ms > 0 THEN 'clocks differ'
                ELSE reason END),
        ('transcribed', 1, received * coalesce(failed, '{{}}'), 'the recogniser failed'),
        ('transcribed', 2, received - transcribed - coalesce(failed, '{{}}'),
            CASE WHEN is_long_over THEN 'stopped' ELSE 'not yet' END),
        ('redacted', 1, transcribed - redacted, CASE WHEN is_long_over THEN 'stopped' ELSE 'not yet' END),
        ('stored', 1, redacted * transcribed - stored, CASE WHEN is_long_over THEN 'stopped' ELSE 'not yet' END)
    ) AS step(step, number, runs, cause))
SELECT tenant, conversation_id, contact_id, started_ms, track, step, lower(run) AS start_ms, upper(run) AS end_ms, cause
FROM lost CROSS JOIN LATERAL unnest(runs) AS run;
"""

_LEDGER: LiteralString = """
CREATE OR REPLACE FUNCTION {schema}.length_ms(runs int8multirange) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN coalesce((SELECT sum(upper(run) - lower(run)) FROM unnest(runs) AS run), 0)::bigint;
CREATE OR REPLACE VIEW {schema}.ledger AS
SELECT tenant, conversation_id, contact_id, started_ms, track, promised_by,
    promised_ms, {schema}.length_ms(received) AS received_ms,
    {schema}.length_ms(transcribed) AS transcribed_ms, {schema}.length_ms(redacted) AS redacted_ms,
    {schema}.length_ms(stored) AS stored_ms,
    (SELECT coalesce(sum(lost.end_ms - lost.start_ms), 0)::bigint FROM {schema}.ledger_missing AS lost
        WHERE (lost.tenant, lost.contact_id, lost.track) = (span.tenant, span.contact_id, span.track)) AS missing_ms
FROM {schema}.ledger_spans AS span;
"""

VIEWS: tuple[LiteralString, ...] = (_LEGS, _CONVERSATIONS, _TURNS, _SPANS, _MISSING, _LEDGER)
