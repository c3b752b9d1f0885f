"""Which recogniser a setting names, and what it needs before work starts. Models load where they are used alone."""

from pathlib import Path
from typing import Final

from connectors.scripted import ScriptedAsr
from pipeline.engines.services import Service
from pipeline.errors import InputError
from pipeline.settings import Settings
from topics.records import Track, Word

# Those that take audio as it comes (`AsrConfig.is_streaming`).
STREAMING: Final[frozenset[str]] = frozenset()

_SCRIPTED: Final = "scripted:"


def check(settings: Settings) -> None:
    """Refuse an unknown recogniser or a malformed reference before work starts.

    Raises:
        InputError: it is one of these.
    """
    name = settings.asr
    if name.startswith(_SCRIPTED):
        _scripted(name, is_paced=False)
    elif name != "moonshine":
        raise InputError(f"no recogniser {name}; this version has moonshine and scripted:REF.json")


def make(settings: Settings, *, is_paced: bool) -> Service:
    """Make the service that answers the stage `asr`.

    Args:
        settings: which recogniser.
        is_paced: whether a scripted recogniser takes its time.

    Raises:
        InputError: see `check`.
    """
    check(settings)
    if settings.asr.startswith(_SCRIPTED):
        return _scripted(settings.asr, is_paced=is_paced).answer
    from connectors.moonshine import MoonshineAsr

    return MoonshineAsr().answer


def script(settings: Settings) -> list[tuple[Track, Word]]:
    """Return the words of a scripted recogniser's reference; none for another recogniser."""
    return _scripted(settings.asr, is_paced=False).words if settings.asr.startswith(_SCRIPTED) else []


def _scripted(name: str, *, is_paced: bool) -> ScriptedAsr:
    return ScriptedAsr(Path(name.removeprefix(_SCRIPTED)), is_paced=is_paced)
