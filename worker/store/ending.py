"""Batches that are over, cancelled or late: what is unfinished in them ends, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import ending, outbox
from db.models import FINAL_STATES
from worker.store.transactions import statements, transaction

PAGE = 20_000
"""Tasks ended by one statement, which holds their locks for half a second, and by one sweep."""

BATCH_COSTS = 100  # of a sweep's page, however few tasks it has: it is a transaction all the same
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    n: int
    last: UUID | None
    """From where to go on; none when the batch is at its end."""


def cancel_batch(engine: Engine, batch_id: UUID, *, tenant: str, who: str) -> int | None:
    """Cancel every task that has no result yet; return how many, or ``None`` when there is no such batch.

    From its first statement on none of them is begun; a stage that is at work on one of them is refused when it writes.
    What is left when this process dies the reconciler ends, or the next call.
    """
    with statements(engine) as connection:
        if (
            connection.execute(ending.MARK_CANCELLED, {"id": batch_id, "tenant": tenant}).one_or_none()
            is None
        ):
            return None
        n, after = 0, FIRST
        while True:
            ended = _end(connection, batch_id, is_cancelled=True, after=after, n=PAGE, who=who)
            n += ended.n
            if ended.last is None:
                return n
            after = ended.last


def expire(engine: Engine, *, who: str) -> int:
    """End what is unfinished in batches that were cancelled or whose deadline passed, a page of tasks of all of them.

    Returns:
        How many tasks.
    """
    n, budget = 0, PAGE
    while budget > 0:
        with transaction(engine) as connection:
            if not connection.execute(outbox.TRY_LOCK).scalar_one():
                break
            over = connection.execute(ending.OVER).one_or_none()
            if over is None:
                break
            ended = _end(connection, over.id, is_cancelled=over.is_cancelled, after=FIRST, n=budget, who=who)
        n += ended.n
        budget -= max(ended.n, BATCH_COSTS)
    return n


def _end(
    connection: Connection, batch_id: UUID, *, is_cancelled: bool, after: UUID, n: int, who: str
) -> _Ended:
    statement = ending.CANCEL_TASKS if is_cancelled else ending.EXPIRE_TASKS
    values = {"batch_id": batch_id, "after": after, "n": n, "final_states": list(FINAL_STATES), "who": who}
    row = connection.execute(statement, values).one()
    if row.n_found == n:
        return _Ended(n=row.n_ended, last=row.last)
    connection.execute(ending.MARK_ENDED, {"id": batch_id})
    return _Ended(n=row.n_ended, last=None)
