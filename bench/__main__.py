"""`python -m bench` lists the benchmarks; `python -m bench NAME [--json FILE]` runs one and writes its report."""

import argparse
import signal
import sys
from importlib import import_module
from pathlib import Path

from bench import report

EXIT_DIFFERENCE = 3
NAMES = (
    "asr",
    "capacity",
    "capture",
    "crash",
    "embedded",
    "failover",
    "growth",
    "hop",
    "kills",
    "kvs",
    "kvs_read",
    "latency",
    "memory",
    "redaction",
    "vad",
    "verification",
    "wer",
)  # modules of this package: a line that says what, `add_options` and `run`


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    if not arguments:
        for name in NAMES:
            print(f"{name:<12} {_what(name)}")
        return 0
    name, *options = arguments
    if name not in NAMES:
        print(f"bench: no benchmark {name}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    module = import_module(f"bench.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=_what(name))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    module.add_options(parser)
    given = parser.parse_args(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what it has started ends with it
    made: report.Report = module.run(given)
    report.write(made, name, given.json)
    return 0 if made.is_good else EXIT_DIFFERENCE


def _what(name: str) -> str:
    return (import_module(f"bench.{name}").__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
