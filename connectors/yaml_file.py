"""YAML that a person has written: what is wrong with a file, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from pipeline.errors import InputError


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Read and parse a file in the body; a failure names the file, the line and the reason.

    Raises:
        InputError: it cannot be read, or is no YAML.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no valid YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise InputError(f"{path}:1: no valid YAML: not plain text") from None
