"""Ports of the loopback interface: which are free, and which one a server of ours takes."""

import contextlib
import random
import socket
from collections.abc import Iterable
from typing import Final

from pipeline.errors import PeerUnavailable

HOST: Final = "127.0.0.1"
# Below Linux' ephemeral range (32768 and up): a client that keeps knocking while its server is down can neither be
# given the server's port for its own end nor connect to itself.
_RANGE: Final = range(20_000, 32_768)
_TRIES: Final = 64


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def choose(*wanted: int) -> int:
    """Return the first of the wanted ports that can be listened on, else a random one.

    Args:
        wanted: in order; 0 wishes nothing.

    Raises:
        PeerUnavailable: none can.
    """
    return first_free((*filter(None, wanted), *random.sample(_RANGE, _TRIES)))


def first_free(ports: Iterable[int]) -> int:
    """Return the first port that can be listened on.

    Raises:
        PeerUnavailable: none can.
    """
    tried = []
    for port in ports:
        tried.append(port)
        with socket.socket() as held, contextlib.suppress(OSError):
            # As the servers do: connections of the last one in TIME_WAIT do not block the port.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, port))
            return port
    raise PeerUnavailable(f"cannot listen on {HOST}:{tried[0]}: the port is taken or not permitted")
