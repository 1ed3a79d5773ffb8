"""How the embedded Valkey is set up and run."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from urllib.parse import quote

from worker.embedded.binaries import valkey_server as find_valkey_server
from worker.embedded.directory import StateDirectory
from worker.embedded.server import Server, ServerPlan

SOCKET_NAME = "valkey.sock"

SETTINGS = {
    "port": "0",  # no TCP
    "unixsocketperm": "700",
    "dir": ".",  # the working directory, so that odd characters in its path need no quoting
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file is the persistence; snapshots would be a second one
    "maxmemory-policy": "noeviction",  # a queue must not forget messages
    "daemonize": "no",
}


def valkey_server(state: StateDirectory) -> Server:
    """Return the broker of this state directory.

    Raises:
        ServiceError: No binary.
    """
    path = state.sockets / SOCKET_NAME
    options = {**SETTINGS, "unixsocket": str(path)}
    return Server(
        ServerPlan(
            name="valkey",
            command=(
                str(find_valkey_server()),
                *(word for name, value in options.items() for word in (f"--{name}", value)),
            ),
            identity="self",
            directory=state.valkey,
            log=state.logs / "valkey.log",
            sockets=(path,),
            stop_signals=(signal.SIGTERM, signal.SIGKILL),
            is_ready=lambda _pid: answers_ping(path),
        )
    )


def broker_url(sockets: Path) -> str:
    """Return Celery's URL of the broker whose socket is in ``sockets``."""
    return f"redis+socket://{quote(str(sockets / SOCKET_NAME), safe='/')}?virtual_host=0"


def redis_url(sockets: Path) -> str:
    """Return redis-py's URL of the same."""
    return f"unix://{quote(str(sockets / SOCKET_NAME), safe='/')}?db=0"


def answers_ping(path: Path) -> bool:
    """Return whether a server answers at the socket; one that still loads its file does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
