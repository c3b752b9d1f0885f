"""The broker and topics of a running environment, as the settings describe it."""

from pipeline import broker
from pipeline.engines.faust_stage import owner_of
from pipeline.errors import InputError
from pipeline.settings import Settings
from pipeline.topology import STAGES, group_names
from topics import admin


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
    """Compare the declared topics with the broker's."""
    owners = tuple(map(owner_of, STAGES)) if settings.engine == "faust" else group_names()
    desired = admin.declare(settings.topic_prefix, settings.partitions, -1, changelogs=owners)
    return admin.plan(desired, admin.read(settings.kafka_bootstrap, settings.topic_prefix))


def apply(settings: Settings, steps: admin.Plan) -> None:
    """Carry a plan out."""
    admin.apply(settings.kafka_bootstrap, steps)
