"""Settings: one frozen object, parsed once and passed down. The only reader of the environment.

Order: command line, `TRUNKLINE_*` variables (and `KAFKA_BOOTSTRAP`), `trunkline.toml` in the working folder, defaults.
An unknown key or variable is an error, so that a misspelt setting is never silently ignored.
"""

import os
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.errors import InputError

PREFIX = "TRUNKLINE_"
ENGINES = ("kafka", "faust")  # that run on a broker
FILE = Path("trunkline.toml")
BOOTSTRAP_VARIABLE = "KAFKA_BOOTSTRAP"


class Settings(BaseSettings):
    """Everything a process can be told. `trunkline check` shows each value and where it came from."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX)

    kafka_bootstrap: str = Field("", description="host:port of the broker; empty means the embedded one")
    topic_prefix: str = Field("", description="put before every topic, group and member name", pattern=r"^[\w.-]*$")
    partitions: int = Field(
        12, description="partitions of each contact topic; more than before is another generation", ge=1, le=1_000
    )
    generation_rest_s: int = Field(
        1_800, description="how long an old generation of topics stays after the last of its contacts", ge=0
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="classic: cooperative-sticky with static members; consumer: KIP-848"
    )
    home: Path = Field(Path(), description="folder that holds .kafka, the embedded broker")
    engine: Literal["kafka", "faust"] = Field(
        "kafka", description="what runs the stages; one environment has one engine"
    )
    faust_guarantee: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once", description="exactly_once is refused: Faust 0.15.3 doubles and loses records with it"
    )
    asr: str = Field("moonshine", description="moonshine, whisper, two-pass, deepgram, or scripted:REF.json")
    asr_external: str = Field(
        "",
        description="tenants whose audio may go to a recogniser in the cloud, with commas, the most important first",
    )
    deepgram_api_key: SecretStr = Field(SecretStr(""), description="key of Deepgram; empty means none")
    deepgram_url: str = Field(
        "wss://api.deepgram.com", description="websocket root of Deepgram, or of one's own", pattern=r"^wss?://[^/]+$"
    )
    deepgram_model: str = Field("nova-3", description="model of Deepgram; flux and what follows is served by turns")
    deepgram_sockets: int = Field(50, description="connections to Deepgram at once, of each worker process", ge=1)
    vad: Literal["silero", "webrtcvad"] = Field(
        "silero", description="what judges speech; webrtcvad needs no model, and takes music and keys for speech"
    )
    kvs_region: str = Field(
        "", description="AWS region of the audio streams; empty means the one that AWS's tools find"
    )
    kvs_endpoint_url: str = Field("", description="where Kinesis Video Streams is asked; empty means the region's own")
    redaction_profiles: str = Field(
        "", description="YAML file of redaction profiles by tenant; empty means everything is masked for all"
    )
    redaction_key: SecretStr = Field(SecretStr(""), description="key of pseudonyms; empty means none")
    objects_dir: Path = Field(Path(".trunkline/objects"), description="where redacted audio is stored")
    objects_url: str = Field(
        "",
        description="s3://BUCKET/PREFIX for redacted audio; empty means objects_dir",
        pattern=r"^(s3://[^/]+(/.*)?)?$",
    )
    objects_region: str = Field("", description="AWS region of the bucket; empty means the one that AWS's tools find")
    archive_keys: str = Field(
        "", description="file with the tenants' keys for redacted audio; empty means one beside objects_dir"
    )
    archive_release: Literal["decided", "verified"] = Field(
        "decided", description="when redacted audio is let out: once redaction has decided, or once it is verified too"
    )
    subject_keys: str = Field(
        "",
        description="file with the tenants' keys for restricted topics, the same in every process that reads or writes"
        " them; empty means .trunkline/subject.key, made at the first use",
    )
    verification_listens: Literal["off", "samples", "words"] = Field(
        "words",
        description="how stored audio is verified: not at all, by its samples, or by ear too, in front of and behind"
        " the tone; without group archive it is awaited unless it is off",
    )
    receipt_key: SecretStr = Field(
        SecretStr(""),
        description="key of receipts, 64 hexadecimal digits, the same in every process that redacts, stores or shows;"
        " empty means .trunkline/receipt.key, made at the first use",
    )
    audit_dir: Path = Field(
        Path(".trunkline/audit"),
        description="where group audit chains receipts, and `trunkline audit verify` looks for them",
    )
    postgres_dsn: SecretStr = Field(SecretStr(""), description="PostgreSQL; empty means none")
    redis_url: SecretStr = Field(SecretStr(""), description="Redis or Valkey; empty means none")
    contact_record_wait_s: int = Field(
        3_600,
        description="how long after a contact's end its contact record is missing, and its audio no longer due",
        ge=0,
    )
    contact_feeds: str = Field("", description="file that lists the feeds of Amazon Connect; empty means none")
    gateway_port: int = Field(8080, description="port of the agent page on 127.0.0.1; 0 picks a free one", ge=0)
    reviewers: str = Field(
        "", description="YAML file of who may review what verification leaves to a person; empty means nobody"
    )
    health_port: int = Field(0, description="port of the first worker's health page; 0 picks a free one", ge=0)
    failpoint: float = Field(
        0.0,
        description="probability of each step of a checkpoint or takeover to end the worker; for crash tests",
        ge=0,
        le=1,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the command line, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, FILE)


def load(**given: object) -> Settings:
    """Parse the settings.

    Args:
        given: values from the command line; None means "not given".

    Raises:
        InputError: an unknown key or variable, or a value of the wrong kind, named.
    """
    _refuse_unknown_variables()
    chosen = {name: value for name, value in given.items() if value is not None}
    if BOOTSTRAP_VARIABLE in os.environ and "kafka_bootstrap" not in chosen:
        chosen["kafka_bootstrap"] = os.environ[BOOTSTRAP_VARIABLE]
    try:
        return Settings(**cast("dict[str, Any]", chosen))  # pydantic checks each
    except ValidationError as failure:
        first = failure.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"unknown setting {name}; docs/cli.md lists the known ones") from None
        raise InputError(f"setting {name}: {first['msg']}") from None
    except ValueError as failure:  # the TOML parser's
        raise InputError(f"{FILE}: {failure}") from None


def origin(name: str) -> str:
    """Say where a setting's value comes from."""
    if name == "kafka_bootstrap" and BOOTSTRAP_VARIABLE in os.environ:
        return BOOTSTRAP_VARIABLE
    if name in EnvSettingsSource(Settings)():
        return PREFIX + name.upper()
    if name in TomlConfigSettingsSource(Settings, FILE)():
        return str(FILE)
    return "default"


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process the same settings."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    plain = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in values.items()}
    kept = {name: value for name, value in os.environ.items() if name != BOOTSTRAP_VARIABLE}
    return kept | {PREFIX + name.upper(): value for name, value in plain.items()}


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise InputError(f"unknown setting {unknown[0]}; docs/cli.md lists the known ones")
