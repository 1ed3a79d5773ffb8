"""The keeper's door: the only way to change or remove rows that are sealed, and what goes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError
from uuid_utils.compat import uuid7

from db import redacting
from db.seals import KEEPER_ROLE
from worker.errors import KeeperRefusedError
from worker.store.transactions import transaction

NOT_A_MEMBER = "42501"


@contextmanager
def as_keeper(connection: Connection) -> Iterator[None]:
    """Act as the keeper within an open transaction, for the length of the block.

    Raises:
        KeeperRefusedError: The login is no member of the keeper's role.
    """
    try:
        connection.execute(redacting.BE_KEEPER)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != NOT_A_MEMBER:
            raise
        raise KeeperRefusedError(
            f"this login may not act as {KEEPER_ROLE}, who alone changes sealed rows; have it allowed: "
            f"GRANT {KEEPER_ROLE} TO <login>"
        ) from error
    yield
    connection.execute(redacting.BE_ONESELF)  # after an error the transaction is over, and the role with it


def texts_of_task(connection: Connection, task_id: UUID) -> dict[str, Any]:
    """Return the texts of a task that can be redacted, its rows locked: spec, chains, verdicts, decisions, labels."""
    values = {"id": task_id}
    connection.execute(redacting.LOCK_TASK, values)
    found = {
        name: [dict(row) for row in connection.execute(statement, values).mappings()]
        for name, statement in redacting.READ.items()
    }
    return {**found, "spec": connection.execute(redacting.SPEC, values).scalar_one()}


@contextmanager
def redaction(engine: Engine) -> Iterator[Connection]:
    """Open the transaction of a redaction, in which the keeper acts."""
    with transaction(engine) as connection, as_keeper(connection):
        yield connection


def replace_texts(connection: Connection, kind: str, values: Sequence[Mapping[str, Any]]) -> None:
    """Put other texts in place of those of some rows of a task."""
    if values:
        jsons = redacting.JSON_COLUMNS
        connection.execute(
            redacting.REPLACE[kind],
            [{k: json.dumps(v) if k in jsons else v for k, v in one.items()} for one in values],
        )


def record_redaction(
    connection: Connection,
    *,
    task_id: UUID,
    tenant: str,
    who: str,
    why: str,
    details: Mapping[str, Any],
    kept: Mapping[str, str] | None,
) -> UUID:
    """Put a redaction on record, and leave of the task's salts those that are ``kept``.

    Args:
        connection: Of ``redaction``.
        task_id: Whose texts went.
        tenant: Whose task.
        who: Did it.
        why: The reason, in words.
        details: Which texts went, with their salted hashes.
        kept: The salts of what was left; ``None`` when the task has no salts, since it is not sealed.
    """
    id_ = uuid7()
    values = {"id": id_, "tenant": tenant, "task_id": task_id, "who": who, "why": why}
    connection.execute(redacting.INSERT_REDACTION, {**values, "details": json.dumps(dict(details))})
    if kept is not None:
        connection.execute(redacting.KEEP_SALTS, {"id": task_id, "kept": json.dumps(dict(kept))})
    return id_
