"""Wiring: which object answers which name. With `recognisers.py` alone it knows both the stages and the connectors."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from connectors.base import Sink
from pipeline import receipt_key, recognisers
from pipeline.audio.webrtc import Webrtc
from pipeline.egress import UNGATED, Gate, guarded
from pipeline.engines import sink, source
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.engines.payloads import PLAIN, Payloads
from pipeline.engines.services import Service
from pipeline.engines.subject_keys import SubjectKeys
from pipeline.errors import InputError
from pipeline.machine import Machine
from pipeline.progress import Progress
from pipeline.receipts import Receipts
from pipeline.redaction.profiles import Profiles
from pipeline.runners import GatewayRunner, LoopRunner
from pipeline.settings import Settings
from pipeline.stages.archive import Archive, ArchiveConfig
from pipeline.stages.asr import Asr, AsrConfig
from pipeline.stages.redaction import Redactor, TenantRedactor
from pipeline.stages.vad import Vad
from pipeline.stages.verification import Verification
from pipeline.topology import STAGES, Group, Stage, group_names, group_of
from topics import generations

if TYPE_CHECKING:  # it imports faust, which is an extra, and botocore, which takes its time
    from connectors.gateway.review.people import Person
    from connectors.kvs.account import Account
    from connectors.objects import Place
    from pipeline.engines.faust import FaustWorker

_ADDRESSES = {"postgres": "postgres_dsn", "redis": "redis_url"}
AUDIT = "audit"
SINKS = (*_ADDRESSES, AUDIT)
GATEWAY = "gateway"
CONTACT_EVENTS = source.GROUP
EVERYWHERE = (GATEWAY, CONTACT_EVENTS)  # one worker is at home in all generations of topics
SUBJECT_KEY = Path(".trunkline/subject.key")
GROUPS = (*group_names(), *SINKS, CONTACT_EVENTS, GATEWAY)


class Runner(Protocol):
    """What a worker process runs."""

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""

    @property
    def assigned(self) -> tuple[int, ...]:
        """The partitions it holds."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""


def worker(settings: Settings, group: str, generation: int, number: int, progress: Progress) -> Runner:
    """Make what one worker process of a group runs in one generation of topics; those `EVERYWHERE` run in all.

    Raises:
        InputError: no such group, or a setting it needs is missing.
    """
    check_group(settings, group)
    config = _config(settings, group, generation, number)
    if group == GATEWAY:
        return GatewayRunner(_gateway(settings), progress)
    if group == CONTACT_EVENTS:
        return LoopRunner(_reading(settings, config, progress))
    if group in SINKS:
        return LoopRunner(_writing(_sink(settings, group, config.prefix), gate(settings), config, progress))
    if settings.engine == "faust":
        return faust_worker(settings, group, number, progress)
    rows = group_of(group, stages(settings))
    sealing = payloads(settings) if rows.is_restricted else PLAIN
    return KafkaWorker(config, rows, services(settings, rows.services), progress, sealing)


def faust_worker(settings: Settings, group: str, number: int, progress: Progress | None = None) -> "FaustWorker":
    """Make the Faust engine's worker of a group of stages; without a supervisor nobody asks for its progress.

    Raises:
        InputError: the extra is not installed, or exactly_once is asked for.
    """
    check_engine(settings)
    from pipeline.engines.faust import FaustWorker

    rows = group_of(group, stages(settings))
    config = _config(settings, group, generations.FIRST, number)
    sealing = payloads(settings) if rows.is_restricted else PLAIN
    return FaustWorker(config, rows, services(settings, rows.services), progress, sealing)


def check_engine(settings: Settings) -> None:
    """Refuse an engine that cannot run as it is asked to, before work starts.

    Raises:
        InputError: the extra is not installed, or exactly_once is asked for.
    """
    if settings.engine != "faust":
        return
    try:
        from pipeline.engines import faust
    except ModuleNotFoundError as missing:
        raise InputError(
            f"engine faust needs the extra faust: pip install 'trunkline[faust]' ({missing.name})"
        ) from None
    if settings.faust_guarantee != "at_least_once":
        raise InputError(faust.NOT_EXACTLY_ONCE)


def _config(settings: Settings, group: str, generation: int, number: int) -> WorkerConfig:
    prefix = generations.prefix_of(settings.topic_prefix, generation)
    member = f"{prefix}{socket.gethostname()}-{group}-{number}"
    return WorkerConfig(
        settings.kafka_bootstrap, prefix, member, settings.group_protocol, tables_prefix=settings.topic_prefix
    )


def check_group(settings: Settings, group: str) -> None:
    """Refuse a group that does not exist or lacks what it needs, before any process of it starts.

    Raises:
        InputError: the name is none of `GROUPS`, a store's address is not set, the feeds', profiles' or reviewers' file
            is wrong, the recogniser is unknown, the engine cannot run, the bucket, keys or AWS credentials are missing,
            or the key of receipts is none.
    """
    if group not in GROUPS:
        raise InputError(f"no group {group}; there are {', '.join(GROUPS)}")
    if group == CONTACT_EVENTS:
        _feeds(settings)
    if group in (*SINKS, GATEWAY) or group in group_names() and "redaction" in _names(group):
        gate(settings)
    if group == GATEWAY:
        _reviewers(settings)
    if group in _ADDRESSES:
        _required(settings, _ADDRESSES[group])
    if group in group_names():
        _check_stages(settings, group_of(group, stages(settings)))


def _check_stages(settings: Settings, group: Group) -> None:
    check_engine(settings)
    if group.is_restricted:
        payloads(settings)
    if settings.redaction_profiles:
        _profiles(settings)
    if "asr" in group.services:
        recognisers.check(settings)
    if "kvs" in group.services:
        _account(settings)
    if {"objects", "playback"} & {*group.services}:
        place(settings)


def _names(group: str) -> tuple[str, ...]:
    return tuple(stage.name for stage in group_of(group).stages)


def stages(settings: Settings) -> tuple[Stage, ...]:
    """Return the rows of the topology, with machines as the settings ask for them."""
    asr = AsrConfig(streaming=recognisers.streaming(settings))
    archive = ArchiveConfig(is_verified_first=settings.archive_release == "verified")
    machines: dict[str, Callable[[], Machine[Any]]] = {
        "asr": partial(Asr, asr),
        "archive": partial(Archive, archive),
        "redaction": partial(_redactor, settings),
        "verification": partial(Verification, settings.verification_listens),
    }
    if settings.vad == "webrtcvad":
        machines["vad"] = partial(Vad, model=Webrtc())
    unasked = {"playback"} if settings.verification_listens == "off" else set()
    return tuple(
        replace(
            stage,
            machine=machines.get(stage.name, stage.machine),
            services=tuple(name for name in stage.services if name not in unasked),
        )
        for stage in STAGES
    )


def _redactor(settings: Settings) -> Machine[Any]:
    """Make redaction's machine; the other groups need neither its key nor its profiles."""
    receipts = Receipts(receipt_key.of(settings))
    if settings.redaction_profiles:
        return TenantRedactor(_profiles(settings), receipts)
    return Redactor(receipts=receipts)


def _profiles(settings: Settings) -> Profiles:
    from connectors import profiles

    return profiles.load_all(Path(settings.redaction_profiles), settings.redaction_key.get_secret_value())


def services(settings: Settings, names: tuple[str, ...], *, is_paced: bool = True) -> Mapping[str, Service]:
    """Make the services that stages ask.

    Args:
        settings: which recogniser, where objects go.
        names: the services that are needed; models of others are not loaded.
        is_paced: whether a scripted recogniser takes its time.

    Raises:
        InputError: the recogniser is unknown, its file malformed, or there are no AWS credentials.
    """
    makers: dict[str, Callable[[], Service]] = {
        "kvs": lambda: _listener(settings),
        "asr": lambda: recognisers.make(settings, is_paced=is_paced),
        "objects": lambda: _objects(settings),
        "playback": lambda: _playback(settings),
    }
    made = {name: makers[name]() for name in names}
    guard = guarded(gate(settings)) if made.keys() - UNGATED else None
    return {name: guard(one) if guard and name not in UNGATED else one for name, one in made.items()}


def gate(settings: Settings) -> Gate:
    """Make the gate that records pass on their way out.

    Raises:
        InputError: the key of receipts is no key, or its file cannot be made.
    """
    return Gate(Receipts(receipt_key.of(settings)))


def payloads(settings: Settings) -> Payloads:
    """Make what seals restricted topics, of all generations of an environment.

    Raises:
        InputError: the tenants' keys are missing or malformed, or there are no AWS credentials.
    """
    from connectors import tenant_keys

    named = settings.subject_keys
    keys = tenant_keys.load(Path(named)) if named else tenant_keys.made_at(SUBJECT_KEY)
    return Payloads(SubjectKeys(settings.kafka_bootstrap, settings.topic_prefix, partial(tenant_keys.find, keys)))


def _writing(store: Sink, gate: Gate, config: WorkerConfig, progress: Progress) -> Callable[[threading.Event], None]:
    return partial(
        sink.run,
        store,
        config.bootstrap,
        config.prefix,
        gate=gate,
        instance_id=config.member,
        on_progress=progress.note,
    )


def _reading(settings: Settings, config: WorkerConfig, progress: Progress) -> Callable[[threading.Event], None]:
    return partial(
        source.run,
        _feeds(settings),
        config.bootstrap,
        settings.topic_prefix,
        instance_id=config.member,
        on_progress=progress.note,
    )


def _feeds(settings: Settings) -> list[source.Feed]:
    """Make the feeds of Amazon Connect.

    Raises:
        InputError: their file is missing or wrong, or a key or credentials are missing.
    """
    from connectors.contact_events import feeds, reading

    if not settings.contact_feeds:
        raise InputError("setting contact_feeds is missing")
    loaded = feeds.load(Path(settings.contact_feeds))
    sealer = loaded.sealer()
    for one in loaded.feeds:
        reading.inlet(one)  # says now what is missing
    return [
        source.Feed(one.says, one.place, partial(reading.inlet, one), partial(reading.read, one, sealer))
        for one in loaded.feeds
    ]


def _sink(settings: Settings, name: str, prefix: str) -> Sink:
    """Make a store's sink; `prefix` is that of its topics.

    Raises:
        InputError: the setting with its address is missing.
    """
    if name == "postgres":
        from connectors.postgres import PostgresSink

        return PostgresSink(_required(settings, "postgres_dsn"), record_wait_s=settings.contact_record_wait_s)
    if name == AUDIT:
        from connectors.audit import AuditSink

        return AuditSink(settings.audit_dir, prefix, receipt_key.of(settings))
    from connectors.redis import RedisGuidanceSink

    return RedisGuidanceSink(_required(settings, "redis_url"), settings.topic_prefix)


def _required(settings: Settings, name: str) -> str:
    secret: SecretStr = getattr(settings, name)
    if not secret.get_secret_value():
        raise InputError(f"setting {name} is missing")
    return secret.get_secret_value()


def _gateway(settings: Settings) -> Callable[[Callable[[int], None]], Awaitable[None]]:
    from connectors.gateway import process
    from connectors.gateway.review.reading import decode_plain

    return partial(
        process.run,
        settings.kafka_bootstrap,
        settings.topic_prefix,
        settings.redis_url.get_secret_value() or None,
        gate(settings),
        settings.gateway_port,
        _reviewers(settings),
        payloads(settings).decode if settings.reviewers else decode_plain,
    )


def _reviewers(settings: Settings) -> "tuple[Person, ...]":
    """Return who may review.

    Raises:
        InputError: their file cannot be read or has a mistake.
    """
    from connectors.gateway.review import people

    return people.load(Path(settings.reviewers)) if settings.reviewers else ()


def _listener(settings: Settings) -> Service:
    from connectors.kvs.listening import Listener

    return Listener(_account(settings)).answer


def _account(settings: Settings) -> "Account":
    from connectors.kvs import account

    return account.find(settings.kvs_region or None, settings.kvs_endpoint_url or None)


def _objects(settings: Settings) -> Service:
    from connectors.objects import Objects

    return Objects(place(settings)).answer


def _playback(settings: Settings) -> Service:
    from connectors.playback import Playback

    hears = settings.verification_listens == "words"
    return Playback(place(settings), recognisers.second if hears else None).answer


def place(settings: Settings) -> "Place":
    """Return where redacted audio lies.

    Raises:
        InputError: a key, the bucket or credentials are missing.
    """
    from connectors import places

    keys = Path(settings.archive_keys) if settings.archive_keys else None
    if settings.objects_url:
        return places.bucket(settings.objects_url, settings.objects_region or None, keys)
    return places.folder(settings.objects_dir, keys)
