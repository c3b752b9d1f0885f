"""The topology for people and programs: text, Mermaid and JSON of the rows that run.

Owns the three forms and nothing that they say: stages and groups come from `topology.py`, topics from
`topics/catalogue.py`, sinks and the gateway from `app.py`. The README's picture is `mermaid()`.
"""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from pipeline.app import GATEWAY, SINKS
from pipeline.topology import STAGES, Group, Stage, group_names, group_of
from topics.catalogue import CATALOGUE, DAY_MS, HOUR_MS, Topic, changelog

Json = dict[str, object]

_WIDTH = 120  # columns

_STYLES = (
    "classDef restricted stroke:#b00020,stroke-width:2px,stroke-dasharray:4 3",
    "classDef redacted stroke:#1b7f3b,stroke-width:2px",
    "classDef control stroke:#777777",
)


def sources() -> tuple[str, ...]:
    """Name what writes topics and is neither a stage nor the gateway."""
    inside = {GATEWAY, *(stage.name for stage in STAGES)}
    return tuple(dict.fromkeys(name for topic in CATALOGUE for name in topic.producers if name not in inside))


def read_by(name: str) -> tuple[str, ...]:
    """Name the topics that list a consumer, in their order."""
    return tuple(topic.name for topic in CATALOGUE if name in topic.consumers)


def written_by(name: str) -> tuple[str, ...]:
    """Name the topics that list a producer, in their order."""
    return tuple(topic.name for topic in CATALOGUE if name in topic.producers)


def as_json() -> str:
    """Return one JSON object: sources, groups with their stages, sinks, gateway and topics."""
    groups = [group_of(name) for name in group_names()]
    content: Json = {
        "sources": [{"name": name, "outputs": written_by(name)} for name in sources()],
        "groups": [_group_object(group) for group in groups],
        "sinks": [{"name": name, "inputs": read_by(name)} for name in SINKS],
        "gateway": {"name": GATEWAY, "inputs": read_by(GATEWAY), "outputs": written_by(GATEWAY)},
        "topics": [_topic_object(topic) for topic in CATALOGUE],
    }
    return json.dumps(content, indent=1)


def text() -> str:
    """Return the topology as lines to read in a terminal, at most 120 columns wide."""
    lines = [f"{len(STAGES)} stages in {len(group_names())} groups over {len(CATALOGUE)} topics"]
    for name in sources():
        lines += ["", f"source {name}", *_wrapped("writes", written_by(name))]
    for name in group_names():
        lines += ["", *_group_lines(group_of(name))]
    for name in SINKS:
        lines += ["", f"sink {name}", *_wrapped("reads", read_by(name))]
    lines += ["", GATEWAY, *_wrapped("reads", read_by(GATEWAY)), *_wrapped("writes", written_by(GATEWAY))]
    lines += ["", "topics", *_columns(_topic_cells(topic) for topic in CATALOGUE)]
    return "\n".join(lines)


def mermaid() -> str:
    """Return a Mermaid flowchart: boxes are stages by group, ovals are topics coloured by data class."""
    lines = ["flowchart LR"]
    for name in group_names():
        group = group_of(name)
        lines.append(f'  subgraph g_{name}["group {name}"]')
        lines += [f'    {_node(stage.name)}["{stage.name}"]' for stage in group.stages]
        lines.append("  end")
    lines += [f'  {_node(name)}[/"{name}"/]' for name in sources()]
    lines += [f'  {_node(name)}[("{name}")]' for name in SINKS]
    lines.append(f'  {_node(GATEWAY)}{{{{"{GATEWAY}"}}}}')
    lines += [f"  {_way(topic)}" for topic in CATALOGUE]
    return "\n".join([*lines, *(f"  {style}" for style in _STYLES)])


def _way(topic: Topic) -> str:
    writers, readers = (" & ".join(map(_node, names)) for names in (topic.producers, topic.consumers))
    oval = f't_{topic.name.replace(".", "_")}(["{topic.name}"]):::{topic.data}'
    return f"{writers} --> {oval} --> {readers}"


def _node(name: str) -> str:
    return f"n_{name}"


def _group_object(group: Group) -> Json:
    return {
        "name": group.name,
        "lead": group.inputs[0],
        "inputs": group.inputs,
        "tables": group.tables,
        "services": group.services,
        "changelog": changelog(group.name),
        "stages": [_stage_object(stage) for stage in group.stages],
    }


def _stage_object(stage: Stage) -> Json:
    return {
        "name": stage.name,
        "inputs": stage.inputs,
        "outputs": stage.outputs,
        "tables": stage.tables,
        "services": stage.services,
    }


def _topic_object(topic: Topic) -> Json:
    return {
        "name": topic.name,
        "records": [kind.schema for kind in topic.records],
        "data": topic.data,
        "retention_ms": None if topic.is_compacted else topic.retention_ms,
        "is_keyed": topic.is_keyed,
        "producers": topic.producers,
        "consumers": topic.consumers,
    }


def _group_lines(group: Group) -> Iterator[str]:
    yield f"group {group.name}: leads with {group.inputs[0]}, keeps {changelog(group.name)}"
    for stage in group.stages:
        yield f"  {stage.name}"
        yield from _wrapped("  reads", stage.inputs)
        yield from _wrapped("  table", stage.tables)
        yield from _wrapped("  asks", stage.services)
        yield from _wrapped("  writes", stage.outputs)


def _wrapped(verb: str, names: Sequence[str]) -> list[str]:
    return textwrap.wrap(", ".join(names), _WIDTH, initial_indent=f"  {verb:<8} ", subsequent_indent=" " * 11)


def _topic_cells(topic: Topic) -> tuple[str, ...]:
    key = "by contact" if topic.is_keyed else "one partition"
    ways = f"{', '.join(topic.producers)} -> {', '.join(topic.consumers)}"
    return topic.name, topic.data, _kept(topic), key, ways


def _kept(topic: Topic) -> str:
    if topic.is_compacted:
        return "compacted"
    days, rest_ms = divmod(topic.retention_ms, DAY_MS)
    return f"{days} d" if not rest_ms else f"{topic.retention_ms // HOUR_MS} h"


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lay cells out in columns; the last one goes on in further lines where it is too wide."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        *narrow, last = row
        begin = "  " + "".join(f"{cell:<{width}}  " for cell, width in zip(narrow, widths, strict=False))
        yield from textwrap.wrap(last, _WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))
