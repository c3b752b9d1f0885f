"""What every test may ask for: a real broker, and a topic prefix of its own on it."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from pipeline import broker as embedded
from pipeline import stores
from topics import admin

# The machine is shared: an example's wall-clock time says nothing about the code.
settings.register_profile("trunkline", deadline=None)
settings.load_profile("trunkline")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the bootstrap of a real broker: `KAFKA_BOOTSTRAP`, else one that lives as long as the session."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    home = tmp_path_factory.mktemp("kafka")
    jars = REPOSITORY / ".kafka" / f"libs-{embedded.KAFKA_VERSION}"
    try:
        yield embedded.start(home, libs=jars).bootstrap
    finally:
        embedded.stop(home)


@pytest.fixture
def prefix(broker: str) -> Iterator[str]:
    """Yield a topic prefix that nobody else uses; its topics go when the test is over."""
    fresh = f"test-{uuid4().hex[:12]}."
    yield fresh
    admin.remove(broker, fresh)


@pytest.fixture
def store_home(tmp_path: Path) -> Iterator[Path]:
    """Yield a home for stores that a test starts and stops itself; the cluster outside it goes too."""
    home = tmp_path / "stores"
    yield home
    stores.remove(home)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Yield the endpoint of a stand-in for AWS that a module has to itself; any credentials will do."""
    from moto.server import ThreadedMotoServer  # its import takes a second

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield given["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the DSN of a PostgreSQL that lives as long as the session; a test takes a schema of its own."""
    home = tmp_path_factory.mktemp("postgres")
    server = stores.start_postgres(home)
    yield server.url
    server.stop()
    stores.remove(home)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a Valkey that lives as long as the session; a test takes a prefix of its own."""
    server = stores.start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server.url
    server.stop()
