"""What waits in Postgres and should be in the broker; what kills its workers and is parked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause

from db import outbox
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.store.transactions import transaction

LOST_WHEN_EMPTY_S = 3.0
"""A message whose queue is empty and whose row nobody took for so long is lost (the broker was flushed, say)."""

LOST_WHEN_BUSY_S = 600.0
"""With other messages before it, it may just be waiting; twice in the queue would be waste, not harm."""

Depth = Callable[[str], int]
"""How many messages of a queue the broker holds."""

Due = dict[str, list[list[tuple[UUID, int]]]]
"""Tasks to publish, as (id, priority), by queue, in groups that may share messages.

A task whose stage was begun before and never ended is a group of its own: it may be what broke its worker, and those
that travelled with it must not be parked for it.
"""


def sweep(engine: Engine, *, depth: Depth, window: int, max_deliveries: int, who: str) -> Due:
    """Park what was begun too often, mark what is due as published and return it; empty while another sweeps.

    Args:
        engine: The database.
        depth: Asked about each queue.
        window: Tasks of one route that may wait in the broker at once.
        max_deliveries: Claims of one stage after which a task is parked as failed.
        who: Stands in the events.
    """
    with transaction(engine) as connection:
        if not connection.execute(outbox.TRY_LOCK).scalar_one():
            return {}
        limits = {"max_deliveries": max_deliveries, "who": who}
        connection.execute(outbox.PARK_TASKS, limits)
        connection.execute(outbox.PARK_VERIFICATIONS, limits)
        return _due(connection, depth=depth, window=window, max_deliveries=max_deliveries)


def _due(connection: Connection, *, depth: Depth, window: int, max_deliveries: int) -> Due:
    found: Due = defaultdict(list)

    def take(queue: str, statement: TextClause, n: int, **values: object) -> None:
        lost_after_s = LOST_WHEN_EMPTY_S if depth(queue) == 0 else LOST_WHEN_BUSY_S
        parameters = {**values, "n": n, "lost_after_s": lost_after_s, "max_deliveries": max_deliveries}
        rows = connection.execute(statement, parameters).all()
        if fresh := [(row.id, row.priority) for row in rows if row.deliveries == 0]:
            found[queue].append(fresh)
        found[queue] += [[(row.id, row.priority)] for row in rows if row.deliveries > 0]

    for route in (GENERATE, GENERATE_GIVEN):
        out = connection.execute(outbox.TASKS_OUT, {"route": route}).scalar_one()
        room = max(window - out, 0) if depth(route) else window
        if room:
            take(route, outbox.TASKS_DUE, room, states=["queued"], routes=[route])
        take(route, outbox.TASKS_DUE, window, states=["generating"], routes=[route])
    take(DECIDE, outbox.TASKS_DUE, window, states=["deciding"], routes=[GENERATE, GENERATE_GIVEN])
    for verifier, queue in VERIFY.items():
        take(queue, outbox.VERIFICATIONS_DUE, window, verifier=verifier)
    return found
