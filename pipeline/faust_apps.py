"""The apps that `faust worker` runs: `faust -A pipeline.faust_apps:speech worker`, one name a group of stages.

Settings are read as by every other process. The member number is the smallest free one of `.trunkline/run`, and stays
claimed as long as this process lives.
"""

import sys

from pipeline import app, processes, settings
from pipeline.engines.faust_stage import App
from pipeline.environment import located
from pipeline.errors import InputError
from pipeline.running import RUN_DIR
from pipeline.topology import group_names

EXIT_INPUT = 2


def __getattr__(group: str) -> App:
    """Make the app of a group."""
    if group not in group_names():
        raise AttributeError(group)
    try:
        loaded = located(settings.load(engine="faust"))
        app.check_group(loaded, group)
        return app.faust_worker(loaded, group, processes.claim_number(RUN_DIR, group)).app
    except InputError as fault:
        sys.stderr.write(f"trunkline: {fault}\n")
        sys.exit(EXIT_INPUT)
