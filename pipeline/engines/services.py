"""Asking a service: whatever goes wrong is an answer too."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pipeline.engines.effects import Question
from pipeline.machine import Failed

Service = Callable[[Any], Awaitable[object]]  # each service has a request type of its own

ANSWER_LIMIT_S = 60.0  # an answer later than this is a failure; three calls' longest decode stays below it

_log = logging.getLogger(__name__)


async def ask(services: Mapping[str, Service], question: Question) -> object:
    """Return the answer, or `Failed`: the machine decides what follows."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return await services[question.ask.service](question.request)
    except TimeoutError:
        return Failed("no answer in time")
    except asyncio.CancelledError:
        asked = asyncio.current_task()
        if asked is None or asked.cancelling():
            raise
        return Failed("the service gave up")
    except Exception as error:  # noqa: BLE001 - a failure is a reply too; the machine decides what follows
        _log.error("a service failed", extra={"service": question.ask.service, "error": type(error).__name__})
        return Failed("the service raised")
