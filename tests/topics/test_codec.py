"""Bytes of records: every record survives, and nothing but a refusal escapes from bad bytes.

`TRUNKLINE_GOLDEN=1 pytest tests/topics/test_codec.py` writes `tests/golden/avro/*.bin` afresh.
"""

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordRefused
from schemas import NAMES
from topics import codec
from topics.records import (
    AccessEvent,
    AgentSpan,
    AgentStay,
    AudioCoverage,
    AudioFrame,
    AudioRedaction,
    AudioSpan,
    AudioStored,
    Behaviour,
    Condition,
    ContactEvent,
    ContactRecord,
    Conversation,
    Correction,
    DecidedUntil,
    FeedPosition,
    Generation,
    Guidance,
    GuidanceDraft,
    GuidanceFeedback,
    GuidanceRequest,
    Hint,
    HintTemplate,
    Hold,
    KeyPress,
    Leg,
    MediaStarted,
    MissingAudio,
    Moment,
    Moments,
    Point,
    Policy,
    Proof,
    Receipt,
    Record,
    Recording,
    RedactedTurn,
    RedactionCommand,
    RedactionVerification,
    ReviewDecision,
    SegmentWords,
    SpeechMark,
    SubjectKey,
    Suspect,
    TextSpan,
    Turn,
    Watermark,
    Word,
    turn_id,
)

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden" / "avro"
HEADER_BYTES = 5

CONTACT = "8b7f1f5e-0000-4000-8000-000000000001"
STREAM = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/demo-connect-contact/1790000000000"
FRAGMENT = "91343852333181432392682062622220590765191907586"
TURN = turn_id(CONTACT, "customer", 19_456)
REV = 3 * 2**24 + 17
WORDS = (Word("grüße", 2_432, 2_700), Word("four", 2_700, 2_950, is_estimated=True))
SPANS = (TextSpan(2_432, 2_950, "CREDITCARD", ("customer", "agent")),)
PROOF = Proof("0a", REV, "0c", "0d", "0e")
MASKED = (Word("[CREDITCARD]", 2_432, 2_950),)
HINTS = (
    Hint("g-1", "next_best_action", "Offer the discount.", "save-offer", 3, (TURN,), 2_950, 10_950),
    Hint("g-2", "summary", "A call.", "", 0, (), 2_950, None, (Point("They said hello.", (TURN,)),)),
)

REDACTED = RedactedTurn(
    *("local", CONTACT, 0, TURN, 2, "customer", "customer", 19_456, 23_600),
    is_final=True,
    words=MASKED,
    spans=(TextSpan(2_432, 2_950, "CREDITCARD", ("customer", "agent")),),
    asr="moonshine",
    confidence=0.875,
    rev=REV,
    gap="busy",
    stable_words=1,
    is_backchannel=True,
)
COVERED = (AudioSpan("agent", 19_000, 24_000, "CREDITCARD"),)
EXAMPLES: tuple[Record, ...] = (
    AudioFrame("local", CONTACT, 0, 19_456, bytes(range(256)), 19_584, b""),
    Watermark("local", CONTACT, 1, time_ms=2_950, is_end=True),
    AudioCoverage(
        "local",
        CONTACT,
        leg=0,
        start_ms=1_795_435_200_187,
        customer_sample=51_200,
        agent_sample=50_688,
        missing=(MissingAudio("agent", 12_800, 23_040),),
        is_end=True,
        reason="no more audio",
        rev=2**24 + 3,
    ),
    ContactEvent(
        *("local", CONTACT, 0, "hold_began", 0, "maria", 1_790_000_042_000, "c-0", "Billing", "VOICE"),
        sealed=bytes(range(250, 256)),
        initial_contact_id="c-0",
    ),
    MediaStarted("local", CONTACT, STREAM, 1_790_000_010_000, FRAGMENT, initial_contact_id="c-0"),
    ContactRecord(
        *("local", CONTACT, 1_790_000_900_000, "ab" * 32, "c-0", "c-1", "", "", "VOICE"),
        initiation_method="TRANSFER",
        disconnect_reason="CUSTOMER_DISCONNECT",
        initiated_ms=1_790_000_000_000,
        connected_to_system_ms=1_790_000_001_000,
        disconnected_ms=1_790_000_300_000,
        transferred_ms=None,
        queue="Billing",
        enqueued_ms=1_790_000_002_000,
        dequeued_ms=1_790_000_009_000,
        agent="maria",
        agent_connected_ms=1_790_000_010_000,
        after_work_start_ms=1_790_000_300_000,
        after_work_end_ms=None,
        hold_s=31,
        holds=2,
        agent_states=(AgentSpan("CONNECTED", 1_790_000_010_000, None),),
        recordings=(
            Recording("CUSTOMER", "AUDIO", "KINESIS_VIDEO_STREAM", STREAM, FRAGMENT, FRAGMENT, 1_790_000_010_000, None),
        ),
        sealed=b"\x01sealed",
    ),
    Conversation(
        *("local", "c-0"),
        legs=(
            Leg(
                *(CONTACT, "c-0", "VOICE", "Billing", STREAM),
                started_ms=1_790_000_000_000,
                queued_ms=1_790_000_002_000,
                ended_ms=None,
                media_ms=1_790_000_010_000,
                audio_ms=1_790_000_010_187,
                audio_end_ms=None,
                agents=(AgentStay("maria", 1_790_000_030_000, 1_790_000_290_000), AgentStay("", 1, None)),
                holds=(Hold(1_790_000_042_000, 1_790_000_073_000),),
            ),
        ),
        rev=REV,
    ),
    SpeechMark("local", CONTACT, 0, "customer", 19_456, end_sample=None, rev=REV),
    KeyPress("local", CONTACT, 0, "agent", 40_960, end_sample=41_728, rev=REV),
    SegmentWords(
        *("local", CONTACT, 0, "customer", 19_456, 23_600),
        is_final=True,
        words=WORDS,
        asr="moonshine",
        confidence=0.875,
        rev=REV,
        gap="busy",
        queue_ms=3,
        provider_ms=250,
    ),
    Turn(
        *("local", CONTACT, 0, TURN, "customer", "customer", 19_456, 23_600),
        is_final=True,
        words=WORDS,
        asr="moonshine",
        confidence=None,
        rev=REV,
        gap="on hold",
        stable_words=2,
        is_backchannel=True,
    ),
    REDACTED,
    AudioRedaction("local", CONTACT, 0, TURN, COVERED, REV),
    RedactionCommand("local", CONTACT, 0, REDACTED, COVERED, (TextSpan(3_000, 3_200, "NAME", ("customer",)),), REV),
    RedactionVerification(
        *("local", CONTACT, 0, "needs_review", COVERED, 36, 2, REV),
        suspects=(Suspect(TURN, (TextSpan(3_000, 3_200, "NAME", ("customer",)),)),),
    ),
    ReviewDecision(
        *("local", CONTACT, 0, "maria", "approved"),
        (Correction(REDACTED, COVERED, (TextSpan(3_000, 3_200, "NAME", ("customer",)),)),),
    ),
    AccessEvent("local", CONTACT, TURN, "maria", "revealed", "the customer disputes the order number"),
    DecidedUntil("local", CONTACT, 0, 23_600, 19_584, is_end=False, rev=REV),
    AudioStored("local", CONTACT, 80_000, 0, is_complete=False, rev=REV),
    Policy(
        *("local", "save-offer", 3),
        behaviours=(
            Behaviour(
                *(
                    "cancel-intent",
                    "any",
                    (Condition(phrase="cancel my"), Condition(regex="close (my|the)")),
                    60.0,
                ),
                hint=HintTemplate("next_best_action", "Offer the discount.", deadline_s=8.0),
            ),
        ),
    ),
    Moments("local", CONTACT, 0, TURN, 2_950, (Moment("save-offer", 3, "cancel-intent"),), REV),
    GuidanceRequest("local", CONTACT, 0, TURN, HINTS[:1], REV),
    GuidanceDraft("local", CONTACT, 0, f"{CONTACT}/summary", HINTS, REV),
    Guidance("local", CONTACT, 0, TURN, (), REV, PROOF),
    Receipt("local", CONTACT, 0, "redacted_turn", TURN, 1, "0a", REV, "0b", "0c", "0d", SPANS, "0e"),
    GuidanceFeedback("local", CONTACT, "g-1", "dismissed", "maria"),
    FeedPosition("arn:aws:kinesis:eu-central-1:111122223333:stream/starts", "shardId-000000000000", "4957"),
    Generation(2, 24, opens_at_ms=1_790_000_010_000, removed_at_ms=None),
    SubjectKey("local", CONTACT, b"\1" * 16, b"wrapped by the tenant's", b"\2" * 40, made_at_ms=1_790_000_000_000),
)
KINDS = [type(example) for example in EXAMPLES]

each_example = pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.schema)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.schema)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return every value that a field of this type may have and Avro can hold."""
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if hint is float:
        return st.floats(allow_nan=False)
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_args(hint) and type(None) in get_args(hint):
        return st.none() | values(get_args(hint)[0])
    if hasattr(hint, "__dataclass_fields__"):
        return records_of(hint)
    return st.from_type(hint)


def records_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return every instance of a record class."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw an encoded example with a few of its bytes changed, lost or doubled."""
    data = bytearray(codec.encode(draw(st.sampled_from(EXAMPLES))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4) | st.just(b"\xff" * 9 + b"\x01"))
    return bytes(data)


def refused(data: bytes) -> str:
    """Return the text with which `decode` refuses."""
    with pytest.raises(RecordRefused) as refusal:
        codec.decode(data)
    assert shows_no_cause(refusal.value)
    return str(refusal.value)


def outcome_of(data: bytes) -> Record | RecordRefused:
    """Return what `decode` makes of the bytes; anything else that it raises fails the test."""
    try:
        return codec.decode(data)
    except RecordRefused as refusal:
        return refusal


def shows_no_cause(refusal: RecordRefused) -> bool:
    """Say whether a traceback keeps the library's error, which quotes payload, to itself."""
    return refusal.__cause__ is None and (refusal.__suppress_context__ or refusal.__context__ is None)


@each_kind
@given(draws=st.data())
def test_record_survives(kind: type[Record], draws: st.DataObject) -> None:
    record = draws.draw(records_of(kind))
    again = codec.decode(codec.encode(record))
    assert record == again
    assert repr(record) == repr(again)


@each_example
def test_golden_bytes_are_read_and_written_again(record: Record) -> None:
    path = GOLDEN / f"{record.schema}.bin"
    if os.environ.get("TRUNKLINE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(codec.encode(record))
    golden = path.read_bytes()
    assert record == codec.decode(golden)
    assert golden == codec.encode(record)


def test_every_schema_has_golden_bytes_and_an_example() -> None:
    assert set(NAMES) == {path.stem for path in GOLDEN.glob("*.bin")}
    assert set(NAMES) == {example.schema for example in EXAMPLES}


def test_value_begins_with_the_confluent_header() -> None:
    expected = b"\x00" + codec.schema_id("turn").to_bytes(4, "big")
    assert expected == codec.encode(next(one for one in EXAMPLES if isinstance(one, Turn)))[:HEADER_BYTES]


def test_schema_ids_are_positive_and_differ() -> None:
    ids = {codec.schema_id(name) for name in NAMES}
    assert len(NAMES) == len(ids)
    assert all(0 < one < 2**31 for one in ids)


@each_example
def test_every_cut_is_refused(record: Record) -> None:
    data = codec.encode(record)
    texts = {refused(data[:length]) for length in range(len(data))}
    assert {"the record is shorter than its header", "the bytes do not follow the record's schema"} == texts


@each_example
def test_trailing_byte_is_refused(record: Record) -> None:
    assert "bytes follow the end of the record" == refused(codec.encode(record) + b"\x00")


def test_other_magic_byte_is_refused() -> None:
    assert "the record is not in the Confluent wire format" == refused(b"\x01" + codec.encode(EXAMPLES[0])[1:])


def test_unknown_schema_id_is_refused() -> None:
    assert "the record's schema id is unknown" == refused(b"\x00\x7f\xff\xff\xff" + b"anything")


def test_unknown_enum_symbol_is_refused() -> None:
    whole = codec.encode(GuidanceFeedback("t", "c", "g", "dismissed", "a"))
    action = whole.rindex(b"\x02\x02a")  # symbol 1, then a string of one letter
    assert "the bytes do not follow the record's schema" == refused(whole[:action] + b"\x04" + whole[action + 1 :])


def test_text_that_is_not_utf8_is_refused() -> None:
    data = codec.encode(ContactEvent("local", CONTACT, 0, "ended", 0, "maria")).replace(b"maria", b"mari\xff")
    assert "the bytes do not follow the record's schema" == refused(data)


def test_long_value_is_refused_before_it_is_read() -> None:
    data = codec.encode(EXAMPLES[0])
    assert "the record is longer than 1 MiB" == refused(data + bytes(codec.LIMIT_BYTES))


def test_long_record_is_not_written() -> None:
    frame = AudioFrame("local", CONTACT, 0, 0, bytes(codec.LIMIT_BYTES), 0, b"")
    with pytest.raises(RecordRefused, match="longer than 1 MiB"):
        codec.encode(frame)


def test_value_that_avro_cannot_hold_is_refused_without_being_quoted() -> None:
    surrogate = ContactEvent("local", CONTACT, 0, "started", 0, "my secret \ud800")
    with pytest.raises(RecordRefused) as refusal:
        codec.encode(surrogate)
    assert "a value does not fit the record's schema" == str(refusal.value)
    assert shows_no_cause(refusal.value)


@given(data=damaged())
def test_nothing_but_a_refusal_escapes_from_damaged_bytes(data: bytes) -> None:
    outcome = outcome_of(data)
    if isinstance(outcome, RecordRefused):
        assert shows_no_cause(outcome)
    else:
        assert codec.encode(outcome)[:HEADER_BYTES] == data[:HEADER_BYTES]


@given(data=st.binary(max_size=200), name=st.sampled_from(NAMES))
def test_nothing_but_a_refusal_escapes_from_noise(data: bytes, name: str) -> None:
    outcome = outcome_of(b"\x00" + codec.schema_id(name).to_bytes(4, "big") + data)
    assert isinstance(outcome, RecordRefused) or name == outcome.schema


@pytest.mark.parametrize("record", EXAMPLES[1:], ids=lambda record: record.schema)
def test_json_form_holds_every_field_in_order(record: Any) -> None:
    line = json.dumps(codec.to_json(record))
    assert [field.name for field in fields(record)] == list(json.loads(line))


def test_json_form_of_nested_records_is_plain() -> None:
    record = next(one for one in EXAMPLES if isinstance(one, RedactedTurn))
    expected = {"start_ms": 2_432, "end_ms": 2_950, "type": "CREDITCARD", "tracks": ["customer", "agent"]}
    assert [expected] == codec.to_json(record)["spans"]


def test_json_form_of_encrypted_bytes_is_base64() -> None:
    record = next(one for one in EXAMPLES if isinstance(one, ContactEvent))
    assert "+vv8/f7/" == codec.to_json(record)["sealed"]


def test_audio_has_no_json_form() -> None:
    with pytest.raises(TypeError):
        codec.to_json(EXAMPLES[0])
