"""Which recogniser a setting names, and what it needs before work starts. Models load where they are used alone."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.fallback import Fallback
from connectors.scripted import ScriptedAsr
from pipeline.engines.services import Service
from pipeline.errors import InputError
from pipeline.machine import Failed
from pipeline.settings import Settings
from pipeline.stages.asr import Transcribe, Transcript
from topics.records import Track, Word

if TYPE_CHECKING:  # it imports what aligns words
    from connectors.embedded_asr import EmbeddedAsr

DEEPGRAM: Final = "deepgram"
EMBEDDED: Final = ("moonshine", "whisper", "two-pass")

_SCRIPTED: Final = "scripted:"


def check(settings: Settings) -> None:
    """Refuse an unknown recogniser, one whose extra or key is missing, or a malformed reference before work starts.

    Raises:
        InputError: it is one of these.
    """
    name = settings.asr
    if name.startswith(_SCRIPTED):
        _scripted(name, is_paced=False)
    elif name == DEEPGRAM:
        if not settings.deepgram_api_key.get_secret_value():
            raise InputError("setting deepgram_api_key is missing")
    elif name not in EMBEDDED:
        raise InputError(
            f"no recogniser {name}; this version has {', '.join((*EMBEDDED, DEEPGRAM))} and scripted:REF.json"
        )
    elif name != "moonshine":
        from connectors import whisper

        whisper.check()


def make(settings: Settings, *, is_paced: bool) -> Service:
    """Make the service that answers the stage `asr`.

    Args:
        settings: which recogniser.
        is_paced: whether time counts: a scripted recogniser takes its own, an embedded one has none for all partials.

    Raises:
        InputError: see `check`.
    """
    check(settings)
    if settings.asr.startswith(_SCRIPTED):
        return _scripted(settings.asr, is_paced=is_paced).answer
    if settings.asr == DEEPGRAM:
        return _with_deepgram(settings).answer
    return embedded(settings.asr, is_paced=is_paced).answer


def embedded(name: str, *, is_paced: bool) -> "EmbeddedAsr":
    """Make one of the recognisers that run in this process; partials of `two-pass` are Moonshine's.

    Raises:
        InputError: a package is missing, or its model is not the tested one.
    """
    from connectors.embedded_asr import EmbeddedAsr
    from connectors.moonshine import Moonshine
    from connectors.whisper import Whisper

    if name == "whisper":
        return EmbeddedAsr(Whisper(), None, is_paced=is_paced)
    quick = Moonshine()
    return EmbeddedAsr(Whisper() if name == "two-pass" else quick, quick, is_paced=is_paced)


def second() -> Callable[[Transcribe], Awaitable[Transcript | Failed]]:
    """Make what hears redacted audio again, whoever has heard it first.

    Raises:
        InputError: its package is missing, or its model is not the tested one.
    """
    from connectors.embedded_asr import EmbeddedAsr
    from connectors.moonshine import Moonshine

    return EmbeddedAsr(Moonshine(), None, is_paced=False).answer


def script(settings: Settings) -> list[tuple[Track, Word]]:
    """Return the words of a scripted recogniser's reference; none for another recogniser."""
    return _scripted(settings.asr, is_paced=False).words if settings.asr.startswith(_SCRIPTED) else []


def streaming(settings: Settings) -> frozenset[str]:
    """Return the tenants whose recogniser takes audio as it comes."""
    return frozenset(external_tenants(settings) if settings.asr == DEEPGRAM else ())


def external_tenants(settings: Settings) -> tuple[str, ...]:
    """Return the tenants whose audio a recogniser in the cloud may have, the most important first."""
    return tuple(tenant.strip() for tenant in settings.asr_external.split(",") if tenant.strip())


def _with_deepgram(settings: Settings) -> Fallback:
    from connectors.deepgram import DeepgramAsr, Options

    tenants = external_tenants(settings)
    options = Options(
        settings.deepgram_api_key.get_secret_value(),
        tenants,
        settings.deepgram_url,
        settings.deepgram_model,
        settings.deepgram_sockets,
    )
    return Fallback(DeepgramAsr(options), embedded("moonshine", is_paced=True), tenants)


def _scripted(name: str, *, is_paced: bool) -> ScriptedAsr:
    return ScriptedAsr(Path(name.removeprefix(_SCRIPTED)), is_paced=is_paced)
