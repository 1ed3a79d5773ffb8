"""The reconciler: publishes again what waits in Postgres and is not in the broker."""

from __future__ import annotations

from worker.stages.desk import Desk
from worker.store.outbox import Depth, sweep


def reconcile(desk: Desk, depth: Depth) -> int:
    """Run one sweep, unless another process is at it; return how many tasks were published."""
    due = sweep(
        desk.store,
        depth=depth,
        window=desk.settings.publish_window,
        max_deliveries=desk.settings.max_deliveries,
        who=desk.holder,
    )
    for queue, groups in due.items():  # after the commit: rows before messages
        for tasks in groups:
            desk.publisher.publish(queue, tasks)
    return sum(len(tasks) for groups in due.values() for tasks in groups)
