"""Claiming, keeping and giving back tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from db import leases
from db.models import FINAL_STATES
from worker.errors import StoreError
from worker.messages import VERIFY
from worker.store.texts import storable
from worker.store.transactions import statements, transaction
from worker.submission.lines import TaskLine

BACKOFF_S = 2.0  # doubled with every delivery, so that a broken neighbour is not hammered
LONGEST_BACKOFF_S = 60.0


def backoff_s(n_times: int) -> float:
    """Return how long a task waits that was taken for the ``n_times``-th time in vain; the first is 1."""
    doublings = min(max(n_times, 1) - 1, 10)  # a task may wait for days for its engine
    return min(BACKOFF_S * 2.0**doublings, LONGEST_BACKOFF_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTask:
    """A task this worker holds, until its lease runs out or it writes."""

    id: UUID
    batch_id: UUID
    tenant: str
    attempt: int
    """The fencing number of this claim."""

    deliveries: int
    """Claims of this stage that have not ended, this one among them."""

    domain: str
    line: TaskLine

    @property
    def ids(self) -> dict[str, str]:
        """What a line of the log calls it."""
        return {"task_id": str(self.id), "batch_id": str(self.batch_id)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where one held task goes next."""

    task: HeldTask
    to_state: str
    why: str = ""
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A task that really moved, to be published by its urgency."""

    id: UUID
    urgency: int
    to_state: str


def claim_tasks(
    engine: Engine,
    ids: Sequence[UUID],
    *,
    queue: str,
    from_states: Sequence[str],
    to_state: str,
    holder: str,
    lease_s: float,
    max_deliveries: int,
) -> list[HeldTask]:
    """Take those of ``ids`` that wait in one of ``from_states`` and that nobody holds; the rest is not ours.

    While ``queue`` is paused there is nothing to take, and the tasks count as not published.
    """
    values = {"ids": list(ids), "from_states": list(from_states), "queue": queue}
    claim = {"to_state": to_state, "holder": holder, "lease_s": lease_s, "max_deliveries": max_deliveries}
    with statements(engine) as connection:
        found = connection.execute(leases.CLAIM_TASKS, values | claim).all()
        if not found:
            connection.execute(leases.PUT_BACK_TASKS, values)
    return [_held(row) for row in found]


def claim_verifications(
    engine: Engine, ids: Sequence[UUID], *, verifier: str, holder: str, lease_s: float, max_deliveries: int
) -> list[HeldTask]:
    """Take the turns of ``verifier`` at those of ``ids`` that still wait for it; ``attempt`` is the turn's own.

    While its queue is paused there is nothing to take, and the turns count as not published.
    """
    values = {"ids": list(ids), "verifier": verifier, "queue": VERIFY[verifier]}
    claim = {"holder": holder, "lease_s": lease_s, "max_deliveries": max_deliveries}
    with statements(engine) as connection:
        found = connection.execute(leases.CLAIM_VERIFICATIONS, values | claim).all()
        if not found:
            connection.execute(leases.PUT_BACK_VERIFICATIONS, values)
    return [_held(row) for row in found]


def forget_published(engine: Engine, queue: str, ids: Sequence[UUID]) -> None:
    """Let ``ids`` count as not published to ``queue``, unless somebody has taken them meanwhile."""
    verifier = next((name for name, of in VERIFY.items() if of == queue), None)
    with statements(engine) as connection:
        if verifier is None:
            final = list(FINAL_STATES)
            connection.execute(leases.FORGET_PUBLISHED_TASKS, {"ids": list(ids), "final_states": final})
        else:
            values = {"ids": list(ids), "verifier": verifier}
            connection.execute(leases.FORGET_PUBLISHED_VERIFICATIONS, values)


def move(connection: Connection, moves: Sequence[Move], *, from_state: str, who: str) -> list[Moved]:
    """Move tasks whose claim is still the youngest; write their events; return those that moved.

    Call it first in the transaction that writes a stage's rows: what it does not return must not be written.
    """
    found = connection.execute(
        leases.MOVE_TASKS,
        {
            "ids": [m.task.id for m in moves],
            "attempts": [m.task.attempt for m in moves],
            "to_states": [m.to_state for m in moves],
            "reasons": [storable(m.why) for m in moves],
            "errors": [None if m.error is None else json.dumps(m.error) for m in moves],
            "from_state": from_state,
            "final_states": list(FINAL_STATES),
            "who": who,
        },
    ).all()
    return [Moved(id=row.id, urgency=row.urgency, to_state=row.to_state) for row in found]


def fail(engine: Engine, task: HeldTask, error: Exception, *, from_state: str, who: str) -> None:
    """Park a held task as failed, with the error's type and text on the row."""
    reason = Move(task=task, to_state="failed", why=str(error)[:500], error=describe(error))
    with transaction(engine) as connection:
        move(connection, [reason], from_state=from_state, who=who)


def fail_verification(engine: Engine, task: HeldTask, error: Exception, *, verifier: str, who: str) -> None:
    """Park a task whose verifier can't conclude, if this turn is still ours."""
    values = {"id": task.id, "attempt": task.attempt, "verifier": verifier, "who": who}
    reason = {"why": storable(str(error))[:500], "error": json.dumps(describe(error))}
    with transaction(engine) as connection:
        connection.execute(leases.LOCK_VERIFYING, {"ids": [task.id]})  # the task first, as everybody does
        connection.execute(leases.FAIL_VERIFYING, values | reason)


def release(
    engine: Engine, tasks: Sequence[HeldTask], error: Exception, *, state: str, counts: bool, delay_s: float
) -> None:
    """Give held tasks back, to be taken again after ``delay_s``; ``counts`` says whether it was a delivery."""
    with statements(engine) as connection:
        connection.execute(
            leases.RELEASE_TASKS,
            {
                "ids": [t.id for t in tasks],
                "attempts": [t.attempt for t in tasks],
                "error": json.dumps(describe(error)),
                "counts": counts,
                "delay_s": delay_s,
                "state": state,
            },
        )


def release_verifications(
    engine: Engine, tasks: Sequence[HeldTask], *, verifier: str, delay_s: float
) -> None:
    """Give turns back, to be taken again after ``delay_s``; each was a delivery."""
    with statements(engine) as connection:
        connection.execute(
            leases.RELEASE_VERIFICATIONS,
            {
                "ids": [t.id for t in tasks],
                "attempts": [t.attempt for t in tasks],
                "verifier": verifier,
                "delay_s": delay_s,
            },
        )


def note_fault(engine: Engine, ids: Sequence[UUID], error: Exception, *, holder: str) -> set[UUID]:
    """Write on those of ``ids`` that ``holder`` holds what ended their stage, and return of which batches they are."""
    with statements(engine) as connection:
        values = {"ids": list(ids), "holder": holder, "error": json.dumps(describe(error))}
        return set(connection.execute(leases.NOTE_FAULT, values).scalars())


def renew(
    engine: Engine, held: Sequence[tuple[UUID, int]], *, verifier: str | None, lease_s: float
) -> set[UUID]:
    """Extend the leases that are still held and return whose they are."""
    with statements(engine) as connection:
        return leases.renew(connection, held, verifier=verifier, lease_s=lease_s)


def let_go(engine: Engine, held: Sequence[tuple[UUID, int]], *, verifier: str | None, who: str) -> None:
    """Give back (id, attempt) pairs that are held, to be taken at once; whoever still works on them is refused."""
    values = {"ids": [i for i, _ in held], "attempts": [a for _, a in held]}
    with statements(engine) as connection:
        if verifier is None:
            connection.execute(leases.LET_GO_TASKS, {**values, "who": who})
        else:
            connection.execute(leases.LET_GO_VERIFICATIONS, {**values, "verifier": verifier})


def describe(error: Exception) -> dict[str, str]:
    """Return an error as it stands on a row: its type and its text, bounded."""
    words = str(
        getattr(error, "orig", None) or error
    )  # without the statement that SQLAlchemy adds, and its values
    return {"type": type(error).__name__, "message": storable(words)[:2000]}


def _held(row: Row[Any]) -> HeldTask:
    try:
        line = TaskLine.model_validate_json(row.spec)
    except ValueError as error:
        raise StoreError(f"task {row.id} holds a line that this version cannot read: {error}") from error
    return HeldTask(
        id=row.id,
        batch_id=row.batch_id,
        tenant=row.tenant,
        attempt=row.attempt,
        deliveries=row.deliveries,
        domain=row.domain,
        line=line,
    )
