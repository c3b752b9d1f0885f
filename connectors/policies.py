"""Read a policy file.

Owns the file's form: every mistake is found here, with its line, before any work starts. It leaves what a
condition means to `pipeline/stages/policy.py`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import yaml

from connectors import yaml_file
from pipeline.errors import InputError, RecordRefused
from pipeline.stages.policy import compile_condition
from topics.records import Behaviour, Condition, HintTemplate, Policy

T = TypeVar("T")


def load(path: Path) -> tuple[Policy, ...]:
    """Return the policies of a YAML file, in its order.

    Raises:
        InputError: the file cannot be read or has a mistake; the message names file, line and reason.
    """
    reader = _Reader(path)
    root = reader.fields(reader.root(), required=("policies",))
    policies = reader.items(root["policies"], reader.policy)
    versions = [(policy.tenant, policy.policy_id, policy.version) for policy in policies]
    reader.check_distinct(root["policies"], versions, "an earlier policy has this tenant, id and version")
    return policies


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns YAML nodes, which know their lines, into records."""

    path: Path

    def root(self) -> yaml.Node:
        with yaml_file.told(self.path):
            node = yaml.compose(self.path.read_bytes(), Loader=yaml.SafeLoader)
        if node is None:
            raise InputError(f"{self.path}:1: the file is empty")
        return node

    def mistake(self, node: yaml.Node, reason: str) -> InputError:
        return InputError(f"{self.path}:{node.start_mark.line + 1}: {reason}")

    def policy(self, node: yaml.Node) -> Policy:
        fields = self.fields(node, required=("id", "version", "tenant", "behaviours"))
        behaviours = self.items(fields["behaviours"], self.behaviour)
        names = [behaviour.id for behaviour in behaviours]
        self.check_distinct(fields["behaviours"], names, "an earlier behaviour has this id")
        return Policy(
            tenant=self.name(fields["tenant"]),
            policy_id=self.name(fields["id"]),
            version=self.version(fields["version"]),
            behaviours=behaviours,
        )

    def behaviour(self, node: yaml.Node) -> Behaviour:
        fields = self.fields(node, required=("id", "speaker", "any", "hint"), optional=("cooldown_s",))
        cooldown = fields.get("cooldown_s")
        return Behaviour(
            id=self.name(fields["id"]),
            speaker=self.speaker(fields["speaker"]),
            any=self.items(fields["any"], self.condition),
            cooldown_s=0.0 if cooldown is None else self.seconds(cooldown),
            hint=self.hint(fields["hint"]),
        )

    def condition(self, node: yaml.Node) -> Condition:
        fields = self.fields(node, optional=("phrase", "regex"))
        if len(fields) != 1:
            raise self.mistake(node, "a condition has either `phrase` or `regex`")
        ((kind, value),) = fields.items()
        text = self.text(value)
        condition = Condition(phrase=text) if kind == "phrase" else Condition(regex=text)
        try:
            compile_condition(condition)
        except RecordRefused as refusal:
            raise self.mistake(value, str(refusal)) from None
        return condition

    def hint(self, node: yaml.Node) -> HintTemplate:
        fields = self.fields(node, required=("kind", "body"), optional=("deadline_s",))
        deadline = fields.get("deadline_s")
        return HintTemplate(
            kind=self.text(fields["kind"]),
            body=self.text(fields["body"]),
            deadline_s=None if deadline is None else self.seconds(deadline),
        )

    def speaker(self, node: yaml.Node) -> Literal["customer", "agent", "any"]:
        match self.text(node):
            case "customer" | "agent" | "any" as speaker:
                return speaker
            case _:
                raise self.mistake(node, "a speaker is `customer`, `agent` or `any`")

    def name(self, node: yaml.Node) -> str:
        """Read an id: ids are joined with `/` and `|` into identities and keys."""
        name = self.text(node)
        if "/" in name or "|" in name:
            raise self.mistake(node, "an id may not hold `/` or `|`")
        return name

    def text(self, node: yaml.Node) -> str:
        text = self.scalar(node, "str", "a text")
        if not text.strip():
            raise self.mistake(node, "expected a text, found an empty one")
        return text

    def version(self, node: yaml.Node) -> int:
        text = self.scalar(node, "int", "a whole number")
        if not text.isdecimal() or int(text) < 1:
            raise self.mistake(node, "a version is a decimal number from 1")
        return int(text)

    def seconds(self, node: yaml.Node) -> float:
        try:
            seconds = float(self.scalar(node, "int float", "a number of seconds"))
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise self.mistake(node, "expected a number of seconds from 0")
        return seconds

    def scalar(self, node: yaml.Node, kinds: str, wanted: str) -> str:
        kind = node.tag.rpartition(":")[2]
        if not isinstance(node, yaml.ScalarNode) or kind not in kinds.split():
            raise self.mistake(node, f"expected {wanted}")
        return str(node.value)

    def items(self, node: yaml.Node, read: Callable[[yaml.Node], T]) -> tuple[T, ...]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.mistake(node, "expected a list with at least one entry")
        return tuple(read(item) for item in node.value)

    def fields(
        self, node: yaml.Node, required: Sequence[str] = (), optional: Sequence[str] = ()
    ) -> dict[str, yaml.Node]:
        """Read a mapping and refuse keys that are unknown, given twice or missing."""
        if not isinstance(node, yaml.MappingNode):
            raise self.mistake(node, "expected a mapping")
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value not in (*required, *optional):
                name = key.value if isinstance(key.value, str) else "..."
                raise self.mistake(key, f"unknown key `{name}`")
            if key.value in fields:
                raise self.mistake(key, f"`{key.value}` is given twice")
            fields[key.value] = value
        for name in required:
            if name not in fields:
                raise self.mistake(node, f"`{name}` is missing")
        return fields

    def check_distinct(self, sequence: yaml.Node, identities: Iterable[object], reason: str) -> None:
        """Refuse the first entry of a list whose identity an earlier one has."""
        seen: set[object] = set()
        for node, identity in zip(sequence.value, identities, strict=True):
            if identity in seen:
                raise self.mistake(node, reason)
            seen.add(identity)
