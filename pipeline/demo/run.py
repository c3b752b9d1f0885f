"""`trunkline demo`: everything embedded, one call in real time, seen live in the terminal and on the agent page.

Owns the order of starting and stopping. Each demo has a broker, stores and ports of its own under
`.trunkline/demo-<n>`, so a second one beside it harms nothing; a broker that is set is used and left running.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from pipeline import broker, call, lag, ports, stores
from pipeline.call import Request
from pipeline.demo.report import Places, print_report
from pipeline.errors import InputError
from pipeline.processes import claim_number
from pipeline.readiness import wait_ready
from pipeline.running import RUN_DIR
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from pipeline.topology import group_names
from pipeline.view import View

Started = tuple[str, object, Callable[[], object]]  # a setting, its value, how to stop what was started
Starter = Callable[[], Started]

_PARTITIONS = 4
_GROUPS = (*(name for name in group_names() if name not in {"capture", "contacts"}), "postgres", "redis", "gateway")


async def run(
    request: Request, settings: Settings, console: Console, *, is_kept_open: bool, is_connect: bool = False
) -> None:
    """Run the demo.

    Args:
        request: the call.
        settings: a broker or stores that are set are used, not started and not stopped.
        console: where the call is shown.
        is_kept_open: leave everything up after the call until Ctrl-C.
        is_connect: the call comes as Amazon Connect brings it, and not from files.

    Raises:
        InputError: an extra that is needed is not installed.
        PeerUnavailable: a server does not start.
    """
    missing = None if settings.kafka_bootstrap else broker.missing_tools(broker.libs_folder(settings.home))
    if missing is not None and is_connect:
        raise InputError(f"{missing}; --connect needs a broker")
    if missing is not None:
        console.print(f"{missing}; the call runs on the memory engine, without stores and page")
        await _in_memory(request, settings, console)
        return
    started_s = time.monotonic()
    async with _servers(settings, console) as servers, _source(request, servers, is_connect=is_connect) as source:
        own = source.settings
        with call.topics_for(own, keep=False), Supervisor(own, RUN_DIR) as supervisor:
            await asyncio.to_thread(call.publish_policies, own, request.policies)
            for group in (*_GROUPS, *source.groups):
                supervisor.start(group)
            await wait_ready(supervisor)
            page = f"http://127.0.0.1:{own.gateway_port}/"
            console.print(f"page {page}", highlight=False)
            console.print(f"ready in {time.monotonic() - started_s:.0f} s; the call begins", style="dim")
            view = View(console)
            with view.drawn():
                began_ms, _ = await asyncio.gather(source.play(), call.follow(request, own, supervisor, view.take))
            entries = await asyncio.to_thread(call.collect, own)
            await _wait_until_stored(own)
            print_report(console, request, entries, began_ms, Places.of(own, request, page), is_kept_open=is_kept_open)
            if is_kept_open:
                console.print(f"page {page} stays open; Ctrl-C ends", highlight=False)
                await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the call comes from.

    Attributes:
        settings: those of the pipeline.
        groups: what runs besides.
        play: sends the call and returns when audio time 0 was.
    """

    settings: Settings
    groups: Sequence[str]
    play: Callable[[], Coroutine[None, None, int]]


@asynccontextmanager
async def _source(request: Request, settings: Settings, *, is_connect: bool) -> AsyncIterator[_Source]:
    if not is_connect:
        yield _Source(settings, (), lambda: call.send(request, settings))
        return
    from pipeline.demo import connect  # AWS's clients take a second

    home = Path(tempfile.mkdtemp(prefix="trunkline-connect-"))
    try:
        async with connect.connected(request, settings, home) as cloud:
            yield _Source(cloud.settings, connect.GROUPS, cloud.play)
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _in_memory(request: Request, settings: Settings, console: Console) -> None:
    view = View(console)
    with view.drawn():
        entries, began_ms = await call.in_memory(request, settings, view.take)
    print_report(console, request, entries, began_ms, None, is_kept_open=False)


@asynccontextmanager
async def _servers(settings: Settings, console: Console) -> AsyncIterator[Settings]:
    """Start what is not set, all at once; yield the settings that reach it; stop what was started."""
    number = claim_number(RUN_DIR, "demo")
    home = Path(f".trunkline/demo-{number}").absolute()
    libs = broker.libs_folder(settings.home)
    if not libs.is_dir():
        console.print("fetching Apache Kafka through Maven (once)", style="dim")
    console.print("starting Kafka, PostgreSQL and Valkey", style="dim")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        stack.callback(stores.remove, home / "postgres_dsn")
        stack.callback((RUN_DIR / f"demo-{number}.pid").unlink, missing_ok=True)
        changes: dict[str, object] = {
            "topic_prefix": f"{settings.topic_prefix}demo-{number}.",
            "partitions": _PARTITIONS,
            "objects_dir": settings.objects_dir.absolute(),
            "gateway_port": ports.choose(settings.gateway_port),
        }
        starters: list[Starter] = []
        if not settings.kafka_bootstrap:
            starters.append(lambda: _start_broker(home, libs))
        if not settings.postgres_dsn.get_secret_value():
            starters.append(lambda: _start_store("postgres_dsn", stores.start_postgres, home))
        if not settings.redis_url.get_secret_value():
            starters.append(lambda: _start_store("redis_url", stores.start_valkey, home))
        for name, value, stop in await _all_or_none(starters):
            changes[name] = value
            stack.callback(stop)
        yield settings.model_copy(update=changes)


def _start_broker(home: Path, libs: Path) -> Started:
    running = broker.start(home, libs=libs)
    return "kafka_bootstrap", running.bootstrap, lambda: broker.stop(home)


def _start_store(name: str, start: Callable[[Path], stores.Server], home: Path) -> Started:
    server = start(home / name)
    return name, SecretStr(server.url), server.stop


async def _all_or_none(starters: Sequence[Starter]) -> list[Started]:
    """Run every starter at once; when one fails or the user interrupts, stop those that did start."""
    starting = [asyncio.ensure_future(asyncio.to_thread(start)) for start in starters]
    try:
        return list(await asyncio.shield(asyncio.gather(*starting)))
    except BaseException:  # also an interrupt: what did start is stopped
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                outcome[2]()
        raise


async def _wait_until_stored(settings: Settings) -> None:
    """Give the sinks the moment that they are behind the call's last record."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while any((await asyncio.to_thread(lag.behind, settings, ("postgres", "redis"))).values()):
                await asyncio.sleep(0.2)
