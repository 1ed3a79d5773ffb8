"""The reconciler: ends what is late, and publishes what waits in Postgres and is not in the broker."""

from __future__ import annotations

from worker.stages.desk import Desk
from worker.store.outbox import BrokerView, SweepRules, expire, sweep


def reconcile(desk: Desk, broker: BrokerView) -> int:
    """Run one sweep, unless another process is at it; return how many tasks were published."""
    settings = desk.settings
    rules = SweepRules(
        window=settings.publish_window,
        max_deliveries=settings.max_deliveries,
        ageing_s=settings.ageing_s,
        message_tasks=settings.message_tasks,
    )
    expire(desk.store, who=desk.holder)
    due = sweep(desk.store, broker=broker, rules=rules, who=desk.holder)
    for queue, groups in due.items():  # after the commit: rows before messages
        for tasks in groups:
            desk.publish(queue, tasks)
    return sum(len(tasks) for groups in due.values() for tasks in groups)
