"""One worker process: `python -m pipeline.worker PARENT`, started by the supervisor.

It stands by until a line on its input says whom it runs as: group, generation, number, run folder and "careful" or
nothing (`pipeline/progress.py`), separated by tabs.
Owns the process: signals, the parent's death, the log, the health page and exit codes. What it runs comes from
`pipeline.app`.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import uvloop

from pipeline import app, health, logs, processes, settings
from pipeline.engines import failpoints
from pipeline.errors import Fenced, InputError, TrunklineError
from pipeline.processes import Who
from pipeline.progress import Progress
from pipeline.supervisor import EXIT_FENCED, EXIT_INPUT

EXIT_FAULT = 1

_log = logging.getLogger(__name__)


def main() -> NoReturn:
    """Run one worker until SIGTERM, then end at once: no thread of a client library may hold the restart up."""
    processes.die_with_parent(int(sys.argv[1]))
    line = sys.stdin.readline()
    if not line:  # it was never needed
        os._exit(0)
    group, generation, number, run_dir, careful = line.rstrip("\n").split("\t")
    who = Who(group, int(generation), int(number))
    logs.configure(process=who.name)
    code = asyncio.Runner(loop_factory=uvloop.new_event_loop).run(
        _exit_code(who, Path(run_dir) / who.name, is_careful=bool(careful))
    )
    logging.shutdown()
    os._exit(code)


async def _exit_code(who: Who, stem: Path, *, is_careful: bool) -> int:
    try:
        await _run(who, stem, is_careful=is_careful)
    except TrunklineError as fault:
        _log.error("stopped", extra={"reason": str(fault)})
        return {Fenced: EXIT_FENCED, InputError: EXIT_INPUT}.get(type(fault), EXIT_FAULT)
    except Exception as fault:  # noqa: BLE001 - ends the process; a library's text may quote a record, its place may not
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        _log.critical("crashed", extra={"error": type(fault).__name__, "place": f"{frame.filename}:{frame.lineno}"})
        return EXIT_FAULT
    return 0


async def _run(who: Who, stem: Path, *, is_careful: bool) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    loaded = settings.load()
    failpoints.arm(loaded.failpoint)
    runner = app.worker(loaded, who.group, who.generation, who.number, Progress(stem, is_careful=is_careful))
    gc.freeze()  # modules and models are never garbage: a full collection of them stops the loop for 44 ms
    port = loaded.health_port + who.port_offset if loaded.health_port else 0
    async with health.serve(runner, port, stem.with_suffix(".port")):
        await runner.run(stop)


if __name__ == "__main__":
    main()
