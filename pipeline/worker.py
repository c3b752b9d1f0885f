"""One worker process: `python -m pipeline.worker GROUP NUMBER RUN_DIR`, started by the supervisor.

Owns the process: signals, the parent's death, the log, the health page and exit codes. What it runs comes from
`pipeline.app`.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from pipeline import app, health, logs, processes, settings
from pipeline.errors import Fenced, TrunklineError
from pipeline.supervisor import EXIT_FENCED

EXIT_FAULT = 1

_log = logging.getLogger(__name__)


def main() -> int:
    """Run one worker until SIGTERM."""
    processes.die_with_parent(os.getppid())
    group, number, run_dir = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    logs.configure(process=f"{group}-{number}")
    try:
        uvloop.run(_run(group, number, run_dir))
    except Fenced as fault:
        _log.error("stopped", extra={"reason": str(fault)})
        return EXIT_FENCED
    except TrunklineError as fault:
        _log.error("stopped", extra={"reason": str(fault)})
        return EXIT_FAULT
    return 0


async def _run(group: str, number: int, run_dir: Path) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    loaded = settings.load()
    runner = app.worker(loaded, group, number)
    port = loaded.health_port + number - 1 if loaded.health_port else 0
    async with health.serve(runner, port, run_dir / f"{group}-{number}.port"):
        await runner.run(stop)


if __name__ == "__main__":
    sys.exit(main())
