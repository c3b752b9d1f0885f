"""The rows against the files, the catalogue and the rule that restricted data meets redaction first."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from connectors.gateway.feed import LOOK_BACK_MS, REVIEW_LOOK_BACK_MS
from connectors.gateway.review import desk, raw
from connectors.postgres import PostgresSink
from connectors.redis import RedisGuidanceSink
from pipeline.app import GATEWAY, SINKS
from pipeline.explain import read_by, sources, written_by
from pipeline.topology import STAGES, Stage, group_names, group_of
from topics.catalogue import CATALOGUE, TOPICS, Topic
from topics.records import ContactEvent, MediaStarted

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
STAGE_NAMES = [stage.name for stage in STAGES]
REDACTION = "redaction"

# What handles restricted data without redaction before it, and why that is right.
SERVICES_WITH_RAW_AUDIO = {
    "asr": "there is nothing to redact before words exist; the recogniser runs in the worker's process",
    "objects": "the archive holds every sample back until decided-until has passed it, and covers the spans",
}
OUTPUTS_WITHOUT_REDACTION = {
    "speech.marks": "a mark holds sample numbers alone, no audio and no words",
    "audio.stored": "it holds sample numbers alone, of what lies redacted in the archive",
}
# Who shows restricted data without redaction before it, and why that is right.
BREAK_GLASS = {
    ("transcript.raw", "gateway"): "a named reviewer with the right reads one turn, once the log has who and why",
}
SHARED_TOPICS = {
    "guidance.drafts": "inference writes turns' causes, summary one cause of its own; both run in one task",
}


def by_name(stages: Iterable[Stage]) -> list[str]:
    return sorted(stage.name for stage in stages)


def is_there(connector: str) -> bool:
    return (ROOT / f"connectors/{connector}.py").is_file() or (ROOT / f"connectors/{connector}/__init__.py").is_file()


def test_row_names_are_unique() -> None:
    assert len(STAGES) == len(set(STAGE_NAMES))


def test_no_name_is_both_a_group_and_a_sink() -> None:
    assert not {*group_names()} & {*SINKS, GATEWAY}


def test_every_file_of_stages_has_a_row() -> None:
    files = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGE_NAMES)


def test_every_row_runs_the_machine_of_its_file() -> None:
    homes = {stage.name: getattr(stage.machine, "__module__", "") for stage in STAGES}
    assert {name: f"pipeline.stages.{name}" for name in STAGE_NAMES} == homes


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_every_row_has_a_test_file(name: str) -> None:
    assert (ROOT / f"tests/pipeline/stages/test_{name}.py").is_file()


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_every_topic_has_a_producer_and_a_consumer_that_exist(topic: Topic) -> None:
    assert topic.producers
    assert topic.consumers
    named = {*topic.producers, *topic.consumers}
    assert set() == {name for name in named if name not in STAGE_NAMES and not is_there(name)}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_catalogue_says_what_the_row_says(stage: Stage) -> None:
    assert {*stage.inputs, *stage.tables} == {*read_by(stage.name)}
    assert {*stage.outputs} == {*written_by(stage.name)}


def test_no_stage_takes_what_a_contact_record_tells_late_for_a_bad_record() -> None:
    # A record that changes a day after the end says again that media started and that the contact ended.
    readers = [stage for stage in STAGES if "contact.events" in stage.inputs]
    assert ["capture", "conversation", "policy", "transcript"] == by_name(readers)
    assert [] == [s.name for s in readers if not {ContactEvent, MediaStarted} <= {*s.machine().drops_late}]


def test_tables_are_the_compacted_topics() -> None:
    assert {topic.name for topic in CATALOGUE if topic.is_compacted} == {t for s in STAGES for t in s.tables}


@pytest.mark.parametrize("sink", [PostgresSink, RedisGuidanceSink], ids=lambda sink: sink.name)
def test_catalogue_says_what_a_sink_reads(sink: type[PostgresSink] | type[RedisGuidanceSink]) -> None:
    assert sink.name in SINKS
    assert {*sink.topics} == {*read_by(sink.name)}


def test_catalogue_says_what_the_gateway_reads() -> None:
    assert {*LOOK_BACK_MS, *REVIEW_LOOK_BACK_MS, *desk.SHOWN, raw.TOPIC} == {*read_by(GATEWAY)}


def test_sources_write_and_read_nothing() -> None:
    assert [] == [name for name in sources() if read_by(name)]


def test_one_stage_writes_a_topic() -> None:
    writers = Counter(topic for stage in STAGES for topic in stage.outputs)
    assert set(SHARED_TOPICS) == {topic for topic, count in writers.items() if count > 1}


@pytest.mark.parametrize("topic", SHARED_TOPICS)
def test_stages_that_share_a_topic_share_a_task(topic: str) -> None:
    assert 1 == len({stage.group for stage in STAGES if topic in stage.outputs})


@pytest.mark.parametrize("name", group_names())
def test_inputs_of_a_group_are_keyed_by_contact(name: str) -> None:
    # A task is partition n of all inputs: they need the partition count that contact topics share.
    assert [] == [topic for topic in group_of(name).inputs if not TOPICS[topic].is_keyed]


@pytest.mark.parametrize("name", group_names())
def test_stages_of_a_group_are_in_the_order_of_the_flow(name: str) -> None:
    # The guidance loop alone goes back: what inference and summary draft returns to redaction.
    rows = group_of(name).stages
    place = {stage.name: at for at, stage in enumerate(rows)}
    back = {
        topic
        for writer in rows
        for topic in writer.outputs
        for reader in rows
        if topic in reader.inputs and place[reader.name] < place[writer.name]
    }
    assert back <= {"guidance.drafts"}


def reached_without_redaction() -> tuple[set[str], list[Stage]]:
    """Walk from every restricted topic along stages, but never through redaction or what holds no speech."""
    topics = {topic.name for topic in CATALOGUE if topic.data == "restricted"}
    while True:
        stages = [s for s in STAGES if s.name != REDACTION and (topics - {*OUTPUTS_WITHOUT_REDACTION}) & {*s.inputs}]
        further = topics | {topic for stage in stages for topic in stage.outputs}
        if further == topics:
            return topics, stages
        topics = further


def test_restricted_data_reaches_no_unrestricted_topic_but_through_redaction() -> None:
    topics, _ = reached_without_redaction()
    assert set(OUTPUTS_WITHOUT_REDACTION) == {name for name in topics if TOPICS[name].data != "restricted"}


def test_restricted_data_reaches_no_sink_and_no_screen_but_through_redaction() -> None:
    topics, _ = reached_without_redaction()
    unexplained = topics - set(OUTPUTS_WITHOUT_REDACTION)
    readers = {(name, reader) for name in unexplained for reader in TOPICS[name].consumers}
    assert {*BREAK_GLASS} == {(name, reader) for name, reader in readers if reader in {*SINKS, GATEWAY}}


def test_restricted_data_reaches_no_service_but_those_with_a_reason() -> None:
    _, stages = reached_without_redaction()
    assert set(SERVICES_WITH_RAW_AUDIO) == {service for stage in stages for service in stage.services}
    assert ["archive", "asr"] == by_name(stage for stage in stages if stage.services)


def test_the_archive_reads_raw_audio_beside_what_redaction_decided() -> None:
    # The exception: it reads restricted audio, and `audio.redactions` carries decided-until.
    (archive,) = (stage for stage in STAGES if stage.name == "archive")
    assert ("audio.frames", "audio.redactions", "redaction.verifications") == archive.inputs
    assert ("audio.stored",) == archive.outputs
    assert (REDACTION,) == TOPICS["audio.redactions"].producers


def test_redaction_reads_before_policy_and_guidance_passes_it_again() -> None:
    assert (REDACTION,) == TOPICS["transcript.redacted"].producers
    assert (REDACTION,) == TOPICS["guidance"].producers
    assert (REDACTION,) == TOPICS["guidance.drafts"].consumers
