"""Which recogniser a setting names, and what is refused before work starts."""

import pytest
from pydantic import SecretStr

from pipeline import app, recognisers, settings
from pipeline.errors import InputError
from pipeline.stages.asr import Asr

pytestmark = pytest.mark.unit


def test_deepgram_needs_a_key() -> None:
    with pytest.raises(InputError, match="setting deepgram_api_key is missing"):
        recognisers.check(settings.load(asr="deepgram"))
    recognisers.check(settings.load(asr="deepgram", deepgram_api_key=SecretStr("k")))


def test_unknown_recogniser_is_refused() -> None:
    with pytest.raises(InputError, match="no recogniser vosk"):
        recognisers.check(settings.load(asr="vosk"))


@pytest.mark.parametrize("url", ["https://api.deepgram.com", "wss://api.deepgram.com/v1/listen", "api.deepgram.com"])
def test_address_that_is_no_websocket_root_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="setting deepgram_url"):
        settings.load(deepgram_url=url)


@pytest.mark.parametrize(
    ("given", "tenants"), [("", ()), ("a", ("a",)), ("b, a", ("b", "a")), (" , ", ()), ("a,,b", ("a", "b"))]
)
def test_tenants_of_the_cloud_are_none_unless_listed(given: str, tenants: tuple[str, ...]) -> None:
    assert tenants == recognisers.external_tenants(settings.load(asr_external=given))


@pytest.mark.parametrize(("asr", "streaming"), [("deepgram", {"acme"}), ("moonshine", set())])
def test_stage_asks_as_the_tenant_s_recogniser_hears(asr: str, streaming: set[str]) -> None:
    rows = app.stages(settings.load(asr=asr, asr_external="acme"))
    machine = next(row for row in rows if row.name == "asr").machine()
    assert isinstance(machine, Asr)
    assert streaming == machine._config.streaming
