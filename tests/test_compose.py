"""`docker-compose.kafka.yml`: pinned, loopback-only, watched, and the same broker as the embedded one."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import broker

pytestmark = pytest.mark.unit

COMPOSE = Path(__file__).parents[1] / "docker-compose.kafka.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]  # Any: YAML has no types
NAMES = sorted(SERVICES)


def test_services_are_those_that_the_project_uses() -> None:
    assert ["kafka", "postgres", "valkey"] == NAMES
    assert ["postgres", "valkey"] == [name for name in NAMES if SERVICES[name].get("profiles") == ["stores"]]


@pytest.mark.parametrize("name", NAMES)
def test_image_is_pinned_to_an_exact_release(name: str) -> None:
    # PostgreSQL's releases have two numbers, those of the others three.
    parts = r"\d+\.\d+" if name == "postgres" else r"\d+\.\d+\.\d+"
    assert re.fullmatch(rf"[a-z/]+:{parts}", SERVICES[name]["image"])


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    ports = SERVICES[name]["ports"]
    assert 1 == len(ports)
    assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", ports[0])


@pytest.mark.parametrize("name", NAMES)
def test_service_has_a_health_check_a_memory_limit_and_a_named_volume(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert [name] == [volume.partition(":")[0] for volume in service["volumes"]]
    assert name in yaml.safe_load(COMPOSE.read_text())["volumes"]


def test_broker_is_the_version_of_the_embedded_one() -> None:
    assert f"apache/kafka:{broker.KAFKA_VERSION}" == SERVICES["kafka"]["image"]


def test_broker_has_every_setting_of_the_embedded_one() -> None:
    # The image's rule: KAFKA_, upper case, an underscore for a dot.
    wanted = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in broker.SERVER_SETTINGS.items()}
    environment = SERVICES["kafka"]["environment"]
    assert wanted == {key: environment.get(key) for key in wanted}


def test_broker_has_the_heap_of_the_embedded_one() -> None:
    assert " ".join(broker.HEAP) == SERVICES["kafka"]["environment"]["KAFKA_HEAP_OPTS"]


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(("docker", "compose", "version"), capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_accepts_the_file() -> None:
    command = ("docker", "compose", "-f", str(COMPOSE), "--profile", "stores", "config", "-q")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
