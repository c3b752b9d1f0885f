"""A search for bytes that break the parser's laws, led by which of its lines run.

`python -m tests.connectors.kvs.fuzz --seconds 600` starts from `corpus/`, whose files are tests too (`test_corpus.py`).
What reaches something new is kept in `--folder`, and a finding is written there and its path printed. Options after
`--` go to libFuzzer: `-- -merge=1 CORPUS FOLDER` copies into CORPUS what FOLDER adds to it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["connectors.kvs"]):
    from tests.connectors.kvs import laws

CORPUS = Path(__file__).with_name("corpus")
LONGEST_BYTES = 4_096
LIMIT_S = 10  # of one input, which takes about 1 ms


def one(data: bytes) -> None:
    """Try one input; its first byte says how the rest is cut."""
    laws.check(data[1:], data[0] if data else 0)


def main() -> None:
    """Search; libFuzzer ends the process, with an exit code other than 0 for a finding."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, help="where inputs are kept; a fresh one by default")
    parser.add_argument("options", nargs="*", help="for libFuzzer, instead of a search")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="trunkline-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    search = [f"-max_total_time={given.seconds}", f"-max_len={LONGEST_BYTES}", f"-timeout={LIMIT_S}"]
    places = [f"-artifact_prefix={folder}/", str(folder), str(CORPUS)]
    again = f"{sys.executable} -m tests.connectors.kvs.fuzz --"  # what a merge runs for its parts, by a shell
    atheris.Setup([again, *(given.options or [*search, *places])], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
