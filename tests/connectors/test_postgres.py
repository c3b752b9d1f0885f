"""The rows of PostgreSQL: the same in any order, never an older revision, never a value in an error."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha512
from itertools import pairwise, permutations
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from connectors.base import Delivered
from connectors.postgres import Counts, PostgresSink
from pipeline import stores
from pipeline.errors import PeerUnavailable, RecordRefused
from topics.catalogue import topic_of
from topics.keys import contact_key
from topics.records import (
    AgentSpan,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    ContactEvent,
    ContactRecord,
    DecidedUntil,
    Guidance,
    GuidanceFeedback,
    Hint,
    MediaStarted,
    Moment,
    Moments,
    Point,
    Record,
    RedactedTurn,
    RedactionVerification,
    TextSpan,
    Word,
)

pytestmark = pytest.mark.stores

TABLES = (
    "contacts",
    "contact_records",
    "turns",
    "moments",
    "guidance_causes",
    "guidance",
    "audio_redactions",
    "feedback",
)
CANARY = "4929 1234"
INCOMPRESSIBLE = "".join(sha512(bytes([n])).hexdigest() for n in range(200))

Rows = dict[str, list[tuple[object, ...]]]


class Store:
    """A sink and a view of its tables."""

    def __init__(self, dsn: str) -> None:
        self.schema = f"test_{uuid4().hex[:12]}"
        self.sink = PostgresSink(dsn, self.schema)
        self.sink.prepare()
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema)))

    def write(self, *records: Record) -> None:
        self.sink.write([delivered(record, offset) for offset, record in enumerate(records)])

    def select(self, query: str) -> list[tuple[object, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def change(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def rows(self) -> Rows:
        return {table: self.select(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}

    def clear(self) -> None:
        self.change(f"TRUNCATE {', '.join(TABLES)}")

    def close(self) -> None:
        self._connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.schema)))
        self._connection.close()
        self.sink.close()


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[Store]:
    fresh = Store(postgres_dsn)
    yield fresh
    fresh.close()


@pytest.fixture(scope="module")
def pair(postgres_dsn: str) -> Iterator[tuple[Store, Store]]:
    both = Store(postgres_dsn), Store(postgres_dsn)
    yield both
    for each in both:
        each.close()


def delivered(record: Record, offset: int = 0) -> Delivered:
    key = contact_key(record.tenant, record.contact_id)
    return Delivered(topic_of(record), 0, offset, key, record, 1_000 + offset)


def turn(rev: int, *, number: int = 0, text: str = "", is_final: bool = True) -> RedactedTurn:
    words = tuple(Word(each, 100, 200) for each in (text or f"revision {rev}").split())
    return RedactedTurn(
        tenant="acme",
        contact_id="c1",
        leg=0,
        turn_id=f"c1/customer/{number}",
        redaction_rev=rev % 3,
        track="customer",
        speaker="customer",
        first_sample=number * 8_000,
        end_sample=number * 8_000 + 4_000,
        is_final=is_final,
        words=words,
        spans=(TextSpan(100, 200, "NAME", ("customer", "agent")),),
        asr="scripted",
        confidence=None,
        rev=rev,
    )


def contact_record(updated_ms: int, content_hash: str) -> ContactRecord:
    return ContactRecord(
        *("acme", "c1", updated_ms, content_hash, "", "", "", "", "VOICE", "INBOUND", "CUSTOMER_DISCONNECT"),
        *(1, 2, 30, None, "Billing", 3, 9, "anna", 10, 30, None),
        hold_s=4,
        holds=1,
        agent_states=(AgentSpan("CONNECTED", 10, None),),
        recordings=(),
        sealed=b"\x01\xff",
    )


def hint(name: str, body: str = "Offer the discount.", kind: str = "next_best_action") -> Hint:
    return Hint(name, kind, body, "save-offer", 3, ("c1/customer/0",), 500, 8_500)


def guidance(rev: int, *hints: Hint, cause: str = "c1/customer/0") -> Guidance:
    return Guidance("acme", "c1", 0, cause, hints, rev)


REV = st.integers(1, 4)
NUMBER = st.integers(0, 1)
NAMES = st.sets(st.sampled_from(("a", "b", "c")))
REVISIONS: dict[str, st.SearchStrategy[Record]] = {
    "turns": st.builds(lambda r, n, final: turn(r, number=n, is_final=final), REV, NUMBER, st.booleans()),
    "guidance": st.builds(lambda r, n, chosen: card_set(r, n, sorted(chosen)), REV, NUMBER, NAMES),
    "moments": st.builds(lambda r, n, chosen: moment_set(r, n, sorted(chosen)), REV, NUMBER, NAMES),
    "spans": st.builds(lambda r, n: AudioRedaction("acme", "c1", 0, f"t{n}", spans(r), r), REV, NUMBER),
    "events": st.builds(
        lambda leg, kind, at_ms, agent: ContactEvent("acme", "c1", leg, kind, at_ms, agent),
        NUMBER,
        st.sampled_from(("started", "ended")),
        st.integers(0, 2),
        st.sampled_from(("", "anna")),
    ),
    "feedback": st.builds(
        lambda n, action, agent: GuidanceFeedback("acme", "c1", f"g{n}", action, agent),
        NUMBER,
        st.sampled_from(("accepted", "dismissed")),
        st.sampled_from(("anna", "ben")),
    ),
}


@pytest.mark.parametrize("kind", ["turns", "guidance", "moments", "spans", "events", "feedback"])
def test_any_order_and_any_repetition_of_the_same_records_end_in_the_same_rows(
    pair: tuple[Store, Store], kind: str
) -> None:
    quiet, noisy = pair

    @settings(max_examples=40)
    @given(histories(REVISIONS[kind]))
    def check(history: tuple[list[Delivered], list[list[Delivered]]]) -> None:
        once, batches = history
        for each in pair:
            each.clear()
        for one in once:
            quiet.sink.write([one])
        for batch in batches:
            noisy.sink.write(batch)
        assert quiet.rows() == noisy.rows()

    check()


@st.composite
def histories(draw: st.DrawFn, revisions: st.SearchStrategy[Record]) -> tuple[list[Delivered], list[list[Delivered]]]:
    """Draw a set of records, and the same shuffled, repeated and cut into batches."""
    records = draw(st.lists(revisions, min_size=2, max_size=8, unique_by=place_of))
    once = [delivered(record, offset) for offset, record in enumerate(records)]
    noisy = draw(st.permutations(once + draw(st.lists(st.sampled_from(once), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(0, len(noisy)), max_size=5)))
    edges = [0, *cuts, len(noisy)]
    return once, [list(noisy[a:b]) for a, b in pairwise(edges)]


def place_of(record: Record) -> object:
    """One identity has one content a revision; what has no revision is told apart by its content."""
    rev = getattr(record, "rev", None)
    return repr(record) if rev is None else (record.identity, rev)


def card_set(rev: int, number: int, names: Sequence[str]) -> Guidance:
    hints = (hint(f"{number}/{name}", f"revision {rev}") for name in names)
    return guidance(rev, *hints, cause=f"c1/customer/{number}")


def moment_set(rev: int, number: int, names: Sequence[str]) -> Moments:
    return Moments("acme", "c1", 0, f"c1/customer/{number}", rev, tuple(Moment("p", 1, name) for name in names), rev)


def spans(rev: int) -> tuple[AudioSpan, ...]:
    return tuple(AudioSpan("customer", first, first + 10, "NAME") for first in range(rev - 1))


def test_stale_revision_never_overwrites(store: Store) -> None:
    store.write(turn(5))
    store.write(turn(4, text="older"), turn(5, text="equal"))
    assert [("revision 5", 5)] == store.select("SELECT text, rev FROM turns")


def test_partial_turn_and_progress_are_not_stored(store: Store) -> None:
    store.write(turn(1), turn(9, is_final=False), DecidedUntil("acme", "c1", 0, 8, 8, is_end=False, rev=1))
    assert [(1,)] == store.select("SELECT rev FROM turns")
    assert [] == store.rows()["audio_redactions"]


def test_turn_is_stored_as_it_is_shown(store: Store) -> None:
    store.write(turn(1, number=2, text="hello [NAME]"))
    ((start_ms, end_ms, text, words, marks),) = store.select("SELECT start_ms, end_ms, text, words, spans FROM turns")
    assert (2_000, 2_500, "hello [NAME]") == (start_ms, end_ms, text)
    word = {"text": "hello", "start_ms": 100, "end_ms": 200, "is_estimated": False}
    assert isinstance(words, list)
    assert word == words[0]
    assert [{"start_ms": 100, "end_ms": 200, "type": "NAME", "tracks": ["customer", "agent"]}] == marks


def test_verdict_says_how_audio_was_checked_also_in_a_table_that_lacked_it(store: Store) -> None:
    store.change("ALTER TABLE verifications DROP COLUMN audio")
    store.write(AudioStored("acme", "c1", 8, 8, is_complete=True, rev=1, manifest_version=3, redactions_rev=9))
    store.sink.prepare()
    store.write(RedactionVerification("acme", "c1", 0, "verified", (), 2, 0, 1, "awaited"))
    store.write(RedactionVerification("acme", "c1", 0, "verified", (), 2, 0, 2, "deaf"))
    assert [("verified", "deaf")] == store.select("SELECT outcome, audio FROM verifications")
    assert [(8, True)] == store.select("SELECT agent_sample, is_complete FROM audio_stored")


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
@pytest.mark.parametrize("is_one_batch", [True, False])
def test_hint_that_the_newer_set_lacks_is_withdrawn_and_keeps_no_content(
    store: Store, order: tuple[int, int], *, is_one_batch: bool
) -> None:
    records = {1: guidance(1, hint("kept", "old"), hint("gone")), 2: guidance(2, hint("kept", "new"))}
    if is_one_batch:
        store.write(*(records[rev] for rev in order))
    else:
        for rev in order:
            store.write(records[rev])
    expected = [("gone", True, 2, None, None), ("kept", False, 2, "new", "save-offer")]
    query = "SELECT guidance_id, is_withdrawn, rev, body, policy FROM guidance ORDER BY 1"
    assert expected == store.select(query)


def test_empty_set_withdraws_all_and_a_later_set_brings_back(store: Store) -> None:
    store.write(guidance(1, hint("a")))
    store.write(guidance(2))
    assert [(True, None)] == store.select("SELECT is_withdrawn, body FROM guidance")
    store.write(guidance(3, hint("a", "again")))
    assert [(False, "again")] == store.select("SELECT is_withdrawn, body FROM guidance")


def test_summary_keeps_its_points(store: Store) -> None:
    points = (Point("The customer stays.", ("c1/customer/0",)),)
    summary = Hint("c1/summary", "summary", "The customer stays.", "", 0, (), 900, None, points)
    store.write(guidance(1, summary, cause="c1/summary"))
    ((stored,),) = store.select("SELECT points FROM guidance WHERE kind = 'summary'")
    assert [{"text": "The customer stays.", "turn_ids": ["c1/customer/0"]}] == stored


def test_contact_has_ended_whichever_event_comes_first(store: Store) -> None:
    started = ContactEvent("acme", "c1", 0, "started", 0, "anna")
    ended = ContactEvent("acme", "c1", 0, "ended", 9_000, "")
    store.write(ended)
    store.write(started)
    store.write(ended)
    query = "SELECT state, agent, started_ms, ended_ms FROM contacts"
    assert [("ended", "anna", 0, 9_000)] == store.select(query)


def test_agent_who_joins_later_is_the_contact_s_and_a_hold_is_no_row(store: Store) -> None:
    started = ContactEvent("acme", "c1", 0, "started", 0, "")
    store.write(replace(started, kind="hold_began", contact_id="c2", agent="ben", time_ms=9))
    store.write(MediaStarted("acme", "c3", "arn", 1, "1"))
    store.write(replace(started, kind="agent_joined", agent="anna", time_ms=7), started)
    assert [("c1", "started", "anna", 0, None)] == store.select(
        "SELECT contact_id, state, agent, started_ms, ended_ms FROM contacts"
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("is_one_batch", [True, False])
def test_newest_contact_record_is_stored_in_any_order(
    store: Store, order: tuple[int, ...], *, is_one_batch: bool
) -> None:
    first = contact_record(1_000, "aa")
    versions = (first, contact_record(2_000, "aa"), contact_record(2_000, "bb"))
    if is_one_batch:
        store.write(*(versions[at] for at in order))
    else:
        for at in order:
            store.write(versions[at])
    query = "SELECT updated_ms, content_hash, agent_states, sealed FROM contact_records"
    states = [{"state": "CONNECTED", "start_ms": 10, "end_ms": None}]
    assert [(2_000, "bb", states, b"\x01\xff")] == store.select(query)


def test_counts_say_what_stands(store: Store) -> None:
    store.write(
        turn(1),
        turn(1, number=1),
        moment_set(1, 0, ("a", "b")),
        guidance(1, hint("g1"), hint("g2")),
        guidance(2, hint("g1")),
        guidance(1, hint("c1/summary", kind="summary"), cause="c1/summary"),
        AudioRedaction("acme", "c1", 0, "c1/customer/0", spans(4), 1),
        GuidanceFeedback("acme", "c1", "g1", "accepted", "anna"),
    )
    assert Counts(2, 2, 1, 1, 1, 3, 1) == store.sink.counts("c1")
    assert Counts(0, 0, 0, 0, 0, 0, 0) == store.sink.counts("unknown")


def test_sinks_that_prepare_at_once_do_not_disturb_each_other(postgres_dsn: str) -> None:
    schema = f"test_{uuid4().hex[:12]}"
    sinks = [PostgresSink(postgres_dsn, schema) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(sink.prepare) for sink in sinks]:
            done.result()
    for sink in sinks:
        sink.close()


@pytest.mark.parametrize(
    "poison",
    [
        lambda: turn(1, number=7, text=f"{CANARY} \0"),
        lambda: guidance(1, hint("g", f"{CANARY} \0")),
        lambda: turn(2**63, number=7, text=CANARY),
        lambda: guidance(1, hint(INCOMPRESSIBLE + CANARY)),
    ],
    ids=("nul in a turn", "nul in a hint", "revision out of range", "identity too long for an index"),
)
def test_poison_is_refused_without_a_trace_of_its_content(
    store: Store, caplog: pytest.LogCaptureFixture, poison: Callable[[], Record]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RecordRefused, match="SQLSTATE") as caught:
        store.write(turn(1), poison(), turn(1, number=1))
    assert caught.value.__suppress_context__
    assert not [text for text in (str(caught.value), caplog.text) if "4929" in text]
    assert [] == store.rows()["turns"]
    store.write(turn(1))
    assert 1 == len(store.rows()["turns"])


def test_missing_table_is_not_the_records_fault(store: Store) -> None:
    store.change("DROP TABLE moments")
    with pytest.raises(PeerUnavailable, match="UndefinedTable, SQLSTATE 42P01"):
        store.write(moment_set(1, 0, ("a",)))
    store.sink.prepare()
    store.write(moment_set(1, 0, ("a",)))


def test_lost_server_is_said_and_the_next_write_connects_again(store_home: Path) -> None:
    first = stores.start_postgres(store_home)
    port = int(first.url.rpartition(":")[2].partition("/")[0])
    sink = PostgresSink(first.url)
    sink.prepare()
    first.stop()
    for _ in range(2):
        with pytest.raises(PeerUnavailable):
            sink.write([delivered(turn(1))])
    second = stores.start_postgres(store_home, port)
    sink.write([delivered(turn(1))])
    assert 1 == sink.counts("c1").turns
    sink.close()
    second.stop()


def test_json_columns_hold_plain_json(store: Store) -> None:
    store.write(moment_set(1, 0, ("cancel-intent",)))
    ((moments,),) = store.select("SELECT moments::text FROM moments")
    assert isinstance(moments, str)
    assert [{"policy": "p", "policy_version": 1, "behaviour": "cancel-intent"}] == json.loads(moments)
