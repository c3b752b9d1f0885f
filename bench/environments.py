"""Environments of the benchmarks' own, for packages that cannot share one with the pipeline."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

# The wheel of ebmlite has a package called tests, which would hide ours.
EBMLITE = ("ebmlite==3.4.1",)
# quixstreams 3.28.1 wants confluent-kafka below 2.13.
QUIX = ("quixstreams==3.28.1", "fastavro==1.13.1")


def python_with(name: str, pins: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with some packages; it is made once, under `.trunkline/`.

    Raises:
        RuntimeError: a package could not be installed.
    """
    folder = REPOSITORY / ".trunkline" / f"bench-{name}"
    python, made = folder / "bin" / "python", folder / "pins.txt"
    wanted = "\n".join(pins)
    if made.exists() and made.read_text() == wanted:
        return python
    uv = Path(sys.executable).parent / "uv"
    for command in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
        [uv, "pip", "install", "--quiet", "--python", python, *pins],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the environment for {name} cannot be made:\n{done.stderr}")
    made.write_text(wanted)
    return python
