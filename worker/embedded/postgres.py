"""How the embedded Postgres is set up and run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from worker.embedded.binaries import postgres_directory
from worker.embedded.directory import StateDirectory
from worker.embedded.errors import ServerStartError
from worker.embedded.identity import LAUNCH, Identity, give
from worker.embedded.server import Server, ServerPlan, command_line, server_environment
from worker.errors import ServiceError

USER = "mergereasoner"
DATABASE = "mergereasoner"
SOCKET_NAME = ".s.PGSQL.5432"
STATUS_LINE = 7  # of postmaster.pid, from 0: where the postmaster says that it is ready; pg_ctl reads it too

SETTINGS = {
    "listen_addresses": "",  # no TCP: nobody else on this machine or network can connect
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "wal_level": "minimal",  # nobody replicates from an embedded server, and bulk loads write less
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def postgres_server(state: StateDirectory, identity: Identity) -> Server:
    """Return the server of this state directory, its cluster created if this is the first time.

    Raises:
        ServiceError: No binaries, an identity that cannot reach the files, or a cluster of another version.
        ServerStartError: ``initdb`` failed.
    """
    binaries = postgres_directory()
    data = state.postgres / "data"
    if identity.owner_uid != os.geteuid():
        _let_pass(state.postgres)
    give(state.postgres, identity)
    if not data.exists():
        _create_cluster(binaries, data, identity, log=state.logs / "initdb.log")
    _check_version(binaries, data)
    options = {**SETTINGS, "unix_socket_directories": str(state.sockets)}
    socket = state.sockets / SOCKET_NAME
    return Server(
        ServerPlan(
            name="postgres",
            command=(
                str(binaries / "postgres"),
                "-D",
                str(data),
                *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
            ),
            identity=identity.spec,
            directory=data,
            log=state.logs / "postgres.log",
            sockets=(socket, socket.with_name(f"{SOCKET_NAME}.lock")),
            # fast shutdown, then immediate; SIGTERM would wait for every client to leave
            stop_signals=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
            is_ready=lambda pid: _is_ready(data, pid),
            prepare=lambda: _remove_stale_postmaster_file(data),
        )
    )


def postgres_url(sockets: Path) -> str:
    """Return the SQLAlchemy URL of the server whose socket is in ``sockets``."""
    return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(str(sockets), safe='/')}"


def _create_cluster(binaries: Path, data: Path, identity: Identity, *, log: Path) -> None:
    # Beside its place and renamed at the end, so that an interrupted set-up is never taken for a finished one.
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    initdb = [
        str(binaries / "initdb"),
        *("-D", str(unfinished), "-U", USER, "--encoding=UTF8", "--locale=C"),
        *("--auth-local=trust", "--auth-host=reject"),  # the socket directory is the lock on the door
    ]
    _run(initdb, identity, log=log, cwd=data.parent)
    single_user = [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
    _run(single_user, identity, log=log, cwd=data.parent, statements=f"CREATE DATABASE {DATABASE};\n")
    unfinished.rename(data)


def _run(command: list[str], identity: Identity, *, log: Path, cwd: Path, statements: str = "") -> None:
    wrapped = [*LAUNCH, str(os.getpid()), str(int(signal.SIGKILL)), identity.spec, *command]
    with log.open("ab") as output:
        done = subprocess.run(
            wrapped,
            input=statements.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=server_environment(),
            umask=0o077,
            check=False,
        )
    if done.returncode != 0:
        raise ServerStartError(f"postgres ({Path(command[0]).name})", f"exit code {done.returncode}", log=log)


def _check_version(binaries: Path, data: Path) -> None:
    found = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    words = subprocess.run(
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    ours = words.stdout.split()[-1].split(".")[0]
    if found != ours:
        raise ServiceError(
            f"{data} was made by Postgres {found}, the one here is {ours}; "
            f"keep Postgres {found}, move the data with pg_dump, or choose another state directory"
        )


def _remove_stale_postmaster_file(data: Path) -> None:
    """Remove a dead postmaster's pid file whose pid an unrelated process has now; Postgres would refuse it."""
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    command = command_line(pid)
    if command and "postgres" not in command:
        path.unlink()


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    # A killed postmaster leaves this file, saying "ready": only the one that holds our pid counts.
    return len(lines) > STATUS_LINE and lines[0] == str(pid) and lines[STATUS_LINE].strip() == "ready"


def _let_pass(directory: Path) -> None:
    # Postgres will run as another uid, without root's right to walk anywhere.
    directory.parent.chmod(0o711)
    for ancestor in directory.parents:
        if not ancestor.stat().st_mode & 0o001:
            raise ServiceError(
                f"Postgres cannot run as root, and no other user may enter {ancestor}; "
                "choose a state directory outside it (such as one below /var/lib), or run as an ordinary user"
            )
