"""What failed or could not be read: listed, and given another chance by command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db import dead
from worker.store.texts import storable, storable_json
from worker.store.transactions import statements, transaction

MAX_BODY_CHARS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTask:
    """A task that was parked because a stage of it never ended."""

    id: UUID
    batch_id: UUID
    custom_id: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedMessage:
    """A message that could not be read."""

    id: int
    queue: str
    body: dict[str, Any]
    reason: str
    who: str
    at: datetime


def retry(
    engine: Engine,
    *,
    tenant: str,
    who: str,
    batch_id: UUID | None = None,
    ids: Sequence[UUID] | None = None,
    only_dead: bool = False,
) -> list[UUID]:
    """Let failed tasks go on where they failed; return which. Those of cancelled or expired batches stay failed.

    Args:
        engine: The database.
        tenant: Whose.
        who: Stands in the events.
        batch_id: Only of this batch.
        ids: Only these.
        only_dead: Only those that were parked because a stage never ended.
    """
    values = {
        "tenant": tenant,
        "who": who,
        "batch_id": batch_id,
        "ids": None if ids is None else list(ids),
        "only_dead": only_dead,
    }
    with transaction(engine) as connection:
        return [row.task_id for row in connection.execute(dead.RETRY, values)]


def set_deadline(engine: Engine, batch_id: UUID, deadline: datetime | None, *, tenant: str) -> None:
    """Give a batch another deadline, or none."""
    with statements(engine) as connection:
        connection.execute(dead.SET_DEADLINE, {"id": batch_id, "deadline": deadline, "tenant": tenant})


def dead_tasks(engine: Engine, *, tenant: str, n: int) -> list[DeadTask]:
    """Return the newest ``n`` parked tasks of a tenant, newest first."""
    with statements(engine) as connection:
        rows = connection.execute(dead.DEAD_TASKS, {"tenant": tenant, "n": n}).all()
    return [
        DeadTask(
            id=row.id,
            batch_id=row.batch_id,
            custom_id=row.custom_id,
            at=row.finished_at,
            reason=row.error["message"],
        )
        for row in rows
    ]


def park_message(engine: Engine, *, queue: str, body: object, reason: str, who: str) -> None:
    """Keep a message that cannot be read, with the reason."""
    values = {
        "queue": storable(queue)[:200],
        "body": _kept(body),
        "reason": storable(reason)[:1000],
        "who": who,
    }
    with statements(engine) as connection:
        connection.execute(dead.PARK_MESSAGE, values)


def parked_messages(engine: Engine, *, n: int) -> list[ParkedMessage]:
    """Return the newest ``n`` messages that wait to be driven again, newest first."""
    with statements(engine) as connection:
        rows = connection.execute(dead.PARKED_MESSAGES, {"n": n}).mappings().all()
    return [ParkedMessage(**row) for row in rows]


def mark_redriven(engine: Engine, ids: Sequence[int]) -> None:
    """Take messages off the list of those that wait."""
    with statements(engine) as connection:
        connection.execute(dead.REDRIVEN, {"ids": list(ids)})


def _kept(body: object) -> str:
    """Return ``body`` as a JSON object that Postgres takes; what is too long or no JSON becomes text."""
    try:
        text = json.dumps({"message": storable_json(body)}, allow_nan=False)
        if len(text) <= MAX_BODY_CHARS:
            return text
    except (TypeError, ValueError, RecursionError):
        pass
    return json.dumps({"text": in_words(body)[: MAX_BODY_CHARS // 8]})


def in_words(body: object) -> str:
    """Return any value as text that Postgres takes."""
    try:
        return storable(str(body))
    except RecursionError:
        return "nested too deeply to be written down"
