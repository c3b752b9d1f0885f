"""Declared topics against a broker: what should be there, what is, and the steps between.

    desired = declare("local.", partitions=12, replication=3, changelogs=("speech", "language"))
    steps = plan(desired, read(bootstrap, "local."))
    apply(bootstrap, steps)

`declare` and `plan` are pure; `read`, `apply`, `remove` and `remove_generation` ask a broker. A plan never deletes or
shrinks a topic: which generations there are is for `pipeline/growth.py` to say, and `remove` is for the prefix of a
single call or test. Numbers without a source here are from section 4 of `docs/architecture.md`.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exports them without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from pipeline.errors import InputError, PeerUnavailable
from topics import clients, deadletters, generations
from topics.catalogue import ALL, CATALOGUE, DAY_MS, DataClass, Topic, changelog

DEAD_RETENTION_MS: Mapping[DataClass, int] = {
    "restricted": DAY_MS,  # hours, as for everything that redaction has not seen
    "redacted": 7 * DAY_MS,
    "control": 7 * DAY_MS,
}
# A takeover reads a changelog whole, 40 MB in 0.1 s, and Kafka compacts all of it but the segment that is written.
CHANGELOG_SEGMENT_BYTES = 16 << 20
CHANGELOG_COMPACTION_LAG_MS = 10 * 60_000
# Kafka drops whole segments and keeps the one that is being written, 7 days by default: a quiet restricted
# topic would outstay its hours. With this limit a record stays for about 9/8 of its retention at most.
SEGMENTS_A_RETENTION = 8
# Kafka Connect's headers of a dead letter and the original key.
_DEAD_LETTER_EXTRA_BYTES = 64 << 10

ANSWER_LIMIT_S = 8.0
# 27 topics of 12 partitions took 3 s to make and 16 s to delete with nine runnable tasks a core (Kafka 4.3.1).
_CHANGE_LIMIT_S = 30.0
_SETTLE_STEP_S = 0.05
# A drain takes up to 15 s; a member that was killed, or a sink's, stays in its group until its session is over, 6 s.
_LEAVE_LIMIT_S = 60.0
_LEAVE_STEP_S = 0.5

Row = dict[str, object]
_Subject = TypeVar("_Subject", str, ConfigResource)


@dataclass(frozen=True, slots=True)
class Declared:
    """A topic as it should be.

    Attributes:
        name: prefix included.
        partitions: fixed once a keyed topic exists.
        replication: copies of each partition; -1 leaves it to the broker.
        config: topic settings by Kafka's names; settings not named here are the operator's.
        is_keyed: by contact, so that the partition count decides where a contact is.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    is_keyed: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the broker has it; `config` holds every effective setting."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alter:
    """One setting of one topic to change."""

    topic: str
    setting: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A difference that cannot be put right here, and why."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps from a broker to the declaration; all parts are sorted by topic.

    Attributes:
        extra: topics of our prefix that nobody declares; listed, never touched, and no difference.
    """

    creates: tuple[Declared, ...]
    alters: tuple[Alter, ...]
    refusals: tuple[Refusal, ...]
    extra: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """The broker is as declared: nothing to create, to alter or to refuse."""
        return not (self.creates or self.alters or self.refusals)

    def rows(self) -> list[Row]:
        """Return one object a step, ready for `json.dumps`."""
        creates: list[Row] = [{"action": "create", "topic": one.name, **_size(one)} for one in self.creates]
        alters: list[Row] = [
            {
                "action": "alter",
                "topic": one.topic,
                "setting": one.setting,
                "from": one.before,
                "to": one.after,
            }
            for one in self.alters
        ]
        refusals: list[Row] = [{"action": "refuse", "topic": one.topic, "reason": one.reason} for one in self.refusals]
        return creates + alters + refusals + [{"action": "extra", "topic": name} for name in self.extra]

    def lines(self) -> list[str]:
        """Return one line a step for people: `+` create, `~` alter, `!` refuse, `?` extra."""
        return [
            *(f"+ {one.name} ({one.partitions} partitions: {_listed(one.config)})" for one in self.creates),
            *(f"~ {one.topic} {one.setting}: {one.before} -> {one.after}" for one in self.alters),
            *(f"! {one.topic}: {one.reason}" for one in self.refusals),
            *(f"? {name}: not declared" for name in self.extra),
        ]


def declare(prefix: str, partitions: int, replication: int, *, changelogs: Sequence[str] = ()) -> tuple[Declared, ...]:
    """Return every topic of an environment with one generation: the catalogue, its dead letters and the changelogs.

    Args:
        prefix: put before each name as it stands; empty, or ends with a dot.
        partitions: of every keyed topic; the others have one.
        replication: copies of each partition; -1 leaves it to the broker.
        changelogs: owners of states.

    Raises:
        InputError: the prefix could be mistaken for the beginning of a topic's name.
    """
    first = declare_generation(prefix, generations.FIRST, partitions, replication, changelogs=changelogs)
    return first + declare_shared(prefix, replication)


def declare_shared(prefix: str, replication: int) -> tuple[Declared, ...]:
    """Return the topics that all generations share: those that are not keyed.

    Raises:
        InputError: as for `declare`.
    """
    _check_prefix(prefix)
    shared = [topic for topic in ALL if not topic.is_keyed]
    return tuple(Declared(prefix + one.name, 1, replication, _topic_config(one), is_keyed=False) for one in shared)


def declare_generation(
    prefix: str, number: int, partitions: int, replication: int, *, changelogs: Sequence[str] = ()
) -> tuple[Declared, ...]:
    """Return the topics of one generation: those that are keyed, their dead letters and the changelogs.

    Args:
        prefix: of the environment.
        number: of the generation.
        partitions: of each.
        replication: copies of each partition; -1 leaves it to the broker.
        changelogs: owners of states.

    Raises:
        InputError: as for `declare`.
    """
    _check_prefix(prefix)
    configs: list[tuple[str, dict[str, str]]] = []
    for topic in CATALOGUE:
        if topic.is_keyed:
            configs.append((topic.name, _topic_config(topic)))
            configs.append((deadletters.name(topic.name), _dead_letter_config(topic)))
    configs += [(changelog(owner), _changelog_config()) for owner in changelogs]
    own = generations.prefix_of(prefix, number)
    return tuple(Declared(own + name, partitions, replication, config, is_keyed=True) for name, config in configs)


def plan(desired: Iterable[Declared], actual: Iterable[Found]) -> Plan:
    """Compare the declaration with what `read` found."""
    found = {topic.name: topic for topic in actual}
    wanted = {topic.name: topic for topic in sorted(desired, key=lambda one: one.name)}
    both = [(topic, found[name]) for name, topic in wanted.items() if name in found]
    return Plan(
        creates=tuple(topic for name, topic in wanted.items() if name not in found),
        alters=tuple(alter for topic, one in both for alter in _alters(topic, one)),
        refusals=tuple(refusal for topic, one in both for refusal in _refusals(topic, one)),
        extra=tuple(sorted(found.keys() - wanted.keys())),
    )


def read(bootstrap: str, prefix: str) -> tuple[Found, ...]:
    """Ask the broker for the topics of a prefix.

    Args:
        bootstrap: `host:port`, several separated by commas.
        prefix: as for `declare`. With the empty one only names like the catalogue's are ours: a shared broker
            holds other people's topics.

    Raises:
        InputError: the prefix could be mistaken for the beginning of a topic's name.
        PeerUnavailable: the broker does not answer within 8 s or refuses to.
    """
    _check_prefix(prefix)
    return _read(clients.admin(bootstrap), partial(_is_ours, prefix))


def apply(bootstrap: str, steps: Plan) -> None:
    """Create and alter what the plan says, and return when the broker shows it; a repetition changes nothing.

    Raises:
        InputError: the plan holds a refusal; nothing is changed, because topics whose partition counts differ
            would tear contacts apart.
        PeerUnavailable: the broker does not answer or refuses a step.
    """
    if steps.refusals:
        raise InputError(f"the broker's topics cannot be made as declared: {steps.refusals[0].reason}")
    admin = clients.admin(bootstrap)
    _listing(admin, bool)  # says early that nobody answers: a change is given longer
    _create(admin, steps.creates)
    _alter(admin, steps.alters)
    _settle(lambda: _is_applied(admin, steps))


def remove(bootstrap: str, prefix: str) -> tuple[str, ...]:
    """Delete every topic of a prefix, and return their names when the broker no longer lists them.

    Raises:
        InputError: the prefix is empty, or could be mistaken for the beginning of a topic's name.
        PeerUnavailable: the broker does not answer or refuses.
    """
    _check_prefix(prefix)
    if not prefix:
        raise InputError("topics are only removed by a prefix that is not empty")
    admin = clients.admin(bootstrap)
    is_ours = partial(_is_ours, prefix)
    names = list(_listing(admin, is_ours))
    if names:
        _wait(admin.delete_topics(names, request_timeout=_CHANGE_LIMIT_S), KafkaError.UNKNOWN_TOPIC_OR_PART)
        _settle(lambda: not _listing(admin, is_ours))
    return tuple(names)


def remove_generation(bootstrap: str, names: Sequence[str], groups: Sequence[str]) -> None:
    """Delete the groups and topics of a generation; what is gone already is no fault.

    Args:
        bootstrap: `host:port`, several separated by commas.
        names: its topics, prefix included.
        groups: prefix included; each must be left by its members within 60 s.

    Raises:
        PeerUnavailable: a group is not left, or the broker does not answer or refuses.
    """
    admin = clients.admin(bootstrap)
    give_up_s = time.monotonic() + _LEAVE_LIMIT_S
    left = list(groups)
    while left:
        left = _delete_groups(admin, left)
        if left and time.monotonic() > give_up_s:
            raise PeerUnavailable(f"workers do not leave group {left[0]}; its topics stay until another apply")
        if left:
            time.sleep(_LEAVE_STEP_S)
    if names:
        _wait(admin.delete_topics(list(names), request_timeout=_CHANGE_LIMIT_S), KafkaError.UNKNOWN_TOPIC_OR_PART)
        _settle(lambda: not _listing(admin, set(names).__contains__))


def _delete_groups(admin: AdminClient, groups: Sequence[str]) -> list[str]:
    """Delete groups; return those that still have members."""
    occupied = []
    for group, future in admin.delete_consumer_groups(list(groups), request_timeout=ANSWER_LIMIT_S).items():
        try:
            future.result(ANSWER_LIMIT_S + 1)
        except KafkaException as failure:
            code = failure.args[0].code()
            if code == KafkaError.NON_EMPTY_GROUP:
                occupied.append(group)
            elif code != KafkaError.GROUP_ID_NOT_FOUND:
                raise _unavailable(failure) from None
    return occupied


def _check_prefix(prefix: str) -> None:
    if prefix and not prefix.endswith("."):
        raise InputError("a topic prefix ends with a dot")
    if generations.is_mistakable(prefix):
        raise InputError("a topic prefix may not end like a generation's, g2.")
    if prefix and any(name.startswith(prefix) for name in (*(topic.name for topic in CATALOGUE), changelog(""))):
        raise InputError("a topic prefix may not begin a topic's own name")


def _topic_config(topic: Topic) -> dict[str, str]:
    kept = _kept_for(topic.retention_ms) if topic.retention_ms else {}
    compacted = {"cleanup.policy": "compact,delete" if kept else "compact"} if topic.is_compacted else {}
    return _common() | kept | compacted


def _dead_letter_config(topic: Topic) -> dict[str, str]:
    limit = clients.MESSAGE_LIMIT_BYTES + _DEAD_LETTER_EXTRA_BYTES
    return _common() | _kept_for(DEAD_RETENTION_MS[topic.data]) | {"max.message.bytes": str(limit)}


def _changelog_config() -> dict[str, str]:
    return _common() | {
        "cleanup.policy": "compact",
        "segment.bytes": str(CHANGELOG_SEGMENT_BYTES),
        "max.compaction.lag.ms": str(CHANGELOG_COMPACTION_LAG_MS),
    }


def _common() -> dict[str, str]:
    return {
        "max.message.bytes": str(clients.MESSAGE_LIMIT_BYTES),
        "message.timestamp.type": "LogAppendTime",
    }


def _kept_for(retention_ms: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        "segment.ms": str(retention_ms // SEGMENTS_A_RETENTION),
    }


def _size(topic: Declared) -> Row:
    return {"partitions": topic.partitions, "replication": topic.replication, "config": dict(topic.config)}


def _listed(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(config.items()))


def _alters(topic: Declared, found: Found) -> list[Alter]:
    return [
        Alter(topic.name, setting, found.config.get(setting, ""), value)
        for setting, value in sorted(topic.config.items())
        if found.config.get(setting) != value
    ]


def _refusals(topic: Declared, found: Found) -> list[Refusal]:
    refusals = []
    if found.partitions != topic.partitions:
        refusals.append(Refusal(topic.name, _partitions_reason(topic, found)))
    if topic.replication not in (-1, found.replication):
        reason = f"it has {found.replication} copies, {topic.replication} are declared; reassign its partitions"
        refusals.append(Refusal(topic.name, reason))
    return refusals


def _partitions_reason(topic: Declared, found: Found) -> str:
    differ = f"it has {found.partitions} partitions, {topic.partitions} are declared"
    if topic.is_keyed:
        return f"{differ}; another count would move contacts in mid-call, so growth is another generation of topics"
    return f"{differ}; its readers expect one"


def _is_ours(prefix: str, name: str) -> bool:
    if prefix:
        return name.startswith(prefix)
    _, name = generations.parts(name)
    ours = {topic.name for topic in ALL}
    return name.removesuffix(deadletters.name("")) in ours or name.startswith(changelog(""))


def _listing(admin: AdminClient, is_ours: Callable[[str], bool]) -> dict[str, TopicMetadata]:
    try:
        topics = admin.list_topics(timeout=ANSWER_LIMIT_S).topics
    except KafkaException as failure:
        raise _unavailable(failure) from None
    return {name: topic for name, topic in sorted(topics.items()) if is_ours(name)}


def _read(admin: AdminClient, is_ours: Callable[[str], bool]) -> tuple[Found, ...]:
    topics = _listing(admin, is_ours)
    if not topics:
        return ()
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    answers = _wait(admin.describe_configs(resources, request_timeout=ANSWER_LIMIT_S), KafkaError.UNKNOWN_TOPIC_OR_PART)
    return tuple(_found(resource.name, topics[resource.name], entries) for resource, entries in answers.items())


def _found(name: str, topic: TopicMetadata, entries: Mapping[str, ConfigEntry]) -> Found:
    copies = min((len(one.replicas) for one in topic.partitions.values()), default=0)
    config = {key: entry.value for key, entry in entries.items() if entry.value is not None}
    return Found(name, len(topic.partitions), copies, config)


def _create(admin: AdminClient, topics: Sequence[Declared]) -> None:
    fresh = [NewTopic(one.name, one.partitions, one.replication, config=dict(one.config)) for one in topics]
    if fresh:
        # Two workers may apply one plan at once.
        _wait(admin.create_topics(fresh, request_timeout=_CHANGE_LIMIT_S), KafkaError.TOPIC_ALREADY_EXISTS)


def _alter(admin: AdminClient, alters: Sequence[Alter]) -> None:
    changes: dict[str, list[ConfigEntry]] = {}
    for one in alters:
        entry = ConfigEntry(one.setting, one.after, incremental_operation=AlterConfigOpType.SET)
        changes.setdefault(one.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in changes.items()
    ]
    if resources:
        _wait(admin.incremental_alter_configs(resources, request_timeout=_CHANGE_LIMIT_S))


def _is_applied(admin: AdminClient, steps: Plan) -> bool:
    touched = {one.name for one in steps.creates} | {one.topic for one in steps.alters}
    found = {one.name: one for one in _read(admin, touched.__contains__)}
    return touched == found.keys() and all(
        found[one.topic].config.get(one.setting) == one.after for one in steps.alters
    )


def _settle(is_done: Callable[[], bool]) -> None:
    """Wait until a change that the controller accepted shows in what the broker answers; usually at once."""
    give_up = time.monotonic() + _CHANGE_LIMIT_S
    while not is_done():
        if time.monotonic() > give_up:
            raise PeerUnavailable("the broker accepted a change of topics and does not show it")
        time.sleep(_SETTLE_STEP_S)


def _wait(futures: Mapping[_Subject, Future[Any]], *harmless: int) -> dict[_Subject, Any]:
    """Collect the answers of an admin call; those with a harmless error are left out."""
    answers = {}
    for subject, future in futures.items():
        try:
            answers[subject] = future.result(_CHANGE_LIMIT_S + 1)
        except KafkaException as failure:
            if failure.args[0].code() not in harmless:
                raise _unavailable(failure) from None
    return answers


def _unavailable(failure: KafkaException) -> PeerUnavailable:
    error: KafkaError = failure.args[0]
    return PeerUnavailable(f"the broker does not do as it is asked: {error.name()}: {error.str()}")
