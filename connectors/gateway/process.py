"""One gateway process: feed, hub and server, wired. Replicas need not know each other."""

import asyncio
import errno
import secrets
from collections.abc import Callable
from functools import partial

from aiohttp import web

from connectors.gateway.board import Board
from connectors.gateway.feed import Feed
from connectors.gateway.feedback import FeedbackWriter
from connectors.gateway.hub import Hub
from connectors.gateway.review.cases import Cases
from connectors.gateway.review.desk import Desk
from connectors.gateway.review.people import Person
from connectors.gateway.review.reading import Decode, decode_plain, records_of
from connectors.gateway.review.routes import Routes
from connectors.gateway.server import PAGE, Server
from pipeline.egress import Gate
from pipeline.errors import PeerUnavailable

HOST = "127.0.0.1"  # the agent page has no login
STOP_LIMIT_S = 5.0


async def run(  # noqa: PLR0913 - what a process is made of, named once
    bootstrap: str,
    prefix: str,
    redis_url: str | None,
    gate: Gate,
    port: int = 0,
    reviewers: tuple[Person, ...] = (),
    decode: Decode = decode_plain,
    on_ready: Callable[[int], None] = lambda _: None,
) -> None:
    """Serve agent pages until cancelled; then close every socket with 1012.

    Args:
        bootstrap: `host:port` of Kafka; it may be away, then the pages say so.
        prefix: stands before every topic's name.
        redis_url: where guidance comes through; None leaves it to Kafka.
        gate: what it refuses is on no screen.
        port: 0 takes a free one.
        reviewers: who may review; without any there is no such page.
        decode: opens what is sealed, for reviewers.
        on_ready: called with the port once pages are served.

    Raises:
        PeerUnavailable: the port is taken.
    """
    hub = Hub(Board(epoch=secrets.token_hex(8)))
    cases = Cases() if reviewers else None
    feed = Feed(hub, prefix, gate, cases)
    writer = FeedbackWriter(bootstrap, prefix)
    app = Server(hub, writer.send, feed.readiness).application()
    read = partial(records_of, bootstrap, prefix, decode)
    desk = Desk(read, gate, cases, writer.write) if cases is not None else None
    if desk is not None:
        Routes(desk, reviewers, PAGE).add(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_LIMIT_S)
    try:
        on_ready(await _listen(runner, port))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed.follow_kafka(bootstrap))
            if redis_url is not None:
                tasks.create_task(feed.follow_redis(redis_url))
    finally:
        await runner.cleanup()
        writer.close()
        if desk is not None:
            desk.close()


async def _listen(runner: web.AppRunner, port: int) -> int:
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise PeerUnavailable(f"cannot listen on {HOST}:{port}: {error.strerror}") from None
        raise PeerUnavailable(f"port {port} of {HOST} is taken") from None
    return int(runner.addresses[0][1])
