"""`trunkline call`: the same call on each engine leaves the same files, complete, and nothing else behind."""

import os
import re
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from connectors import files
from pipeline import results
from pipeline.call import STAGES_OF_A_CALL
from pipeline.topology import STAGES
from tests.system.commands import DEMO, SCRIPTED, Place
from tests.system.conftest import Called, call
from topics import admin, clients
from topics.catalogue import TOPICS

pytestmark = pytest.mark.system

FILES = sorted(
    "turns.jsonl partials.jsonl redactions.jsonl customer.redacted.wav agent.redacted.wav guidance.jsonl"
    " summary.json latency.json journal.jsonl".split()
)
SAME_ON_EVERY_ENGINE = (
    "redactions.jsonl",
    "guidance.jsonl",
    "summary.json",
    "customer.redacted.wav",
    "agent.redacted.wav",
)
TRACKS = ("customer", "agent")
TYPES = set("CREDITCARD CVV EXPIRY SSN BANKACCOUNT ROUTING PHONE DOB EMAIL ADDRESS NAME PII".split())
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms", "max_ms")

Field = tuple[type, ...]
NUMBER: Field = (int, float)


def fits(row: dict[str, object], fields: dict[str, Field]) -> bool:
    """Whether an object has these fields, of these types, and no other; True is no number."""
    return fields.keys() == row.keys() and all(
        isinstance(row[name], kinds) and not (isinstance(row[name], bool) and bool not in kinds)
        for name, kinds in fields.items()
    )


def topics_of(broker: str, prefix: str) -> list[str]:
    return [topic for topic in clients.admin(broker).list_topics(timeout=10).topics if topic.startswith(prefix)]


def groups_of(broker: str, prefix: str) -> list[str]:
    listed = clients.admin(broker).list_consumer_groups().result(10)
    return [group.group_id for group in listed.valid if group.group_id.startswith(prefix)]


def assert_nothing_left(place: Place) -> None:
    assert {} == place.left_over()
    assert [] == place.run_files()
    assert [] == [path.name for path in place.folder.rglob(".*.partial")]


def test_memory_engine_is_repeatable_to_the_byte(memory_call: Called, calls: Place) -> None:
    again = call(calls, "again", "--engine", "memory", "--asr", SCRIPTED)
    different = [name for name in FILES if (memory_call.out / name).read_bytes() != (again.out / name).read_bytes()]
    assert [] == [name for name in different if name != "latency.json"]


def test_kafka_gives_the_turns_of_memory(memory_call: Called, kafka_call: Called) -> None:
    assert memory_call.final_turns() == kafka_call.final_turns()


@pytest.mark.parametrize("name", SAME_ON_EVERY_ENGINE)
def test_kafka_gives_the_files_of_memory(name: str, memory_call: Called, kafka_call: Called) -> None:
    assert (memory_call.out / name).read_bytes() == (kafka_call.out / name).read_bytes()


@pytest.fixture(params=["memory_call", "kafka_call"])
def called(request: pytest.FixtureRequest) -> Called:
    ended: Called = request.getfixturevalue(request.param)
    return ended


def test_every_file_is_written_and_no_other(called: Called) -> None:
    assert FILES == sorted(path.name for path in called.out.iterdir())


def test_a_call_says_one_line_on_stdout_and_none_on_stderr(called: Called) -> None:
    assert 1 == len(called.ran.out.splitlines())
    assert [] == called.ran.said


def test_turns_have_their_fields(called: Called) -> None:
    turns = called.lines("turns.jsonl")
    assert len(turns) > 20
    contact = turns[0]["contact_id"]
    for turn in turns:
        assert fits(
            turn,
            {
                "contact_id": (str,),
                "turn_id": (str,),
                "rev": (int,),
                "redaction_rev": (int,),
                "track": (str,),
                "speaker": (str,),
                "start_ms": (int,),
                "end_ms": (int,),
                "text": (str,),
                "words": (list,),
                "asr": (str,),
                "confidence": (int, float, type(None)),
            },
        )
        assert contact == turn["contact_id"]
        assert turn["track"] in TRACKS
        assert turn["track"] == turn["speaker"]
        assert re.fullmatch(rf"{contact}/{turn['track']}/\d+", str(turn["turn_id"]))
        assert 2**24 < int(str(turn["rev"])) < 2**53
        assert turn["confidence"] is None or 0 <= float(str(turn["confidence"])) <= 1
    assert len(turns) == len({str(turn["turn_id"]) for turn in turns})


def test_words_join_to_the_text_and_keep_their_order(called: Called) -> None:
    for turn in called.lines("turns.jsonl"):
        words = turn["words"]
        assert isinstance(words, list)
        for word in words:
            estimated: dict[str, Field] = {"estimated": (bool,)} if "estimated" in word else {}
            assert fits(word, {"text": (str,), "start_ms": (int,), "end_ms": (int,)} | estimated)
            assert 0 <= word["start_ms"] <= word["end_ms"]
        assert turn["text"] == " ".join(word["text"] for word in words)
        assert all(before["start_ms"] <= after["start_ms"] for before, after in pairwise(words))


def first_sample(turn: dict[str, object]) -> int:
    return int(str(turn["turn_id"]).rpartition("/")[2])


def test_turns_are_sorted_and_start_at_their_first_sample(called: Called) -> None:
    turns = called.lines("turns.jsonl")
    assert turns == sorted(turns, key=lambda turn: (first_sample(turn), TRACKS.index(str(turn["track"]))))
    assert [first_sample(turn) // 8 for turn in turns] == [turn["start_ms"] for turn in turns]


def test_partials_have_their_fields_and_rising_revisions(called: Called) -> None:
    newest: dict[object, int] = {}
    known = {turn["turn_id"] for turn in called.lines("turns.jsonl")}
    for partial in called.lines("partials.jsonl"):
        fields: dict[str, Field] = {"turn_id": (str,), "track": (str,), "text": (str,)}
        assert fits(partial, fields | dict.fromkeys(("rev", "redaction_rev", "at_ms"), (int,)))
        assert partial["turn_id"] in known
        assert int(str(partial["rev"])) > newest.get(partial["turn_id"], 0)
        newest[partial["turn_id"]] = int(str(partial["rev"]))


def test_memory_publishes_partials(memory_call: Called) -> None:
    assert memory_call.lines("partials.jsonl")


def test_redactions_have_their_fields(called: Called) -> None:
    spans = called.lines("redactions.jsonl")
    known = {turn["turn_id"] for turn in called.lines("turns.jsonl")}
    assert spans
    for span in spans:
        fields: dict[str, Field] = {"turn_id": (str,), "track": (str,), "type": (str,)}
        assert fits(span, fields | {"start_sample": (int,), "end_sample": (int,)})
        assert span["turn_id"] in known
        assert span["track"] in TRACKS
        assert span["type"] in TYPES
        assert 0 <= int(str(span["start_sample"])) < int(str(span["end_sample"]))
    starts = [int(str(span["start_sample"])) for span in spans]
    assert starts == sorted(starts)


def test_each_token_in_a_text_has_a_span_of_its_type(called: Called) -> None:
    covered = {(span["turn_id"], span["type"]) for span in called.lines("redactions.jsonl")}
    shown = {
        (turn["turn_id"], token)
        for turn in called.lines("turns.jsonl")
        for token in re.findall(r"\[([A-Z]+)\]", str(turn["text"]))
    }
    assert shown == covered


def test_guidance_has_its_fields_and_cites_turns(called: Called) -> None:
    hints = called.lines("guidance.jsonl")
    known = {turn["turn_id"] for turn in called.lines("turns.jsonl")}
    policies = {hint["policy"] for hint in hints}
    assert {"call-opening", "service-care", "card-handling", "save-offer"} == policies
    for hint in hints:
        fields: dict[str, Field] = dict.fromkeys(("guidance_id", "kind", "body", "policy"), (str,))
        numbers: dict[str, Field] = {"policy_version": (int,), "at_ms": (int,), "deadline_ms": (int, type(None))}
        assert fits(hint, fields | numbers | {"evidence": (list,)})
        assert hint["evidence"]
        assert isinstance(hint["evidence"], list)
        assert set(hint["evidence"]) <= known
        assert hint["deadline_ms"] is None or int(str(hint["at_ms"])) <= int(str(hint["deadline_ms"]))
    assert len(hints) == len({hint["guidance_id"] for hint in hints})


def test_the_summary_cites_turns(called: Called) -> None:
    summary = called.json("summary.json")
    known = {turn["turn_id"] for turn in called.lines("turns.jsonl")}
    assert fits(summary, {"contact_id": (str,), "text": (str,), "points": (list,)})
    assert summary["text"]
    points = summary["points"]
    assert isinstance(points, list)
    assert points
    for point in points:
        assert fits(point, {"text": (str,), "turn_ids": (list,)})
        assert point["turn_ids"]
        assert set(point["turn_ids"]) <= known


def test_latency_names_every_stage(called: Called) -> None:
    figures = called.json("latency.json")
    assert fits(
        figures,
        dict.fromkeys(("stages", "end_to_end", "spans"), (dict,))
        | {"turns": (list,)}
        | dict.fromkeys(("audio_s", "wall_s", "cpu_s"), NUMBER),
    )
    assert [] == figures["turns"]
    stages = figures["stages"]
    assert isinstance(stages, dict)
    assert [stage.name for stage in STAGES if stage.outputs] == list(stages)
    row: dict[str, Field] = {"count": (int,)} | dict.fromkeys(PERCENTILES, (int, float, type(None)))
    assert isinstance(figures["end_to_end"], dict)
    assert all(fits(one, row) for one in (*stages.values(), figures["end_to_end"]))
    assert all((one["count"] == 0) == (one["max_ms"] is None) for one in stages.values())
    assert 74.268 == figures["audio_s"]


def test_kafka_measures_every_stage_that_had_work(kafka_call: Called) -> None:
    stages = kafka_call.json("latency.json")["stages"]
    assert isinstance(stages, dict)
    idle = {stage.name for stage in STAGES} - {stage.name for stage in STAGES_OF_A_CALL}
    assert idle >= {name for name, figures in stages.items() if name != "inference" and not figures["count"]}


def test_the_journal_is_in_order_and_holds_unrestricted_topics_alone(called: Called) -> None:
    rows = called.lines("journal.jsonl")
    fields: dict[str, Field] = {"audio_ms": (int,), "offset": (int,), "record": (dict,)}
    assert all(fits(row, fields | dict.fromkeys(("topic", "key", "schema"), (str,))) for row in rows)
    times = [int(str(row["audio_ms"])) for row in rows]
    assert times == sorted(times)
    topics = {str(row["topic"]) for row in rows}
    assert {"control", "redacted"} >= {TOPICS[topic].data for topic in topics}
    assert {"policies", "contact.events", "speech.marks", "transcript.redacted", "moments", "guidance"} <= topics


@pytest.mark.parametrize("track", TRACKS)
def test_redacted_audio_is_pcm_as_long_as_the_input(track: str, called: Called) -> None:
    with wave.open(str(called.out / f"{track}.redacted.wav")) as made:
        form = (made.getnchannels(), made.getsampwidth(), made.getframerate(), made.getcomptype())
        assert (1, 2, 8_000, "NONE") == form
        assert len(files.read_wav(DEMO / f"{track}.wav")) == made.getnframes()


def test_a_call_leaves_nothing_behind(
    kafka_call: Called, kafka_calls: Place, memory_call: Called, calls: Place
) -> None:
    assert kafka_call.out.is_dir()
    assert memory_call.out.is_dir()
    assert_nothing_left(calls)
    assert_nothing_left(kafka_calls)
    prefix = kafka_calls.variables["TRUNKLINE_TOPIC_PREFIX"]
    assert [] == topics_of(kafka_calls.variables["KAFKA_BOOTSTRAP"], prefix)
    assert [] == groups_of(kafka_calls.variables["KAFKA_BOOTSTRAP"], prefix)


def short(path: Path, folder: Path, seconds: int) -> Path:
    """Write the first seconds of a track."""
    cut = folder / f"{seconds}-{path.name}"
    cut.write_bytes(results.wav(files.read_wav(path)[: seconds * 8_000]))
    return cut


def test_keep_leaves_the_topics_and_nothing_else(broker: str, shell: Place) -> None:
    prefix = f"system-{uuid4().hex[:8]}."
    customer, agent = (short(DEMO / f"{track}.wav", shell.folder, 3) for track in TRACKS)
    place = Place(shell.folder, {"KAFKA_BOOTSTRAP": broker, "TRUNKLINE_TOPIC_PREFIX": prefix}, shell.mark)
    try:
        call(place, "kept", "--asr", SCRIPTED, "--keep", customer=customer, agent=agent)
        kept = {topic.removeprefix(prefix).partition(".")[2] for topic in topics_of(broker, prefix)}
    finally:
        admin.remove(broker, prefix)
    assert TOPICS.keys() <= kept
    assert_nothing_left(place)


def test_the_recorded_call_is_the_same_on_both_engines(
    recorded_call: tuple[Path, Path], calls: Place, kafka_calls: Place, tmp_path: Path
) -> None:
    """The whole call in `make soak`; its first minute in `make test`."""
    customer, agent = recorded_call
    if "SOAK" not in os.environ:
        customer, agent = (short(track, tmp_path, 60) for track in recorded_call)
    with ThreadPoolExecutor() as beside:  # two minutes of decoding each for the whole call: at the same time
        running = beside.submit(call, calls, "recorded", "--engine", "memory", customer=customer, agent=agent)
        kafka = call(kafka_calls, "recorded", customer=customer, agent=agent)
        memory = running.result()
    assert heard(memory)
    assert memory.final_turns() == kafka.final_turns()
    different = [n for n in SAME_ON_EVERY_ENGINE if (memory.out / n).read_bytes() != (kafka.out / n).read_bytes()]
    assert [] == different
    assert_nothing_left(kafka_calls)


def heard(called: Called) -> Sequence[object]:
    """The texts of turns in which the recogniser heard something."""
    return [turn["text"] for turn in called.lines("turns.jsonl") if turn["text"]]
