"""The broker and topics of a running environment, as the settings describe it."""

from collections.abc import Iterable, Sequence
from itertools import chain

from pipeline import broker
from pipeline.engines.faust_stage import owner_of
from pipeline.errors import InputError
from pipeline.settings import Settings
from pipeline.topology import STAGES, group_names
from topics import admin, generations
from topics.catalogue import GENERATIONS
from topics.records import Generation


def located(settings: Settings) -> Settings:
    """Return the settings with the broker's address filled in.

    Raises:
        InputError: none is set and the embedded one does not run.
    """
    if settings.kafka_bootstrap:
        return settings
    running = broker.status(settings.home)
    if running is None:
        raise InputError("no broker: set KAFKA_BOOTSTRAP or run `trunkline kafka start`")
    return settings.model_copy(update={"kafka_bootstrap": running.bootstrap})


def plan(settings: Settings) -> admin.Plan:
    """Compare the declared topics of every living generation with the broker's; `growth.plan` says which there are."""
    found = admin.read(settings.kafka_bootstrap, settings.topic_prefix)
    listed = generations_of(settings, found)
    return admin.plan(declare(settings, living_of(settings, listed)), found)


def generations_of(settings: Settings, found: Iterable[admin.Found]) -> tuple[Generation, ...]:
    """Return the list of generations; it is not asked for where its topic is not there."""
    if settings.topic_prefix + GENERATIONS.name not in {one.name for one in found}:
        return ()
    return generations.read(settings.kafka_bootstrap, settings.topic_prefix)


def living_of(settings: Settings, listed: Sequence[Generation]) -> tuple[Generation, ...]:
    """Return the generations whose topics are there, oldest first; without a list, the first alone."""
    if not listed:
        return (Generation(generations.FIRST, settings.partitions, 0, None),)
    return tuple(one for one in listed if one.removed_at_ms is None)


def declare(settings: Settings, living: Iterable[Generation]) -> tuple[admin.Declared, ...]:
    """Return every topic of some generations, and those that they share."""
    owners = tuple(map(owner_of, STAGES)) if settings.engine == "faust" else group_names()
    prefix = settings.topic_prefix
    own = [admin.declare_generation(prefix, one.number, one.partitions, -1, changelogs=owners) for one in living]
    return (*chain.from_iterable(own), *admin.declare_shared(prefix, -1))


def namespaces(settings: Settings) -> list[Settings]:
    """Return the namespace of each living generation, oldest first.

    Raises:
        PeerUnavailable: the broker does not answer.
    """
    listed = generations.read(settings.kafka_bootstrap, settings.topic_prefix)
    return [namespace(settings, one) for one in living_of(settings, listed)]


def namespace(settings: Settings, generation: Generation) -> Settings:
    """Return the settings of one generation alone: its prefix and its partitions."""
    prefix = generations.prefix_of(settings.topic_prefix, generation.number)
    return settings.model_copy(update={"topic_prefix": prefix, "partitions": generation.partitions})


def apply(settings: Settings, steps: admin.Plan) -> None:
    """Carry a plan out."""
    admin.apply(settings.kafka_bootstrap, steps)
