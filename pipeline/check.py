"""`trunkline check`: every effective setting with its origin, and whether each outside system answers."""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from confluent_kafka import KafkaException
from pydantic import SecretStr
from redis import Redis, RedisError

from pipeline import broker
from pipeline.settings import Settings, origin
from topics import clients

_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """One outside system: whether it answers, or None where it is not set."""

    name: str
    is_up: bool | None
    detail: str


def setting_lines(settings: Settings) -> list[str]:
    """Return `name = value  (origin)` for each setting; secrets print as `***`."""
    width = max(map(len, Settings.model_fields))
    return [f"{name:<{width}} = {_shown(getattr(settings, name))}  ({origin(name)})" for name in Settings.model_fields]


def reach(settings: Settings) -> list[Reached]:
    """Ask each outside system that is set for a sign of life."""
    return [
        _kafka(settings),
        _tried("postgres", settings.postgres_dsn.get_secret_value(), _ask_postgres),
        _tried("redis", settings.redis_url.get_secret_value(), _ask_redis),
    ]


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return str(value)


def _kafka(settings: Settings) -> Reached:
    if settings.kafka_bootstrap:
        return _tried("kafka", settings.kafka_bootstrap, _ask_kafka)
    running = broker.status(settings.home)
    if running is not None:
        return _tried("kafka", running.bootstrap, _ask_kafka)
    missing = broker.missing_tools(broker.libs_folder(settings.home))
    return Reached("kafka", None, missing or "not set; commands start the embedded broker")


def _tried(name: str, address: str, ask: Callable[[str], str]) -> Reached:
    if not address:
        return Reached(name, None, "not set")
    try:
        return Reached(name, True, ask(address))
    except KafkaException as failure:
        return Reached(name, False, failure.args[0].name())
    except (psycopg.Error, RedisError, ValueError) as failure:  # their text may hold the address
        return Reached(name, False, type(failure).__name__)


def _ask_kafka(bootstrap: str) -> str:
    listed = clients.admin(bootstrap).list_topics(timeout=_LIMIT_S)
    return f"{bootstrap}, {len(listed.topics)} topics"


def _ask_postgres(dsn: str) -> str:
    with psycopg.connect(dsn, connect_timeout=int(_LIMIT_S)) as connection:
        return f"version {connection.info.server_version // 10_000}"


def _ask_redis(url: str) -> str:
    with Redis.from_url(url, socket_timeout=_LIMIT_S, socket_connect_timeout=_LIMIT_S) as client:
        client.ping()
        return "answers"
