"""Everything that a running demo lets others read, as text by place; the restricted topics apart."""

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import psycopg
from confluent_kafka import Message, TopicPartition
from numpy.typing import NDArray
from psycopg import sql
from redis import Redis

from bench.screen import Screen
from bench.watched import WatchedDemo
from connectors import objects, places
from pipeline import app
from pipeline.engines.payloads import Payloads
from pipeline.engines.tables import read_whole
from pipeline.settings import Settings
from topics import clients, codec, deadletters
from topics.catalogue import TOPICS
from topics.records import AudioFrame

Texts = dict[str, str]


def look(demo: WatchedDemo, screen: Screen, folder: Path) -> tuple[Texts, Texts]:
    """Read every place; returns what anybody may see, and what is restricted."""
    open_topics, restricted = kafka(demo.settings)
    seen = {"screen": "\n".join(json.dumps(one.frame) for one in screen.seen)}
    pages = {f"page {name}": fetch(demo.page + name) for name in ("", "contacts", "readyz")}
    stored = postgres(demo.settings.postgres_dsn.get_secret_value())
    cached = valkey(demo.settings.redis_url.get_secret_value())
    return seen | pages | stored | cached | open_topics | health_pages(folder) | plain_files(folder), restricted


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def health_pages(folder: Path) -> Texts:
    ports = sorted((folder / ".trunkline" / "run").glob("*.port"))
    return {f"metrics {port.stem}": fetch(f"http://127.0.0.1:{port.read_text()}/metrics") for port in ports}


def plain_files(folder: Path) -> Texts:
    """Logs, notes and names; the servers' own data is what the clients read, and restricted topics."""
    kinds = {".log", ".json", ".pid", ".port", ".toml", ""}
    found = [
        path
        for path in (folder / ".trunkline").rglob("*")
        if path.is_file() and "data" not in path.parts and path.suffix in kinds
    ]
    names = "\n".join(str(path) for path in (folder / ".trunkline" / "objects").rglob("*"))
    texts = {f"file {path.relative_to(folder)}": path.read_text(errors="replace") for path in found}
    return texts | {"object names": names}


def postgres(dsn: str) -> Texts:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'trunkline'"
    with psycopg.connect(dsn) as connection:
        names = [str(name) for (name,) in connection.execute(tables).fetchall()]
        return {
            f"postgres {name}": "\n".join(
                json.dumps(row)
                for (row,) in connection.execute(
                    sql.SQL("SELECT to_jsonb(t) FROM trunkline.{} t").format(sql.Identifier(name))
                )
            )
            for name in names
        }


def valkey(url: str) -> Texts:
    """Every key with its value, as bytes and decoded."""
    with Redis.from_url(url) as client:
        texts = {}
        for key in client.scan_iter():
            value: Any = client.hgetall(key) if client.type(key) == b"hash" else client.xrange(key)
            texts[f"valkey {key.decode()}"] = repr(value)
            if client.type(key) == b"stream":
                records = [codec.decode(fields[b"value"]) for _, fields in value]
                texts[f"valkey {key.decode()} records"] = "\n".join(json.dumps(codec.to_json(one)) for one in records)
        return texts


def kafka(settings: Settings) -> tuple[Texts, Texts]:
    """Every topic but the changelogs: the open ones with their dead letters, and the restricted ones.

    Keys and headers of restricted topics stand among the open ones: operators see them.
    """
    bootstrap, prefix, payloads = settings.kafka_bootstrap, settings.topic_prefix, app.payloads(settings)
    listed = clients.admin(bootstrap).list_topics(timeout=10).topics
    open_texts: Texts = {}
    restricted: Texts = {}
    for name in TOPICS:
        for topic in (name, deadletters.name(name)):
            found = listed.get(prefix + topic)
            partitions = [TopicPartition(prefix + topic, n) for n in (found.partitions if found else ())]
            messages = list(read_whole(bootstrap, partitions)) if partitions else []
            texts = restricted if TOPICS[name].data == "restricted" else open_texts
            texts[f"kafka {topic}"] = "\n".join(
                _text(payloads, name, one) if topic == name else repr(one.value()) for one in messages
            )
            margins = [f"{message.key()!r} {message.headers()!r}" for message in messages]
            open_texts[f"kafka {topic} keys and headers"] = "\n".join(margins)
    return open_texts, restricted


def _text(payloads: Payloads, topic: str, message: Message) -> str:
    record = payloads.decode(topic, message.key() or b"", message.value() or b"")
    return "audio" if isinstance(record, AudioFrame) else json.dumps(codec.to_json(record))


def stored_audio(root: Path) -> dict[tuple[str, int], NDArray[np.int16]]:
    """The samples of each stored segment, by track and first sample."""
    place = places.folder(root, None)
    return {
        (segment.track, segment.start_sample): np.frombuffer(pcm, "<i2")
        for path in sorted(root.rglob("key"))
        for segment, pcm in objects.read(place, _id(path.parent.parent), _id(path.parent))
    }


def _id(folder: Path) -> str:
    return unquote(folder.name.partition("=")[2])
