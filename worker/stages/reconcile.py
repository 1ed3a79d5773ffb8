"""The reconciler: ends what is late, and publishes what waits in Postgres and is not in the broker."""

from __future__ import annotations

from worker.stages.desk import Desk
from worker.store.ending import expire
from worker.store.outbox import BrokerView, SweepRules, sweep
from worker.telemetry.metrics import DEAD_LETTERS, LEASES_EXPIRED


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
    swept = sweep(desk.store, broker=broker, rules=rules, who=desk.holder)
    DEAD_LETTERS.inc(swept.n_parked)
    for queue, n in swept.n_expired.items():
        LEASES_EXPIRED.labels(queue).inc(n)
    for queue, groups in swept.due.items():  # after the commit: rows before messages
        for tasks in groups:
            desk.publish(queue, tasks)
    return sum(len(tasks) for groups in swept.due.values() for tasks in groups)
