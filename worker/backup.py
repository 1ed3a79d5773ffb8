"""Backup and restore of the whole database, by Postgres's own programs.

The broker needs none: it only carries ids, and what waits is published again from its rows.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from db.migrate import knows
from db.session import client_environment, connect
from worker.embedded.binaries import postgres_program
from worker.errors import BackupError
from worker.schema import bring_up_to_date
from worker.store.restoring import is_empty, make_roles, settle

# Rights that the old owner promised on tables to come; they name a login that the new place need not know.
NOT_RESTORED = re.compile(rb" DEFAULT ACL ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup."""

    path: Path
    size_bytes: int
    sha256: str


def back_up(database_url: str, path: Path) -> Backup:
    """Write the database as it stands at this moment into ``path``; whoever works on it goes on.

    Raises:
        BackupError: The file is there already or can't be written, or the database could not be read.
    """
    if path.exists():
        raise BackupError(f"{path} is there already; name another file")
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.touch(mode=0o600)  # it holds everything
        _run("pg_dump", database_url, "--format=custom", "--no-owner", "--file", unfinished)
        _run("pg_restore", database_url, "--list", unfinished)
        digest = _digest(unfinished)
        unfinished.rename(path)
    except OSError as error:
        raise BackupError(f"cannot write {path}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Backup(path=path, size_bytes=path.stat().st_size, sha256=digest)


def restore(database_url: str, path: Path) -> None:
    """Fill an empty database from a backup in one transaction, then bring its schema up to date.

    Raises:
        BackupError: The file is none of ours, damaged or of a newer version, or the database is not empty; nothing
            was written.
        StoreRightsError: A role is missing and may not be made.
        StoreUnavailableError: The database is away.
    """
    if not path.is_file():
        raise BackupError(f"there is no file {path}")
    store = connect(database_url, pool_size=1)
    try:
        if not is_empty(store):
            raise BackupError("the database is not empty; restore into a new one (docs/backup.md)")
        revision = _revision(database_url, path)
        if not knows(revision):
            raise BackupError(f"{path} is of a newer version (schema {revision}); upgrade, then restore")
        make_roles(store)
        contents = _run("pg_restore", database_url, "--list", path).splitlines(keepends=True)
        wanted = b"".join(line for line in contents if not NOT_RESTORED.search(line))
        _run(
            "pg_restore",
            database_url,
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--use-list=/dev/stdin",
            "--dbname",
            client_environment(database_url).get("PGDATABASE", ""),
            path,
            sent=wanted,
        )
        bring_up_to_date(database_url)
        settle(store)
    finally:
        store.dispose()


def _revision(database_url: str, path: Path) -> str:
    rows = _run("pg_restore", database_url, "--data-only", "--table=alembic_version", "--file=-", path)
    found = re.search(rb"^COPY [^\n]*alembic_version[^\n]*\n([^\n\\]+)\n", rows, re.MULTILINE)
    if found is None:
        raise BackupError(f"{path} is no backup of ours: it holds no alembic_version")
    return found[1].decode("utf-8", "replace")


def _run(program: str, database_url: str, *arguments: str | Path, sent: bytes = b"") -> bytes:
    try:
        environment = {**os.environ, **client_environment(database_url)}
    except ValueError as error:
        raise BackupError(str(error)) from error
    done = subprocess.run(
        [postgres_program(program), *arguments], input=sent, capture_output=True, env=environment, check=False
    )
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["without a word"]
        told = next((line for line in words if "error:" in line), words[0])
        raise BackupError(told.removeprefix(f"{program}: ").removeprefix("error: "))
    return done.stdout


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
